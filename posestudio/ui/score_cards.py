"""The Evaluate page's markup: the ten numbers, keypoints, worst cases, comparisons; values in, escaped HTML out."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from posestudio.core.coco import NUMBERS
from posestudio.core.metrics import ERROR_KINDS
from posestudio.core.skeleton import Skeleton
from posestudio.studio.jobs import Job
from posestudio.ui import cards, run_words, skeletons, texts
from posestudio.ui.skeletons import Square

Record = Mapping[str, Any]
FIRST = 6
"""Worst people that are shown at once."""

NOBODY_JUDGES = "Nobody to judge by"
REMEMBERED = (
    "{learned} of these {people} were learned by this run: the number says how well it remembers them, not how good it "
    "is. People of val judge."
)
MAYBE_REMEMBERED = "Runs learn people of train: this number says more of memory than of quality. People of val judge."
IMPORTED = "Imported predictions: whether their model has learned these people is not known here."

MEANING = {
    "AP": "OKS .50 to .95",
    "AP50": "OKS .50",
    "AP75": "OKS .75",
    "APm": "medium people",
    "APl": "large people",
    "AR": "recall, .50 to .95",
    "AR50": "recall, .50",
    "AR75": "recall, .75",
    "ARm": "recall, medium",
    "ARl": "recall, large",
}  # fmt: skip


def working(job: Job | None) -> str:
    """The evaluation that goes on, or why the last one ended early."""
    if job is None:
        return ""
    if job.alive:
        return cards.progress(f"{job.name}: ", job.at or ("reading labels", 0, 0))
    if job.problem:
        return f'<p class="ps-say ps-bad" role="alert">{escape(job.problem)}</p>'
    return ""


def numbers(record: Record, stale: bool) -> str:
    """The ten COCO numbers with intervals, and what they are measured by."""
    spans = record.get("intervals") or {}
    tiles = "".join(
        f"<div><span>{name}</span><b>{run_words.ap(record[name])}</b>"
        f"<span>{run_words.interval(spans.get(name)) or '&nbsp;'}</span><span>{MEANING[name]}</span></div>"
        for name in NUMBERS
    )
    who = f"{record['student']}{' with mirrored crops' if record['flip'] else ''}"
    people = texts.count(record["people"], "person", "people")
    facts = [
        ("Judged", f"{who} on {people} of {record['split']} in {texts.count(record['images'], 'photo')}"),
        ("PCK", f"{_percent(record['pck@0.1'])} within 0.1 and {_percent(record['pck@0.2'])} within 0.2 of the box's "
         "longer side"),
        ("Area", f"{record['area_rule']}; OKS constants of {record['sigmas_source']}: {_sigmas(record)}"),
        ("Intervals", "95 %, by resampling groups of photos; small gray numbers"),
    ]  # fmt: skip
    floor = record.get("mean_pose_pck@0.2")
    if floor is not None:
        facts[1] = (
            facts[1][0],
            f"{facts[1][1]}; the mean pose in every box reaches {_percent(floor)}",
        )
    left = _left_out(record)
    if left:
        facts.append(("Left out", left))
    made = [record.get("when", "")[:16].replace("T", " "), f"labels {record['revision']}"]
    facts.append(("Made", ", ".join(filter(None, made))))
    said = _memory(record) + (
        '<p class="ps-say">Rough: under 50 people.</p>' if record["rough"] else ""
    )
    if stale:
        said += '<p class="ps-say ps-alarm">The val labels changed since. Evaluate again for the newest ones.</p>'
    pairs = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return f'{said}<div class="ps-numbers-ten">{tiles}</div><dl class="ps-facts">{pairs}</dl>'


def _memory(record: Record) -> str:
    """That a number is of people whom the run has learned, or that nothing is known of that."""
    if record["student"] == "model":
        return f'<p class="ps-say">{IMPORTED}</p>'
    learned = record.get("remembered", 0 if record["split"] == "val" else None)
    if learned == 0:
        return ""
    words = MAYBE_REMEMBERED
    if learned:
        people = texts.count(record["people"], "person", "people")
        words = REMEMBERED.format(learned=f"{learned:,}", people=people)
    return f'<p class="ps-say ps-alarm">{escape(words)}</p>'


def _left_out(record: Record) -> str:
    parts = [
        f"{record[key]:,} {words}"
        for key, words in (
            ("crowds", "crowds"), ("unreviewed", "people not fully reviewed"), ("unlabeled", "people without a label"),
            ("learned", "people whose labels it learned before they were val"),
        )
        if record.get(key)
    ]  # fmt: skip
    if record["untaught"]:
        parts.append(
            "keypoints that no label shows: " + ", ".join(map(texts.spoken, record["untaught"]))
        )
    return "; ".join(parts)


def _sigmas(record: Record) -> str:
    return " ".join(f"{sigma:.3f}".removeprefix("0") for sigma in record["oks_sigmas"])


def keypoints(record: Record) -> str:
    """A row for each taught keypoint."""
    rows = "".join(
        f"<tr><th scope=row>{escape(texts.spoken(row['name']))}</th><td class=ps-num>{row['n']:,}</td>"
        f"<td class=ps-num>{_percent(row['pck@0.1'])}</td><td class=ps-num>{_percent(row['pck@0.2'])}</td>"
        f"<td class=ps-num>{_plain(row['oks'], 2)}</td><td class=ps-num>{_plain(row['error_px'], 1)}</td>"
        + "".join(
            f"<td class=ps-num>{_percent(row['error_kinds'][kind])}</td>"
            for kind in ERROR_KINDS[1:]
        )
        + "</tr>"
        for row in record["keypoints"]
        if row["taught"]
    )
    names = ("keypoint", "labels", "PCK 0.1", "PCK 0.2", "OKS", "error px", *ERROR_KINDS[1:])
    head = "".join(
        f"<th scope=col{' class=ps-num' if place else ''}>{name}"
        for place, name in enumerate(names)
    )
    return (
        '<div class="ps-scroll ps-tall" tabindex="0" role="region" aria-label="Keypoints"><table class="ps-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def worst(record: Record, skeleton: Skeleton) -> str:
    """The people that are predicted worst, each with what is wrong and where to go."""
    found = record.get("worst") or []
    if not found:
        return (
            '<p class="ps-quiet">This score was made without them. Evaluate again to see them.</p>'
        )
    first, rest = (
        "".join(_case(case, record, skeleton) for case in part)
        for part in (found[:FIRST], found[FIRST:])
    )
    cases = f'<div class="ps-cases">{first}</div>'
    if rest:
        more = f"<summary>{len(found) - FIRST} more</summary>"
        cases += f'<details class="ps-more">{more}<div class="ps-cases">{rest}</div></details>'
    return cases


def _case(case: Record, record: Record, skeleton: Skeleton) -> str:
    person, image, run = (
        int(case["instance_id"]),
        int(case["image_id"]),
        quote(record["run_id"], safe=""),
    )
    source, bones = f"media/{image}/box/{person}?w=320", ""
    if "box" in case:  # scores that were made before have no points
        square = Square.of(case["box"])
        source, bones = square.source(image, 320), skeletons.drawn(case, square, skeleton)
    ways = f'<a class="ps-button" href="correct?instance={person}&amp;run={run}">Correct</a>'
    if record["student"] != "model":
        ways += f'<a class="ps-button" href="inspect?instance={person}&amp;run={run}">Inspect</a>'
    return (
        f'<article class="ps-case"><figure><img loading="lazy" alt="Person {person}" src="{source}">{bones}</figure>'
        f"<div><span><b>OKS {case['oks']:.2f}</b>, person {person}</span>"
        f"<span>{escape(run_words.wrong(case))}</span>"
        f'<div class="ps-next">{ways}</div></div></article>'
    )


def compared(found: Record | None) -> str:
    """Two runs on the same val people."""
    if found is None:
        return '<p class="ps-quiet">Choose another run beside it.</p>'
    if "missing" in found:
        return f'<p class="ps-say">{escape(found["missing"])}</p>'
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th><td class=ps-num>{run_words.ap(value)}</td></tr>"
        for name, value in zip(found["runs"], (found["first"], found["second"]), strict=True)
    )
    out = (
        f" {found['left_out']:,} people that one of them has learned, or not predicted, are left out."
        if found["left_out"]
        else ""
    )
    return (
        f'<table class="ps-table"><thead><tr><th scope=col>run<th scope=col class=ps-num>AP</tr></thead>'
        f"<tbody>{rows}</tbody>"
        f"</table><p><b>{escape(run_words.difference(found))}</b></p><p class=ps-quiet>Stored predictions, "
        f"{run_words.judged_on(found['people'], found['rough'])}, as labeled now; both runs resampled alike.{out}</p>"
    )


def curve_words(curve: Record) -> str:
    """What the curve over labels says of labels to come, or why it says nothing."""
    more = curve["next"]
    if more is None:
        counts = texts.count(curve["counts"], "label count")
        return f'<p class="ps-say">{escape(run_words.NO_CURVE.format(counts=counts, needed=curve["needed"]))}</p>'
    gain, low, high = (100 * more[key] for key in ("gain", "low", "high"))
    return (
        f'<p class="ps-say">The next {more["people"]} labeled people: about {gain:+.1f} AP '
        f"({100 * more['level']:.0f} % interval {low:+.1f} to {high:+.1f}), if it goes on as so far.</p>"
    )


def old_runs(standings: Record) -> int:
    """How many runs must be scored again for the newest val labels."""
    return sum(not row["current"] for row in standings["runs"]) if standings["people"] else 0


def pseudo(found: Record | None) -> str:
    """Precision and recall of pseudo-labels in numbers, or why there are none."""
    if found is None:
        return f'<p class="ps-say">{escape(run_words.NO_LEDGER)}</p>'
    rows = "".join(
        f"<tr><th scope=row>{name}</th><td class=ps-num>{_percent(told['precision'])}</td>"
        f"<td class=ps-num>{_percent(told['recall'])}</td><td class=ps-num>{told['asked']:,}</td></tr>"
        for name, told in (("in training", found["training"]), ("in the pool now", found["pool"]))
        if told
    )
    head = "".join(f"<th scope=col{kind}>{name}" for kind, name in (
        ("", ""), (" class=ps-num", "precision"), (" class=ps-num", "recall"), (" class=ps-num", "chances"),
    ))  # fmt: skip
    return (
        f'<table class="ps-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><p class="ps-quiet">'
        f"At {found['labeled_later']:,} keypoints that a person labeled after the run began: right is within 0.15 of "
        "the box's height. Who labels along the queue labels what the students doubted, so both are lower than over "
        "everybody.</p>"
    )


def reliability_words(found: Record | None) -> str:
    """What the reliability diagram is made of, or why there is none."""
    if found is None:
        return f'<p class="ps-say">{escape(run_words.NO_RELIABILITY)}</p>'
    auroc = ""
    if found["auroc"] is not None:
        auroc = f" A wrong keypoint ranks above a right one {_percent(found['auroc'])} of the time."
    return (
        f'<p class="ps-quiet">{found["keypoints"]:,} {escape(found["source"])}: {_percent(found["wrong"])} wrong, mean '
        f"distance from the diagonal {_percent(found['ece'])}.{auroc}</p>"
    )


def empty(runs: Sequence[str], why: str = "") -> str:
    """What stands in place of scores; why: nobody can be judged by."""
    if not runs:
        return cards.empty(run_words.NO_STUDENTS)
    return cards.empty((NOBODY_JUDGES, why) if why else run_words.NO_SCORES)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _plain(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
