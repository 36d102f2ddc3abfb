"""The web app: pages over the studio's verbs. gradio lives in this room and nowhere else.

A page is a file in `tabs/`: it makes its components, wires them to callbacks of a few lines and returns the named
parts. Images, Correct and Inspect are one element each, drawn by small scripts in `static/` from numbers of our own
routes (`edits`, `looks`); words are made here by pure functions (`texts`), which need no browser to be tested. Ids are
in the address, truth is in the store. To add a page, write tabs/NAME.py, add it
to PAGES in theme.py and call it in `app.build`.

Every text that a user or a file gave goes through html.escape and reaches a gr.HTML as its value under the default
template, never as part of a template. Nothing here asks another host for anything.
"""
