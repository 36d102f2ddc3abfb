"""Pseudo-labels of a run are scored by the labels that people give later, through the command line."""

import contextlib
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from posestudio.cli.main import main
from posestudio.core.skeleton import COCO17
from posestudio.store import snapshots
from posestudio.studio import hindsight, work
from posestudio.studio.demo import write_demo_files
from posestudio.studio.studio import Studio
from posestudio.train import ledger
from posestudio.train.run_folder import RunFolder

SETTINGS = (
    "data.batch_labeled=4", "data.batch_unlabeled=4", "train.threads=1", "train.steps=12", "train.ledger_every=1",
    "pool.threshold=0",
)  # fmt: skip


def cli(project, *line):
    """One command line with --json: exit code and what it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["--project", str(project), "--json", *map(str, line)])
    return code, json.loads(out.getvalue() or "null")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project with 16 of 24 people labeled, one run, and what the file knows of the others, by instance id."""
    folder = tmp_path_factory.mktemp("rendered")
    project, parts = folder / "p", write_demo_files(folder, 3, {"train": 24})
    assert cli(project, "init")[0] == 0
    line = ["import", "coco", parts["train"], "--images", folder / "images", "--labeled", 16]
    assert cli(project, *line)[0] == 0
    code, shown = cli(project, "train", "--preset", "paper", "--size", "tiny", "--set", *SETTINGS)
    assert code == 0
    people = work.now(Studio(project)).people
    rows = {row["id"]: row for row in json.loads(parts["train"].read_text())["annotations"]}
    known = {
        int(person): np.array(rows[int(coco)]["keypoints"], float).reshape(-1, 3)
        for person, coco, split in zip(
            people.instance_id, people.coco_id, people.split, strict=True
        )
        if split == "unlabeled"
    }
    return project, shown["run_id"], known


def by_hand(rows, labels, heights):
    """asked, told, right, of two students, plainly."""
    asked = told = right = 0
    for row in rows:
        label = labels.get((row["instance_id"], row["keypoint"]))
        if label is None:
            continue
        near = np.hypot(row["x"] - label[0], row["y"] - label[1])
        asked += 1
        told += len(row["teaches"])
        right += len(row["teaches"]) * bool(near <= 0.15 * heights[row["instance_id"]])
    return asked, told, right


def test_labels_given_later_score_what_the_run_taught_itself(trained):
    project, run_id, known = trained
    studio, run = Studio(project), RunFolder(project / "runs" / run_id)
    scores = studio.call("ledger_scores", run=run_id)
    assert scores["labeled_later"] == 0 and scores["training"] is scores["pool"] is None
    assert cli(project, "runs", "show", run_id)[1]["pseudo_labels"]["precision"] is None
    rows = [row for path in ledger.parts(run) for row in pq.read_table(path).to_pylist()]
    assert {row["instance_id"] for row in rows} <= set(known)
    labels = {}
    for person in sorted(known)[:5]:
        true = {k: xyv for k, xyv in enumerate(known[person]) if xyv[2] > 0}
        words = [f"{COCO17.keypoints[k]}={x},{y},{int(v)}" for k, (x, y, v) in true.items()]
        assert cli(project, "label", person, "--set", *words)[0] == 0
        labels |= {(person, k): (x, y) for k, (x, y, _) in true.items()}
    people = work.now(studio).people
    heights = dict(zip(people.instance_id.tolist(), people.box_xywh[:, 3].tolist(), strict=True))
    asked, told, right = by_hand(rows, labels, heights)
    assert 0 < right < told <= asked

    scores = studio.call("ledger_scores", run=run_id)
    assert scores["labeled_later"] == len(labels)
    training = scores["training"]
    assert (training["asked"], training["told"]) == (asked, told)
    assert training["precision"] == pytest.approx(right / told)
    assert training["recall"] == pytest.approx(right / asked)
    for one in scores["keypoints"]:
        place = COCO17.keypoints.index(one["name"])
        mine = {key: xy for key, xy in labels.items() if key[1] == place}
        asked, told, right = by_hand(rows, mine, heights)
        assert (one["asked"], one["precision"]) == (asked, pytest.approx(right / told))
    ends = [one["step"] for one in scores["steps"]]
    assert len(ends) <= hindsight.BINS and ends == sorted(set(ends))
    for begin, one in zip([0, *ends], scores["steps"], strict=False):
        stretch = [row for row in rows if begin < row["step"] <= one["step"]]
        asked, told, right = by_hand(stretch, labels, heights)
        assert (one["asked"], one["told"]) == (asked, told)
        assert one["recall"] == pytest.approx(right / asked)

    shown = cli(project, "runs", "show", run_id)[1]["pseudo_labels"]
    assert shown == hindsight.brief(scores) and shown["labeled_later"] == len(labels)


def test_the_pool_of_everybody_is_scored_too(trained):
    project, run_id, known = trained
    person = sorted(known)[6]
    code, done = cli(project, "pool", "--run", run_id)
    assert code == 0 and done["ledger"].endswith("pool.parquet")
    rows = pq.read_table(done["ledger"]).to_pylist()
    assert {row["step"] for row in rows} == {12}
    mine = {(row["keypoint"], row["voter"]): row for row in rows if row["instance_id"] == person}
    nose = mine[0, "a"] if "a" in mine[0, "a"]["teaches"] else mine[0, "b"]
    x, y = max(nose["x"], 0.0), max(nose["y"], 0.0)
    assert cli(project, "label", person, "--set", f"nose={x},{y},2")[0] == 0
    scores = Studio(project).call("ledger_scores", run=run_id)
    assert scores["pool"]["step"] == 12 and scores["pool"]["told"] == 2
    assert scores["pool"]["precision"] == 1.0 == scores["pool"]["recall"]
    assert "pseudo_labels" in cli(project, "pool", "--run", run_id)[1]


def test_labels_from_before_and_moved_ones_do_not_count(trained):
    project, run_id, known = trained
    run = RunFolder(project / "runs" / run_id)
    before = snapshots.read(project / "snapshots" / str(run.record()["snapshot"])).people
    now = work.now(Studio(project)).people
    later = hindsight.labeled_later(before, now)
    assert later[np.isin(now.instance_id, sorted(known)[:5])].any()
    assert not later[~np.isin(now.instance_id, sorted(known))].any()
    nobody = before.take(np.zeros(len(before), bool))
    assert not hindsight.labeled_later(nobody, now).any()
    some = np.random.default_rng(0).permutation(len(before))[:10]
    part = hindsight.labeled_later(before.take(some), now)
    assert (part == later & np.isin(now.instance_id, before.instance_id[some])[:, None]).all()
