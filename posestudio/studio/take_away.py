"""Take things away: stored predictions as COCO results, students as safetensors or ONNX. Also `posestudio export`."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posestudio import __version__
from posestudio.errors import InputError, NotFound
from posestudio.store.coco_predictions import STUDENT as EXTERNAL
from posestudio.studio import beliefs, results
from posestudio.studio.json_form import write_json
from posestudio.studio.work import now
from posestudio.train.run_folder import RunFolder

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio


def export_predictions(
    studio: "Studio",
    out: Path,
    *,
    run: str | None = None,
    student: str = "ensemble",
    split: str | None = None,
) -> dict[str, Any]:
    """Write the stored predictions of a run, or of an imported model, as COCO results; nothing is computed anew.

    The ids are those of the labels that `export_coco` writes; where these are several files, so are the results.

    Raises:
        NotFound: no such run or model, or it has predicted nobody.
    """
    name = run or studio.call("newest_run")["run_id"]
    rows = studio.call("predictions", run=name)
    rows = [row for row in rows if row["student"] in (student, EXTERNAL)]
    snapshot = now(studio)
    people = (
        snapshot.people if split is None else snapshot.people.take(snapshot.people.split == split)
    )
    points = beliefs.points(rows, people)
    found = results.of_people(studio, people, *points, snapshot.skeleton, split=split)
    if not found:
        raise NotFound(
            f"{name} has predicted nobody here. Make its predictions: on Train, where the run stands, or posestudio "
            f"predict --run {name} --out FILE"
        )
    return {
        "run_id": name, "student": rows[0]["student"], "people": sum(map(len, found.values())),
        **results.write(out, found),
    }  # fmt: skip


def export_model(studio: "Studio", out: Path, *, run: str | None = None) -> dict[str, Any]:
    """Write a run's students as they are (safetensors) with model.json, which says all that is needed to use them.

    Args:
        studio: the project.
        out: a new or empty folder.
        run: the newest run with students when None.

    Raises:
        NotFound: no such run, or it has no students. InputError: the folder has something in it.
    """
    from posestudio.core import color  # lazy: torch
    from posestudio.models.weights import load_student  # lazy: torch

    row = _chosen(studio, run)
    folder = RunFolder(studio.run_folder(row["run_id"]))
    files = folder.students()
    if not files:
        raise NotFound(
            f"Run {folder.path.name} has no students yet. Train it to its first checkpoint."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not an empty folder. Choose another name for the export.")
    _, spec, extra = load_student(files["a"])
    out.mkdir(parents=True, exist_ok=True)
    for file in files.values():
        shutil.copyfile(file, out / file.name)
    write_json(out / "model.json", {
        **_facts(row, spec.to_dict(), extra), "students": {name: file.name for name, file in files.items()},
        "normalize": {"mean": color.IMAGENET_MEAN, "std": color.IMAGENET_STD, "of": "RGB from 0 to 1"},
    })  # fmt: skip
    return {"run_id": row["run_id"], "students": list(files), "out": str(out)}


def export_onnx(
    studio: "Studio", out: Path, *, run: str | None = None, student: str = "ensemble"
) -> dict[str, Any]:
    """Write a run's students as an ONNX file that takes plain crops, checked against torch with onnxruntime.

    Args:
        studio: the project.
        out: the file.
        run: the newest run with students when None.
        student: "a", "b", or "ensemble" for the mean of both.

    Returns:
        run_id, student, out, input and outputs in words, and the largest differences from torch.

    Raises:
        InputError: a package is missing, or the file cannot be written. NotFound: no such run or student.
    """
    from posestudio.models import portable  # lazy: torch
    from posestudio.predict import Predictor  # lazy: torch

    portable.require_onnx()
    row = _chosen(studio, run)
    predictor = Predictor.load(studio.run_folder(row["run_id"]), device="cpu")
    nets = predictor.students
    if student != "ensemble" and student not in nets:
        raise NotFound(
            f"Run {row['run_id']} has no student {student}. It has {', '.join(nets)}, ensemble."
        )
    if not out.parent.is_dir():
        raise InputError(f"There is no folder {out.parent} to write {out.name} to.")
    height, width = predictor.spec.size_hw
    used = list(nets.values()) if student == "ensemble" else [nets[student]]
    facts = _facts(row, predictor.spec.to_dict(), {"skeleton": predictor.skeleton.to_dict()})
    found = portable.export_onnx(used, predictor.spec, out, {**facts, "student": student})
    return {
        "run_id": row["run_id"], "student": student, "out": str(out),
        "input": f"crops: N x 3 x {height} x {width}, float32, RGB from 0 to 1; the normalization is inside",
        "outputs": f"heatmaps: N x K x {height // 4} x {width // 4}; keypoints: N x K x 3, x and y in crop pixels and "
        "the peak's height",
        "largest difference from torch": found.heatmaps, "and of a keypoint in pixels": found.keypoints,
    }  # fmt: skip


def _chosen(studio: "Studio", run: str | None) -> dict[str, Any]:
    return studio.call("run", run=run) if run else studio.call("newest_run")


def _facts(
    row: Mapping[str, Any], spec: dict[str, Any], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """What a user of a model must know: where it comes from, its keypoints, and how crops are cut."""
    return {
        "made_by": f"PoseStudio {__version__}", "run": row["run_id"], "preset": row["preset"], "size": row["size"],
        "snapshot": row["snapshot_id"], "AP": row["metrics"].get("AP"), "spec": spec,
        "skeleton": extra.get("skeleton"),
        "crop": f"A person's box grown by {spec['padding']}, widened or heightened to the aspect of {spec['width']} x "
        f"{spec['height']} and resized to that; what lies outside the photo is gray.",
        "cell": "x_crop = 4 * (x_map + 0.5) - 0.5",
    }  # fmt: skip
