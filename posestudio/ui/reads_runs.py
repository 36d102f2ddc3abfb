"""What the Train page asks the studio for: what there is to learn from, runs, and how the one in view goes."""

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posestudio import config
from posestudio.config import Config
from posestudio.errors import InputError, PoseStudioError
from posestudio.events import Event, Failed, Started, Stepped, Warned
from posestudio.studio import ledger, plan, ranking, settings
from posestudio.studio.follow import Followers
from posestudio.studio.jobs import Job, Jobs
from posestudio.studio.studio import Studio
from posestudio.train.run_folder import RunFolder

Record = dict[str, Any]
WEIGHTS_FOLDER = "weights"
WEIGHTS_KINDS = (".pth", ".pt", ".safetensors")
SCRATCH = ""
"""The choice of starting from no run."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form says of a training. amount: minutes, or steps when `by_steps`. changes: single settings."""

    preset: str
    size: str
    by_steps: bool
    amount: float
    start: str = SCRATCH
    weights: str = ""
    runner: str = "thread"
    changes: Mapping[str, str] = field(default_factory=dict)

    def all_changes(self) -> dict[str, str]:
        """The single settings with the length.

        Raises:
            InputError: the length is not above 0.
        """
        if not self.amount or self.amount <= 0:
            raise InputError("Say how long to train: a number above 0.")
        key = "train.steps" if self.by_steps else "train.minutes"
        return {**self.changes, key: str(int(self.amount) if self.by_steps else self.amount)}


@dataclass(frozen=True, slots=True)
class View:
    """A run as it is now.

    status: of its folder. at: (what, done, in all) of long work beside the steps. working: the app is at it;
    making_results: at its predictions and scores, the steps are over. problem: why the app's job ended early. usable:
    it has students; predicted: and predictions, with doubts of them.
    """

    run_id: str
    status: str
    events: list[Event]
    version: int
    at: tuple[str, int, int] | None
    working: bool
    making_results: bool
    problem: str | None
    usable: bool
    predicted: bool

    @property
    def stamp(self) -> str:
        """Changes with anything that the page shows of a run while it goes on."""
        return f"{self.run_id} {self.status} {self.version} {self.at} {self.working} {self.problem} {self.predicted}"

    @property
    def phase(self) -> str:
        """Changes when a run begins, ends, or has its results."""
        return f"{self.run_id} {self.status} {self.working} {self.making_results} {self.predicted}"

    @property
    def busy(self) -> bool:
        """Whether it trains, or its results are being made."""
        return self.working or self.status in ("running", "stopping")

    @property
    def resumable(self) -> bool:
        """Whether it can go on with the labels that it began with."""
        return not self.busy and self.status in ("queued", "stopped", "failed", "interrupted")

    @property
    def held_out(self) -> bool:
        """Whether something was said on held-out labels."""
        return any(type(event).__name__ == "Evaluated" for event in self.events)

    def last(self, kind: type) -> Any:
        """The last event of a kind, or None."""
        return next((event for event in reversed(self.events) if isinstance(event, kind)), None)

    def progress(self) -> tuple[int, int]:
        """(steps done, steps in all), 0 where it is not known yet."""
        started = self.last(Started)
        done = max((e.step for e in self.events if isinstance(e, Started | Stepped)), default=0)
        return done, started.steps if started else 0

    def warnings(self) -> list[Warned | Failed]:
        """What a person should read, oldest first."""
        return [event for event in self.events if isinstance(event, Warned | Failed)]


def view(studio: Studio, jobs: Jobs, followers: Followers, run_id: str) -> View:
    """How a run goes. Cheap enough for every second: no store, and of its events only what is new."""
    folder = RunFolder(studio.run_folder(run_id))
    events, version = followers.events(folder.path)
    job = jobs.current
    mine: Job | None = job if job is not None and job.name == run_id else None
    working = mine is not None and mine.alive
    return View(
        run_id, folder.status(), events, version, mine.at if mine and working else None, working,
        working and mine is not None and mine.trained, mine.problem if mine and not working else None,
        bool(folder.students()), ledger.whole(folder.path),
    )  # fmt: skip


def run_ids(studio: Studio) -> list[str]:
    """Ids of the runs whose folder is there, the newest first."""
    root = studio.project / "runs"
    found = (path.parent.name for path in root.glob("[0-9]*/config.json"))
    return sorted(found, reverse=True)


def choose(studio: Studio, jobs: Jobs, asked: str | None) -> str | None:
    """The run to show: the one asked for, else the one that trains here, else the newest; None without runs."""
    known = run_ids(studio)
    if asked in known:
        return asked
    job = jobs.current
    if job is not None and job.alive and job.name in known:
        return job.name
    return known[0] if known else None


def weights_files(studio: Studio) -> list[str]:
    """Names of the weights files that lie in PROJECT/weights."""
    folder = studio.project / WEIGHTS_FOLDER
    return sorted(p.name for p in folder.glob("*") if p.suffix in WEIGHTS_KINDS and p.is_file())


def weights_path(studio: Studio, name: str) -> str | None:
    """The file of a name that `weights_files` gave; None for none.

    Raises:
        InputError: there is no such file there.
    """
    if not name:
        return None
    if name not in weights_files(studio):
        raise InputError(f"There is no weights file {name} in {studio.project / WEIGHTS_FOLDER}.")
    return str(studio.project / WEIGHTS_FOLDER / name)


def base(studio: Studio, asked: Asked) -> Config:
    """The settings that hold when none is changed singly.

    Raises:
        PoseStudioError: preset, size or run are unknown.
    """
    inherited: Mapping[str, Any] = {}
    if asked.start:
        before = studio.call("run", run=asked.start)
        if asked.size == before["size"]:
            inherited = settings.inherited(before["settings"])
    return config.make(asked.preset, asked.size, dict(inherited))


def seconds(studio: Studio, asked: Asked, chosen: Config) -> tuple[float | None, str]:
    """How long training should take, and how that is known in words.

    Args:
        studio: the project.
        asked: the form.
        chosen: all settings, the changed ones too.
    """
    if not asked.by_steps:
        return asked.amount * 60, "the steps that fit are found by a short trial"
    pace = plan.seconds_a_step(studio.project, chosen)
    if pace is None:
        return None, "no such run was timed here yet; the rest shows after the first steps"
    return pace[0] * asked.amount, f"{pace[0]:.2f} s a step, as timed in {pace[1]}"


def command(studio: Studio, asked: Asked) -> str:
    """The command line that does the same, with predictions and doubts refreshed after it."""
    line = ["posestudio", "train", "--preset", asked.preset, "--size", asked.size]
    if asked.start:
        line += ["--from", asked.start]
    if asked.amount:
        line += (
            ["--steps", str(int(asked.amount))]
            if asked.by_steps
            else ["--minutes", f"{asked.amount:g}"]
        )
    if asked.weights and not asked.start:
        line += ["--weights", str(studio.project / WEIGHTS_FOLDER / asked.weights)]
    if asked.changes:
        line += ["--set", *(f"{key}={value}" for key, value in asked.changes.items())]
    if asked.runner == "process":
        line += ["--runner", "process"]
    where = ["--project", str(studio.project)]
    return f"{shlex.join([*line, *where])}\n{shlex.join(['posestudio', 'pool', *where])}"


def table(studio: Studio) -> list[Record]:
    """Runs, the newest first, each with "labeled", the people whose labels it was shown."""
    rows = studio.call("runs")
    made_of = [ranking.learned_from(studio.project, row["run_id"]) for row in rows]
    return [{**row, "labeled": one["people"]} for row, one in zip(rows, made_of, strict=True)]


def result(studio: Studio, run_id: str, rows: Sequence[Record]) -> Record | None:
    """AP of an ended run on val as the labels are now, beside the run before.

    Returns:
        "AP", "interval", "people", "rough" and perhaps "pck" and "mean_pose" (within 0.2) and "difference" as
        `compare_runs` gives it; or {"missing": words} when there is no score; None when it left nothing to score.
    """
    row = next((row for row in rows if row["run_id"] == run_id), None)
    if row is None or not row["usable"]:
        return None
    try:
        standing = studio.call("standings")
        mine = next((one for one in standing["runs"] if one["run_id"] == run_id), None)
        if mine is None or not standing["people"]:
            return {"missing": "no val set" if mine else "no predictions"}
        if not mine["current"]:
            mine = studio.call("rank", run=run_id)
    except PoseStudioError as error:
        return {"missing": str(error)}
    if mine["AP"] is None:
        return {"missing": f"no score: {mine['why']}"}
    found = {
        "AP": mine["AP"], "interval": mine["interval"], "people": standing["people"],
        "rough": standing["rough"],
    }  # fmt: skip
    if row["metrics"].get("revision") == standing["revision"]:
        found["pck"] = row["metrics"].get("pck@0.2")
        found["mean_pose"] = row["metrics"].get("mean_pose_pck@0.2")
    other = ranking.before(rows, run_id)
    if other is not None:
        with contextlib.suppress(PoseStudioError):  # that one has no predictions of these people
            found["difference"] = studio.call("compare_runs", run=run_id, other=other)
    return found


def compared(studio: Studio, run_id: str, other: str) -> Record:
    """What differs between two runs, the older first, with "val": `compare_runs`, or the reason why there is none."""
    older, newer = sorted((run_id, other))
    found = studio.call("run_diff", run=older, other=newer)
    try:
        found["val"] = studio.call("compare_runs", run=newer, other=older)
    except PoseStudioError as error:
        found["val"] = {"missing": str(error)}
    return found


def details(studio: Studio, run_id: str) -> Record:
    """A run as the verb `run` shows it, with "changed": its settings that preset and size do not give."""
    run = studio.call("run", run=run_id)
    plain = config.flat(config.make(run["preset"], run["size"]))
    given = run["settings"]
    return {**run, "changed": {key: given[key] for key in plain if given.get(key) != plain[key]}}


def holds_out(studio: Studio, run_id: str) -> bool:
    """Whether a run keeps labels out of training, to look at."""
    data = RunFolder(studio.run_folder(run_id)).config().data
    return data.hold_fold or data.cross_fit > 0
