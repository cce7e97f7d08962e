"""Any audio file to float32 mono samples at the model's rate: decoding, limits, windows."""
