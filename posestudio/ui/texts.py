"""The words of the pages that are longer than a label, and the small functions that make sentences of values."""

import re
from typing import Any

VIEWS_NOTE = (
    "Drawn with both students in eval mode on views of seed {seed}, so the same person always looks the same. "
    "A training step draws its own views."
)

SHOW = ("Heatmaps", "Votes", "Offers", "Uncertainty", "Targets")
"""What a card of the overview can show, in the order of the method."""

EXPLAIN = {
    "Heatmaps": "What each student believes about the plain crop. The cross is the peak, its height the score.",
    "Votes": "One student's map of one view, moved back to the crop. Votes whose peaks agree form the main group; "
    "the others are outliers. Cells that a view did not see are left clear.",
    "Offers": "A student's votes combined (before), then threshold and refine (after). Only offers are accepted "
    "or rejected; the accepted ones form the pool.",
    "Uncertainty": "How much one student's votes differ, cell by cell (standard deviation). u is the largest cell; "
    "the less uncertain accepted offer becomes the target.",
    "Targets": "What each student would learn from the pool here, were there no label.",
}

EMPTY_PROJECT = (
    "No photos yet",
    "Drop photos or a zip into the box above and press Add. Labels in a COCO file come in from a terminal: "
    "posestudio import coco FILE --images FOLDER",
)
EMPTY_FILTER = ("Nothing in this split", "Choose another split, or All.")
NO_PEOPLE = (
    "No person yet",
    "Add photos on the Images page with whole-image boxes, or import a COCO keypoint file.",
)
NO_RUN = (
    "No trained students yet",
    "Inspect shows what two trained students believe. Train a pair from a terminal, then come back: "
    "posestudio train --project {project}",
)


def spoken(name: str) -> str:
    """A keypoint's or view's name as words: left_wrist is "left wrist"."""
    return re.sub(r"[_\s]+", " ", str(name)).strip()


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Say how many: 1 photo, 2 photos, 1,200 photos."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def status(person: dict[str, Any], keypoints: int) -> tuple[str, str]:
    """How far a person is labeled: (words, kind) with kind done, partly or open.

    Args:
        person: counts `placed` and `absent`, and `reviewed` and `iscrowd`.
        keypoints: how many the skeleton has.
    """
    placed, absent = int(person.get("placed") or 0), int(person.get("absent") or 0)
    if person.get("iscrowd"):
        return "crowd", "open"
    if person.get("reviewed"):
        return (f"labeled {placed}/{keypoints}" if placed else "reviewed, nothing placed"), "done"
    if placed or absent:
        return f"partly labeled {placed + absent}/{keypoints}", "partly"
    return "not labeled", "open"


def whose(student: str, own: bool) -> str:
    """Name an offer by its student: its own offer, or b's offer."""
    return "its own offer" if own else f"{student}'s offer"


def target_words(
    students: list[str],
    learner: int,
    chosen: int,
    uncertainty: list[float],
    accepted: list[bool],
    *,
    opening: str = "Student",
) -> str:
    """Say in one sentence what a student learns from at one keypoint and why.

    Args:
        students: names.
        learner: index of the student that learns.
        chosen: index of the offer, or -1.
        uncertainty: u of each student's offer.
        accepted: verdict on each student's offer.
        opening: the words before the student's name.
    """
    name, verb = (
        f"{opening} {students[learner]}",
        "learns" if opening == "Student" else "would learn",
    )
    if chosen < 0:
        if not any(accepted):
            return f"{name} {verb} nothing here: no offer was accepted, so the weight is 0."
        return f"{name} {verb} nothing here: the offer meant for it was not accepted."
    words = f"{name} {verb} from {whose(students[chosen], chosen == learner)}"
    others = [i for i in range(len(students)) if i != chosen]
    if not others:
        return words + ", the only one."
    other = others[0]
    u, v = uncertainty[chosen], uncertainty[other]
    if not accepted[other]:
        return f"{words}: the only accepted one (u {u:.3f})."
    if u <= v:
        return f"{words}: the less uncertain one (u {u:.3f} against {v:.3f})."
    return f"{words}, as the selection rule says (u {u:.3f} against {v:.3f})."


def label_words(name: str, v: int, taught: bool, person: dict[str, Any], absent: str | None) -> str:
    """What a person has said about a keypoint, and what that means for its target.

    Args:
        name: the keypoint.
        v: COCO visibility of its label, 0 for none.
        taught: some label of the project shows the keypoint.
        person: `split` and `fold` of the one that is looked at.
        absent: the reason why somebody declared the keypoint absent, None when nobody did.
    """
    if absent is not None:
        return f"A person declared this keypoint absent ({absent}): it takes no target at all."
    if v > 0:
        words = f"A person placed this keypoint ({'visible' if v == 2 else 'occluded'}, v {v})"
        if person.get("split") == "val":
            return f"{words}. This is a val person: the label judges the students, it teaches none."
        if person.get("fold"):
            return f"{words}. It is in the held-out fold, which chooses checkpoints and teaches nobody."
        return f"{words}: both students learn from the label, not from the pool."
    if not taught:
        return (
            f"{spoken(name)} is untaught: no label in this project shows it, "
            "so it is left out of scores and queue."
        )
    if person.get("split") == "val":
        return "No person has placed this keypoint. Val people are never trained on."
    return "No person has placed this keypoint: it is open to a pseudo-target."
