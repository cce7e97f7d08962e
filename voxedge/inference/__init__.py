"""Answers for clips from a model file, through ONNX Runtime, without torch."""
