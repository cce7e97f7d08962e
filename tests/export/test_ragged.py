"""Model files that take the clips of a batch in one buffer answer as on padded rows."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from voxedge.export import ragged as form
from voxedge.export.input_format import InputFormat, with_input_format
from voxedge.export.passes import PASSES
from voxedge.export.pipeline import export_run
from voxedge.export.ragged import check_ragged, with_ragged_input
from voxedge.export.serialise import serialise
from voxedge.export.trace import trace

from tests.conftest import RATE, SPEAKERS, voice, voxedge
from voxedge import Identifier
from voxedge.audio.windows import as_buffer, make_batch
from voxedge.errors import ModelError, ParityError
from voxedge.inference.feeds import ragged_feeds
from voxedge.model_file.metadata import Metadata
from voxedge.model_file.reader import read_model
from voxedge.nn.speaker_net import ExportedNet
from voxedge.train.build import build_net
from voxedge.train.recipe import Recipe
from voxedge.train.recipe_sections import FrontendRecipe
from voxedge.train.run import find_run

WINDOW = RATE  # samples: one second
OUTPUTS = ["logits", "probabilities", "embedding"]
FORMATS = [
    InputFormat(RATE, ragged=True),
    InputFormat(RATE, "int16", 2, ragged=True),
    InputFormat(44_100, "float32", 2, ragged=True),
]


@pytest.fixture(scope="module", params=["repeat", "zero"])
def plain(request):
    frontend = FrontendRecipe(image_size=32, window_seconds=1.0, padding=request.param)
    model = trace(ExportedNet(build_net(Recipe(frontend=frontend), 5), 1.0).eval())
    for apply in PASSES:
        apply(model)
    return model


def both(plain, input_format):
    """The padded form and the ragged one."""
    padded = plain
    if not input_format.is_plain(RATE):
        padded = with_input_format(plain, input_format, RATE, WINDOW)
    return padded, with_ragged_input(padded, input_format, RATE, WINDOW)


def session(model):
    return onnxruntime.InferenceSession(serialise(model), providers=["CPUExecutionProvider"])


def clips_at(rate):
    """Shorter than the window, longer, as long, and a single sample."""
    seconds = (0.3, 2.2, 1.0, 0.77, 1 / rate)
    return [voice(120 + 30 * i, s * rate / RATE, i) for i, s in enumerate(seconds)]


@pytest.mark.parametrize("input_format", FORMATS, ids=str)
def test_answers_are_those_of_padded_rows(plain, input_format):
    padded, ragged = both(plain, input_format)
    onnx.checker.check_model(onnx.load_from_string(serialise(ragged)), full_check=True)
    clips = clips_at(input_format.rate)
    batch = make_batch([(None, clip) for clip in clips], max(map(len, clips)))
    rows = as_buffer(batch.pcm, input_format.dtype, input_format.channels)
    expected = session(padded).run(OUTPUTS, {"pcm": rows, "lengths": batch.lengths})
    # Put together by hand, as a client or Triton does.
    own = [as_buffer(c[None], input_format.dtype, input_format.channels)[0] for c in clips]
    counts = np.array([len(clip) for clip in own], np.int32)
    feeds = {"pcm": np.concatenate(own), "counts": counts}
    actual = session(ragged).run(OUTPUTS, feeds)
    for a, b in zip(expected, actual, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    again = ragged_feeds(rows, batch.lengths, input_format.channels)
    np.testing.assert_array_equal(again["pcm"], feeds["pcm"])
    np.testing.assert_array_equal(again["counts"], counts)


def test_no_clip_is_affected_by_its_neighbours(plain):
    run = session(both(plain, FORMATS[2])[1]).run
    clips = [np.repeat(clip, 2) for clip in clips_at(44_100)[:3]]
    broken = [clips[0], np.full_like(clips[1], np.nan), clips[2]]
    counts = np.array([len(clip) for clip in clips], np.int32)
    clean, dirty = (
        run(OUTPUTS[:1], {"pcm": np.concatenate(some), "counts": counts})[0]
        for some in (clips, broken)
    )
    np.testing.assert_array_equal(clean[[0, 2]], dirty[[0, 2]])


def test_counts_beyond_the_buffer_are_refused_by_the_runtime(plain):
    run = session(both(plain, FORMATS[0])[1]).run
    with pytest.raises(Exception, match="indices element out of data bounds"):
        run(OUTPUTS, {"pcm": voice(150, 1.0, 1), "counts": np.array([RATE, 1], np.int32)})


def test_a_graph_that_mixes_clips_up_is_refused(plain, monkeypatch):
    padded, ragged = both(plain, FORMATS[0])
    clips = clips_at(RATE)
    found = check_ragged(padded, ragged, FORMATS[0], OUTPUTS, clips)
    assert found["top1"] == 1.0
    assert found["largest"] < 1e-5
    assert found["clips"] >= 13  # every size of a batch

    def shifted(*arguments):
        feeds = ragged_feeds(*arguments)
        return feeds | {"pcm": np.roll(feeds["pcm"], RATE // 3)}

    monkeypatch.setattr(form, "ragged_feeds", shifted)
    with pytest.raises(ParityError, match="ragged form differ"):
        check_ragged(padded, ragged, FORMATS[0], OUTPUTS, clips)


def test_identify_and_inspect_take_such_a_file(workshop, model_path, tmp_path):
    path = tmp_path / "ragged.onnx"
    done = export_run(
        find_run(workshop / "runs"),
        path,
        input_format=InputFormat(44_100, "int16", 2, ragged=True),
    )
    metadata = read_model(path).metadata
    assert metadata.input == {
        "dtype": "int16",
        "rate": 44_100,
        "channels": 2,
        "layout": "ragged",
    }
    assert done.metadata.parity["ragged"]["largest"] <= 1e-3
    assert [value.name for value in onnxruntime.InferenceSession(path).get_inputs()] == [
        "pcm",
        "counts",
    ]
    ragged, padded = Identifier(path), Identifier(model_path)
    for name in SPEAKERS:
        clip = workshop / f"{name}.wav"
        first, second = ragged.identify(clip), padded.identify(clip)
        assert first.speaker == second.speaker == name
        assert first.windows == second.windows
    shown = voxedge("inspect", path, cwd=tmp_path)
    assert "pcm int16 [values], counts int32 [batch], 44100 Hz" in shown.stdout


def test_an_unknown_layout_is_refused():
    about = Metadata(("a", "b"), RATE, 1.0, 0.1, 8, 1.0)
    text = about.to_json().replace('"input":{}', '"input":{"layout":"columns"}')
    assert json.loads(text)["input"]
    with pytest.raises(ModelError, match="layout"):
        Metadata.from_json(text)
