"""Train: what there is to learn from, one button, how the run goes, and all runs.

The address says which run is in view: /train?run=0003-calm-owl. What is shown comes from run folders and the app's
Jobs, never from this page, so a reload, a second tab or a restart of the app shows the same.
"""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

from typing import Any

import gradio as gr

from posestudio.studio import training
from posestudio.studio.follow import Followers
from posestudio.studio.jobs import Jobs
from posestudio.studio.studio import Studio
from posestudio.ui import plots, reads_runs, run_cards, run_words
from posestudio.ui.reads_runs import Asked, View
from posestudio.ui.told import POLL, QUIET, told
from posestudio.ui.train_form import TrainForm
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
  at.searchParams.delete('from');
  window.history.replaceState(null, '', at);
}"""


class Trainer:
    """What the page's events call. Every method returns updates by component."""

    def __init__(self, studio: Studio, jobs: Jobs, tab: TrainTab) -> None:
        self.studio, self.jobs, self.tab = studio, jobs, tab
        self.form, self.followers = TrainForm(studio, jobs, tab), Followers()

    def open(self, request: gr.Request) -> Update:
        """The page by its address."""
        query = request.query_params
        run = reads_runs.choose(self.studio, self.jobs, query.get("run"))
        tab = self.tab
        return {
            **self.form.fill(Asked("", "", False, MINUTES), query.get("from")),
            tab.unit: LENGTHS[0],
            tab.minutes: gr.Number(MINUTES, visible=True),
            tab.steps: gr.Number(STEPS, visible=False),
            **self.show(run, query.get("with")),
        }

    def train(self, *given: Any) -> Update:
        """Make a run and start it; the page follows it."""
        asked = self.form.asked(given)
        self.jobs.require_free("train")
        weights = None if asked.start else reads_runs.weights_path(self.studio, asked.weights)
        made = training.start(
            self.studio, preset=asked.preset, size=asked.size, changes=asked.all_changes(),
            from_run=asked.start or None, weights=weights,
        )  # fmt: skip
        self.jobs.train(made["run_id"], runner=asked.runner)
        return {
            self.tab.touched: False,
            **self.form.preview(asked),
            **self.show(made["run_id"], None),
        }

    def stop(self, run: str) -> Update:
        """Stop the run in view after its present step, which keeps what it has; or the making of its results."""
        if self._view(run).making_results:
            self.jobs.break_off()
        else:
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

    def tick(
        self, run: str, seen: str, other: str | None, trained: str, touched: bool, *given: Any
    ) -> Any:
        """What is new since this tab looked last; nothing costs nothing."""
        now = self.jobs.current
        trains = now.name if now is not None and now.alive else NOBODY
        news = self._news(run, seen, other)
        if not seen or trains == trained:
            return news or gr.skip()
        form = {} if trains else self.form.next_run(touched, *given)
        return news | form | self._button() | {self.tab.trained: trains}

    def _news(self, run: str, seen: str, other: str | None) -> Update:
        known = reads_runs.run_ids(self.studio)
        if not seen:
            return {}  # the page is still being loaded
        if not run and known:
            return self.show(known[0], None)
        if run not in known:
            return {}
        now = self._view(run)
        count, _, before = seen.partition(" | ")
        phase, _, stamp = before.partition(" | ")
        if str(len(known)) != count or phase != now.phase:
            # without the run: a click may have chosen another one meanwhile, and the next tick shows that
            return {k: v for k, v in self.show(run, other).items() if k != self.tab.run}
        if stamp == now.stamp:
            return {}
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
            tab.follow_up: self._follow_up(now),
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
            tab.stop: gr.Button(
                "Stop and keep" if going else "Stop",
                visible=going or now.making_results,
                interactive=now.status != "stopping",
            ),
            tab.resume: gr.Button(visible=now.resumable),
        }
        if curves:
            thin = self.followers.events(self.studio.run_folder(behind))[0] if behind else ()
            held = reads_runs.holds_out(self.studio, now.run_id)
            figure = plots.curves(now.events, thin, held_out=held)
            found[tab.curves] = gr.Plot(figure, visible=bool(figure.data))
        return found

    def _follow_up(self, now: View) -> gr.Button:
        """Offered while results are missing: all of them, or those of people who came in since."""
        if now.busy or not now.usable:
            return gr.Button(visible=False)
        new = self.studio.call("unpredicted", run=now.run_id)["people"] if now.predicted else 0
        missing = bool(new or now.problem or not now.predicted)
        return gr.Button(run_words.follow_up(new), visible=missing)

    def _view(self, run: str) -> View:
        return reads_runs.view(self.studio, self.jobs, self.followers, run)

    def _button(self) -> Update:
        """Whether another training may begin."""
        job = self.jobs.current
        free = job is None or not job.alive
        return {self.tab.train: gr.Button("Train" if free else "Training", interactive=free)}


def train_tab(studio: Studio, jobs: Jobs, page: gr.Blocks) -> TrainTab:
    """Lay the page out and wire it."""
    tab = layout()
    deeds = Trainer(studio, jobs, tab)
    form = deeds.form
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
    told_form = [tab.estimate, tab.command, tab.learning, tab.aside, tab.train, tab.touched]
    view = [
        tab.run, tab.seen, tab.panel, tab.result, tab.table, tab.curves, tab.details, tab.compared, tab.stop,
        tab.resume, tab.follow_up, tab.other,
    ]  # fmt: skip
    every = [*given, *told_form, *view]
    found = [
        page.load(told(deeds.open), None, every, **QUIET),
        tab.train.click(
            told(deeds.train), given, [*told_form, *view], concurrency_limit=1, **QUIET
        ),
        tab.stop.click(told(deeds.stop), tab.run, view, **QUIET),
        tab.resume.click(told(deeds.resume), tab.run, view, **QUIET),
        tab.follow_up.click(told(deeds.follow_up), tab.run, view, **QUIET),
        tab.other.input(told(deeds.compare), [tab.run, tab.other], view, **QUIET),
    ]
    for event in found:
        event.then(None, [tab.run, tab.other], None, js=KEEP_ADDRESS)
    tab.aside.click(told(form.set_aside), given, told_form, **QUIET)
    gr.on(
        [tab.preset.input, tab.size.input, tab.start.input], told(form.method), given,
        [tab.preset, tab.size, tab.weights, *fields, *told_form], trigger_mode="always_last", **QUIET,
    )  # fmt: skip
    tab.unit.input(told(form.unit), given, [tab.minutes, tab.steps, *told_form], **QUIET)
    gr.on(
        [field.input for field in (tab.minutes, tab.steps, tab.weights, tab.runner, *fields)],
        told(form.changed), given, told_form, trigger_mode="always_last", **QUIET,
    )  # fmt: skip
    tab.timer.tick(
        told(deeds.tick), [tab.run, tab.seen, tab.other, tab.trained, tab.touched, *given],
        [*every, tab.trained], **POLL,
    )  # fmt: skip
    return tab
