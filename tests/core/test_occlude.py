"""What hides parts of a picture: where, how much, and what never happens."""

import pytest
import torch

from posestudio.core import occlude

SIZE = (256, 192)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def white(batch: int, size_hw=SIZE) -> torch.Tensor:
    return torch.ones(batch, 3, *size_hw)


def scattered(batch: int, keypoints: int = 17, size_hw=SIZE) -> torch.Tensor:
    """Keypoints (batch, K, 2) anywhere on the crop."""
    draws = torch.rand(batch, keypoints, 2, generator=generator(1))
    return draws * torch.tensor([size_hw[1] - 1.0, size_hw[0] - 1.0])


CHANGES = {
    "joint cutout": lambda x, xy, g: occlude.joint_cutout(x, xy, g),
    "joint cut-occlude": lambda x, xy, g: occlude.joint_cut_occlude(x, xy, g),
    "cutout": lambda x, xy, g: occlude.cutout(x, g),
    "cutmix": lambda x, xy, g: occlude.cutmix(x, g),
    "joco": lambda x, xy, g: occlude.joco(x, xy, g),
    "jccm": lambda x, xy, g: occlude.jccm(x, xy, g),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_changes_keep_shape_dtype_and_input_and_repeat_under_a_seed(name, dtype):
    change = CHANGES[name]
    images = torch.randn(5, 3, 128, 96, generator=generator(2)).to(dtype)
    xy = scattered(5, size_hw=(128, 96))
    before, points, state = images.clone(), xy.clone(), torch.random.get_rng_state()
    changed = change(images, xy, generator(3))
    assert changed.shape == images.shape and changed.dtype == dtype
    assert torch.equal(images, before) and torch.equal(xy, points)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(change(images, xy, generator(3)), changed)
    assert not torch.equal(change(images, xy, generator(4)), changed)
    share = (changed != images).any(1).float().mean((1, 2))
    assert (share > 0.003).all() and (share < 0.4).all()


@pytest.mark.parametrize("name", CHANGES)
def test_a_batch_of_one_works(name):
    images = torch.randn(1, 3, 128, 96, generator=generator(2))
    changed = CHANGES[name](images, scattered(1, size_hw=(128, 96)), generator(3))
    assert changed.shape == images.shape and changed.isfinite().all()
    if name in ("joint cut-occlude", "cutmix"):
        assert torch.equal(changed, images)  # there is no other picture


def test_one_box_has_the_published_size_and_lies_near_its_keypoint():
    """Half-sides 10..19 at width 192; the centre is shifted by a normal of 10 pixels an axis."""
    xy = torch.tensor([[[96.0, 128.0]]]).expand(400, 1, 2)
    hidden = occlude.joint_cutout(white(400), xy, generator(), count=1)[:, 0] == 0
    wide, high = hidden.any(1).sum(-1), hidden.any(2).sum(-1)
    for side in (wide, high):
        assert side.min() >= 19 and side.max() <= 39
        assert side.float().mean().item() == pytest.approx(29.0, abs=0.7)
    columns = torch.arange(192.0)
    centre = (hidden.any(1) * columns).sum(-1) / wide
    assert (centre - 96).mean().abs() < 1.5
    assert (centre - 96).std().item() == pytest.approx(10, abs=1.2)
    # Each hidden piece is one full rectangle, of all channels.
    assert torch.equal(hidden.flatten(1).sum(-1), wide * high)


def test_boxes_scale_with_the_crop():
    xy = torch.tensor([[[48.0, 64.0]]]).expand(200, 1, 2)
    hidden = occlude.joint_cutout(white(200, (128, 96)), xy, generator(), count=1)[:, 0] == 0
    wide = hidden.any(1).sum(-1)
    assert wide.min() >= 9 and wide.max() <= 20
    assert wide.float().mean().item() == pytest.approx(14.5, abs=0.6)


def test_cutout_never_draws_unweighted_or_missing_keypoints():
    """Four keypoints in four corners: only the second and third may be drawn, and the third is nowhere."""
    corners = torch.tensor([[30.0, 40.0], [160.0, 40.0], [30.0, 215.0], [160.0, 215.0]])
    xy = corners.expand(300, 4, 2).clone()
    xy[:, 2] = torch.nan
    weight = torch.tensor([False, True, True, False]).expand(300, 4)
    hidden = occlude.joint_cutout(white(300), xy, generator(), weight=weight)[:, 0] == 0
    assert hidden.flatten(1).any(-1).all()
    assert hidden[:, :128, 96:].sum() == hidden.sum()
    by_number = occlude.joint_cutout(white(300), xy, generator(), weight=weight.float())
    assert torch.equal(by_number[:, 0] == 0, hidden)


def test_keypoints_are_drawn_without_replacement():
    corners = torch.tensor([[30.0, 40.0], [160.0, 40.0], [30.0, 215.0], [160.0, 215.0]])
    hidden = (
        occlude.joint_cutout(white(100), corners.expand(100, 4, 2), generator(), count=4)[:, 0] == 0
    )
    for rows, columns in ((slice(0, 128), slice(0, 96)), (slice(128, 256), slice(96, 192))):
        assert hidden[:, rows, columns].flatten(1).any(-1).all()


@pytest.mark.parametrize("change", [occlude.joint_cutout, occlude.joint_cut_occlude])
def test_nothing_is_hidden_when_no_keypoint_may_be_drawn(change):
    images, xy = torch.randn(4, 3, *SIZE, generator=generator(5)), scattered(4)
    weight = torch.zeros(4, 17)
    assert torch.equal(change(images, xy, generator(), weight=weight), images)
    assert torch.equal(change(images, torch.full_like(xy, torch.nan), generator()), images)


def test_every_keypoint_is_drawn_about_equally_often():
    """One of 4 far-apart keypoints an image: 25 % each."""
    corners = torch.tensor([[30.0, 40.0], [160.0, 40.0], [30.0, 215.0], [160.0, 215.0]])
    hidden = (
        occlude.joint_cutout(white(1200), corners.expand(1200, 4, 2), generator(), count=1)[:, 0]
        == 0
    )
    quarters = hidden.unflatten(1, (2, 128)).unflatten(3, (2, 96)).any(4).any(2)
    assert quarters.float().mean(0).flatten().tolist() == pytest.approx([0.25] * 4, abs=0.05)


def test_pastes_come_from_a_keypoint_of_another_image():
    """Each picture is of one number, but its only keypoint lies on a patch of that number plus 100."""
    batch = 6
    images = torch.arange(1.0, batch + 1).view(-1, 1, 1, 1).expand(-1, 3, *SIZE).clone()
    xy = torch.tensor([[[60.0, 80.0]], [[130.0, 170.0]]]).repeat(3, 1, 1)
    for number in range(batch):
        x, y = xy[number, 0].long().tolist()
        images[number, :, y - 55 : y + 56, x - 55 : x + 56] += 100
    pasted = occlude.joint_cut_occlude(images, xy, generator(), count=1)
    changed = (pasted != images).any(1)
    assert changed.flatten(1).any(-1).all()
    for number in range(batch):
        values = pasted[number, 0][changed[number]].unique()
        assert len(values) == 1  # one paste from one picture
        assert values.item() > 100 and values.item() != number + 101
        rows, columns = changed[number].nonzero(as_tuple=True)
        centre = torch.stack([columns.float().mean(), rows.float().mean()])
        assert (centre - xy[number, 0]).norm() < 60


def test_a_paste_keeps_the_patch_as_it_was():
    """With a picture that says where it is, a paste is one shift: source minus place is constant."""
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(192.0), indexing="ij")
    images = torch.stack([torch.stack([x, y, torch.full_like(x, n)]) for n in range(2)])
    xy = torch.tensor([[[60.0, 80.0]], [[110.0, 150.0]]])
    pasted = occlude.joint_cut_occlude(images, xy, generator(3), count=1)
    for number in range(2):
        rows, columns = (pasted[number, 2] != number).nonzero(as_tuple=True)
        assert len(rows) > 300
        shift = torch.stack(
            [pasted[number, 0, rows, columns] - columns, pasted[number, 1, rows, columns] - rows]
        )
        assert (shift == shift[:, :1]).all()


def test_cutmix_shows_one_other_image_in_place():
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(192.0), indexing="ij")
    images = torch.stack([torch.stack([x, y, torch.full_like(x, n)]) for n in range(5)])
    mixed = occlude.cutmix(images, generator(), count=5)
    assert torch.equal(mixed[:, :2], images[:, :2])
    for number in range(5):
        shown = mixed[number, 2].unique().tolist()
        assert len(shown) == 2 and number in shown


def test_joco_and_jccm_are_what_their_letters_say():
    images, xy = torch.randn(4, 3, *SIZE, generator=generator(5)), scattered(4)
    weight = torch.rand(4, 17, generator=generator(6)) > 0.3
    for pair, first, second in (
        (occlude.joco, occlude.joint_cut_occlude, occlude.cutout),
        (occlude.jccm, occlude.joint_cutout, occlude.cutmix),
    ):
        one = generator(7)
        step_by_step = second(first(images, xy, one, weight=weight), one)
        assert torch.equal(pair(images, xy, generator(7), weight=weight), step_by_step)
