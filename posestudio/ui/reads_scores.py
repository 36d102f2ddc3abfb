"""What the Evaluate page asks the studio for: who can be scored, stored scores, and comparisons."""

import contextlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from posestudio.errors import InputError, PoseStudioError
from posestudio.studio import ranking, scores
from posestudio.studio.jobs import Job, Jobs
from posestudio.studio.studio import Studio
from posestudio.studio.work import Student
from posestudio.ui import reads, texts

Record = dict[str, Any]
SPLITS = ("val", "train", "unlabeled")
STUDENTS = ("ensemble", "a", "b")
ALL_RUNS = "all runs"
"""Name of the job that scores every run again."""

NO_VAL = (
    "There is no val set yet: people who teach no run and only judge. Images offers to set some of your labeled people "
    "aside."
)
NO_VAL_NO_LABELS = (
    "There is no val set yet, and nobody is labeled. Label some people on Correct; Images then offers to set some "
    "aside. A COCO file that is dropped on Images can bring its own."
)
VAL_UNREVIEWED = (
    "Val has {people}, none with every keypoint decided. Label some on Correct, with the split val."
)


@dataclass(frozen=True, slots=True)
class Choice:
    """Whose score of whom: a run, a split, a student, with or without mirrored crops.

    imported: run is the name of an imported model, which has neither students nor mirrored crops.
    """

    run: str
    split: str = "val"
    student: str = "ensemble"
    flip: bool = False
    imported: bool = False

    @property
    def key(self) -> str:
        """The score's name in the run's scores.json."""
        if self.imported:
            return f"{self.split}-model"
        return "-".join([self.split, self.student, *(["flip"] if self.flip else [])])

    def checked(self) -> "Choice":
        """The same, if split and student are known.

        Raises:
            InputError: they are not.
        """
        if self.split not in SPLITS or self.student not in STUDENTS:
            raise InputError(f"There is no split {self.split!r} with a student {self.student!r}.")
        return self


def runs(studio: Studio) -> list[str]:
    """Ids of the runs with students, the newest first."""
    return [row["run_id"] for row in studio.call("runs") if row["usable"]]


def imported(studio: Studio) -> list[tuple[str, str]]:
    """(words, name) of the models whose predictions were imported, as a dropdown wants them."""
    return [(words, name) for name, words in reads.imported(studio)]


def splits(studio: Studio) -> dict[str, int]:
    """Splits by which something can be scored now, and how many reviewed people each has; val is always there."""
    counts = studio.call("splits")["splits"]
    return {
        split: counts[split]["reviewed"]
        for split in SPLITS
        if split == "val" or counts[split]["reviewed"]
    }


def why_nobody(studio: Studio) -> str:
    """Why nobody of val can be judged by, and what to do on which page."""
    counts = studio.call("splits")["splits"]
    there = counts["val"]["people"]
    if there:
        return VAL_UNREVIEWED.format(people=texts.count(there, "person", "people"))
    return NO_VAL if counts["train"]["reviewed"] else NO_VAL_NO_LABELS


def stored(studio: Studio, choice: Choice) -> Record | None:
    """The score that was made last for this choice, or None."""
    return scores.kept(studio, choice.run).get(choice.key)


def stale(record: Record, standings: Record) -> bool:
    """Whether the val labels changed since a score on them was made."""
    return record["split"] == "val" and record["revision"] != standings["revision"]


def standings(studio: Studio) -> Record:
    """Where runs stand; see `ranking.standings`. A project without skeleton has none."""
    try:
        return studio.call("standings")
    except PoseStudioError:
        return {"revision": "", "people": 0, "rough": True, "runs": [], "curve": ranking.curve([])}


def evaluate(studio: Studio, jobs: Jobs, choice: Choice) -> Job:
    """Score a choice in the background; the result is in the run's folder, and all runs rank again.

    Raises:
        PoseStudioError: another score is being made, or there is no such run.
    """
    choice.checked()
    run_id = choice.run if choice.imported else studio.call("run", run=choice.run)["run_id"]

    def work(job: Job) -> Any:
        found = scores.evaluate(
            studio, run=run_id, split=choice.split, student=cast(Student, choice.student), flip=choice.flip,
            progress=job.tell,
        )  # fmt: skip
        if choice.split == "val" and not choice.imported:
            ranking.refresh(studio, progress=job.tell)
        return found["run_id"]

    return jobs.start("evaluate", run_id, work)


def rank_all(studio: Studio, jobs: Jobs) -> Job:
    """Score the stored predictions of all runs on the newest val labels, in the background."""

    def work(job: Job) -> Any:
        return len(ranking.refresh(studio, progress=job.tell)["runs"])

    return jobs.start("evaluate", ALL_RUNS, work)


def compared(studio: Studio, choice: Choice, other: str) -> Record:
    """The later of two runs against the earlier, or {"missing": why not}."""
    older, newer = sorted((choice.run, other))
    try:
        return studio.call("compare_runs", run=newer, other=older, student=choice.student)
    except PoseStudioError as error:
        return {"missing": str(error)}


def pseudo_labels(studio: Studio, run: str) -> Record | None:
    """Precision and recall of a run's pseudo-labels; None where its ledger says nothing."""
    found: Record | None = None
    with contextlib.suppress(PoseStudioError):
        found = studio.call("ledger_scores", run=run)
    return found if found and (found["training"] or found["pool"]) else None


def stamp(studio: Studio, jobs: Jobs, run: str) -> tuple[str, str]:
    """(what the page shows of the work in hand, what it shows of the run's scores): each changes when that does."""
    job = jobs.last("evaluate")
    paths: list[Path] = [
        studio.run_folder(run) / "scores.json",
        scores.imported_file(studio.project, run),
    ]
    there = [path.stat().st_mtime_ns for path in paths if run and path.exists()]
    working = "" if job is None else f"{job.name} {job.at} {job.alive} {job.problem}"
    return working, f"{run} {there} {job.alive if job else ''}"


def command(studio: Studio, choice: Choice) -> str:
    """The command line that does the same."""
    student = [] if choice.imported else ["--student", choice.student]
    flip = ["--flip"] if choice.flip and not choice.imported else []
    return shlex.join(
        ["posestudio", "evaluate", "--run", choice.run, "--split", choice.split, *student, *flip, "--project",
         str(studio.project)]
    )  # fmt: skip
