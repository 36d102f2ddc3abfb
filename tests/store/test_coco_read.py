"""The COCO parser: every fault is found and named, every odd but honest number is kept."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from posestudio.core import skeleton as skeletons
from posestudio.errors import InputError
from posestudio.store import coco_read

NAMES = ["head", "left_hand", "right_hand"]


def content() -> dict[str, Any]:
    """Two images with two people and one."""

    def person(number: int, image: int) -> dict[str, Any]:
        return {
            "id": number,
            "image_id": image,
            "category_id": 1,
            "bbox": [10, 10.5, 30, 40],
            "area": 600.25,
            "iscrowd": 0,
            "num_keypoints": 2,
            "keypoints": [20, 20.5, 2, 15.25, 30, 1, 0, 0, 0],
            "color": "red",
        }

    return {
        "info": {"year": 2026},
        "licenses": [],
        "categories": [
            {"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}
        ],
        "images": [
            {"id": n, "file_name": f"{n}.png", "width": 100, "height": 80, "site": "x"}
            for n in (1, 2)
        ],
        "annotations": [person(1, 1), person(2, 1), person(3, 2)],
    }


def write(folder: Path, data: Any) -> Path:
    file = folder / "people.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return file


Change = Callable[[dict[str, Any]], Any]


def points(*numbers: Any) -> Change:
    return lambda c: c["annotations"][1]["keypoints"].__setitem__(slice(0, len(numbers)), numbers)


def note(key: str, value: Any) -> Change:
    return lambda c: c["annotations"][1].__setitem__(key, value)


def picture(key: str, value: Any) -> Change:
    return lambda c: c["images"][1].__setitem__(key, value)


FAULTS: dict[str, tuple[Change, str]] = {
    "nan": (points(float("nan"), 1, 2), "annotation 2: x of head is nan"),
    "infinity": (points(1, float("inf"), 2), "annotation 2: y of head is inf"),
    "1e308": (points(1e308, 1, 2), "annotation 2: x of head is 1e[+]308"),
    "1e308 without label": (points(1e308, 1, 0), "annotation 2: x of head is 1e[+]308"),
    "text as number": (points("1", 1, 2), "annotation 2: x of head is '1', not a number"),
    "true as number": (points(True, 1, 2), "annotation 2: x of head is True, not a number"),
    "null": (points(None, 1, 2), "annotation 2: x of head is None"),
    "visibility": (points(1, 1, 3), "annotation 2: v of head is 3, not 0, 1 or 2"),
    "far outside": (
        points(102.1, 1, 2),
        r"annotation 2: head at \(102.1, 1\) is outside the 100 x 80",
    ),
    "far above": (points(50, -2.5, 1), "annotation 2: head at .* is outside"),
    "too short": (note("keypoints", [1, 2, 2]), "annotation 2: keypoints has 3 numbers, not 9"),
    "too long": (note("keypoints", [0] * 12), "annotation 2: keypoints has 12 numbers, not 9"),
    "no list": (note("keypoints", "x"), "annotation 2: keypoints has 'x', not 9"),
    "duplicate annotation": (note("id", 1), "annotation 1: the id is there twice"),
    "text id": (note("id", "7"), "annotation '7': the id is '7', not a whole number"),
    "unknown image": (note("image_id", 99), "annotation 2: image 99 is unknown"),
    "unknown category": (note("category_id", 99), "annotation 2: category 99 is unknown"),
    "list as category": (note("category_id", [1]), "annotation 2: category .1. is unknown"),
    "box of three": (note("bbox", [1, 2, 3]), "annotation 2: bbox is"),
    "empty box": (note("bbox", [1, 2, 0, 3]), "annotation 2: bbox .* has no area"),
    "negative box": (note("bbox", [9, 9, -5, 3]), "annotation 2: bbox .* has no area"),
    "box elsewhere": (note("bbox", [100, 2, 5, 3]), "annotation 2: bbox .* is outside"),
    "box of nan": (note("bbox", [float("nan"), 2, 5, 3]), "annotation 2: a number of bbox is nan"),
    "negative area": (note("area", -1), "annotation 2: area is -1"),
    "infinite area": (note("area", float("inf")), "annotation 2: area is inf"),
    "text area": (note("area", "big"), "annotation 2: area is 'big'"),
    "crowd": (note("iscrowd", 2), "annotation 2: iscrowd is 2"),
    "nan in an extra": (note("color", [float("nan")]), "annotation 2: has NaN, infinity"),
    "broken text": (note("color", "\ud800"), "annotation 2: has NaN, infinity or broken text"),
    "no keypoints": (
        lambda c: c["annotations"][1].pop("keypoints"),
        "annotation 2: has no keypoints",
    ),
    "no box": (lambda c: c["annotations"][1].pop("bbox"), "annotation 2: has no bbox"),
    "no id": (lambda c: c["annotations"][1].pop("id"), "annotation number 2: has no id"),
    "no object": (
        lambda c: c["annotations"].__setitem__(1, [1]),
        "annotation number 2: is .1., not",
    ),
    "duplicate image": (picture("id", 1), "image 1: the id is there twice"),
    "climbing name": (picture("file_name", "../2.png"), "image 2: file_name '../2.png' leads out"),
    "absolute name": (picture("file_name", "/x/2.png"), "image 2: file_name '/x/2.png' leads out"),
    "name of nothing": (picture("file_name", ""), "image 2: file_name is ''"),
    "no width": (lambda c: c["images"][1].pop("width"), "image 2: has no width"),
    "width of zero": (picture("width", 0), "image 2: width is 0"),
    "width as text": (picture("width", "100"), "image 2: width is '100'"),
    "huge width": (picture("width", 40_000), "image 2: width is 40000"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_refuses_the_file_and_skipping_takes_the_rest(tmp_path: Path, name: str):
    change, message = FAULTS[name]
    data = content()
    change(data)
    file = write(tmp_path, data)
    with pytest.raises(InputError, match=message) as caught:
        coco_read.parse(file)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2 and "nothing was imported" in lines[0] and "people.json" in lines[0]
    rest = coco_read.parse(file, skip_bad=True)
    assert len(rest.images) + len(rest.annotations) < 5
    assert rest.annotations[0].coco_id == 1 and rest.images[0].coco_id == 1
    assert any(re.search(message, fault) for fault in rest.faults)


def test_the_count_and_the_first_three_faults_are_named(tmp_path: Path):
    data = content()
    for number in range(10, 20):
        data["annotations"].append({**data["annotations"][0], "id": number, "image_id": 77})
    with pytest.raises(InputError) as caught:
        coco_read.parse(write(tmp_path, data))
    text = str(caught.value)
    assert "10 faults" in text and text.count("image 77 is unknown") == 3
    assert "annotation 10" in text and "annotation 12" in text and "annotation 13" not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', "broken JSON at line 1"),
        ("", "broken JSON"),
        ("[" * 100_000, "broken JSON"),
        ("[]", "holds a list.*not an object"),
        ('"x"', "holds a str"),
        ("{}", "no list 'images'"),
        ('{"images": [], "annotations": {}, "categories": []}', "no list 'annotations'"),
        ('{"images": [], "annotations": [], "categories": []}', "no category has keypoints"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "car"}]}', "'car'"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "keypoints": []}]}',
            "no category",
        ),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "keypoints": ["a", "a"]}]}',
            "twice",
        ),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "keypoints": ["a"]}, {"id": 1}]}',
            "category id 1 is there twice",
        ),
        (
            '{"images": [], "annotations": [], "info": NaN, "categories": [{"id": 1, "keypoints": ["a"]}]}',
            "NaN, infinity",
        ),
    ],
)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_faults_of_the_file_refuse_it_always(
    tmp_path: Path, text: str, message: str, skip_bad: bool
):
    with pytest.raises(InputError, match=message) as caught:
        coco_read.parse(write(tmp_path, text), skip_bad=skip_bad)
    assert len(str(caught.value).splitlines()) <= 2


def test_a_file_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        coco_read.parse(tmp_path / "none.json")
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(InputError, match="not UTF-8"):
        coco_read.parse(tmp_path / "x.json")


@pytest.mark.parametrize(
    "numbers",
    [
        (-2, 1, 2),
        (102.0, 82, 1),
        (50, -0.5, 2),
    ],
)
def test_keypoints_up_to_two_pixels_outside_are_kept_and_counted(
    tmp_path: Path, numbers: tuple[float, float, int]
):
    data = content()
    points(*numbers)(data)
    found = coco_read.parse(write(tmp_path, data))
    assert found.annotations[1].keypoints[:3] == list(numbers)
    assert found.notes == ["1 keypoints lie up to 2 px outside their image; they are kept exactly"]


def test_odd_but_honest_numbers_are_kept(tmp_path: Path):
    data = content()
    points(-500, 9999.5, 0)(data)
    note("bbox", [-20, -20, 300, 300])(data)
    data["annotations"][1] |= {"iscrowd": 1, "segmentation": {"counts": "ab", "size": [80, 100]}}
    del data["annotations"][2]["area"], data["annotations"][2]["num_keypoints"]
    data["annotations"][2]["keypoints"][2] = 2.0
    found = coco_read.parse(write(tmp_path, data))
    assert [one.raw for one in found.annotations] == data["annotations"]
    assert found.annotations[1].iscrowd and found.annotations[2].area is None
    assert [type(x) for x in found.annotations[0].keypoints[:3]] == [int, float, int]
    assert found.notes == [
        "1 annotations have a num_keypoints other than their number of v > 0; it is kept"
    ]


def test_annotations_of_things_are_left_out_with_a_note(tmp_path: Path):
    data = content()
    data["categories"].append({"id": 3, "name": "car"})
    data["annotations"].append({"id": 9, "image_id": 2, "category_id": 3, "bbox": [0, 0, 5, 5]})
    found = coco_read.parse(write(tmp_path, data))
    assert [one.coco_id for one in found.annotations] == [1, 2, 3] and not found.faults
    assert found.notes == ["1 annotations of categories without keypoints were left out"]
    assert found.header["categories"] == data["categories"]


def test_another_skeleton_is_refused_with_the_difference(tmp_path: Path):
    project = skeletons.from_dict({"keypoints": ["head", "left_hand", "tail"]})
    with pytest.raises(InputError, match="missing here: tail; only here: right_hand"):
        coco_read.parse(write(tmp_path, content()), project)
    project = skeletons.from_dict({"keypoints": ["head", "right_hand", "left_hand"]})
    with pytest.raises(InputError, match="another order: number 2 is left_hand, not right_hand"):
        coco_read.parse(write(tmp_path, content()), project)
    data = content()
    data["categories"].append({"id": 2, "name": "dog", "keypoints": ["nose"]})
    with pytest.raises(InputError, match="its first category has 3 keypoints"):
        coco_read.parse(write(tmp_path, data))


def test_people_of_a_faulty_image_go_with_it(tmp_path: Path):
    data = content()
    picture("width", -1)(data)
    found = coco_read.parse(write(tmp_path, data), skip_bad=True)
    assert [one.coco_id for one in found.annotations] == [1, 2]
    assert found.dragged == ["annotation 3: its image 2 has a fault"] and len(found.faults) == 1


def test_parsing_changes_nothing(tmp_path: Path):
    data = content()
    before = copy.deepcopy(data)
    found = coco_read.parse(write(tmp_path, data))
    assert [image.raw for image in found.images] == before["images"]
    assert found.skeleton.keypoints == tuple(NAMES)
