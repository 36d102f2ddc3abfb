"""The Train page's markup: what there is to learn from, the run in view, its result, all runs, two runs side by side.

Pure functions: values in, HTML out. Everything that a user, a file or a run gave is escaped.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from posestudio.events import Failed, Stepped
from posestudio.ui import cards, run_words, texts
from posestudio.ui.reads_runs import View

Record = Mapping[str, Any]


def learning(found: Record, notes: Sequence[str]) -> str:
    """What a training would learn from, with what a person should know before pressing Train.

    Args:
        found: of the verb `learning`.
        notes: sentences.
    """
    if not found["people"] and not found["fold"]:
        return cards.empty(run_words.NO_TEACHER)
    facts = [
        ("Labels", f"{texts.count(found['people'], 'person', 'people')}, {found['keypoints']:,} keypoints"),
        ("Held out", f"{texts.count(found['fold'], 'labeled person', 'labeled people')} to look at"),
        ("Unlabeled", f"{texts.count(found['unlabeled'], 'person', 'people')} for pseudo-targets"),
        ("Val", f"{texts.count(found['val'], 'person', 'people')} for the score"),
        ("New", _since(found["since"])),
    ]  # fmt: skip
    said = "".join(f'<p class="ps-say">{escape(note)}</p>' for note in notes)
    return f'<div class="ps-learn">{_pairs(facts)}{said}{_by_keypoint(found["names"])}</div>'


def _since(since: Record | None) -> str:
    if since is None:
        return "this is the first run"
    parts = [
        f"{since[key]:,} {words}"
        for key, words in (
            ("people_added", "people"), ("keypoints_labeled", "keypoints labeled"), ("boxes_moved", "boxes moved"),
        )
        if since[key]
    ]  # fmt: skip
    changed = since["keypoints_changed"] - since["keypoints_labeled"]
    parts += [f"{changed:,} keypoints changed"] if changed > 0 else []
    return f"{', '.join(parts) or 'nothing'} since {since['run_id']}"


def _by_keypoint(names: Sequence[Record]) -> str:
    top = max((row["visible"] + row["occluded"] for row in names), default=0) or 1
    rows = "".join(
        f"<tr><th scope=row>{escape(texts.spoken(row['name']))}</th>"
        f'<td class="ps-bars"><i style="width:{100 * row["visible"] / top:.1f}%"></i>'
        f'<i class="ps-hatched" style="width:{100 * row["occluded"] / top:.1f}%"></i></td>'
        f"<td>{row['visible']:,}</td><td>{row['occluded']:,}</td><td>{row['open']:,}</td>"
        f"<td>{'' if row['taught'] else 'untaught'}</td></tr>"
        for row in names
    )
    return (
        "<details><summary>Labels by keypoint</summary><table class=ps-table><thead><tr><th scope=col>keypoint"
        "<th scope=col><th scope=col>visible<th scope=col>occluded<th scope=col>open<th scope=col></tr></thead>"
        f"<tbody>{rows}</tbody></table></details>"
    )


def estimate(seconds: float | None, words: str, people: int) -> str:
    """How long the training will take, before it starts."""
    long = (
        "Length not known yet"
        if seconds is None
        else f"About {run_words.span(seconds)} of training"
    )
    after = f"then predictions and doubts of {texts.count(people, 'person', 'people')}"
    return f'<p class="ps-estimate"><b>{long}</b>, {after}. {escape(words[:1].upper() + words[1:])}.</p>'


def command(line: str) -> str:
    """The command line that does the same, with a button that copies it."""
    return (
        '<div class="ps-command"><pre tabindex="0" aria-label="Command line">'
        + escape(line)
        + "</pre>"
        '<button type="button" class="ps-button" data-copy>Copy</button></div>'
    )


def trouble(message: str) -> str:
    """What is wrong with the form, in words."""
    return f'<p class="ps-estimate ps-bad" role="alert">{escape(message)}</p>'


def panel(view: View | None) -> str:
    """The run in view: status, bar, numbers, and what a person should read."""
    if view is None:
        return cards.empty(run_words.NO_RUNS)
    name, meaning = run_words.STATUS[view.status]
    if view.making_results:
        name, meaning = "making its results", ""
    elif view.working and view.status not in ("running", "stopping"):
        name, meaning = "starting", ""
    done, whole = view.progress()
    head = (
        f'<div class="ps-run-head"><h2>{escape(view.run_id)}</h2>'
        f'<span class="ps-chip ps-status-{view.status}{" ps-busy" if view.busy else ""}" role="status">{name}</span>'
        "</div>"
    )
    bar = ""
    if view.at and not (whole and view.status in ("running", "stopping")):
        bar = cards.progress("", view.at)
    elif whole and view.status != "done":
        bar = (
            f'<div class="ps-progress"><progress max="100" value="{100 * done / whole:.1f}" '
            f'aria-label="training"></progress><span>{_bar_words(view, done, whole)}</span></div>'
        )
    said = [f'<p class="ps-say">{escape(meaning)}</p>'] if meaning else []
    said += [f'<p class="ps-say">{run_words.RESUME_NOTE}</p>'] if view.resumable else []
    said += [_warning(event) for event in view.warnings()[-4:]]
    if view.problem and view.status != "failed":
        said.append(f'<p class="ps-say ps-bad" role="alert">{escape(view.problem)}</p>')
    return f'<div class="ps-run">{head}{bar}{_numbers(view)}{"".join(said)}</div>'


def _bar_words(view: View, done: int, whole: int) -> str:
    words = f"{done:,} of {whole:,} steps"
    stepped: Stepped | None = view.last(Stepped)
    if view.busy and stepped is not None:
        words += f" · {run_words.span(stepped.eta_seconds)} left · {stepped.images_per_second:.0f} crops/s"
    return escape(words)


def _numbers(view: View) -> str:
    stepped: Stepped | None = view.last(Stepped)
    if stepped is None:
        return ""
    facts = [("loss on labels", f"{stepped.loss_labeled:.5f}")]
    if stepped.loss_unlabeled or stepped.kept:
        said = (
            ("on pseudo-targets", stepped.loss_unlabeled, ".5f", ""), ("kept", stepped.kept, ".0%", ""),
            ("uncertainty", stepped.uncertainty, ".3f", ""),
            ("students apart", stepped.distance, ".1f", " cells"),
        )  # fmt: skip
        facts += [
            (name, f"{value:{form}}{unit}") for name, value, form, unit in said if value is not None
        ]
    return '<div class="ps-numbers">' + "".join(
        f"<span><b>{value}</b> {name}</span>" for name, value in facts
    ) + "</div>"  # fmt: skip


def _warning(event: Any) -> str:
    if isinstance(event, Failed):
        return f'<p class="ps-say ps-bad" role="alert">{escape(event.message)}</p>'
    alarm = event.code not in ("start", "shipped")
    kind, where = (" ps-alarm", f"Step {event.step:,}. ") if alarm else ("", "")
    return f'<p class="ps-say{kind}">{where}{escape(event.message)}</p>'


def result(run_id: str, found: Record | None) -> str:
    """The score of an ended run beside the run before, and where to go next."""
    if found is None:
        return ""
    name = quote(run_id)
    links = (
        f'<div class="ps-next"><a class="ps-button ps-primary" href="correct?run=">Correct the new queue</a>'
        f'<a class="ps-button" href="inspect?run={name}">Inspect</a>'
        f'<a class="ps-button" href="evaluate?run={name}">Evaluate</a>'
        f'<a class="ps-button" href="train?run={name}&amp;from={name}">Train on</a></div>'
    )
    if "missing" in found:
        why = {
            "no val set": "No score: there is no val set. Set some labeled people aside, then train or evaluate.",
            "no predictions": "No predictions yet: press Make predictions.",
        }.get(found["missing"], str(found["missing"]))
        links = links if found["missing"] != "no predictions" else ""
        return f'<div class="ps-result"><p>{escape(why)}</p>{links}</div>'
    low_high = run_words.interval(found["interval"])
    score = (
        f'<p class="ps-score"><b>{run_words.ap(found["AP"])}</b> AP '
        f"<span>{low_high and f'({low_high} at 95 %) '}"
        f"{run_words.judged_on(found['people'], found['rough'])}</span></p>"
    )
    if found.get("pck") is not None:
        score += f"<p>{run_words.within(found['pck'], found['mean_pose'])}</p>"
    told = found.get("difference")
    if told:
        kind = ("ps-good" if told["difference"] > 0 else "ps-bad") if told["clear"] else ""
        score += (
            f"<p>{escape(told['runs'][0])} before it: {run_words.ap(told['first'])} AP. "
            f'<span class="{kind}">{escape(run_words.difference(told))}</span></p>'
        )
    return f'<div class="ps-result">{score}{links}</div>'


def table(rows: Sequence[Record], shown: str | None) -> str:
    """All runs, the newest first; each name opens the run."""
    if not rows:
        return ""
    head = "".join(
        f"<th scope=col>{name}"
        for name in ("run", "status", "method", "starts from", "labels", "snapshot", "AP on val", "minutes", "made")
    )  # fmt: skip
    body = "".join(_row(row, row["run_id"] == shown) for row in rows)
    return (
        f'<div class="ps-scroll" tabindex="0" role="region" aria-label="All runs"><table class="ps-table ps-runs">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: Record, here: bool) -> str:
    metrics, name = row["metrics"], str(row["run_id"])
    score = run_words.ap(metrics.get("AP"))
    if metrics.get("interval"):
        score += f' <span class="ps-quiet">{run_words.interval(metrics["interval"])}</span>'
    minutes = f"{metrics['seconds'] / 60:.1f}" if metrics.get("seconds") else "-"
    cells = (
        f'<a href="train?run={quote(name)}">{escape(name)}</a>',
        escape(run_words.STATUS[row["status"]][0]), escape(f"{row['preset']}, {row['size']}"),
        escape(row["from_run"] or "scratch"), "-" if row["labeled"] is None else f"{row['labeled']:,} people",
        f'<code title="snapshot">{escape(str(row["snapshot_id"])[:8])}</code>', score, minutes,
        escape(str(row["created_at"])[:16].replace("T", " ")),
    )  # fmt: skip
    mark = ' aria-current="true"' if here else ""
    return f"<tr{mark}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def details(run: Record) -> str:
    """Settings that differ from the preset's and size's, snapshot, weights and metrics of a run.

    Args:
        run: of the verb `run`, with "changed": settings to values.
    """
    metrics = run["metrics"]
    facts = [
        ("Method and size", f"{run['preset']}, {run['size']}"), ("Starts from", run["from_run"] or "scratch"),
        ("Weights", run["weights"] or "torchvision's or none"), ("Snapshot", run["snapshot"]),
        ("Changed settings", ", ".join(f"{key}={value}" for key, value in run["changed"].items()) or "none"),
        ("Steps", f"{metrics.get('steps', '-')} in {run_words.span(metrics.get('seconds') or 0)}"),
        ("Device", str(metrics.get("device", "-"))),
    ]  # fmt: skip
    for name, value in (metrics.get("fold") or {}).items():
        facts.append((f"Held out {name}", f"{value:g}"))
    return _pairs(facts)


def compared(found: Record) -> str:
    """Two runs side by side: the difference of AP, labels, settings."""
    first, second = (escape(str(one)) for one in found["runs"])
    val, labels = found["val"], found["labels"]
    if "missing" in val:
        score = f"<p>{escape(val['missing'])}</p>"
    else:
        score = (
            f"<p>{first}: {run_words.ap(val['first'])} AP. {second}: {run_words.ap(val['second'])} AP, "
            f"{run_words.judged_on(val['people'], val['rough'])}, as labeled now. "
            f"<b>{escape(run_words.difference(val))}</b></p>"
        )
    if found["same_val"]:
        score += '<p class="ps-quiet">The thin curves are those of the other run.</p>'
    else:
        score += '<p class="ps-quiet">Their own scores are of different val labels: their curves are not overlaid.</p>'
    counts = [
        f"{labels[key]:,} {words}"
        for key, words in (
            ("people_added", "people added"), ("people_gone", "people gone"),
            ("keypoints_labeled", "keypoints labeled"), ("keypoints_changed", "keypoints changed"),
            ("boxes_moved", "boxes moved"),
        )
        if labels[key]
    ]  # fmt: skip
    rows = "".join(
        f"<tr><th scope=row>{escape(key)}</th><td>{escape(str(old))}</td><td>{escape(str(new))}</td></tr>"
        for key, (old, new) in found["settings"].items()
    )
    table_ = (
        f"<table class=ps-table><thead><tr><th scope=col>setting<th scope=col>{first}<th scope=col>{second}</tr>"
        f"</thead><tbody>{rows}</tbody></table>"
        if rows
        else "<p>The same settings.</p>"
    )
    return f"{score}<p>Labels: {', '.join(counts) or 'the same'}.</p>{table_}"


def _pairs(facts: Sequence[tuple[str, str]]) -> str:
    inside = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts
    )
    return f'<dl class="ps-facts">{inside}</dl>'
