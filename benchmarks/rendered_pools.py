"""How good pools are, against the truth: the mechanism behind a score, more sensitive than the score itself.

    python benchmarks/rendered_pools.py DATA RUN [--steps 16] [--preset best] [--set KEY=VALUE ...]

`entries` notes what each keypoint of a step's pool was worth, `joined` puts steps together, `summary` says it in
numbers. Lengths are in heights of the person's box; wrong is an error over 0.15 of them.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

PROJECT = Path(__file__).resolve().parents[1]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from benchmarks.rendered import exact_people  # noqa: E402
from benchmarks.rendered_oracles import WRONG, Choose, Spots, Truth, errors, spots, truth_of  # noqa: E402
from posestudio import config as settings  # noqa: E402
from posestudio.config import Config  # noqa: E402
from posestudio.core import heatmaps, pseudo  # noqa: E402
from posestudio.core.skeleton import COCO17  # noqa: E402
from posestudio.errors import InputError, PoseStudioError  # noqa: E402
from posestudio.models.weights import load_student  # noqa: E402
from posestudio.store import snapshots  # noqa: E402
from posestudio.train import data, pool, session, thresholds  # noqa: E402
from posestudio.train.objective import OPEN  # noqa: E402
from posestudio.train.pool import Method, Pool, Votes  # noqa: E402
from posestudio.train.run_folder import RunFolder  # noqa: E402

MARGIN = 0.02
"""Of two offers, one is the better one when its error is smaller by more than this."""


@dataclass(frozen=True, slots=True)
class Entries:
    """M open, taught keypoints of unlabeled people, offered by P members of the pool and learned by S students.

    raw, error: (P, M) of each member's first view alone, and of its offer; NaN where the truth is unknown. accepted,
    score, uncertainty: (P, M). chosen: (S, M) index of an offer, -1 for none. apart: (M,) from the first member's offer
    to the second's, 0 if there is one member.
    """

    raw: Tensor
    error: Tensor
    accepted: Tensor
    score: Tensor
    uncertainty: Tensor
    chosen: Tensor
    apart: Tensor


def entries(made: Pool, votes: Sequence[Votes], true: Spots, counted: Tensor) -> Entries:
    """What a step's pool was worth.

    Args:
        made: the pool of the step.
        votes: of its members, the unchanged view first.
        true: the truth about the step's people.
        counted: (U, K) bool, which keypoints are open and taught.
    """
    single = torch.stack([heatmaps.decode(v.maps[0], "argmax")[0] for v in votes])
    apart = (made.xy_map[0] - made.xy_map[min(1, len(made.xy_map) - 1)]).norm(dim=-1)
    return Entries(
        raw=errors(single, true)[:, counted],
        error=errors(made.xy_map, true)[:, counted],
        accepted=made.accepted[:, counted],
        score=made.score[:, counted],
        uncertainty=made.uncertainty[:, counted],
        chosen=made.chosen[:, counted],
        apart=(apart / true.height[:, None])[counted],
    )


def joined(parts: Sequence[Entries]) -> Entries:
    """The entries of several steps."""
    names = [field.name for field in dataclasses.fields(Entries)]
    return Entries(**{n: torch.cat([getattr(p, n) for p in parts], dim=-1) for n in names})


def summary(found: Entries) -> dict[str, float | None]:
    """The numbers of a pool; None stands for "no such case".

    Returns:
        raw_wrong, aggregated_wrong: share wrong of single views and of offers, accepted or not, the base rates.
        gated_wrong, gated_coverage: of accepted offers, and their share of all. chosen_wrong, chosen_coverage: of
        targets, over students. auroc_uncertainty, auroc_confidence: how well uncertainty, and 1 minus the peak, tell
        wrong offers from right ones, all offers; auroc_accepted: uncertainty among accepted offers. chosen_better:
        where accepted offers differ by more than MARGIN, how often the best was chosen; chosen_right: where one is
        wrong and one right, how often a right one was. regret: mean error of targets above that of the nearest
        accepted offer. mean_peak: of offers, falls in a collapse. apart: mean distance of two students' offers, falls
        as they couple.
    """
    known = ~found.error.isnan()
    wrong, offered = found.error > WRONG, found.accepted & known
    taken = pseudo.take(found.error, found.chosen)
    has = (found.chosen >= 0) & ~taken.isnan()
    best = found.error.masked_fill(~offered, torch.inf).amin(dim=0)
    worst = found.error.masked_fill(~offered, -torch.inf).amax(dim=0)
    differ = has & (worst - best > MARGIN) & (offered.sum(dim=0) > 1)
    split = has & (offered & wrong).any(dim=0) & (offered & ~wrong).any(dim=0)
    doubt = 1 - found.score
    return {
        "raw_wrong": _mean(found.raw > WRONG, known),
        "aggregated_wrong": _mean(wrong, known),
        "gated_wrong": _mean(wrong, offered),
        "gated_coverage": _mean(found.accepted, torch.ones_like(known)),
        "chosen_wrong": _mean(taken > WRONG, has),
        "chosen_coverage": _mean(found.chosen >= 0, torch.ones_like(has)),
        "auroc_uncertainty": auroc(found.uncertainty[known], wrong[known]),
        "auroc_confidence": auroc(doubt[known], wrong[known]),
        "auroc_accepted": auroc(found.uncertainty[offered], wrong[offered]),
        "chosen_better": _mean(taken <= best, differ),
        "chosen_right": _mean(taken <= WRONG, split),
        "regret": _mean(taken - best, has & offered.any(dim=0)),
        "mean_peak": _mean(found.score, torch.ones_like(known)),
        "apart": _mean(found.apart, torch.ones_like(found.apart, dtype=torch.bool)),
    }


def _mean(values: Tensor, where: Tensor) -> float | None:
    picked = values[where].double()
    return float(picked.mean()) if picked.numel() else None


def auroc(score: Tensor, positive: Tensor) -> float | None:
    """Chance that a positive has the higher score than a negative, ties counting half; None if one kind is missing."""
    high, low = score[positive].double().numpy(), np.sort(score[~positive].double().numpy())
    if not len(high) or not len(low):
        return None
    below = np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")
    return float(below.mean() / (2 * len(low)))


def measure(
    run: RunFolder,
    truth: Truth,
    *,
    steps: int = 16,
    config: Config | None = None,
    choose: Choose | None = None,
) -> dict[str, float | None]:
    """Numbers of the pools that a run's students would make of training batches.

    Batches and views are those of a training step; students are the saved ones, in evaluation mode.

    Args:
        run: with students.
        truth: of the people of its snapshot.
        steps: batches.
        config: settings to make pools by, its own when None; a recipe can be judged on the students of a start.
        choose: as the run was trained with.

    Raises:
        InputError: the settings learn from labels alone, or ask for calibrated thresholds and the run has none.
    """
    config, device = config or run.config(), torch.device("cpu")
    snapshot = snapshots.read(run.project / "snapshots" / str(run.record()["snapshot"]))
    source = data.open_source(snapshot, run.project, config)
    students = [load_student(file)[0].eval() for file in run.students().values()]
    method = Method(
        config, snapshot.skeleton.flip_index, session.passes(config, device), _least(run, config)
    )
    parts = []
    for step, batch in data.batches(source, config, first=1, last=steps, device=device):
        if batch.unlabeled is None or batch.state is None:
            raise InputError(f"Preset {config.preset} makes no pools. Name another with --preset.")
        generator = data.step_generator(config.train.seed, step, 3)
        views = pool.draw_views(generator, batch.unlabeled, config.views.count, config.data.color)
        votes = [pool.predict_views(student, views, method) for student in students]
        made = pool.make_pool(votes, method, generator)
        if choose is not None:
            made = choose(made, batch)
        counted = (batch.state == OPEN) & batch.taught
        parts.append(entries(made, votes, spots(truth, batch), counted))
    return summary(joined(parts))


def _least(run: RunFolder, config: Config) -> Tensor | None:
    """Calibrated thresholds of the run, where they are asked for."""
    if config.pool.gate != "calibrated":
        return None
    file = run.path / thresholds.FILE
    if not file.exists():
        raise InputError(
            f"Run {run.path.name} has no {thresholds.FILE}. Use --set pool.gate=fixed."
        )
    return torch.tensor(json.loads(file.read_text("utf-8"))["threshold"])


def recipe(own: Config, preset: str | None, changes: Sequence[str]) -> Config:
    """A preset's settings, or the run's own, with changes "key=value"; model, data and train are the run's.

    Raises:
        ConfigError: a preset or a setting is not known.
    """
    rooms = ("model.", "data.", "train.") if preset else ("",)
    kept = {key: value for key, value in settings.flat(own).items() if key.startswith(rooms)}
    for change in changes:
        key, _, value = change.partition("=")
        kept[key] = value
    return settings.make(preset or own.preset, own.size, kept)


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder that rendered.py made")
    parser.add_argument("run", type=Path, help="run folder of students trained on it")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--preset", help="whose recipe, that of the run if not given")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    run = RunFolder(given.run.resolve())
    try:
        config = recipe(run.config(), given.preset, given.set)
        truth = truth_of(exact_people(given.data), COCO17, config)
        found = measure(run, truth, steps=given.steps, config=config)
    except PoseStudioError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
