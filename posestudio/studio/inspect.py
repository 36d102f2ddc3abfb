"""What both students of a run believe about one person, with every step from votes to targets.

The views are seeded and the networks run in evaluation mode, so the same person, run and seed show the same pictures;
a training step draws its own views and may run batch norm on the batch.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posestudio.config import Config
from posestudio.errors import NotFound
from posestudio.studio import loaded
from posestudio.train import ledger
from posestudio.train.run_folder import RunFolder

if TYPE_CHECKING:
    import torch

    from posestudio.models.pose_net import PoseNet
    from posestudio.predict import Predictor
    from posestudio.studio.studio import Studio
    from posestudio.train import objective

LEAST_VIEWS = 4
"""Views that are drawn when the run's own method takes fewer, so that there is something to compare."""

CANDIDATES = 6
"""Peaks a keypoint, over all students' maps."""

PICTURE = 640
"""Height in pixels up to which the crop is cut once more, for people to look at."""


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
        Arrays over S students, O voters, V views and K keypoints; maps are h x w heatmaps in the crop's frame, points
        are in crop pixels: instance, run_id, students, voters (the students, or those of the run that this one learned
        from), keypoints, views (names), config; crop (H, W, 3) uint8, picture: the same cut finer; matrix (2, 3), image
        to crop; maps (S, K, h, w), points (S, K, 2), scores (S, K) of the plain crop; candidates, peaks of these maps,
        [K] lists of xy, score and student, highest first; votes (O, V, K, h, w), valid
        (O, V, 1, h, w), vote_peaks (O, V, K, 2), vote_scores, agrees (O, V, K); aggregated, offers (O, K, h, w);
        accepted (O, K), reasons [O][K]; uncertainty (O, K), uncertainty_maps (O, K, h, w); chosen (S, K), the offer
        each student learns from or -1, targets (S, K, h, w); threshold; label_points (K, 2) NaN where there is none,
        label_v (K,), taught (K,).

    Raises:
        NotFound: no such person, image file or run with students.
    """
    person = studio.call("person", instance_id=instance_id)
    run_id = run_id or str(studio.call("newest_run")["run_id"])
    folder = RunFolder(studio.run_folder(run_id))
    predictor = loaded.students(folder)
    config = _with_views(folder.config())
    least = _least(folder, config)
    skeleton = predictor.skeleton
    crop, matrix, picture = _cut(
        studio.project / person["image_path"], person["box_xywh"], predictor
    )
    voters = _voters(folder, predictor, config)
    return {
        "instance": person,
        "run_id": run_id,
        "students": list(predictor.students),
        "voters": list(voters),
        "keypoints": list(skeleton.keypoints),
        "views": view_names(config.views.count, skeleton.mirrors),
        "config": config,
        "crop": crop,
        "picture": picture,
        "matrix": matrix,
        "taught": _taught(folder, skeleton.keypoints),
        "threshold": config.pool.threshold if least is None else float(np.mean(least)),
        **_label(person, matrix, len(skeleton.keypoints)),
        **_beliefs(predictor, list(voters.values()), crop, config, _seed(seed, instance_id), least),
    }


def _cut(
    path: Path, box_xywh: list[float], predictor: "Predictor"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The person's crop as the students take it, the matrix that cut it, and the same cut finer for people."""
    from posestudio.predict import cut_crop, load_image  # lazy: torch

    image, (height, width) = load_image(path), predictor.spec.size_hw
    padding, finer = predictor.spec.padding, max(1, PICTURE // height)
    crop, matrix = cut_crop(image, box_xywh, (height, width), padding)
    return crop, matrix, cut_crop(image, box_xywh, (finer * height, finer * width), padding)[0]


def _voters(folder: RunFolder, predictor: "Predictor", config: Config) -> "dict[str, PoseNet]":
    """Whose votes make the pool of a run, by name: its saved students, or those of the run that it learned from."""
    before = folder.record().get("from")
    if config.views.voters != "start" or not before:
        return dict(predictor.students)
    earlier = RunFolder(folder.path.parent / str(before))
    return dict(loaded.students(earlier).students)


def _beliefs(
    predictor: "Predictor",
    voters: "Sequence[PoseNet]",
    crop: np.ndarray,
    config: Config,
    seed: "torch.Generator",
    least: list[float] | None,
) -> dict[str, Any]:
    """Votes, pool and targets of one crop, and what the students say of it without any view."""
    import torch  # lazy: torch

    from posestudio.core import geometry, heatmaps
    from posestudio.models.pose_net import PoseNet
    from posestudio.train import objective, session

    passes = session.passes(config, predictor.device)
    method = objective.Method(config, predictor.skeleton.flip_index, passes)
    if least is not None:
        method = replace(method, threshold=torch.tensor(least, device=predictor.device))
    crops = predictor.tensor([crop])
    views = objective.draw_views(
        seed, crops, config.views.count, config.data.color, mirror=method.mirrors
    )
    votes = [objective.predict_views(net.eval(), views, method) for net in voters]
    if voters == list(predictor.students.values()):
        maps = torch.stack([vote.maps[0, 0] for vote in votes])
    else:
        with torch.no_grad():
            alone = [objective.forward(net, crops, method) for net in predictor.students.values()]
        maps = torch.stack([one[0] for one in alone])
    xy_map, score = heatmaps.decode(maps, "dark", predictor.spec.spread)
    return {
        "maps": maps.cpu().numpy(),
        "points": geometry.points_to_crop(xy_map, PoseNet.stride).cpu().numpy(),
        "scores": score.cpu().numpy(),
        "candidates": _candidates(maps.cpu(), list(predictor.students)),
        **_steps(votes, objective.make_pool(votes, method), method, len(maps)),
    }


def _candidates(maps: "torch.Tensor", students: list[str]) -> list[list[dict[str, Any]]]:
    """For each of K keypoints the peaks of maps (S, K, h, w), highest first."""
    from posestudio.core import geometry, peaks
    from posestudio.models.pose_net import PoseNet

    found = peaks.candidates(maps, CANDIDATES)
    xy_crop = geometry.points_to_crop(found.xy_map, PoseNet.stride).tolist()
    return [
        [
            {"xy": xy, "score": score, "student": students[student]}
            for xy, score, student in zip(*one, strict=True)
            if score > 0
        ]
        for one in zip(xy_crop, found.score.tolist(), found.student.tolist(), strict=True)
    ]


def _least(folder: RunFolder, config: Config) -> list[float] | None:
    """The thresholds (K) that a run with pool.gate=calibrated measured and trained with; None for other gates.

    Raises:
        NotFound: it has not measured them yet.
    """
    if config.pool.gate != "calibrated" or config.loss.unlabeled == 0:
        return None
    from posestudio.train import thresholds  # lazy: torch

    try:
        return json.loads((folder.path / thresholds.FILE).read_text("utf-8"))["threshold"]
    except (OSError, ValueError, KeyError) as error:
        raise NotFound(
            f"The thresholds of run {folder.path.name} cannot be read: {error}.\n"
            "Go on with it, which measures them: Resume on Train, or posestudio train --resume "
            f"{folder.path.name}"
        ) from error


def _seed(seed: int, instance_id: int) -> "torch.Generator":
    from posestudio.train import data  # lazy: torch

    return data.step_generator(seed, instance_id, 9)


def view_names(count: int, mirror: bool = True) -> list[str]:
    """What each view of `objective.draw_views` is."""
    names = ["as it is", "mirrored" if mirror else "turned", "turned", "turned, recolored"]
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
    votes: list["objective.Votes"],
    pool: "objective.Pool",
    method: "objective.Method",
    learners: int,
) -> dict[str, Any]:
    """From votes to targets, as arrays; the first `learners` students learn."""
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
    offers, keypoints = pool.score.shape[0], pool.score.shape[2]
    least = torch.as_tensor(pool.threshold).expand(keypoints)
    targets = pseudo.take(pool.maps, pool.chosen)[:learners, 0]
    targets = targets * (pool.chosen[:learners, 0] >= 0)[..., None, None]
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
            for s in range(offers)
        ],
        "uncertainty": pool.uncertainty[:, 0].cpu().numpy(),
        "uncertainty_maps": _deviations(votes, method).cpu().numpy(),
        "chosen": pool.chosen[:learners, 0].cpu().numpy(),
        "targets": targets.cpu().numpy(),
    }  # fmt: skip


def _deviations(votes: list["objective.Votes"], method: "objective.Method") -> "torch.Tensor":
    """(O, K, h, w): how much the votes behind each offer differ, cell by cell, as select.uncertainty counts it."""
    import torch  # lazy: torch

    from posestudio.core import pseudo

    rule = method.config.select
    heard = [(vote.maps, vote.valid) for vote in votes]
    if rule.uncertainty == "cross_std":
        means = torch.stack([pseudo.combine(*one, "mean") for one in heard])
        heard = [(means, torch.stack([seen.any(dim=0) for _, seen in heard]))]
    elif method.config.pool.share or rule.uncertainty == "all_std":
        heard = [(torch.cat([m for m, _ in heard]), torch.cat([seen for _, seen in heard]))]
    found = [pseudo.uncertainty_map(*one, normalize=rule.normalize)[0] for one in heard]
    return torch.stack(found * (len(votes) // len(found)))


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


def logged(studio: "Studio", instance_id: int, run_id: str) -> list[dict[str, Any]]:
    """What a run's training wrote down about a person, the newest step first.

    Returns:
        Of each step its `step` and its `rows`, one a keypoint and voter, as `train.ledger.SCHEMA` has them.

    Raises:
        NotFound: no such run.
    """
    run = studio.call("run", run=run_id)["run_id"]
    steps: dict[int, list[dict[str, Any]]] = {}
    for row in ledger.logged(RunFolder(studio.run_folder(run)), instance_id):
        steps.setdefault(row["step"], []).append(row)
    return [{"step": step, "rows": steps[step]} for step in sorted(steps, reverse=True)]
