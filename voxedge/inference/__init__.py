"""Identify the speakers of clips with a model file: ONNX Runtime and NumPy, without torch."""
