"""Words of a person's status, and what a page shows when there is nothing."""

import pytest

from posestudio.ui import cards, texts
from tests.ui.looks import EVIL, assert_only_text


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
    assert texts.status({"placed": 0, "absent": 0, "reviewed": False, **given}, 17) == (words, kind)


def test_empty_says_what_to_do_next_and_names_are_text():
    page = cards.empty(("Nothing", EVIL))
    assert "<b>Nothing</b>" in page and "<img src=x" not in page
    assert_only_text(page)
