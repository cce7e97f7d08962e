"""The example of docs/scale.md in Spark, where PySpark and Java are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

from docs.check import ROOT, code_blocks

if find_spec("pyspark") is None or shutil.which("java") is None:
    pytest.skip("the example in Spark needs pyspark and java", allow_module_level=True)


def test_the_example(workshop, tmp_path):
    shutil.copy(workshop / "model.onnx", tmp_path)
    shutil.copy(workshop / "ada.wav", tmp_path / "clip.wav")
    (code,) = [
        each for each in code_blocks(ROOT / "docs" / "scale.md", "python") if "spark" in each
    ]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    rows = [line.strip("|").split("|") for line in done.stdout.splitlines() if ".wav" in line]
    answers = {path.strip(): (speaker.strip(), error.strip()) for path, speaker, error in rows}
    assert answers == {"clip.wav": ("ada", "NULL"), "missing.wav": ("NULL", "not_found")}
