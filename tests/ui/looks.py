"""A made-up result of `studio.inspect.look`, with every shape that the page draws."""

from html.parser import HTMLParser
from typing import Any

import numpy as np

from posestudio import config
from posestudio.core.skeleton import COCO17

EVIL = '<img src=x onerror="window.__pwn=1">${window.__pwn=2}{{value}}'


def make_look(
    seed: int = 0, size_hw: tuple[int, int] = (128, 96), preset: str = "paper"
) -> dict[str, Any]:
    """Two students, four views, COCO's 17 keypoints; keypoint 1 has no offer, keypoint 2 is labeled, 3 is untaught."""
    rng = np.random.default_rng(seed)
    students, views, keypoints = 2, 4, 17
    height, width = size_hw
    h, w = height // 4, width // 4
    points = rng.uniform(8, min(size_hw) - 8, (students, keypoints, 2))
    votes = rng.uniform(0, 0.8, (students, views, keypoints, h, w)).astype(np.float32)
    accepted = np.ones((students, keypoints), bool)
    accepted[:, 1] = False
    chosen = np.zeros((students, keypoints), int)
    chosen[:, 1] = -1
    label_points = np.full((keypoints, 2), np.nan)
    label_points[2] = 20.0, 30.0
    label_v = np.zeros(keypoints, int)
    label_v[2] = 1
    taught = np.ones(keypoints, bool)
    taught[3] = False
    valid = np.ones((students, views, 1, h, w), bool)
    valid[:, 2, :, :3] = False
    agrees = np.ones((students, views, keypoints), bool)
    agrees[1, 3] = False
    words = [
        ["accepted: its peak passes" if ok else f"rejected: {EVIL}" for ok in row]
        for row in accepted
    ]
    return {
        "instance": {"instance_id": 7, "box_xywh": [10.0, 20.0, 60.0, 100.0], "split": "train"},
        "run_id": "0001-calm-owl", "students": ["a", "b"], "voters": ["a", "b"], "config": config.make(preset, "tiny"),
        "picture": rng.integers(0, 255, (2 * height, 2 * width, 3), np.uint8),
        "keypoints": list(COCO17.keypoints), "crop": rng.integers(0, 255, (height, width, 3), np.uint8),
        "maps": votes[:, 0], "votes": votes, "valid": valid, "views": ["as it is", "mirrored", "turned", "recolored"],
        "vote_peaks": np.repeat(points[:, None], views, 1), "vote_scores": votes.max((-1, -2)), "agrees": agrees,
        "aggregated": votes.max(1), "offers": votes.max(1), "accepted": accepted, "reasons": words,
        "uncertainty": np.where(np.arange(2)[:, None] == 0, 0.1, 0.2) * np.ones((students, keypoints)),
        "uncertainty_maps": votes.std(1), "chosen": chosen, "targets": votes.max(1), "points": points,
        "scores": votes[:, 0].max((-1, -2)), "label_points": label_points, "label_v": label_v, "taught": taught,
        "matrix": np.eye(2, 3), "candidates": [[{"xy": [3.0, 4.0], "score": 0.5, "student": "a"}]] * keypoints,
    }  # fmt: skip


class Names(HTMLParser):
    """Every tag and attribute name of a piece of markup, and every address it loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources |= {str(value) for name, value in attrs if name in ("src", "href")}


def assert_only_text(page: str) -> None:
    """Whatever EVIL was put in became neither a tag, nor an attribute, nor an address."""
    found = Names(page)
    assert not found.tags & {"script", "iframe", "object", "embed", "link", "meta", "base", "form"}
    assert not {name for name in found.attributes if name.startswith("on")}
    assert all(
        address.startswith(("data:image/", "media/", "inspect?")) for address in found.sources
    )
    assert "x" not in found.sources
