"""People enrolled without training: a file of embeddings, search, thresholds, verification."""
