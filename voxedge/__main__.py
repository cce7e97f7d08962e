"""The program: ``voxedge``, and ``python -m voxedge``.

Signals are handled before anything else is imported, which takes a tenth of a second.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from voxedge.cli.signals import heed_signals
from voxedge.errors import Interrupted


def main() -> NoReturn:
    """Run the command line and leave with its exit code (docs/errors.md)."""
    try:
        heed_signals()
        from voxedge.cli.app import run

        status = run(sys.argv[1:])
    except Interrupted as stop:  # between two statements that handle it
        status = stop.status
    sys.exit(status)


if __name__ == "__main__":
    main()
