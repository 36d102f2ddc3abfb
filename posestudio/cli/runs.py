"""Training and what comes of it: train, stop, runs, predict, pool, evaluate."""

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posestudio.cli import show
from posestudio.cli.data import SPLITS
from posestudio.cli.grammar import Verbs, add_verb
from posestudio.cli.session import absolute, open_studio
from posestudio.errors import ConfigError, InputError, PoseStudioError

if TYPE_CHECKING:
    from posestudio.events import Event


SCORE_NAMES = (
    "AP",
    "AP50",
    "AP75",
    "APm",
    "APl",
    "AR",
    "AR50",
    "AR75",
    "ARm",
    "ARl",
    "pck@0.1",
    "pck@0.2",
)
ROUGH_BELOW = 50
NEWEST = "(default: the newest finished one)"


def add(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add this theme's verbs to the grammar."""
    verb = add_verb(
        verbs, common, "train", train, _show_run, "train two students in the foreground"
    )
    verb.add_argument(
        "--preset",
        help="supervised, posecons, posedual, paper, best or distill (default: supervised; best with --from)",
    )
    verb.add_argument("--size", help="tiny, small or full (default: by the device)")
    length = verb.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, metavar="N")
    length.add_argument("--minutes", type=float, metavar="M")
    verb.add_argument("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", dest="changes",
                      help="settings, such as pool.threshold=0.2")  # fmt: skip
    verb.add_argument(
        "--weights",
        metavar="FILE",
        help="ImageNet weights of the backbone, without --from (default: torchvision's)",
    )
    verb.add_argument(
        "--from", metavar="RUN", dest="from_run", help="start from the students of this run"
    )
    verb.add_argument("--runner", choices=["thread", "process"], default="thread")
    verb.add_argument(
        "--resume", metavar="RUN", help="go on with a run that was interrupted or stopped"
    )
    verb = add_verb(
        verbs, common, "stop", stop, show.pairs, "ask a run to stop and keep what it has"
    )
    verb.add_argument("run_name", metavar="RUN")
    verb = add_verb(verbs, common, "runs", runs, _show_runs, "list runs, show one, or compare two")
    verb.add_argument("deed", nargs="?", choices=["list", "show", "diff"], default="list")
    verb.add_argument("names", nargs="*", metavar="RUN")
    verb = add_verb(
        verbs, common, "predict", predict, show.pairs, "keypoints of project people or given images"
    )
    _add_choices(verb, split=None)
    verb.add_argument("paths", nargs="*", metavar="PATH", help="images that are not in the project")
    verb.add_argument(
        "--boxes", choices=["detect", "full"], default="full", help="for PATHs (default: full)"
    )
    verb.add_argument("--detector", metavar="FILE", help="weights of the detector on disk")
    verb.add_argument(
        "--out", metavar="FILE", required=True, help="COCO results, the JSON file to write"
    )
    text = "pycocotools' ten numbers, each keypoint, kinds of error"
    verb = add_verb(verbs, common, "evaluate", evaluate, _show_scores, text)
    _add_choices(verb, split="val")
    text = "refresh ledger, uncertainties and error probabilities"
    verb = add_verb(verbs, common, "pool", pool, show.pairs, text)
    verb.add_argument("--run", metavar="RUN", dest="run_name", help=NEWEST)


def _add_choices(verb: argparse.ArgumentParser, *, split: str | None) -> None:
    """What predict and evaluate have in common."""
    verb.add_argument("--run", metavar="RUN", dest="run_name", help=NEWEST)
    said = "(default: val)" if split else "(default: everyone)"
    verb.add_argument("--split", choices=SPLITS, default=split, help=said)
    verb.add_argument("--student", choices=["a", "b", "ensemble"], default="ensemble")
    verb.add_argument("--flip", action="store_true", help="average with the mirrored image")


def train(args: argparse.Namespace) -> dict[str, Any]:
    """Train in the foreground; Ctrl-C stops at a step and keeps what there is."""
    changes = settings(args.changes)
    for key, value in (("train.steps", args.steps), ("train.minutes", args.minutes)):
        if value is not None:
            changes[key] = str(value)
    studio = open_studio(args)
    if args.resume:
        if changes or args.preset or args.size or args.from_run or args.weights:
            raise InputError("--resume goes on with the run's own settings; leave the others out.")
    else:
        from posestudio.studio import settings as choices

        choices.check(args.preset, args.size, changes)  # before torch is loaded
    from posestudio.studio import jobs, training

    if args.resume:
        run_id = training.resumable(studio, args.resume)
    else:
        started = training.start(
            studio, preset=args.preset, size=args.size, changes=changes, from_run=args.from_run,
            weights=absolute(args.weights) if args.weights else None,
        )  # fmt: skip
        run_id = started["run_id"]
        for note in started["notes"]:
            print(note, file=sys.stderr)
    print(f"Run {run_id}", file=sys.stderr)
    runner = jobs.in_process if args.runner == "process" else training.train_here
    with _stop_on_interrupt() as asked, _Bar(run_id) as bar:
        return training.carry_out(
            studio, run_id, train=runner, stop=asked, on_event=bar.tell, progress=bar.preparing
        )


def settings(texts: list[str]) -> dict[str, str]:
    """KEY=VALUE texts as a dict.

    Raises:
        ConfigError: one has no "=".
    """
    for text in texts:
        if "=" not in text:
            raise ConfigError(f"--set {text!r} is not KEY=VALUE, such as pool.threshold=0.2.")
    return {key.strip(): value.strip() for key, _, value in (text.partition("=") for text in texts)}


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """The first Ctrl-C asks to stop after the present step; the second ends at once."""
    asked = threading.Event()

    def hear(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        print(
            "\nStopping after this step; what is learned is kept. Ctrl-C again ends at once.",
            file=sys.stderr,
        )

    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = [(number, signal.signal(number, hear)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield asked.is_set
    finally:
        for number, handler in before:
            signal.signal(number, handler)


class _Bar:
    """A progress bar on stderr that follows a run's events; in a log, which keeps every state, a seldom one."""

    def __init__(self, run_id: str) -> None:
        from tqdm import tqdm

        self._every, self._drawn = 0.2 if sys.stderr.isatty() else 30.0, 0.0
        self._bar = tqdm(
            total=None, file=sys.stderr, unit="step", dynamic_ncols=True,
            bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
        )  # fmt: skip
        self._bar.set_description_str(run_id)

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def preparing(self, what: str, done: int, total: int) -> None:
        """Long work outside the steps."""
        self._draw(f"{what} {done}/{total}" if total else what)

    def tell(self, event: "Event") -> None:
        """Show one event."""
        from posestudio.events import Started, Stepped, Warned

        if isinstance(event, Started):
            self._bar.total = event.steps
            self._bar.n = event.step
            self._draw(f"{event.labeled} labeled, {event.unlabeled} unlabeled")
        elif isinstance(event, Stepped):
            left = round(event.eta_seconds)
            self._bar.n = event.step
            kept = "" if event.kept is None else f"kept {event.kept:.0%}, "
            self._draw(
                f"{left // 3600}:{left // 60 % 60:02d}:{left % 60:02d} left, loss {event.loss:.5f}, "
                f"{kept}{event.images_per_second:.0f} img/s"
            )
        elif isinstance(event, Warned):
            self._bar.write(event.message, file=sys.stderr)

    def _draw(self, words: str) -> None:
        now = time.monotonic()
        due = now - self._drawn >= self._every
        self._drawn = now if due else self._drawn
        self._bar.set_postfix_str(words, refresh=due)


def stop(args: argparse.Namespace) -> dict[str, Any]:
    """Ask for a stop."""
    return open_studio(args).call("stop_run", run=args.run_name)


def runs(args: argparse.Namespace) -> Any:
    """List, show or compare.

    Raises:
        InputError: the deed needs another number of runs.
    """
    studio = open_studio(args)
    needed = {"list": 0, "show": 1, "diff": 2}[args.deed]
    if len(args.names) != needed:
        raise InputError(f"runs {args.deed} takes {needed} run names, got {len(args.names)}.")
    if args.deed == "show":
        from posestudio.studio import hindsight

        shown = studio.call("run", run=args.names[0])
        scores = studio.call("ledger_scores", run=shown["run_id"])
        return {**shown, "pseudo_labels": hindsight.brief(scores)}
    if args.deed == "diff":
        found = studio.call("run_diff", run=args.names[0], other=args.names[1])
        with contextlib.suppress(
            PoseStudioError
        ):  # without predictions of val people there is no score to compare
            found["val"] = studio.call("compare_runs", run=found["runs"][1], other=found["runs"][0])
        return found
    return studio.call("runs")


def predict(args: argparse.Namespace) -> dict[str, Any]:
    """COCO results to a file."""
    from posestudio.studio import photos, work

    studio = open_studio(args)
    if args.paths:
        return photos.predict_files(
            studio, [Path(path) for path in args.paths], run=args.run_name, student=args.student, flip=args.flip,
            boxes=args.boxes, detector=Path(args.detector) if args.detector else None, out=Path(args.out),
        )  # fmt: skip
    return work.predict(
        studio,
        run=args.run_name,
        split=args.split,
        student=args.student,
        flip=args.flip,
        out=Path(args.out),
    )


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Scores."""
    from posestudio.studio import scores

    return scores.evaluate(
        open_studio(args), run=args.run_name, split=args.split, student=args.student, flip=args.flip
    )


def pool(args: argparse.Namespace) -> dict[str, Any]:
    """Refresh the ledger."""
    from posestudio.studio import work

    return work.pool(open_studio(args), run=args.run_name)


def _show_runs(value: Any) -> str:
    if isinstance(value, list):
        rows = [{**row, "AP": (row.get("metrics") or {}).get("AP")} for row in value]
        columns = ["run_id", "status", "preset", "size", "from_run", "created_at", "AP"]
        return show.table(rows, columns, "No runs yet. Start one: posestudio train")
    return show.pairs(value)


def _show_run(value: dict[str, Any]) -> str:
    metrics = value["metrics"]
    lines = [
        f"Run {value['run_id']}: {value['status']}, {metrics.get('steps')} steps, {metrics.get('seconds')} s"
    ]
    if metrics.get("fold"):
        lines.append("held-out fold: " + show.pairs(metrics["fold"]).replace("\n", ", "))
    if value.get("scores"):
        lines.append(_show_scores(value["scores"]))
    return "\n".join(lines)


def _show_scores(value: dict[str, Any]) -> str:
    head = (
        f"{value['run_id']}, {value['student']}{' with flip' if value['flip'] else ''}, {value['split']}: "
        f"{value['people']} people in {value['images']} images"
    )
    numbers = {name: value[name] for name in SCORE_NAMES if name in value}
    columns = ["name", "n", "pck@0.1", "pck@0.2", "oks", "error_px", *value["error_kinds"]]
    rows = [{**row, **row["error_kinds"]} for row in value["keypoints"] if row["taught"]]
    lines = [head, show.table([numbers], numbers)]
    if value.get("interval"):
        low, high = value["interval"]
        rough = f" (rough: under {ROUGH_BELOW} people)" if value["rough"] else ""
        lines.append(f"AP lies in {low:.3f} to {high:.3f} at 95 %{rough}")
    lines.append(
        f"area {value['area_rule']}; OKS sigmas from {value['sigmas_source']}: {_sigmas(value)}"
    )
    if value.get("remembered"):
        lines.append(
            f"{value['remembered']} of these people were learned by this run: it says how well it remembers them, not "
            "how good it is"
        )
    if value["untaught"]:
        lines.append(f"left out, as no label shows them: {', '.join(value['untaught'])}")
    return "\n".join([*lines, show.table(rows, columns)])


def _sigmas(value: dict[str, Any]) -> str:
    return " ".join(f"{sigma:.3f}" for sigma in value["oks_sigmas"])
