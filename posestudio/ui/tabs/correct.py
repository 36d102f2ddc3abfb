"""Correct: the queue, and the keypoint editor for the person who is next in it.

The address says who is shown: /correct?instance=12&run=RUN&order=doubt&split=val. All may be left out. The page is
drawn by static/editor/ from what the routes of ui/edits.py answer; edits go there too, never through Gradio's events.
"""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

import gradio as gr

from posestudio.ui import theme

HOST = '<link rel="stylesheet" href="own/editor/editor.css"><div class="pe-root" aria-busy="true"></div>'

START = """
const host = element.querySelector('.pe-root');
import(new URL('own/editor/page.js', document.baseURI)).then(page => page.mount(host));
"""


def correct_tab() -> gr.HTML:
    """Lay the page out."""
    gr.Navbar(visible=False)
    theme.header("Correct")
    return gr.HTML(HOST, js_on_load=START, apply_default_css=False, elem_id="ps-correct")
