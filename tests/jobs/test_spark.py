"""The example of docs/scale.md in Spark, where PySpark and Java are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest
import soundfile

from docs.check import ROOT, code_blocks
from tests.conftest import RATE, voice
from voxedge.inference.identifier import Identifier

if find_spec("pyspark") is None or shutil.which("java") is None:
    pytest.skip("the example in Spark needs pyspark and java", allow_module_level=True)


def test_the_example(tmp_path):
    model = shutil.copy(ROOT / "bench/models/speechocean762-200.int8.onnx", tmp_path / "model.onnx")
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, voice(120.0, 2.0, 0), RATE)
    expected = Identifier(model, threads=1).identify(clip).speaker
    assert expected
    (code,) = (c for c in code_blocks(ROOT / "docs" / "scale.md", "python") if "pyspark" in c)
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
    assert answers == {"clip.wav": (expected, "NULL"), "missing.wav": ("NULL", "not_found")}
