"""``python -m voxedge``."""

from voxedge.cli.app import main

main()
