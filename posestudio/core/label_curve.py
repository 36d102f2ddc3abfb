"""How a score grows with labels, from the few points that a project has: a straight line over the logarithm.

With fewer than three different label counts there is no line, so that nothing is ever said about labels to come.
"""

from dataclasses import dataclass

import numpy as np

LEAST = 3
"""Different label counts from which there is a curve."""

LEVEL = 0.8
"""Of its intervals."""

_T90 = (
    3.078,
    1.886,
    1.638,
    1.533,
    1.476,
    1.440,
    1.415,
    1.397,
    1.383,
    1.372,
    1.363,
    1.356,
    1.350,
    1.345,
    1.341,
)
"""Student's t at 0.9 for 1, 2, ... degrees of freedom. Source: any table."""
_T90_FAR = 1.31


@dataclass(frozen=True, slots=True)
class Curve:
    """score = level + slope * log(labels), by least squares.

    center: mean of log(labels). width: sum of its squared deviations. error: standard deviation of the residuals.
    points: how many. reach: smallest and largest label count that it saw.
    """

    level: float
    slope: float
    center: float
    width: float
    error: float
    points: int
    reach: tuple[float, float]

    @property
    def t(self) -> float:
        """Half widths in standard errors."""
        free = self.points - 2
        return _T90[free - 1] if free <= len(_T90) else _T90_FAR

    def at(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The expected score at label counts (M,), and half the width of its interval."""
        place = np.log(labels) - self.center
        spread = self.error * np.sqrt(1 / self.points + place**2 / self.width)
        return self.level + self.slope * np.log(labels), self.t * spread

    def gain(self, labels: float, more: float) -> tuple[float, float, float]:
        """What `more` labels beyond `labels` should bring: the expected gain and its interval."""
        grown = float(np.log((labels + more) / labels))
        half = self.t * self.error / float(np.sqrt(self.width)) * grown
        return self.slope * grown, self.slope * grown - half, self.slope * grown + half


def fit(labels: np.ndarray, score: np.ndarray) -> Curve | None:
    """The line through scores (M,) at label counts (M,), each above 0; None below LEAST different counts.

    Source: a score that grows with the logarithm of the data is an old rule of thumb, good for one or two doublings;
    the interval is that of simple regression.
    """
    counts, score = np.asarray(labels, np.float64), np.asarray(score, np.float64)
    if len(np.unique(counts)) < LEAST:
        return None
    x = np.log(counts)
    center, width = float(x.mean()), float(((x - x.mean()) ** 2).sum())
    slope = float(((x - center) * (score - score.mean())).sum() / width)
    level = float(score.mean() - slope * center)
    left = score - level - slope * x
    error = float(np.sqrt((left**2).sum() / (len(x) - 2)))
    return Curve(
        level, slope, center, width, error, len(x), (float(counts.min()), float(counts.max()))
    )
