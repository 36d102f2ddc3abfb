"""A lit pixel and its keypoint stay together through everything that moves pictures, heatmaps or points."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from posestudio.core import augment, geometry, heatmaps

SIZE = (44, 36)
STRIDE = 4
XY = torch.tensor([[[21.0, 17.0]]])
"""The keypoint: neither in the middle nor on a diagonal, so a wrong order or sign shows."""


@dataclass(frozen=True)
class Move:
    """What happens to pictures (1, 1, H, W) and to points (1, 1, 2), and whether it must be exact."""

    images: Callable[[Tensor], Tensor]
    points: Callable[[Tensor], Tensor]
    exact: bool = False


def matrix(
    degrees: float = 0.0, zoom: float = 1.0, flip: bool = False, kind: Any = "rigid"
) -> Tensor:
    return augment.affine_matrix(
        torch.tensor([degrees], dtype=torch.float64),
        torch.tensor([zoom], dtype=torch.float64),
        torch.tensor([flip]),
        size_hw=SIZE,
        geometry=kind,
    )


def by_matrix(move: Tensor, size_hw=SIZE, exact: bool = False) -> Move:
    return Move(
        lambda images: geometry.warp(images, move, size_hw),
        lambda xy: geometry.apply(move, xy),
        exact,
    )


def by_view(view: augment.View, exact: bool = False) -> Move:
    return Move(view.images, lambda xy: view.points(xy, (0,)), exact)


def by_maps(view: augment.View, exact: bool = False) -> Move:
    """The picture is a heatmap: its cells are STRIDE crop pixels."""

    def points(xy: Tensor) -> Tensor:
        moved = view.points(geometry.points_to_crop(xy, STRIDE), (0,))
        return geometry.points_to_map(moved, STRIDE)

    return Move(lambda maps: view.maps(maps, (0,), STRIDE), points, exact)


def by_undo(view: augment.View, exact: bool = False) -> Move:
    def points(xy: Tensor) -> Tensor:
        back = geometry.apply(geometry.invert(view.matrix), geometry.points_to_crop(xy, STRIDE))
        return geometry.points_to_map(back, STRIDE)

    return Move(lambda maps: view.undo_maps(maps, (0,), STRIDE)[0], points, exact)


def codec(method) -> Move:
    """Decode the picture, draw it again: what is encoded must stay where it is."""
    return Move(
        lambda maps: heatmaps.encode(heatmaps.decode(maps, method)[0], SIZE, 1.0),
        lambda xy: xy,
        True,
    )


def resize(x: float, y: float) -> Tensor:
    """Matrix (2, 3) of a resize by a factor in x and in y: (x + 0.5) * factor - 0.5."""
    return torch.tensor([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2]], dtype=torch.float64)


def crop_view(**options) -> augment.View:
    """A view of crops of SIZE; of crops of STRIDE times SIZE for heatmaps."""
    generator = torch.Generator().manual_seed(5)
    chosen: dict[str, Any] = {
        "size_hw": SIZE,
        "rotation": 20.0,
        "scale": 0.2,
        "probability": 1.0,
        **options,
    }
    return augment.draw_affine(generator, 1, **chosen)


LARGE = (SIZE[0] * STRIDE, SIZE[1] * STRIDE)
BOX = geometry.box_to_crop(torch.tensor([[8.0, 4.0, 22.0, 30.0]]), SIZE, 1.25)
TURNED = matrix(35.0)

MOVES = {
    "identity": by_matrix(matrix(), exact=True),
    "integer crop": by_matrix(
        torch.tensor([[[1.0, 0, -10], [0, 1, -6]]]), size_hw=(20, 22), exact=True
    ),
    "crop of a box": by_matrix(BOX),
    "crop undone": by_matrix(geometry.invert(BOX)),
    "flip": by_matrix(geometry.flip_matrix(SIZE[1])[None], exact=True),
    "flip images and points": Move(
        geometry.flip_images,
        lambda xy: geometry.apply(geometry.flip_matrix(SIZE[1]), xy),
        exact=True,
    ),
    "rotate": by_matrix(TURNED),
    "rotate undone": by_matrix(geometry.invert(TURNED)),
    "rotate a quarter": by_matrix(matrix(90.0)),
    "shrink": by_matrix(matrix(0.0, 1.25)),
    "grow": by_matrix(matrix(0.0, 0.75)),
    "mirror and turn": by_matrix(matrix(25.0, 0.9, flip=True)),
    "normalized affine": by_matrix(matrix(35.0, 1.1, kind="normalized")),
    "normalized mirrored": by_matrix(matrix(35.0, 1.1, flip=True, kind="normalized")),
    "normalized undone": by_matrix(geometry.invert(matrix(35.0, 1.1, kind="normalized"))),
    "resize up": by_matrix(resize(2.0, 1.5)[None], size_hw=(66, 72)),
    "resize down": by_matrix(resize(0.8, 0.9)[None], size_hw=(40, 29)),
    "resize undone": by_matrix(geometry.invert(resize(2.0, 1.5))[None]),
    "composed": by_matrix(geometry.compose(TURNED, matrix(0.0, 0.8, flip=True))),
    "view of nothing": by_view(augment.View.identity(1), exact=True),
    "view of a mirror": by_view(augment.View.mirror(1, SIZE[1]), exact=True),
    "view": by_view(crop_view()),
    "view, mirrored": by_view(crop_view(flip=1.0)),
    "view, normalized": by_view(crop_view(geometry="normalized", flip=1.0)),
    "maps of nothing": by_maps(augment.View.identity(1), exact=True),
    "maps of a mirror": by_maps(augment.View.mirror(1, LARGE[1]), exact=True),
    "maps of a view": by_maps(crop_view(size_hw=LARGE)),
    "maps of a mirrored view": by_maps(crop_view(size_hw=LARGE, flip=1.0)),
    "maps of a normalized view": by_maps(crop_view(size_hw=LARGE, geometry="normalized")),
    "undone mirror": by_undo(augment.View.mirror(1, LARGE[1]), exact=True),
    "undone view": by_undo(crop_view(size_hw=LARGE)),
    "undone mirrored view": by_undo(crop_view(size_hw=LARGE, flip=1.0)),
    "undone normalized view": by_undo(crop_view(size_hw=LARGE, geometry="normalized", flip=1.0)),
    "mirrored maps": Move(
        lambda maps: heatmaps.flip_maps(maps, (0,)),
        lambda xy: geometry.apply(geometry.flip_matrix(SIZE[1]), xy),
        exact=True,
    ),
    "codec, dark": codec("dark"),
    "codec, quarter": codec("quarter"),
    "codec, argmax": codec("argmax"),
}


def lit_pixel() -> Tensor:
    image = torch.zeros(1, 1, *SIZE)
    x, y = XY[0, 0].long().tolist()
    image[0, 0, y, x] = 1
    return image


def brightest(image: Tensor) -> Tensor:
    place = image.flatten().argmax()
    return torch.stack([place % image.shape[-1], place // image.shape[-1]]).float()


def centroid(image: Tensor) -> Tensor:
    weight = image / image.sum()
    rows, columns = (torch.arange(float(n)) for n in image.shape)
    return torch.stack([(weight.sum(0) * columns).sum(), (weight.sum(1) * rows).sum()])


@pytest.mark.parametrize("name", MOVES)
def test_a_lit_pixel_and_its_keypoint_stay_together(name):
    move = MOVES[name]
    seen, xy = move.images(lit_pixel())[0, 0], move.points(XY)[0, 0]
    assert seen.max() > 0.2, "the pixel must stay in the picture"
    # Half a pixel on each axis is the nearest that a pixel can be; a turned grid may prefer the second nearest.
    atol = 1e-4 if move.exact else 0.75
    torch.testing.assert_close(brightest(seen), xy.float(), rtol=0, atol=atol)


@pytest.mark.parametrize("name", [name for name in MOVES if "codec" not in name])
def test_a_soft_dot_and_its_keypoint_stay_together_to_a_fraction(name):
    move = MOVES[name]
    dot = heatmaps.encode(XY[0] + 0.3, SIZE, 1.5)[None]
    seen, xy = move.images(dot)[0, 0], move.points(XY + 0.3)[0, 0]
    torch.testing.assert_close(centroid(seen), xy.float(), rtol=0, atol=0.05)
