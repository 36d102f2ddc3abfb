"""Looks shared by all pages: Gradio theme, style sheet, header. Fonts come from the wheel or the system."""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

from pathlib import Path

import gradio as gr

STATIC = Path(__file__).parent / "static"
LOGO = STATIC / "logo.svg"
STYLE = STATIC / "posestudio.css"
STYLES = (
    STYLE,
    STATIC / "shared/shared.css",
    STATIC / "inspect/inspect.css",
    STATIC / "images/images.css",
    STATIC / "runs.css",
)
"""Style sheets of all pages; each page's rules have a prefix of their own."""

PAGES = (
    ("Images", "."),
    ("Correct", "correct"),
    ("Sheet", "sheet"),
    ("Inspect", "inspect"),
    ("Train", "train"),
    ("Evaluate", "evaluate"),
    ("Export", "export"),
)
"""Name and relative address of each page, in the order of the loop."""


def theme() -> gr.themes.Base:
    """A calm theme in slate and teal that follows the browser's light or dark setting."""
    teal = gr.themes.Color(
        c50="#effafa", c100="#d3f0f1", c200="#a9e0e3", c300="#73cad0", c400="#40acb6", c500="#238f9b",
        c600="#12727f", c700="#135c67", c800="#164a54", c900="#163e47", c950="#082830", name="posestudio",
    )  # fmt: skip
    weights = (400, 700)  # the semi-bold files of Gradio's wheel lack most letters
    fonts = [gr.themes.LocalFont("IBM Plex Sans", weights), "system-ui", "sans-serif"]
    mono = [gr.themes.LocalFont("IBM Plex Mono", weights), "ui-monospace", "monospace"]
    return gr.themes.Soft(
        primary_hue=teal,
        secondary_hue=teal,
        neutral_hue=gr.themes.colors.slate,
        font=fonts,
        font_mono=mono,
        radius_size=gr.themes.sizes.radius_sm,
        spacing_size=gr.themes.sizes.spacing_sm,
        text_size=gr.themes.sizes.text_sm,
    ).set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_text_color="*body_text_color_subdued",
        block_label_text_color_dark="*body_text_color_subdued",
        block_title_text_color="*body_text_color_subdued",
        block_title_text_color_dark="*body_text_color_subdued",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_600",
        input_shadow="none",
        input_shadow_dark="none",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_400",
        checkbox_label_background_fill_selected="*primary_600",
        checkbox_label_border_width="1px",
        checkbox_label_border_color="*neutral_300",
        checkbox_label_border_color_dark="*neutral_600",
        checkbox_label_shadow="none",
        button_secondary_shadow="none",
        button_secondary_shadow_dark="none",
        button_border_width="1px",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_600",
        block_shadow="none",
        block_shadow_dark="none",
    )


def header(page: str) -> gr.HTML:
    """The bar at the top of a page: logo and links; `page` is the one that is open."""
    links = "".join(
        f'<a href="{address}"{" aria-current=page" if name == page else ""}>{name}</a>'
        for name, address in PAGES
    )
    mark = LOGO.read_text()
    return gr.HTML(
        f'<header class="ps-header"><a class="ps-home" href="." aria-label="PoseStudio, Images">{mark}'
        f"<b>PoseStudio</b></a><nav aria-label=Pages>{links}</nav></header>"
        f'<h1 class="ps-heard">{page}</h1>',
        js_on_load=None,
        elem_classes="ps-header-box",
    )
