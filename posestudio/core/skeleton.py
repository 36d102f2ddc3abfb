"""The ordered keypoints of a person: names, limbs, left/right pairs and OKS constants. No torch, no files."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posestudio.errors import InputError

COCO_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}
"""COCO's per-keypoint constants by body part. Source: pycocotools cocoeval.py, Params.setKpParams (divided by 10)."""

OTHER_SIGMA = 0.079
"""OKS constant of a keypoint that COCO does not know and whose file gives none: that of a shoulder. Ours."""

MAX_KEYPOINTS = 256

NO_PAIRS = (
    "No keypoint has a left/right partner, so training mirrors no photo. If some do have one, call them left_ and "
    "right_ (or _l and _r), or give the category 'flip_pairs', before the first import."
)

_LEFT = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<side>[Ll]eft|LEFT)",
        r"(?:^|[_.\- ])[FBHRfbhr]?(?P<side>[Ll])(?:[_.\- ]|$)",
        r"^(?P<side>[Ll])(?=[A-Z])",
        r"(?<=[a-z])(?P<side>L)(?=\d*$)",
        r"(?P<side>[Ll])(?=_)",
    )
)
"""What says left in a name, the surest first: left_eye, ear_l or l.ear or paw_FL, LShoulder, earL or legL4, bl_a."""

_RIGHT = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "l": "r", "L": "R"}


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What a person is made of.

    keypoints: K names. limbs: pairs of 0-based indices, drawn as lines. pairs: (left, right) 0-based indices that
    change places in a mirror. oks_sigmas: K constants of the OKS metric. sigmas_source: where those come from,
    "coco", "file", or "coco and default" when COCO does not know some names and the file gave none.
    """

    name: str
    keypoints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]
    oks_sigmas: tuple[float, ...]
    sigmas_source: str = "coco"

    @property
    def flip_index(self) -> tuple[int, ...]:
        """K indices: keypoint k of a mirrored person is keypoint flip_index[k] of the person."""
        index = list(range(len(self.keypoints)))
        for left, right in self.pairs:
            index[left], index[right] = right, left
        return tuple(index)

    @property
    def mirrors(self) -> bool:
        """See `mirrors`."""
        return mirrors(self.flip_index)

    @property
    def notices(self) -> list[str]:
        """What a person should know of it before a training, a sentence each."""
        return [] if self.mirrors else [NO_PAIRS]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form that `from_dict` reads."""
        return {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "skeleton": [[a + 1, b + 1] for a, b in self.limbs],
            "flip_pairs": [list(pair) for pair in self.pairs],
            "sigmas": list(self.oks_sigmas),
            "sigmas_source": self.sigmas_source,
        }


def from_dict(record: Mapping[str, Any], where: str = "skeleton") -> Skeleton:
    """Read a COCO category, or a small file of the same form.

    Args:
        record: `keypoints` (names, required), `skeleton` (COCO's 1-based pairs), `flip_pairs` (0-based pairs;
            `pairs_by_name` when absent), `sigmas` (K positive numbers; COCO's by name when absent), `name`.
        where: what to call the source in an error.

    Raises:
        InputError: a name is missing or twice there, an index is out of range, or sigmas have the wrong length.
    """
    names = record.get("keypoints")
    if not isinstance(names, (list, tuple)) or not names:
        raise InputError(f"{where} has no list of keypoint names. Give 'keypoints': ['nose', ...].")
    if len(names) > MAX_KEYPOINTS or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{where}: keypoints must be 1 to {MAX_KEYPOINTS} non-empty names.")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{where}: the keypoint name {twice!r} is there twice.")
    count = len(names)
    limbs = _pairs(record.get("skeleton") or [], count, 1, f"{where}: skeleton")
    if record.get("flip_pairs") is not None:
        pairs = _pairs(record["flip_pairs"], count, 0, f"{where}: flip_pairs")
    else:
        pairs = pairs_by_name(tuple(names))
    seen = [index for pair in pairs for index in pair]
    if len(set(seen)) != len(seen):
        raise InputError(f"{where}: flip_pairs name a keypoint twice; each has one mirror partner.")
    sigmas, source = _sigmas(record.get("sigmas"), tuple(names), where)
    return Skeleton(
        name=str(record.get("name") or "person"),
        keypoints=tuple(names),
        limbs=limbs,
        pairs=pairs,
        oks_sigmas=sigmas,
        sigmas_source=str(record.get("sigmas_source") or source),
    )


def pairs_by_name(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """(left, right) indices of names that differ only in their side: left_ear, ear_l, l.ear, LEar or earL.

    A name makes a pair only with one that is there, and each is in one pair at most.
    """
    place = {name.lower(): index for index, name in enumerate(names)}
    found: dict[int, int] = {}
    for index, name in enumerate(names):
        for pattern in _LEFT:
            partner = place.get(_mirrored(name, pattern))
            if partner is not None and not {index, partner} & {*found, *found.values()}:
                found[index] = partner
                break
    return tuple(found.items())


def _mirrored(name: str, left: re.Pattern[str]) -> str:
    """The name with right where it says left first, in small letters; nothing where it does not."""
    said = left.search(name)
    if said is None:
        return ""
    return f"{name[: said.start('side')]}{_RIGHT[said['side']]}{name[said.end('side') :]}".lower()


def mirrors(flip_index: Sequence[int]) -> bool:
    """Whether a mirrored photo shows such a person too: some keypoints have a partner, or there is one alone.

    Keypoints without any partner may be those of one side (a horse seen from its left), or have sides that their
    names do not tell.
    """
    return len(flip_index) == 1 or any(mirror != k for k, mirror in enumerate(flip_index))


def coco_sigma(name: str) -> float | None:
    """COCO's OKS constant of a keypoint by its name without left_/right_, or None."""
    part = name.lower().replace("left", "").replace("right", "").strip("_- ")
    return COCO_SIGMAS.get(part)


def _sigmas(given: object, names: tuple[str, ...], where: str) -> tuple[tuple[float, ...], str]:
    if given is None:
        found = [coco_sigma(name) for name in names]
        source = "coco" if None not in found else "coco and default"
        return tuple(OTHER_SIGMA if value is None else value for value in found), source
    fits = isinstance(given, (list, tuple)) and len(given) == len(names)
    if not fits or not all(_positive(value) for value in given):  # type: ignore[union-attr]
        raise InputError(f"{where}: sigmas must be {len(names)} positive numbers, got {given!r}.")
    return tuple(float(value) for value in given), "file"  # type: ignore[union-attr]


def _positive(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0  # type: ignore[arg-type,operator]


def _pairs(given: object, count: int, base: int, where: str) -> tuple[tuple[int, int], ...]:
    if not isinstance(given, (list, tuple)):
        raise InputError(f"{where} must be a list of index pairs, got {given!r}.")
    found = []
    for pair in given:
        fits = isinstance(pair, (list, tuple)) and len(pair) == 2
        if not fits or not all(type(i) is int and base <= i < count + base for i in pair):
            raise InputError(
                f"{where}: {pair!r} is not a pair of indices {base}..{count + base - 1}."
            )
        if pair[0] == pair[1]:
            raise InputError(f"{where}: {pair!r} joins a keypoint to itself.")
        found.append((pair[0] - base, pair[1] - base))
    return tuple(found)


COCO17 = from_dict(
    {
        "name": "person",
        "keypoints": [
            "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
            "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
            "right_knee", "left_ankle", "right_ankle",
        ],
        "skeleton": [
            [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10],
            [9, 11], [2, 3], [1, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 7],
        ],
    },
    "COCO-17",
)  # fmt: skip
"""COCO's person. Source: cocodataset.org, person_keypoints_train2017 categories."""
