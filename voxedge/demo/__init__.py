"""``python -m voxedge.demo``: train, export and identify on synthesised voices."""
