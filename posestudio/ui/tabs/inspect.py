"""Inspect: one person, and what both students believe about every keypoint.

The address says what is shown: /inspect?instance=12&run=RUN&keypoint=left_wrist&show=Offers. All but the first may
be left out.
"""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

import threading
from collections import OrderedDict
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from posestudio.studio.studio import Studio
from posestudio.ui import cards, reads, texts, theme, tiles
from posestudio.ui.told import told

ALL = "All keypoints"
Update = dict[Any, Any]

KEPT = 6
"""Looks that are kept for changes of keypoint or of what is shown; each is a few megabytes."""

KEEP_ADDRESS = """(instance, run, keypoint, show) => {
  const at = new URL(window.location.href);
  const put = (name, value, plain) => value === null || value === undefined || value === plain
    ? at.searchParams.delete(name) : at.searchParams.set(name, value);
  put('instance', instance, null);
  put('run', run, null);
  put('keypoint', keypoint, 'All keypoints');
  put('show', show, 'Heatmaps');
  window.history.replaceState(null, '', at);
}"""
PICK = """
element.addEventListener('click', event => {
  const card = event.target.closest('[data-keypoint]');
  if (card) trigger('pick', {keypoint: Number(card.dataset.keypoint)});
});
"""
HIDE = """
element.addEventListener('change', () => {
  const off = [...element.querySelectorAll('input[data-who]:not(:checked)')];
  document.body.dataset.hide = off.map(box => box.dataset.who).join(' ');
});
"""
OPACITY = """
element.addEventListener('input', event => {
  document.documentElement.style.setProperty('--ps-heat', event.target.value);
});
"""


@dataclass(frozen=True)
class InspectTab:
    """The parts of the page."""

    before: gr.Button
    person: gr.Number
    after: gr.Button
    run: gr.Dropdown
    keypoint: gr.Dropdown
    show: gr.Radio
    photo: gr.HTML
    facts: gr.HTML
    tiles: gr.HTML


class Looks:
    """The last few results of `studio.inspect.look`, so that another keypoint needs no second pass."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, str], tiles.Look] = OrderedDict()

    def get(self, instance: int, run: str, *, fresh: bool) -> tiles.Look:
        """The look at a person with a run's students; `fresh` computes it again."""
        key = (instance, run)
        with self._lock:
            if not fresh and key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        look = reads.look(self._studio, instance, run)
        with self._lock:
            self._kept[key] = look
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return look


class Inspector:
    """What the page's events call. Every method returns updates by component."""

    def __init__(self, studio: Studio, tab: InspectTab) -> None:
        self.studio = studio
        self.tab = tab
        self.looks = Looks(studio)
        self.order = reads.Order(studio)

    def open(self, request: gr.Request) -> Update:
        """The page by its address."""
        query = request.query_params
        number = query.get("instance") or ""
        instance = int(number) if number.isdecimal() and len(number) < 16 else None
        keypoint, show = query.get("keypoint") or ALL, query.get("show") or texts.SHOW[0]
        return self.page(self.order.place(instance), query.get("run"), keypoint, show)

    def choose(self, instance: float | None, run: str | None, keypoint: str, show: str) -> Update:
        """Another person or run."""
        return self.page(self.order.place(_number(instance)), run, keypoint, show)

    def before(self, instance: float | None, run: str | None, keypoint: str, show: str) -> Update:
        """The person before."""
        return self.page(self.order.place(_number(instance), -1), run, keypoint, show)

    def after(self, instance: float | None, run: str | None, keypoint: str, show: str) -> Update:
        """The person after."""
        return self.page(self.order.place(_number(instance), 1), run, keypoint, show)

    def switch(self, instance: float | None, run: str | None, keypoint: str, show: str) -> Update:
        """Another keypoint or kind of picture of the same person."""
        if instance is None or not run:
            return {self.tab.show: show}
        return self.body(self.looks.get(int(instance), run, fresh=False), keypoint, show)

    def pick(
        self, instance: float | None, run: str | None, show: str, event: gr.EventData
    ) -> Update:
        """A click on a keypoint's card, or on the way back to all of them."""
        given = event._data if isinstance(event._data, dict) else {}
        if instance is None or not run:
            return {self.tab.show: show}
        look = self.looks.get(int(instance), run, fresh=False)
        names, index = look["keypoints"], given.get("keypoint")
        keypoint = names[index] if type(index) is int and 0 <= index < len(names) else ALL
        return self.body(look, keypoint, show)

    def page(self, place: reads.Place | None, run: str | None, keypoint: str, show: str) -> Update:
        """Everything about a person, computed anew."""
        runs = reads.runs(self.studio)
        if place is None:
            return self._empty(texts.NO_PEOPLE, None)
        if not runs:
            what, then = texts.NO_RUN
            return self._empty((what, then.format(project=self.studio.project)), place)
        known = [number for number, _ in runs]
        if run and run not in known:
            gr.Warning(f"There is no run {escape(run)} with students; this is {known[0]}.")
        run = run if run in known else known[0]
        look, skeleton = self.looks.get(place.instance, run, fresh=True), self.studio.skeleton()
        choices = [(ALL, ALL), *((texts.spoken(name), name) for name in look["keypoints"])]
        return {
            **self._chooser(place),
            self.tab.run: gr.Dropdown([(words, number) for number, words in runs], value=run),
            self.tab.photo: tiles.photo(look, skeleton),
            self.tab.facts: tiles.facts(look, place.words),
            **self.body(look, keypoint, show, choices),
        }

    def body(
        self,
        look: tiles.Look,
        keypoint: str,
        show: str,
        choices: list[tuple[str, str]] | None = None,
    ) -> Update:
        """The tiles, and the two widgets that say which."""
        names = list(look["keypoints"])
        keypoint = keypoint if keypoint in names else ALL
        show = show if show in texts.SHOW else texts.SHOW[0]
        alone = keypoint != ALL
        new: dict[str, Any] = {"choices": choices} if choices else {}
        return {
            self.tab.keypoint: gr.update(value=keypoint, **new),
            self.tab.show: gr.Radio(value=show, interactive=not alone),
            self.tab.tiles: (
                tiles.single(look, names.index(keypoint)) if alone else tiles.overview(look, show)
            ),
        }

    def _chooser(self, place: reads.Place | None) -> Update:
        return {
            self.tab.person: place.instance if place else None,
            self.tab.before: gr.Button(interactive=bool(place and place.before is not None)),
            self.tab.after: gr.Button(interactive=bool(place and place.after is not None)),
        }

    def _empty(self, words: tuple[str, str], place: reads.Place | None) -> Update:
        facts = tiles.facts(None, place.words) if place else ""
        return {
            **self._chooser(place),
            self.tab.photo: "",
            self.tab.facts: facts,
            self.tab.tiles: cards.empty(words),
        }


def inspect_tab(studio: Studio, page: gr.Blocks) -> InspectTab:
    """Lay the page out and wire it."""
    tab = _layout()
    deeds = Inspector(studio, tab)
    asked = [tab.person, tab.run, tab.keypoint, tab.show]
    below = [tab.keypoint, tab.show, tab.tiles]
    parts = [tab.person, tab.run, *below, tab.before, tab.after, tab.photo, tab.facts]
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    found = [
        page.load(told(deeds.open), None, parts, **quiet),
        tab.before.click(told(deeds.before), asked, parts, **quiet),
        tab.after.click(told(deeds.after), asked, parts, **quiet),
        tab.person.submit(told(deeds.choose), asked, parts, **quiet),
        tab.run.input(told(deeds.choose), asked, parts, **quiet),
        tab.keypoint.input(told(deeds.switch), asked, below, **quiet),
        tab.show.input(told(deeds.switch), asked, below, **quiet),
        tab.tiles.pick(  # the event that PICK triggers; "multiple" because it carries data
            told(deeds.pick),
            [tab.person, tab.run, tab.show],
            below,
            trigger_mode="multiple",
            concurrency_limit=1,
            **quiet,
        ),
    ]
    for event in found:
        event.then(None, asked, None, js=KEEP_ADDRESS)
    return tab


def _layout() -> InspectTab:
    gr.Navbar(visible=False)
    theme.header("Inspect")
    note = f'<p class="ps-note">{texts.VIEWS_NOTE.format(seed=reads.SEED)}</p>'
    first = texts.SHOW[0]
    with gr.Row(elem_classes="ps-bar ps-tools"):
        before = gr.Button("Previous", size="md", scale=0, min_width=86, elem_id="ps-before")
        person = gr.Number(
            label="Person",
            precision=0,
            minimum=0,
            scale=0,
            min_width=92,
            elem_id="ps-person-number",
        )
        after = gr.Button("Next", size="md", scale=0, min_width=86, elem_id="ps-after")
        run = gr.Dropdown([], label="Run", scale=2, min_width=200, elem_id="ps-run")
        keypoint = gr.Dropdown(
            [ALL], value=ALL, label="Keypoint", scale=1, min_width=160, elem_id="ps-keypoint"
        )
        show = gr.Radio(
            texts.SHOW, value=first, label="Show", scale=0, min_width=500, elem_id="ps-show"
        )
    with gr.Row():
        with gr.Column(scale=1, min_width=270):
            photo = gr.HTML(js_on_load=None, elem_id="ps-photo")
            gr.HTML(tiles.legend(), js_on_load=HIDE)
            facts = gr.HTML(js_on_load=None)
        with gr.Column(scale=4, min_width=600):
            gr.HTML(tiles.scales(), js_on_load=OPACITY, elem_id="ps-scales")
            body = gr.HTML(js_on_load=PICK, elem_id="ps-tiles")
            gr.HTML(note, js_on_load=None)
    return InspectTab(
        before=before, person=person, after=after, run=run, keypoint=keypoint, show=show,
        photo=photo, facts=facts, tiles=body,
    )  # fmt: skip


def _number(value: float | None) -> int | None:
    return None if value is None else int(value)
