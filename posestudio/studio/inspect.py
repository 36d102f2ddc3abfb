"""What both students of a run believe about one person, with every step from votes to targets.

The views are seeded and the networks run in evaluation mode, so the same person, run and seed show the same pictures;
a training step draws its own views and may run batch norm on the batch.
"""

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posestudio.config import Config
from posestudio.errors import NotFound
from posestudio.train.run_folder import RunFolder

if TYPE_CHECKING:
    import torch

    from posestudio.predict import Predictor
    from posestudio.studio.studio import Studio
    from posestudio.train import objective

LEAST_VIEWS = 4
"""Views that are drawn when the run's own method takes fewer, so that there is something to compare."""

KEPT_RUNS = 2
"""Runs whose students stay loaded between two looks."""


def look(
    studio: "Studio", instance_id: int, run_id: str | None = None, *, seed: int = 0
) -> dict[str, Any]:
    """Run a person through the students, the denoising and the selection of a run.

    Args:
        studio: the project.
        instance_id: whom.
        run_id: whose students; the newest run that has some when absent.
        seed: of the views.

    Returns:
        Arrays over S students, V views and K keypoints; maps are h x w heatmaps in the crop's frame, points are in
        crop pixels: instance, run_id, students, keypoints, views (names); crop (H, W, 3) uint8; matrix (2, 3), image
        to crop; maps (S, K, h, w), points (S, K, 2), scores (S, K) of the plain crop; votes (S, V, K, h, w), valid
        (S, V, 1, h, w), vote_peaks (S, V, K, 2), vote_scores, agrees (S, V, K); aggregated, offers, targets
        (S, K, h, w); accepted (S, K), reasons [S][K]; uncertainty (S, K), uncertainty_maps (S, K, h, w); chosen (S, K),
        the offer each student learns from or -1; threshold; label_points (K, 2) NaN where there is none, label_v
        (K,), taught (K,).

    Raises:
        NotFound: no such person, image file or run with students.
    """
    person = studio.call("person", instance_id=instance_id)
    run_id = run_id or str(studio.call("newest_run")["run_id"])
    folder = RunFolder(studio.run_folder(run_id))
    predictor = _students(folder.path, _stamp(folder))
    config = _with_views(folder.config())
    skeleton = predictor.skeleton
    crop, matrix = _cut(studio.project / person["image_path"], person["box_xywh"], predictor)
    return {
        "instance": person,
        "run_id": run_id,
        "students": list(predictor.students),
        "keypoints": list(skeleton.keypoints),
        "views": view_names(config.views.count),
        "crop": crop,
        "matrix": matrix,
        "taught": _taught(folder, skeleton.keypoints),
        "threshold": config.pool.threshold,
        **_label(person, matrix, len(skeleton.keypoints)),
        **_beliefs(predictor, crop, config, _seed(seed, instance_id)),
    }


def _cut(
    path: Path, box_xywh: list[float], predictor: "Predictor"
) -> tuple[np.ndarray, np.ndarray]:
    """The person's crop as the students take it, and the matrix that cut it."""
    from posestudio.predict import cut_crop, load_image  # lazy: torch

    return cut_crop(load_image(path), box_xywh, predictor.spec.size_hw, predictor.spec.padding)


def _beliefs(
    predictor: "Predictor", crop: np.ndarray, config: Config, seed: "torch.Generator"
) -> dict[str, Any]:
    """Votes, pool and targets of one crop, and what the students say of it without any view."""
    import torch  # lazy: torch

    from posestudio.core import geometry, heatmaps
    from posestudio.models.pose_net import PoseNet
    from posestudio.train import objective, session

    passes = session.passes(config, predictor.device)
    method = objective.Method(config, predictor.skeleton.flip_index, passes)
    crops = predictor.tensor([crop])
    views = objective.draw_views(seed, crops, config.views.count, config.data.color)
    votes = [
        objective.predict_views(net.eval(), views, method) for net in predictor.students.values()
    ]
    maps = torch.stack([vote.maps[0, 0] for vote in votes])
    xy_map, score = heatmaps.decode(maps, "dark", predictor.spec.spread)
    return {
        "maps": maps.cpu().numpy(),
        "points": geometry.points_to_crop(xy_map, PoseNet.stride).cpu().numpy(),
        "scores": score.cpu().numpy(),
        **_steps(votes, objective.make_pool(votes, method), method),
    }


def _seed(seed: int, instance_id: int) -> "torch.Generator":
    from posestudio.train import data  # lazy: torch

    return data.step_generator(seed, instance_id, 9)


def view_names(count: int) -> list[str]:
    """What each view of `objective.draw_views` is."""
    names = ["as it is", "mirrored", "turned", "turned, recolored"]
    return [names[i] if i < 4 else f"{names[2 + i % 2]} {i // 2}" for i in range(count)]


def reason(code: str, score: float, agreeing: int, views: int, config: Config, least: float) -> str:
    """Why an offer was accepted or rejected, in words.

    Args:
        code: one of pseudo.REASONS.
        score: height of its peak.
        agreeing: views that agree with the main opinion.
        views: views that voted.
        config: settings of the run.
        least: threshold of this keypoint.
    """
    agreed = f"{agreeing} of {views} views agree"
    if code == "accepted":
        if least <= 0:
            return f"accepted: this method keeps every offer (peak {score:.2f})"
        return f"accepted: its peak {score:.2f} passes {least:.2g}; {agreed}"
    pool = config.pool
    return (
        "rejected: "
        + {
            "below threshold": f"its peak {score:.2f} is below the threshold {least:.2g}",
            "views disagree": f"{agreed}, and {pool.agree:.0%} must",
            "two peaks": f"a second peak reaches {pool.second:.0%} of the first or more",
            "swap suspect": "the mirrored keypoint claims the same place",
            "at the edge": f"its peak lies within {pool.edge:g} cells of the border, perhaps outside",
            "too uncertain": f"its uncertainty is above {config.select.limit:g}",
        }[code]
    )


def _steps(
    votes: list["objective.Votes"], pool: "objective.Pool", method: "objective.Method"
) -> dict[str, Any]:
    """From votes to targets, as arrays."""
    import torch  # lazy: torch

    from posestudio.core import geometry, pseudo
    from posestudio.models.pose_net import PoseNet

    peaks, scores, agrees = [], [], []
    for vote in votes:
        xy_map, score = pseudo.view_peaks(vote.maps, vote.valid)
        peaks.append(geometry.points_to_crop(xy_map, PoseNet.stride)[:, 0])
        scores.append(score[:, 0])
        agrees.append(pseudo.main_group(xy_map, score)[:, 0])
    agreeing = torch.stack(agrees).sum(dim=1)
    students, keypoints = pool.score.shape[0], pool.score.shape[2]
    least = torch.as_tensor(pool.threshold).expand(keypoints)
    normalize = method.config.select.normalize
    deviation = [pseudo.uncertainty_map(v.maps, v.valid, normalize=normalize)[0] for v in votes]
    targets = pseudo.take(pool.maps, pool.chosen)[:, 0]
    targets = targets * (pool.chosen[:, 0] >= 0)[..., None, None]
    return {
        "votes": torch.stack([vote.maps[:, 0] for vote in votes]).cpu().numpy(),
        "valid": torch.stack([vote.valid[:, 0] for vote in votes]).cpu().numpy(),
        "vote_peaks": torch.stack(peaks).cpu().numpy(),
        "vote_scores": torch.stack(scores).cpu().numpy(),
        "agrees": torch.stack(agrees).cpu().numpy(),
        "aggregated": pool.aggregated[:, 0].cpu().numpy(),
        "offers": pool.maps[:, 0].cpu().numpy(),
        "accepted": pool.accepted[:, 0].cpu().numpy(),
        "reasons": [
            [
                reason(
                    pseudo.REASONS[int(pool.reason[s, 0, k])], float(pool.score[s, 0, k]),
                    int(agreeing[s, k]), len(votes[s].maps), method.config, float(least[k]),
                )
                for k in range(keypoints)
            ]
            for s in range(students)
        ],
        "uncertainty": pool.uncertainty[:, 0].cpu().numpy(),
        "uncertainty_maps": torch.stack(deviation).cpu().numpy(),
        "chosen": pool.chosen[:, 0].cpu().numpy(),
        "targets": targets.cpu().numpy(),
    }  # fmt: skip


def _label(person: dict[str, Any], matrix: np.ndarray, keypoints: int) -> dict[str, np.ndarray]:
    """The person's label in the crop: label_points (K, 2), NaN where none is placed, and label_v (K,)."""
    points, visibility = np.full((keypoints, 2), np.nan), np.zeros(keypoints, np.int64)
    for row in person["labels"]:
        if row["state"] == "placed":
            points[row["keypoint"]] = matrix[:, :2] @ [row["x"], row["y"]] + matrix[:, 2]
            visibility[row["keypoint"]] = row["v"]
    return {"label_points": points, "label_v": visibility}


def _with_views(config: Config) -> Config:
    count = max(LEAST_VIEWS, config.views.count)
    return replace(config, views=replace(config.views, count=count))


def _taught(folder: RunFolder, keypoints: tuple[str, ...]) -> np.ndarray:
    """(K,) bool: the keypoints that the run's labels showed."""
    snapshot = str(folder.record()["snapshot"])
    header = folder.project / "snapshots" / snapshot / "snapshot.json"
    try:
        untaught = json.loads(header.read_text("utf-8"))["untaught"]
    except (OSError, ValueError, KeyError) as error:
        raise NotFound(
            f"The snapshot {snapshot} of run {folder.path.name} cannot be read: {error}."
        ) from error
    return np.array([name not in untaught for name in keypoints])


def _stamp(folder: RunFolder) -> int:
    """Changes when the students are saved again, so that a training run's newer ones are read."""
    files = folder.students()
    if not files:
        raise NotFound(
            f"Run {folder.path.name} has no students yet. Train it to its first checkpoint."
        )
    return max(path.stat().st_mtime_ns for path in files.values())


@functools.lru_cache(maxsize=KEPT_RUNS)
def _students(path: Path, stamp: int) -> "Predictor":
    from posestudio.predict import Predictor  # lazy: torch

    return Predictor.load(path)
