"""Evaluate: how good a run is, where it fails, whether another is better, and what more labels would bring.

The address says what is shown: /evaluate?run=0003-calm-owl&split=val&student=a&flip=1&with=0002-mild-heron. Scores are
made by a background job and kept in the run's folder, so a reload shows them at once.
"""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from posestudio.studio.jobs import Jobs
from posestudio.studio.studio import Studio
from posestudio.ui import plots, reads_scores, run_cards, run_words, score_cards, theme
from posestudio.ui.reads_scores import SPLITS, STUDENTS, Choice
from posestudio.ui.told import POLL, QUIET, told
from posestudio.ui.train_parts import COPY

Update = dict[Any, Any]
NOBODY = ""
READING = '<p class="ps-quiet" role="status">Reading scores …</p>'
KEEP_ADDRESS = """(run, split, student, flip, other) => {
  const at = new URL(window.location.href);
  const put = (name, value, plain) => value && value !== plain
    ? at.searchParams.set(name, value) : at.searchParams.delete(name);
  put('run', run); put('split', split, 'val'); put('student', student, 'ensemble'); put('flip', flip ? '1' : '');
  put('with', other);
  window.history.replaceState(null, '', at);
  clearTimeout(window.psReading);
  document.body.classList.remove('ps-reading');
}"""
SAY_READING = """() => {
  clearTimeout(window.psReading);
  window.psReading = setTimeout(() => document.body.classList.add('ps-reading'), 500);
}"""
"""Another choice is read: said after half a second, until KEEP_ADDRESS."""


@dataclass(frozen=True)
class EvaluateTab:
    """The parts of the page."""

    run: gr.Dropdown
    split: gr.Radio
    student: gr.Radio
    flip: gr.Checkbox
    evaluate: gr.Button
    working: gr.HTML
    scores: gr.HTML
    body: gr.Column
    kinds: gr.Plot
    keypoints: gr.HTML
    oks: gr.Plot
    reliability: gr.Plot
    reliable: gr.HTML
    worst: gr.HTML
    other: gr.Dropdown
    compared: gr.HTML
    curve: gr.Plot
    curve_words: gr.HTML
    rank: gr.Button
    pseudo_plot: gr.Plot
    pseudo: gr.HTML
    command: gr.HTML
    seen: gr.Textbox
    timer: gr.Timer


class Judge:
    """What the page's events call. Every method returns updates by component."""

    def __init__(self, studio: Studio, jobs: Jobs, tab: EvaluateTab) -> None:
        self.studio, self.jobs, self.tab = studio, jobs, tab

    def open(self, request: gr.Request) -> Update:
        """The page by its address."""
        query = request.query_params
        known = list(self._known().values())
        run = query.get("run")
        run = run if run in known else known[0] if known else ""
        split, student = query.get("split") or SPLITS[0], query.get("student") or STUDENTS[0]
        choice = self._choice(
            run, split if split in SPLITS else SPLITS[0], student if student in STUDENTS else STUDENTS[0],
            query.get("flip") == "1",
        )  # fmt: skip
        return self.page(choice, query.get("with"))

    def choose(
        self, run: str | None, split: str, student: str, flip: bool, other: str | None
    ) -> Update:
        """Another run, split, student or partner."""
        return self.page(self._choice(run, split, student, flip).checked(), other)

    def evaluate(
        self, run: str | None, split: str, student: str, flip: bool, other: str | None
    ) -> Update:
        """Score what is chosen, in the background."""
        choice = self._choice(run, split, student, flip)
        reads_scores.evaluate(self.studio, self.jobs, choice)
        return self._working(choice.run)

    def rank(self, run: str | None) -> Update:
        """Score all runs on the newest val labels, in the background."""
        reads_scores.rank_all(self.studio, self.jobs)
        return self._working(run or "")

    def tick(
        self, run: str | None, split: str, student: str, flip: bool, other: str | None, seen: str
    ) -> Any:
        """What is new since this tab looked last."""
        working, scores = reads_scores.stamp(self.studio, self.jobs, run or "")
        if not seen:
            return gr.skip()  # the page is still being loaded
        if seen == f"{working} | {scores}":
            return gr.skip()
        if not seen.endswith(f" | {scores}"):
            chosen = (self.tab.run, self.tab.split, self.tab.student, self.tab.flip, self.tab.other)
            fresh = self.choose(run, split, student, flip, other)
            return {
                k: v for k, v in fresh.items() if k not in chosen
            }  # they may be chosen anew meanwhile
        return self._working(run or "")

    def page(self, choice: Choice, other: str | None) -> Update:
        """Everything about a choice."""
        tab, known, there = self.tab, reads_scores.runs(self.studio), self._known()
        if choice.run not in there.values():
            return {
                tab.run: gr.Dropdown([], value=None), tab.scores: score_cards.empty(known),
                tab.body: gr.Column(visible=False), tab.evaluate: gr.Button(interactive=False),
                tab.pseudo: score_cards.pseudo(None), tab.compared: "",
                tab.curve_words: score_cards.curve_words(reads_scores.standings(self.studio)["curve"]),
                tab.seen: " | ".join(reads_scores.stamp(self.studio, self.jobs, "")),
            }  # fmt: skip
        working = self._working(
            choice.run
        )  # first: what comes while the rest is read shows at the next tick
        offered = reads_scores.splits(self.studio)
        if choice.split not in offered:
            choice = replace(choice, split=SPLITS[0])
        standings = reads_scores.standings(self.studio)
        record = reads_scores.stored(self.studio, choice)
        others = [] if choice.imported else [name for name in known if name != choice.run]
        other = other if other in others else NOBODY
        told_ = reads_scores.compared(self.studio, choice, other) if other else None
        why = "" if offered[choice.split] else reads_scores.why_nobody(self.studio)
        return {
            **working,
            tab.run: gr.Dropdown(list(there.items()), value=choice.run),
            tab.split: gr.Radio(list(offered), value=choice.split),
            tab.student: gr.Radio(value=choice.student, visible=not choice.imported),
            tab.flip: gr.Checkbox(value=choice.flip, visible=not choice.imported),
            tab.command: run_cards.command(reads_scores.command(self.studio, choice)),
            tab.other: gr.Dropdown(
                [("nothing", NOBODY), *((name, name) for name in others)], value=other, visible=bool(others)
            ),
            tab.compared: score_cards.compared(told_) if others else "",
            **self._scores(record, standings, score_cards.empty(list(there), why)),
            **self._labels(standings),
            **self._ledger("" if choice.imported else choice.run),
        }  # fmt: skip

    def _known(self) -> dict[str, str]:
        """What can be scored, by what it is called: runs, the newest first, then imported models."""
        runs = {name: name for name in reads_scores.runs(self.studio)}
        return {**runs, **dict(reads_scores.imported(self.studio))}

    def _choice(self, run: str | None, split: str, student: str, flip: bool) -> Choice:
        imported = run in dict(reads_scores.imported(self.studio)).values()
        return Choice(run or "", split, student, bool(flip), imported)

    def _scores(
        self, record: dict[str, Any] | None, standings: dict[str, Any], empty: str
    ) -> Update:
        tab = self.tab
        if record is None:
            return {tab.scores: empty, tab.body: gr.Column(visible=False)}
        trust = record.get("reliability")
        return {
            tab.scores: score_cards.numbers(record, reads_scores.stale(record, standings)),
            tab.body: gr.Column(visible=True),
            tab.kinds: plots.error_kinds(record["keypoints"]),
            tab.keypoints: score_cards.keypoints(record),
            tab.oks: plots.oks_histogram(record["oks"]),
            tab.reliability: gr.Plot(
                plots.reliability(trust) if trust else None, visible=bool(trust)
            ),
            tab.reliable: score_cards.reliability_words(trust),
            tab.worst: score_cards.worst(record, self.studio.skeleton()),
        }

    def _labels(self, standings: dict[str, Any]) -> Update:
        tab, curve, old = self.tab, standings["curve"], score_cards.old_runs(standings)
        words = (
            f"Score {old} runs on the newest val labels"
            if old != 1
            else "Score 1 run on the newest val labels"
        )
        return {
            tab.curve: gr.Plot(
                plots.label_curve(curve) if curve["points"] else None, visible=bool(curve["points"])
            ),
            tab.curve_words: score_cards.curve_words(curve),
            tab.rank: gr.Button(words, visible=old > 0),
        }

    def _ledger(self, run: str) -> Update:
        found = reads_scores.pseudo_labels(self.studio, run) if run else None
        steps = bool(found and len(found["steps"]) > 1)
        return {
            self.tab.pseudo: score_cards.pseudo(found),
            self.tab.pseudo_plot: gr.Plot(
                plots.pseudo_labels(found) if found and steps else None, visible=steps
            ),
        }

    def _working(self, run: str) -> Update:
        job = self.jobs.last("evaluate")
        going = job is not None and job.alive
        return {
            self.tab.working: score_cards.working(job),
            self.tab.evaluate: gr.Button(
                "Evaluating" if going else "Evaluate", interactive=not going
            ),
            self.tab.seen: " | ".join(reads_scores.stamp(self.studio, self.jobs, run)),
        }


def evaluate_tab(studio: Studio, jobs: Jobs, page: gr.Blocks) -> EvaluateTab:
    """Lay the page out and wire it."""
    tab = _layout()
    deeds = Judge(studio, jobs, tab)
    given = [tab.run, tab.split, tab.student, tab.flip, tab.other]
    some = [tab.working, tab.evaluate, tab.seen]
    every = [
        *given, *some, tab.scores, tab.body, tab.kinds, tab.keypoints, tab.oks, tab.reliability, tab.reliable,
        tab.worst, tab.compared, tab.curve, tab.curve_words, tab.rank, tab.pseudo_plot, tab.pseudo, tab.command,
    ]  # fmt: skip
    found = [page.load(told(deeds.open), None, every, **QUIET)]
    for field in given:
        field.input(None, None, None, js=SAY_READING, **QUIET)
        found.append(
            field.input(told(deeds.choose), given, every, trigger_mode="always_last", **QUIET)
        )
    for event in found:
        event.then(None, given, None, js=KEEP_ADDRESS)
    tab.evaluate.click(told(deeds.evaluate), given, some, concurrency_limit=1, **QUIET)
    tab.rank.click(told(deeds.rank), tab.run, some, concurrency_limit=1, **QUIET)
    tab.timer.tick(told(deeds.tick), [*given, tab.seen], every, **POLL)
    return tab


def _layout() -> EvaluateTab:
    gr.Navbar(visible=False)
    theme.header("Evaluate")
    with gr.Row(elem_classes="ps-bar ps-tools"):
        run = gr.Dropdown([], label="Run", scale=2, min_width=220, elem_id="ps-run")
        split = gr.Radio(SPLITS[:2], value=SPLITS[0], label="Split", scale=0, min_width=250)
        student = gr.Radio(STUDENTS, value=STUDENTS[0], label="Student", scale=0, min_width=220)
        flip = gr.Checkbox(label="Mirrored crops too", scale=0, min_width=170, elem_id="ps-flip")
        evaluate = gr.Button(
            "Evaluate", variant="primary", size="md", scale=0, min_width=130, interactive=False,
            elem_id="ps-evaluate",
        )  # fmt: skip
    working = gr.HTML(js_on_load=None, elem_id="ps-working")
    scores = gr.HTML(READING, js_on_load=None, elem_id="ps-scores")
    with gr.Column(visible=False) as body:
        with gr.Row(elem_classes="ps-two"):
            with gr.Column(min_width=420):
                _title("Kinds of error", run_words.KINDS)
                kinds = _plot("ps-kinds")
            with gr.Column(min_width=420):
                _title("Keypoints")
                keypoints = gr.HTML(js_on_load=None)
        with gr.Row(elem_classes="ps-two"):
            with gr.Column(min_width=420):
                _title(
                    "OKS of people",
                    "On COCO, one person's labels have a median OKS of .91 against another's.",
                )
                oks = _plot("ps-oks")
            with gr.Column(min_width=420):
                _title("Error probabilities against what people found")
                reliability, reliable = (
                    _plot("ps-reliability", shown=False),
                    gr.HTML(js_on_load=None),
                )
        _title(
            "Worst people",
            "Labels are solid, predictions dashed. Each opens in the editor; people of val open there without "
            "predictions.",
        )
        worst = gr.HTML(js_on_load=None, elem_id="ps-worst")
    with gr.Row(elem_classes="ps-two"):
        with gr.Column(min_width=420):
            _title("AP over labels, all runs")
            curve, curve_words = _plot("ps-curve", shown=False), gr.HTML(js_on_load=None)
            rank = gr.Button("Score all runs", visible=False, size="sm")
        with gr.Column(min_width=420):
            _title("Beside another run")
            other = gr.Dropdown([], label="Compare with", visible=False, elem_id="ps-other")
            compared = gr.HTML(js_on_load=None, elem_id="ps-compared")
            _title("Were the pseudo-labels right?")
            pseudo_plot, pseudo = _plot("ps-pseudo", shown=False), gr.HTML(js_on_load=None)
    with gr.Accordion("The same on the command line", open=False, elem_classes="ps-add-box"):
        command = gr.HTML(js_on_load=COPY)
    return EvaluateTab(
        run=run, split=split, student=student, flip=flip, evaluate=evaluate, working=working, scores=scores, body=body,
        kinds=kinds, keypoints=keypoints, oks=oks, reliability=reliability, reliable=reliable, worst=worst,
        other=other, compared=compared, curve=curve, curve_words=curve_words, rank=rank, pseudo_plot=pseudo_plot,
        pseudo=pseudo, command=command, seen=gr.Textbox("", visible="hidden"), timer=gr.Timer(1.0),
    )  # fmt: skip


def _title(words: str, about: str = "") -> None:
    note = f'<p class="ps-quiet">{about}</p>' if about else ""
    gr.HTML(f'<h2 class="ps-section">{words}</h2>{note}', js_on_load=None)


def _plot(name: str, *, shown: bool = True) -> gr.Plot:
    return gr.Plot(show_label=False, visible=shown, elem_id=name, elem_classes="ps-plot")
