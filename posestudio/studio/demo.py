"""The demo project: rendered people with exact truth, brought in as a user would, and a pair of trained students.

`write_demo_files` makes a COCO data set on disk; `make_demo` makes a project of it. The students in assets/demo were
trained by scripts/make_demo_students.py on other rendered people; they are installed as the project's first run.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posestudio import events
from posestudio.core.skeleton import COCO17
from posestudio.errors import InputError, NotFound
from posestudio.studio.render import OUTSIDE, VISIBLE, Image, RenderedPerson, render_scene
from posestudio.studio.studio import STORE_FILE, Studio, create

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "demo"
"""student_a.safetensors, student_b.safetensors, and students.json with what is known of their training."""

COUNTS = {"train": 240, "val": 60}
"""Scenes of the demo project."""
LABELED = 40
"""Scenes of train whose labels are kept."""
SEED = 20231
SIZES_HW = ((400, 320), (400, 320), (360, 360), (320, 400))
"""Image sizes, drawn evenly."""
LEAST_INSIDE, LEAST_SEEN = 9, 5
"""Keypoints that everyone in a demo scene has inside the image, and in sight."""

Scene = tuple[Image, list[RenderedPerson]]
Progress = Callable[[str, int, int], None]


def write_demo_files(
    folder: Path,
    seed: int = SEED,
    counts: Mapping[str, int] | None = None,
    *,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Write rendered scenes as JPEG files and one COCO keypoint file a split.

    Scenes of all splits differ clearly from each other, so that none counts as another's near-duplicate.

    Args:
        folder: made when absent; gets images/NAME.jpg and SPLIT.json. Files of the same names are replaced.
        seed: the same seed and counts give the same files.
        counts: split name to number of scenes; COUNTS when absent.
        progress: told "rendering", scenes done and scenes in all.

    Returns:
        Split name to its COCO file. Image ids are 1, 2, ... over all splits; so are annotation ids.

    Raises:
        InputError: the folder cannot be written to.
    """
    counts = dict(COUNTS if counts is None else counts)
    found, done, total, person_id = {}, 0, sum(counts.values()), 0
    scenes = _distinct(seed)
    try:
        (folder / "images").mkdir(parents=True, exist_ok=True)
        for split, number in counts.items():
            document = _header(f"Rendered people of PoseStudio's demo, {split}, seed {seed}.")
            for _ in range(number):
                data, (image, people) = next(scenes)
                done += 1
                name = f"scene_{done:04d}.jpg"
                (folder / "images" / name).write_bytes(data)
                height, width = image.shape[:2]
                document["images"].append(
                    {"id": done, "file_name": name, "width": width, "height": height}
                )
                for person in people:
                    person_id += 1
                    document["annotations"].append(annotation(person, person_id, done))
                if progress is not None:
                    progress("rendering", done, total)
            found[split] = folder / f"{split}.json"
            found[split].write_text(json.dumps(document), "utf-8")
    except OSError as error:
        raise InputError(
            f"Cannot write demo files to {folder}: {error.strerror or error}."
        ) from error
    finally:
        scenes.close()
    return found


def annotation(person: RenderedPerson, person_id: int, image_id: int) -> dict[str, Any]:
    """A rendered person as a COCO annotation; keypoints outside the image are 0, 0, 0."""
    triples: list[float] = []
    for (x, y), seen in zip(person.xy_image, person.visibility, strict=True):
        triples += (
            [round(float(x), 2), round(float(y), 2), int(seen)] if seen != OUTSIDE else [0, 0, 0]
        )
    return {
        "id": person_id, "image_id": image_id, "category_id": 1, "iscrowd": 0, "keypoints": triples,
        "num_keypoints": int((person.visibility != OUTSIDE).sum()), "bbox": list(person.box_xywh), "area": person.area,
    }  # fmt: skip


def make_demo(
    project: Path | str, *, seed: int = SEED, counts: Mapping[str, int] | None = None,
    labeled: int = LABELED, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Make the demo project through the verbs that a user has: init, import coco twice, and a finished run.

    The COCO files stay in cache/demo of the project, the truth of its unlabeled people in them.

    Args:
        project: a folder without a project, or with an empty one.
        seed: of the scenes.
        counts: scenes of "train" and "val"; COUNTS when absent.
        labeled: how many scenes of train keep their labels; the others come in as unlabeled.
        progress: told what is being done, how much of it is, and how much there is.

    Returns:
        {"images", "people", "labeled_people", "run_id" (None without shipped students), "scores"}.

    Raises:
        InputError: the project has images already, or the folder cannot be written to.
    """
    folder = Path(project).expanduser().absolute()
    if not (folder / STORE_FILE).exists():
        create(folder)
    studio = Studio(folder)
    if studio.call("images", limit=1):
        raise InputError(
            f"The project {studio.project} has images already. Choose another folder for the demo."
        )
    place = studio.project / "cache" / "demo"
    files = write_demo_files(place, seed, counts, progress=progress)
    done = {
        split: studio.call(
            "import_coco", file=str(files[split]), images=str(place / "images"), split=split,
            labeled=labeled if split == "train" else None,
        )
        for split in files
    }  # fmt: skip
    shutil.rmtree(place / "images")
    run = install_students(studio, progress=progress) if students_shipped() else None
    return {
        "images": sum(part["images"] for part in done.values()),
        "people": sum(part["people"] for part in done.values()),
        "labeled_people": done["train"]["labeled_people"] if "train" in done else 0,
        "run_id": run["run_id"] if run else None,
        "scores": run["scores"] if run else None,
    }


def students_shipped() -> bool:
    """Whether assets/demo holds both students."""
    return all((ASSETS / f"student_{name}.safetensors").is_file() for name in "ab")


def facts() -> dict[str, Any]:
    """What scripts/make_demo_students.py noted about the training of the shipped students.

    Raises:
        NotFound: assets/demo is not there or not whole.
    """
    try:
        return json.loads((ASSETS / "students.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise NotFound(f"The demo's students are not in {ASSETS}: {error}.") from error


def install_students(studio: Studio, *, progress: Progress | None = None) -> dict[str, Any]:
    """Register the shipped students as a finished run: predictions of everyone, and a score on val.

    Returns:
        The run as verb `run` shows it, with "scores".
    """
    import torch  # lazy: torch

    from posestudio.studio import training

    known = facts()
    settings = {**known["settings"], "train.steps": known["a"]["steps"]}
    started = training.start(studio, preset="supervised", size="tiny", changes=settings)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small are slower on several threads of a busy machine
    try:
        return training.carry_out(studio, started["run_id"], train=_put_students, progress=progress)
    finally:
        torch.set_num_threads(threads)


def _put_students(folder: Path, **_: object) -> None:
    """What stands in for training: students, events and metrics of a run that was trained elsewhere."""
    from posestudio.train.run_folder import STUDENT_FILES, RunFolder

    run, known = RunFolder(folder), facts()
    for file in STUDENT_FILES.values():
        part = folder / f"{file}.part"
        shutil.copyfile(ASSETS / file, part)
        os.replace(part, folder / file)
    steps, pace = known["a"]["steps"], known["images_per_second"]
    run.append(events.Started(0, steps, known["a"]["people"], 0, time.time()))
    for step, loss in known["curve"]:
        left = (steps - step) * known["batch"] / pace
        run.append(events.Stepped(step, loss, loss, 0.0, 0.0, 0.0, pace, left))
    run.append(
        events.Warned(
            steps,
            "shipped",
            "These students came with PoseStudio: trained on other rendered people.",
        )
    )
    run.append(events.Saved(steps))
    run.write_json("metrics.json", {
        "steps": steps, "seconds": known["seconds"], "images_per_second": pace, "fold": {}, "device": "cpu",
    })  # fmt: skip
    run.append(events.Stopped(steps, "done"))


def _distinct(seed: int) -> Generator[tuple[bytes, Scene], None, None]:
    """JPEG bytes and scenes without end, each clearly unlike all before; two are drawn at a time."""
    from posestudio.store.groups import NEAR_BITS
    from posestudio.store.media import read_picture

    seen: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        for first in count(0, 16):
            for scene in pool.map(lambda index: draw_scene(seed, index), range(first, first + 16)):
                pixels = cv2.cvtColor(scene[0], cv2.COLOR_RGB2BGR)
                data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
                code = read_picture(data).phash
                if all((code ^ other).bit_count() > NEAR_BITS for other in seen):
                    seen.append(code)
                    yield data, scene


def draw_scene(seed: int, index: int) -> Scene:
    """Scene number `index` of a seed: the first of its tries in which everyone is well inside the image."""
    rng = np.random.default_rng([seed, index])
    size = SIZES_HW[int(rng.integers(len(SIZES_HW)))]
    while True:
        image, people = render_scene(rng, size)
        fine = [
            (p.visibility != OUTSIDE).sum() >= LEAST_INSIDE
            and (p.visibility == VISIBLE).sum() >= LEAST_SEEN
            for p in people
        ]
        if people and all(fine):
            return image, people


def _header(description: str) -> dict[str, Any]:
    body = COCO17.to_dict()
    category = {
        "id": 1, "name": "person", "supercategory": "person", "keypoints": body["keypoints"],
        "skeleton": body["skeleton"],
    }  # fmt: skip
    return {
        "info": {"description": description, "version": "1"},
        "licenses": [],
        "images": [],
        "annotations": [],
        "categories": [category],
    }
