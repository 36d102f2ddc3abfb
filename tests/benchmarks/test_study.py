"""A cell's settings, length, name and command follow from what it is."""

import shlex

import pytest

from benchmarks import label_budget
from benchmarks.budget import study
from benchmarks.budget.study import Cell
from posestudio.errors import ConfigError


def quick(arm: str, budget: int = 100, **more) -> Cell:
    return Cell("lspet", "quick", arm, budget, more.pop("seed", 0), **more)


def test_arms_train_for_the_same_time():
    for arm, cost in study.COSTS.items():
        steps = quick(arm).steps()
        assert steps % 250 == 0 and abs(steps * cost - 3000) <= 125 * cost
    assert quick("posedual").steps() == 3000
    assert quick("posedual", times=3).steps() == 9000


def test_an_arm_of_unknown_cost_is_not_guessed():
    with pytest.raises(ConfigError, match="cost --arms posecons"):
        quick("posecons").steps()


def test_the_start_follows_its_table_and_a_power_law_beyond():
    steps = [quick("start", budget).steps() for budget in (50, 100, 200, 500, 1000)]
    assert steps[1] == 1500 and steps[3] == 4000
    assert steps == sorted(steps) and all(count % 250 == 0 for count in steps)


def test_all_arms_share_everything_but_the_method():
    shared = ("model.", "data.", "train.")
    flat = [
        study.settings.flat(quick(arm).config())
        for arm in ("supervised", "posedual", "paper", "all")
    ]
    for one in flat[1:]:
        other = {key for key in one if key.startswith(shared) and one[key] != flat[0][key]}
        assert other <= {"train.steps"}
    start = quick("start").config()
    assert (
        start.data.cross_fit == 0.2 and start.preset == "supervised" and start.views.students == 2
    )
    assert flat[0]["data.cross_fit"] == 0 and flat[1]["loss.ramp"] == 300


def test_oracles_are_best_with_the_truth():
    best, select, accept = (
        study.settings.flat(Cell("rendered", "brief", arm, 100, 0).config())
        for arm in ("best", "oracle_select", "oracle_filter")
    )
    assert best == accept
    assert {key for key in best if best[key] != select[key]} == {"pool.share"}
    with pytest.raises(ConfigError, match="rendered"):
        quick("oracle_filter").config()


def test_settings_of_the_arm_win_over_those_of_the_study():
    cell = quick(
        "paper:select.rule=cross,pool.aggregate=mean",
        changes={"pool.aggregate": "cluster", "train.lr": "0.01"},
    )
    config = cell.config()
    assert (config.select.rule, config.pool.aggregate, config.train.lr) == ("cross", "mean", 0.01)
    assert cell.start.config().train.lr == 0.01 and cell.start.config().pool.aggregate == "cluster"
    assert cell.steps() == quick("paper").steps()


def test_names_tell_cells_apart_and_fit_a_file_system():
    cells = [
        quick("paper"), quick("paper", times=3), quick("paper", seed=1), quick("paper", 500),
        quick("paper:select.rule=cross"), quick("paper:select.rule=cross,pool.aggregate=mean"),
        quick("paper", changes={"train.lr": "0.01"}), quick("start"),
        *(quick("paper", changes={"train.lr": "0.01", "a" * 100: value}) for value in "12"),
    ]  # fmt: skip
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names) and max(map(len, names)) <= 120
    assert not set("".join(names)) & set('/\\:*?"<>|, ')
    assert {
        cell.start.name
        for cell in cells
        if cell.budget == 100 and not cell.changes and cell.seed == 0
    } == {"lspet-quick-start-100-s0"}


def test_arms_with_settings_are_read_from_one_list():
    listed = "posedual,best:select.rule=cross,pool.aggregate=max,paper,all"
    arms = ["posedual", "best:select.rule=cross,pool.aggregate=max", "paper", "all"]
    assert study.split_arms(listed) == arms


def test_the_command_of_a_cell_is_that_cell():
    cell = quick("paper:select.rule=cross", 500, seed=3, times=3, changes={"train.lr": "0.01"})
    words = shlex.split(study.command(cell, "../data/lspet", "../w.pth"))
    assert words[:3] == ["python", "benchmarks/label_budget.py", "cell"]
    asked = label_budget.parser().parse_args(words[2:])
    assert label_budget.cell_of(asked) == cell and asked.weights == "../w.pth"


def test_a_setting_without_a_value_is_refused():
    with pytest.raises(ConfigError, match="key=value"):
        study.pairs(["train.lr"])
