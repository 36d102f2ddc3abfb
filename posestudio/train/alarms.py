"""What goes wrong while students teach themselves, noticed from a few numbers: collapse, harm, coupling, an empty pool.

A small state machine: it is told the means of a report and the scores of a look at held-out labels, and answers with
warnings, each said once an episode. Collapse and harm also drop the pseudo-targets: the run goes back to its best
students on held-out labels, goes on with labels alone, and keeps whoever is best on held-out labels.

Source: that students which teach each other may come to see nothing is PoseDual's (Xie et al., ICCV 2021); to compare
peaks on unlabeled people with those on held-out labels is from our notes on it. Every number is ours.
"""

import dataclasses
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from posestudio.events import Warned

FADED = 0.25
"""Collapse: peaks on unlabeled people fell to less than this share of their height, and so much more than on labeled
people. Students that know 100 labels of lspet by heart start far too sure of the other photographs: taught by soft
maps they see half their first height after 170 to 600 good steps, and by then still 0.93 on the labels."""
BLIND = 0.5
"""Collapse: peaks on unlabeled people are under this share of those on held-out labels, which nobody knows by heart.
The students above have 1.04 of those; strange pictures gave 0.68, pictures without anybody 0.36 (rendered people)."""
OPINION = 0.1
"""A mean peak below this is nobody's opinion, and nothing is compared with it."""
LASTING = 2
"""Reports, or looks, in a row before an alarm is raised, so that one bad batch raises none."""
FALL = 0.1
"""Harm: the held-out score lies below its best by more than this share of it, and by more than SURE standard errors of
the difference, person by person. Students that start at a full learning rate lose a little before they gain."""
SURE = 3.0
JUDGES = 8
"""Held-out people below whom no harm is seen: what fewer say differs too much from look to look."""
KNOWN = 0.15
"""Share of the labels' squared heatmaps that students must have explained before what they explain of their targets
counts."""
STRANGE = 0.15
"""Harm: of their pseudo-targets the students explain less than this share of what they explained of labels. Targets of
their own: 0.9 to 1.7 of it; a random place for each person and keypoint: under 0.05 (crosses, rendered people)."""
LONG = 8
"""Reports in a row for that; students need some steps before they can follow targets on hard views."""
COUPLED = 0.05
"""Coupling: the students' peaks are no farther apart than this share of the first distance."""
ONE_PLACE = 0.05
"""Mean distance in cells at which two students see the same whatever they started from."""
EARLY = 0.25
"""Share of the run in which an empty pool is no news."""
_ADVICE = "Next time: a longer --set loss.ramp, a lower loss.unlabeled, or more labels."


@dataclass(slots=True)
class Alarms:
    """What a run's watcher remembers; all of it can be written as JSON.

    steps: of the run. students: 1 or 2. highest: of the mean peaks on unlabeled people so far, and beside_it the mean
    peak on labeled people then. known: highest share of the labels that was explained. first_distance: in cells. best:
    highest score of the averages on held-out labels and best_step its step. shares: the students' highest, person by
    person. dropped: the step after which pseudo-targets are left out, 0 while they are not. counts: reports or looks in
    a row in which a condition held. said: codes whose episode goes on.
    """

    steps: int
    students: int
    highest: float = 0.0
    beside_it: float = 0.0
    known: float = 0.0
    first_distance: float | None = None
    best: float | None = None
    best_step: int = 0
    shares: list[float] = field(default_factory=list)
    dropped: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        return cls(**record)

    def hear(self, step: int, means: Mapping[str, float]) -> list[Warned]:
        """Listen to the means since the last report; there is no alarm where they say nothing of open keypoints.

        Args:
            step: of the report.
            means: of the scalars that `objective.semi_supervised` names.
        """
        known = 1 - means["loss_labeled"] / max(means["blank_labeled"], 1e-12)
        self.known = max(self.known, known)
        if self.dropped or "peak" not in means:
            return []
        found = [*self._empty(step, means["kept"]), *self._coupled(step, means.get("distance"))]
        return [*found, *(self._faded(step, means) or self._strange(step, means))]

    def _faded(self, step: int, means: Mapping[str, float]) -> list[Warned]:
        peak, labeled = means["peak"], means["peak_labeled"]
        if peak > self.highest:
            self.highest, self.beside_it = peak, labeled
        gone = (
            self.highest >= OPINION
            and peak < FADED * self.highest
            and peak * self.beside_it < FADED * self.highest * labeled
        )
        if not self._lasts("faded", gone):
            return []
        return self._drop(
            step, "collapse",
            f"Collapse: the students' peaks on unlabeled people fell from {self.highest:.2f} to {peak:.2f}, those on "
            f"labeled people only from {self.beside_it:.2f} to {labeled:.2f}.",
        )  # fmt: skip

    def _strange(self, step: int, means: Mapping[str, float]) -> list[Warned]:
        if means["blank"] <= 0:
            return []
        told = 1 - means["missed"] / means["blank"]
        strange = told < STRANGE * self.known and self.known >= KNOWN and self.highest >= OPINION
        if not self._lasts("strange", strange, LONG):
            return []
        return self._drop(
            step, "harm",
            f"Harm: the students explain {max(told, 0):.0%} of their pseudo-targets, of the labels {self.known:.0%}: "
            "the targets contradict what they see, or each other.",
        )  # fmt: skip

    def note_best(self, step: int, score: float) -> None:
        """Remember the averages' score on held-out labels at a step if there was none better."""
        if self.best is None or score > self.best:
            self.best, self.best_step = score, step

    def look(
        self, step: int, *, shares: Sequence[float], peak: float, peak_unlabeled: float | None
    ) -> list[Warned]:
        """Listen to a look at labels that the students never saw, before and while they learn from pseudo-targets.

        Args:
            step: of the look.
            shares: for each person, always the same ones, and student the share of the keypoints that it finds.
            peak: median height of the students' peaks on them.
            peak_unlabeled: on unlabeled people; None if it was not asked.
        """
        if self.dropped:
            return []
        blind = peak_unlabeled is not None and peak >= OPINION and peak_unlabeled < BLIND * peak
        if self._lasts("blind", blind):
            return self._drop(
                step, "collapse",
                f"Collapse: the students' peaks on unlabeled people are {peak_unlabeled:.2f}, on held-out labels "
                f"{peak:.2f}: they see little there, or these are other pictures.",
            )  # fmt: skip
        if not self.shares or sum(shares) > sum(self.shares):
            self.shares = list(shares)
        lost = [before - now for before, now in zip(self.shares, shares, strict=True)]
        fall, before = statistics.fmean(lost), statistics.fmean(self.shares)
        # two students' shares of one person are hardly two opinions
        people = len(lost) / self.students
        unsure = statistics.pstdev(lost) / math.sqrt(people)
        if people < JUDGES or not self._lasts("harm", fall > max(FALL * before, SURE * unsure)):
            return []
        return self._drop(
            step, "harm",
            f"Harm: the students find {before - fall:.0%} of the held-out keypoints, {before:.0%} before: their "
            "pseudo-targets make them worse.",
        )  # fmt: skip

    def _empty(self, step: int, kept: float) -> Iterator[Warned]:
        if self._new("empty_pool", kept == 0 and step > EARLY * self.steps):
            yield Warned(
                step, "empty_pool",
                "No pseudo-heatmap was accepted lately, so the students learn from labels alone. If this lasts, lower "
                "--set pool.threshold, or start --from a run on labels.",
            )  # fmt: skip

    def _coupled(self, step: int, distance: float | None) -> Iterator[Warned]:
        if self.students < 2 or distance is None:
            return
        if self.first_distance is None:
            self.first_distance = distance
        near = distance <= max(COUPLED * self.first_distance, ONE_PLACE)
        if self._new("coupling", self._lasts("coupling", near)):
            yield Warned(
                step, "coupling",
                f"Coupling: the students' peaks lie {distance:.2f} cells apart, {self.first_distance:.2f} at first. "
                "They are nearly one network and cannot correct each other. If their scores are not good by now, train "
                "with --set select.rule=cross or another start.",
            )  # fmt: skip

    def _lasts(self, code: str, holds: bool, times: int = LASTING) -> bool:
        """Whether a condition has held so many times in a row."""
        self.counts[code] = self.counts.get(code, 0) + 1 if holds else 0
        return self.counts[code] >= times

    def _new(self, code: str, holds: bool) -> bool:
        """Whether an episode begins."""
        begins = holds and code not in self.said
        if begins:
            self.said.append(code)
        elif not holds and code in self.said:
            self.said.remove(code)
        return begins

    def _drop(self, step: int, code: str, what: str) -> list[Warned]:
        self.dropped = step
        back = f"goes back to its best students on held-out labels, those of step {self.best_step}, and "
        then = f"The run {back if self.best is not None else ''}goes on with labels alone."
        return [Warned(step, code, f"{what} {then} {_ADVICE}")]
