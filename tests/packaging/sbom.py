"""``python -m tests.packaging.sbom``: write the software bill of materials, build/sbom.json.

CycloneDX, of what ``pip install voxedge-speaker[cpu]`` brings onto a device: the packages, and what
the wheel itself carries of other projects.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

from tests.packaging.carried import CARRIED, Carried
from tests.packaging.wheels import ROOT, build_wheel
from voxedge.files import write_json

OUT = ROOT / "build" / "sbom.json"


def main() -> None:
    """Install the wheel into an empty environment, and list it."""
    folder = ROOT / "build" / "sbom"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    wheel = build_wheel(folder)
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    install = (
        *("--python", environment / "bin" / "python", "install", "--quiet"),
        *("--disable-pip-version-check", "-c", ROOT / "constraints.txt", f"{wheel}[cpu]"),
    )
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    listed = subprocess.run(
        [
            *(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"),
            *("--pyproject", ROOT / "pyproject.toml", "--mc-type", "library"),
            environment / "bin" / "python",
        ],
        check=True,
        capture_output=True,
    )
    write_json(OUT, with_carried(json.loads(listed.stdout)))


def with_carried(bill: dict[str, Any]) -> dict[str, Any]:
    """A bill of materials with what the wheel carries added to it."""
    parts = [*bill["components"], *map(component, CARRIED)]
    return {**bill, "components": parts}


def component(part: Carried) -> dict[str, Any]:
    """A part as CycloneDX describes it."""
    return {
        "bom-ref": f"{part.name}=={part.version}",
        "type": part.kind,
        "name": part.name,
        "version": part.version,
        "licenses": [{"license": {"id": part.licence}}],
        "externalReferences": [{"type": "vcs", "url": part.source}],
        "properties": [{"name": "voxedge:file", "value": name} for name in part.files],
    }


if __name__ == "__main__":
    main()
