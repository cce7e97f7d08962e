"""Folders of Kaldi: utterances as files or as parts of recordings, and never a command."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from tests.conftest import RATE, voice
from voxedge import load_audio
from voxedge.data.corpus import load_corpus
from voxedge.data.manifest import read_manifest
from voxedge.errors import CorpusError, TooShort


@pytest.fixture
def folder(tmp_path):
    """Two recordings of two speakers each, cut into three utterances."""
    for number, pitch in enumerate((110.0, 205.0)):
        soundfile.write(tmp_path / f"r{number}.wav", voice(pitch, 3, number), RATE)
    (tmp_path / "wav.scp").write_text(f"r0 r0.wav\nr1\t{tmp_path}/r1.wav\n\n")
    (tmp_path / "segments").write_text("b-1 r1 0.5 1.25\na-1 r0 0 1\na-2 r0 1.0 -1\n")
    (tmp_path / "utt2spk").write_text("a-1 ada\na-2  ada\nb-1 ben\n")
    return tmp_path


def test_segments_are_the_samples_between_their_times(folder):
    manifest = read_manifest(folder)
    assert [(clip.name, clip.speaker, clip.session) for clip in manifest.clips] == [
        ("a-1", "ada", "r0"),
        ("a-2", "ada", "r0"),
        ("b-1", "ben", "r1"),
    ]
    whole = [load_audio(folder / f"r{number}.wav") for number in range(2)]
    wanted = (whole[0][:RATE], whole[0][RATE:], whole[1][RATE // 2 : RATE * 5 // 4])
    for clip, samples in zip(manifest.clips, wanted, strict=True):
        np.testing.assert_array_equal(load_audio(clip.source), samples)
    assert load_corpus(manifest, RATE).labels == ("ada", "ben")


def test_float_samples_keep_their_precision(folder):
    sound = voice(110.0, 3, 0) / 7
    soundfile.write(folder / "r0.wav", sound, RATE, subtype="FLOAT")
    np.testing.assert_array_equal(load_audio(read_manifest(folder).clips[0].source), sound[:RATE])


def test_without_segments_recordings_are_utterances(folder, monkeypatch):
    (folder / "segments").unlink()
    (folder / "utt2spk").write_text("r0 ada\nr1 ben\n")
    clips = read_manifest(folder).clips
    assert [(clip.name, clip.session) for clip in clips] == [("r0", ""), ("r1", "")]
    assert [clip.source for clip in clips] == [folder / "r0.wav", folder / "r1.wav"]
    monkeypatch.chdir(folder)
    (folder / "wav.scp").write_text(f"r0 {folder.name}/r0.wav\nr1 {folder.name}/r1.wav\n")
    monkeypatch.chdir(folder.parent)  # paths relative to where the recipe runs
    assert all(clip.source.is_file() for clip in read_manifest(folder).clips)


def test_a_command_is_refused_and_not_run(folder):
    (folder / "wav.scp").write_text(f"r0 touch {folder}/ran; cat {folder}/r0.wav |\nr1 r1.wav\n")
    with pytest.raises(CorpusError, match="r0 is a command, and voxedge runs none: touch"):
        read_manifest(folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("wav.scp", "r0 a.ark:15\nr1 r1.wav\n", "r0 is within an archive"),
        ("wav.scp", "r0\n", "wav.scp, line 1: r0 has nothing behind it"),
        ("utt2spk", "a-1 ada\na-1 ben\n", "utt2spk, line 2: a-1 is listed twice"),
        ("utt2spk", "a-1 ada\n", "utt2spk does not say whose a-2 is"),
        ("utt2spk", "a-1 a\na-2 a\nb-1 b\nc c\n", "no audio of the utterance c"),
        ("utt2spk", "a-1 ada\na-2 Ada\nb-1 ben\n", "differ only in case"),
        ("utt2spk", "", "lists no utterances"),
        ("segments", "a-1 r0 1 0.5\n", "a-1 ends before it begins"),
        ("segments", "a-1 r0 0 inf\n", "a-1 ends before it begins"),
        ("segments", "a-1 r9 0 1\n", "a-1 is 'r9 0 1', not a recording"),
    ],
)
def test_what_is_wrong_is_named(folder, file, text, message):
    (folder / file).write_text(text)
    if not text:
        (folder / "segments").write_text("")
    with pytest.raises(CorpusError, match=message):
        read_manifest(folder)


def test_a_segment_beyond_its_recording_is_left_out(folder):
    (folder / "segments").write_text("a-1 r0 9 10\na-2 r0 0 1\nb-1 r1 0 9\n")
    first, *others = read_manifest(folder).clips
    with pytest.raises(TooShort, match="ends before this segment begins"):
        first.source.read_bytes()
    assert len(load_audio(others[1].source)) == 3 * RATE
    (folder / "r1.wav").write_bytes(b"no audio")
    (folder / "r0.wav").unlink()
    corpus = load_corpus(read_manifest(folder), RATE, min_speakers=0)
    assert [problem.code for problem in corpus.problems] == ["not_found", "not_found", "unreadable"]
