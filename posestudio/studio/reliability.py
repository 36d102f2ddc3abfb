"""Whether error probabilities mean what they say: what was said of keypoints against what people then found.

Only labels count that neither the students nor the fit of the probabilities had seen: those placed after they were
said, or, while these are few, held-out ones, each judged by a fit that left its photo out.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posestudio.core import trust
from posestudio.errors import NotFound
from posestudio.store.snapshots import PLACED, Snapshot
from posestudio.studio import evidence, queue, ranking
from posestudio.studio.json_form import plain

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio

Record = dict[str, Any]
Told = tuple[np.ndarray, np.ndarray]
"""probability (M,) of an error, and wrong (M,) bool."""

LEAST_LATER = 50
"""Keypoints labeled later from which they alone decide. Ours."""
LEAST = 20
"""Keypoints below which nothing is said. Ours."""
BINS, IN_BIN = 10, 10
"""At most so many bins, of at least so many keypoints each."""
PARTS = 5

LATER = "labels placed after the probabilities were said"
HELD = "held-out labels, each judged by a fit that left its photo out"


def reliability(studio: "Studio", run_id: str, snapshot: Snapshot) -> Record | None:
    """The reliability diagram of a run's error probabilities; None with too few labels that it never saw.

    Returns:
        source (words), keypoints, wrong (share), ece, auroc, bins: [{"said", "found", "low", "high", "n"}] of equal
        mass, low and high the 95 % interval of found.
    """
    folder = studio.run_folder(run_id)
    told, source = _later(studio, run_id, folder, snapshot), LATER
    if len(told[0]) < LEAST_LATER:
        held = _held_out(studio, run_id, folder, snapshot)
        told, source = (held, HELD) if len(held[0]) >= len(told[0]) else (told, source)
    chance, wrong = told
    if len(chance) < LEAST:
        return None
    return plain({
        "source": source, "keypoints": len(chance), "wrong": float(wrong.mean()),
        "ece": trust.ece(chance, wrong, min(BINS, max(1, len(chance) // IN_BIN))),
        "auroc": trust.auroc(chance, wrong), "bins": bins(chance, wrong),
    })  # fmt: skip


def bins(chance: np.ndarray, wrong: np.ndarray) -> list[Record]:
    """Bins of equal mass by rising probability, as `reliability` returns them."""
    count = min(BINS, max(1, len(chance) // IN_BIN))
    found = []
    for part in np.array_split(np.argsort(chance, kind="stable"), count):
        share, n = float(wrong[part].mean()), len(part)
        low, high = wilson(share, n)
        found.append({
            "said": float(chance[part].mean()), "found": share, "low": low, "high": high, "n": n,
        })  # fmt: skip
    return found


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share seen in n cases. Source: Wilson 1927."""
    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def _later(studio: "Studio", run_id: str, folder: Path, snapshot: Snapshot) -> Told:
    """What was said of keypoints that were open then and are placed now."""
    people = snapshot.people
    rows = studio.call("uncertainties", run=run_id)
    place = {int(one): index for index, one in enumerate(people.instance_id)}
    asked = [
        (place[row["instance_id"]], row["keypoint"], row["error_probability"])
        for row in rows
        if row["error_probability"] is not None and row["instance_id"] in place
    ]
    if not asked:
        return np.zeros(0), np.zeros(0, bool)
    person, keypoint = (np.array(column) for column in list(zip(*asked, strict=True))[:2])
    chance = np.array([row[2] for row in asked], np.float64)
    try:
        xy_image, _ = ranking.stored(folder, people)
    except NotFound:
        return np.zeros(0), np.zeros(0, bool)
    gap = np.linalg.norm(xy_image - people.xy_image, axis=-1)[person, keypoint]
    known = (people.state[person, keypoint] == PLACED) & np.isfinite(gap)
    return chance[known], (gap / people.box_xywh[person, 3] > queue.TOLERANCE)[known]


def _held_out(studio: "Studio", run_id: str, folder: Path, snapshot: Snapshot) -> Told:
    """What fits that leave out a fifth of the photos say of labels there that the students never saw."""
    people = snapshot.people
    fresh = evidence.unseen(studio.project, run_id, people)
    judges = evidence.read(folder, people, fresh)
    said = np.full(people.state.shape, np.nan)
    wrong = np.zeros(people.state.shape, bool)
    groups = np.unique(people.group_id[fresh.any(axis=(0, 2))])
    order = np.random.default_rng(0).permutation(groups)
    for part in np.array_split(order, PARTS) if judges and len(groups) >= PARTS else []:
        out = np.isin(people.group_id, part)
        hidden = np.where(out[:, None, None], np.nan, people.xy_image)
        doubts = queue.chances(judges, people.box_xywh, hidden)
        for judge in reversed(judges):  # both together speak last, where they may
            probability = doubts[judge.name].probability
            if probability is None:
                continue
            gap = np.linalg.norm(judge.xy_image - people.xy_image, axis=-1)
            mine = out[:, None] & judge.unseen & np.isfinite(gap) & np.isfinite(probability)
            said[mine] = probability[mine]
            wrong[mine] = (gap / people.box_xywh[:, 3:4] > queue.TOLERANCE)[mine]
    known = np.isfinite(said)
    return said[known], wrong[known]
