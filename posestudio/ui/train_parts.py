"""The components of Train: the form, the run in view, the table; what they do is in tabs/train.py."""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

from dataclasses import dataclass
from typing import Any

import gradio as gr

from posestudio import config
from posestudio.ui import forms, run_words, theme

LENGTHS = ("minutes", "steps")
MINUTES, STEPS = 10.0, 2000.0
COPY = """
element.addEventListener('click', event => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  navigator.clipboard.writeText(element.querySelector('pre').textContent).then(() => {
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
});
"""


@dataclass(frozen=True)
class TrainTab:
    """The parts of the page."""

    learning: gr.HTML
    aside: gr.Button
    preset: gr.Dropdown
    size: gr.Dropdown
    start: gr.Dropdown
    weights: gr.Dropdown
    unit: gr.Radio
    minutes: gr.Number
    steps: gr.Number
    runner: gr.Radio
    settings: forms.Fields
    estimate: gr.HTML
    train: gr.Button
    command: gr.HTML
    panel: gr.HTML
    stop: gr.Button
    resume: gr.Button
    follow_up: gr.Button
    result: gr.HTML
    curves: gr.Plot
    other: gr.Dropdown
    compared: gr.HTML
    details: gr.HTML
    table: gr.HTML
    run: gr.Textbox
    seen: gr.Textbox
    touched: gr.Checkbox
    trained: gr.Textbox
    timer: gr.Timer


def layout() -> TrainTab:
    """Make the components, in their places."""
    gr.Navbar(visible=False)
    theme.header("Train")
    with gr.Row(elem_classes="ps-train"):
        with gr.Column(scale=2, min_width=380, elem_id="ps-form"):
            form = _form()
        with gr.Column(scale=3, min_width=520):
            view = _view()
    table = gr.HTML(js_on_load=None, elem_id="ps-runs")
    hidden = {
        "run": gr.Textbox("", visible="hidden"),  # not a State: the address needs it
        "seen": gr.Textbox("", visible="hidden"),
        "touched": gr.Checkbox(False, visible="hidden"),  # the form was changed since it was filled
        "trained": gr.Textbox("", visible="hidden"),  # the run in training at this page's last look
        "timer": gr.Timer(1.0),
    }
    return TrainTab(table=table, **form, **view, **hidden)


def _form() -> dict[str, Any]:
    gr.HTML('<h2 class="ps-section">New run</h2>', js_on_load=None)
    learning = gr.HTML(js_on_load=None, elem_id="ps-learning")
    aside = gr.Button(visible=False, size="sm")
    with gr.Row(elem_classes="ps-pair"):
        preset = gr.Dropdown(
            list(run_words.PRESETS), value="best", label="Method", info=run_words.PRESETS["best"],
            scale=3, min_width=160, elem_id="ps-preset",
        )  # fmt: skip
        size = gr.Dropdown(
            list(run_words.SIZES), value="small", label="Size", info=run_words.SIZES["small"],
            scale=2, min_width=140, elem_id="ps-size",
        )  # fmt: skip
    start = gr.Dropdown([("from scratch", "")], value="", label="Start from", elem_id="ps-start")
    weights = gr.Dropdown(
        [("ImageNet weights of torchvision, if online", "")], value="", label="Weights of the backbone",
        info="Files in the project's folder weights/ show here.", visible=False,
        elem_id="ps-weights",
    )  # fmt: skip
    with gr.Row(elem_classes="ps-length"):
        # two fields: an answer that resets one field would undo what is typed meanwhile
        lengths = [
            gr.Number(
                value, label="Length", minimum=0, scale=1, min_width=110, visible=name == LENGTHS[0],
                precision=precision, elem_id=f"ps-{name}",
            )
            for name, value, precision in zip(LENGTHS, (MINUTES, STEPS), (None, 0), strict=True)
        ]  # fmt: skip
        unit = gr.Radio(
            LENGTHS, value=LENGTHS[0], label="Unit", scale=2, min_width=180, elem_id="ps-unit"
        )
    with gr.Accordion("All settings", open=False, elem_classes="ps-add-box"):
        runner = gr.Radio(
            [("in the app, in the background", "thread"), ("in a process of its own", "process")], value="thread",
            label="Where it trains", info="A process of its own cannot take the app down with it.",
        )  # fmt: skip
        settings_ = forms.fields(config.make("best", "small"))
    estimate = gr.HTML(js_on_load=None, elem_id="ps-estimate")
    train = gr.Button("Train", variant="primary", interactive=False, elem_id="ps-train")
    with gr.Accordion("The same on the command line", open=False, elem_classes="ps-add-box"):
        command = gr.HTML(js_on_load=COPY)
    return {
        "learning": learning, "aside": aside, "preset": preset, "size": size, "start": start, "weights": weights,
        "unit": unit, "minutes": lengths[0], "steps": lengths[1], "runner": runner, "settings": settings_,
        "estimate": estimate, "train": train, "command": command,
    }  # fmt: skip


def _view() -> dict[str, Any]:
    panel = gr.HTML(
        '<p class="ps-quiet">Reading the runs ...</p>', js_on_load=None, elem_id="ps-panel"
    )
    with gr.Row(elem_classes="ps-bar ps-deeds"):
        stop = gr.Button(
            "Stop and keep", variant="stop", size="md", scale=0, min_width=140, visible=False
        )
        resume = gr.Button("Resume", size="md", scale=0, min_width=110, visible=False)
        follow_up = gr.Button("Make predictions", size="md", scale=0, min_width=160, visible=False)
    result = gr.HTML(js_on_load=None, elem_id="ps-result")
    curves = gr.Plot(show_label=False, visible=False, elem_id="ps-curves", elem_classes="ps-plot")
    other = gr.Dropdown(
        [("nothing", "")], value="", label="Compare with", visible=False, elem_id="ps-other"
    )
    compared = gr.HTML(js_on_load=None, elem_id="ps-compared")
    with gr.Accordion("Settings, snapshot and metrics", open=False, elem_classes="ps-add-box"):
        details = gr.HTML(js_on_load=None)
    return {
        "panel": panel, "stop": stop, "resume": resume, "follow_up": follow_up, "result": result,
        "curves": curves, "other": other, "compared": compared, "details": details,
    }  # fmt: skip
