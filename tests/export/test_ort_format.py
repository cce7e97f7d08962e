from __future__ import annotations

import shutil

import numpy as np
import onnxruntime
import pytest
from voxedge.export.ort_format import write_ort

from tests.conftest import RATE, voice


@pytest.fixture(scope="module")
def files(model_path, tmp_path_factory):
    model = tmp_path_factory.mktemp("ort") / "model.onnx"
    shutil.copy(model_path, model)
    return model, *write_ort(model)


def test_the_ort_file_gives_the_models_answers(files):
    model, ort, _ = files
    one, other = (onnxruntime.InferenceSession(path) for path in (model, ort))
    pcm = np.stack([voice(150, 2.0, 1), voice(220, 2.0, 2)])
    for feeds in ({"pcm": pcm}, {"pcm": pcm, "lengths": np.array([RATE, 2 * RATE])}):
        for a, b in zip(one.run(None, feeds), other.run(None, feeds), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
    metadata = [session.get_modelmeta().custom_metadata_map for session in (one, other)]
    assert metadata[0]["voxedge"] == metadata[1]["voxedge"]


def test_no_temporary_file_is_logged(model_path, tmp_path, caplog):
    shutil.copy(model_path, tmp_path / "model.onnx")
    write_ort(tmp_path / "model.onnx")
    assert not caplog.records


def test_the_config_lists_the_operators(files):
    _, _, config = files
    lines = config.read_text().splitlines()
    domains = {line.split(";")[0] for line in lines}
    assert "ai.onnx" in domains
    assert any("Conv" in line for line in lines)
    assert not any("/" in line.split("{")[0] for line in lines)  # no path of this machine
