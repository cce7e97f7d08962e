"""Evaluation: a model's answers on labelled clips, their metrics, the page, and comparisons."""
