"""The page docs/api.md: every snippet of it runs, in order, against an open studio."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from posestudio.studio.demo import make_demo
from posestudio.studio.studio import Studio
from posestudio.ui import api

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    project = tmp_path_factory.mktemp("api") / "project"
    make_demo(project, counts={"train": 16, "val": 4}, labeled=5)
    command = [
        sys.executable,
        "-m",
        "posestudio",
        "serve",
        "--project",
        str(project),
        "--port",
        "0",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            found = re.search(r"open at (http://127\.0\.0\.1:\d+) ", line)
            if found:
                yield found[1], project
                break
        else:
            pytest.fail(f"the studio did not open:\n{''.join(said)}")
        process.terminate()


def test_every_snippet_runs(address: tuple[str, Path], capsys: pytest.CaptureFixture[str]):
    url, project = address
    known: dict = {}
    assert len(SNIPPETS) >= 5
    for snippet in SNIPPETS:
        code = snippet.replace("http://127.0.0.1:7860", url).replace("data/project", str(project))
        exec(compile(code, str(PAGE), "exec"), known)
    said = capsys.readouterr().out
    assert "20 photos" in said
    assert re.search(r"AP \d+\.\d on val", said)
    assert "There is no person 1000000000" in said
    rows = known["studio"].call("history", instance_id=known["person"])
    assert [rows[-1][key] for key in ("who", "x", "y", "v")] == ["my script", 52.0, 61.5, 1]


def test_an_endpoint_has_the_verbs_own_arguments(address: tuple[str, Path]):
    call = api.endpoint(Studio(address[1]), "queue")
    assert call(limit=2) == Studio(address[1]).call("queue", limit=2)
