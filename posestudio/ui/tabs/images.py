"""Images: bring photos in, see what is there with boxes, split and label status, and go to a person."""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from posestudio.studio.studio import Studio
from posestudio.ui import cards, reads, texts, theme
from posestudio.ui.told import told

Update = dict[Any, Any]

PAGE = 24
PROGRESS = gr.Progress()  # Gradio gives every event its own in place of this one
SPLITS = ("all", "train", "val", "unlabeled")

# Not ?page=: Gradio takes that for one of its own pages.
KEEP_ADDRESS = """(split, page) => {
  const at = new URL(window.location.href);
  split === 'all' ? at.searchParams.delete('split') : at.searchParams.set('split', split);
  page > 0 ? at.searchParams.set('p', page + 1) : at.searchParams.delete('p');
  window.history.replaceState(null, '', at);
}"""


@dataclass(frozen=True)
class ImagesTab:
    """The parts of the page."""

    files: gr.File
    whole: gr.Checkbox
    add: gr.Button
    added: gr.HTML
    adder: gr.Accordion
    summary: gr.HTML
    split: gr.Radio
    number: gr.Number
    pager: gr.HTML
    before: gr.Button
    after: gr.Button
    grid: gr.HTML


class Gallery:
    """What the page's events call. Every method returns updates by component."""

    def __init__(self, studio: Studio, tab: ImagesTab) -> None:
        self.studio = studio
        self.tab = tab

    def open(self, request: gr.Request) -> Update:
        """The page by its address; an empty project opens the box for photos."""
        asked = request.query_params
        number = asked.get("p") or "1"
        page = int(number) - 1 if number.isdecimal() and len(number) < 9 else 0
        found = self.page(asked.get("split") or SPLITS[0], page)
        if reads.counts(self.studio)["images"] == 0:
            found[self.tab.adder] = gr.Accordion(open=True)
        return found

    def first(self, split: str) -> Update:
        """Another split, from its beginning."""
        return self.page(split, 0)

    def before(self, split: str, page: int | None) -> Update:
        """The page before."""
        return self.page(split, (page or 0) - 1)

    def after(self, split: str, page: int | None) -> Update:
        """The page after."""
        return self.page(split, (page or 0) + 1)

    def add(
        self, files: list[str] | None, whole: bool, split: str, progress: gr.Progress = PROGRESS
    ) -> Update:
        """Take uploads in and say what was refused."""

        def tell(done: int, all_: int) -> None:
            progress((done, all_), desc="Reading files", unit="files")

        taken = reads.add_photos(self.studio, [Path(name) for name in files or []], whole, tell)
        words = cards.refusals(taken)
        return self.page(split, 0) | {self.tab.added: words, self.tab.files: None}

    def page(self, split: str, page: int) -> Update:
        """One page of the grid."""
        split = split if split in SPLITS else SPLITS[0]
        counts = reads.counts(self.studio)
        wanted = None if split == SPLITS[0] else split
        total = counts["splits"][wanted]["images"] if wanted else counts["images"]
        last = max(0, (total - 1) // PAGE)
        page = min(max(0, int(page)), last)
        images = reads.images(self.studio, wanted, page * PAGE, PAGE)
        where = ""
        if images:
            body = cards.grid(images, reads.keypoints(counts))
            start = page * PAGE + 1
            where = f"{start:,} to {start + len(images) - 1:,} of {texts.count(total, 'photo')}"
        else:
            body = cards.empty(texts.EMPTY_FILTER if counts["images"] else texts.EMPTY_PROJECT)
        return {
            self.tab.summary: cards.summary(counts),
            self.tab.pager: f'<div class="ps-pager" role="status">{where}</div>',
            self.tab.before: gr.Button(interactive=page > 0),
            self.tab.after: gr.Button(interactive=page < last),
            self.tab.grid: body,
            self.tab.split: split,
            self.tab.number: page,
        }


def images_tab(studio: Studio, demo: gr.Blocks) -> ImagesTab:
    """Lay the page out and wire it."""
    tab = _layout()
    deeds = Gallery(studio, tab)
    grid = [tab.summary, tab.pager, tab.before, tab.after, tab.grid, tab.split, tab.number]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    where = [tab.split, tab.number]
    demo.load(told(deeds.open), None, [*grid, tab.adder], **quiet)
    found = [
        tab.split.input(told(deeds.first), tab.split, grid, **quiet),
        tab.before.click(told(deeds.before), where, grid, **quiet),
        tab.after.click(told(deeds.after), where, grid, **quiet),
        tab.add.click(
            told(deeds.add),
            [tab.files, tab.whole, tab.split],
            [*grid, tab.added, tab.files],
            show_progress_on=tab.added,
            api_visibility="private",
            concurrency_limit=1,
        ),
    ]
    for event in found:
        event.then(None, where, None, js=KEEP_ADDRESS)
    return tab


def _layout() -> ImagesTab:
    gr.Navbar(visible=False)
    theme.header("Images")
    summary = gr.HTML(js_on_load=None)
    with gr.Accordion("Add photos", open=False, elem_classes="ps-add-box") as adder:
        files = gr.File(
            label="Drag photos (JPEG, PNG, WebP), zips of photos or videos here",
            file_count="multiple",
            file_types=["image", "video", ".zip"],
            height=150,
            elem_id="ps-files",
        )
        with gr.Row(elem_classes="ps-bar"):
            whole = gr.Checkbox(
                True,
                label="One person box over each whole photo",
                info="For photos of one person each. Without it, no box is made.",
            )
            add = gr.Button(
                "Add to the project",
                variant="primary",
                size="md",
                scale=0,
                min_width=180,
                elem_id="ps-add",
            )
        added = gr.HTML(js_on_load=None, min_height=24)
    with gr.Row(elem_classes="ps-bar"):
        split = gr.Radio(
            SPLITS, value="all", label="Split", container=False, scale=1, elem_id="ps-split"
        )
        pager = gr.HTML(js_on_load=None, min_width=160)
        before = gr.Button("Previous", size="sm", scale=0, min_width=96)
        after = gr.Button("Next", size="sm", scale=0, min_width=96)
    grid = gr.HTML(js_on_load=None, elem_id="ps-images")
    number = gr.Number(0, precision=0, visible="hidden")  # not a State: the address needs it
    return ImagesTab(
        files=files, whole=whole, add=add, added=added, adder=adder, summary=summary, split=split,
        number=number, pager=pager, before=before, after=after, grid=grid,
    )  # fmt: skip
