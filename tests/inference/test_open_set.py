"""Strangers: answers below the threshold of the file, in voxedge and by the lines for a device."""

from __future__ import annotations

import json
import wave

import numpy as np
import onnx
import pytest

from docs.check import ROOT, code_blocks
from tests.conftest import RATE, SPEAKERS, voice, voxedge
from voxedge import Identifier
from voxedge.errors import UsageError
from voxedge.inference.open_set import OpenSet, figures, probability
from voxedge.model_file.metadata import DIGEST_BLANK, KEY
from voxedge.model_file.seal import seal

OPEN_SET = OpenSet((0.5, 0.25, -0.5), -9.0, {0.1: 0.5, 0.05: 2.0, 0.01: None}, 80, "impostors")


@pytest.fixture(scope="module")
def guarded(model_path, tmp_path_factory):
    """The model file with thresholds."""
    return resealed(model_path, tmp_path_factory.mktemp("guarded") / "model.onnx", OPEN_SET)


def resealed(source, path, open_set):
    model = onnx.load(source)
    (entry,) = (each for each in model.metadata_props if each.key == KEY)
    value = json.loads(entry.value) | {"digest": DIGEST_BLANK, "thresholds": open_set.to_metadata()}
    entry.value = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    path.write_bytes(seal(model.SerializeToString()))
    return path


def test_known_is_the_probability_of_the_log_odds(guarded):
    identifier, samples = Identifier(guarded), voice(SPEAKERS["ada"], 2.0, 7)
    answer = identifier.identify(samples)
    logits = identifier.run(samples[None]).logits
    odds = figures(logits, np.array([2.0])) @ OPEN_SET.weights + OPEN_SET.bias
    assert answer.known == pytest.approx(probability(odds[0]), abs=1e-6)
    assert answer.least_known == probability(2.0)
    long = identifier.identify(voice(SPEAKERS["ada"], 9.0, 7))
    assert long.windows > 1  # the mean of their logits; the length counts up to the window
    assert long.to_dict()["known"] == round(long.known, 6)


@pytest.mark.parametrize("bias", [-1e3, 1e3])
def test_below_the_threshold_nobody_is_named(model_path, tmp_path, bias):
    open_set = OpenSet((0.0, 0.0, 0.0), bias, {0.05: 0.0}, 60, "speakers")
    identifier = Identifier(resealed(model_path, tmp_path / "model.onnx", open_set))
    samples = voice(SPEAKERS["ada"], 2.0, 7)
    plain = Identifier(model_path).identify(samples)
    answer = identifier.identify(samples)
    always = identifier.identify(samples, accept=None)
    assert answer.predictions == always.predictions == plain.predictions
    assert always.speaker == plain.speaker == "ada"
    assert (answer.speaker, answer.reason) == ((None, "unknown") if bias < 0 else ("ada", None))
    assert always.least_known is None
    (one,) = identifier.identify_many([samples])
    assert one == answer


def test_the_share_chooses_the_threshold(guarded):
    identifier = Identifier(guarded)
    assert identifier.answers.least_known(0.1) == probability(0.5)
    assert identifier.answers.least_known(0.05) == probability(2.0)
    assert identifier.answers.least_known(0.07) == probability(2.0)
    assert identifier.answers.least_known(0.01) is None
    for share in (0, 1, -0.1):
        with pytest.raises(UsageError, match="between 0 and 1"):
            identifier.identify(voice(200, 1.0, 1), accept=share)


def test_a_file_without_thresholds_names_everybody(model_path):
    identifier = Identifier(model_path)
    answer = identifier.identify(voice(150, 2.0, 1), accept=0.001)
    assert answer.speaker is not None
    assert answer.least_known is None


def test_the_command_line(guarded, model_path, workshop, tmp_path):
    never = OpenSet((0.0, 0.0, 0.0), -5.0, {0.05: 0.0}, 60, "speakers")
    strict = resealed(model_path, tmp_path / "strict.onnx", never)
    clip = workshop / "ada.wav"
    unknown = voxedge("identify", clip, "--model", strict, cwd=tmp_path)
    assert "unknown: one of the speakers with 1 % probability, less than 50 %" in unknown.stdout
    assert unknown.returncode == 0
    named = voxedge("identify", clip, "--model", strict, "--always-answer", "--json", cwd=tmp_path)
    record = json.loads(named.stdout)
    assert record["speaker"] == "ada"
    assert "least_known" not in record
    refused = voxedge("identify", clip, "--model", guarded, "--accept", "1%", cwd=tmp_path)
    assert refused.returncode == 2
    assert "has no threshold for 1 % of strangers" in refused.stderr


def test_the_lines_for_a_device_say_the_same(guarded, tmp_path, monkeypatch, capsys):
    (program,) = (
        text for text in code_blocks(ROOT / "docs" / "deploy.md", "python") if "wave" in text
    )
    guarded.rename(tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    for pitch in (*SPEAKERS.values(), 300):
        samples = voice(pitch, 2.0, 3)
        with wave.open("clip.wav", "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes((samples * 32767).astype("<i2").tobytes())
        capsys.readouterr()
        exec(compile(program, "deploy", "exec"), {})
        said = capsys.readouterr().out.split()[0]
        answer = Identifier("model.onnx", any_sound=True).identify("clip.wav")
        assert said == (answer.speaker or "unknown")
