"""Workers that misbehave, as one that a clip has taken over might: ``fakes KIND``, from a test."""

from __future__ import annotations

import os
import struct
import sys
import time

from voxedge.isolation.messages import receive, send

END = {"seconds": 1.0, "expected": 1.0, "rate": 8000, "channels": 1, "warnings": []}


def main(kind: str) -> None:
    """Answer that all is ready, take one request, and do as the kind says."""
    out = sys.stdout.buffer
    send(out, {"ready": []})
    receive(sys.stdin.buffer, 1 << 30)
    if kind == "hangs":
        time.sleep(60)
    if kind == "dies":
        sys.stderr.write("x" * 300_000 + "\nSegmentation fault\n")  # more than a pipe holds
        sys.stderr.flush()
        os._exit(11)
    if kind == "nan":
        send(out, {"end": END}, struct.pack("<2f", 0.0, float("nan")))
    if kind == "odd":
        send(out, {"end": END}, b"abc")
    if kind == "huge":
        out.write(struct.pack("<QQ", 2, 1 << 50))
        out.flush()
    if kind == "text":
        out.write(struct.pack("<QQ", 7, 0) + b"\x80nojson")
        out.flush()
    time.sleep(60)


if __name__ == "__main__":
    main(os.environ["FAKE_WORKER"])
