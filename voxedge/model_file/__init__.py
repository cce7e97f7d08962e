"""The model file: its metadata, its seal, and a reader that refuses what is not safe to run."""
