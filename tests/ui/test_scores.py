"""The Evaluate and Export pages' reading of scores: who can judge, memory, worst people drawn, imported models."""

import json
import re
import shlex

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from posestudio.core.skeleton import COCO17
from posestudio.studio import demo, evidence, exports, scores, work
from posestudio.studio.jobs import Job, Jobs
from posestudio.studio.studio import Studio, create
from posestudio.ui import cards, crops, reads_scores, score_cards, skeletons
from posestudio.ui.reads_scores import Choice
from posestudio.ui.tabs import evaluate, export

MODEL = "my model; v2"


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a demo") / "my project"
    demo.make_demo(folder, seed=5, counts={"train": 6, "val": 4}, labeled=4)
    with Studio(folder, hold=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def run(studio) -> str:
    return reads_scores.runs(studio)[0]


@pytest.fixture(scope="module")
def imported(studio) -> str:
    """A model whose predictions came from elsewhere: here, from the run."""
    file = exports.prepare(studio, "predictions", {})
    studio.call("import_predictions", file=str(file), name=MODEL)
    return MODEL


def judge(studio) -> evaluate.Judge:
    with gr.Blocks() as page:
        tab = evaluate.evaluate_tab(studio, Jobs(studio), page)
    return evaluate.Judge(studio, Jobs(studio), tab)


def test_people_whom_the_run_learned_are_told_beside_the_numbers(studio, run):
    record = scores.evaluate(studio, split="train")
    people = work.now(studio).people
    people = people.take((people.split == "train") & people.reviewed & ~people.iscrowd)
    learned = int(evidence.learned(studio.project, run, people).sum())
    assert 0 < learned == record["remembered"] and record["learned"] == 0
    assert record["people"] == len(people)
    said = score_cards.numbers(record, stale=False)
    assert f"{learned} of these {record['people']} people were learned by this run" in said
    val = scores.evaluate(studio)
    assert val["remembered"] == 0 and "learned by" not in score_cards.numbers(val, stale=False)
    before = {key: value for key, value in record.items() if key != "remembered"}
    assert "more of memory" in score_cards.numbers(before, stale=False)


def test_only_splits_with_labels_are_offered(studio, run):
    offered = reads_scores.splits(studio)
    assert list(offered) == ["val", "train"] and min(offered.values()) > 0
    deeds = judge(studio)
    shown = deeds.page(Choice(run, "unlabeled"), None)
    assert shown[deeds.tab.split].value == "val"
    assert [value for _, value in shown[deeds.tab.split].choices] == ["val", "train"]


def test_why_nobody_can_judge_names_pages_before_commands(studio, tmp_path):
    create(tmp_path / "empty", COCO17.to_dict())
    with Studio(tmp_path / "empty", hold=True) as empty:
        why = reads_scores.why_nobody(empty)
    assert "Correct" in why and "posestudio" not in why
    assert why in score_cards.empty([MODEL], why)
    people = work.now(studio).people
    for split in ("val", "train"):
        for some in (people.take(slice(0, 0)), people.take(~people.reviewed)):
            said = scores.nobody(some, split)
            page = re.search(r"Images|Correct", said)
            assert page and page.start() < said.index("posestudio")


def test_the_worst_people_are_drawn_on_their_crop(studio, run):
    record = scores.evaluate(studio)
    skeleton = studio.skeleton()
    said = score_cards.worst(record, skeleton)
    case = record["worst"][0]
    assert (
        said.count("<svg") == len(record["worst"]) and "ps-label" in said and "ps-predicted" in said
    )
    assert f"correct?instance={case['instance_id']}&amp;run={run}" in said
    square = skeletons.Square.of(case["box"])
    left, top, width, _ = map(float, re.findall(r'viewBox="(\S+) (\S+) (\S+) (\S+)"', said)[0])
    assert (left + 0.5, top + 0.5, width, width) == pytest.approx(
        crops.around(square.x, square.y, square.size), abs=0.06
    )
    assert case["labels"][5] is not None and f'cx="{case["labels"][5][0]:g}"' in said
    app = FastAPI()
    app.include_router(crops.routes(studio))
    answer = TestClient(app).get("/" + square.source(case["image_id"], 320).replace("&amp;", "&"))
    assert answer.status_code == 200
    for old in record["worst"]:  # scores that an earlier version made
        for name in ("box", "labels", "points"):
            del old[name]
    assert "<svg" not in score_cards.worst(record, skeleton)


def test_an_imported_model_is_scored_kept_and_forgotten_with_people(studio, run, imported):
    assert dict(reads_scores.imported(studio)) == {f"{MODEL} · imported": MODEL}
    choice = Choice(MODEL, "val", "a", True, imported=True)
    assert reads_scores.stored(studio, choice) is None
    jobs = Jobs(studio)
    before = reads_scores.stamp(studio, jobs, MODEL)
    job = reads_scores.evaluate(studio, jobs, choice)
    job.thread.join(120)
    assert job.problem is None and reads_scores.stamp(studio, jobs, MODEL) != before
    record = reads_scores.stored(studio, choice)
    assert record and record["AP"] == scores.evaluate(studio, run=run)["AP"] and not record["flip"]
    said = score_cards.worst(record, studio.skeleton())
    assert "run=my%20model%3B%20v2" in said and "Inspect" not in said
    deeds = judge(studio)
    shown = deeds.choose(MODEL, "val", "ensemble", False, run)
    assert shown[deeds.tab.student].visible is False and "Imported" in shown[deeds.tab.scores]
    line = shlex.split(reads_scores.command(studio, choice))
    assert line[:4] == ["posestudio", "evaluate", "--run", MODEL] and "--student" not in line
    kept = scores.imported_file(studio.project, MODEL)
    assert list(json.loads(kept.read_text())) == ["val-model"]
    gone = record["worst"][0]["instance_id"]
    studio.call("delete", people=[gone], who="me")
    assert not kept.exists()  # it named where this person's keypoints are


def test_commands_survive_blanks_in_paths(studio, run):
    line = shlex.split(reads_scores.command(studio, Choice(run, flip=True)))
    assert line[-2:] == ["--project", str(studio.project)] and "--flip" in line
    with gr.Blocks() as page:
        tab = export.export_tab(studio, Jobs(studio), page)
    shown = export.Exporter(studio, Jobs(studio), tab).choose("predictions", MODEL, "a", "val")
    (command,) = shown.values()
    text = re.sub(r".*<pre[^>]*>|</pre>.*", "", command).replace("&#x27;", "'")
    words = ["--run", MODEL, "--student", "a", "--split", "val", "--project", str(studio.project)]
    assert shlex.split(text) == ["posestudio", "export", "predictions", "predictions.json", *words]


def test_predictions_of_an_imported_model_can_be_prepared_and_nothing_else_of_it(
    studio, run, imported
):
    with gr.Blocks() as page:
        tab = export.export_tab(studio, Jobs(studio), page)
    shown = export.Exporter(studio, Jobs(studio), tab).open()
    names = {
        kind: [name for _, name in shown[card.options["run"]].choices]
        for kind, card in tab.cards.items()
        if "run" in card.options
    }
    assert names == {"predictions": [run, imported], "model": [run], "onnx": [run]}
    for name in (imported, "odd/.. name" * 8):
        studio.call(
            "import_predictions", file=str(exports.prepare(studio, "predictions", {})), name=name
        )
        file = exports.prepare(studio, "predictions", {"run": name, "student": "ensemble"})
        assert exports.find(studio, file.name) == file and json.loads(file.read_text())


def test_exports_say_what_is_being_done_and_how_far(studio):
    told: list[tuple[str, int, int]] = []
    file = exports.prepare(studio, "yolo", {}, progress=lambda *at: told.append(at))
    assert told[0] == ("writing labels and copying photos", 0, 0)
    packing = [at for at in told if at[0] == "packing files"]
    assert [done for _, done, _ in packing] == list(range(packing[0][2])) and file.suffix == ".zip"


def test_progress_says_what_and_how_far_only_where_that_is_known():
    assert "4 of 10" in cards.progress("run: ", ("predicting", 4, 10))
    assert 'value="40.0"' in cards.progress("run: ", ("predicting", 4, 10))
    endless = cards.progress("<run>: ", ("scoring", 0, 0))
    assert "value" not in endless and "scoring …" in endless and "<run>" not in endless


def test_the_page_says_that_it_reads_until_there_are_numbers(studio):
    assert "Reading scores" in judge(studio).tab.scores.value
    job = Job("evaluate", "run")
    assert score_cards.working(job) == ""  # it has not begun
