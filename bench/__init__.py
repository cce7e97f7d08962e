"""Benchmarks: voxedge's file against PyTorch and against the seed system's way, on the same clips.

``python -m bench`` measures everything and prints one table and one JSON line. Timings are for
reading; none of them decides whether a suite passes.
"""
