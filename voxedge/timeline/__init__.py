"""Who spoke when, in a recording or at a microphone: windows of speech, clusters, names."""
