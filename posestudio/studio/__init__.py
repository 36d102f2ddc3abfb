"""One function for each thing a user does; the page, the command line and scripts all call these.

Store verbs are short: they read or write the label store and return JSON-able values (`verbs.py` lists them). Work
that computes (`work.py`) never holds the store: it reads a snapshot, works in a run's folder, then registers the
result. To add a verb: write the function in the verbs_*.py file of its theme, name it in `verbs.py`, give it a
subcommand in `cli/`.
"""
