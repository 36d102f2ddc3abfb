"""Skeletons: COCO's own, those of files, and what is refused and why."""

import json
import subprocess
import sys

import numpy as np
import pytest
from pycocotools.cocoeval import Params

from posestudio.core import skeleton
from posestudio.errors import InputError

NAMES = ["head", "left_paw", "right_paw", "tail"]


def test_coco_17_is_coco():
    coco = skeleton.COCO17
    assert len(coco.keypoints) == 17 and coco.keypoints[0] == "nose"
    assert coco.sigmas_source == "coco"
    np.testing.assert_allclose(coco.oks_sigmas, Params(iouType="keypoints").kpt_oks_sigmas)
    assert len(coco.limbs) == 19 and coco.limbs[0] == (15, 13)
    assert len(coco.pairs) == 8


def test_flip_index_swaps_left_and_right_and_is_its_own_inverse():
    coco = skeleton.COCO17
    for index, mirror in enumerate(coco.flip_index):
        assert coco.flip_index[mirror] == index
        name = coco.keypoints[index]
        swapped = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert coco.keypoints[mirror] == swapped


def test_a_skeleton_survives_json():
    record = {
        "name": "cat", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]],
        "flip_pairs": [[1, 2]], "sigmas": [0.1, 0.05, 0.05, 0.2],
    }  # fmt: skip
    for known in (skeleton.COCO17, skeleton.from_dict(record)):
        assert skeleton.from_dict(json.loads(json.dumps(known.to_dict()))) == known


def test_limbs_of_files_count_from_one_and_pairs_from_zero():
    cat = skeleton.from_dict(
        {"keypoints": NAMES, "skeleton": [[1, 2], [1, 4]], "flip_pairs": [[1, 2]]}
    )
    assert cat.limbs == ((0, 1), (0, 3))
    assert cat.flip_index == (0, 2, 1, 3)
    assert cat.name == "person"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["nose", "left_eye", "right_eye"], ((1, 2),)),
        (["Right_Ear", "Left_Ear"], ((1, 0),)),
        (["l_hand", "r_hand", "belly"], ((0, 1),)),
        (["upper_left_arm", "upper_right_arm"], ((0, 1),)),
        (["left_eye", "nose"], ()),
        (["bl_a", "br_a"], ((0, 1),)),
        (["head", "tail"], ()),
        (["shoulder_l", "shoulder_r", "lower_r", "lower_l"], ((0, 1), (3, 2))),
        (["LShoulder", "RShoulder", "LEAR", "REAR"], ((0, 1), (2, 3))),
        (["hand.R", "hand.L", "foot-l", "foot-r", "l knee", "r knee"], ((1, 0), (2, 3), (4, 5))),
        (["earL", "earR", "forelegL4", "forelegR4"], ((0, 1), (2, 3))),
        (["arm_L_upper", "arm_R_upper", "lHip", "rHip"], ((0, 1), (2, 3))),
        (["paw_FL", "paw_FR", "paw_RL", "paw_RR"], ((0, 1), (2, 3))),
        (["lower_r", "leftover", "rear", "ankle1", "tail", "Lens"], ()),
        (["lear", "rear", "leg", "reg", "heel", "heer", "L1", "R1"], ()),
        (["l_hand_l", "r_hand_l", "l_hand_r", "r_hand_r"], ((0, 1), (2, 3))),
    ],
)
def test_pairs_are_read_off_the_names(names, expected):
    assert skeleton.pairs_by_name(tuple(names)) == expected


def test_a_name_is_in_one_pair_at_most_whatever_its_sides():
    starts, middles, ends = ("l_", "r_", ""), ("leg", "paw"), ("_l", "_r", "L", "")
    names = [one + what + end for one in starts for what in middles for end in ends]
    pairs = skeleton.pairs_by_name(tuple(names))
    assert len({k for pair in pairs for k in pair}) == 2 * len(pairs)
    assert skeleton.from_dict({"keypoints": names}).pairs == pairs


def test_a_skeleton_without_partners_is_not_mirrored_and_says_so():
    assert skeleton.COCO17.mirrors and skeleton.COCO17.notices == []
    assert skeleton.from_dict({"keypoints": ["nose"]}).mirrors
    lone = skeleton.from_dict({"keypoints": ["nose", "near_eye", "tail"]})
    assert not lone.mirrors and "mirrors no photo" in lone.notices[0]


def test_empty_flip_pairs_mean_none():
    still = skeleton.from_dict({"keypoints": NAMES, "flip_pairs": []})
    assert still.pairs == () and still.flip_index == (0, 1, 2, 3)
    assert skeleton.from_dict({"keypoints": NAMES}).pairs == ((1, 2),)


def test_sigmas_come_from_the_file_or_from_coco_or_are_a_shoulders():
    given = skeleton.from_dict({"keypoints": NAMES, "sigmas": [0.1, 0.2, 0.3, 0.4]})
    assert given.oks_sigmas == (0.1, 0.2, 0.3, 0.4) and given.sigmas_source == "file"
    known = skeleton.from_dict({"keypoints": ["left_knee", "Right-Hip", "nose"]})
    assert known.oks_sigmas == (0.087, 0.107, 0.026) and known.sigmas_source == "coco"
    mixed = skeleton.from_dict({"keypoints": ["left_knee", "paw"]})
    assert mixed.oks_sigmas == (0.087, 0.079) and mixed.sigmas_source == "coco and default"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": []}, "no list of keypoint names"),
        ({"keypoints": "nose"}, "no list of keypoint names"),
        ({"keypoints": ["a", ""]}, "non-empty names"),
        ({"keypoints": ["a", 3]}, "non-empty names"),
        ({"keypoints": [f"k{i}" for i in range(257)]}, "1 to 256"),
        ({"keypoints": ["a", "b", "a"]}, "'a' is there twice"),
        ({"skeleton": [[0, 1]]}, "not a pair of indices 1..4"),
        ({"skeleton": [[1, 5]]}, "not a pair of indices 1..4"),
        ({"skeleton": [[1, 2, 3]]}, "not a pair of indices"),
        ({"skeleton": [[1, 2.0]]}, "not a pair of indices"),
        ({"skeleton": [[2, 2]]}, "joins a keypoint to itself"),
        ({"skeleton": "12"}, "must be a list of index pairs"),
        ({"flip_pairs": [[1, 4]]}, "not a pair of indices 0..3"),
        ({"flip_pairs": [[0, 1], [1, 2]]}, "name a keypoint twice"),
        ({"sigmas": [0.1, 0.1]}, "sigmas must be 4 positive numbers"),
        ({"sigmas": [0.1, 0.1, 0.1, 0]}, "sigmas must be 4 positive numbers"),
        ({"sigmas": [0.1, 0.1, 0.1, True]}, "sigmas must be 4 positive numbers"),
        ({"sigmas": [0.1, 0.1, 0.1, float("nan")]}, "sigmas must be 4 positive numbers"),
    ],
)
def test_what_is_wrong_is_refused_and_named(change, message):
    with pytest.raises(InputError, match=message) as caught:
        skeleton.from_dict({"keypoints": NAMES, **change}, "cats.json")
    assert str(caught.value).startswith("cats.json")


def test_reading_a_skeleton_loads_no_torch():
    code = "import sys, posestudio.core.skeleton; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
