"""Photographs that meet a network before or without entering the project: detection on import, prediction of files."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from posestudio.studio.json_form import write_json
from posestudio.studio.work import choose

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio

Student = Literal["a", "b", "ensemble"]


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
    from posestudio.predict import load_image  # lazy: torch

    finder = find_people(weights) if boxes == "detect" else None
    done = studio.call(
        "import_images", paths=paths, boxes="full" if boxes == "full" else None, link=link,
        group=group,
    )  # fmt: skip
    if finder is None:
        return done
    found = 0
    for image_id in done["image_ids"]:
        image = studio.call("image", image_id=image_id)
        box_xywh, _ = finder(load_image(studio.project / image["path"]))
        if len(box_xywh):
            studio.call(
                "add_people", image_id=image_id, boxes_xywh=box_xywh.tolist(), source="detector"
            )
        found += len(box_xywh)
    return {**done, "people": found}


def find_people(weights: Path | None) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The detector as a function of an image."""
    import torch  # lazy: torch

    from posestudio.models import detector

    return detector.load(weights, device="cuda" if torch.cuda.is_available() else "cpu").people
