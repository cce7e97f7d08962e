"""The programs of docs/examples name what Python names, where their toolchains are installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from docs.check import ROOT, code_blocks
from tests.conftest import RATE, voice
from voxedge.audio.load import load_audio
from voxedge.model_file.metadata import DIGEST_BLANK, KEY
from voxedge.model_file.reader import read_model
from voxedge.model_file.seal import seal

EXAMPLES = ROOT / "docs" / "examples"
SHIPPED = ROOT / "bench" / "models" / "speechocean762-200.int8.onnx"
NOBODY = "nobody I know"
CLIPS = 20
WEIGHTS = {"best": 0.3, "lead": 0.4, "log_seconds": 0.2, "bias": -4.0}
IN_PYTHON = code_blocks(ROOT / "docs" / "deploy.md", "python")[1]


def write_wav(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.clip(np.round(samples * 32_768), -32_768, 32_767).astype("<i2"))
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Twenty clips of speakers of the shipped file and of strangers, or synthetic voices."""
    folder = tmp_path_factory.mktemp("clips")
    data = Path(os.environ.get("VOXEDGE_DATA", ROOT.parent / "shared" / "data")) / "speechocean762"
    found = [p for kind in ("known", "unseen") for p in sorted(data.glob(f"{kind}/*/*"))[::60][:10]]
    if found:
        sounds = [load_audio(path, RATE) for path in found]
    else:
        sounds = [voice(100 + 10 * i, 0.4 + 0.2 * i, i) for i in range(CLIPS)]
    assert len(sounds) == CLIPS
    return [write_wav(folder / f"{i:02d}.wav", sound) for i, sound in enumerate(sounds)]


@pytest.fixture(scope="module")
def answers(clips, tmp_path_factory):
    """The shipped model with a threshold that half of the clips fail, and what Python answers."""
    folder = tmp_path_factory.mktemp("model")
    session = onnxruntime.InferenceSession(SHIPPED)
    odds = [_answer(SHIPPED, clip, -np.inf, session)[2] for clip in clips]
    model = with_threshold(folder / "model.onnx", float(np.median(odds)))
    session = onnxruntime.InferenceSession(model)
    found = [_answer(model, clip, float(np.median(odds)), session)[:2] for clip in clips]
    assert [name for name, _ in found].count(NOBODY) == CLIPS // 2
    return model, found


def with_threshold(path, least):
    """The shipped model file, which was written before there were thresholds, with one."""
    import onnx

    accept = {"0.001": None, "0.01": None, "0.05": least, "0.1": least - 1}
    about = replace(
        read_model(SHIPPED).metadata,
        thresholds={"accept": accept, "basis": "speakers", "clips": 60, **WEIGHTS},
        digest=DIGEST_BLANK,
    )
    model = onnx.load(SHIPPED)
    (entry,) = [entry for entry in model.metadata_props if entry.key == KEY]
    entry.value = about.to_json()
    path.write_bytes(seal(model.SerializeToString()))
    return path


def _answer(model, clip, least, session):
    """Name and probability as printed, and the log-odds, computed apart from any example."""
    metadata = read_model(model).metadata
    samples = load_audio(clip, RATE)
    logits, probabilities = (
        values[0] for values in session.run(["logits", "probabilities"], {"pcm": samples[None]})
    )
    top = np.sort(logits)[::-1][:6].astype(np.float64)
    seconds = min(len(samples) / RATE, metadata.window_seconds)
    values = {"best": top[0], "lead": top[0] - top[1:].mean(), "log_seconds": np.log(seconds)}
    odds = WEIGHTS["bias"] + sum(WEIGHTS[name] * value for name, value in values.items())
    if odds < least:
        return NOBODY, None, odds
    return metadata.labels[probabilities.argmax()], probabilities.max(), odds


def check(program, answers, clips, **options):
    """Run a program on all clips, with the file that has a threshold and with one that has none."""
    model, expected = answers
    for file in (model, SHIPPED):
        done = subprocess.run(
            [*map(str, program), str(file), *map(str, clips)],
            capture_output=True,
            text=True,
            env=os.environ | {"ORT_DISABLE_TELEMETRY": "1"} | options,
        )
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == CLIPS
        assert (NOBODY in lines) == (file == model)
        if file == model:
            for line, (name, probability) in zip(lines, expected, strict=True):
                assert line.startswith(name)
                if probability is not None:
                    assert float(line.split()[-1]) == pytest.approx(probability, abs=1e-3)
    refused = subprocess.run(
        [*map(str, program), str(model), __file__], capture_output=True, text=True
    )
    assert refused.returncode != 0
    assert "16-bit mono WAV" in refused.stderr


def test_the_programs_of_the_document_agree(answers, clips, tmp_path):
    model, expected = answers
    shutil.copy(model, tmp_path / "model.onnx")
    program = "import sys\n" + IN_PYTHON
    for clip, (name, _) in list(zip(clips, expected, strict=True))[::4]:
        shutil.copy(clip, tmp_path / "clip.wav")
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[0] == ("unknown" if name == NOBODY else name)


def test_node(answers, clips, tmp_path):
    if not shutil.which("node"):
        pytest.skip("no node to run docs/examples/identify.mjs with")
    modules = Path(os.environ.get("VOXEDGE_NODE_MODULES", EXAMPLES / "node_modules"))
    if not (modules / "onnxruntime-node").is_dir():
        pytest.skip("npm install onnxruntime-node, then set VOXEDGE_NODE_MODULES to node_modules")
    (tmp_path / "node_modules").symlink_to(modules.resolve())
    program = shutil.copy(EXAMPLES / "identify.mjs", tmp_path)
    check(["node", program], answers, clips)


@pytest.mark.parametrize(
    ("source", "header", "compiler"),
    [
        ("identify.c", "onnxruntime_c_api.h", ["cc", "-std=c11"]),
        ("identify.cpp", "onnxruntime_cxx_api.h", ["c++", "-std=c++17"]),
    ],
)
def test_compiled(source, header, compiler, answers, clips, tmp_path):
    include = os.environ.get("ONNXRUNTIME_INCLUDE", "")
    if not shutil.which(compiler[0]):
        pytest.skip(f"no {compiler[0]} to build docs/examples/{source} with")
    if not (include and (Path(include) / header).is_file()):
        pytest.skip(f"set ONNXRUNTIME_INCLUDE to the folder of ONNX Runtime's {header}")
    libraries = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if not libraries:
        pytest.skip("this onnxruntime has no libonnxruntime.so to link with")
    (tmp_path / "libonnxruntime.so.1").symlink_to(libraries[0])
    where = [f"-L{tmp_path}", f"-Wl,-rpath,{tmp_path}", "-l:libonnxruntime.so.1", "-lm"]
    built = [*compiler, "-Wall", "-Wextra", "-Werror", "-O1", f"-I{include}", EXAMPLES / source]
    done = subprocess.run(
        [*built, *where, "-o", tmp_path / "identify"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    check([tmp_path / "identify"], answers, clips)


@pytest.mark.parametrize("name", ["identify.mjs", "identify.c", "identify.cpp"])
def test_examples_are_short_and_have_no_signal_processing(name):
    text = (EXAMPLES / name).read_text()
    assert len(text.splitlines()) < 60
    assert not any(word in text.lower() for word in ("fft", "mel", "hann", "resampl"))


def test_examples_that_are_not_run_say_so():
    for name in ("Identify.swift", "Identify.kt"):
        text = (EXAMPLES / name).read_text()
        assert len(text.splitlines()) < 60
        assert "Not run by the tests." in text


def test_metadata_of_the_example_is_the_files(answers):
    """The examples find the JSON object in the bytes, without protobuf."""
    model, _ = answers
    data = model.read_bytes()
    at = data.rindex(b"\n\x07voxedge\x12") + 10
    size = shift = 0
    while True:
        size |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            break
    assert json.loads(data[at : at + size]) == json.loads(read_model(model).metadata.to_json())
