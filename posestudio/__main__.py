"""Run the command line: python -m posestudio."""

import sys

from posestudio.cli import main

if __name__ == "__main__":
    sys.exit(main())
