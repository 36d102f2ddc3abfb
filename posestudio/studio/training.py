"""Train a run: make it, train it, and make of its students what the pages show. Also `posestudio train`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from posestudio import config, events
from posestudio.errors import NotFound, TrainingError
from posestudio.studio import evidence, scores, settings, work
from posestudio.studio.work import Progress
from posestudio.train.run_folder import RunFolder

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio

Stop = Callable[[], bool]
Listener = Callable[[events.Event], None]


class Train(Protocol):
    """Whoever trains a run folder to its end: this process, or a child."""

    def __call__(
        self,
        folder: Path,
        *,
        stop: Stop | None,
        on_event: Listener | None,
        progress: Progress | None,
    ) -> None:
        """Train `folder`; the same arguments as `train_here`."""
        ...


def train_here(
    folder: Path,
    *,
    stop: Stop | None = None,
    on_event: Listener | None = None,
    progress: Progress | None = None,
) -> None:
    """Train a run folder in this thread."""
    from posestudio.train import worker  # lazy: torch

    worker.run(folder, stop=stop, on_event=on_event, progress=progress)


def start(
    studio: "Studio",
    *,
    preset: str | None = None,
    size: str | None = None,
    changes: Mapping[str, str] | None = None,
    from_run: str | None = None,
    weights: str | None = None,
) -> dict[str, Any]:
    """Make a run: freeze the labels, write its folder, register it. Nothing is trained yet.

    Args:
        studio: the project.
        preset: a key of config.PRESETS; see `settings.advised` when absent.
        size: a key of config.SIZES; that of the run to start from, or by the device, when absent.
        changes: dotted settings to values.
        from_run: the run whose students are the start; its model.* and data.* settings hold unless changed.
        weights: ImageNet weights on disk, for a run that starts from none.

    Returns:
        {"run_id", "snapshot_id", "labeled", "val", "notes": lines for the user}.

    Raises:
        ConfigError, InputError, NotFound, TrainingError: it cannot be made.
    """
    changes = dict(changes or {})
    if from_run is not None:
        before = studio.call("run", run=from_run)
        from_run, size = before["run_id"], size or before["size"]
        if size == before["size"]:
            changes = {**settings.inherited(before["settings"]), **changes}
    if weights is not None and not Path(weights).is_file():
        raise NotFound(f"No weights file at {weights}.")
    if preset is None:
        unlabeled = studio.call("learning")["unlabeled"] if from_run else 0
        preset = settings.advised(from_run is not None, unlabeled)
    chosen = settings.complete(preset, size, changes)
    return studio.call(
        "start_run", settings=config.to_dict(chosen), from_run=from_run, weights=weights
    )


def resumable(studio: "Studio", run: str) -> str:
    """The id of a run that can go on; a stop that nobody was there to hear is forgotten.

    Raises:
        TrainingError: it is done, or is training somewhere.
    """
    found = studio.call("run", run=run)
    if found["status"] in ("running", "stopping"):
        raise TrainingError(
            f"Run {found['run_id']} is training already. Stop it first: on Train, or posestudio stop {found['run_id']}"
        )
    if found["status"] == "done":
        raise TrainingError(
            f"Run {found['run_id']} is done. Start another from it: on Train, or posestudio train --from "
            f"{found['run_id']}"
        )
    RunFolder(studio.run_folder(found["run_id"])).forget_stop()
    return found["run_id"]


def carry_out(
    studio: "Studio",
    run_id: str,
    *,
    train: Train = train_here,
    stop: Stop | None = None,
    on_event: Listener | None = None,
    progress: Progress | None = None,
    pooled: bool = False,
) -> dict[str, Any]:
    """Train a run, then `follow_up`.

    Returns:
        The run as verb `run` shows it, with "scores" on val (None without val people that it did not learn).

    Raises:
        TrainingError: the run cannot go on; it is registered as failed.
    """
    folder = RunFolder(studio.run_folder(run_id))
    try:
        train(folder.path, stop=stop, on_event=on_event, progress=progress)
    except BaseException:
        if not folder.alive():
            studio.call("note_run", run_id=run_id)
        raise
    shown = studio.call("note_run", run_id=run_id)
    if shown["status"] == "done":
        folder.state_path.unlink(
            missing_ok=True
        )  # only a run that is not done can go on; it is the largest file
    if not folder.students():
        return shown
    return follow_up(studio, run_id, pooled=pooled, progress=progress)


def follow_up(
    studio: "Studio", run_id: str, *, pooled: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """Predict everyone by a run's students, evaluate on val if there is one, and register all that.

    Args:
        studio: the project.
        run_id: a run with students.
        pooled: refresh its ledger, uncertainties and error probabilities too.
        progress: told about each of these.

    Returns:
        The run as verb `run` shows it, with "scores" on val (None without val people that it did not learn).
    """
    snapshot = work.now(studio)
    if pooled:
        work.pool(studio, run=run_id, progress=progress)
    else:
        work.predict_all(studio, run_id, snapshot, progress=progress)
    people, found = snapshot.people, None
    val = people.take(people.reviewed & ~people.iscrowd & (people.split == "val"))
    if not evidence.learned(studio.project, run_id, val).all():
        found = scores.evaluate(studio, run=run_id, snapshot=snapshot, progress=progress)
    return {**studio.call("run", run=run_id), "scores": found}
