"""Inspect: one person, and what both students believe about every keypoint.

The address says what is shown: /inspect?instance=12&run=RUN&keypoint=left_wrist&show=Offers. All but the first may
be left out. The page is drawn by static/inspect/ from the numbers of /api/inspect (ui/looks.py).
"""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

import json
from html import escape

import gradio as gr

from posestudio.ui import palettes, texts, theme

START = """
const root = element.querySelector('.ps-inspect');
import('/own/inspect/main.js').then(page => page.mount(root, JSON.parse(root.dataset.setup)));
"""


def inspect_tab(project_id: str) -> gr.HTML:
    """Lay the page of a project out."""
    gr.Navbar(visible=False)
    theme.header("Inspect")
    return gr.HTML(
        f'<div class="ps-inspect" data-setup="{escape(json.dumps(setup(project_id)), quote=True)}"></div>',
        js_on_load=START,
        apply_default_css=False,
        elem_id="ps-inspect",
    )


def setup(project_id: str) -> dict[str, object]:
    """What the page's script must know from the start: its project, color tables, the end of a scale, explanations."""
    return {
        "project": project_id,
        "palettes": palettes.for_browser(),
        "uncertainty_top": palettes.MAGMA_TOP,
        "explain": texts.EXPLAIN,
        "no_errors": texts.NO_ERRORS,
        "blind": texts.BLIND,
    }
