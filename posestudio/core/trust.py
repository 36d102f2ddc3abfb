"""How far a probability of error can be trusted: how well it ranks, and whether it means what it says. Pure numpy."""

import numpy as np

from posestudio.core import calibrate


def spearman(one: np.ndarray, other: np.ndarray) -> float:
    """Rank correlation of two sets of N numbers, ties at their mean rank; NaN where one of them is constant.

    Source: Spearman 1904.
    """
    first, second = calibrate.ranks(one) - 0.5, calibrate.ranks(other) - 0.5
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / scale) if scale > 0 else float("nan")


def auroc(score: np.ndarray, wrong: np.ndarray) -> float:
    """Chance that a wrong one has a higher score than a right one, ties counted half; NaN where all are alike.

    Args:
        score: (N,) finite, higher is worse.
        wrong: (N,) bool.

    Source: the Mann-Whitney statistic (Hanley and McNeil 1982).
    """
    wrong = np.asarray(wrong, dtype=bool)
    if wrong.all() or not wrong.any():
        return float("nan")
    right = np.sort(score[~wrong])
    below, upto = (np.searchsorted(right, score[wrong], end) for end in ("left", "right"))
    return float((below + upto).mean() / 2 / len(right))


def risk_coverage(score: np.ndarray, wrong: np.ndarray) -> float:
    """Area under the risk-coverage curve: the share of wrong ones among the n least doubtful, averaged over n.

    Equal scores come in with the mean of their share. Lower is better; a perfect order does not reach 0.

    Args:
        score: (N,) finite, higher is worse.
        wrong: (N,) bool.

    Source: Geifman and El-Yaniv, NeurIPS 2017.
    """
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    share = np.bincount(place.reshape(-1), weights=np.asarray(wrong, np.float64)) / counts
    risk = np.cumsum(np.repeat(share, counts)) / np.arange(1, len(score) + 1)
    return float(risk.mean())


def ece(probability: np.ndarray, wrong: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: the mean over bins of equal mass of |mean probability - share of wrong ones|.

    Args:
        probability: (N,) in [0, 1].
        wrong: (N,) bool.
        bins: how many; fewer where N is smaller.

    Source: Naeini et al., AAAI 2015, with bins of equal mass as in Nixon et al. 2019 (arXiv 1904.01685).
    """
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    truth = np.asarray(wrong, np.float64)
    gaps = [abs(probability[part].mean() - truth[part].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(probability))


def precision_at(score: np.ndarray, wrong: np.ndarray, share: float) -> float:
    """Share of wrong ones among the most doubtful `share` of all, at least one; scores tied at the edge count in part.

    Args:
        score: (N,) finite, higher is worse.
        wrong: (N,) bool.
        share: in (0, 1].
    """
    count = max(1, round(share * len(score)))
    edge = np.sort(score)[-count]
    above, at = score > edge, score == edge
    truth = np.asarray(wrong, np.float64)
    return float((truth[above].sum() + (count - above.sum()) * truth[at].mean()) / count)
