"""The tests; what they start inherits that ONNX Runtime's telemetry is off."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
