"""The grid of Images as markup: a photo a card, with its people's boxes, split and label status.

Pure functions: what the verb `images` returns in, HTML out. File names come from users and are escaped.
"""

from html import escape
from typing import Any

from posestudio.ui import texts

THUMB_WIDTH = 320
"""Width in pixels of the pictures that the grid asks /media for."""


def grid(images: list[dict[str, Any]], keypoints: int) -> str:
    """Cards of one page of images, each with its `people`; the skeleton has so many keypoints."""
    return f'<div class="ps-grid">{"".join(_card(image, keypoints) for image in images)}</div>'


def empty(words: tuple[str, str]) -> str:
    """What a page shows when there is nothing, and what to do next: (what, what next)."""
    return f'<div class="ps-empty"><b>{escape(words[0])}</b><p>{escape(words[1])}</p></div>'


def summary(counts: dict[str, Any]) -> str:
    """Totals in one line: photos, people, how many are labeled, and people by split."""
    splits: dict[str, dict[str, Any]] = counts["splits"]
    labeled = sum(int(split["people"]) - int(split["open"]) for split in splits.values())
    parts = [
        texts.count(int(counts["images"]), "photo"),
        texts.count(int(counts["people"]), "person", "people"),
        f"{labeled:,} with labels",
    ]
    inside = ", ".join(f"{escape(name)} {int(split['people']):,}" for name, split in splits.items())
    return f'<p class="ps-summary">{" · ".join(parts)} · people by split: {inside}</p>'


def refusals(added: dict[str, Any]) -> str:
    """What an import took, and what it refused and why; `added` as `reads.add_photos` gives it."""
    boxes = texts.count(added["people"], "person box", "person boxes")
    lines = [f"<p><b>{texts.count(added['images'], 'photo')} added</b>, {boxes}."]
    if added["duplicates"]:
        lines.append(f" {texts.count(added['duplicates'], 'photo')} had been here before.")
    lines += [f" {escape(note[:1].upper() + note[1:])}." for note in added["notes"]]
    lines.append("</p>")
    if added["refused"]:
        rows = "".join(
            f"<li><b>{escape(name)}</b> {escape(why)}</li>" for name, why in added["refused"]
        )
        lines.append(f'<p class="ps-bad">{texts.count(len(added["refused"]), "file")} refused:</p>')
        lines.append(f'<ul class="ps-refused" tabindex="0" aria-label="Refused files">{rows}</ul>')
    return f'<div class="ps-added" role="status">{"".join(lines)}</div>'


def _card(image: dict[str, Any], keypoints: int) -> str:
    width, height = int(image["width"]), int(image["height"])
    name, people = (
        escape(str(image["file_name"] or f"image {image['image_id']}"), quote=True),
        image["people"],
    )
    source = f"media/{int(image['image_id'])}?w={THUMB_WIDTH}"
    boxes = "".join(_box(person, (width, height), keypoints) for person in people)
    # the photo keeps its shape inside the card's window, so boxes stay on the people
    window = (
        f'<div class="ps-window"><div class="ps-fit" style="--w:{width};--h:{height}">'
        f'<img loading="lazy" width="{width}" height="{height}" alt="{name}" src="{source}">'
        f'<svg viewBox="0 0 {width} {height}">{boxes}</svg></div></div>'
    )
    rows = "".join(_person(person, keypoints) for person in people)
    if not people:
        rows = '<span class="ps-quiet">no person box</span>'
    split = escape(str(image["split"]))
    return (
        f'<article class="ps-image">{window}<div class="ps-line"><span class="ps-name" title="{name}">{name}</span>'
        f'<span class="ps-chip ps-split-{split}">{split}</span></div><div class="ps-people">{rows}</div></article>'
    )


def _box(person: dict[str, Any], size_wh: tuple[int, int], keypoints: int) -> str:
    x, y, w, h = (float(value) for value in person["box_xywh"])
    right, low = min(x + w, size_wh[0]), min(y + h, size_wh[1])
    x, y = max(0.0, x), max(0.0, y)
    w, h = max(0.0, right - x), max(0.0, low - y)
    kind = texts.status(person, keypoints)[1]
    return (
        f'<a href="inspect?instance={int(person["instance_id"])}" aria-hidden="true" tabindex="-1">'
        f"<title>Inspect person {int(person['instance_id'])}</title>"
        f'<rect class="case" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"/>'
        f'<rect class="ps-{kind}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"/></a>'
    )


def _person(person: dict[str, Any], keypoints: int) -> str:
    words, kind = texts.status(person, keypoints)
    number = int(person["instance_id"])
    return (
        f'<a class="ps-chip ps-person ps-{kind}" href="inspect?instance={number}" '
        f'aria-label="Inspect person {number}, {words}"><b>{number}</b> {words}</a>'
    )
