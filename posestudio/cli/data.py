"""Bringing data in, dividing it, taking it away: init, demo, import, split, images, people, verify, export, serve."""

import argparse
import json
from pathlib import Path
from typing import Any

from posestudio.cli import show
from posestudio.cli.grammar import Verbs, add_verb, sub_verbs
from posestudio.cli.session import absolute, open_studio, read_json
from posestudio.errors import InputError

SPLITS = ("train", "val", "unlabeled")


def add(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add this theme's verbs to the grammar."""
    verb = add_verb(verbs, common, "init", init, _show_project, "make an empty project")
    verb.add_argument(
        "--skeleton", metavar="FILE", help="JSON with keypoint names (a COCO category will do)"
    )
    verb = add_verb(
        verbs, common, "demo", demo, _show_demo, "make the demo project of rendered people"
    )
    verb.add_argument("dir", metavar="DIR")
    _add_import(
        sub_verbs(verbs, common, "import", "bring in COCO files, predictions or images"), common
    )
    verb = add_verb(
        verbs, common, "split", split, _show_split, "count the splits, or put people into one"
    )
    verb.add_argument("to", nargs="?", choices=SPLITS, help="the split to put people into")
    verb.add_argument(
        "--person",
        type=int,
        nargs="+",
        default=[],
        metavar="INSTANCE",
        help="with their whole group",
    )
    verb.add_argument(
        "--image", type=int, nargs="+", default=[], metavar="IMAGE", help="with their whole group"
    )
    verb.add_argument(
        "--share", type=float, help="with val: this share of the labeled people, drawn by group"
    )
    verb.add_argument("--seed", type=int, default=0, help="of that draw (default: 0)")
    verb = add_verb(verbs, common, "images", images, _show_images, "list the images")
    verb.add_argument("--split", choices=SPLITS)
    verb.add_argument("--limit", type=int, default=50, help="how many (default: 50)")
    verb = add_verb(verbs, common, "people", people, _show_people, "list the people of an image")
    verb.add_argument("image", type=int, metavar="IMAGE")
    add_verb(verbs, common, "snapshot", snapshot, show.pairs, "freeze the labels as they are now")
    verb = add_verb(
        verbs, common, "verify", verify, _show_verify, "check the store against images and runs"
    )
    verb.set_defaults(fault=_damage)
    _add_export(
        sub_verbs(verbs, common, "export", "take labels, predictions or students away"), common
    )
    verb = add_verb(
        verbs,
        common,
        "serve",
        serve,
        show.pairs,
        "open the studio in a browser, on a new project too",
    )
    verb.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)"
    )
    verb.add_argument("--port", type=int, default=7860, help="(default: 7860)")


def _add_import(kinds: Verbs, common: argparse.ArgumentParser) -> None:
    verb = add_verb(kinds, common, "coco", import_coco, _show_import, "COCO keypoints")
    verb.add_argument("file", metavar="FILE")
    verb.add_argument("--images", required=True, metavar="DIR", help="folder of the image files")
    verb.add_argument("--split", choices=SPLITS, default="train", help="(default: train)")
    verb.add_argument(
        "--labeled", metavar="N|LIST",
        help="only these keep their labels: the first N of a seeded permutation, or a file of image names",
    )  # fmt: skip
    verb.add_argument("--seed", type=int, default=0, help="of that permutation (default: 0)")
    verb.add_argument(
        "--boxes", choices=["full"], help="give images without people one, the whole image"
    )
    verb.add_argument(
        "--skip-bad", action="store_true", help="take the rest of a file with faults, and list them"
    )
    verb = add_verb(
        kinds, common, "predictions", import_predictions, show.pairs, "COCO results of any model"
    )
    verb.add_argument("file", metavar="FILE")
    verb.add_argument("--name", required=True, metavar="MODEL", help="what to call that model")
    verb.add_argument(
        "--source", metavar="NAME",
        help="whose image ids these are, where sources share ids: NAME as in the files of export coco",
    )  # fmt: skip
    verb = add_verb(
        kinds, common, "images", import_images, _show_import, "photos, folders, zips, videos"
    )
    verb.add_argument("paths", nargs="+", metavar="PATH")
    verb.add_argument(
        "--boxes", choices=["detect", "full", "none"], default="full",
        help="where people are: found by a detector, the whole image, or drawn later (default: full)",
    )  # fmt: skip
    verb.add_argument(
        "--weights", metavar="FILE", help="with --boxes detect: the detector's weights on disk"
    )
    verb.add_argument("--link", action="store_true", help="leave the image files where they are")
    verb.add_argument(
        "--group", action="store_true", help="images of one folder stay in one split, as frames do"
    )


def _add_export(kinds: Verbs, common: argparse.ArgumentParser) -> None:
    verb = add_verb(
        kinds, common, "coco", export, _show_export, "COCO keypoints: OUT.json, or a folder"
    )
    verb.add_argument("out", metavar="OUT")
    verb.add_argument("--split", choices=SPLITS)
    verb.set_defaults(kind="coco")
    verb = add_verb(kinds, common, "yolo", export, _show_export, "a YOLO-pose folder")
    verb.add_argument("out", metavar="OUT")
    verb.set_defaults(kind="yolo", split=None)
    verb = add_verb(kinds, common, "predictions", export, _show_export, "COCO results of a run")
    verb.add_argument("out", metavar="OUT")
    _add_run(verb)
    verb.add_argument("--student", choices=["a", "b", "ensemble"], default="ensemble")
    verb.add_argument("--split", choices=SPLITS)
    verb.set_defaults(kind="predictions")
    _add_models(kinds, common)


def _add_models(kinds: Verbs, common: argparse.ArgumentParser) -> None:
    text = "a run's students as safetensors with model.json, to a folder"
    verb = add_verb(kinds, common, "model", export_model, _show_export, text)
    verb.add_argument("out", metavar="OUT")
    _add_run(verb)
    text = "a run's students as one ONNX file, checked against torch"
    verb = add_verb(kinds, common, "onnx", export_onnx, _show_export, text)
    verb.add_argument("out", metavar="OUT")
    _add_run(verb)
    verb.add_argument("--student", choices=["a", "b", "ensemble"], default="ensemble")


def _add_run(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--run", metavar="RUN", dest="run_name", help="(default: the newest finished one)"
    )


def init(args: argparse.Namespace) -> dict[str, Any]:
    """Make the project."""
    from posestudio.studio.studio import create  # lazy: duckdb

    record = read_json(args.skeleton, "skeleton file") if args.skeleton else None
    if isinstance(record, dict) and isinstance(record.get("categories"), list):
        record = next(
            (c for c in record["categories"] if isinstance(c, dict) and "keypoints" in c), {}
        )
    if record is not None and not isinstance(record, dict):
        raise InputError(f"{args.skeleton} must hold one JSON object with 'keypoints'.")
    return create(args.project, record)


def demo(args: argparse.Namespace) -> dict[str, Any]:
    """Make the demo project in its folder."""
    from posestudio.studio.demo import make_demo

    return {"project": absolute(args.dir), **make_demo(absolute(args.dir))}


def import_coco(args: argparse.Namespace) -> dict[str, Any]:
    """COCO keypoints in."""
    labeled: int | str | None = None
    if args.labeled is not None:
        labeled = int(args.labeled) if args.labeled.isdecimal() else absolute(args.labeled)
    return open_studio(args).call(
        "import_coco", file=absolute(args.file), images=absolute(args.images), split=args.split,
        labeled=labeled, seed=args.seed, boxes=args.boxes, skip_bad=args.skip_bad,
    )  # fmt: skip


def import_predictions(args: argparse.Namespace) -> dict[str, Any]:
    """Another model's results in."""
    return open_studio(args).call(
        "import_predictions", file=absolute(args.file), name=args.name, source=args.source
    )


def import_images(args: argparse.Namespace) -> dict[str, Any]:
    """Photos in, with boxes."""
    from posestudio.studio import photos

    weights = Path(args.weights) if args.weights else None
    paths = [absolute(path) for path in args.paths]
    return photos.import_images(
        open_studio(args), paths, boxes=args.boxes, link=args.link, group=args.group,
        weights=weights,
    )  # fmt: skip


def split(args: argparse.Namespace) -> dict[str, Any]:
    """Count, or move."""
    studio = open_studio(args)
    if args.to is None:
        return studio.call("splits")
    if args.share is not None:
        if args.to != "val" or args.person or args.image:
            raise InputError("--share goes with: split val --share 0.2")
        return studio.call("set_val_aside", share=args.share, seed=args.seed)
    if not args.person and not args.image:
        raise InputError(
            "Say who: --person INSTANCE ..., --image IMAGE ..., or for val --share 0.2."
        )
    return studio.call("set_split", split=args.to, people=args.person, images=args.image)


def images(args: argparse.Namespace) -> list[dict[str, Any]]:
    """List images."""
    return open_studio(args).call("images", split=args.split, limit=args.limit)


def people(args: argparse.Namespace) -> list[dict[str, Any]]:
    """List the people of an image."""
    return open_studio(args).call("people", image_id=args.image)


def snapshot(args: argparse.Namespace) -> dict[str, Any]:
    """Freeze."""
    return open_studio(args).call("snapshot")


def verify(args: argparse.Namespace) -> dict[str, Any]:
    """Check; what is wrong is in the answer."""
    return open_studio(args).call("verify")


def export(args: argparse.Namespace) -> dict[str, Any]:
    """Take away."""
    studio, out = open_studio(args), absolute(args.out)
    if args.kind == "predictions":
        from posestudio.studio import take_away

        return take_away.export_predictions(
            studio, Path(out), run=args.run_name, student=args.student, split=args.split
        )
    if args.kind == "yolo":
        return studio.call("export_yolo", out=out)
    return studio.call("export_coco", out=out, split=args.split)


def serve(args: argparse.Namespace) -> dict[str, Any]:
    """The app, until it is stopped.

    Raises:
        InputError: whoever called the command line brought no page.
    """
    if args.serve is None:
        raise InputError("serve works from the command only: posestudio serve")
    args.serve(Path(args.project), args.host, args.port)
    return {}


def export_model(args: argparse.Namespace) -> dict[str, Any]:
    """Students as they are."""
    from posestudio.studio import take_away

    return take_away.export_model(open_studio(args), Path(absolute(args.out)), run=args.run_name)


def export_onnx(args: argparse.Namespace) -> dict[str, Any]:
    """Students as one ONNX file."""
    from posestudio.studio import take_away

    return take_away.export_onnx(
        open_studio(args), Path(absolute(args.out)), run=args.run_name, student=args.student
    )


def _show_project(value: dict[str, Any]) -> str:
    names = (value["skeleton"] or {}).get("keypoints")
    said = f"{len(names)} keypoints" if names else "its skeleton comes with the first import"
    return f"Project {value['project']}: {said}."


def _show_demo(value: dict[str, Any]) -> str:
    scores = value.get("scores") or {}
    named = {name: scores[name] for name in ("AP", "pck@0.2") if name in scores}
    return show.pairs(
        {**value, **named, "open it": f"posestudio serve --project {value['project']}"}, ("scores",)
    )


def _show_import(value: dict[str, Any]) -> str:
    lines = [show.pairs(value, leave_out=("warnings", "faults", "refused"))]
    for name in ("warnings", "faults", "refused"):
        said = [
            item if isinstance(item, str) else json.dumps(item) for item in value.get(name) or []
        ]
        if said:
            lines.append(f"{name}:\n{show.listed(said)}")
    return "\n".join(lines)


def _show_export(value: dict[str, Any]) -> str:
    return show.pairs(value)


def _show_split(value: dict[str, Any]) -> str:
    if "splits" not in value:
        return show.pairs(value)
    rows = [{"split": name, **row} for name, row in value["splits"].items()]
    return show.table(rows, list(rows[0]))


def _show_images(rows: list[dict[str, Any]]) -> str:
    return show.table(
        rows, ["image_id", "file_name", "width", "height", "split", "people"], "No images."
    )


def _show_people(rows: list[dict[str, Any]]) -> str:
    return show.table(
        rows, ["instance_id", "box_xywh", "placed", "reviewed", "split"], "No people."
    )


def _show_verify(value: dict[str, Any]) -> str:
    problems = value.get("problems") or []
    if not problems:
        return "Everything agrees."
    return show.listed([p if isinstance(p, str) else json.dumps(p) for p in problems], 50)


def _damage(value: dict[str, Any]) -> str | None:
    found = len(value["problems"])
    said = f"{found:,} problem{'s' if found > 1 else ''} found, nothing was changed."
    return f"{said}\nA backup brings a project back: posestudio restore FILE" if found else None
