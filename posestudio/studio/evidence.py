"""What a run's votes say for and against each keypoint, and which labels their students never saw.

Three judges may speak of a person: both students together, and each alone. Of a label that both have not seen, both
together are the witness; of one that only one student left out (data.cross_fit), that student alone.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posestudio.config import Config
from posestudio.store.snapshots import PLACED, People, Snapshot
from posestudio.train import seen
from posestudio.train.run_folder import RunFolder

if TYPE_CHECKING:
    from posestudio.core.doubt import LimbPrior
    from posestudio.train.objective import Votes

EVIDENCE_FILE = "evidence.parquet"

STUDENTS = {"both": (0, 1), "a": (0,), "b": (1,)}
"""Judges and the students whose votes they hear."""


@dataclass(frozen=True, slots=True)
class Judge:
    """One opinion about N people with K keypoints; NaN where it says nothing.

    name: "both", "a" or "b". xy_image: (N, K, 2) where it sees them. measures: (N, K, F) what speaks against that,
    the columns of core.doubt.FEATURES. unseen: (N, K) bool, labels that none of its students was trained on.
    """

    name: str
    xy_image: np.ndarray
    measures: np.ndarray
    unseen: np.ndarray


@dataclass(frozen=True, slots=True)
class Hearing:
    """Votes on their way to an evidence file: call it with some people's indices and each student's votes about them.

    snapshot: whose people. judges: with arrays over all of them, filled by each call. prior: limbs of the labeled
    ones. config: of the run.
    """

    snapshot: Snapshot
    judges: list[Judge]
    prior: "LimbPrior"
    config: Config

    @classmethod
    def of(cls, run: RunFolder, snapshot: Snapshot) -> "Hearing":
        """Nothing heard yet; each student is a judge of its own where it left out people (data.cross_fit)."""
        import torch  # lazy: torch

        from posestudio.core import doubt

        people = snapshot.people
        first, second = unseen(run.project, run.path.name, people)
        shown = (people.state == PLACED) & (people.split == "train")[:, None]
        points = torch.from_numpy(np.where(shown[..., None], people.xy_image, np.nan))
        names = ["both"] if (first == second).all() else list(STUDENTS)
        judges = _silent(names, people.state.shape, len(doubt.FEATURES))
        return cls(snapshot, judges, doubt.fit_limbs(points, snapshot.skeleton.limbs), run.config())

    def __call__(self, index: np.ndarray, votes: Sequence["Votes"]) -> None:
        """Write down what the votes about some people say; untaught keypoints stay NaN.

        Args:
            index: (B,) people of the snapshot.
            votes: of each student, the first view being the crop as it is.
        """
        import torch  # lazy: torch

        from posestudio.core import doubt, geometry, heatmaps
        from posestudio.models.pose_net import PoseNet

        data, taught = self.config.data, self.snapshot.taught[:, None]
        boxes = torch.from_numpy(self.snapshot.people.box_xywh[index])
        matrix = geometry.box_to_crop(boxes, (data.height, data.width), data.padding)
        height = (boxes[:, 3] * matrix[:, 0, 0] / PoseNet.stride).float()
        for judge in self.judges:
            heard = [votes[s] for s in STUDENTS[judge.name] if s < len(votes)]
            opinions = [doubt.Opinion(vote.maps.cpu(), vote.valid.cpu()) for vote in heard]
            plain = torch.stack([one.maps[0] for one in opinions]).mean(dim=0)
            xy_map, _ = heatmaps.decode(plain, "dark")
            found = doubt.measure(
                opinions, xy_map, height_map=height, prior=self.prior,
                flip_index=self.snapshot.skeleton.flip_index,
            )  # fmt: skip
            xy_crop = geometry.points_to_crop(xy_map.double(), PoseNet.stride)
            xy_image = geometry.apply(geometry.invert(matrix), xy_crop).numpy()
            judge.xy_image[index] = np.where(taught, xy_image, np.nan)
            judge.measures[index] = np.where(taught, found.double().numpy(), np.nan)

    def write(self, folder: Path) -> Path:
        """Write evidence.parquet of a run: a row for each judge and person heard of."""
        people = self.snapshot.people
        rows: dict[str, list[Any]] = {
            name: [] for name in ("instance_id", "box_revision", "judge", "xy", "measures")
        }
        for judge in self.judges:
            known = np.flatnonzero(np.isfinite(judge.measures).any(axis=(1, 2)))
            rows["instance_id"] += people.instance_id[known].tolist()
            rows["box_revision"] += people.box_revision[known].tolist()
            rows["judge"] += [judge.name] * len(known)
            rows["xy"] += list(judge.xy_image[known].reshape(len(known), -1))
            rows["measures"] += list(judge.measures[known].reshape(len(known), -1))
        path = folder / EVIDENCE_FILE
        part = path.with_name(f".{path.name}.part")
        pq.write_table(pa.table(rows), part)
        os.replace(part, path)
        return path


def _silent(names: Sequence[str], shape: tuple[int, ...], size: int) -> list[Judge]:
    """Judges who know nothing yet."""
    return [
        Judge(name, np.full((*shape, 2), np.nan), np.full((*shape, size), np.nan), np.zeros(shape, bool))
        for name in names
    ]  # fmt: skip


def read(folder: Path, people: People, fresh: np.ndarray) -> list[Judge]:
    """What the evidence file of a run's folder says of these people; of a person whose box moved since, nothing.

    Args:
        folder: of the run.
        people: N people.
        fresh: (2, N, K) of `unseen`.

    Returns:
        The judges, "both" first; none where there is no such file or it is of another form.
    """
    try:
        rows = pq.read_table(folder / EVIDENCE_FILE)
        columns = {name: rows[name].to_numpy() for name in ("instance_id", "box_revision", "judge")}
        xy, measures = _matrix(rows["xy"]), _matrix(rows["measures"])
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return []
    kinds = people.state.shape[1]
    size = measures.shape[1] // kinds
    if xy.shape[1] != 2 * kinds or measures.shape[1] != size * kinds:
        return []
    names = [name for name in STUDENTS if name in set(columns["judge"])]
    judges = _silent(names, people.state.shape, size)
    index = seen.places(columns["instance_id"], people.instance_id)
    known = (index >= 0) & (people.box_revision[index] == columns["box_revision"])
    for judge in judges:
        mine = known & (columns["judge"] == judge.name)
        judge.xy_image[index[mine]] = xy[mine].reshape(-1, kinds, 2)
        judge.measures[index[mine]] = measures[mine].reshape(-1, kinds, size)
        judge.unseen[:] = fresh[list(STUDENTS[judge.name])].all(axis=0)
    return judges


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float64).reshape(max(len(column), 1), -1)


def unseen(project: Path, run_id: str, people: People) -> np.ndarray:
    """Labels that each student of a run was not trained on, in this run or in those that it started from.

    Unseen are labels of the stored fold (data.hold_fold), of the people that a student left out (data.cross_fit), and
    those that a person placed after the run's labels were frozen. A label that was moved since counts as seen.

    Args:
        project: the project's folder.
        run_id: of a run in it; of an imported model nothing is known, so nothing is unseen.
        people: N people with their labels.

    Returns:
        (2, N, K) bool, for students a and b; placed keypoints of the train and unlabeled splits only.
    """
    shown = seen.labels(project, run_id, people)
    if shown is None:
        return np.zeros((2, *people.state.shape), bool)
    usable = (people.state == PLACED) & np.isin(people.split, ["train", "unlabeled"])[:, None]
    return usable & ~people.iscrowd[:, None] & ~shown


def learned(project: Path, run_id: str, people: People) -> np.ndarray:
    """(N,) bool: people of any split whose labels a student of a run was trained on, or of one that it started from.

    Of an imported model, and where a run or its snapshot is gone, nothing is known, and nobody is told learned.
    """
    shown = seen.labels(project, run_id, people)
    return np.zeros(len(people), bool) if shown is None else np.asarray(shown.any(axis=(0, 2)))
