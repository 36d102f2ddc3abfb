"""The words of Train, Evaluate and Export that are longer than a label, and sentences made of their numbers."""

from collections.abc import Mapping
from typing import Any

PRESETS = {
    "best": "Labels and pseudo-targets: both students learn the mean of both averages' maps. Best by our measurements.",
    "paper": "Labels and pseudo-targets, denoised and selected as in arXiv 2310.00099; our reconstruction.",
    "posedual": "Labels and pseudo-targets: each student learns the other's map (Xie et al., ICCV 2021).",
    "posecons": "Labels and pseudo-targets: one student learns its own map of an easier view (Xie et al., ICCV 2021).",
    "distill": "One student learns from the two of the run that it starts from.",
    "supervised": "Labels only. Quick, and a good start before a run with pseudo-targets.",
}
SIZES = {
    "tiny": "ShuffleNet, crops 128 x 96: for trying things out.",
    "small": "MobileNetV2, crops 128 x 96: for a CPU.",
    "full": "ResNet-18, crops 256 x 192: for a graphics card.",
}
STATUS = {
    "queued": ("waiting", "It has not begun."),
    "waiting": ("waiting", "It has not begun."),
    "running": ("training", ""),
    "stopping": ("stopping", "It stops after its present step and keeps what it has learned."),
    "done": ("done", ""),
    "stopped": ("stopped", "It was asked to stop. Its students can be used, and it can go on."),
    "failed": ("failed", "It ended by an error. It can go on from its last checkpoint."),
    "interrupted": (
        "interrupted",
        "Whoever trained it ended without a word. It can go on from its last checkpoint, exactly.",
    ),
}
"""Status of a run's folder to what it is called and what that means."""

NO_RUNS = (
    "No run yet",
    "Press Train. What it learns, and how well, shows here while it goes on; you can close this page meanwhile.",
)
NO_TEACHER = (
    "Nobody to learn from",
    "No train person has a labeled keypoint. Label some people on Correct, or drop a COCO file and its photos on "
    "Images.",
)
NO_LOOKS = (
    "Labels are not held out (data.hold_fold off, data.cross_fit 0): the run never looks at labels that it did not "
    "train on, so there is no held-out curve, and no alarm for harm."
)
NO_FOLD = (
    "Nobody is held out: there are too few labeled photos, or one video only, which is never parted. There is no "
    "held-out curve, and no alarm for harm."
)
NO_UNLABELED = "Nobody is unlabeled. Only the method supervised can train; the others need photos without labels."
RESUME_NOTE = "It goes on with the labels that it began with; for newer ones, train from it."

NO_SCORES = (
    "Not evaluated yet",
    "Press Evaluate: the run's students predict everybody of the split, and COCO's own program scores them.",
)
NO_STUDENTS = ("No trained students yet", "Train a run first; its score is made at its end.")
NO_CURVE = (
    "{counts} so far. A curve needs {needed} different ones before it says anything about labels to come: label "
    "some people, train again, and a point is added."
)
NO_LEDGER = (
    "Nothing to say yet: precision and recall need keypoints that got pseudo-targets in training and that a person "
    "labeled later."
)
NO_RELIABILITY = (
    "Too few labels that neither students nor calibration have seen. Label some people of the queue, then evaluate "
    "again. For a run that ended before its doubts were refreshed, have its predictions made on Train first."
)
KINDS = (
    "good: OKS term 0.85 or more. jitter: 0.5 to 0.85. inversion: on the person's own mirror keypoint. swap: on "
    "another person's. miss: nowhere near (Ronchi and Perona 2017)."
)


def span(seconds: float) -> str:
    """Time to go or gone: 40 s, 12 min, 2 h 05 min."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def ap(value: float | None) -> str:
    """An AP as COCO papers print it: 20.2."""
    return "-" if value is None else f"{100 * value:.1f}"


def interval(given: Any) -> str:
    """An interval of AP: "15.6 to 25.8"."""
    return "" if not given else f"{100 * given[0]:.1f} to {100 * given[1]:.1f}"


def difference(told: Mapping[str, Any]) -> str:
    """Whether the AP of two runs differs, in one sentence.

    Args:
        told: as the verb `compare_runs` gives it.
    """
    if told["difference"] is None:
        return "They cannot be compared: one of them has no AP on these people."
    gain, span_ = 100 * told["difference"], told["interval"]
    if not span_:
        return f"{gain:+.1f} AP; with so few photos nothing says whether that is chance."
    low, high = (100 * one for one in span_)
    what = "better" if gain > 0 else "worse"
    verdict = f"clearly {what}" if told["clear"] else "not significant, it can be chance"
    return f"{gain:+.1f} AP, 95 % interval {low:+.1f} to {high:+.1f}: {verdict}."


def within(pck: float, mean_pose: float | None) -> str:
    """PCK@0.2, which moves before AP does, beside what knows nothing of the photo."""
    beside = "" if mean_pose is None else f"; the mean pose in every box, {mean_pose:.0%}"
    return f"{pck:.0%} of the keypoints are within 0.2 of the box's longer side{beside}."


def judged_on(people: int, rough: bool) -> str:
    """By whom a score is made, with the word rough under 50."""
    return f"on {people:,} val people{', rough: under 50' if rough else ''}"


def wrong(case: Mapping[str, Any], most: int = 2) -> str:
    """What is wrong with a person's prediction: "3 misses: left wrist 40 px and 2 more; 2 jitter"."""
    parts = []
    for kind, plural in (
        ("miss", "misses"), ("swap", "swaps"), ("inversion", "inversions"), ("jitter", "jitter"),
    ):  # fmt: skip
        mine = sorted(
            (row for row in case["wrong"] if row["kind"] == kind),
            key=lambda row: -(row["px"] or 1e9),
        )
        if not mine:
            continue
        count = f"{len(mine)} {kind if len(mine) == 1 else plural}"
        if kind == "jitter" and parts:
            parts.append(count)
            continue
        names = ", ".join(_away(row) for row in mine[:most])
        more = f" and {len(mine) - most} more" if len(mine) > most else ""
        parts.append(f"{count}: {names}{more}")
    return "; ".join(parts) or "nothing by its kinds of error"


def _away(row: Mapping[str, Any]) -> str:
    name = str(row["keypoint"]).replace("_", " ")
    return f"{name} {row['px']:.0f} px" if row["px"] is not None else f"{name} not predicted"


def set_aside(done: Mapping[str, Any]) -> str:
    """What the verb set_val_aside has done."""
    learned = (
        f" {done['learned']} of them taught a run, which gets no score by them."
        if done["learned"]
        else ""
    )
    return f"{done['people']} labeled people are the val set now.{learned}"


def follow_up(unpredicted: int) -> str:
    """What the button does that makes a run's results: with nobody new, what was stopped on the way."""
    if not unpredicted:
        return "Make predictions"
    return f"Predict {unpredicted:,} new {'person' if unpredicted == 1 else 'people'}"


def aside(people: int) -> str:
    """The offer to make a val set."""
    return f"Set {people} labeled people aside for the score"
