"""The model file: metadata, seal, and the reader that refuses what cannot be trusted."""
