"""From a finished run to one model file, in the order of ``pipeline.export_run``.

- ``clips``: which clips of the run the file is measured and calibrated on
- ``trace``: PyTorch -> an ``onnx_ir`` graph; ``passes``: its rewrites; ``serialise``: its bytes
- ``parity``: ONNX Runtime against PyTorch on the float32 graph
- ``precision``: conversion to fp16 or int8; ``accuracy``: what the conversion may lose
- ``input_format``: a graph that takes a device's own buffer (rate, type, channels)
- ``ort_format``: the file once more for ONNX Runtime's minimal builds
"""
