"""Heatmaps, candidates and a fresh prediction of one person, by students of known random weights."""

import base64
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from posestudio.core.skeleton import COCO17
from posestudio.errors import InputError, NotFound
from posestudio.models.pose_net import ModelSpec, PoseNet, build
from posestudio.models.weights import save_student
from posestudio.predict import Predictor, load_image
from posestudio.studio import maps
from posestudio.studio.studio import Studio
from tests import edited
from tests.edited import RUN, K, Made

SPEC = ModelSpec(
    backbone="shufflenet_v2_x0_5", head_channels=16, num_keypoints=K, height=64, width=64, padding=1.25, spread=1.0
)  # fmt: skip


def student(seed: int) -> PoseNet:
    """Random weights whose heatmaps have peaks of about 0.5."""
    net = build(SPEC, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if name.startswith(("deconv", "final")) and weight.ndim == 4:
                weight.normal_(0, 0.1, generator=generator)
        high = net(torch.randn(1, 3, 64, 64, generator=generator)).amax(dim=(0, 2, 3))
        net.final.weight *= 0.5 / high[:, None, None, None]
    return net


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    found = edited.make(tmp_path_factory.mktemp("maps"))
    for seed, name in enumerate(("a", "b")):
        file = found.folder / "runs" / RUN / f"student_{name}.safetensors"
        save_student(file, student(seed), {"skeleton": COCO17.to_dict()})
    return found


@pytest.fixture
def studio(made: Made):
    with Studio(made.folder, hold=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def predictor(made: Made) -> Predictor:
    return Predictor.load(made.folder / "runs" / RUN)


def image_of(studio: Studio, person: int) -> np.ndarray:
    row = studio.call("person", instance_id=person)
    return load_image(Path(studio.project) / row["image_path"])


def test_heatmaps_are_those_of_the_students_and_lie_where_they_look(studio, made, predictor):
    person = made.open[2]
    found = maps.heat(studio, person)
    assert found["run_id"] == RUN and found["students"] == ["a", "b"]
    h, w = found["size"]
    levels = np.frombuffer(base64.b64decode(found["maps"]), np.uint8).reshape(2, K, h, w)
    image, to_image = image_of(studio, person), np.array(found["to_image"])
    for index, name in enumerate(("a", "b")):
        points, scores = predictor.predict(image, [list(edited.BOX)], student=name)
        np.testing.assert_allclose(levels[index].max(axis=(1, 2)) / 255, scores[0], atol=0.003)
        for k in range(K):
            rows, columns = np.nonzero(levels[index, k] == levels[index, k].max())
            cells = np.stack([columns, rows], axis=1) @ to_image[:, :2].T + to_image[:, 2]
            near = np.abs(cells - points[0, k]).max(axis=1).min()
            assert near <= 1.01 * abs(to_image[0, 0])  # the parabola moves it by a cell at most
    for k, peaks in enumerate(found["candidates"]):
        best = max(levels[index, k].max() for index in range(2)) / 255
        assert 0 < len(peaks) <= maps.CANDIDATES and abs(peaks[0]["score"] - best) < 0.003
        assert [p["score"] for p in peaks] == sorted((p["score"] for p in peaks), reverse=True)
        assert {p["student"] for p in peaks} <= {"a", "b"}


def test_a_fresh_prediction_belongs_to_the_present_box_and_is_judged(studio, made, predictor):
    person, box = made.open[3], [40.0, 30.0, 150.0, 180.0]
    studio.call("set_box", instance_id=person, box_xywh=box, who="ann")
    assert studio.call("document", instance_id=person)["stale"]
    found = maps.predict_person(studio, person, RUN)
    assert not found["stale"] and found["box"]["xywh"] == box and found["run_id"] == RUN
    points, scores = predictor.predict(image_of(studio, person), [box])
    for k, point in enumerate(found["keypoints"]):
        shown = point["prediction"]
        np.testing.assert_allclose([shown["x"], shown["y"]], points[0, k])
        assert shown["score"] == pytest.approx(scores[0, k]) and shown["error"] is not None
        assert set(point["students"]) == {"a", "b"}
    rows = [r for r in studio.call("person_predictions", instance_id=person) if r["model"] == RUN]
    assert {row["student"] for row in rows} == {"a", "b", "ensemble"}
    assert studio.call("document", instance_id=person) == found


def test_somebody_new_can_be_predicted_at_once(studio, made):
    image = studio.call("person", instance_id=made.open[4])["image_id"]
    new = studio.call("add_person", image_id=image, box_xywh=[200, 40, 80, 150], who="ann")
    assert maps.predict_person(studio, new["instance_id"])["keypoints"][0]["prediction"] is not None


def test_nobody_of_val_is_looked_at(studio, made):
    for deed in (maps.heat, maps.predict_person):
        with pytest.raises(InputError, match="of val"):
            deed(studio, made.val[0])
        with pytest.raises(NotFound, match="no person 999"):
            deed(studio, 999)
        with pytest.raises(NotFound, match="run"):
            deed(studio, made.open[0], "nothing")


def test_looking_disturbs_no_training_of_the_same_process(studio, made):
    """Gradients, autocast and thread counts of another thread stay as they are while heatmaps are drawn."""
    net = torch.nn.Linear(4, 1)
    threads, failed = torch.get_num_threads(), []

    def draw() -> None:
        try:
            for _ in range(3):
                maps.heat(studio, made.open[0])
        except Exception as error:
            failed.append(error)

    looker = threading.Thread(target=draw)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        looker.start()
        steps = 0
        while looker.is_alive() or steps < 5:
            assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
            loss = net(torch.ones(2, 4)).sum()
            assert loss.dtype == torch.bfloat16 and loss.requires_grad
            loss.backward()
            steps += 1
    looker.join()
    assert failed == [] and torch.get_num_threads() == threads
    assert net.weight.grad is not None and net.weight.grad.isfinite().all()
