"""Tables, intervals and curves from lines and rows made by hand, where what must come out is known."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from benchmarks import label_budget
from benchmarks.budget import cell as cells
from benchmarks.budget import curves, intervals, scores, table
from benchmarks.budget.study import Cell

PEOPLE = {"dev": 20, "val": 60, "test2": 90}
QUALITY = {"start": 0.45, "supervised": 0.55, "posedual": 0.62, "best": 0.72, "all": 0.85}


def rows(split: str, quality: float, seed: int) -> scores.Rows:
    """People whose OKS lies around `quality`; the same people are hard in every cell."""
    count = PEOPLE[split]
    hard = np.random.default_rng(len(split)).normal(0, 0.15, count)
    noise = np.random.default_rng([seed, round(1000 * quality)]).normal(0, 0.02, count)
    oks = np.clip(quality - hard + noise, 0, 1)
    return {
        "instance": np.arange(count, dtype=np.int32), "score": np.clip(0.5 * oks + 0.2, 0, 1),
        "oks": oks, "oks_mirrored": np.zeros(count), "near10": np.full(count, 6, np.int8),
        "near20": np.full(count, 9, np.int8), "labeled": np.full(count, 12, np.int8),
    }  # fmt: skip


def finish(results: Path, arm: str, seed: int, *, times: int = 1, **changes: object) -> None:
    """Leave what a finished cell leaves."""
    name = Cell("lspet", "quick", arm, 100, seed, times).name
    quality = QUALITY[arm] + 0.02 * (times - 1)
    made = {
        (split, variant): rows(split, quality, seed)
        for split in PEOPLE
        for variant in ("a", "b", "ensemble", "ensemble_flip", "a_flip", "b_flip", "a_jitter")
    }
    scores.write(results / "label_budget" / f"{name}.parquet", made)
    curve = [
        {
            "step": step,
            "core_minutes": step / 100,
            "ap_a": quality * step / 1000,
            "ap_b": quality * step / 1000,
        }
        for step in range(250, 1001 if arm != "best" else 751, 250)
    ]
    line = {
        "cell": name, "setting": "quick", "dataset": "lspet", "arm": arm, "budget": 100, "seed": seed, "times": times,
        "ap": 0.1, "test2_ap": 0.2, "steps": 1000, "core_minutes": 30.0, "start_core_minutes": 10.0,
        "curve": curve, "mechanism": {"kept": quality}, "settings": {"train.seed": seed}, "commit": "abc",
        "device": "cpu", "torch": "2", **changes,
    }  # fmt: skip
    with (results / "label_budget.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two seeds of three arms, their starts, a ceiling and one longer cell."""
    (tmp_path / "label_budget").mkdir()
    for arm in ("start", "supervised", "posedual", "best"):
        for seed in (0, 1):
            finish(tmp_path, arm, seed)
    finish(tmp_path, "all", 0)
    finish(tmp_path, "posedual", 0, times=3)
    return tmp_path


def grid(text: str) -> dict[str, dict[str, str]]:
    """A Markdown table by its first column."""
    head, _, *body = (line[2:-2].split(" | ") for line in text.splitlines())
    return {row[0]: dict(zip(head, row, strict=True)) for row in body}


def test_the_main_table_says_means_spread_and_share_of_the_gap(results: Path):
    study = table.load(results, "lspet", "quick", {})
    found = {arm: table.summary(study, study.of(arm, 100)) for arm in study.arms(100)}
    made = grid(table.results_table(study, 100, found))
    assert list(made) == ["start", "supervised", "posedual", "best", "all"]
    pooled = [
        scores.ap(
            scores.joined(rows(split, QUALITY["posedual"], seed) for split in ("val", "test2"))
        )
        for seed in (0, 1)
    ]
    mine = made["posedual"]
    assert mine["seeds"] == "2" and mine["PCK@0.2"] == "75.0"
    assert mine["AP"] == f"{100 * np.mean(pooled):.1f} ± {100 * np.std(pooled, ddof=1):.1f}"
    assert (mine["AP val"], mine["AP test2"]) == ("10.0", "20.0")
    assert mine["AP per core-hour"] == f"{100 * np.mean(pooled) / (40 / 60):.1f}"
    assert (made["supervised"]["share of gap"], made["all"]["share of gap"]) == ("0%", "100%")
    ap = {arm: found[arm]["ap"].mean() for arm in found}
    share = (ap["best"] - ap["supervised"]) / (ap["all"] - ap["supervised"])
    assert made["best"]["share of gap"] == f"{share:.0%}" and 0 < share < 1


def test_a_true_gain_excludes_0_and_none_does_not(results: Path):
    study = table.load(results, "lspet", "quick", {})
    made = grid(table.gains_table(study, 100, draws=300))
    gain = made["best - posedual"]
    assert gain["excludes 0"] == "yes" and gain["seeds"] == "2" and gain["AP"].startswith("+")
    assert "paper - posedual" not in made


def test_the_interval_of_a_gain_is_paired_and_covers_it():
    weights = intervals.weights_of(150, 400)
    assert (weights[0] == 1).all() and (weights.sum(axis=1) == 150).all()
    sample = {
        arm: {
            seed: intervals.mean_ap([rows("val", quality, seed)] * 2, weights[:, :60])
            for seed in range(4)
        }
        for arm, quality in (("one", 0.6), ("other", 0.66))
    }
    made = intervals.gain(sample["one"], sample["other"])
    assert made is not None and made.seeds == 4
    assert made.interval[0] < made.value < made.interval[1] and made.interval[0] > 0
    assert made.relative_interval[0] < made.relative < made.relative_interval[1]
    wide = np.quantile(sample["other"][0], [0.025, 0.975])
    assert made.interval[1] - made.interval[0] < wide[1] - wide[0]  # pairing takes out who is hard
    same = intervals.gain(sample["one"], sample["one"])
    assert same is not None and same.value == 0 and same.interval == (0.0, 0.0)
    assert intervals.gain({0: sample["one"][0]}, {1: sample["one"][1]}) is None


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_few_seeds_count_as_few(seeds: int):
    """Of 95 % intervals over seeds that scatter about a true gain, 95 % hold it, be there two seeds or five."""
    random = np.random.default_rng(0)
    held = 0
    for study in range(400):
        found = 0.02 + 0.01 * random.standard_normal(seeds)
        arms = [{s: np.full(401, at) for s, at in enumerate(ap)} for ap in (0 * found, found)]
        made = intervals.gain(*arms, seed=study)
        assert made is not None
        held += made.interval[0] <= 0.02 <= made.interval[1]
    assert 0.92 <= held / 400 <= 0.98


def test_the_first_weighting_is_the_sample_itself():
    mine = [rows("val", 0.6, seed) for seed in (0, 1)]
    value = intervals.mean_ap(mine, intervals.weights_of(60, 3))[0]
    assert value == pytest.approx(np.mean([scores.ap(one) for one in mine]), abs=1e-12)


def test_curves_are_read_at_equal_steps_and_at_equal_cost(results: Path):
    study = table.load(results, "lspet", "quick", {})
    made = grid(table.readings_table(study, 100))
    assert made["posedual"]["at step 750"] == f"{100 * 0.62 * 0.75:.1f}"
    assert made["posedual"]["at 7.5 core-minutes"] == f"{100 * 0.62 * 0.75:.1f}"
    assert made["posedual"]["at the end"] == f"{100 * 0.62:.1f}"
    assert made["best"]["at the end"] == f"{100 * 0.72 * 0.75:.1f}"


def test_what_was_not_run_is_listed(results: Path):
    absent = table.missing(table.load(results, "lspet", "quick", {}))
    assert "best at 100 labels: seeds 2, 3, 4" in absent
    assert "paper at 100 labels: seeds 0, 1, 2, 3, 4" in absent
    assert "best at 100 labels, 3 times as long: seeds 0" in absent
    assert not any(line.startswith(("posedual at 100 labels, 3", "all at 100")) for line in absent)


def test_cells_of_other_settings_are_another_study(results: Path):
    name = Cell("lspet", "quick", "posedual", 100, 2, 1, {"train.lr": "0.1"}).name
    line = json.loads((results / "label_budget.jsonl").read_text().splitlines()[-1])
    with (results / "label_budget.jsonl").open("a") as file:
        file.write(json.dumps({**line, "cell": name, "seed": 2, "times": 1}) + "\n")
    study = table.load(results, "lspet", "quick", {})
    assert [line["seed"] for line in study.of("posedual", 100)] == [0, 1]


def test_seeds_with_different_settings_are_pointed_out(results: Path):
    finish(results, "supervised", 3, settings={"train.seed": 3, "train.lr": 0.5})
    study = table.load(results, "lspet", "quick", {})
    assert table.mixed(study) == ["supervised at 100 labels: seeds differ in train.lr"]


def test_the_curves_are_a_figure_with_every_arm(results: Path):
    study = table.load(results, "lspet", "quick", {})
    names = curves.write(study, results)
    tree = ET.parse(results / names[100])
    texts = [node.text for node in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert {"supervised", "posedual", "best", "all"} <= set(texts)
    assert len(list(tree.iter("{http://www.w3.org/2000/svg}polyline"))) == 4
    starts = {line["seed"]: line for line in study.of("start", 100)}
    curve = curves.curve_of(study.of("best", 100), starts)
    assert curve[0].tolist() == [0, 2.5, 5.0, 7.5] and curve[1][0] == pytest.approx(45.0)


def test_the_table_verb_writes_the_page_and_prints_it(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    words = ["label_budget.py", "table", "--results", str(results), "--draws", "50"]
    monkeypatch.setattr("sys.argv", words)
    assert label_budget.main() == 0
    page = (results / "label_budget.md").read_text()
    assert page == capsys.readouterr().out
    for part in ("## 100 labels", "label_budget_lspet_quick_100.svg", "## Longer", "Not run:"):
        assert part in page
    assert cells.finished(results)
    monkeypatch.setattr("sys.argv", [*words, "--dataset", "other"])
    assert label_budget.main() == 1
