"""Train: what there is to learn from, one button, how the run goes, and all runs.

The address says which run is in view: /train?run=0003-calm-owl. What is shown comes from run folders and the app's
Jobs, never from this page, so a reload, a second tab or a restart of the app shows the same.
"""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

import dataclasses
from typing import Any

import gradio as gr

from posestudio import config
from posestudio.errors import PoseStudioError
from posestudio.studio import settings, training
from posestudio.studio.follow import Followers
from posestudio.studio.jobs import Jobs
from posestudio.studio.studio import Studio
from posestudio.ui import forms, plots, reads_runs, run_cards, run_words
from posestudio.ui.reads_runs import SCRATCH, Asked, View
from posestudio.ui.told import told
from posestudio.ui.train_parts import LENGTHS, MINUTES, STEPS, TrainTab, layout

Update = dict[Any, Any]

NOBODY = ""
NO_RUN = "0 | none | none"
"""What a tab has seen of a project without runs."""
KEEP_ADDRESS = """(run, other) => {
  const at = new URL(window.location.href);
  const put = (name, value) => value ? at.searchParams.set(name, value) : at.searchParams.delete(name);
  put('run', run);
  put('with', other);
  window.history.replaceState(null, '', at);
}"""


class Trainer:
    """What the page's events call. Every method returns updates by component."""

    def __init__(self, studio: Studio, jobs: Jobs, tab: TrainTab) -> None:
        self.studio, self.jobs, self.tab = studio, jobs, tab
        self.followers = Followers()

    def open(self, request: gr.Request) -> Update:
        """The page by its address."""
        query = request.query_params
        run = reads_runs.choose(self.studio, self.jobs, query.get("run"))
        return self.form() | self.show(run, query.get("with"))

    def form(self) -> Update:
        """The form as it stands for a new training: from the last run's students if there are any."""
        tab, rows = self.tab, [row for row in self.studio.call("runs") if row["usable"]]
        found = self._learning()
        start = rows[0]["run_id"] if rows else SCRATCH
        preset = reads_runs.advised(bool(rows), found["unlabeled"] if found else 0)
        size = rows[0]["size"] if rows else settings.default_size()
        choices = [(f"the students of {row['run_id']}", row["run_id"]) for row in rows]
        files = reads_runs.weights_files(self.studio)
        asked = Asked(preset, size, False, MINUTES, start)
        return {
            **self._about(asked, chosen=True),
            tab.start: gr.Dropdown([*choices, ("from scratch", SCRATCH)], value=start),
            tab.weights: gr.Dropdown(
                [("ImageNet weights of torchvision, if online", ""), *((n, n) for n in files)],
                value="",
                visible=not start,
            ),
            tab.unit: LENGTHS[0],
            tab.minutes: gr.Number(MINUTES, visible=True),
            tab.steps: gr.Number(STEPS, visible=False),
            **forms.updates(tab.settings, reads_runs.base(self.studio, asked)),
            **self.preview(asked),
        }

    def method(self, *given: Any) -> Update:
        """Another method, size or start: the folded settings take its values."""
        asked = self._asked(given)
        try:
            fresh = reads_runs.base(self.studio, asked)
        except PoseStudioError as error:
            return {self.tab.estimate: run_cards.trouble(str(error))}
        return {
            **self._about(asked),
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
        asked = self._asked(given)
        return {
            self.tab.minutes: gr.Number(visible=not asked.by_steps),
            self.tab.steps: gr.Number(visible=asked.by_steps),
            **self.preview(asked),
        }

    def changed(self, *given: Any) -> Update:
        """Any other field."""
        return self.preview(self._asked(given))

    def preview(self, asked: Asked) -> Update:
        """What would be trained, how long, and the command line for it."""
        tab, job = self.tab, self.jobs.current
        free = job is None or not job.alive
        try:
            chosen = settings.complete(asked.preset, asked.size, self._all(asked))
            found = self.studio.call("learning")
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
        return self.preview(self._asked(given))

    def train(self, *given: Any) -> Update:
        """Make a run and start it; the page follows it."""
        asked = self._asked(given)
        self._free()
        weights = None if asked.start else reads_runs.weights_path(self.studio, asked.weights)
        made = training.start(
            self.studio, preset=asked.preset, size=asked.size, changes=asked.all_changes(),
            from_run=asked.start or None, weights=weights,
        )  # fmt: skip
        self.jobs.train(made["run_id"], runner=asked.runner)
        return self.preview(asked) | self.show(made["run_id"], None)

    def stop(self, run: str) -> Update:
        """Stop the run in view after its present step; it keeps what it has."""
        self.studio.call("stop_run", run=run)
        return self.show(run, None)

    def resume(self, run: str) -> Update:
        """Go on with the run in view."""
        run_id = training.resumable(self.studio, run)
        self.jobs.train(run_id)
        return self.show(run_id, None)

    def follow_up(self, run: str) -> Update:
        """Make the predictions and the score that the run in view lacks."""
        self.jobs.follow_up(self.studio.call("run", run=run)["run_id"])
        return self.show(run, None)

    def compare(self, run: str | None, other: str | None) -> Update:
        """The run in view beside another one."""
        return self.show(run or None, other)

    def tick(self, run: str, seen: str, other: str | None) -> Any:
        """What is new since this tab looked last; nothing costs nothing."""
        known = reads_runs.run_ids(self.studio)
        if not seen:
            return gr.skip()  # the page is still being loaded
        if not run and known:
            return self.show(known[0], None)
        if run not in known:
            return gr.skip()
        now = self._view(run)
        count, _, before = seen.partition(" | ")
        phase, _, stamp = before.partition(" | ")
        if str(len(known)) != count or phase != now.phase:
            # without the run: a click may have chosen another one meanwhile, and the next tick shows that
            return {
                k: v for k, v in self.show(run, other).items() if k != self.tab.run
            } | self._button()
        if stamp == now.stamp:
            return gr.skip()
        moved = stamp.split(" ")[2:3] != [str(now.version)]
        return self._live(now, len(known), curves=moved)

    def show(self, run: str | None, other: str | None) -> Update:
        """Everything about a run, and the table of all."""
        tab, rows = self.tab, reads_runs.table(self.studio)
        names = [row["run_id"] for row in rows]
        if run is None or run not in names:
            return {
                tab.run: "", tab.seen: NO_RUN, tab.panel: run_cards.panel(None), tab.result: "", tab.table: "",
                tab.curves: gr.Plot(visible=False), tab.details: "", tab.compared: "",
                tab.stop: gr.Button(visible=False), tab.resume: gr.Button(visible=False),
                tab.follow_up: gr.Button(visible=False), tab.other: gr.Dropdown(visible=False),
            }  # fmt: skip
        now, other = self._view(run), other if other in names and other != run else NOBODY
        told_ = reads_runs.compared(self.studio, run, other) if other else None
        behind = other if told_ and told_["same_val"] else None
        others = [("nothing", NOBODY), *((name, name) for name in names if name != run)]
        full = reads_runs.details(self.studio, run)
        return {
            **self._live(now, len(reads_runs.run_ids(self.studio)), curves=True, behind=behind),
            tab.run: run,
            tab.result: ""
            if now.busy
            else run_cards.result(run, reads_runs.result(self.studio, run, rows)),
            tab.table: run_cards.table(rows, run),
            tab.details: run_cards.details(full),
            tab.other: gr.Dropdown(others, value=other, visible=len(names) > 1),
            tab.compared: run_cards.compared(told_) if told_ else "",
        }

    def _live(self, now: View, count: int, *, curves: bool, behind: str | None = None) -> Update:
        """What changes while a run goes on."""
        tab = self.tab
        going = now.status in ("running", "stopping")
        found = {
            tab.seen: f"{count} | {now.phase} | {now.stamp}",
            tab.panel: run_cards.panel(now),
            tab.stop: gr.Button(visible=going, interactive=now.status == "running"),
            tab.resume: gr.Button(
                visible=not now.busy
                and now.status in ("queued", "stopped", "failed", "interrupted")
            ),
            tab.follow_up: gr.Button(visible=not now.busy and now.usable and not now.predicted),
        }
        if curves:
            thin = self.followers.events(self.studio.run_folder(behind))[0] if behind else ()
            held = reads_runs.holds_out(self.studio, now.run_id)
            figure = plots.curves(now.events, thin, held_out=held)
            found[tab.curves] = gr.Plot(figure, visible=bool(figure.data))
        return found

    def _view(self, run: str) -> View:
        return reads_runs.view(self.studio, self.jobs, self.followers, run)

    def _button(self) -> Update:
        """Whether another training may begin."""
        job = self.jobs.current
        free = job is None or not job.alive
        return {self.tab.train: gr.Button("Train" if free else "Training", interactive=free)}

    def _free(self) -> None:
        """Before a run is made: see that it could start.

        Raises:
            PoseStudioError: another one is being trained here.
        """
        self.jobs.require_free("train")

    def _learning(self) -> dict[str, Any] | None:
        try:
            return self.studio.call("learning")
        except PoseStudioError:
            return None

    def _asked(self, given: tuple[Any, ...]) -> Asked:
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


def train_tab(studio: Studio, jobs: Jobs, page: gr.Blocks) -> TrainTab:
    """Lay the page out and wire it."""
    tab = layout()
    deeds = Trainer(studio, jobs, tab)
    fields = list(tab.settings.values())
    given = [
        tab.preset,
        tab.size,
        tab.start,
        tab.weights,
        tab.unit,
        tab.minutes,
        tab.steps,
        tab.runner,
        *fields,
    ]
    form = [tab.estimate, tab.command, tab.learning, tab.aside, tab.train]
    view = [
        tab.run, tab.seen, tab.panel, tab.result, tab.table, tab.curves, tab.details, tab.compared, tab.stop,
        tab.resume, tab.follow_up, tab.other,
    ]  # fmt: skip
    every = [*given, *form, *view]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    found = [
        page.load(told(deeds.open), None, every, **quiet),
        tab.train.click(told(deeds.train), given, [*form, *view], concurrency_limit=1, **quiet),
        tab.stop.click(told(deeds.stop), tab.run, view, **quiet),
        tab.resume.click(told(deeds.resume), tab.run, view, **quiet),
        tab.follow_up.click(told(deeds.follow_up), tab.run, view, **quiet),
        tab.other.input(told(deeds.compare), [tab.run, tab.other], view, **quiet),
    ]
    for event in found:
        event.then(None, [tab.run, tab.other], None, js=KEEP_ADDRESS)
    tab.aside.click(told(deeds.set_aside), given, form, **quiet)
    gr.on(
        [tab.preset.input, tab.size.input, tab.start.input], told(deeds.method), given,
        [tab.preset, tab.size, tab.weights, *fields, *form], trigger_mode="always_last", **quiet,
    )  # fmt: skip
    tab.unit.input(told(deeds.unit), given, [tab.minutes, tab.steps, *form], **quiet)
    gr.on(
        [field.input for field in (tab.minutes, tab.steps, tab.weights, tab.runner, *fields)],
        told(deeds.changed), given, form, trigger_mode="always_last", **quiet,
    )  # fmt: skip
    tab.timer.tick(
        told(deeds.tick), [tab.run, tab.seen, tab.other], [*view, tab.train],
        concurrency_limit=None, trigger_mode="once", **quiet,
    )  # fmt: skip
    return tab
