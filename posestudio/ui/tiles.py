"""Inspect as markup: what both students believe about one person, from the arrays of `studio.inspect.look`.

Pure functions: the dict in, HTML out. Every name and reason is escaped here; pictures are data URIs. In array shapes
S is students, V views, K keypoints, (h, w) the heatmap and (H, W) the crop.
"""

from collections.abc import Iterable
from html import escape
from typing import Any

import numpy as np

from posestudio.core.skeleton import Skeleton
from posestudio.ui import draw, texts
from posestudio.ui.draw import Mark

Look = dict[str, Any]


def overview(look: Look, show: str) -> str:
    """All keypoints as cards, each with what `show` (one of texts.SHOW) names."""
    makers = {
        "Heatmaps": _heatmaps, "Votes": _votes, "Offers": _offers, "Uncertainty": _uncertainty, "Targets": _targets,
    }  # fmt: skip
    make = makers[show]
    cards = []
    for k, name in enumerate(look["keypoints"]):
        cards.append(
            f'<div class="ps-card" data-keypoint="{k}" title="Show {escape(texts.spoken(name))} alone">'
            f"{_card_head(look, k)}{make(look, k)}</div>"
        )
    wide = " ps-wide" if show in ("Votes", "Offers") else ""
    return _frame(
        look,
        f'<p class="ps-note">{texts.EXPLAIN[show]}</p><div class="ps-cards{wide}">{"".join(cards)}</div>',
    )


def single(look: Look, k: int) -> str:
    """One keypoint with everything: heatmaps, votes, offers, uncertainty, targets, and why."""
    name = look["keypoints"][k]
    person, v = look["instance"], int(look["label_v"][k])
    absent = _absent(person, k)
    words = [texts.label_words(name, v, bool(look["taught"][k]), person, absent)]
    plain = v == 0 and absent is None and person.get("split") != "val"
    words += _target_sentences(look, k, "Student" if plain else "By the pool alone, student")
    why = "".join(f"<li>{escape(line)}</li>" for line in words)
    parts = [
        '<p class="ps-back"><button type="button" data-keypoint="-1">&larr; All keypoints</button></p>',
        f'<h2 class="ps-title">{_side_mark(look, k)}{escape(texts.spoken(name))}</h2>',
    ]
    parts.append(f'<ul class="ps-why">{why}</ul>')
    for show, make in (("Heatmaps", _heatmaps), ("Uncertainty", _uncertainty), ("Offers", _offers),
                       ("Targets", _targets), ("Votes", _votes)):  # fmt: skip
        body = make(look, k)
        parts.append(
            f'<section class="ps-part ps-part-{show.lower()}"><h3>{show}</h3>'
            f'<p class="ps-note">{texts.EXPLAIN[show]}</p>{body}</section>'
        )
    return _frame(look, f'<div class="ps-single">{"".join(parts)}</div>')


def _absent(person: dict[str, Any], k: int) -> str | None:
    """Why keypoint k was declared absent, or None."""
    for row in person.get("labels", ()):
        if row["keypoint"] == k and row["state"] == "absent":
            return str(row["reason"])
    return None


def photo(look: Look, skeleton: Skeleton) -> str:
    """The crop with both students' keypoints and the person's label, if there is one."""
    height, width = look["crop"].shape[:2]
    unit = max(height, width) / 190
    layers = []
    if np.isfinite(look["label_points"]).any():
        hollow = np.asarray(look["label_v"]) == 1
        layers.append(
            draw.skeleton_svg(look["label_points"], skeleton, who="label", hollow=hollow, unit=unit)
        )
    for s, student in enumerate(look["students"]):
        layers.append(
            draw.skeleton_svg(
                look["points"][s],
                skeleton,
                who=_student_class(student),
                scores=look["scores"][s],
                unit=unit,
            )
        )
    return (
        f'<div class="ps-photo" style="aspect-ratio:{width}/{height}">'
        f'<img alt="Crop of the person" src="{draw.photo_uri(look["crop"])}">'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Keypoints of the students and of the label">'
        f"{''.join(layers)}</svg></div>"
    )


def legend() -> str:
    """What shapes, colors and lines of `photo` mean; each layer with a box that hides it."""
    layers = (("a", "student a"), ("b", "student b"), ("label", "label"))
    found = [
        f'<label><input type="checkbox" checked data-who="{who}">{_line(who)}{words}</label>'
        for who, words in layers
    ]
    sides = (("left", "person's left"), ("right", "person's right"), ("center", "middle"))
    found += [f"<span>{_glyph(side)}{words}</span>" for side, words in sides]
    return f'<div class="ps-legend">{"".join(found)}</div>'


def scales() -> str:
    """The color bars, the same for all people, keypoints and students, and the slider between photo and map."""
    bars = draw.color_bar("maps", draw.VIRIDIS) + draw.color_bar(
        "uncertainty", draw.MAGMA, draw.MAGMA_TOP
    )
    slider = (
        '<label class="ps-scale">photo <input type="range" min="0" max="1" step="0.05" value="0.65" '
        'aria-label="Opacity of the maps over the photo"> map</label>'
    )
    return f'<div class="ps-scales">{bars}{slider}</div>'


def _line(who: str) -> str:
    return (
        f'<svg class="ps-key" viewBox="0 0 26 10" aria-hidden="true"><g class="ps-body ps-{who}">'
        '<line class="center" x1="1" y1="5" x2="25" y2="5"/></g></svg>'
    )


def _frame(look: Look, body: str) -> str:
    height, width = look["crop"].shape[:2]
    ground = draw.photo_uri(look["crop"], gray=True)
    return (
        f'<div class="ps-look" style="--ratio:{width}/{height};--ground:url({ground})">{body}</div>'
    )


def _tile(look: Look, uri: str, alt: str, marks: Iterable[Mark] = (), extra: str = "") -> str:
    over = draw.marks_svg(tuple(marks), look["crop"].shape[:2])
    return f'<span class="ps-tile{extra}"><img alt="{escape(alt, quote=True)}" src="{uri}">{over}</span>'


def _mark(xy: np.ndarray, kind: str = "peak") -> Mark:
    return Mark(float(xy[0]), float(xy[1]), kind)


def _figure(
    look: Look, uri: str, caption: str, alt: str, marks: Iterable[Mark] = (), extra: str = ""
) -> str:
    tile = _tile(look, uri, alt, marks, extra)
    return f'<span class="ps-figure">{tile}<span class="ps-caption">{caption}</span></span>'


def _card_head(look: Look, k: int) -> str:
    name = escape(texts.spoken(look["keypoints"][k]))
    note = ""
    if not look["taught"][k]:
        note = '<span class="ps-chip">untaught</span>'
    elif look["label_v"][k] > 0:
        note = f'<span class="ps-chip ps-done">label v {int(look["label_v"][k])}</span>'
    return f'<button type="button" class="ps-card-head">{_side_mark(look, k)}<b>{name}</b>{note}</button>'


def _side_mark(look: Look, k: int) -> str:
    name = str(look["keypoints"][k]).lower()
    for side, starts in (("left", ("left", "l_")), ("right", ("right", "r_"))):
        if name.startswith(starts):
            return _glyph(side)
    return _glyph("center")


def _glyph(side: str) -> str:
    shapes = {
        "left": '<circle cx="5" cy="5" r="4"/>',
        "right": '<rect x="1.5" y="1.5" width="7" height="7"/>',
        "center": '<polygon points="5,0.5 9.5,5 5,9.5 0.5,5"/>',
    }
    return (
        f'<svg class="ps-glyph {side}" viewBox="0 0 10 10" aria-hidden="true">{shapes[side]}</svg>'
    )


def _student_class(student: object) -> str:
    return str(student) if student in ("a", "b", "label") else "a"


def _heatmaps(look: Look, k: int) -> str:
    uris = draw.map_uris(look["maps"][:, k], draw.VIRIDIS)
    name = texts.spoken(look["keypoints"][k])
    found = []
    for s, student in enumerate(look["students"]):
        score, student = float(look["scores"][s, k]), escape(str(student))
        marks = [_mark(look["points"][s, k])]
        if look["label_v"][k] > 0:
            marks.append(_mark(look["label_points"][k], "label"))
        found.append(
            _figure(
                look,
                uris[s],
                f"<b>{student}</b> peak {score:.2f}",
                f"Student {student}, {name}: heatmap with its peak at {score:.2f}",
                marks,
            )  # fmt: skip
        )
    return f'<span class="ps-row">{"".join(found)}</span>{_apart(look, k)}'


def _apart(look: Look, k: int) -> str:
    if len(look["students"]) < 2:
        return ""
    distance = float(np.linalg.norm(look["points"][0, k] - look["points"][1, k]))
    far = " ps-far" if look["taught"][k] and distance > 0.08 * max(look["crop"].shape[:2]) else ""
    a, b = (escape(str(student)) for student in look["students"][:2])
    return f'<span class="ps-apart{far}">{a} and {b} {distance:.0f} px apart</span>'


def _votes(look: Look, k: int) -> str:
    votes = look["votes"][:, :, k]
    valid = np.asarray(look["valid"])
    valid = np.broadcast_to(
        valid if valid.ndim == 5 else valid[None], (*votes.shape[:2], 1, *votes.shape[2:])
    )[:, :, 0]
    name, rows = texts.spoken(look["keypoints"][k]), []
    for s, student in enumerate(look["students"]):
        student = escape(str(student))
        uris = draw.map_uris(votes[s], draw.VIRIDIS, valid[s])
        found = [f'<span class="ps-row-name">{student}</span>']
        for v, view in enumerate(look["views"]):
            score, agrees = float(look["vote_scores"][s, v, k]), bool(look["agrees"][s, v, k])
            word = "agrees" if agrees else "outlier"
            caption = f'{escape(texts.spoken(view))}<br><b>{score:.2f}</b> <i class="ps-{word}">{word}</i>'
            alt = f"Vote of student {student} on view {texts.spoken(view)}, {name}: peak {score:.2f}, {word}"
            mark = [_mark(look["vote_peaks"][s, v, k])]
            found.append(_figure(look, uris[v], caption, alt, mark, "" if agrees else " ps-off"))
        rows.append(f'<span class="ps-row ps-votes">{"".join(found)}</span>')
    return "".join(rows)


def _offers(look: Look, k: int) -> str:
    before = draw.map_uris(look["aggregated"][:, k], draw.VIRIDIS)
    after = draw.map_uris(look["offers"][:, k], draw.VIRIDIS)
    name, rows = texts.spoken(look["keypoints"][k]), []
    for s, student in enumerate(look["students"]):
        student, accepted = escape(str(student)), bool(look["accepted"][s, k])
        peak = float(np.max(look["aggregated"][s, k]))
        word = "accepted" if accepted else "rejected"
        reason = escape(str(look["reasons"][s][k]).removeprefix(f"{word}: "))
        off = "" if accepted else " ps-off"
        rows.append(
            f'<span class="ps-row ps-offer"><span class="ps-row-name">{student}</span>'
            + _figure(
                look,
                before[s],
                f"before <b>{peak:.2f}</b>",
                f"Offer of {student}, {name}, before refine",
            )
            + '<span class="ps-arrow" aria-hidden="true">&rarr;</span>'
            + _figure(
                look,
                after[s],
                "after",
                f"Offer of {student}, {name}, after refine: {word}",
                (),
                off,
            )
            + f'<span class="ps-verdict"><i class="ps-{word}">{word}</i><span>{reason}</span></span></span>'
        )
    return "".join(rows)


def _uncertainty(look: Look, k: int) -> str:
    uris = draw.map_uris(look["uncertainty_maps"][:, k], draw.MAGMA, top=draw.MAGMA_TOP)
    name, found = texts.spoken(look["keypoints"][k]), []
    for s, student in enumerate(look["students"]):
        student, u = escape(str(student)), float(look["uncertainty"][s, k])
        found.append(
            _figure(
                look,
                uris[s],
                f"<b>{student}</b> u {u:.3f}",
                f"Uncertainty of student {student}, {name}: {u:.3f}",
            )
        )
    return f'<span class="ps-row">{"".join(found)}</span>'


def _targets(look: Look, k: int) -> str:
    uris = draw.map_uris(look["targets"][:, k], draw.VIRIDIS)
    students, found = [str(student) for student in look["students"]], []
    for s, student in enumerate(students):
        chosen = int(look["chosen"][s, k])
        source = "nothing" if chosen < 0 else texts.whose(students[chosen], chosen == s)
        alt = f"Target of student {student}, {texts.spoken(look['keypoints'][k])}: {source}"
        caption = f"<b>{escape(student)}</b> &larr; {escape(source)}"
        found.append(_figure(look, uris[s], caption, alt, (), " ps-off" if chosen < 0 else ""))
    return f'<span class="ps-row">{"".join(found)}</span>'


def _target_sentences(look: Look, k: int, opening: str) -> list[str]:
    students = [str(student) for student in look["students"]]
    return [
        texts.target_words(
            students, s, int(look["chosen"][s, k]),
            [float(u) for u in look["uncertainty"][:, k]], [bool(ok) for ok in look["accepted"][:, k]],
            opening=opening,
        )
        for s in range(len(students))
    ]  # fmt: skip


def facts(look: Look | None, words: list[tuple[str, str]]) -> str:
    """A short list of what is known about the person; `words` are (name, value) in order."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in words)
    if look is not None:
        taken = int(np.sum(np.any(np.asarray(look["accepted"]), axis=0)))
        whole = len(look["keypoints"])
        rows += f"<dt>Pool</dt><dd>{taken} of {whole} keypoints have an accepted offer</dd>"
    return f'<dl class="ps-facts">{rows}</dl>'
