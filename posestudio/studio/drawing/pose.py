"""Bodies and poses: a prior over what people do, and the joints that follow from it.

A body's own frame is x to its left, y up, z forward; its length unit is its standing height. The view frame is
x right, y up, z towards the viewer. Angles are in degrees. Pure numpy.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from posestudio.studio.drawing.space import ASIDE, DOWN, FORWARD, UP, Array, turn

Limb = tuple[float, float, float, float]

LEFT, RIGHT = 1.0, -1.0

ARM_LIMITS = ((-50.0, 180.0), (-15.0, 175.0), (-60.0, 90.0), (2.0, 145.0))
LEG_LIMITS = ((-35.0, 120.0), (-12.0, 70.0), (-20.0, 45.0), (1.0, 140.0))
"""Range of flexion, abduction, turn about the own axis, and bend of elbow or knee.

Ours, after common textbook ranges.
"""


@dataclass(frozen=True, slots=True)
class Body:
    """Lengths and radii of one person, in units of its height."""

    shoulder: float
    hip: float
    torso: float
    neck: float
    head: float
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    foot: float
    girth: float
    belly: float


@dataclass(slots=True)
class Pose:
    """What the joints do: (flexion, abduction, turn, bend) of each limb; left first."""

    arms: list[Limb] = field(default_factory=lambda: [(0, 10, 10, 15), (0, 10, 10, 15)])
    legs: list[Limb] = field(default_factory=lambda: [(0, 4, 8, 4), (0, 4, 8, 4)])
    pitch: float = 0.0
    roll: float = 0.0
    twist: float = 0.0
    head: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tumble: tuple[float, float] = (0.0, 0.0)
    lift: float = 0.0
    seat: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """Joints in the view frame, feet on y = 0. `points` by name; `head` (3, 3) has left, up, forward as columns."""

    points: dict[str, Array]
    head: Array
    chest: Array
    body: Body
    seat: bool


def sample_body(rng: np.random.Generator) -> Body:
    """Draw a person's build: one in six is a child, with shorter limbs and a larger head."""
    child = rng.random() < 0.16
    shape = rng.normal(0, 1)
    broad = rng.normal(0, 1)
    limbs = rng.normal(1, 0.04)
    legs = limbs * rng.normal(1, 0.035) * (0.93 if child else 1.0)
    return Body(
        shoulder=float(np.clip(0.104 + 0.007 * broad + 0.003 * shape, 0.088, 0.122)),
        hip=float(np.clip(0.055 + 0.004 * shape - 0.002 * broad, 0.046, 0.066)),
        torso=0.285 * float(rng.normal(1, 0.03)),
        neck=0.046 * (0.85 if child else 1.0),
        head=(0.083 if child else 0.070) * float(rng.normal(1, 0.03)),
        upper_arm=0.160 * limbs,
        forearm=0.138 * limbs * float(rng.normal(1, 0.03)),
        thigh=0.232 * legs,
        shin=0.228 * legs * float(rng.normal(1, 0.03)),
        foot=0.095 * (1.05 if child else 1.0),
        girth=float(np.clip(1 + 0.13 * shape, 0.78, 1.4)),
        belly=float(np.clip(0.012 * rng.normal(0.3, 1) + 0.008 * max(shape, 0), -0.004, 0.035)),
    )


def sample_pose(rng: np.random.Generator, rare_rate: float) -> Pose:
    """Draw what the person does; with probability `rare_rate` something few people do."""
    table = RARE if rng.random() < rare_rate else COMMON
    weights = np.array([weight for weight, _ in table])
    make = table[int(rng.choice(len(table), p=weights / weights.sum()))][1]
    pose = make(rng)
    if rng.random() < 0.5:
        pose = mirrored(pose)
    pose.arms = [limited(arm, ARM_LIMITS, rng.normal(0, (7, 5, 8, 8))) for arm in pose.arms]
    pose.legs = [limited(leg, LEG_LIMITS, rng.normal(0, (3, 2, 4, 3))) for leg in pose.legs]
    pose.pitch += float(rng.normal(0, 3))
    pose.roll += float(rng.normal(0, 3))
    yaw, nod, tilt = pose.head
    pose.head = (
        float(np.clip(yaw + rng.normal(0, 20), -70, 70)),
        float(np.clip(nod + rng.normal(2, 9), -35, 40)),
        float(np.clip(tilt + rng.normal(0, 5), -20, 20)),
    )
    return pose


def limited(limb: Limb, limits: tuple[tuple[float, float], ...], noise: Array) -> Limb:
    """The limb's angles plus noise, inside the joint's limits."""
    a, b, c, d = (
        float(np.clip(value + extra, low, high))
        for value, extra, (low, high) in zip(limb, noise, limits, strict=True)
    )
    return a, b, c, d


def mirrored(pose: Pose) -> Pose:
    """The same pose with left and right exchanged."""
    yaw, nod, tilt = pose.head
    return Pose(
        arms=pose.arms[::-1], legs=pose.legs[::-1], pitch=pose.pitch, roll=-pose.roll, twist=-pose.twist,
        head=(-yaw, nod, -tilt), tumble=(pose.tumble[0], -pose.tumble[1]), lift=pose.lift, seat=pose.seat,
    )  # fmt: skip


def _stand(rng: np.random.Generator) -> Pose:
    shift = rng.uniform(-5, 5)
    spread = rng.uniform(2, 9)
    legs: list[Limb] = [(2, spread + shift / 2, 10, 5), (0, spread - shift / 2, 10, 5)]
    if rng.random() < 0.35:
        legs[0] = (16, spread, 22, 24)
    return Pose(
        arms=[_idle_arm(rng), _idle_arm(rng)], legs=legs, roll=shift, twist=rng.normal(0, 6)
    )


def _idle_arm(rng: np.random.Generator) -> Limb:
    kinds: list[Limb] = [
        (0, 11, 10, 14), (0, 12, 15, 20), (8, 10, 20, 35), (-22, 48, 58, 92), (20, 14, 50, 95), (62, 20, 20, 120),
        (100, 62, -10, 125), (35, 10, 62, 100), (45, 25, 5, 40), (90, 8, 5, 8),
    ]  # fmt: skip
    weights = np.array([5, 4, 2, 3, 1.5, 1.5, 1.2, 2, 1, 0.8])
    return kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]


def _walk(rng: np.random.Generator) -> Pose:
    phase = rng.uniform(0.4, 1.0)
    swing = 26 * phase
    arm = rng.uniform(14, 32) * phase
    carry = _idle_arm(rng) if rng.random() < 0.2 else (arm, 9, 10, 28)
    return Pose(
        arms=[(-arm, 9, 8, 14), carry],
        legs=[(swing, 2, 5, 10), (-swing * 0.7, 2, 5, 8 + 34 * rng.random())],
        pitch=rng.uniform(0, 6), twist=6 * phase,
    )  # fmt: skip


def _run(rng: np.random.Generator) -> Pose:
    arm = rng.uniform(30, 58)
    return Pose(
        arms=[(-arm, 14, 12, 85), (arm, 12, 25, 95)],
        legs=[(rng.uniform(45, 78), 2, 4, rng.uniform(45, 95)), (-rng.uniform(8, 28), 2, 5, rng.uniform(15, 95))],
        pitch=rng.uniform(6, 18), twist=12, lift=rng.uniform(0, 0.05),
    )  # fmt: skip


def _jump(rng: np.random.Generator) -> Pose:
    if rng.random() < 0.5:
        up, out = rng.uniform(95, 155), rng.uniform(16, 36)
        return Pose(
            arms=[(0, up, 0, 12), (0, up, 0, 12)], legs=[(4, out, 10, 8), (4, out, 10, 8)],
            lift=rng.uniform(0.04, 0.16), head=(0, -6, 0),
        )  # fmt: skip
    return Pose(
        arms=[(160, 18, 0, 20), (rng.uniform(20, 160), 40, 0, 35)],
        legs=[(rng.uniform(40, 85), 8, 5, rng.uniform(60, 110)), (-10, 6, 5, rng.uniform(30, 90))],
        lift=rng.uniform(0.06, 0.18), pitch=5,
    )  # fmt: skip


def _sit(rng: np.random.Generator) -> Pose:
    knees = rng.uniform(80, 100)
    arm: Limb = (38, 8, 15, 45) if rng.random() < 0.6 else _idle_arm(rng)
    out = rng.uniform(3, 16)
    legs: list[Limb] = [(88, out, 0, knees), (88, out, 0, knees)]
    if rng.random() < 0.3:
        legs[0] = (88, -6, 12, 60)
    return Pose(arms=[arm, (38, 8, 18, 48)], legs=legs, pitch=rng.uniform(-8, 22), seat=True)


def _arms_up(rng: np.random.Generator) -> Pose:
    height = rng.uniform(120, 168)
    other: Limb = (0, height, 0, rng.uniform(5, 60)) if rng.random() < 0.6 else _idle_arm(rng)
    pose = _stand(rng)
    pose.arms = [(rng.uniform(-5, 20), height, 0, rng.uniform(5, 70)), other]
    pose.head = (0, -8, 0)
    return pose


def _stretch(rng: np.random.Generator) -> Pose:
    kinds = (
        Pose(arms=[(0, 90, 0, 6), (0, 90, 0, 6)], legs=[(0, 20, 15, 5), (0, 20, 15, 5)]),
        Pose(arms=[(0, 92, 0, 4), (0, 88, 0, 4)], legs=[(30, 38, 35, 62), (-5, 32, 10, 6)]),
        Pose(arms=[(172, 6, 0, 20), (172, 6, 0, 20)], legs=[(52, 52, 40, 128), (0, 2, 5, 3)]),
        Pose(
            arms=[(0, 165, 0, 10), (0, 20, 30, 60)], legs=[(0, 14, 10, 4), (0, 14, 10, 4)], roll=24
        ),
    )
    return kinds[int(rng.integers(len(kinds)))]


def _bend(rng: np.random.Generator) -> Pose:
    pitch = rng.uniform(35, 85)
    down = rng.uniform(40, 85)
    return Pose(
        arms=[(down, 6, 5, 15), (down - 10, 8, 5, 25)],
        legs=[(rng.uniform(8, 40), 6, 8, rng.uniform(15, 55)), (rng.uniform(5, 30), 6, 8, rng.uniform(10, 45))],
        pitch=pitch, head=(0, -18, 0),
    )  # fmt: skip


def _squat(rng: np.random.Generator) -> Pose:
    flex = rng.uniform(70, 105)
    arm = rng.uniform(60, 95)
    return Pose(
        arms=[(arm, 8, 15, 20), (arm, 8, 15, rng.uniform(15, 90))],
        legs=[(flex, 16, 18, flex + 14), (flex, 16, 18, flex + 14)], pitch=rng.uniform(15, 38), head=(0, -15, 0),
    )  # fmt: skip


def _sport(rng: np.random.Generator) -> Pose:
    kinds = (
        Pose(
            arms=[(20, 70, 0, 30), (-30, 60, 0, 40)], legs=[(rng.uniform(45, 85), 6, 5, 12), (-4, 4, 8, 10)], pitch=-8
        ),
        Pose(arms=[(85, 25, 0, 12), (70, 100, -20, 100)], legs=[(28, 10, 8, 24), (-18, 8, 8, 16)], twist=-22),
        Pose(arms=[(75, 12, 30, 95), (60, 14, 25, 120)], legs=[(24, 12, 10, 24), (-12, 12, 12, 20)], pitch=8),
        Pose(arms=[(30, 18, 20, 75), (25, 18, 20, 80)], legs=[(72, 10, 5, 76), (-26, 4, 5, 22)], pitch=4),
        Pose(arms=[(150, 20, 0, 40), (20, 50, 0, 40)], legs=[(30, 12, 8, 34), (-20, 10, 8, 12)], roll=-8, twist=14),
    )  # fmt: skip
    return kinds[int(rng.integers(len(kinds)))]


def _turned(rng: np.random.Generator) -> Pose:
    kinds = (
        Pose(
            arms=[(170, 12, 0, 6), (170, 12, 0, 6)],
            legs=[(0, 24, 0, 6), (20, 20, 0, 30)],
            tumble=(0, 180),
        ),
        Pose(
            arms=[(0, 140, 0, 6), (0, 140, 0, 6)],
            legs=[(0, 38, 0, 6), (0, 38, 0, 6)],
            tumble=(0, 90),
        ),
        Pose(
            arms=[(10, 12, 10, 15), (40, 16, 30, 70)],
            legs=[(8, 4, 5, 10), (45, 6, 5, 70)],
            tumble=(0, 86),
        ),
        Pose(
            arms=[(85, 8, 0, 6), (85, 8, 0, 6)],
            legs=[(4, 4, 0, 4), (4, 4, 0, 4)],
            tumble=(68, 0),
            head=(0, -25, 0),
        ),
    )
    return kinds[int(rng.integers(len(kinds)))]


def _ground(rng: np.random.Generator) -> Pose:
    kinds = (
        Pose(
            arms=[(88, 6, 0, 8), (88, 6, 0, 8)],
            legs=[(80, 6, 0, 88), (80, 6, 0, 88)],
            pitch=78,
            head=(0, -30, 0),
        ),
        Pose(
            arms=[(30, 10, 20, 60), (20, 10, 20, 50)],
            legs=[(85, 6, 5, 90), (-8, 4, 5, 86)],
            pitch=4,
        ),
        Pose(
            arms=[(-30, 25, 0, 10), (-30, 25, 0, 10)],
            legs=[(80, 12, 0, 20), (85, 10, 0, 62)],
            pitch=-22,
        ),
        Pose(arms=[(0, 95, 0, 5), (0, 95, 0, 5)], legs=[(70, 10, 0, 4), (-30, 6, 0, 6)], pitch=10),
    )
    return kinds[int(rng.integers(len(kinds)))]


def _wild(rng: np.random.Generator) -> Pose:
    def limb(limits: tuple[tuple[float, float], ...]) -> Limb:
        a, b, c, d = (float(rng.uniform(low, high)) for low, high in limits)
        return a, b, c, d

    return Pose(
        arms=[limb(ARM_LIMITS), limb(ARM_LIMITS)], legs=[limb(LEG_LIMITS), limb(LEG_LIMITS)],
        pitch=rng.uniform(-15, 60), roll=rng.uniform(-25, 25), lift=rng.uniform(0, 0.1),
    )  # fmt: skip


Maker = Callable[[np.random.Generator], Pose]
COMMON: tuple[tuple[float, Maker], ...] = (
    (26, _stand), (17, _walk), (11, _run), (8, _jump), (10, _sit), (10, _arms_up), (5, _stretch), (5, _bend),
    (3, _squat), (7, _sport),
)  # fmt: skip
RARE: tuple[tuple[float, Maker], ...] = ((4, _turned), (3, _ground), (3, _wild))


def stand_up(body: Body, pose: Pose, yaw: float) -> Figure:
    """Forward kinematics: the joints of a body in a pose.

    The body is turned by `yaw`: at 0 it faces the viewer, at 90 it looks to the viewer's right.
    """
    root = turn(1, yaw) @ turn(2, pose.tumble[1]) @ turn(0, pose.tumble[0])
    torso = root @ turn(2, -pose.roll) @ turn(0, pose.pitch) @ turn(1, pose.twist)
    points: dict[str, Array] = {"pelvis": np.zeros(3)}
    points["waist"] = (root @ UP * 0.35 + torso @ UP * 0.65) * body.torso * 0.36
    points["chest"] = points["waist"] + torso @ UP * body.torso * 0.40
    points["neck"] = points["waist"] + torso @ UP * body.torso * 0.64
    yaw_head, nod, tilt = pose.head
    head = torso @ turn(1, yaw_head) @ turn(0, nod) @ turn(2, tilt)
    points["skull"] = (
        points["neck"] + torso @ UP * body.neck + head @ (UP * 0.95 + FORWARD * 0.16) * body.head
    )
    for side, name, arm, leg in (
        (LEFT, "left", pose.arms[0], pose.legs[0]),
        (RIGHT, "right", pose.arms[1], pose.legs[1]),
    ):
        _arm(points, name, side, torso, body, arm)
        _leg(points, name, side, root, body, leg)
    if pose.tumble == (0.0, 0.0):
        low = min(
            points[f"{n}_{p}"][1] for n in ("left", "right") for p in ("ankle", "toe", "knee")
        )
        low -= 0.03
    else:
        low = min(float(point[1]) for point in points.values()) - 0.035
    points = {name: point - UP * (low - pose.lift) for name, point in points.items()}
    return Figure(points, head, torso, body, pose.seat)


def _arm(
    points: dict[str, Array], name: str, side: float, torso: Array, body: Body, limb: Limb
) -> None:
    flex, out, twist, bend = limb
    raised = max(0.0, out - 60) / 120
    socket = ASIDE * side * body.shoulder * (1 - 0.18 * raised) + UP * (0.03 * raised - 0.012)
    shoulder = points["neck"] + torso @ socket
    frame = torso @ turn(0, -flex) @ turn(2, side * out) @ turn(1, -side * twist)
    elbow = shoulder + frame @ DOWN * body.upper_arm
    lower = frame @ turn(0, -bend)
    wrist = elbow + lower @ DOWN * body.forearm
    points[f"{name}_shoulder"], points[f"{name}_elbow"], points[f"{name}_wrist"] = (
        shoulder,
        elbow,
        wrist,
    )
    points[f"{name}_hand"] = wrist + lower @ (DOWN * 0.05 + FORWARD * 0.012)
    points[f"{name}_thumb"] = wrist + lower @ (
        DOWN * 0.030 + FORWARD * 0.018 - ASIDE * side * 0.010
    )


def _leg(
    points: dict[str, Array], name: str, side: float, root: Array, body: Body, limb: Limb
) -> None:
    flex, out, twist, bend = limb
    hip = root @ (ASIDE * side * body.hip)
    frame = root @ turn(0, -flex) @ turn(2, side * out) @ turn(1, side * twist)
    knee = hip + frame @ DOWN * body.thigh
    lower = frame @ turn(0, bend)
    ankle = knee + lower @ DOWN * body.shin
    sole = turn(0, float(np.clip(flex - bend, -22, 30)))
    points[f"{name}_hip"], points[f"{name}_knee"], points[f"{name}_ankle"] = hip, knee, ankle
    points[f"{name}_heel"] = ankle + lower @ sole @ (DOWN * 0.020 - FORWARD * 0.016)
    points[f"{name}_toe"] = ankle + lower @ sole @ (DOWN * 0.026 + FORWARD * (body.foot - 0.024))
