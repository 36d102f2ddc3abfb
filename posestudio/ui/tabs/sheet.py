"""Sheet: one keypoint of many people at a glance; mark those that are wrong, the others become labels.

The address says what is shown: /sheet?keypoint=left_wrist&order=sure&split=train. All may be left out. The page is
drawn by static/sheet/ from /api/sheet; what is decided goes to /api/edits through the editor's outbox.
"""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

import gradio as gr

from posestudio.ui import theme

HOST = '<link rel="stylesheet" href="own/sheet/sheet.css"><div class="ps-sheet" aria-busy="true"></div>'

START = """
const host = element.querySelector('.ps-sheet');
import(new URL('own/sheet/main.js', document.baseURI)).then(page => page.mount(host));
"""


def sheet_tab() -> gr.HTML:
    """Lay the page out."""
    gr.Navbar(visible=False)
    theme.header("Sheet")
    return gr.HTML(HOST, js_on_load=START, apply_default_css=False, elem_id="ps-sheet")
