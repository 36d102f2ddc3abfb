"""Train a run folder, whoever starts it: a thread of the app, a child process, or torchrun on many devices.

python -m posestudio.train.worker RUN_DIR
torchrun --nproc-per-node 2 -m posestudio.train.worker RUN_DIR
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed

from posestudio.errors import PoseStudioError, TrainingError
from posestudio.events import Evaluated, Event, Failed, Saved, Started, Stopped, Warned
from posestudio.models.weights import save_student
from posestudio.train import checkpoints, data, loop, objective, validate
from posestudio.train.run_folder import STUDENT_FILES, RunFolder
from posestudio.train.session import Progress, Session, default_device, open_session
from posestudio.train.watch import Tell, Watch, best_of

TRIAL_STEPS = 12
"""Steps that are timed, and thrown away, to turn minutes into steps; as many of each kind that takes its own time."""

Choose = Callable[[objective.Pool, objective.Batch], objective.Pool]


def run(
    path: Path,
    *,
    stop: Callable[[], bool] | None = None,
    on_event: Callable[[Event], None] | None = None,
    progress: Progress | None = None,
    choose: Choose | None = None,
) -> dict[str, Any]:
    """Train, or go on training, a run folder to its end or until it is asked to stop.

    Args:
        path: PROJECT/runs/RUN with config.json and run.json.
        stop: asked after every step; a file named "stop" in the folder asks the same, also one that was there before.
            It is gone when the worker ends.
        on_event: told every event after it is on disk.
        progress: told about long work before the first step.
        choose: see `objective.semi_supervised`.

    Returns:
        metrics.json: steps, seconds, images_per_second, the scores of both students on the held-out labels, and
        kept_step when an alarm made it keep those of an earlier step.

    Raises:
        TrainingError: the run cannot start, is running already, or its loss is not finite.
    """
    folder = RunFolder(path)
    torch.set_num_threads(folder.config().train.threads or max(1, (os.cpu_count() or 2) - 1))
    with _processes() as share:
        if share[0] != 0:
            return _train(folder, share, None, lambda event: None, None, choose)
        with folder.hold():
            step = 0

            def tell(event: Event) -> None:
                nonlocal step
                step = event.step
                folder.append(event)
                if on_event is not None:
                    on_event(event)

            try:
                return _train(folder, share, stop, tell, progress, choose)
            except (PoseStudioError, RuntimeError, OSError, MemoryError) as error:
                tell(Failed(step=step, message=str(error) or type(error).__name__))
                raise
            finally:
                folder.forget_stop()


class _processes:
    """(rank, processes) of this one, joined to the others if torchrun started it."""

    def __enter__(self) -> tuple[int, int]:
        self.joined = "RANK" in os.environ and "WORLD_SIZE" in os.environ
        if not self.joined:
            return 0, 1
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        torch.distributed.init_process_group(backend)
        return torch.distributed.get_rank(), torch.distributed.get_world_size()

    def __exit__(self, *_: object) -> None:
        if self.joined:
            torch.distributed.destroy_process_group()


def _train(
    folder: RunFolder,
    share: tuple[int, int],
    stop: Callable[[], bool] | None,
    tell: Tell,
    progress: Progress | None,
    choose: Choose | None,
) -> dict[str, Any]:
    """The run itself, in one process."""
    if share[0] != 0:
        torch.distributed.barrier()  # the first process cuts the crops
    steps = length(folder, share, progress)
    session = open_session(folder, steps=steps, share=share, progress=progress)
    if share[1] > 1 and share[0] == 0:
        torch.distributed.barrier()
    watcher = Watch(session, steps, folder)
    first = _resume(folder, session, watcher)
    split = session.source.split
    tell(Started(first, steps, len(split.labeled), len(split.unlabeled), time.time()))
    for notice in session.notices:
        tell(Warned(first, "start", notice))
    watcher.begin(first, tell)
    if first == steps and Saved(first) not in folder.events():
        keep(folder, session, first, tell, watcher)  # it died within its last checkpoint
    started, done, reason = time.perf_counter(), first, "done"
    for step in _steps(session, first + 1, steps, make_objective(session, watcher, choose)):
        done = step.step
        watcher.after(step, tell)
        asked = _asked(folder, stop, share)
        if done % session.config.train.save_every == 0 or asked or done == steps:
            watcher.check(done, tell, weights=True)
            keep(folder, session, done, tell, watcher)
        if asked and done < steps:
            reason = "asked"
            break
    seconds = time.perf_counter() - started
    metrics = {
        **folder.metrics(),
        "steps": done,
        "seconds": watcher.spent(),
        "images_per_second": round((done - first) * watcher.means.people / max(seconds, 1e-9), 2),
        "fold": validate.fold_scores(session, watcher.students()) if watcher.unseen else {},
        "device": session.device.type,
        **watcher.kept(),
    }
    if share[0] == 0:
        tell(Evaluated(done, "fold", metrics["fold"]))
        folder.write_json("metrics.json", metrics)
        tell(Stopped(done, reason))
    return metrics


def _resume(folder: RunFolder, session: Session, watcher: Watch) -> int:
    """Go to where the run was saved, if it was; the step after which that is. What came later is forgotten."""
    if not folder.state_path.exists():
        first, since = 0, -1  # nothing of an attempt that died before it saved anything stays
    else:
        best = [best_of(net) for net in session.learner.averages]
        first, notes = checkpoints.load(folder.state_path, session.learner, best)
        watcher.restore(notes, best)
        since = first
    if session.share[0] == 0:  # who alone writes events
        folder.forget_after(since)
    return first


def length(folder: RunFolder, share: tuple[int, int], progress: Progress | None) -> int:
    """Steps of the run's schedule; minutes are turned into steps once, by a short trial, and written to run.json."""
    config, record = folder.config(), folder.record()
    if config.train.minutes <= 0:
        return config.train.steps
    if "steps" not in record:
        if share[1] > 1:
            raise TrainingError("A distributed run needs train.steps, not minutes.")
        trial = open_session(folder, steps=TRIAL_STEPS, progress=progress)
        seconds, delay = config.train.minutes * 60, config.loss.delay
        early = 0.0  # steps on labels alone, where they are enough to be timed
        if config.loss.unlabeled > 0 and delay >= TRIAL_STEPS:
            pace = _pace(trial, 1)
            early = min(delay, seconds / pace)
            seconds -= early * pace
        record["steps"] = max(1, round(early + seconds / _pace(trial, delay + 1)))
        folder.write_json("run.json", record)
    return int(record["steps"])


def _pace(trial: Session, first: int) -> float:
    """Seconds of a step, the median of TRIAL_STEPS from one on, without the first two."""
    times = [time.perf_counter()]
    for _ in _steps(trial, first, first + TRIAL_STEPS - 1, make_objective(trial)):
        times.append(time.perf_counter())
    paces = sorted(after - before for before, after in zip(times[2:], times[3:], strict=False))
    return paces[len(paces) // 2]


def keep(
    folder: RunFolder, session: Session, step: int, tell: Tell, watcher: Watch | None = None
) -> None:
    """Save the students to use, then the state to resume from: where it is, they are no older."""
    if session.share[0] != 0:
        return
    if watcher:
        watcher.ledger.flush()
    students = watcher.students() if watcher else session.learner.averages
    extra = {"skeleton": session.snapshot.skeleton.to_dict(), "step": step}
    extra |= watcher.kept() if watcher else {}
    for net, file in zip(students, STUDENT_FILES.values(), strict=False):
        save_student(folder.path / file, net, extra)
    best = watcher.best if watcher else []
    notes = watcher.notes() if watcher else None
    checkpoints.save(folder.state_path, session.learner, step, best=best, notes=notes)
    tell(Saved(step))


def _steps(
    session: Session, first: int, last: int, minimized: loop.Objective
) -> Iterator[loop.Step]:
    """Step from first to last."""
    batches = data.batches(
        session.source, session.config, first=first, last=last, device=session.device,
        share=session.share,
    )  # fmt: skip
    return loop.fit(session.learner, batches, minimized)


def make_objective(
    session: Session, watcher: Watch | None = None, choose: Choose | None = None
) -> loop.Objective:
    """The loss of this run's method as a function of students, batch and step."""
    config, method = session.config, session.method

    def minimized(students: Any, batch: objective.Batch, step: int) -> dict[str, torch.Tensor]:
        if config.loss.unlabeled == 0 or batch.unlabeled is None:
            return objective.supervised(students, batch, method)
        risen = min(1.0, max(0, step - config.loss.delay) / max(1, config.loss.ramp))
        if risen == 0 or (watcher is not None and watcher.dropped):
            return objective.supervised(students, batch, method)
        generator = data.step_generator(config.train.seed, step, 3 + session.share[0])
        return objective.semi_supervised(
            students, batch, method, weight=config.loss.unlabeled * risen, generator=generator,
            voters=session.voters, choose=choose, tell=watcher.listener(step) if watcher else None,
        )  # fmt: skip

    return minimized


def _asked(folder: RunFolder, stop: Callable[[], bool] | None, share: tuple[int, int]) -> bool:
    """Whether to stop after this step; all processes of a run hear the same answer."""
    asked = folder.asked_to_stop() or (stop is not None and stop())
    if share[1] > 1:
        word = torch.tensor(int(asked), device=default_device())
        torch.distributed.broadcast(word, 0)
        asked = bool(word)
    return asked


def main() -> int:
    """Train the run folder named on the command line; its events are the report."""
    try:
        run(Path(sys.argv[1]).resolve())
    except PoseStudioError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
