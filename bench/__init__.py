"""Benchmarks: voxedge's files against what a user would pick instead, on the same clips.

``python -m bench`` measures everything in one run and writes BENCHMARKS.md, with the figures behind
it. Timings are for reading; none of them decides whether a suite passes.
"""
