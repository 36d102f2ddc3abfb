"""The command line: `main.py` reads it; a file for each theme does what it asks. No torch until a verb needs it."""
