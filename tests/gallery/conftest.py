"""A model file whose embedding is the spectrum of a clip, and tones that stand for voices."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE
from voxedge.audio.activity import Activity
from voxedge.gallery import file
from voxedge.gallery.calibration import Calibration, LogOdds
from voxedge.gallery.gallery import Gallery
from voxedge.gallery.people import Contents, GalleryModel
from voxedge.inference.identifier import Identifier
from voxedge.model_file.metadata import DIGEST_BLANK
from voxedge.model_file.seal import seal
from voxedge.speech.clip import Speech
from voxedge.speech.segments import Segment

BANDS = 80
#: Of strangers 10 % reach 0.3, 5 % 0.4 and 2 % 0.5.
CALIBRATION = Calibration((0.3, 0.4, 0.5), 45, 300, "a test", LogOdds(10.0, -4.0))
PITCHES = {"ada": 300.0, "ben": 900.0, "cleo": 2000.0, "dan": 3000.0}  # Hz


def tone(*hertz: float, seconds: float = 2.0, level: float = 0.2, seed: int = 0) -> np.ndarray:
    """Tones that swell as syllables do: float32 [S]; another seed is another clip."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 1 + 0.002 * seed  # a voice is not the same twice
    sound = sum(np.sin(2 * np.pi * pitch * f * time + random.uniform(0, 6)) for f in hertz)
    sound = sound * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * time + random.uniform(0, 6)))
    sound += random.normal(0, 0.01, len(time))
    return (level * sound / np.abs(sound).max()).astype(np.float32)


def speech_by_energy(samples: np.ndarray, rate: int) -> Speech:
    """In place of the detector, which takes no tone for speech: what stands out by its energy."""
    activity = Activity.of(samples, rate)
    seconds = activity.frame / rate
    edges = np.flatnonzero(np.diff(np.pad(activity.active.astype(int), 1)))
    return Speech(
        tuple(Segment(start * seconds, end * seconds) for start, end in edges.reshape(-1, 2))
    )


@contextmanager
def tones_taken_for_speech() -> Iterator[None]:
    """Find speech by its energy, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("voxedge.inference.clips.find_speech", speech_by_energy)
        yield


def write_tone(path: Path, *hertz: float, **options) -> Path:
    """A WAV file of ``tone``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(*hertz, **options), RATE)
    return path


def write_spectrum_model(path: Path) -> Path:
    """A model file that gives the amplitude of each band, averaged over time."""
    path.write_bytes(_folded())
    return path


def write_other_model(model: Path, path: Path) -> Path:
    """Another model file, as its digest says, whose embeddings happen to be the same."""
    import onnx

    other = onnx.load(model)
    (entry,) = other.metadata_props
    values = json.loads(entry.value) | {"source": "another one", "digest": DIGEST_BLANK}
    entry.value = json.dumps(values, separators=(",", ":"))
    path.write_bytes(seal(other.SerializeToString()))
    return path


@cache
def _folded() -> bytes:
    """Fold that network; once, since it takes seconds."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from voxedge.export.fold.clips import Clips, synthetic_clips
    from voxedge.export.fold.compose import read_network
    from voxedge.export.fold.frontends import KaldiSettings
    from voxedge.export.fold.pipeline import fold_network

    nodes = [
        helper.make_node("Mul", ["x", "half"], ["h"]),
        helper.make_node("Exp", ["h"], ["a"]),
        helper.make_node("ReduceMean", ["a"], ["y"], axes=[1], keepdims=0),
    ]
    value = helper.make_tensor_value_info
    half = numpy_helper.from_array(np.float32(0.5), "half")
    graph = helper.make_graph(
        nodes,
        "spectrum",
        [value("x", TensorProto.FLOAT, ["batch", "frames", BANDS])],
        [value("y", TensorProto.FLOAT, ["batch", BANDS])],
        [half],
    )
    folder = tempfile.TemporaryDirectory()
    net, path = (Path(folder.name) / name for name in ("net.onnx", "spectrum.onnx"))
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), net
    )
    clips = Clips(synthetic_clips(RATE).samples[:2], "synthetic")
    settings = KaldiSettings(mean_norm=False)
    fold_network(read_network(net), settings, path, window_seconds=2.0, clips=clips)
    with folder:
        return path.read_bytes()


@pytest.fixture(scope="module", autouse=True)
def _tones() -> Iterator[None]:
    with tones_taken_for_speech():
        yield


@pytest.fixture(scope="session")
def spectrum_model(tmp_path_factory) -> Path:
    return write_spectrum_model(tmp_path_factory.mktemp("spectrum") / "spectrum.onnx")


@pytest.fixture(scope="session")
def other_model(spectrum_model) -> Path:
    return write_other_model(spectrum_model, spectrum_model.with_name("other.onnx"))


@pytest.fixture(scope="session")
def identifier(spectrum_model) -> Identifier:
    return Identifier(spectrum_model, threads=1)


@pytest.fixture
def gallery(identifier, tmp_path) -> Gallery:
    """An empty gallery whose thresholds are known."""
    path = tmp_path / "people.vxg"
    model = GalleryModel.of(identifier.metadata, "spectrum.onnx")
    file.write(path, Contents(model, calibration=CALIBRATION))
    return Gallery(path, identifier)


@pytest.fixture
def people(gallery) -> Gallery:
    """Ada, Ben and Cleo, with three clips each."""
    for name in ("ada", "ben", "cleo"):
        gallery.enroll(name, [tone(PITCHES[name], seed=seed) for seed in range(3)])
    return gallery
