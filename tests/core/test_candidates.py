"""Candidate peaks over students: found to a fraction of a cell, the highest first, one for each place."""

import torch

from posestudio.core import heatmaps, peaks

SIZE = (32, 24)


def drawn(*places):
    """One map with a Gaussian of each (x, y, height)."""
    maps = [h * heatmaps.encode(torch.tensor([[x, y]]), SIZE, 2.0)[0] for x, y, h in places]
    return torch.stack(maps).amax(dim=0) if maps else torch.zeros(SIZE)


def found(a, b, limit=6):
    """(x, y, score, student) of one keypoint whose maps are a and b."""
    result = peaks.candidates(torch.stack([a, b])[:, None], limit)
    assert result.xy_map.shape == (1, limit, 2) and result.score.shape == (1, limit)
    count = int((result.score[0] > 0).sum())
    assert (result.score[0, count:] == 0).all()
    return [
        (*result.xy_map[0, i].tolist(), result.score[0, i].item(), result.student[0, i].item())
        for i in range(count)
    ]


def test_peaks_of_both_students_come_highest_first_and_between_cells():
    seen = found(drawn((5.3, 6.7, 0.5), (15.0, 20.0, 0.3)), drawn((18.4, 8.2, 0.9)))
    assert [student for *_, student in seen] == [1, 0, 0]
    assert [round(score, 1) for _, _, score, _ in seen] == [0.9, 0.5, 0.3]
    for (x, y, _, _), (wanted_x, wanted_y) in zip(
        seen, [(18.4, 8.2), (5.3, 6.7), (15, 20)], strict=True
    ):
        assert abs(x - wanted_x) < 0.02 and abs(y - wanted_y) < 0.02


def test_what_both_see_at_one_place_is_one_candidate_of_the_surer_one():
    ((x, _, score, student),) = found(drawn((8.0, 8.0, 0.4)), drawn((10.0, 8.0, 0.6)))
    assert student == 1 and abs(x - 10) < 0.02 and abs(score - 0.6) < 1e-6


def test_a_peak_that_was_itself_left_out_leaves_nobody_out():
    """In a row of three, the middle one falls to the first; the third stands too far from the first."""
    step = peaks.AGREE_CELLS - 0.5
    a = drawn((6.0, 10.0, 0.9), (6.0 + 2 * step, 10.0, 0.5))
    seen = found(a, drawn((6.0 + step, 10.0, 0.7)))
    assert [round(score, 1) for _, _, score, _ in seen] == [0.9, 0.5]


def test_noise_and_empty_maps_give_no_candidates():
    flat = torch.zeros(SIZE)
    assert found(flat, flat) == []
    assert found(torch.full(SIZE, -1.0), flat) == []
    assert len(found(drawn((5, 5, 1.0), (18, 25, 0.05)), flat)) == 1


def test_no_more_than_the_limit_for_any_number_of_students_and_keypoints():
    maps = torch.rand(2, 5, *SIZE, generator=torch.Generator().manual_seed(0))
    result = peaks.candidates(maps, 4)
    assert result.score.shape == (5, 4) and (result.score.diff(dim=1) <= 0).all()
    apart = torch.cdist(result.xy_map, result.xy_map) + 99 * torch.eye(4)
    assert (apart > peaks.AGREE_CELLS - 1e-4).all()
    alone = peaks.candidates(maps[:1], 4)
    assert (alone.student == 0).all()
    for k in range(5):
        one = peaks.candidates(maps[:, k : k + 1], 4)
        assert torch.equal(one.xy_map[0], result.xy_map[k]) and torch.equal(
            one.score[0], result.score[k]
        )


def test_refine_is_what_decode_does():
    maps = heatmaps.encode(torch.tensor([[[8.3, 9.6], [14.7, 20.2]]]), SIZE, 2.0)
    cells = heatmaps.decode(maps, "argmax")[0]
    refined = heatmaps.refine(maps, cells[:, :, None])[:, :, 0]
    assert torch.equal(refined, heatmaps.decode(maps, "dark")[0])
