"""The editor's deeds from a script: queue, label, accept, box, history, mark, merge, hand."""

import argparse
import re
import uuid
from typing import Any

from posestudio.cli import show
from posestudio.cli.data import SPLITS
from posestudio.cli.grammar import Verbs, add_verb
from posestudio.cli.session import open_studio, who
from posestudio.errors import InputError

ORDERS = ("doubt", "suspects", "variety", "random", "marked")
MARKS = ("skip", "cannot-tell", "flag", "unflag", "comment", "seen")
REASONS = {"outside": "outside", "cannot-tell": "cannot tell"}


def add(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add this theme's verbs to the grammar."""
    verb = add_verb(
        verbs, common, "queue", queue, _show_queue, "what to correct next, with reasons"
    )
    verb.add_argument("--limit", type=int, default=20, help="how many people (default: 20)")
    verb.add_argument("--split", choices=SPLITS, help="val: random order, no prediction shown")
    verb.add_argument(
        "--run", metavar="RUN", dest="run_name", help="(default: the newest finished one)"
    )
    verb.add_argument(
        "--suspects", action="store_true",
        help="labels that the students contradict instead, left/right swaps first",
    )  # fmt: skip
    verb.add_argument("--order", choices=ORDERS, help="who comes first (default: doubt)")
    verb.add_argument("--minutes", type=float, help="time at hand: say how many people fit")
    verb = add_verb(verbs, common, "label", label, _show_saved, "place keypoints of a person")
    verb.add_argument("instance", type=int, metavar="INSTANCE")
    verb.add_argument(
        "--set", nargs="+", action="extend", required=True, metavar="NAME=X,Y,V", dest="changes",
        help="image pixels and visibility: 2 seen, 1 hidden, 0 declared absent; NAME=open takes the label back",
    )  # fmt: skip
    verb.add_argument(
        "--absent", choices=list(REASONS), default="cannot-tell",
        help="why the keypoints with V 0 are absent (default: cannot-tell)",
    )  # fmt: skip
    verb = add_verb(
        verbs, common, "accept", accept, _show_saved, "turn predicted open keypoints into labels"
    )
    verb.add_argument("instance", type=int, metavar="INSTANCE")
    verb.add_argument(
        "--run",
        metavar="RUN",
        dest="run_name",
        help="run or model (default: the newest prediction)",
    )
    verb.add_argument("--keypoint", nargs="+", metavar="NAME", help="only these")
    verb.add_argument(
        "--error-limit", type=float, metavar="P",
        help="leave keypoints open that are wrong with a probability above P",
    )  # fmt: skip
    _add_boxes(verbs, common)
    _add_words(verbs, common)


def _add_boxes(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    verb = add_verb(
        verbs, common, "box", box, show.pairs, "move, add, hide or restore a person's box"
    )
    # argparse takes -5,3,20,20 for an option, other than -5; a box may begin outside the photo
    verb._negative_number_matcher = re.compile(r"-\.?\d")
    verb.add_argument("instance", nargs="?", type=int, metavar="INSTANCE")
    verb.add_argument(
        "--image", type=int, metavar="IMAGE", help="add a person to this image instead"
    )
    verb.add_argument(
        "--ignore", action="store_true",
        help="with --image: a region with people whom nobody labels, not a person",
    )  # fmt: skip
    deed = verb.add_mutually_exclusive_group()
    deed.add_argument("--set", metavar="X,Y,W,H", dest="xywh", help="the box in image pixels")
    deed.add_argument("--hide", action="store_true", help="take the person out; labels are kept")
    deed.add_argument("--restore", action="store_true", help="bring a hidden person back")
    verb = add_verb(
        verbs,
        common,
        "history",
        history,
        _show_history,
        "every revision of a person, by whom and why",
    )
    verb.add_argument("instance", type=int, metavar="INSTANCE")


def _add_words(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    verb = add_verb(
        verbs, common, "mark", mark, show.pairs, "skip, flag or comment on a person, or say: seen"
    )
    verb.add_argument("instance", type=int, metavar="INSTANCE")
    verb.add_argument("kind", choices=MARKS)
    verb.add_argument("--text", help="why; a comment needs it")
    verb.add_argument("--keypoint", metavar="NAME", help="the keypoint that it is about")
    verb = add_verb(
        verbs, common, "merge", merge, show.pairs, "hide a duplicate; its labels fill gaps of another person"
    )  # fmt: skip
    verb.add_argument("instance", type=int, metavar="DUPLICATE")
    verb.add_argument("into", type=int, metavar="INSTANCE", help="who stays, in the same image")
    verb = add_verb(
        verbs, common, "hand", hand, show.pairs, "hand placed keypoints over to another person"
    )
    verb.add_argument("instance", type=int, metavar="FROM")
    verb.add_argument("to", type=int, metavar="TO", help="in the same image")
    verb.add_argument("--keypoint", nargs="+", required=True, metavar="NAME")


def queue(args: argparse.Namespace) -> dict[str, Any]:
    """What is next."""
    return open_studio(args).call(
        "queue", limit=args.limit, split=args.split, run=args.run_name, suspects=args.suspects,
        order=args.order, minutes=args.minutes,
    )  # fmt: skip


def label(args: argparse.Namespace) -> dict[str, Any]:
    """Place keypoints."""
    edits = [_edit(text, REASONS[args.absent]) for text in args.changes]
    return open_studio(args).call(
        "label", instance_id=args.instance, edits=edits, who=who(), edit_id=uuid.uuid4().hex
    )


def _edit(text: str, reason: str) -> dict[str, Any]:
    """One NAME=X,Y,V as an edit.

    Raises:
        InputError: it has another form.
    """
    name, sign, value = text.partition("=")
    if sign and name and value.strip() == "open":
        return {"keypoint": name, "state": "open"}
    try:
        x, y, v = (float(part) for part in value.split(","))
    except ValueError:
        raise InputError(
            f"--set {text!r} is not NAME=X,Y,V, such as left_wrist=120.5,88,2."
        ) from None
    if not sign or not name or v not in (0, 1, 2):
        raise InputError(
            f"--set {text!r}: the visibility must be 2 (seen), 1 (hidden) or 0 (absent)."
        )
    if v == 0:
        return {"keypoint": name, "state": "absent", "reason": reason}
    return {"keypoint": name, "state": "placed", "x": x, "y": y, "v": int(v)}


def accept(args: argparse.Namespace) -> dict[str, Any]:
    """Predictions become labels."""
    return open_studio(args).call(
        "accept", instance_id=args.instance, run=args.run_name, keypoints=args.keypoint, who=who(),
        edit_id=uuid.uuid4().hex, error_limit=args.error_limit,
    )  # fmt: skip


def box(args: argparse.Namespace) -> dict[str, Any]:
    """Boxes.

    Raises:
        InputError: the deed is not clear.
    """
    studio = open_studio(args)
    xywh = _xywh(args.xywh) if args.xywh else None
    if args.image is not None and args.instance is None and xywh:
        return studio.call(
            "add_person", image_id=args.image, box_xywh=xywh, who=who(), iscrowd=args.ignore
        )
    if args.instance is not None and args.image is None and not args.ignore:
        if args.hide or args.restore:
            return studio.call(
                "hide_person", instance_id=args.instance, hidden=args.hide, who=who()
            )
        if xywh:
            return studio.call("set_box", instance_id=args.instance, box_xywh=xywh, who=who())
    raise InputError(
        "Say which: box INSTANCE --set X,Y,W,H, box INSTANCE --hide or --restore, or box --image IMAGE --set X,Y,W,H "
        "(--ignore)."
    )


def _xywh(text: str) -> list[float]:
    try:
        x, y, w, h = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--set {text!r} is not X,Y,W,H in image pixels.") from None
    return [x, y, w, h]


def history(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every revision."""
    return open_studio(args).call("history", instance_id=args.instance)


def mark(args: argparse.Namespace) -> dict[str, Any]:
    """Say something of a person."""
    return open_studio(args).call(
        "mark", instance_id=args.instance, kind=args.kind.replace("-", "_"), text=args.text, who=who(),
        keypoint=args.keypoint,
    )  # fmt: skip


def merge(args: argparse.Namespace) -> dict[str, Any]:
    """Two become one."""
    return open_studio(args).call("merge", instance_id=args.instance, into=args.into, who=who())


def hand(args: argparse.Namespace) -> dict[str, Any]:
    """Keypoints change hands."""
    return open_studio(args).call(
        "hand", instance_id=args.instance, to=args.to, keypoints=args.keypoint, who=who()
    )


def _show_queue(value: dict[str, Any]) -> str:
    rows = [{**item, "why": item["reason"]} for item in value["items"]]
    lines = [value["note"]] if value.get("note") else []
    if value["fits"] is not None:
        known = value["seconds_per_person"]
        each = (
            f"by {known:.0f} s a person so far"
            if known
            else f"at an assumed {value['assumed_seconds']} s a person"
        )
        lines.append(f"{value['fits']} of {value['total']} people fit, {each}.")
    lines.append(
        show.table(
            rows, ["instance_id", "file_name", "split", "score", "why"], "Nothing to correct."
        )
    )
    return "\n".join(lines)


def _show_saved(value: dict[str, Any]) -> str:
    return show.pairs(value, leave_out=("others",))


def _show_history(rows: list[dict[str, Any]]) -> str:
    columns = [
        "at",
        "who",
        "name",
        "state",
        "x",
        "y",
        "v",
        "origin",
        "reason",
        "revision",
        "follows",
    ]
    return show.table(rows, columns, "No label yet.")
