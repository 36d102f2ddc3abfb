"""Export: labels, predictions and students as files to take away, made in the background and listed to download."""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

import shlex
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from posestudio.studio import exports
from posestudio.studio.jobs import Job, Jobs
from posestudio.studio.studio import Studio
from posestudio.ui import cards, reads_scores, run_cards, theme
from posestudio.ui.told import POLL, QUIET, told
from posestudio.ui.train_parts import COPY

Update = dict[Any, Any]

EVERYBODY = ""
SPLITS = (("all", EVERYBODY), ("train", "train"), ("val", "val"), ("unlabeled", "unlabeled"))
WORDS = {
    "coco": (
        "COCO keypoints",
        "Every label as a COCO keypoint file, with the ids that the photos came with; a zip where they came from "
        "several files.",
        ("split",),
    ),
    "yolo": (
        "YOLO-pose",
        "The labeled photos of train and val with label files and data.yaml, as Ultralytics reads them; a zip.",
        (),
    ),
    "predictions": (
        "Predictions",
        "What a run or an imported model predicts for everybody, as COCO results: any COCO tool can score them.",
        ("run", "student", "split"),
    ),
    "model": (
        "Students",
        "A run's students as safetensors, with model.json: keypoints, crop and normalization; a zip.",
        ("run",),
    ),
    "onnx": (
        "ONNX",
        "One file that any ONNX runtime takes. In: crops N x 3 x H x W, float32, RGB from 0 to 1, with the "
        "normalization inside. Out: heatmaps and keypoints. Checked against torch; about half a minute.",
        ("run", "student"),
    ),
}
"""Kind of export: what it is called, what it is, and which options it has."""


@dataclass(frozen=True)
class Card:
    """One kind of export: its options by name, its button, its command line."""

    options: dict[str, Any]
    make: gr.Button
    command: gr.HTML


@dataclass(frozen=True)
class ExportTab:
    """The parts of the page."""

    cards: dict[str, Card]
    working: gr.HTML
    files: gr.HTML
    seen: gr.Textbox
    timer: gr.Timer


class Exporter:
    """What the page's events call. Every method returns updates by component."""

    def __init__(self, studio: Studio, jobs: Jobs, tab: ExportTab) -> None:
        self.studio, self.jobs, self.tab = studio, jobs, tab

    def open(self) -> Update:
        """The page, with the runs that there are."""
        found = self._now()
        for kind, card in self.tab.cards.items():
            known = self._known(kind)
            first = known[0][1] if known else ""
            if "run" in card.options:
                found[card.options["run"]] = gr.Dropdown(known, value=first or None)
            chosen = {"run": first, "student": "ensemble", "split": EVERYBODY}
            found[card.command] = self._command(kind, {n: chosen[n] for n in card.options})
        return found

    def make(self, kind: str, *given: Any) -> Update:
        """Prepare an export in the background."""
        options = self._options(kind, given)

        def work(job: Job) -> Any:
            return exports.prepare(self.studio, kind, options, progress=job.tell).name

        self.jobs.start("export", WORDS[kind][0], work)
        return self._now()

    def choose(self, kind: str, *given: Any) -> Update:
        """Other options: another command line."""
        return {self.tab.cards[kind].command: self._command(kind, self._options(kind, given))}

    def tick(self, seen: str) -> Any:
        """What is new since this tab looked last."""
        if not seen:
            return gr.skip()  # the page is still being loaded
        return gr.skip() if seen == self._stamp() else self._now()

    def _known(self, kind: str) -> list[tuple[str, str]]:
        """(words, name) of what this kind can be made of: runs; for predictions imported models too."""
        runs = [(run, run) for run in reads_scores.runs(self.studio)]
        return runs + (reads_scores.imported(self.studio) if kind == "predictions" else [])

    def _options(self, kind: str, given: tuple[Any, ...]) -> dict[str, str]:
        return {
            name: str(value or "")
            for name, value in zip(self.tab.cards[kind].options, given, strict=True)
        }

    def _command(self, kind: str, options: dict[str, str]) -> str:
        ending = {
            "coco": "labels.json",
            "yolo": "yolo",
            "predictions": "predictions.json",
            "model": "model",
            "onnx": "model.onnx",
        }
        chosen = [part for name, value in options.items() if value for part in (f"--{name}", value)]
        words = [
            "posestudio",
            "export",
            kind,
            ending[kind],
            *chosen,
            "--project",
            str(self.studio.project),
        ]
        return run_cards.command(shlex.join(words))

    def _now(self) -> Update:
        job = self.jobs.last("export")
        going = job is not None and job.alive
        buttons = {
            card.make: gr.Button(
                interactive=not going and ("run" not in card.options or bool(self._known(kind)))
            )
            for kind, card in self.tab.cards.items()
        }
        return {
            self.tab.working: _working(job), self.tab.files: files(exports.made_before(self.studio)),
            self.tab.seen: self._stamp(), **buttons,
        }  # fmt: skip

    def _stamp(self) -> str:
        job = self.jobs.last("export")
        there = [row["name"] for row in exports.made_before(self.studio)]
        return f"{there} {job and (job.name, job.at, job.alive, job.problem)}"


def files(rows: list[dict[str, Any]]) -> str:
    """The list of files to download."""
    if not rows:
        return '<p class="ps-quiet">Nothing prepared yet. Press a button above; the file shows here.</p>'
    items = "".join(
        f'<li><a href="download/{escape(row["name"], quote=True)}" download>{escape(row["name"])}</a>'
        f'<span class="ps-quiet">{_size(row["bytes"])}</span><span class="ps-quiet">{escape(row["note"])}</span></li>'
        for row in rows
    )
    return f'<ul class="ps-downloads">{items}</ul>'


def _working(job: Job | None) -> str:
    if job is not None and job.alive:
        return cards.progress(f"{job.name}: ", job.at or ("beginning", 0, 0))
    if job is not None and job.problem:
        return f'<p class="ps-say ps-bad" role="alert">{escape(job.problem)}</p>'
    return ""


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def export_tab(studio: Studio, jobs: Jobs, page: gr.Blocks) -> ExportTab:
    """Lay the page out and wire it."""
    tab = _layout()
    deeds = Exporter(studio, jobs, tab)
    now = [tab.working, tab.files, tab.seen, *(card.make for card in tab.cards.values())]
    runs = [card.options["run"] for card in tab.cards.values() if "run" in card.options]
    page.load(
        told(deeds.open), None, [*now, *runs, *(c.command for c in tab.cards.values())], **QUIET
    )
    for kind, card in tab.cards.items():
        given = list(card.options.values())
        make, choose = _bound(deeds.make, kind), _bound(deeds.choose, kind)
        card.make.click(told(make), given, now, concurrency_limit=1, **QUIET)
        for field in given:
            field.input(told(choose), given, card.command, trigger_mode="always_last", **QUIET)
    tab.timer.tick(told(deeds.tick), tab.seen, now, **POLL)
    return tab


def _bound(deed: Any, kind: str) -> Any:
    """A deed of one kind, as a function of the options alone."""

    def bound(*given: Any) -> Any:
        return deed(kind, *given)

    return bound


def _layout() -> ExportTab:
    gr.Navbar(visible=False)
    theme.header("Export")
    made: dict[str, Card] = {}
    for kinds in (("coco", "yolo", "model"), ("predictions", "onnx")):
        with gr.Row(equal_height=True):
            for kind in kinds:
                with gr.Column(elem_classes="ps-export", min_width=320):
                    made[kind] = _card(kind)
    gr.HTML('<h2 class="ps-section">Files to download</h2>', js_on_load=None)
    working = gr.HTML(js_on_load=None, elem_id="ps-working")
    listed = gr.HTML(js_on_load=None, elem_id="ps-files-made")
    return ExportTab(
        cards=made,
        working=working,
        files=listed,
        seen=gr.Textbox("", visible="hidden"),
        timer=gr.Timer(1.0),
    )


def _card(kind: str) -> Card:
    name, about, wanted = WORDS[kind]
    gr.HTML(f"<h2>{name}</h2><p>{about}</p>", js_on_load=None)
    options: dict[str, Any] = {}
    if "run" in wanted:
        options["run"] = gr.Dropdown([], label="Run")
    if "student" in wanted:
        options["student"] = gr.Radio(["ensemble", "a", "b"], value="ensemble", label="Student")
    if "split" in wanted:
        options["split"] = gr.Radio(list(SPLITS), value=EVERYBODY, label="Split")
    make = gr.Button(f"Prepare {name}", size="md", interactive=False, elem_id=f"ps-make-{kind}")
    with gr.Accordion("The same on the command line", open=False, elem_classes="ps-fold"):
        command = gr.HTML(js_on_load=COPY)
    return Card(options, make, command)
