"""python -m posestudio, and the installed command: where the command line and the page meet."""

import sys
from pathlib import Path

from posestudio.cli.main import main


def serve(project: Path, host: str, port: int) -> None:
    """Open the studio in a browser until it is stopped."""
    from posestudio.ui import app  # lazy: gradio

    app.serve(project, host, port)


def run() -> int:
    """The command line with its page."""
    return main(serve=serve)


if __name__ == "__main__":
    sys.exit(run())
