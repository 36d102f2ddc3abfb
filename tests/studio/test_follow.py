"""Following a run's events file: only what is new, torn lines, a resume that makes it shorter."""

from pathlib import Path

from posestudio.events import Saved, to_line
from posestudio.studio.follow import KEPT, Followers


def test_new_lines_come_once_and_a_torn_one_when_it_is_whole(tmp_path: Path):
    followers, path = Followers(), tmp_path / "events.jsonl"
    assert followers.events(tmp_path) == ([], 0)
    path.write_text(to_line(Saved(1)) + to_line(Saved(2))[:5])
    assert followers.events(tmp_path) == ([Saved(1)], 1)
    assert followers.events(tmp_path) == ([Saved(1)], 1)
    path.write_text(to_line(Saved(1)) + to_line(Saved(2)))
    assert followers.events(tmp_path) == ([Saved(1), Saved(2)], 2)


def test_a_resume_that_drops_events_is_read_from_the_start(tmp_path: Path):
    followers, path = Followers(), tmp_path / "events.jsonl"
    path.write_text("".join(to_line(Saved(n)) for n in range(1, 6)))
    _, before = followers.events(tmp_path)
    path.write_text(to_line(Saved(1)))
    events, after = followers.events(tmp_path)
    assert events == [Saved(1)] and after > before


def test_what_is_handed_out_does_not_grow_and_few_runs_are_kept(tmp_path: Path):
    followers = Followers()
    for number in range(KEPT + 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "events.jsonl").write_text(to_line(Saved(number)))
        events, _ = followers.events(folder)
        events.append(Saved(99))
        assert followers.events(folder)[0] == [Saved(number)]
    assert len(followers._kept) == KEPT
