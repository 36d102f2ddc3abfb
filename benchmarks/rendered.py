"""Rendered people whose truth is known to the last keypoint, as a dataset for the benchmarks of labels.

    python benchmarks/rendered.py make OUT [--people 3000] [--seed 0] [--stress NAME=LEVEL ...]
    python benchmarks/label_budget.py run --dataset rendered --data OUT ...

OUT gets images/, a COCO keypoint file for each split (train.json with labels, unlabeled.json with boxes only, dev.json,
test.json), answers.json with the truth about train and unlabeled, and rendered.json, written last, which says how the
set was made. Every scene has a seed of its own, so neither their order nor another split's size changes it. In dev
and test one person of a scene is told of, so those who judge are independent and alone in their images.

Stresses, levels in 0..1 (benchmarks/rendered_stress.py): label_noise and swap_noise spoil labels of train; domain_shift
and out_of_domain spoil the unlabeled pictures; distractors, occluders, hoods, rare_train and rare_test replace a rate
of the renderer. Oracles, and targets that are wrong on purpose: benchmarks/rendered_oracles.py.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from benchmarks.datasets import Dataset  # noqa: E402
from benchmarks.rendered_stress import KNOBS, PICTURES, STRESSES, Scene  # noqa: E402
from posestudio.core.skeleton import COCO17  # noqa: E402
from posestudio.errors import InputError, PoseStudioError  # noqa: E402
from posestudio.store.groups import in_fold  # noqa: E402
from posestudio.store.snapshots import OPEN, PLACED, People  # noqa: E402
from posestudio.studio.render import VISIBLE, RenderedPerson, render_scene  # noqa: E402

SPLITS: tuple[str, ...] = ("train", "unlabeled", "dev", "test")
PEOPLE = 3000
"""People to learn from, with and without labels."""
MAY_LABEL = 1 / 3
"""Share of them in train, whose labels a budget may show."""
DEV, TEST = 300, 600
SIZES_HW = ((192, 160), (192, 160), (176, 176), (160, 192))
"""Image sizes, drawn evenly. A person is 100 to 175 pixels tall, a little over what a crop of 128x96 shows."""
RATES = {"occluder_rate": 0.5, "second_rate": 0.35, "rare_rate": 0.15, "noise": 2.0, "ambiguity": 0.5}  # fmt: skip
"""Of `render_scene`, harder than its defaults: half of the people are hooded, only the body tells left from right."""
LEAST_INSIDE, LEAST_SEEN = 6, 3
"""Keypoints inside the image, and in sight, of a person that is kept. Others stay in the picture as distractors."""
TILTED = 45.0
"""A trunk more than this many degrees from upright makes a rare pose."""
SETTINGS_FILE, ANSWERS_FILE = "rendered.json", "answers.json"
FORMAT = 1


def draw_scene(
    seed: int, split: str, index: int, levels: Mapping[str, float] | None = None
) -> Scene:
    """Scene number `index` of a split, the stresses in it; a scene may be without people that are kept."""
    levels, place = levels or {}, SPLITS.index(split)
    rates = dict(RATES)
    for name, (rate, splits) in KNOBS.items():
        if name in levels and split in splits:
            rates[rate] = levels[name]
    rng = np.random.default_rng([seed, place, index])
    image, people = render_scene(rng, SIZES_HW[int(rng.integers(len(SIZES_HW)))], **rates)
    scene = _scene(image, people)
    for number, (name, (stress, spoiled)) in enumerate(PICTURES.items()):
        if name in levels and split == spoiled:
            own = np.random.default_rng([seed, place, index, 1 + number])
            scene = stress(own, scene, levels[name])
    return scene


def _scene(image: np.ndarray, people: list[RenderedPerson]) -> Scene:
    """The people that are kept, with true labels."""
    figures = np.zeros(image.shape[:2], bool)
    for person in people:
        figures |= person.silhouette
    kept = [
        person
        for person in people
        if (person.visibility > 0).sum() >= LEAST_INSIDE
        and (person.visibility == VISIBLE).sum() >= LEAST_SEEN
    ]
    keypoints = len(COCO17.keypoints)
    xy_image = np.array([person.xy_image for person in kept]).reshape(-1, keypoints, 2)
    visibility = np.array([person.visibility for person in kept], np.int8).reshape(-1, keypoints)
    labels = np.concatenate([xy_image, visibility[..., None]], -1) * (visibility > 0)[..., None]
    return Scene(
        image=image,
        xy_image=xy_image,
        visibility=visibility,
        labels=labels,
        box_xywh=np.array([person.box_xywh for person in kept]).reshape(-1, 4),
        area=np.array([person.area for person in kept], np.float64),
        figures=figures,
    )


def make(
    out: Path, *, people: int = PEOPLE, seed: int = 0, dev: int = DEV, test: int = TEST,
    may_label: int | None = None, levels: Mapping[str, float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:  # fmt: skip
    """Render a dataset.

    Args:
        out: folder without a finished set; made when absent.
        people: people to learn from, train and unlabeled together.
        seed: of all scenes.
        dev: people to choose by.
        test: people to judge by.
        may_label: people of train; a third of `people` when None. At a budget below it, the rest of train counts as
            unlabeled and is not spoiled by the stresses of unlabeled pictures, so set the budget here for those.
        levels: stress to level in 0..1.
        progress: told scenes' people done and in all.

    Raises:
        InputError: a stress or a number makes no sense, a finished set is there, or the folder cannot be written to.
    """
    levels = dict(levels or {})
    labeled = round(people * MAY_LABEL) if may_label is None else may_label
    numbers = (labeled, people - labeled, dev, test)
    counts: dict[str, int] = dict(zip(SPLITS, numbers, strict=True))
    _check(out, counts, levels)
    done, total, answers = 0, sum(counts.values()), _header()
    try:
        (out / "images").mkdir(parents=True, exist_ok=True)
        for place, (split, number) in enumerate(counts.items()):
            document, first = _header(), (place + 1) * 10_000_000
            for index, scene in _scenes(seed, split, number, levels):
                name, size = f"{split}_{index:05d}.jpg", scene.image.shape
                pixels = cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR)
                data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
                (out / "images" / name).write_bytes(data.tobytes())
                image_id = first + index + 1
                image = {"id": image_id, "file_name": name, "width": size[1], "height": size[0]}
                told, exact = _annotations(scene, image_id, first + len(document["annotations"]))
                if split == "unlabeled":
                    told = [_without_labels(row) for row in told]
                document["images"].append(image)
                document["annotations"] += told
                if split in ("train", "unlabeled"):
                    answers["images"].append(image)
                    answers["annotations"] += exact
                done += len(told)
                if progress is not None:
                    progress(done, total)
            (out / f"{split}.json").write_text(json.dumps(document), "utf-8")
        (out / ANSWERS_FILE).write_text(json.dumps(answers), "utf-8")
        settings = {"format": FORMAT, "seed": seed, "people": counts, "stresses": levels}
        (out / SETTINGS_FILE).write_text(json.dumps(settings, indent=1) + "\n", "utf-8")
    except OSError as error:
        raise InputError(f"Cannot write to {out}: {error.strerror or error}.") from error


def _check(out: Path, counts: Mapping[str, int], levels: Mapping[str, float]) -> None:
    if min(counts.values()) < 1:
        raise InputError(f"Every split needs people, got {counts}.")
    for name, level in levels.items():
        if name not in STRESSES or not 0 <= level <= 1:
            raise InputError(
                f"A stress is NAME=LEVEL with a level in 0..1, got {name}={level}. Names: {', '.join(STRESSES)}."
            )
    if (out / SETTINGS_FILE).exists():
        raise InputError(f"{out} has a rendered set already. Choose another folder, or delete it.")


def _scenes(
    seed: int, split: str, number: int, levels: Mapping[str, float]
) -> Iterator[tuple[int, Scene]]:
    """Scenes with people until there are `number` of them; who judges is the only one told of in a scene."""
    for index in count():
        scene = draw_scene(seed, split, index, levels)
        there = len(scene.area)
        if there and split in ("dev", "test"):
            scene = _told(scene, slice(index % there, index % there + 1))
        if there:
            scene = _told(scene, slice(number))
            yield index, scene
            number -= len(scene.area)
        if number <= 0:
            return


def _told(scene: Scene, who: slice) -> Scene:
    """The scene with some of its people; the others stay in the picture."""
    return Scene(
        scene.image, scene.xy_image[who], scene.visibility[who], scene.labels[who],
        scene.box_xywh[who], scene.area[who], scene.figures,
    )  # fmt: skip


def _annotations(
    scene: Scene, image_id: int, taken: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A scene's people as COCO annotations: as the file tells them, and as they are, with `exact` positions."""
    told, exact = [], []
    true = np.concatenate([scene.xy_image, scene.visibility[..., None]], -1)
    true = np.where(scene.visibility[..., None] > 0, true, 0.0)
    for index in range(len(scene.area)):
        same = {
            "id": taken + index + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0,
            "bbox": scene.box_xywh[index].tolist(), "area": float(scene.area[index]),
        }  # fmt: skip
        told.append(same | _keypoints(scene.labels[index]))
        spots = scene.xy_image[index].round(3).tolist()
        known = bool(np.isfinite(scene.xy_image[index]).all())
        exact.append(same | _keypoints(true[index]) | {"exact": spots if known else None})
    return told, exact


def _keypoints(labels: np.ndarray) -> dict[str, Any]:
    flat = [n for x, y, v in labels for n in (round(float(x), 3), round(float(y), 3), int(v))]
    return {"keypoints": flat, "num_keypoints": int((labels[:, 2] > 0).sum())}


def _without_labels(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"keypoints": [0] * len(row["keypoints"]), "num_keypoints": 0}


def _header() -> dict[str, Any]:
    body = COCO17.to_dict()
    category = {
        "id": 1, "name": "person", "supercategory": "person", "keypoints": body["keypoints"],
        "skeleton": body["skeleton"],
    }  # fmt: skip
    return {"images": [], "annotations": [], "categories": [category]}


def rendered(data: Path, work: Path) -> Dataset:
    """A set that `make` made. val and test2 are the halves of its test split, no picture in both.

    Args:
        data: the folder that `make` wrote.
        work: folder in which the project is made; another one for each set, as runs are named by budget and seed.

    Raises:
        InputError: the set is not there or not finished.
    """
    _settings(data)
    train, answers = _read(data, "train.json"), _read(data, ANSWERS_FILE)
    shown = {row["id"] for row in train["annotations"]}
    rows = train["annotations"] + [row for row in answers["annotations"] if row["id"] not in shown]
    learnable = _people(data, answers["images"], rows)
    test = _people(data, *_parts(_read(data, "test.json")))
    later = np.arange(len(test)) >= len(test) / 2
    return Dataset(
        name="rendered",
        skeleton=COCO17,
        project=work / "rendered",
        learnable=learnable,
        may_label=np.isin(learnable.instance_id, sorted(shown)),
        given={},
        judges={
            "dev": _people(data, *_parts(_read(data, "dev.json"))),
            "val": test.take(~later),
            "test2": test.take(later),
        },
    )


def exact_people(data: Path) -> People:
    """The people of every snapshot, in its order, at their exact places: xy_image NaN only where a box holds nobody."""
    answers = _read(data, ANSWERS_FILE)
    people = _people(data, *_parts(answers))
    nowhere = [[np.nan, np.nan]] * len(COCO17.keypoints)
    people.xy_image[:] = [row["exact"] or nowhere for row in answers["annotations"]]
    return people


def rare(people: People) -> np.ndarray:
    """(N,) bool, whose trunk is more than 45 degrees from upright; False where it is not labeled."""
    names = COCO17.keypoints
    middle = [
        people.xy_image[:, [names.index(f"left_{part}"), names.index(f"right_{part}")]].mean(1)
        for part in ("shoulder", "hip")
    ]
    across, down = (middle[1] - middle[0]).T
    return np.abs(np.degrees(np.arctan2(across, down))) > TILTED


def _settings(data: Path) -> dict[str, Any]:
    if not (data / SETTINGS_FILE).is_file():
        raise InputError(
            f"{data} has no finished rendered set. Make one: python benchmarks/rendered.py make {data}"
        )
    return _read(data, SETTINGS_FILE)


def _read(data: Path, name: str) -> dict[str, Any]:
    try:
        return json.loads((data / name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{data / name} cannot be read: {error}.") from error


def _parts(document: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return document["images"], document["annotations"]


def _people(data: Path, images: list[dict[str, Any]], rows: list[dict[str, Any]]) -> People:
    """COCO rows as people, ordered by their id; a scene is a group."""
    by_id = {image["id"]: image for image in images}
    rows = sorted(rows, key=lambda row: row["id"])
    mine, number = [by_id[row["image_id"]] for row in rows], len(rows)
    ids = np.array([row["id"] for row in rows], np.int64)
    scenes = np.array([row["image_id"] for row in rows], np.int64)
    points = np.array([row["keypoints"] for row in rows], np.float64).reshape(number, -1, 3)
    seen = points[..., 2] > 0
    files = [image["file_name"] for image in mine]
    return People(
        instance_id=ids,
        image_id=scenes,
        image_path=[str((data / "images" / name).resolve()) for name in files],
        width=np.array([image["width"] for image in mine], np.int64),
        height=np.array([image["height"] for image in mine], np.int64),
        box_xywh=np.array([row["bbox"] for row in rows], np.float64).reshape(number, 4),
        box_revision=np.ones(number, np.int64),
        xy_image=np.where(seen[..., None], points[..., :2], np.nan),
        visibility=points[..., 2].astype(np.int8),
        state=np.where(seen, PLACED, OPEN).astype(np.int8),
        split=np.full(number, "val", "<U9"),
        fold=np.array([in_fold(hashlib.sha256(name.encode()).hexdigest()) for name in files]),
        area=np.array([row["area"] for row in rows], np.float64),
        area_given=np.ones(number, bool),
        iscrowd=np.zeros(number, bool),
        reviewed=np.ones(number, bool),
        group_id=scenes,
        source_id=np.ones(number, np.int64),
        coco_image_id=scenes,
        coco_id=ids,
        file_name=files,
    )


def stress_of(text: str) -> tuple[str, float]:
    """Read NAME=LEVEL."""
    name, _, level = text.partition("=")
    try:
        return name, float(level)
    except ValueError as error:
        raise InputError(f"A stress is NAME=LEVEL, got {text!r}.") from error


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("make", help="render a dataset")
    verb.add_argument("out", type=Path)
    verb.add_argument("--people", type=int, default=PEOPLE, help="train and unlabeled together")
    verb.add_argument("--may-label", type=int, help="of them in train (a third)")
    verb.add_argument("--dev", type=int, default=DEV)
    verb.add_argument("--test", type=int, default=TEST)
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--stress", action="append", default=[], metavar="NAME=LEVEL")
    given = parser.parse_args(arguments)

    def told(done: int, total: int) -> None:
        end = "\n" if done == total else "\r"
        print(f"{done} of {total} people rendered", end=end, file=sys.stderr, flush=True)

    try:
        make(
            given.out, people=given.people, seed=given.seed, dev=given.dev, test=given.test,
            may_label=given.may_label, levels=dict(map(stress_of, given.stress)), progress=told,
        )  # fmt: skip
    except PoseStudioError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
