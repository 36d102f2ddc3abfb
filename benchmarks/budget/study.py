"""What one cell of the label budget study is: its settings, how long it trains, its name and its command."""

import hashlib
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posestudio import config as settings
from posestudio.errors import ConfigError

START = "start"
"""The arm that all others of the same budget and seed go on from: two students, trained on labels only."""
CEILING = "all"
"""Supervised with every label outside dev and tests: the upper end of "share of the gap"."""
ORACLES: dict[str, dict[str, Any]] = {"oracle_select": {"pool.share": False}, "oracle_filter": {}}
"""Arms whose targets are chosen by the truth, on rendered people only (benchmarks/rendered_oracles.py), and what
differs in them from preset best. oracle_select: of the offers of both averages, the one nearest the truth teaches.
oracle_filter: the offer of best teaches where it is right."""
PRESET_OF = {START: "supervised", CEILING: "supervised", **dict.fromkeys(ORACLES, "best")}
"""Presets of arms that are not called by their preset."""

LONGEST = 120
"""Characters of a cell's name."""

COSTS: dict[str, float] = {
    "supervised": 0.45,
    "all": 0.45,
    "posedual": 1.0,
    "paper": 1.55,
    "best": 1.21,
    **dict.fromkeys(ORACLES, 1.21),
}
"""CPU time of a step over that of a posedual step, for equal core-minutes; `label_budget.py cost` prints this table:
medians of 15 steps, arms in turn, 5 steps of each left out. An arm with changed
settings takes its preset's cost unless it stands here itself."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One scale of the study.

    size: of posestudio.config. changes: settings of every run. compute: steps of posedual that every arm's time is
    worth. start: budget to steps of the start. every: steps between looks at dev.
    """

    size: str
    changes: Mapping[str, Any]
    compute: int
    start: Mapping[int, int]
    every: int


COMMON = {
    "data.rotation": 45,
    "data.padding": 1.1,
    "data.hold_fold": False,
    "train.precision": "bf16",
    "train.schedule": "constant",
    "train.warmup": 100,
    "train.lr": 1e-3,
    "train.ema": 0.998,
    "train.threads": 1,
    "loss.ramp": 300,
}
SETTINGS = {
    "quick": Setting(
        size="small",
        changes={
            **COMMON,
            "model.freeze": 2,
            "model.feature_stride": 16,
            "data.height": 128,
            "data.width": 96,
            "data.spread": 1.5,
            "data.batch_labeled": 16,
            "data.batch_unlabeled": 16,
        },
        compute=3000,
        start={100: 1500, 500: 4000},
        every=250,
    ),
    "brief": Setting(
        size="small",
        changes={
            **COMMON,
            "model.freeze": 2,
            "model.feature_stride": 16,
            "data.height": 96,
            "data.width": 64,
            "data.spread": 1.2,
            "data.batch_labeled": 16,
            "data.batch_unlabeled": 16,
            "loss.ramp": 200,
        },
        compute=2000,
        start={100: 1000, 500: 2000},
        every=250,
    ),
    "full": Setting(
        size="full",
        changes={**COMMON, "train.threads": 4, "train.warmup": 500, "loss.ramp": 1000},
        compute=20000,
        start={100: 3000, 500: 8000},
        every=1000,
    ),
}
"""quick: MobileNetV2 at 128x96, 16 + 16 people a step, one CPU thread. brief: the same at 96x64 with fewer steps, for
rendered people. full: ResNet-18 at 256x192, 32 + 32, a GPU."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One training of the study.

    arm: a preset, "all" or "start"; settings after a colon are the arm's own ("best:select.rule=cross"). times: how
    many times the usual steps it trains. changes: settings of every run of this study, the start's too.
    """

    dataset: str
    setting: str
    arm: str
    budget: int
    seed: int
    times: int = 1
    changes: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The cell's run folder and file; a long name is cut and told apart by a digest."""
        parts = [self.dataset, self.setting, self.arm, str(self.budget), f"s{self.seed}"]
        parts += [f"x{self.times}"] if self.times > 1 else []
        parts += [f"{key}={value}" for key, value in sorted(self.changes.items())]
        name = re.sub(r"[^A-Za-z0-9_.=+-]", "+", "-".join(parts))
        if len(name) <= LONGEST:
            return name
        return f"{name[: LONGEST - 13]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"

    @property
    def start(self) -> "Cell":
        """The cell that this one goes on from."""
        return Cell(self.dataset, self.setting, START, self.budget, self.seed, 1, self.changes)

    @property
    def own(self) -> tuple[str, dict[str, str]]:
        """The arm without its settings, and these."""
        base, _, listed = self.arm.partition(":")
        return base, pairs(listed.split(",") if listed else [])

    def steps(self) -> int:
        """How long the arm trains, by the setting's compute and the arm's cost; a multiple of the looks at dev.

        Raises:
            ConfigError: the arm's cost is not known.
        """
        setting, (base, _) = SETTINGS[self.setting], self.own
        if base == START:
            return start_steps(setting, self.budget)
        cost = COSTS.get(self.arm, COSTS.get(base))
        if cost is None:
            raise ConfigError(
                f"The cost of arm {base!r} is not known. Measure it with `label_budget.py cost --arms {base}` and "
                "write it into COSTS of benchmarks/budget/study.py."
            )
        return self.times * rounded(setting.compute / cost, setting.every)

    def config(self) -> settings.Config:
        """All settings of the cell's run: the setting's, then those of the study, then the arm's own.

        Raises:
            ConfigError: a preset, a setting or the arm's cost is not known.
        """
        setting, (base, own) = SETTINGS[self.setting], self.own
        if base in ORACLES and self.dataset != "rendered":
            raise ConfigError(f"Arm {base} needs the truth, which only dataset rendered has.")
        given = {**ORACLES.get(base, {}), **self.changes, **own}
        steps = {} if "train.steps" in given else {"train.steps": self.steps()}
        fit = {"data.cross_fit": 0.2} if base == START else {}
        changes = {
            **setting.changes, **fit, **steps,
            "train.save_every": setting.every, "train.seed": self.seed, **given,
        }  # fmt: skip
        return settings.make(PRESET_OF.get(base, base), setting.size, changes)

    def arguments(self) -> list[str]:
        """The cell on the command line of `label_budget.py cell`."""
        words = ["--dataset", self.dataset, "--setting", self.setting, "--arm", self.arm]
        words += ["--budget", str(self.budget), "--seed", str(self.seed)]
        words += ["--times", str(self.times)] if self.times > 1 else []
        for key, value in self.changes.items():
            words += ["--set", f"{key}={value}"]
        return words


def pairs(listed: list[str]) -> dict[str, str]:
    """["key=value", ...] as a mapping.

    Raises:
        ConfigError: an entry has no "=".
    """
    wrong = [entry for entry in listed if "=" not in entry]
    if wrong:
        raise ConfigError(f"Settings are written key=value, got {wrong[0]!r}.")
    return {key: value for key, _, value in (entry.partition("=") for entry in listed)}


def split_arms(text: str) -> list[str]:
    """Arms of a comma-separated list; a comma before a setting (key=value) belongs to the arm before it."""
    arms: list[str] = []
    for part in text.split(","):
        if "=" in part and ":" not in part and arms:
            arms[-1] += "," + part
        else:
            arms.append(part)
    return arms


def rounded(steps: float, every: int) -> int:
    """The nearest multiple of `every`, at least one."""
    return max(1, round(steps / every)) * every


def start_steps(setting: Setting, budget: int) -> int:
    """Steps of the start at a budget: given ones, and between and beyond them the power law through the ends."""
    if budget in setting.start:
        return setting.start[budget]
    (low, first), (high, last) = min(setting.start.items()), max(setting.start.items())
    power = math.log(last / first) / math.log(high / low)
    return rounded(first * (budget / low) ** power, setting.every)


def command(cell: Cell, data: str, weights: str | None) -> str:
    """The line that runs this cell again from nothing."""
    words = ["python", "benchmarks/label_budget.py", "cell", "--data", data]
    words += ["--weights", weights] if weights else []
    return shlex.join([*words, *cell.arguments()])
