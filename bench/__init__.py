"""Benchmarks: voxedge's files and what a user would pick instead, on the same clips.

``python -m bench`` measures everything in one run and writes BENCHMARKS.md, and the results behind
it. Timings are for reading; none of them decides whether a suite passes.
"""
