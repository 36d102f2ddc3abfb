"""Images: bring photos in, find them again, put them in order, and draw the boxes of whoever is on them.

The address says what is shown: /?split=train&status=open&sort=doubt&p=2, and /?image=12 for one photo. The page is
drawn by static/images/ from what ui/gallery.py and ui/uploads.py answer; boxes are edited through /api/edits.
"""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

import gradio as gr

from posestudio.ui import theme

HOST = '<div class="ps-images"></div>'

START = """
const root = element.querySelector('.ps-images');
import('/own/images/main.js').then(page => page.mount(root));
"""


def images_tab() -> gr.HTML:
    """Lay the page out."""
    gr.Navbar(visible=False)
    theme.header("Images")
    return gr.HTML(HOST, js_on_load=START, apply_default_css=False, elem_id="ps-images")
