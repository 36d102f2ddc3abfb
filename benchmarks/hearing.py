"""What a run's students say of people, as the verb `pool` hears them, without a store."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posestudio.core import doubt, heatmaps
from posestudio.predict import Predictor
from posestudio.store.snapshots import Snapshot
from posestudio.studio import evidence
from posestudio.studio.evidence import Judge
from posestudio.train import data, objective, session, validate
from posestudio.train.data import Source
from posestudio.train.run_folder import RunFolder

CHUNK, VIEWS = 32, 4


def listen(run: RunFolder, snapshot: Snapshot, project: Path) -> tuple[list[Judge], np.ndarray]:
    """What a run's students say of everybody of a snapshot; crops are kept apart from those of trainings.

    What was heard is kept too, so that another way to judge by it costs seconds.

    Args:
        run: whose students.
        snapshot: the people.
        project: the dataset's, where their images are.

    Returns:
        The judges, and the ensemble's peaks (N, K) in [0, 1].
    """
    file, people = _kept(run, snapshot, project), snapshot.people
    if not file.exists():
        paths = [str(project / path) for path in people.image_path]
        placed = dataclasses.replace(snapshot, people=dataclasses.replace(people, image_path=paths))
        source = data.open_source(placed, project / "error_probability", run.config())
        judges, peak = hear(run, snapshot, source, np.arange(len(people)))
        arrays: dict[str, Any] = {"peak": peak}
        for judge in judges:
            arrays |= {judge.name: judge.measures, f"xy_{judge.name}": judge.xy_image}
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part.npz")
        np.savez_compressed(part, **arrays)
        part.replace(file)
        return judges, peak
    judges, kept = evidence.Hearing.of(run, snapshot).judges, np.load(file)
    for judge in judges:
        judge.xy_image[:], judge.measures[:] = kept[f"xy_{judge.name}"], kept[judge.name]
    _mark_unseen(run, snapshot, judges)
    return judges, kept["peak"]


def hear(
    run: RunFolder, snapshot: Snapshot, source: Source, who: np.ndarray
) -> tuple[list[Judge], np.ndarray]:
    """What a run's students say of some people of a snapshot.

    Args:
        run: whose students.
        snapshot: N people.
        source: with their crops.
        who: indices of the people to ask about.

    Returns:
        The judges, and the ensemble's peaks (N, K) in [0, 1]; NaN about others.
    """
    config, predictor, people = run.config(), Predictor.load(run.path), snapshot.people
    flip = snapshot.skeleton.flip_index
    method = objective.Method(config, flip, session.passes(config, predictor.device))
    hearing = evidence.Hearing.of(run, snapshot)
    peak = np.full(people.state.shape, np.nan)
    for at in range(0, len(who), CHUNK):
        index = who[at : at + CHUNK]
        crops = validate.plain_crops(source, index, method.size_hw).to(predictor.device)
        generator = data.step_generator(0, int(people.instance_id[index[0]]), 9)
        views = objective.draw_views(generator, crops, VIEWS, config.data.color)
        votes = [objective.predict_views(net, views, method) for net in predictor.students.values()]
        hearing(index, votes)
        plain = torch.stack([vote.maps[0] for vote in votes]).mean(dim=0)
        peak[index] = heatmaps.decode(plain, "dark")[1].double().cpu().numpy()
    _mark_unseen(run, snapshot, hearing.judges)
    return hearing.judges, peak


def _mark_unseen(run: RunFolder, snapshot: Snapshot, judges: list[Judge]) -> None:
    fresh = evidence.unseen(run.project, run.path.name, snapshot.people)
    for judge in judges:
        judge.unseen[:] = fresh[list(evidence.STUDENTS[judge.name])].all(axis=0)


def _kept(run: RunFolder, snapshot: Snapshot, project: Path) -> Path:
    """Where what was heard is kept, named by the students, the people, their labels, and what is measured."""
    key = hashlib.sha256(f"{doubt.FEATURES} {VIEWS} v1".encode())
    for path in run.students().values():
        key.update(path.read_bytes())
    for array in (snapshot.people.instance_id, snapshot.people.xy_image):
        key.update(np.ascontiguousarray(array).tobytes())
    return project / "error_probability" / "heard" / f"{run.path.name}-{key.hexdigest()[:16]}.npz"
