"""The accuracy of voxedge and of others on the same clips: ``python -m bench.accuracy``."""
