"""The editor's deeds from a script: queue, label, accept, box, history."""

import argparse
import uuid
from typing import Any

from posestudio.cli import show
from posestudio.cli.data import SPLITS
from posestudio.cli.grammar import Verbs, add_verb
from posestudio.cli.session import open_studio, who
from posestudio.errors import InputError

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
    verb = add_verb(
        verbs, common, "box", box, show.pairs, "move, add, hide or restore a person's box"
    )
    verb.add_argument("instance", nargs="?", type=int, metavar="INSTANCE")
    verb.add_argument(
        "--image", type=int, metavar="IMAGE", help="add a person to this image instead"
    )
    verb.add_argument("--set", metavar="X,Y,W,H", dest="xywh", help="the box in image pixels")
    deed = verb.add_mutually_exclusive_group()
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


def queue(args: argparse.Namespace) -> dict[str, Any]:
    """What is next."""
    return open_studio(args).call(
        "queue", limit=args.limit, split=args.split, run=args.run_name, suspects=args.suspects
    )


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
        edit_id=uuid.uuid4().hex,
    )  # fmt: skip


def box(args: argparse.Namespace) -> dict[str, Any]:
    """Boxes.

    Raises:
        InputError: the deed is not clear.
    """
    studio = open_studio(args)
    xywh = _xywh(args.xywh) if args.xywh else None
    if args.image is not None and args.instance is None and xywh:
        return studio.call("add_person", image_id=args.image, box_xywh=xywh, who=who())
    if args.instance is not None and args.image is None:
        if args.hide or args.restore:
            return studio.call(
                "hide_person", instance_id=args.instance, hidden=args.hide, who=who()
            )
        if xywh:
            return studio.call("set_box", instance_id=args.instance, box_xywh=xywh, who=who())
    raise InputError(
        "Say which: box INSTANCE --set X,Y,W,H, box INSTANCE --hide or --restore, or box --image IMAGE --set X,Y,W,H."
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


def _show_queue(value: dict[str, Any]) -> str:
    rows = [{**item, "why": item["reason"]} for item in value["items"]]
    lines = [value["note"]] if value.get("note") else []
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
