"""Inspect says in words and pictures what the arrays hold, and never lets a text become markup."""

import re
import time

import numpy as np
import pytest

from posestudio.core.skeleton import COCO17
from posestudio.ui import texts, tiles
from tests.ui.looks import EVIL, assert_only_text, make_look


@pytest.mark.parametrize(
    ("show", "pictures"),
    [("Heatmaps", 2), ("Votes", 8), ("Offers", 4), ("Uncertainty", 2), ("Targets", 2)],
)
def test_overview_has_a_card_for_every_keypoint(show, pictures):
    page = tiles.overview(make_look(), show)
    assert page.count('<div class="ps-card"') == 17
    assert page.count("<img ") == 17 * pictures
    assert page.count('alt=""') == 0


def test_sixty_tiles_are_made_in_a_small_part_of_their_time():
    look = make_look(size_hw=(256, 192))
    start = time.perf_counter()
    page = tiles.overview(look, "Offers")
    assert page.count("<img ") >= 60
    assert time.perf_counter() - start < 0.75


def test_one_keypoint_shows_all_that_the_method_did_with_it():
    page = tiles.single(make_look(), 0)
    for part in texts.SHOW:
        assert f"<h3>{part}</h3>" in page
    assert "<b>a</b> u 0.100" in page and "<b>b</b> u 0.200" in page
    assert page.count("outlier</i>") == 1 and page.count("agrees</i>") == 7
    assert (
        "Student b learns from a's offer: the less uncertain one (u 0.100 against 0.200)."
        in page.replace("&#x27;", "'")
    )


def test_a_rejected_offer_says_why_and_teaches_nobody():
    page = tiles.single(make_look(), 1)
    assert page.count('<i class="ps-rejected">rejected</i>') == 2
    assert page.count("no offer was accepted, so the weight is 0") == 2
    assert page.count("&larr; nothing") == 2


def test_a_label_comes_before_the_pool_and_untaught_is_said():
    labeled, untaught = tiles.single(make_look(), 2), tiles.single(make_look(), 3)
    assert "A person placed this keypoint (occluded, v 1)" in labeled
    assert "By the pool alone, student a would learn" in labeled
    assert "left ear is untaught" in untaught


def test_val_fold_and_absent_keypoints_are_not_said_to_teach():
    look = make_look()
    for given, words in (
        ({"split": "val"}, "it teaches none"),
        ({"split": "train", "fold": True}, "teaches nobody"),
    ):
        look["instance"] = given
        page = tiles.single(look, 2)
        assert words in page and "both students learn from the label" not in page
    look["instance"] = {"labels": [{"keypoint": 0, "state": "absent", "reason": "outside"}]}
    page = tiles.single(look, 0)
    assert "declared this keypoint absent (outside)" in page and "By the pool alone" in page


def test_the_photo_shows_students_and_label_only_where_they_are():
    look = make_look()
    shown = tiles.photo(look, COCO17)
    assert all(f"ps-body ps-{who}" in shown for who in ("a", "b", "label"))
    assert shown.count("hollow") == 1
    look["label_points"][:] = np.nan
    assert "ps-label" not in tiles.photo(look, COCO17)


def test_texts_stay_texts():
    look = make_look()
    look["keypoints"][0] = look["views"][0] = look["students"][1] = EVIL
    everything = "".join(
        [tiles.photo(look, COCO17), tiles.facts(look, [("Photo", EVIL)])]
        + [tiles.single(look, k) for k in range(3)]
        + [tiles.overview(look, show) for show in texts.SHOW]
    )
    assert "<img src=x" not in everything
    assert_only_text(everything)


def test_scales_name_their_ends():
    assert re.findall(r"<b>([\d.+]+)</b>", tiles.scales()) == ["0", "1", "0", "0.25+"]
