"""Files a second: ``identify_many`` on recordings, beside the bare session on ready batches.

What the former takes longer is what decoding, resampling and cutting cost: on other threads, but
where there are no other cores they share them with the session. The same clips as WAV files, which
cost next to nothing to decode, and decoding alone show how much of it is the codec's.
"""

from __future__ import annotations

import numpy as np
import soundfile

from bench.alternate import alternate, clocked
from bench.prepare import recordings
from voxedge.audio.load import load_audio
from voxedge.audio.windows import batches, speech
from voxedge.inference.identifier import Failure, Identifier
from voxedge.inference.session import open_session
from voxedge.threads import available_processors, ordered_map

CLIPS, QUICK_CLIPS = 1_000, 40
TURNS = 2  # some fifteen seconds each
OURS, BARE = "identify_many", "bare session"
OURS_WAV, DECODING = "identify_many, the clips as WAV files", "decoding alone"


def test_files(benchmark, material, product, tmp_path):
    threads = available_processors()
    paths = recordings(material.run, QUICK_CLIPS if material.quick else CLIPS)
    identifier = Identifier(product, device="cpu", threads=threads)
    session, _ = open_session(product.read_bytes(), "cpu", threads)
    rate, window = identifier.sample_rate, identifier.metadata.window
    windows = ((None, part) for path in paths for part in speech(load_audio(path, rate), window))
    ready = list(batches(windows, identifier.batch_size, window))
    copies = {path: tmp_path / f"{n}.wav" for n, path in enumerate(set(paths))}
    for path, copy in copies.items():
        soundfile.write(copy, load_audio(path, rate), rate, subtype="PCM_16")
    waves = [copies[path] for path in paths]

    def ours(files):
        failed = sum(isinstance(answer, Failure) for answer in identifier.identify_many(files))
        assert not failed

    def decoding():
        decoded = ordered_map(lambda path: load_audio(path, rate), paths, threads)
        assert all(len(samples) for samples in decoded)

    def bare():
        for batch in ready:
            session.run(["probabilities"], {"pcm": batch.pcm, "lengths": batch.lengths})

    trials = {
        OURS: clocked(lambda: ours(paths)),
        OURS_WAV: clocked(lambda: ours(waves)),
        DECODING: clocked(decoding),
        BARE: clocked(bare),
    }
    figures = alternate(benchmark, trials, 1 if material.quick else TURNS)
    benchmark.extra_info.update(
        suite="files",
        device="cpu",
        precision=identifier.metadata.precision,
        clips=len(paths),
        different=len(set(paths)),
        windows=int(np.sum([len(batch.pcm) for batch in ready])),
        figures=figures,
    )
