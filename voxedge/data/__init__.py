"""Corpora of labelled clips: read, checked, split without leaks, and decoded."""
