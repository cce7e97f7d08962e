"""Batch jobs over more clips than one process names in a day: ``voxedge identify --engine ray``."""
