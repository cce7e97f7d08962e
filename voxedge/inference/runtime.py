"""ONNX Runtime with its telemetry off: the one place that imports it.

From version 1.29 on, importing ONNX Runtime leaves an identifier and a database in the home folder,
and seconds later it connects to Microsoft. With ``ORT_DISABLE_TELEMETRY=1``, set before the import,
none of that happens. A value that the user has set stays.
"""

from __future__ import annotations

import os

from voxedge.errors import Interrupted

_VARIABLE = "ORT_DISABLE_TELEMETRY"
os.environ.setdefault(_VARIABLE, "1")

try:
    import onnxruntime
except ImportError as error:  # its extension module makes one of whatever interrupts it
    if isinstance(error.__cause__, Interrupted | KeyboardInterrupt):
        raise error.__cause__ from None
    raise

if os.environ[_VARIABLE] == "1":
    onnxruntime.disable_telemetry_events()  # for Windows, where the variable is not read

__all__ = ["onnxruntime"]
