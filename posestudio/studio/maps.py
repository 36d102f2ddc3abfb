"""What the students of a run see of one person right now: heatmaps, candidate peaks, and fresh predictions.

All this may run while a training runs in the same process: it changes no mode that other threads share.
"""

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

from posestudio.studio import loaded
from posestudio.train.run_folder import RunFolder

if TYPE_CHECKING:
    import torch

    from posestudio.predict import Predictor
    from posestudio.studio.studio import Studio

CANDIDATES = 6
"""Peaks a keypoint, over both students."""


def heat(studio: "Studio", instance_id: int, run: str | None = None) -> dict[str, Any]:
    """Both students' heatmaps of a person, and where they see peaks.

    Args:
        studio: the project.
        instance_id: whom; nobody of val, whose predictions are not shown.
        run: whose students; the newest run that has some when absent.

    Returns:
        run_id, size [h, w], to_image (2 x 3: the center of a heatmap cell (column, row) to image pixels), students (S
        names), maps (base64 of S x K x h x w uint8, 255 for a peak of 1), candidates (K lists of x, y in image pixels,
        score, student, best first).

    Raises:
        NotFound: no such person, run, or students. InputError: the person is of val, or the image cannot be read.
    """
    import torch  # lazy: torch

    from posestudio.core import geometry, peaks
    from posestudio.models.pose_net import PoseNet

    predictor, person = _open(studio, instance_id, run)
    names = list(predictor.students)
    with torch.inference_mode():
        maps, matrix = _maps(studio, predictor, person, names)
        both = torch.stack([maps[name][0] for name in names]).cpu()
        found = peaks.candidates(both, CANDIDATES)
        back = geometry.invert(torch.from_numpy(matrix))[0]
        xy_crop = geometry.points_to_crop(found.xy_map.double(), PoseNet.stride)
        xy_image = geometry.apply(back, xy_crop).numpy()
        cell = geometry.points_to_crop(
            torch.tensor([[0.0, 0], [1, 0], [0, 1]]).double(), PoseNet.stride
        )
        zero, right, down = geometry.apply(back, cell).numpy()
        levels = (both.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return {
        "run_id": person["run_id"],
        "size": list(both.shape[-2:]),
        "to_image": np.stack([right - zero, down - zero, zero], axis=1).tolist(),
        "students": names,
        "maps": base64.b64encode(np.ascontiguousarray(levels).tobytes()).decode("ascii"),
        "candidates": [
            [
                {"x": x, "y": y, "score": score, "student": names[student]}
                for (x, y), score, student in zip(points, scores, students, strict=True)
                if score > 0
            ]
            for points, scores, students in zip(
                xy_image.tolist(), found.score.tolist(), found.student.tolist(), strict=True
            )
        ],
    }


def predict_person(studio: "Studio", instance_id: int, run: str | None = None) -> dict[str, Any]:
    """Predict a person again with its present box, keep that as the run's prediction, return the new document.

    Raises:
        NotFound: no such person, run, or students. InputError: the person is of val, or the image cannot be read.
    """
    import torch  # lazy: torch

    predictor, person = _open(studio, instance_id, run)
    names = [*predictor.students, "ensemble"]
    with torch.inference_mode():
        maps, matrix = _maps(studio, predictor, person, names)
        found = {name: predictor.read(maps[name], matrix) for name in names}
    studio.call(
        "save_prediction", run_id=person["run_id"], instance_id=instance_id, box_revision=person["box_revision"],
        points={name: xy_image[0].tolist() for name, (xy_image, _) in found.items()},
        scores={name: score[0].tolist() for name, (_, score) in found.items()},
    )  # fmt: skip
    return studio.call("document", instance_id=instance_id, run=person["run_id"], fresh=True)


def _open(
    studio: "Studio", instance_id: int, run: str | None
) -> tuple["Predictor", dict[str, Any]]:
    """The students of a run, and the person with `run_id`."""
    import torch  # lazy: torch

    torch.set_num_threads(
        1
    )  # of this thread: one crop gains nothing from more, and a training may need them
    person = studio.call("to_predict", instance_id=instance_id, run=run)
    return loaded.students(RunFolder(studio.run_folder(person["run_id"]))), person


def _maps(
    studio: "Studio", predictor: "Predictor", person: dict[str, Any], names: list[str]
) -> "tuple[dict[str, torch.Tensor], np.ndarray]":
    """Heatmaps (1, K, h, w) by student, and the (1, 2, 3) matrix of the crop."""
    from posestudio.predict import cut_crop, load_image  # lazy: torch

    image, box = load_image(studio.project / person["image_path"]), [person[n] for n in "xywh"]
    crop, matrix = cut_crop(image, box, predictor.spec.size_hw, predictor.spec.padding)
    return predictor.all_heatmaps(predictor.tensor([crop]), names), matrix[None]
