"""What a run says of itself while it trains: means of its losses, looks at held-out labels, alarms, the best students.

All that decides how training goes on is part of the run's state, so a resumed run raises the same alarms at the same
steps and keeps the same students.
"""

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed

from posestudio.config import Config
from posestudio.errors import TrainingError
from posestudio.events import Evaluated, Event, Stepped, Warned
from posestudio.models.pose_net import PoseNet
from posestudio.train import ledger_rows, loop, validate
from posestudio.train.alarms import Alarms
from posestudio.train.ledger import Ledger
from posestudio.train.objective import OPEN, Batch, Pool, Votes
from posestudio.train.run_folder import RunFolder
from posestudio.train.session import Session

REPORT_EVERY = 10
"""Steps between two Stepped events."""
LOOK_EVERY = 50
"""Steps between two looks at held-out labels when train.look_every says nothing; a tenth of a run under 500 steps."""
LOOK_COST = 0.02
"""Share of the time that such looks may take."""
SAMPLE = 16
"""Unlabeled people at a look."""

Tell = Callable[[Event], None]
Listener = Callable[[Sequence[Votes], Pool, Batch], None]


class Watch:
    """Told every step of a run; tells events, and knows whether to leave out pseudo-targets and whom to keep.

    seconds: of training before this process went on with the run. alarms: their state. best: the best students on
    held-out labels so far; empty while there are none. dropped: whether an alarm has ended the learning from
    pseudo-targets. ledger: where votes and offers are written down.
    """

    def __init__(self, session: Session, steps: int, run: RunFolder):
        config = session.config
        self.ledger = Ledger(run)
        self.session, self.steps = session, steps
        self.alarms = Alarms(steps=steps, students=config.views.students)
        self.best: list[PoseNet] = []
        self.dropped = False
        self.seconds, self._since = 0.0, time.perf_counter()
        self.unseen = config.data.hold_fold or config.data.cross_fit > 0
        self.teaches = config.loss.unlabeled > 0 and session.source.asks
        unlabeled = config.data.batch_unlabeled if self.teaches else 0
        self.means = Means(config.data.batch_labeled + unlabeled)
        held = min(len(people) for people in validate.judged_on(session))
        self.guards = self.unseen and self.teaches and held > 0
        self.every, self.most = looks(config, steps) if self.guards else (0, None)
        if config.train.look_every:
            self.every, self.most = config.train.look_every, None

    def students(self) -> Sequence[PoseNet]:
        """Whom to save as the run's students: the averages, or after an alarm the best ones on held-out labels."""
        return self.best if self.dropped and self.best else self.session.learner.averages

    def kept(self) -> dict[str, int]:
        """{"kept_step": step} when `students` are of an earlier step, else nothing."""
        return {"kept_step": self.alarms.best_step} if self.dropped and self.best else {}

    def notes(self) -> dict[str, Any]:
        """What must be remembered, besides `best`, to go on exactly."""
        return {
            "alarms": self.alarms.to_dict(), "means": self.means.to_dict(), "seconds": self.spent(),
        }  # fmt: skip

    def spent(self) -> float:
        """Seconds of training so far, in all processes that went on with the run, up to what was saved."""
        return round(self.seconds + time.perf_counter() - self._since, 2)

    def restore(self, notes: dict[str, Any], best: list[PoseNet]) -> None:
        """Go on from `notes`; a state that was written without any begins anew."""
        if notes:
            self.alarms = Alarms.from_dict({**notes["alarms"], "steps": self.steps})
            self.means.restore(notes["means"], self.session.device)
            self.best = best if self.alarms.best is not None else []
            self.dropped = self.alarms.dropped > 0
            self.seconds = float(notes.get("seconds", 0.0))

    def begin(self, step: int, tell: Tell) -> None:
        """Look before the first step, so that what the students can do by then is known."""
        if self.guards and self.session.share[0] == 0 and self.alarms.best is None:
            self._look(step, tell)
        self.means.since = self._since = time.perf_counter()

    def after(self, step: loop.Step, tell: Tell) -> None:
        """Take in a step; tell what it gives rise to.

        Raises:
            TrainingError: the loss is not finite.
        """
        self.means.add(step.losses)
        done, found = step.step, []
        report = done % REPORT_EVERY == 0 or done == self.steps
        look = self.every > 0 and done % self.every == 0
        first = self.session.share[0] == 0
        if report:
            self.check(done, tell, weights=False)
            event, means = self.means.report(done, self.steps)
            tell(event)
            found += self.alarms.hear(done, means) if first else []
        if look and first:
            found += self._look(done, tell)
        for warned in found:
            tell(warned)
        if (report or look) and not self.dropped and self._agreed():
            self.dropped = True
            self._go_back()

    def listener(self, step: int) -> Listener | None:
        """Who writes down the votes and the pool of a step, if they are to be."""
        every, session = self.session.config.train.ledger_every, self.session
        if every == 0 or step % every or session.share[0] != 0:
            return None

        def write(votes: Sequence[Votes], pool: Pool, batch: Batch) -> None:
            index = batch.index
            if index is None or batch.easy is None:
                return
            asked = (session.source.state[index] == OPEN) & session.source.taught
            people, who = session.snapshot.people, index.numpy()
            rows = ledger_rows.rows(
                votes, pool, session.method, step=step, instance_id=people.instance_id[who],
                box_xywh=people.box_xywh[who], asked=asked.numpy(), easy=batch.easy,
            )  # fmt: skip
            self.ledger.add(step, rows)

        return write

    def check(self, step: int, tell: Tell, *, weights: bool) -> None:
        """See that the losses since the last report, and the weights if asked, are finite.

        Raises:
            TrainingError: they are not; said as an event first.
        """
        loss = self.means.loss()
        nets = (*self.session.learner.students, *self.session.learner.averages) if weights else ()
        spoiled = not all(
            bool(one.isfinite().all()) for net in nets for one in net.state_dict().values()
        )
        if spoiled or not abs(loss) < float("inf"):
            what = "A weight is not a number" if spoiled else f"The loss is {loss}"
            said = f"{what} near step {step}. Lower --set train.lr=..., then train again."
            tell(Warned(step, "not_finite", f"{said} The last checkpoint is from before."))
            raise TrainingError(said)

    def _look(self, step: int, tell: Tell) -> list[Warned]:
        averages, students = self.session.learner.averages, self.session.learner.students
        scores = validate.fold_scores(self.session, averages, most=self.most)
        if not self.guards:
            tell(Evaluated(step, "fold", scores))
            return []
        each = [value for name, value in scores.items() if name.startswith("pck10")]
        self.alarms.note_best(step, sum(each) / len(each))
        if self.alarms.best_step == step:
            self.best = [best_of(net) for net in averages]
        held = None if self.dropped else validate.held_out(self.session, students, most=self.most)
        if held is None:
            tell(Evaluated(step, "fold", scores))
            return []
        scores |= {"pck10_now": round(float(held.near.mean()), 4), "peak_now": held.peak}
        taught = step > self.session.config.loss.delay
        blind = validate.unlabeled_peak(self.session, students, SAMPLE) if taught else None
        if blind is not None:
            scores["peak_unlabeled"] = blind
        tell(Evaluated(step, "fold", scores))
        return self.alarms.look(
            step, shares=held.near.tolist(), peak=held.peak, peak_unlabeled=blind
        )

    def _agreed(self) -> bool:
        """Whether pseudo-targets are to be left out; all processes of a run hear the first one's answer."""
        word = torch.tensor(self.alarms.dropped, device=self.session.device)
        if self.session.share[1] > 1:
            torch.distributed.broadcast(word, 0)
        return bool(word)

    def _go_back(self) -> None:
        """Make the students and their averages the best ones on held-out labels, where there are any."""
        learner = self.session.learner
        for nets in (learner.students, learner.averages):
            for net, best in zip(nets, self.best, strict=False):
                net.load_state_dict(best.state_dict())
            for net in nets if self.session.share[1] > 1 else []:
                for held in net.state_dict().values():
                    plain = held.contiguous()
                    torch.distributed.broadcast(plain, 0)
                    held.copy_(plain)


def best_of(net: PoseNet) -> PoseNet:
    """A copy that does not learn."""
    return copy.deepcopy(net).eval().requires_grad_(False)


def looks(config: Config, steps: int) -> tuple[int, int]:
    """Steps between two looks, and people a student at each, so that looks take less than LOOK_COST of the time.

    A training pass counts as three passes without gradient; a look passes the students and their averages, and half
    of it is added for cutting crops and decoding.
    """
    every = min(LOOK_EVERY, max(10, steps // 10))
    data, views = config.data, config.views
    step = 3 * data.batch_labeled + (views.count + 3 * views.hard_paths) * data.batch_unlabeled
    return every, max(8, (int(LOOK_COST * every * step / 1.5) - SAMPLE) // 2)


class Means:
    """Losses since the last report, summed on the device so that no step waits for it. people: in a step."""

    def __init__(self, people: int):
        self.people = people
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, int] = {}
        self.since = time.perf_counter()
        self.timed = 0

    def add(self, losses: dict[str, torch.Tensor]) -> None:
        """Take in the named scalars of one step."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value
            self.counts[name] = self.counts.get(name, 0) + 1
        self.timed += 1

    def loss(self) -> float:
        """The mean loss so far; 0 before the first step."""
        return float(self.sums["loss"]) / self.counts["loss"] if self.sums else 0.0

    def report(self, step: int, steps: int) -> tuple[Stepped, dict[str, float]]:
        """The means as an event and by name, each over the steps that named it; begins anew."""
        means = {name: float(value) / self.counts[name] for name, value in self.sums.items()}
        pace = (time.perf_counter() - self.since) / self.timed
        self.sums, self.counts = {}, {}
        self.since, self.timed = time.perf_counter(), 0
        event = Stepped(
            step=step,
            loss=means["loss"],
            loss_labeled=means["loss_labeled"],
            loss_unlabeled=means.get("loss_unlabeled", 0.0),
            kept=means.get("kept"),
            uncertainty=means.get("uncertainty"),
            images_per_second=self.people / pace,
            eta_seconds=(steps - step) * pace,
            peak=means.get("peak"),
            distance=means.get("distance"),
        )
        return event, means

    def to_dict(self) -> dict[str, Any]:
        """The sums so far, JSON-ready and exact."""
        sums = {name: [float(value), self.counts[name]] for name, value in self.sums.items()}
        kinds = {name: str(value.dtype) for name, value in self.sums.items()}
        return {"sums": sums, "kinds": kinds}

    def restore(self, record: dict[str, Any], device: torch.device) -> None:
        """Go on from `to_dict`."""
        for name, (value, count) in record["sums"].items():
            kind = getattr(torch, record["kinds"][name].removeprefix("torch."))
            self.sums[name] = torch.tensor(value, dtype=kind, device=device)
            self.counts[name] = count
