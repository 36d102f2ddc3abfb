"""The grammar and the manners of the command line; what verbs do is tested in tests/studio."""

import json
import subprocess
import sys
import time

import pytest

from posestudio.cli import main as cli
from posestudio.cli import runs as cli_runs
from posestudio.cli import show


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys\nfrom posestudio.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'gradio', 'duckdb', 'numpy', 'cv2'} & set(sys.modules)\nassert not heavy, heavy"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 5
    for verb in ("init", "demo", "import", "train", "stop", "runs", "predict", "pool", "queue", "label", "accept",
                 "box", "split", "history", "evaluate", "snapshot", "verify",
                 "backup", "restore", "delete", "export", "serve"):  # fmt: skip
        assert f"\n    {verb} " in done.stdout, verb


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["nonsense"],
        ["runs", "--nonsense"],
        ["train", "--steps", "x"],
        ["train", "--steps", "3", "--minutes", "1"],
        ["label", "1"],
        ["export", "onnx"],
        ["predict"],
        ["import", "coco", "x"],
        ["box", "1", "--set", "1,2,30,40", "--hide"],
        ["box", "1", "--restore", "--set", "1,2,30,40"],
        ["box", "--image", "1", "--hide", "--set", "1,2,30,40"],
    ],
)
def test_wrong_usage_is_2(line, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(line)
    assert end.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", [["--project", "P", "--json", "project"], ["--json", "runs", "--project", "P"]]
)
def test_common_options_stand_before_or_after(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "--project", "P"]) == 0
    capsys.readouterr()
    line = ["runs" if word == "project" else word for word in line]
    assert cli.main(line) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_no_project_is_1_with_a_way_out(tmp_path, capsys):
    assert cli.main(["runs", "--project", str(tmp_path / "none")]) == 1
    said = capsys.readouterr()
    assert said.out == "" and "posestudio init" in said.err and len(said.err.splitlines()) <= 2


def test_init_twice_and_a_skeleton(tmp_path, capsys):
    body = {"keypoints": ["head", "left_hand", "right_hand"], "skeleton": [[1, 2], [1, 3]]}
    (tmp_path / "s.json").write_text(json.dumps({"categories": [body]}))
    line = [
        "init",
        "--project",
        str(tmp_path / "p"),
        "--skeleton",
        str(tmp_path / "s.json"),
        "--json",
    ]
    assert cli.main(line) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["skeleton"]["keypoints"] == body["keypoints"]
    assert cli.main(line) == 1
    assert "already" in capsys.readouterr().err


def test_text_tables():
    text = show.table([{"a": 1, "b": 0.5}, {"a": 100, "b": None}], ["a", "b"])
    assert text.splitlines() == ["a    b", "1    0.500", "100  -"]
    assert show.table([], ["a"], "None yet.") == "None yet."
    assert (
        show.pairs({"x_y": 1, "in": {"z": True}, "list": [1, 2]})
        == "x y: 1\nin:\n  z: yes\nlist: 1, 2"
    )
    assert show.listed(["a"] * 12, 10).endswith("and 2 more")


def test_a_log_does_not_keep_every_state_of_the_progress_bar(capsys: pytest.CaptureFixture[str]):
    with cli_runs._Bar("0001-calm-owl") as bar:
        for done in range(1000):
            bar.preparing("cutting crops", done + 1, 1000)
    assert capsys.readouterr().err.count("cutting crops") < 5
