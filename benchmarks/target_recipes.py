"""How good pseudo-targets are before anything is trained on them: recipes compared with the students of a run frozen.

python benchmarks/target_recipes.py RUN --data ../shared/data/lspet [--work data/benchmarks] [--people N]

Every recipe is a set of settings of the product, run through its own `make_pool` on dev. Minutes on a CPU.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

PROJECT = Path(__file__).resolve().parents[1]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from benchmarks.budget import scores  # noqa: E402
from benchmarks.datasets import Dataset, open_dataset  # noqa: E402
from posestudio import config as settings  # noqa: E402
from posestudio.core import geometry, pseudo  # noqa: E402
from posestudio.core.skeleton import Skeleton  # noqa: E402
from posestudio.models.pose_net import PoseNet  # noqa: E402
from posestudio.predict import Predictor, to_tensor  # noqa: E402
from posestudio.store.snapshots import People  # noqa: E402
from posestudio.train import data, pool, session  # noqa: E402
from posestudio.train.run_folder import RunFolder  # noqa: E402

WRONG = 0.15
"""A target is wrong when it is farther than this share of the box's height from the label."""
VIEWS = 6
CHUNK = 32

ALL = {"pool.threshold": 0.0, "pool.center": "dark"}
RECIPES: dict[str, dict[str, Any]] = {
    "the other student, one view (posedual)": {**ALL, "views.count": 1, "select.rule": "cross"},
    "the other student, mean with mirror": {
        **ALL, "views.count": 2, "pool.aggregate": "mean", "select.rule": "cross",
    },
    "max of 4, least uncertain (paper, no threshold)": {**ALL},
    "max of 4, least uncertain, threshold 0.3 (paper)": {"pool.center": "dark"},
    "max of 4, least uncertain by its peak": {**ALL, "select.normalize": True},
    "mean of 4, least uncertain by its peak": {
        **ALL, "pool.aggregate": "mean", "select.normalize": True,
    },
    "cluster of 4, least uncertain by its peak": {
        **ALL, "pool.aggregate": "cluster", "select.normalize": True,
    },
    "both students, max of 4": {**ALL, "pool.share": True},
    "both students, cluster of 4": {**ALL, "pool.share": True, "pool.aggregate": "cluster"},
    "both students, mean with mirror (best)": {
        **ALL, "pool.share": True, "pool.aggregate": "mean", "views.count": 2,
    },
    "both students, mean of 4": {**ALL, "pool.share": True, "pool.aggregate": "mean"},
    "both students, mean of 6": {
        **ALL, "pool.share": True, "pool.aggregate": "mean", "views.count": 6,
    },
    "both students, mean of 4, 3 of 4 agree": {
        **ALL, "pool.share": True, "pool.aggregate": "mean", "pool.agree": 0.75,
    },
}  # fmt: skip


def votes_of(
    predictor: Predictor, crops: scores.Crops, method: pool.Method
) -> Iterator[tuple[np.ndarray, list[pool.Votes]]]:
    """(indices, votes of each student) of all people, some at a time, on the same seeded views for every recipe."""
    for at in range(0, len(crops.people), CHUNK):
        index = np.arange(at, min(at + CHUNK, len(crops.people)))
        images = to_tensor(crops.pixels[index])
        generator = data.step_generator(0, at, 9)
        views = pool.draw_views(generator, images, VIEWS, method.config.data.color)
        nets = predictor.students.values()
        yield index, [pool.predict_views(net.eval(), views, method) for net in nets]


def targets_of(
    votes: list[pool.Votes], config: settings.Config, method: pool.Method
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What student a would learn: positions (B, K, 2) in crop pixels, scores and whether there is one (B, K)."""
    count = config.views.count
    few = [pool.Votes(vote.maps[:count], vote.valid[:count]) for vote in votes]
    made = pool.make_pool(few, dataclasses.replace(method, config=config))
    xy_map = pseudo.take(made.xy_map, made.chosen)[0]
    score = pseudo.take(made.score, made.chosen)[0]
    xy_crop = geometry.points_to_crop(xy_map.double(), PoseNet.stride)
    return xy_crop.numpy(), score.numpy(), (made.chosen[0] >= 0).numpy()


def measure(
    people: People,
    xy_crop: np.ndarray,
    score: np.ndarray,
    kept: np.ndarray,
    matrices: np.ndarray,
    skeleton: Skeleton,
) -> dict[str, float]:
    """Coverage, share of wrong targets at that coverage and among the surest 60 %, and AP of the targets."""
    back = geometry.invert(torch.from_numpy(matrices))
    xy_image = geometry.apply(back, torch.from_numpy(xy_crop)).numpy()
    seen = people.visibility > 0
    gap = np.linalg.norm(xy_image - people.xy_image, axis=-1) / people.box_xywh[:, 3:4]
    wrong = gap > WRONG
    order = np.argsort(-score[seen & kept])
    surest = wrong[seen & kept][order[: round(0.6 * seen.sum())]]
    rows = scores.rows_of(people, (xy_image, np.where(kept, score, 0.0)), skeleton)
    return {
        "coverage": float(kept[seen].mean()),
        "wrong": float(wrong[seen & kept].mean()),
        "wrong_surest_60": float(surest.mean()),
        "distance": float(np.median(gap[seen & kept & ~wrong])),
        "ap": scores.ap(rows),
    }


def run(folder: RunFolder, dataset: Dataset, people: int | None) -> list[dict[str, Any]]:
    """One record a recipe."""
    predictor = Predictor.load(folder.path)
    mine = settings.flat(folder.config())
    kept = {key: value for key, value in mine.items() if key.startswith(("model.", "data."))}
    configs = {
        name: settings.make("paper", "small", {**kept, **changes})
        for name, changes in RECIPES.items()
    }
    crops = scores.open_crops(dataset, "dev", predictor.spec.size_hw, predictor.spec.padding)
    if people is not None:
        index = np.arange(min(people, len(crops.people)))
        crops = scores.Crops(crops.people.take(index), crops.pixels[index], crops.matrices[index])
    base = configs["both students, mean of 4"]
    passes = session.passes(base, torch.device("cpu"))
    method = pool.Method(base, dataset.skeleton.flip_index, passes)
    parts: dict[str, list[tuple[np.ndarray, ...]]] = {name: [] for name in RECIPES}
    with torch.no_grad():
        for _, votes in votes_of(predictor, crops, method):
            for name, config in configs.items():
                parts[name].append(targets_of(votes, config, method))
    records = []
    for name, found in parts.items():
        xy_crop, score, accepted = (np.concatenate(part) for part in zip(*found, strict=True))
        numbers = measure(crops.people, xy_crop, score, accepted, crops.matrices, dataset.skeleton)
        rounded = {key: round(value, 4) for key, value in numbers.items()}
        records.append({"recipe": name, "people": len(crops.people), **rounded})
    return records


def main(line: list[str] | None = None) -> int:
    """Measure, print the table, keep the records."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run folder with two students")
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--dataset", default="lspet")
    parser.add_argument("--work", type=Path, default=PROJECT / "data" / "benchmarks")
    parser.add_argument("--people", type=int)
    parser.add_argument("--out", type=Path, help="JSON lines, one a recipe; written anew")
    asked = parser.parse_args(line)
    torch.set_num_threads(1)
    dataset = open_dataset(asked.dataset, asked.data, asked.work)
    records = run(RunFolder(asked.run), dataset, asked.people)
    print("| target | coverage | wrong | wrong in the surest 60 % | error of right ones | AP |")
    print("|---|---|---|---|---|---|")
    for row in records:
        print(
            f"| {row['recipe']} | {100 * row['coverage']:.0f} % | {100 * row['wrong']:.1f} % | "
            f"{100 * row['wrong_surest_60']:.1f} % | {100 * row['distance']:.1f} % | {100 * row['ap']:.1f} |"
        )
    if asked.out:
        text = "".join(
            json.dumps({"run": asked.run.name, "dataset": dataset.name, **row}) + "\n"
            for row in records
        )
        asked.out.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
