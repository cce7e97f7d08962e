"""How accurate others are on the very clips of a run: ``python -m bench.accuracy rivals``."""
