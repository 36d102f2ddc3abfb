"""Photographs that meet a network before or without entering the project: detection on import, prediction of files."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from posestudio.errors import InputError
from posestudio.studio.json_form import write_json
from posestudio.studio.work import choose

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio

Student = Literal["a", "b", "ensemble"]
Finder = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""An image (H, W, 3) uint8 -> boxes (N, 4) x, y, width, height in its pixels, and their scores (N,)."""

DETECTOR_FILE = "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth"
"""What torchvision calls the detector's weights; models/detector.py loads them."""

SAME = 0.5
"""Intersection over union from which two boxes are of the same person. Ours."""


def predict_files(
    studio: "Studio",
    paths: list[Path],
    *,
    run: str | None,
    student: Student,
    flip: bool,
    boxes: str,
    detector: Path | None,
    out: Path,
) -> dict[str, Any]:
    """Predict image files that are not in the project; ids are 1, 2, ... in the order given, file names beside them."""
    from posestudio.predict import load_image  # lazy: torch

    run_id, predictor = choose(studio, run)
    finder = find_people(detector) if boxes == "detect" else None
    results: list[dict[str, Any]] = []
    for number, path in enumerate(paths, 1):
        image = load_image(path)
        box_xywh, box_score = np.array([[0.0, 0.0, image.shape[1], image.shape[0]]]), np.ones(1)
        if finder is not None:
            box_xywh, box_score = finder(image)
        xy_image, score = predictor.predict(image, box_xywh, student=student, flip=flip)
        for place in range(len(box_xywh)):
            triples = np.concatenate([xy_image[place], score[place][:, None]], axis=1)
            results.append({
                "image_id": number, "category_id": 1, "file_name": str(path),
                "keypoints": [float(value) for value in triples.ravel()],
                "score": float(box_score[place] * score[place].mean()),
            })  # fmt: skip
    write_json(out, results)
    return {
        "run_id": run_id,
        "student": student,
        "images": len(paths),
        "people": len(results),
        "out": str(out),
    }


def import_images(
    studio: "Studio",
    paths: list[str],
    *,
    boxes: str = "full",
    link: bool = False,
    group: bool = False,
    weights: Path | None = None,
) -> dict[str, Any]:
    """Bring photos in. boxes: "full", "none", or "detect": a detector finds the people of each new image.

    Raises:
        InputError: the detector's weights cannot be had; nothing is imported.
    """
    finder = find_people(weights) if boxes == "detect" else None
    done = studio.call(
        "import_images", paths=paths, boxes="full" if boxes == "full" else None, link=link,
        group=group,
    )  # fmt: skip
    if finder is None:
        return done
    return {**done, "people": len(detect(studio, done["image_ids"], finder)["people"])}


def detect(studio: "Studio", image_ids: list[int], finder: Finder) -> dict[str, Any]:
    """Let a detector find the people of stored photos; whoever has a box already gets no second one.

    Returns:
        people: ids of those that were added. unread: photos (ids) whose file cannot be read.
    """
    from posestudio.predict import load_image  # lazy: torch

    added: list[int] = []
    unread: list[int] = []
    for image_id in image_ids:
        image = studio.call("image", image_id=image_id)
        try:
            pixels = load_image(studio.project / image["path"])
        except InputError:
            unread.append(image_id)
            continue
        found, _ = finder(pixels)
        known = [row["box_xywh"] for row in studio.call("people", image_id=image_id)]
        new = [box for box in found.tolist() if all(overlap(box, one) < SAME for one in known)]
        if new:
            added += studio.call("add_people", image_id=image_id, boxes_xywh=new, source="detector")
    return {"people": added, "unread": unread}


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    both = across * down
    return both / (one[2] * one[3] + other[2] * other[3] - both)


def detector_file(project: Path) -> Path | None:
    """The detector's weights on this machine: in the project's weights folder, or where torchvision keeps downloads."""
    home = os.environ.get("TORCH_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "torch"
    )
    for folder in (project / "weights", Path(home, "hub", "checkpoints")):
        if (folder / DETECTOR_FILE).is_file():
            return folder / DETECTOR_FILE
    return None


@functools.lru_cache(maxsize=1)
def kept_finder(weights: Path) -> Finder:
    """`find_people`, kept for the next photos."""
    return find_people(weights)


def find_people(weights: Path | None) -> Finder:
    """The detector as a function of an image."""
    import torch  # lazy: torch

    from posestudio.models import detector

    return detector.load(weights, device="cuda" if torch.cuda.is_available() else "cpu").people
