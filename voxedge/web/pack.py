"""Pack the page that Vite built: ``python -m voxedge.web.pack SOURCES BUILT``, from ``make web``.

The runtime's WebAssembly is compressed (14 to 2 MB), so that the repository and the wheel stay
small and nobody needs Node to write a site. ``built.json`` says from which sources the page was
built, and a test compares.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
import sys
from pathlib import Path

from voxedge.web.site import PAGE, RUNTIME

_RECORD = "built.json"


def pack(sources: Path, built: Path, page: Path = PAGE) -> None:
    """Replace the page by what was built.

    Args:
        sources: the folder of ``package.json``.
        built: the same, elsewhere, after ``npm run build``; its ``node_modules`` have the runtime.
        page: what is replaced.
    """
    shutil.rmtree(page, ignore_errors=True)
    shutil.copytree(built / "dist", page)
    runtime = built / "node_modules" / "onnxruntime-web" / "dist"
    wasm = (runtime / RUNTIME).read_bytes()
    (page / f"{RUNTIME}.xz").write_bytes(lzma.compress(wasm, preset=9))
    module = Path(RUNTIME).with_suffix(".mjs").name
    shutil.copy(runtime / module, page / module)
    record = {"sources": digest(sources), "runtime": hashlib.sha256(wasm).hexdigest()}
    (page / _RECORD).write_text(json.dumps(record) + "\n", encoding="utf-8")


def digest(sources: Path) -> str:
    """SHA-256 over the names and contents of all sources."""
    content = hashlib.sha256()
    for path in sorted(sources.rglob("*")):
        if path.is_file():
            content.update(f"{path.relative_to(sources).as_posix()}\0".encode())
            content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
