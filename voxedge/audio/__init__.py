"""From any audio file to float32 mono samples at the model's rate: decode, limit, cut."""
