"""A run's files stay whole when several write them at once."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from posestudio.train.run_folder import RunFolder

WRITERS, TIMES = 8, 40


def test_a_file_that_several_write_at_once_is_that_of_one_of_them(tmp_path: Path):
    folder = RunFolder(tmp_path)

    def write(who: int) -> None:
        for _ in range(TIMES):
            folder.write_json("ranking.json", {"who": [who] * 50 * (who + 1)})
            found = json.loads((tmp_path / "ranking.json").read_text())["who"]
            assert len(found) == 50 * (found[0] + 1) and len(set(found)) == 1

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    assert [path.name for path in tmp_path.iterdir()] == ["ranking.json"]


def test_no_field_is_lost_that_several_add_at_once(tmp_path: Path):
    folder = RunFolder(tmp_path)
    names = [f"val-{number}" for number in range(WRITERS * TIMES)]
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda name: folder.add_json("scores.json", {name: {"AP": 1}}), names))
    assert sorted(json.loads((tmp_path / "scores.json").read_text())) == sorted(names)
