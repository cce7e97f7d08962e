"""``python -m voxedge``."""

from voxedge.cli import main

main()
