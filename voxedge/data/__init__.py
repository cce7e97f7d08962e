"""Corpora: folders and manifests of labelled clips, checked, split without leaks, decoded."""
