"""The form of Train: what it holds, and what each of its fields does to the others."""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

import dataclasses
from typing import Any

import gradio as gr

from posestudio import config
from posestudio.errors import PoseStudioError
from posestudio.studio import settings
from posestudio.studio.jobs import Jobs
from posestudio.studio.studio import Studio
from posestudio.ui import forms, reads_runs, run_cards, run_words
from posestudio.ui.reads_runs import SCRATCH, Asked
from posestudio.ui.train_parts import LENGTHS, TrainTab

Update = dict[Any, Any]


class TrainForm:
    """What the form's events call. Every method returns updates by component."""

    def __init__(self, studio: Studio, jobs: Jobs, tab: TrainTab) -> None:
        self.studio, self.jobs, self.tab = studio, jobs, tab

    def fill(self, asked: Asked, start: str | None = None) -> Update:
        """The form for the next training, of the length asked for, from a run's students or else the last ones."""
        tab, rows = self.tab, self._usable()
        known = {row["run_id"]: row for row in rows}
        before = known.get(start or "") or (rows[0] if rows else None)
        found, files = self._learning(), reads_runs.weights_files(self.studio)
        asked = dataclasses.replace(
            asked,
            preset=settings.advised(bool(rows), found["unlabeled"] if found else 0),
            size=before["size"] if before else settings.default_size(),
            start=before["run_id"] if before else SCRATCH,
            weights="",
            changes={},
        )
        return {
            **self._about(asked, chosen=True),
            tab.start: gr.Dropdown(_starts(rows), value=asked.start),
            tab.weights: gr.Dropdown(
                [("ImageNet weights of torchvision, if online", ""), *((n, n) for n in files)],
                value="",
                visible=not asked.start,
            ),
            tab.touched: False,
            **forms.updates(tab.settings, reads_runs.base(self.studio, asked)),
            **self.preview(asked),
        }

    def next_run(self, touched: bool, *given: Any) -> Update:
        """A run has ended: the form goes on from its students, unless somebody is filling it in."""
        asked = self.asked(given)
        rows, job = self._usable(), self.jobs.current
        over = next((row for row in rows if job and job.trains and row["run_id"] == job.name), None)
        if touched or over is None or over["status"] == "failed":
            return {self.tab.start: gr.Dropdown(_starts(rows)), **self.preview(asked)}
        return self.fill(asked, over["run_id"])

    def method(self, *given: Any) -> Update:
        """Another method, size or start: the folded settings take its values."""
        asked = self.asked(given)
        try:
            fresh = reads_runs.base(self.studio, asked)
        except PoseStudioError as error:
            return {self.tab.estimate: run_cards.trouble(str(error)), self.tab.touched: True}
        return {
            **self._about(asked),
            self.tab.touched: True,
            self.tab.weights: gr.Dropdown(visible=not asked.start),
            **forms.updates(self.tab.settings, fresh),
            **self.preview(dataclasses.replace(asked, changes={})),
        }

    def _about(self, asked: Asked, *, chosen: bool = False) -> Update:
        """What method and size are; with `chosen` they are chosen too."""
        about = (
            (self.tab.preset, asked.preset, run_words.PRESETS),
            (self.tab.size, asked.size, run_words.SIZES),
        )
        found: Update = {}
        for field, name, words in about:
            value: dict[str, Any] = {"value": name} if chosen else {}
            found[field] = gr.update(info=words.get(name), **value)
        return found

    def unit(self, *given: Any) -> Update:
        """Minutes or steps: another field for the length."""
        asked = self.asked(given)
        return {
            self.tab.minutes: gr.Number(visible=not asked.by_steps),
            self.tab.steps: gr.Number(visible=asked.by_steps),
            self.tab.touched: True,
            **self.preview(asked),
        }

    def changed(self, *given: Any) -> Update:
        """Any other field."""
        return {self.tab.touched: True, **self.preview(self.asked(given))}

    def preview(self, asked: Asked) -> Update:
        """What would be trained, how long, and the command line for it."""
        tab, job = self.tab, self.jobs.current
        free = job is None or not job.alive
        try:
            chosen = settings.complete(asked.preset, asked.size, self._all(asked))
            found = self.studio.call("learning", hold_fold=chosen.data.hold_fold)
            seconds, words = reads_runs.seconds(self.studio, asked, chosen)
            offer = self.studio.call("overview")["val"]["offer"]
        except PoseStudioError as error:
            return {
                tab.estimate: run_cards.trouble(str(error)),
                tab.train: gr.Button(interactive=False),
            }
        whole = found["people"] + found["fold"] + found["unlabeled"] + found["val"]
        ready = bool(found["people"]) and (chosen.loss.unlabeled == 0 or found["unlabeled"] > 0)
        return {
            tab.estimate: run_cards.estimate(seconds, words, whole),
            tab.command: run_cards.command(reads_runs.command(self.studio, asked)),
            tab.learning: run_cards.learning(found, _notes(found, chosen)),
            tab.aside: gr.Button(run_words.aside(offer), visible=offer > 0),
            tab.train: gr.Button("Train" if free else "Training", interactive=free and ready),
        }

    def set_aside(self, *given: Any) -> Update:
        """A fifth of the labeled people become the val set."""
        done = self.studio.call("set_val_aside")
        gr.Info(run_words.set_aside(done))
        return self.preview(self.asked(given))

    def _learning(self) -> dict[str, Any] | None:
        try:
            return self.studio.call("learning")
        except PoseStudioError:
            return None

    def _usable(self) -> list[dict[str, Any]]:
        """Runs with students, the newest first."""
        return [row for row in self.studio.call("runs") if row["usable"]]

    def asked(self, given: tuple[Any, ...]) -> Asked:
        """The form's fields, in the order of `_inputs`."""
        preset, size, start, weights, unit, minutes, steps, runner, *rest = given
        amount = steps if unit == LENGTHS[1] else minutes
        asked = Asked(
            str(preset), str(size), unit == LENGTHS[1], float(amount or 0), str(start or ""), str(weights or ""),
            "process" if runner == "process" else "thread",
        )  # fmt: skip
        with_base = reads_runs.base(self.studio, asked)
        return dataclasses.replace(asked, changes=forms.changed(rest, with_base))

    def _all(self, asked: Asked) -> dict[str, Any]:
        """Every setting that is not the preset's or size's: inherited, changed, and the length."""
        base = config.flat(reads_runs.base(self.studio, asked))
        plain = config.flat(config.make(asked.preset, asked.size))
        kept = {key: value for key, value in base.items() if value != plain[key]}
        return {**kept, **asked.all_changes()}


def _starts(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What a training can start from, for the dropdown."""
    students = [(f"the students of {row['run_id']}", row["run_id"]) for row in rows]
    return [*students, ("from scratch", SCRATCH)]


def _notes(found: dict[str, Any], chosen: config.Config) -> list[str]:
    """What a person should know before this training starts."""
    notes = []
    if chosen.loss.unlabeled > 0 and not found["unlabeled"]:
        notes.append(run_words.NO_UNLABELED)
    if not found["val"]:
        notes.append("There is no val set, so this run would get no score.")
    if not chosen.data.hold_fold and chosen.data.cross_fit == 0:
        notes.append(run_words.NO_LOOKS)
    elif not found["fold"] and chosen.data.cross_fit == 0:
        notes.append(run_words.NO_FOLD)
    return notes
