"""Views: their laws, what they do to pictures, points and maps, and their undoing."""

from typing import Any

import pytest
import torch

from posestudio.core import augment, geometry, heatmaps
from posestudio.core.skeleton import COCO17

CROP, MAP, STRIDE = (128, 96), (32, 24), 4
INDEX = COCO17.flip_index
HARD: dict[str, Any] = {"size_hw": CROP, "rotation": 30.0, "scale": 0.25, "probability": 0.8}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def people(batch: int, margin: float = 30.0) -> torch.Tensor:
    span = torch.tensor([CROP[1] - 1.0, CROP[0] - 1.0]) - 2 * margin
    return torch.rand(batch, 17, 2, generator=generator(9)) * span + margin


def pictures(batch: int) -> torch.Tensor:
    return torch.randn(batch, 3, *CROP, generator=generator(8))


def zoom_and_degrees(view: augment.View) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the drawn scale and angle off rigid matrices without a mirror."""
    linear = geometry.invert(view.matrix)[..., :2]
    zoom = torch.linalg.det(linear).sqrt()
    return zoom, torch.rad2deg(torch.atan2(linear[:, 0, 1], linear[:, 0, 0]))


def test_draws_follow_their_laws():
    view = augment.draw_affine(generator(), 4000, **HARD)
    zoom, degrees = zoom_and_degrees(view)
    turned = degrees.abs() > 1e-9
    assert turned.double().mean().item() == pytest.approx(0.8, abs=0.03)
    assert degrees.abs().max() <= 60 + 1e-6
    # A normal clipped at two deviations has 2 x 2.3 % of its mass on the limits.
    at_limit = (degrees[turned].abs() > 60 - 1e-6).double().mean().item()
    assert at_limit == pytest.approx(0.0455, abs=0.015)
    assert degrees[turned].mean().abs() < 2
    assert zoom.min() >= 0.75 - 1e-9 and zoom.max() <= 1.25 + 1e-9
    assert zoom.mean().item() == pytest.approx(1.0, abs=0.02)
    assert not view.flipped.any() and not view.swaps


def test_flip_is_drawn_and_is_in_the_matrix():
    view = augment.draw_affine(generator(), 2000, flip=0.5, **HARD)
    assert view.flipped.double().mean().item() == pytest.approx(0.5, abs=0.04)
    mirrored = torch.linalg.det(view.matrix[..., :2]) < 0
    assert torch.equal(mirrored, view.flipped)


@pytest.mark.parametrize("kind", ["rigid", "normalized"])
def test_the_mirror_comes_first_and_is_the_mirror_of_the_crop(kind):
    degrees, zoom = torch.tensor([25.0, -50.0]).double(), torch.tensor([0.8, 1.2]).double()
    plain, mirrored = (
        augment.affine_matrix(degrees, zoom, flipped, size_hw=CROP, geometry=kind)
        for flipped in (torch.tensor([False, False]), torch.tensor([True, True]))
    )
    expected = geometry.compose(plain, geometry.flip_matrix(CROP[1]))
    torch.testing.assert_close(mirrored, expected, rtol=0, atol=1e-9)


def test_scale_above_one_zooms_out_in_both_geometries():
    one, two = torch.zeros(1).double(), torch.full((1,), 2.0).double()
    for kind in ("rigid", "normalized"):
        matrix = augment.affine_matrix(one, two, torch.tensor([False]), size_hw=CROP, geometry=kind)
        torch.testing.assert_close(matrix[0, :, :2], torch.eye(2).double() / 2)
        centre = torch.tensor([[[47.5, 63.5]]])
        torch.testing.assert_close(geometry.apply(matrix, centre), centre)


def test_positive_degrees_turn_clockwise():
    matrix = augment.affine_matrix(
        torch.tensor([90.0]).double(), torch.ones(1).double(), torch.tensor([False]), size_hw=CROP
    )
    right_of_centre = torch.tensor([[[57.5, 63.5]]])
    below_centre = torch.tensor([[[47.5, 73.5]]])
    torch.testing.assert_close(geometry.apply(matrix, right_of_centre), below_centre)


def test_rigid_keeps_angles_and_normalized_shears():
    options = {**HARD, "probability": 1.0}
    limits: dict[augment.Geometry, float] = {"rigid": 1.0 + 1e-9, "normalized": 1.7}
    for kind, most in limits.items():
        view = augment.draw_affine(generator(), 200, geometry=kind, **options)
        values = torch.linalg.svdvals(view.matrix[..., :2])
        condition = values[:, 0] / values[:, 1]
        assert condition.max() <= most
        if kind == "normalized":
            assert condition.max() > 1.5  # 1.65 at 60 degrees and 3:4


def test_the_same_seed_draws_the_same_view_and_another_does_not():
    first, again = (augment.draw_affine(generator(3), 8, flip=0.5, **HARD) for _ in range(2))
    assert torch.equal(first.matrix, again.matrix) and torch.equal(first.flipped, again.flipped)
    assert not torch.equal(first.matrix, augment.draw_affine(generator(4), 8, **HARD).matrix)


def test_drawing_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    augment.draw_affine(generator(), 8, flip=0.5, **HARD)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_identity_and_mirror_are_exact():
    images, xy = pictures(3), people(3)
    maps = heatmaps.encode(geometry.points_to_map(xy, STRIDE), MAP, 2.0)
    still, mirror = augment.View.identity(3), augment.View.mirror(3, CROP[1])
    assert torch.equal(still.images(images), images)
    assert torch.equal(still.points(xy, INDEX), xy)
    assert torch.equal(still.maps(maps, INDEX, STRIDE), maps)
    assert torch.equal(mirror.images(images), images.flip(-1))
    mirrored = geometry.apply(geometry.flip_matrix(CROP[1]), xy)
    torch.testing.assert_close(mirror.points(xy, INDEX), mirrored[:, list(INDEX)])
    for view in (still, mirror):
        back, valid = view.undo_maps(view.maps(maps, INDEX, STRIDE), INDEX, STRIDE)
        assert torch.equal(back, maps)
        assert valid.shape == (3, 1, *MAP) and valid.dtype == torch.bool and valid.all()
        assert len(view) == 3


@pytest.mark.parametrize("kind", ["rigid", "normalized"])
@pytest.mark.parametrize("flip", [0.0, 0.5, 1.0])
def test_maps_show_where_points_went(kind, flip):
    """Drawing moved points and moving drawn maps give the same peaks, left and right swapped alike."""
    view = augment.draw_affine(generator(1), 12, geometry=kind, flip=flip, **HARD)
    xy = people(12)
    maps = heatmaps.encode(geometry.points_to_map(xy, STRIDE), MAP, 2.0)
    moved = geometry.points_to_map(view.points(xy, INDEX), STRIDE)
    inner = geometry.inside(moved - 6, (MAP[0] - 12, MAP[1] - 12))
    found, _ = heatmaps.decode(view.maps(maps, INDEX, STRIDE), blur=True)
    assert inner.float().mean() > 0.5
    assert (found - moved).norm(dim=-1)[inner].max() < 0.05


@pytest.mark.parametrize("kind", ["rigid", "normalized"])
@pytest.mark.parametrize("flip", [0.0, 0.5])
def test_undo_maps_is_the_way_back(kind, flip):
    view = augment.draw_affine(generator(2), 12, geometry=kind, flip=flip, **HARD)
    xy_map = geometry.points_to_map(people(12, margin=40.0), STRIDE)
    maps = heatmaps.encode(xy_map, MAP, 2.0)
    seen = view.points(geometry.points_to_crop(xy_map, STRIDE), INDEX)
    shown = heatmaps.encode(geometry.points_to_map(seen, STRIDE), MAP, 2.0)
    back, valid = view.undo_maps(shown, INDEX, STRIDE)
    found, _ = heatmaps.decode(back, blur=True)
    near = geometry.inside(geometry.points_to_map(seen, STRIDE) - 4, (MAP[0] - 8, MAP[1] - 8))
    assert near.float().mean() > 0.7
    # Swapping by the view's flip happens for mirrored people on both ways, so channels agree again.
    right = near if flip == 0 else torch.where(view.flipped[:, None], near[:, list(INDEX)], near)
    assert (found - xy_map).norm(dim=-1)[right].max() < 0.15
    assert back.shape == maps.shape and valid.shape == (12, 1, *MAP)


def test_valid_is_where_the_view_shows_the_crop():
    """Cells whose way into the view ends on the view are valid; the others are empty."""
    view = augment.draw_affine(generator(6), 10, **{**HARD, "probability": 1.0})
    back, valid = view.undo_maps(torch.ones(10, 17, *MAP), INDEX, STRIDE)
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(24.0), indexing="ij")
    cells = torch.stack([x, y], -1).view(1, -1, 2).expand(10, -1, 2)
    crop = geometry.apply(view.matrix, geometry.points_to_crop(cells, STRIDE))
    shown = geometry.points_to_map(crop, STRIDE)
    deep = geometry.inside(shown - 0.5, (31, 23)).view(10, 1, *MAP)
    outside = ~geometry.inside(shown + 0.01, (33, 25)).view(10, 1, *MAP)
    assert valid[deep].all() and not (valid & outside).any()
    assert 0.5 < valid.float().mean() < 1
    torch.testing.assert_close(valid, back[:, :1] > 0.5)
    # A zoom in shows less than the crop; a zoom out shows all of it.
    for zoom, whole in ((0.8, False), (1.2, True)):
        matrix = augment.affine_matrix(
            torch.zeros(1).double(),
            torch.full((1,), zoom).double(),
            torch.tensor([False]),
            size_hw=CROP,
        )
        still = augment.View(matrix, torch.tensor([False]))
        assert bool(still.undo_maps(torch.ones(1, 1, *MAP), (0,), STRIDE)[1].all()) is whole


def test_one_person_is_treated_as_in_a_batch():
    view = augment.draw_affine(generator(7), 5, flip=0.5, **HARD)
    alone = augment.View(view.matrix[2:3], view.flipped[2:3])
    images, xy = pictures(5), people(5)
    maps = heatmaps.encode(geometry.points_to_map(xy, STRIDE), MAP, 2.0)
    assert torch.equal(alone.images(images[2:3])[0], view.images(images)[2])
    torch.testing.assert_close(alone.points(xy[2:3], INDEX)[0], view.points(xy, INDEX)[2])
    many, one = view.undo_maps(maps, INDEX, STRIDE), alone.undo_maps(maps[2:3], INDEX, STRIDE)
    assert torch.equal(one[0][0], many[0][2]) and torch.equal(one[1][0], many[1][2])


def test_views_leave_their_input_untouched_and_keep_dtype():
    view = augment.draw_affine(generator(7), 4, flip=0.5, **HARD)
    images, xy = pictures(4), people(4)
    maps = heatmaps.encode(geometry.points_to_map(xy, STRIDE), MAP, 2.0)
    kept = [images.clone(), xy.clone(), maps.clone()]
    results = [
        view.images(images), view.points(xy, INDEX), view.maps(maps, INDEX, STRIDE),
        view.undo_maps(maps, INDEX, STRIDE)[0],
    ]  # fmt: skip
    assert all(torch.equal(now, then) for now, then in zip((images, xy, maps), kept, strict=True))
    assert all(result.dtype == torch.float32 for result in results)
    assert view.images(images.bfloat16()).dtype == torch.bfloat16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_view_drawn_on_the_cpu_works_on_the_gpu():
    view = augment.draw_affine(generator(7), 4, flip=0.5, **HARD)
    images, xy = pictures(4), people(4)
    maps = heatmaps.encode(geometry.points_to_map(xy, STRIDE), MAP, 2.0)
    for there in (view, view.to("cuda")):
        pairs = [
            (there.images(images.cuda()), view.images(images)),
            (there.points(xy.cuda(), INDEX), view.points(xy, INDEX)),
            (
                there.undo_maps(maps.cuda(), INDEX, STRIDE)[0],
                view.undo_maps(maps, INDEX, STRIDE)[0],
            ),
        ]
        for on_gpu, on_cpu in pairs:
            torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=0, atol=1e-4)
