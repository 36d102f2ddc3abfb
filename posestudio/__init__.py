"""Human pose from few labels: import, train two students, look, correct, repeat.

Layers: ui, cli > studio > train > evaluate > predict > models, store > core > config, events > errors

A room imports only from rooms to its right; rooms of one group do not import each other. `tests/test_layers.py`
reads the line above and holds it. gradio lives in `ui/` and `app.py` only, duckdb in `store/` only.
"""

__version__ = "0.1.0"
