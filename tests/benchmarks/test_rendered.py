"""The rendered benchmark: its files say what the pictures show, and a stress spoils what it names and nothing else."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks import rendered, rendered_stress
from benchmarks.datasets import open_dataset
from posestudio.core.skeleton import COCO17
from posestudio.errors import InputError
from posestudio.store.snapshots import PLACED

SMALL: dict[str, Any] = {"people": 12, "may_label": 5, "dev": 4, "test": 8}
FLIP = list(COCO17.flip_index)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of a few people without stresses."""
    folder = tmp_path_factory.mktemp("rendered") / "set"
    rendered.make(folder, seed=3, **SMALL)
    return folder


@pytest.fixture(scope="module")
def scenes() -> list[rendered_stress.Scene]:
    """Forty scenes with people."""
    drawn = (rendered.draw_scene(5, "train", index) for index in range(60))
    return [scene for scene in drawn if len(scene.area)][:40]


def spoiled(scenes: list[rendered_stress.Scene], name: str, level: float):
    stress = rendered_stress.PICTURES[name][0]
    return [stress(np.random.default_rng([9, i]), scene, level) for i, scene in enumerate(scenes)]


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_seed_makes_the_same_files(small: Path, tmp_path: Path):
    rendered.make(tmp_path / "again", seed=3, **SMALL)
    assert files_of(tmp_path / "again") == files_of(small)
    rendered.make(tmp_path / "other", seed=4, **SMALL)
    assert (tmp_path / "other" / "dev.json").read_bytes() != (small / "dev.json").read_bytes()


def test_other_splits_do_not_move_a_split(small: Path, tmp_path: Path):
    rendered.make(tmp_path / "more", seed=3, people=7, may_label=3, dev=4, test=5)
    more, few = files_of(tmp_path / "more"), files_of(small)
    pictures = [name for name in few if name.startswith("images/dev_")]
    assert pictures and all(more[name] == few[name] for name in [*pictures, "dev.json"])
    assert len(json.loads(more["train.json"])["annotations"]) == 3


def test_a_snapshot_shows_the_labels_of_its_budget(small: Path, tmp_path: Path):
    dataset = open_dataset("rendered", small, tmp_path)
    assert dataset.project == tmp_path / "rendered"
    snapshot, other = dataset.snapshot(2, 0), dataset.snapshot(4, 1)
    people = snapshot.people
    assert len(people) == 12 and people.image_path == other.people.image_path
    assert (people.split == "train").sum() == 2 and (people.split == "unlabeled").sum() == 10
    known = (people.state == PLACED).any(axis=1)
    assert np.array_equal(known, people.split == "train")
    assert np.isnan(people.xy_image[~known]).all()
    assert len(dataset.people("unlabeled_answers")) == 7
    assert (dataset.people("unlabeled_answers").state == PLACED).any(axis=1).all()
    assert all(Path(path).is_file() for path in people.image_path)


def test_who_judges_is_not_learned_from(small: Path, tmp_path: Path):
    dataset = rendered.rendered(small, tmp_path)
    parts = [set(dataset.people(name).file_name) for name in ("dev", "val", "test2")]
    parts.append(set(dataset.learnable.file_name))
    assert all(parts) and len(set.union(*parts)) == sum(map(len, parts))
    pictures = [path.read_bytes() for path in (small / "images").iterdir()]
    assert len(set(pictures)) == len(pictures) == sum(map(len, parts))
    judges = [dataset.people(name) for name in ("dev", "val", "test2")]
    assert all(len(np.unique(people.image_id)) == len(people) for people in judges)
    assert len(dataset.people("dev")) == 4
    assert len(dataset.people("val")) + len(dataset.people("test2")) == 8


def test_who_judges_is_now_the_nearer_and_now_the_farther_person():
    levels = {"distractors": 1.0}
    drawn = [rendered.draw_scene(3, "dev", index, levels) for index in range(12)]
    told = dict(rendered._scenes(3, "dev", 8, levels))
    places = set()
    for index, scene in told.items():
        assert len(scene.area) == 1 and np.array_equal(scene.image, drawn[index].image)
        places.add((len(drawn[index].area), drawn[index].area.tolist().index(scene.area[0])))
    assert {(2, 0), (2, 1)} <= places


def test_labels_and_answers_are_the_truth(small: Path, tmp_path: Path):
    dataset, exact = rendered.rendered(small, tmp_path), rendered.exact_people(small)
    assert np.array_equal(exact.instance_id, dataset.learnable.instance_id)
    assert np.isfinite(exact.xy_image).all()
    placed = dataset.learnable.state == PLACED
    assert placed.mean() > 0.8
    assert np.array_equal(exact.xy_image[placed], dataset.learnable.xy_image[placed])
    row = json.loads((small / "unlabeled.json").read_text("utf-8"))["annotations"][0]
    assert row["num_keypoints"] == 0 and not any(row["keypoints"]) and "exact" not in row


def test_the_truth_lies_where_the_renderer_drew(scenes):
    for scene in scenes:
        pixel = np.round(scene.xy_image)
        inside = ((pixel >= 0) & (pixel < scene.image.shape[1::-1])).all(-1)
        assert (scene.visibility[~inside] == 0).all()
        seen = pixel[scene.visibility == 2].astype(int)
        assert scene.figures[seen[:, 1], seen[:, 0]].mean() > 0.9
    hidden = np.mean([(scene.visibility == 1).mean() for scene in scenes])
    assert 0.2 < hidden < 0.5


@pytest.mark.parametrize("name", rendered_stress.PICTURES)
def test_level_0_changes_nothing_and_1_does(name: str, scenes):
    for scene, same in zip(scenes[:6], spoiled(scenes[:6], name, 0), strict=True):
        assert np.array_equal(scene.image, same.image) and np.array_equal(scene.labels, same.labels)
        assert np.array_equal(scene.xy_image, same.xy_image)
    changed = [
        not (
            np.array_equal(scene.image, other.image) and np.array_equal(scene.labels, other.labels)
        )
        for scene, other in zip(scenes, spoiled(scenes, name, 1), strict=True)
    ]
    assert all(changed)


@pytest.mark.parametrize("name", ["label_noise", "swap_noise", "domain_shift"])
def test_the_truth_stays(name: str, scenes):
    for scene, other in zip(scenes, spoiled(scenes, name, 0.7), strict=True):
        assert np.array_equal(scene.xy_image, other.xy_image)
        assert np.array_equal(scene.visibility, other.visibility)
        assert np.array_equal(scene.box_xywh, other.box_xywh)


def test_label_noise_displaces_its_share_and_nests(scenes):
    low, high = spoiled(scenes, "label_noise", 0.1), spoiled(scenes, "label_noise", 0.4)
    counts = np.zeros(3)
    for scene, few, many in zip(scenes, low, high, strict=True):
        labeled = scene.labels[..., 2] > 0
        moved = [(other.labels != scene.labels).any(-1) for other in (few, many)]
        assert not (moved[0] & ~moved[1]).any() and not (moved[1] & ~labeled).any()
        assert np.array_equal(few.labels[moved[0]], many.labels[moved[0]])
        way = np.linalg.norm(many.labels[..., :2] - scene.labels[..., :2], axis=-1)
        part = (way / scene.box_xywh[:, 3, None])[moved[1]]
        assert ((part >= 0.2) & (part <= 0.5)).all()
        spots = many.labels[moved[1]][:, :2]
        assert ((spots >= 0) & (spots <= np.array(scene.image.shape[1::-1]) - 1)).all()
        assert np.array_equal(many.labels[..., 2], scene.labels[..., 2])
        counts += labeled.sum(), moved[0].sum(), moved[1].sum()
    assert counts[1] / counts[0] == pytest.approx(0.1, abs=0.03)
    assert counts[2] / counts[0] == pytest.approx(0.4, abs=0.05)


def test_swap_noise_swaps_whole_people(scenes):
    swapped = []
    for scene, other in zip(scenes, spoiled(scenes, "swap_noise", 0.5), strict=True):
        for true, told in zip(scene.labels, other.labels, strict=True):
            swapped.append(np.array_equal(told, true[FLIP]))
            assert swapped[-1] or np.array_equal(told, true)
    assert 0.3 < np.mean(swapped) < 0.7


def test_out_of_domain_leaves_nobody(scenes):
    for scene, empty in zip(scenes[:8], spoiled(scenes[:8], "out_of_domain", 1), strict=True):
        assert np.isnan(empty.xy_image).all() and not empty.labels.any()
        assert not empty.figures.any() and np.array_equal(empty.box_xywh, scene.box_xywh)
    half = spoiled(scenes, "out_of_domain", 0.5)
    assert 0.3 < np.mean([np.isnan(scene.xy_image).all() for scene in half]) < 0.7


def test_a_shifted_domain_is_elsewhere_and_the_figures_stay(scenes):
    """Edges inside the figures survive a shift better than those of the background, which is replaced."""

    def edges(image: np.ndarray) -> np.ndarray:
        gray = cv2.GaussianBlur(image.astype(float).mean(-1), (0, 0), 2.0)
        return np.abs(np.diff(gray, axis=0)[:, 1:]) + np.abs(np.diff(gray, axis=1)[1:])

    found: dict[bool, list[float]] = {True: [], False: []}
    for scene, other in zip(scenes, spoiled(scenes, "domain_shift", 1), strict=True):
        for inside in (True, False):
            where = scene.figures[1:, 1:] == inside
            pair = np.corrcoef(edges(scene.image)[where], edges(other.image)[where])
            found[inside].append(pair[0, 1])
    assert np.mean(found[True]) > np.mean(found[False]) + 0.2


def test_stresses_stay_in_their_split(small: Path, tmp_path: Path):
    levels = {"label_noise": 0.5, "domain_shift": 1.0}
    rendered.make(tmp_path / "hard", seed=3, levels=levels, **SMALL)
    hard, plain = files_of(tmp_path / "hard"), files_of(small)
    same = {name for name in plain if hard[name] == plain[name]}
    pictures = {name for name in plain if name.startswith("images/")}
    assert same == {name for name in pictures if "unlabeled" not in name} | {
        "unlabeled.json", "dev.json", "test.json", "answers.json",
    }  # fmt: skip
    dataset = rendered.rendered(tmp_path / "hard", tmp_path)
    exact = rendered.exact_people(tmp_path / "hard")
    gap = np.linalg.norm(dataset.learnable.xy_image - exact.xy_image, axis=-1)
    assert 0.3 < (gap[dataset.may_label] > 1).mean() < 0.7
    assert np.nanmax(gap[~dataset.may_label]) == 0


def test_nobody_has_no_truth(tmp_path: Path):
    rendered.make(
        tmp_path / "set", people=4, may_label=2, dev=1, test=2, levels={"out_of_domain": 1}
    )
    exact = rendered.exact_people(tmp_path / "set")
    assert np.isnan(exact.xy_image).all(axis=(1, 2)).tolist() == [False, False, True, True]
    answers = rendered.rendered(tmp_path / "set", tmp_path).people("unlabeled_answers")
    assert not (answers.state == PLACED).any()


def test_rare_poses_are_dialed_in_where_they_are_asked_for():
    def share(split: str, levels: dict[str, float]) -> float:
        drawn = [rendered.draw_scene(1, split, index, levels) for index in range(40)]
        across, down = np.concatenate([s.xy_image[:, 11] - s.xy_image[:, 5] for s in drawn]).T
        return float((np.abs(np.degrees(np.arctan2(across, down))) > rendered.TILTED).mean())

    assert share("test", {"rare_test": 1.0}) > share("test", {"rare_test": 0.0}) + 0.2
    assert share("train", {"rare_test": 1.0}) == share("train", {})


def test_rare_tells_lying_from_standing(small: Path, tmp_path: Path):
    people = rendered.rendered(small, tmp_path).people("dev").take([0, 0, 0])
    pose = np.zeros((17, 2))
    pose[5:7, 1], pose[11:13, 1] = -50, 0
    people.xy_image[:] = np.stack([pose, pose[:, ::-1], np.full_like(pose, np.nan)])
    assert rendered.rare(people).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--stress", "fog=0.1"], "label_noise"),
        (["--stress", "label_noise=1.5"], "0..1"),
        (["--stress", "label_noise"], "NAME=LEVEL"),
        (["--people", "1"], "needs people"),
    ],
)
def test_mistakes_are_said(arguments, words, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert rendered.main(["make", str(tmp_path / "set"), *arguments]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_a_set_is_not_overwritten_and_a_torn_one_is_not_read(small: Path, tmp_path: Path):
    with pytest.raises(InputError, match="already"):
        rendered.make(small, **SMALL)
    with pytest.raises(InputError, match="make"):
        rendered.rendered(tmp_path, tmp_path)
