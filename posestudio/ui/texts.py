"""The words of the pages that are longer than a label, and the small functions that make sentences of values."""

import re
from pathlib import Path
from typing import Any

VIEWS_NOTE = (
    "Drawn with both students in eval mode on views of seed {seed}, so the same person always looks the same. "
    "A training step draws its own views."
)

EXPLAIN = {
    "Beliefs": "What each student believes about the plain crop, and a minus b. The cross is the peak, its height the "
    "score; a ring is the person's label.",
    "Votes": "One student's map of one view, moved back to the crop. Votes whose peaks agree form the main group; "
    "the others are outliers. Cells that a view did not see are left clear.",
    "Offers": "A student's votes combined (before), then threshold and refine (after). Only offers are accepted "
    "or rejected; the accepted ones form the pool.",
    "Uncertainty": "How much the votes behind an offer differ, cell by cell (standard deviation), on a scale of its "
    "own. u is the offer's number; by default the largest cell.",
    "Targets": "What each student would learn from the pool here, were there no label.",
    "All in one": "The largest value over all keypoints, step by step; a minus b is the one farthest from 0.",
}
"""What the overview can show of every keypoint, in the order of the method, and what that is."""

NO_PEOPLE = (
    "No person yet",
    "Add photos or a COCO keypoint file on the Images page, and give people boxes there.",
)
NO_RUN = (
    "No trained students yet",
    "Inspect shows what two trained students believe. Train a pair first, then come back.",
)
BLIND_PERSON = (
    "Not shown until labeled",
    "This person is of val. Whoever labels it must not know what the students say: label it on Correct first.",
)
NO_ERRORS = "No error probability: this run has not predicted this keypoint, or too few labels are held out."
BLIND = "No error probability: people of val are blind, so that labels stay unbiased."


def no_detector(folder: Path) -> str:
    """Why the detector cannot run, and what to do."""
    return (
        "The person detector's weights are not on this machine. Put fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth "
        f"from download.pytorch.org/models into {folder}, or draw boxes by hand, or take whole photos."
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


def method_words(look: dict[str, Any]) -> list[str]:
    """How the run's pool was made in training, where the pictures alone would mislead; one sentence each."""
    config, found = look["config"], [VIEWS_NOTE.format(seed=0)]
    if config.loss.unlabeled == 0:
        found.append(
            "This run learned from labels alone. The pool shows what its students would offer each other."
        )
    if config.views.voters == "averages":
        found.append(
            "In training the students' weight averages voted. The saved students are these averages."
        )
    if look["voters"] != look["students"] or config.views.voters == "start":
        found.append(
            "The votes are those of the run that this one started from; they did not learn."
        )
    if config.pool.share:
        found.append("All votes together make one offer, so the offers of a and b are the same.")
    if config.pool.gate == "quantile":
        found.append(
            "The threshold comes from this person's offers alone; in training, from a batch's."
        )
    return found


def absent_reason(person: dict[str, Any], k: int) -> str | None:
    """Why somebody declared keypoint k of a person absent, or None."""
    for row in person.get("labels", ()):
        if row["keypoint"] == k and row["state"] == "absent":
            return str(row["reason"])
    return None


def why(look: dict[str, Any], k: int) -> list[str]:
    """Why keypoint k is taught or not, in sentences: the label first, then each student's target, then the offers."""
    person, v = look["instance"], int(look["label_v"][k])
    absent = absent_reason(person, k)
    found = [label_words(look["keypoints"][k], v, bool(look["taught"][k]), person, absent)]
    plain = v == 0 and absent is None and bool(look["taught"][k]) and person.get("split") != "val"
    learns = plain and look["config"].loss.unlabeled > 0
    opening = "Student" if learns else "By the pool alone, student"
    found += [
        target_words(look, learner, k, opening=opening) for learner in range(len(look["students"]))
    ]
    return found + offer_words(look, k)


def offer_words(look: dict[str, Any], k: int) -> list[str]:
    """Verdict and reason on each voter's offer of keypoint k; once when all share one."""
    if look["config"].pool.share:
        return [f"The shared offer was {look['reasons'][0][k]}."]
    return [
        f"The offer of {voter} was {look['reasons'][o][k]}."
        for o, voter in enumerate(look["voters"])
    ]


def target_words(look: dict[str, Any], learner: int, k: int, *, opening: str = "Student") -> str:
    """Say in one sentence what a student learns from at one keypoint and why.

    Args:
        look: `students` and `voters` (names), `chosen` (S, K) index of an offer or -1, `uncertainty` and `accepted`
            (O, K), `config`.
        learner: index of the student that learns.
        k: index of the keypoint.
        opening: the words before the student's name.
    """
    voters, chosen = look["voters"], int(look["chosen"][learner][k])
    accepted = [bool(row[k]) for row in look["accepted"]]
    unsure = [float(row[k]) for row in look["uncertainty"]]
    verb = "learns" if opening == "Student" else "would learn"
    name = f"{opening} {look['students'][learner]}"
    if chosen < 0:
        if not any(accepted):
            return f"{name} {verb} nothing here: no offer was accepted, so the weight is 0."
        return f"{name} {verb} nothing here: the offer meant for it was not accepted."
    if look["config"].pool.share:
        return f"{name} {verb} from the shared offer (u {unsure[chosen]:.3f})."
    words = (
        f"{name} {verb} from {whose(voters[chosen], voters[chosen] == look['students'][learner])}"
    )
    others = [i for i in range(len(voters)) if i != chosen]
    if not others:
        return words + ", the only one."
    other = others[0]
    u, v = unsure[chosen], unsure[other]
    if not accepted[other]:
        return f"{words}: the only accepted one (u {u:.3f})."
    if look["config"].select.rule == "min_uncertainty" and u <= v:
        return f"{words}: the less uncertain one (u {u:.3f} against {v:.3f})."
    return f"{words}, as the rule {look['config'].select.rule} says (u {u:.3f} against {v:.3f})."


def logged_words(row: dict[str, Any]) -> str:
    """What training wrote down about one offer, in a sentence."""
    said = f"accepted, peak {row['score']:.2f}, u {row['uncertainty']:.3f}"
    if row["reason"] != "accepted":
        said = f"rejected ({row['reason']}), peak {row['score']:.2f}, u {row['uncertainty']:.3f}"
    agreeing = f"{sum(row['view_agrees'])} of {len(row['view_agrees'])} views agree"
    learners = " and ".join(row["teaches"]) or "nobody"
    return f"Offer of {row['voter']}: {said}; {agreeing}; taught {learners}."


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
            return f"{words}. It is in the held-out fold: with data.hold_fold it judges and teaches nobody."
        return f"{words}: both students learn from the label, not from the pool."
    if not taught:
        return (
            f"{spoken(name)} is untaught: no label in this project shows it, "
            "so it is left out of scores and queue."
        )
    if person.get("split") == "val":
        return "No person has placed this keypoint. Val people are never trained on."
    return "No person has placed this keypoint: it is open to a pseudo-target."
