"""The grid shows boxes where they are, the status in words, and names as text."""

import pytest

from posestudio.ui import cards, texts
from tests.ui.looks import EVIL, assert_only_text


def person(number: int, box: tuple[float, ...] = (10, 20, 30, 40), **given: object) -> dict:
    return {
        "instance_id": number,
        "box_xywh": list(box),
        "placed": 0,
        "absent": 0,
        "reviewed": False,
        **given,
    }


def image(name: str = "one.jpg", people: list[dict] | None = None) -> dict:
    return {
        "image_id": 3, "width": 100, "height": 80, "file_name": name, "split": "train", "people": people or [],
    }  # fmt: skip


def test_a_box_is_drawn_in_image_pixels_and_cut_at_the_edge():
    page = cards.grid([image(people=[person(5), person(6, (-10, 70, 200, 50))])], 17)
    assert page.count('<rect class="case" x="10.0" y="20.0" width="30.0" height="40.0"/>') == 1
    assert page.count('<rect class="case" x="0.0" y="70.0" width="100.0" height="10.0"/>') == 1
    assert 'viewBox="0 0 100 80"' in page and 'src="media/3?w=320"' in page
    assert 'href="inspect?instance=5"' in page and 'href="inspect?instance=6"' in page


def test_names_are_text():
    page = cards.grid([image(EVIL)], 17) + cards.refusals(
        {"images": 0, "people": 0, "duplicates": 0, "notes": [EVIL], "refused": [(EVIL, EVIL)]}
    )
    assert "<img src=x" not in page
    assert_only_text(page)


@pytest.mark.parametrize(
    ("given", "words", "kind"),
    [
        ({}, "not labeled", "open"),
        ({"placed": 5, "absent": 1}, "partly labeled 6/17", "partly"),
        ({"placed": 12, "reviewed": True}, "labeled 12/17", "done"),
        ({"reviewed": True}, "reviewed, nothing placed", "done"),
        ({"iscrowd": True, "placed": 3}, "crowd", "open"),
    ],
)
def test_status_in_words(given, words, kind):
    assert texts.status(person(1, **given), 17) == (words, kind)


def test_what_was_refused_is_listed_with_its_reason():
    page = cards.refusals(
        {
            "images": 2,
            "people": 2,
            "duplicates": 1,
            "notes": [],
            "refused": [("a.txt", "not an image")],
        }
    )
    assert "2 photos added" in page and "1 photo had been here before" in page
    assert "1 file refused" in page and "<b>a.txt</b> not an image" in page


def test_empty_says_what_to_do_next():
    assert "press Add" in cards.empty(texts.EMPTY_PROJECT)
    assert "no person box" in cards.grid([image()], 17)
