"""Rendered people: the truth that comes with a picture is what the picture shows."""

import hashlib

import cv2
import numpy as np
import pytest

from posestudio.core.skeleton import COCO17
from posestudio.studio.render import FACE, OCCLUDED, OUTSIDE, VISIBLE, render_scene

LEFT = [k for k, name in enumerate(COCO17.keypoints) if name.startswith("left_")]
RIGHT = [COCO17.flip_index[k] for k in LEFT]


def scenes(seed: int, count: int, **knobs):
    rng = np.random.default_rng(seed)
    return [render_scene(rng, **knobs) for _ in range(count)]


@pytest.fixture(scope="module")
def plain():
    """Lone people, nothing before them, all in common poses."""
    return scenes(11, 120, size=(200, 160), occluder_rate=0, second_rate=0, rare_rate=0, noise=0)


def test_same_seed_same_scene():
    def digest(seed):
        image, people = render_scene(np.random.default_rng(seed))
        numbers = [
            p.xy_image.tobytes() + p.visibility.tobytes() + repr(p.box_xywh).encode()
            for p in people
        ]
        return hashlib.sha256(image.tobytes() + b"".join(numbers)).hexdigest()

    assert digest(5) == digest(5)
    assert digest(5) != digest(6)


def test_knobs_leave_the_rest_in_place():
    quiet = scenes(3, 6, occluder_rate=0, second_rate=0, noise=0)
    loud = scenes(3, 6, occluder_rate=1, second_rate=1, noise=1)
    for (_, alone), (_, crowd) in zip(quiet, loud, strict=True):
        same = [np.array_equal(alone[0].xy_image, person.xy_image) for person in crowd]
        assert sum(same) == 1


@pytest.mark.parametrize("size", [(400, 320), (240, 320), (64, 64)])
def test_sizes(size):
    image, people = render_scene(np.random.default_rng(0), size, second_rate=1)
    assert image.shape == (*size, 3) and image.dtype == np.uint8
    assert people and all(person.silhouette.shape == size for person in people)


def test_box_and_area_are_those_of_the_silhouette():
    for _, people in scenes(1, 12, second_rate=0.6):
        for person in people:
            rows, columns = np.nonzero(person.silhouette)
            x, y, w, h = person.box_xywh
            assert (x, y, x + w - 1, y + h - 1) == (
                columns.min(),
                rows.min(),
                columns.max(),
                rows.max(),
            )
            assert person.area == person.silhouette.sum() > 0


def test_keypoints_lie_on_the_body(plain):
    on, all_seen = 0, 0
    for image, (person,) in plain[:60]:
        height, width = image.shape[:2]
        inside = person.visibility > 0
        grown = cv2.dilate(person.silhouette.astype(np.uint8), np.ones((5, 5))) > 0
        x, y, w, h = person.box_xywh
        for (px, py), seen in zip(person.xy_image, inside, strict=True):
            within = -0.5 <= px < width - 0.5 and -0.5 <= py < height - 0.5
            assert within == seen
            if seen:
                assert x - 2.5 <= px <= x + w + 1.5 and y - 2.5 <= py <= y + h + 1.5
                on += grown[int(round(py)), int(round(px))]
                all_seen += 1
    assert on == all_seen > 800


def test_colors_at_keypoints_are_the_body_s(plain):
    """The picture without its person differs from the picture at the keypoints: the body is painted there."""
    differs, count = 0, 0
    for image, (person,) in plain[:20]:
        backdrop = cv2.inpaint(
            image, person.silhouette.astype(np.uint8) * 255, 3, cv2.INPAINT_TELEA
        )
        gap = np.abs(image.astype(int) - backdrop).sum(-1)
        for (px, py), seen in zip(person.xy_image, person.visibility, strict=True):
            if seen == VISIBLE:
                differs += gap[int(round(py)), int(round(px))] > 12
                count += 1
    assert differs > 0.9 * count


def test_left_and_right_are_the_person_s_own(plain):
    for _, (person,) in plain:
        hips = person.xy_image[11, 0] - person.xy_image[12, 0]
        if abs(person.yaw) < 40:
            assert hips > 0, "facing us, the left hip is on our right"
        elif abs(abs(person.yaw) - 180) < 40:
            assert hips < 0, "seen from behind, the left hip is on our left"


def test_faces_hide_behind_heads(plain):
    behind, facing = [], []
    for _, (person,) in plain:
        face = person.visibility[:3]
        if (face == OUTSIDE).any():
            continue
        if abs(abs(person.yaw) - 180) < 25:
            behind.append((face == VISIBLE).mean())
        elif abs(person.yaw) < 25:
            facing.append((face == VISIBLE).mean())
    assert len(behind) > 2 and len(facing) > 6
    assert np.mean(behind) < 0.25 and np.mean(facing) > 0.75


def test_occluders_hide_exactly_what_they_cover():
    """The same scene with and without the things that stand before the people."""
    bare = scenes(21, 14, occluder_rate=0, noise=0)
    hidden = scenes(21, 14, occluder_rate=1, noise=0)
    newly = edges = 0
    for (before, free), (after, covered) in zip(bare, hidden, strict=True):
        changed = np.abs(before.astype(int) - after).sum(-1) > 0
        for one, other in zip(free, covered, strict=True):
            assert np.array_equal(one.xy_image, other.xy_image) and one.area == other.area
            assert (other.visibility <= one.visibility).all()
            assert ((one.visibility == OUTSIDE) == (other.visibility == OUTSIDE)).all()
            for (px, py), v, w in zip(one.xy_image, one.visibility, other.visibility, strict=True):
                if v != VISIBLE:
                    continue
                if w == OCCLUDED:
                    assert changed[int(round(py)), int(round(px))]
                    newly += 1
                else:
                    edges += changed[int(round(py)), int(round(px))]
    assert newly > 20
    assert edges <= 0.1 * newly, "only soft edges of a thing may change a pixel and leave it seen"


def test_a_nearer_person_hides_the_one_behind():
    hidden = 0
    for _, people in scenes(4, 30, second_rate=1, occluder_rate=0):
        if len(people) < 2:
            continue
        far, near = people
        for (px, py), v in zip(far.xy_image, far.visibility, strict=True):
            if v != OUTSIDE and near.silhouette[int(round(py)), int(round(px))]:
                assert v == OCCLUDED
                hidden += 1
    assert hidden > 4


def test_the_far_hip_of_a_side_view_is_hidden(plain):
    flags = {"near": [], "far": []}
    for _, (person,) in plain:
        if abs(abs(person.yaw) - 90) > 12:
            continue
        near = [11 if person.depth[11] > person.depth[12] else 12]
        far = [23 - near[0]]
        for kind, keypoints in (("near", near), ("far", far)):
            flags[kind] += [int(v) for v in person.visibility[keypoints] if v != OUTSIDE]
    assert len(flags["far"]) > 3
    assert np.mean(np.array(flags["far"]) == OCCLUDED) > 0.8
    assert np.mean(np.array(flags["near"]) == VISIBLE) > 0.5


def test_a_hood_hides_every_face():
    for _, people in scenes(2, 8, ambiguity=1.0, occluder_rate=0):
        assert all((person.visibility[:FACE] != VISIBLE).all() for person in people)


def test_poses_vary():
    rows = [people[0] for _, people in scenes(30, 30, second_rate=0)]
    centred = np.stack([
        (p.xy_image - p.xy_image[11:13].mean(0)) / max(p.box_xywh[2:]) for p in rows
    ])  # fmt: skip
    spread = centred.std(0).mean(-1)
    assert (spread[[9, 10, 15, 16]] > 0.1).all(), "wrists and ankles move"
    assert sum((p.visibility == OCCLUDED).any() for p in rows) > 15
