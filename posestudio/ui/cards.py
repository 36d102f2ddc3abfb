"""Small pieces of markup that several pages show. Texts are escaped."""

from html import escape


def empty(words: tuple[str, str]) -> str:
    """What a page shows when there is nothing, and what to do next: (what, what next)."""
    return f'<div class="ps-empty"><b>{escape(words[0])}</b><p>{escape(words[1])}</p></div>'


def progress(whose: str, at: tuple[str, int, int]) -> str:
    """What is being done and how far it is: (what, done, in all); a bar without an end where nobody knows that."""
    what, done, total = at
    share = f' max="100" value="{100 * done / total:.1f}"' if total else ""
    far = f" {done:,} of {total:,}" if total else " …"
    return (
        f'<div class="ps-progress" role="status"><progress{share} aria-label="{escape(what)}"></progress>'
        f"<span>{escape(whose)}{escape(what)}{far}</span></div>"
    )
