"""Start the studio on data/project: python app.py. The same as `posestudio serve` with its defaults."""

import sys

from posestudio.errors import PoseStudioError
from posestudio.ui.app import serve

if __name__ == "__main__":
    try:
        serve()
    except PoseStudioError as error:
        sys.exit(str(error))
