from __future__ import annotations

import json

import onnxruntime
import pytest

from tests.conftest import voxedge
from voxedge.inference import doctor
from voxedge.install import install_command
from voxedge.threads import available_processors


def test_the_minimal_model_runs():
    session = onnxruntime.InferenceSession(doctor._IDENTITY, providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": [3.0]})[0].tolist() == [3.0]


def test_a_model_is_measured_and_one_advice_given(model_path, tmp_path):
    done = voxedge("doctor", "--model", model_path, "--seconds", "0.3", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["providers"]["cpu"] == "loads"
    assert facts["runtime"]["version"] == onnxruntime.__version__
    assert facts["processors"] == available_processors()
    latency = facts["latency"]
    assert latency["runs"] >= 1
    assert set(latency["milliseconds"]) == {"1", str(available_processors())}
    assert all(0 < value < 10_000 for value in latency["milliseconds"].values())
    assert "--precision int8" in facts["advice"]


def test_people_get_a_line_for_each_fact(tmp_path):
    done = voxedge("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cpu: loads" in done.stdout
    assert "advice: make a model" in done.stdout


def test_a_model_that_cannot_be_measured_is_the_advice(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    done = voxedge("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "advice: the model cannot be measured" in done.stdout


FACTS = {
    "foreign": "",
    "runtime": {"version": "1"},
    "instructions": ["avx2"],
    "latency": {"precision": "fp32", "milliseconds": {1: 9.0, 2: 5.0}},
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"runtime": {"error": "no module"}}, install_command("cpu")),
        ({"foreign": "site-packages/voxedge-0.1.dist-info"}, "pip uninstall voxedge"),
        ({"providers": {"cpu": "loads", "cuda": "libcudnn.so.9: not found"}}, "libcudnn.so.9"),
        ({"latency": FACTS["latency"] | {"precision": "int8"}}, "--threads 2 is fastest"),
        ({}, "--precision int8"),
    ],
)
def test_the_advice_follows_from_the_facts(changes, expected, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    assert expected in doctor.advice(FACTS | {"providers": {"cpu": "loads"}} | changes)


def test_instructions_come_from_the_system(monkeypatch, tmp_path):
    text = "processor : 0\nFeatures : fp asimd asimddp crc32\n"
    monkeypatch.setattr(doctor.platform, "system", lambda: "Linux")
    monkeypatch.setattr(doctor.Path, "read_text", lambda _: text)
    assert doctor.instructions() == ["asimd", "asimddp"]
