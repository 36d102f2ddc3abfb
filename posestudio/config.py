"""The settings of a run: one tree of dataclasses, each setting said once.

Command-line keys (`--set pool.threshold=0.2`), forms, tooltips and the table in docs/settings.md are derived from
`walk`. Presets are the method; sizes are the cost. Nothing here reads files, clocks or devices.
"""

import ast
import dataclasses
import difflib
import functools
import inspect
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from posestudio.errors import ConfigError

Backbone = Literal[
    "resnet18", "resnet50", "resnet101", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small",
    "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "convnext_tiny",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The network that both students share in form, not in weights."""

    backbone: Backbone = "mobilenet_v2"
    """torchvision backbone by name."""
    head_channels: int = 64
    """Channels of the three deconvolutions of the SimpleBaseline head (256 in the publication)."""
    feature_stride: Literal[16, 32] = 16
    """Crop pixels per cell of the backbone's last features: 32 as in SimpleBaseline, or 16, which costs about a third
    more time on small crops and finds keypoints much more exactly there. ConvNeXt has 32 only."""
    freeze: int = 0
    """Stages of the backbone, counted from the image, that keep their starting weights; 0 trains all."""

    def problems(self) -> Iterator[str]:
        if not 8 <= self.head_channels <= 1024:
            yield f"model.head_channels must lie in 8..1024, got {self.head_channels}"
        if self.backbone == "convnext_tiny" and self.feature_stride == 16:
            yield "model.feature_stride must be 32 for convnext_tiny, got 16"
        if not 0 <= self.freeze <= 4:
            yield f"model.freeze must lie in 0..4, got {self.freeze}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Crops, batches and the easy augmentation."""

    height: int = 128
    """Crop height in pixels, a multiple of 32."""
    width: int = 96
    """Crop width in pixels, a multiple of 32."""
    padding: float = 1.25
    """How much larger than the person's box the crop is."""
    batch_labeled: int = 16
    """Labeled people a step."""
    batch_unlabeled: int = 16
    """Unlabeled people a step; not used by preset supervised."""
    spread: float = 2.0
    """Gaussian width of a target heatmap, in heatmap cells."""
    rotation: float = 30.0
    """Standard deviation of the easy rotation in degrees, clipped at twice that; drawn for 6 of 10 crops."""
    scale: float = 0.25
    """Standard deviation of the easy scale, clipped at this distance from 1."""
    color: float = 0.2
    """Strength of brightness, contrast and saturation jitter on labeled crops, 0 for none."""
    hold_fold: bool = True
    """Keep the stored 15 % fold of the train labels out of training: they calibrate, raise alarms, and say
    which students to keep after one. A run without an alarm keeps its last."""
    cross_fit: float = 0.0
    """Share of the labeled people that each student leaves out, others for each, so that thresholds can be
    calibrated on labels that a student never saw without keeping any from both; 0 for none."""

    def problems(self) -> Iterator[str]:
        for name in ("height", "width"):
            value = getattr(self, name)
            if not (32 <= value <= 1024 and value % 32 == 0):
                yield f"data.{name} must be a multiple of 32 in 32..1024, got {value}"
        for name in ("batch_labeled", "batch_unlabeled"):
            if not 1 <= getattr(self, name) <= 4096:
                yield f"data.{name} must lie in 1..4096, got {getattr(self, name)}"
        if not 1 <= self.padding <= 3:
            yield f"data.padding must lie in 1..3, got {self.padding}"
        if not 0.5 <= self.spread <= 8:
            yield f"data.spread must lie in 0.5..8, got {self.spread}"
        if not 0 <= self.rotation <= 180:
            yield f"data.rotation must lie in 0..180, got {self.rotation}"
        if not 0 <= self.scale <= 0.9:
            yield f"data.scale must lie in 0..0.9, got {self.scale}"
        if not 0 <= self.cross_fit <= 0.5:
            yield f"data.cross_fit must lie in 0..0.5, got {self.cross_fit}"
        if not 0 <= self.color <= 1:
            yield f"data.color must lie in 0..1, got {self.color}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewsConfig:
    """The views from which pseudo-heatmaps are made, and the hard views that the students learn on."""

    count: int = 4
    """Views of each unlabeled crop in the no-grad pass: identity, mirror, affine, affine with color, then repeats.
    The publication's number is unknown; 4 is our reading."""
    students: Literal[1, 2] = 2
    """Students that learn: 2, or 1 (PoseCons)."""
    geometry: Literal["rigid", "normalized"] = "rigid"
    """Frame of the hard rotation: pixels, or [-1, 1] coordinates as in PoseDual's code (a shear comes with it)."""
    rotation: float = 30.0
    """Standard deviation of the hard rotation in degrees, clipped at twice that; drawn for 8 of 10 crops."""
    scale: float = 0.25
    """Standard deviation of the hard scale, clipped at this distance from 1."""
    hard: Literal["affine", "cutout", "randaugment", "joco", "jccm", "mixed"] = "cutout"
    """What is done to a hard view beside the affine: nothing, joint cutout, RandAugment, joint cut-occlude and
    cutout (JOCO), joint cutout and CutMix (JCCM), or JOCO, JCCM, cutout and affine in turn, a path each."""
    hard_paths: int = 1
    """Hard views of each unlabeled crop a student learns on in one step."""
    compose: bool = False
    """Cut hard views from the photograph in one move, instead of moving the easy crop once more: sharper, and no
    black corners. PoseDual's code moves the easy crop."""
    voters: Literal["students", "averages", "start"] = "students"
    """Whose votes make the pool: the students' of this step, their weight averages' (an EMA member in the pool of each
    student), or those of the run that this one starts from, which do not learn (distillation)."""
    batch_norm: Literal["train", "eval"] = "train"
    """Batch norm in the no-grad pass: batch statistics as in PoseDual's code, or running ones."""

    def problems(self) -> Iterator[str]:
        if not 1 <= self.count <= 16:
            yield f"views.count must lie in 1..16, got {self.count}"
        if not 1 <= self.hard_paths <= 8:
            yield f"views.hard_paths must lie in 1..8, got {self.hard_paths}"
        if not 0 <= self.rotation <= 180:
            yield f"views.rotation must lie in 0..180, got {self.rotation}"
        if not 0 <= self.scale <= 0.9:
            yield f"views.scale must lie in 0..0.9, got {self.scale}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """Denoising: many votes of one student become one offer for each keypoint, or none."""

    aggregate: Literal["max", "mean", "cluster"] = "max"
    """How a student's aligned votes are combined. The publication takes the pixel-wise maximum."""
    share: bool = False
    """Combine the votes of both students into one offer, instead of an offer a student."""
    gate: Literal["fixed", "quantile", "calibrated"] = "fixed"
    """Where the threshold comes from: pool.threshold; for each keypoint the peak that the share pool.quantile of the
    step's offers stays below; or for each keypoint the least peak from which pool.precision of the offers for labels
    that the student never saw are right (needs --from a run, and data.hold_fold or that run's data.cross_fit)."""
    threshold: float = 0.3
    """Peak below which an offer is rejected; 0 or less keeps all. The publication's value is unknown."""
    quantile: float = 0.3
    """Share of a step's offers that gate quantile rejects."""
    precision: float = 0.9
    """Share of right offers that gate calibrated asks for; right is within 0.15 of the box's height."""
    agree: float = 0.0
    """Share of an offer's views whose peak must lie at its own; 0 asks nothing."""
    second: float = 1.0
    """Height of a second peak, as a share of the first, from which an offer is rejected; 1 rejects none."""
    swap: float = 0.0
    """Height of the mirrored keypoint's map at an offer's peak, as a share of that peak, from which it is rejected as
    a left/right swap suspect; 0 rejects none."""
    edge: float = 0.0
    """Distance from the crop's border in heatmap cells below which an offer is rejected as perhaps outside; 0 rejects
    none."""
    refine: Literal["gaussian", "scaled", "none"] = "gaussian"
    """Replace an accepted map by a Gaussian at its peak, by one of the peak's height, or keep the map."""
    lift: float = 0.0
    """How far scaled and kept maps are lifted to the height of a label: a peak p becomes p ** (1 - lift). Averages of
    doubtful maps are low, students that learn them answer lower still, and without lift their maps fade."""
    center: Literal["argmax", "dark", "local_mean"] = "argmax"
    """Where that Gaussian is centred: the highest cell, DARK's sub-cell peak, or the mean of the peaks of the views
    that agree with it."""

    def problems(self) -> Iterator[str]:
        if not -1 <= self.threshold <= 1:
            yield f"pool.threshold must lie in -1..1, got {self.threshold}"
        for name in ("quantile", "precision", "agree", "second", "swap", "lift"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                yield f"pool.{name} must lie in 0..1, got {value}"
        if not 0 <= self.edge <= 16:
            yield f"pool.edge must lie in 0..16, got {self.edge}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectConfig:
    """Which offer of the pool becomes whose target."""

    rule: Literal["min_uncertainty", "cross", "gated_cross", "confidence", "random"] = (
        "min_uncertainty"
    )
    """Which accepted offer teaches whom: the less uncertain one both students; each student the other's; the other's
    only where it is the less uncertain, else its own; the one with the higher peak; or either by chance."""
    uncertainty: Literal["view_std", "cross_std", "all_std", "coord_std"] = "view_std"
    """Over what an offer's uncertainty runs: the student's views (our reading of the publication), the two students'
    mean maps, all views of both, or the positions of the student's peaks."""
    normalize: bool = False
    """Divide votes by the peak of their mean before their deviation, the uncertainty, is taken."""
    granularity: Literal["keypoint", "person"] = "keypoint"
    """Choose for each keypoint, or one student for a whole person by its mean uncertainty."""
    limit: float = 0.0
    """Uncertainty above which an offer is rejected; 0 for no limit."""

    def problems(self) -> Iterator[str]:
        if not 0 <= self.limit <= 100:
            yield f"select.limit must lie in 0..100, got {self.limit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """Weights of the parts of the objective."""

    labeled: float = 0.5
    """Weight of each student's loss on labels."""
    unlabeled: float = 1.0
    """Weight of each student's loss on pseudo-targets; 0 trains on labels only and skips the unlabeled pass."""
    ramp: int = 0
    """Steps over which the unlabeled weight rises linearly from 0."""
    delay: int = 0
    """Steps on labels alone before it begins to rise."""
    soft: float = 0.0
    """Weight of keypoints without an accepted offer, which then learn from their combined map as it is; 0 leaves
    them out."""

    def problems(self) -> Iterator[str]:
        for name in ("labeled", "unlabeled", "soft"):
            if not 0 <= getattr(self, name) <= 100:
                yield f"loss.{name} must lie in 0..100, got {getattr(self, name)}"
        for name in ("ramp", "delay"):
            if getattr(self, name) < 0:
                yield f"loss.{name} must be 0 or more, got {getattr(self, name)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """The schedule."""

    steps: int = 2000
    """Optimizer steps."""
    minutes: float = 0.0
    """Wall-clock length of the run; when above 0 it sets the number of steps after a short measurement."""
    lr: float = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    """Learning rate after warm-up: cosine to 0, divided by 10 at 2/3 and 5/6 of the steps, or constant."""
    warmup: int = 100
    """Steps of linear warm-up."""
    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW; 0 is Adam, as PoseDual's code trains."""
    clip: float = 1.0
    """Largest norm of each student's gradient; 0 for no limit."""
    ema: float = 0.998
    """Decay of the weight average that is evaluated and saved as the student; 0 for none."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the network passes. auto: bf16 on a GPU, and on a CPU with AVX-512 BF16 for ResNets and
    MobileNets V2 and V3 large, else fp32."""
    threads: int = 0
    """CPU threads of torch; 0 takes all cores but one."""
    save_every: int = 500
    """Steps between checkpoints."""
    look_every: int = 0
    """Steps between evaluations on the held-out fold. 0: at the end, and with pseudo-targets some people of it every
    50 steps or a tenth of a short run, for the alarms, which takes under 2 % of the time."""
    ledger_every: int = 50
    """Steps between two steps whose votes and offers are written into the run's ledger; 0 for none."""
    seed: int = 0
    """Seed of everything random in the run."""

    def problems(self) -> Iterator[str]:
        if not 1 <= self.steps <= 10_000_000:
            yield f"train.steps must lie in 1..10000000, got {self.steps}"
        if not 0 <= self.minutes <= 100_000:
            yield f"train.minutes must lie in 0..100000, got {self.minutes}"
        if not 0 < self.lr <= 10:
            yield f"train.lr must lie in 0..10 and not be 0, got {self.lr}"
        if not 0 <= self.ema < 1:
            yield f"train.ema must lie in 0..1, below 1, got {self.ema}"
        if not 0 <= self.weight_decay <= 1:
            yield f"train.weight_decay must lie in 0..1, got {self.weight_decay}"
        if self.save_every < 1:
            yield f"train.save_every must be 1 or more, got {self.save_every}"
        for name in ("warmup", "clip", "threads", "look_every", "ledger_every", "seed"):
            if getattr(self, name) < 0:
                yield f"train.{name} must be 0 or more, got {getattr(self, name)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of one run."""

    preset: str = "paper"
    """The preset that the settings started from."""
    size: str = "small"
    """The size that the settings started from."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


PARTS = ("model", "data", "views", "pool", "select", "loss", "train")

PRESETS: dict[str, dict[str, Any]] = {
    "supervised": {"loss.unlabeled": 0.0},
    "posecons": {
        "loss.labeled": 1.0,
        "views.students": 1,
        "views.count": 1,
        "views.geometry": "normalized",
        "views.hard": "affine",
        "pool.aggregate": "max",
        "pool.threshold": 0.0,
        "pool.refine": "none",
        "select.rule": "cross",
    },
    "posedual": {
        "views.count": 1,
        "views.geometry": "normalized",
        "views.hard": "cutout",
        "pool.aggregate": "max",
        "pool.threshold": 0.0,
        "pool.refine": "none",
        "select.rule": "cross",
    },
    "paper": {},
    "best": {
        "views.count": 2,
        "views.voters": "averages",
        "views.batch_norm": "eval",
        "views.compose": True,
        "views.hard": "randaugment",
        "pool.share": True,
        "pool.aggregate": "mean",
        "pool.threshold": 0.0,
        "pool.refine": "none",
        "pool.lift": 0.5,
        "loss.unlabeled": 2.0,
    },
    "distill": {
        "views.students": 1,
        "views.count": 2,
        "views.voters": "start",
        "views.batch_norm": "eval",
        "views.compose": True,
        "pool.share": True,
        "pool.aggregate": "mean",
        "pool.threshold": 0.0,
        "pool.refine": "none",
    },
}
"""The method. `paper` is our reconstruction of arXiv 2310.00099 from its abstract and second-hand notes, not the
authors' code; `posedual` and `posecons` follow the code published with Xie et al., ICCV 2021. `best` is what our
measurements prefer (docs/results.md): both students learn the mean of both averages' maps of the crop and its mirror,
lifted half the way to the height of a label, on views changed by RandAugment.
`distill` makes one student for use out of the two of the run that it starts from."""

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {
        "model.backbone": "shufflenet_v2_x0_5",
        "model.head_channels": 32,
        "train.steps": 1500,
    },
    "small": {},
    "full": {
        "model.backbone": "resnet18",
        "model.head_channels": 256,
        "model.feature_stride": 32,
        "data.height": 256,
        "data.width": 192,
        "data.batch_labeled": 32,
        "data.batch_unlabeled": 32,
        "train.steps": 30000,
        "train.save_every": 1000,
    },
}
"""The cost."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its dotted key, type, default and what it does."""

    key: str
    type: Any
    default: Any
    doc: str


@functools.cache
def walk() -> tuple[Setting, ...]:
    """Every setting in order, with the docstring written under it."""
    found = []
    hints = typing.get_type_hints(Config)
    for part in PARTS:
        cls = hints[part]
        docs, types_ = _field_docs(cls), typing.get_type_hints(cls)
        for spec in dataclasses.fields(cls):
            found.append(
                Setting(f"{part}.{spec.name}", types_[spec.name], spec.default, docs[spec.name])
            )
    return tuple(found)


def make(
    preset: str, size: str, changes: Mapping[str, str | int | float | bool] | None = None
) -> Config:
    """Settings from a preset, a size and single changes, in that order.

    Args:
        preset: a key of PRESETS.
        size: a key of SIZES.
        changes: dotted key to value; strings are read as the setting's type.

    Raises:
        ConfigError: every unknown name (with the nearest match) and every value out of range, one line each.
    """
    wrong = []
    if preset not in PRESETS:
        wrong.append(unknown("preset", preset, PRESETS))
    if size not in SIZES:
        wrong.append(unknown("size", size, SIZES))
    known = {setting.key: setting for setting in walk()}
    values: dict[str, Any] = {**SIZES.get(size, {}), **PRESETS.get(preset, {})}
    for key, value in (changes or {}).items():
        if key not in known:
            wrong.append(unknown("setting", key, known))
            continue
        try:
            values[key] = convert(value, known[key])
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ConfigError("\n".join(wrong))
    return check(_build({**{key: s.default for key, s in known.items()}, **values}, preset, size))


def check(config: Config) -> Config:
    """The same config, if every value is in range.

    Raises:
        ConfigError: with one line for each value that is not.
    """
    wrong = [line for part in PARTS for line in getattr(config, part).problems()]
    if wrong:
        raise ConfigError("\n".join(wrong))
    return config


def flat(config: Config) -> dict[str, Any]:
    """Dotted key to value, in the order of `walk`."""
    found = {}
    for setting in walk():
        part, name = setting.key.split(".")
        found[setting.key] = getattr(getattr(config, part), name)
    return found


def to_dict(config: Config) -> dict[str, Any]:
    """JSON-ready form that `from_dict` reads; this is a run's config.json."""
    return {"preset": config.preset, "size": config.size, **flat(config)}


def from_dict(record: Mapping[str, Any]) -> Config:
    """Read what `to_dict` wrote; settings that it lacks take their defaults.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    values = {key: value for key, value in record.items() if "." in key}
    known = {setting.key: setting for setting in walk()}
    wrong = [unknown("setting", key, known) for key in values if key not in known]
    if wrong:
        raise ConfigError("\n".join(wrong))
    defaults = {key: setting.default for key, setting in known.items()}
    return check(_build({**defaults, **values}, str(record["preset"]), str(record["size"])))


def unknown(noun: str, got: str, known: Mapping[str, Any]) -> str:
    """One line that names what is not known, the nearest match if there is one, and else all that is."""
    near = difflib.get_close_matches(got, known, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
    return f"Unknown {noun} {got!r}. {hint}"


def convert(value: Any, setting: Setting) -> Any:
    """Read a value as the setting's type; ValueError says what was expected."""
    choices = typing.get_args(setting.type) if typing.get_origin(setting.type) is Literal else ()
    if choices:
        for choice in choices:
            if str(value) == str(choice):
                return choice
        expected = "one of " + ", ".join(str(choice) for choice in choices)
    elif setting.type is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if str(value).lower() in words:
            return words[str(value).lower()]
        expected = "true or false"
    else:
        expected = "a whole number" if setting.type is int else "a number"
        try:
            number = setting.type(str(value))
            if number == number and abs(number) != float("inf"):
                return number
        except ValueError:
            pass
    raise ValueError(f"{setting.key} must be {expected}, got {value!r}")


def _build(values: Mapping[str, Any], preset: str, size: str) -> Config:
    hints = typing.get_type_hints(Config)
    parts = {
        part: hints[part](
            **{
                key.split(".")[1]: value
                for key, value in values.items()
                if key.startswith(part + ".")
            }
        )
        for part in PARTS
    }
    return Config(preset=preset, size=size, **parts)


def _field_docs(cls: type) -> dict[str, str]:
    """The string that follows each field in the class body."""
    body = typing.cast(ast.ClassDef, ast.parse(inspect.getsource(cls)).body[0]).body
    docs = {}
    for here, after in zip(body, body[1:], strict=False):
        named = isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name)
        if named and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            docs[here.target.id] = " ".join(str(after.value.value).split())  # type: ignore[attr-defined]
    return docs


__all__ = [
    "PRESETS", "SIZES", "Config", "Setting", "check", "flat", "from_dict", "make", "to_dict", "unknown", "walk",
]  # fmt: skip
