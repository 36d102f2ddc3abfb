"""Small pieces of markup that several pages show. Texts are escaped."""

from html import escape


def empty(words: tuple[str, str]) -> str:
    """What a page shows when there is nothing, and what to do next: (what, what next)."""
    return f'<div class="ps-empty"><b>{escape(words[0])}</b><p>{escape(words[1])}</p></div>'
