"""Why an offer is not accepted: the threshold, and what may be asked of an offer beside it. Batched, pure.

Source: the threshold is arXiv 2310.00099; agreement, second peak, swap and edge are ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from posestudio.core.peaks import agreement, second_peak, value_at

REASONS = (
    "accepted", "below threshold", "views disagree", "two peaks", "swap suspect", "at the edge", "too uncertain",
)  # fmt: skip
"""Why an offer was rejected, in the order of the numbers of `Offer.reason`; the first that holds counts."""


@dataclass(frozen=True, slots=True)
class Gates:
    """What an offer must pass beside the threshold; the defaults ask nothing. All are ours.

    agree: share of the views that saw the peak whose own peak must lie within AGREE_CELLS of it. second: a second peak
    of this share of the first, or more, rejects. swap: the mirrored keypoint's map at this peak, if it reaches this
    share of it, rejects; 0 asks nothing. edge: a peak nearer to the border than this many cells rejects. partner: K
    channels of a mirrored person (Skeleton.flip_index), needed by `swap`.
    """

    agree: float = 0.0
    second: float = 1.0
    swap: float = 0.0
    edge: float = 0.0
    partner: tuple[int, ...] = ()


def why_not(
    votes: Tensor,
    valid: Tensor,
    combined: Tensor,
    xy_map: Tensor,
    score: Tensor,
    *,
    threshold: float | Tensor,
    gates: Gates,
) -> Tensor:
    """The first reason against each offer.

    Args:
        votes: (V, B, K, H, W).
        valid: (V, B, 1, H, W) bool.
        combined: (B, K, H, W).
        xy_map: (B, K, 2) the offer's peak in cells.
        score: (B, K) its height.
        threshold: one number or (K,).
        gates: what else is asked.

    Returns:
        (B, K) int8, an index into REASONS; 0 is accepted.
    """
    reason = torch.zeros(score.shape, dtype=torch.int8, device=score.device)
    against = [score < threshold]
    if gates.agree > 0 and len(votes) > 1:
        against.append(agreement(votes, valid, xy_map) < gates.agree)
    else:
        against.append(torch.zeros_like(against[0]))
    nothing = torch.zeros_like(against[0])
    against.append(second_peak(combined, xy_map) >= gates.second if gates.second < 1 else nothing)
    if gates.swap > 0:
        partner = torch.as_tensor(gates.partner, device=score.device)
        claimed = value_at(combined[:, partner], xy_map)
        paired = partner != torch.arange(len(partner), device=score.device)
        against.append((claimed >= gates.swap * score) & paired)
    else:
        against.append(nothing)
    if gates.edge > 0:
        height, width = combined.shape[-2:]
        last = xy_map.new_tensor([width - 1, height - 1])
        against.append((torch.minimum(xy_map, last - xy_map) < gates.edge).any(dim=-1))
    for number, mask in reversed(list(enumerate(against, start=1))):
        reason.masked_fill_(mask, number)
    return reason
