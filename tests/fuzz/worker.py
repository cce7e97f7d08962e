"""Fuzz one target until a time is over: ``python -m tests.fuzz.worker TARGET LIBFUZZER-OPTIONS``.

Coverage is that of voxedge's Python. libsndfile, FFmpeg and ONNX Runtime are as they come.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["voxedge"]):
    from tests.fuzz.table import TARGETS


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    target = TARGETS[sys.argv[1]]
    with atheris.instrument_imports(include=["voxedge"]):  # what is imported when it is needed
        for seed in target.seeds():
            target.run(seed)

    def run(data: bytes) -> None:
        target.run(data)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
