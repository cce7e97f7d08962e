"""What the wheel carries that others made: for the software bill of materials, and its test."""

from __future__ import annotations

from typing import NamedTuple

#: Licences of npm packages from which the page is built.
PERMISSIVE = {"Apache-2.0", "BSD-3-Clause", "ISC", "MIT"}


class Carried(NamedTuple):
    """Files of another project in the wheel."""

    name: str
    version: str
    kind: str  # of component, in CycloneDX's words
    licence: str  # of SPDX
    source: str
    text: str  # its file in the wheel
    files: tuple[str, ...]  # in the wheel


CARRIED = (
    Carried(
        "silero-vad",
        "6.2.3",
        "machine-learning-model",
        "MIT",
        "https://github.com/snakers4/silero-vad",
        "voxedge/speech/LICENSE.silero",
        ("voxedge/speech/silero.npy",),
    ),
    Carried(
        "onnxruntime-web",
        "1.30.0",
        "library",
        "MIT",
        "https://github.com/microsoft/onnxruntime",
        "voxedge/web/LICENSE.onnxruntime",
        (
            "voxedge/web/page/assets/worker.js",  # its JavaScript, and ours
            "voxedge/web/page/ort-wasm-simd-threaded.mjs",
            "voxedge/web/page/ort-wasm-simd-threaded.wasm.xz",
        ),
    ),
)
