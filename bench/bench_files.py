"""Files a second: ``identify_many`` on recordings, beside the bare session on ready batches.

What the former takes longer is what decoding, resampling and cutting cost; they run on other
threads, so it should be little.
"""

from __future__ import annotations

import numpy as np

from bench.alternate import alternate, clocked
from bench.prepare import recordings
from voxedge.audio import load_audio
from voxedge.parallel import available_processors
from voxedge.runtime import Failure, Identifier
from voxedge.session import open_session
from voxedge.windows import batches, speech

CLIPS, QUICK_CLIPS = 1_000, 40
TURNS = 2  # some fifteen seconds each
OURS, BARE = "identify_many", "bare session"


def test_files(benchmark, material, product):
    threads = available_processors()
    paths = recordings(material.run, QUICK_CLIPS if material.quick else CLIPS)
    identifier = Identifier(product, device="cpu", threads=threads)
    session, _ = open_session(product.read_bytes(), "cpu", threads)
    rate, window = identifier.sample_rate, identifier.metadata.window
    windows = ((None, part) for path in paths for part in speech(load_audio(path, rate), window))
    ready = list(batches(windows, identifier.batch_size, window))

    def ours():
        failed = sum(isinstance(answer, Failure) for answer in identifier.identify_many(paths))
        assert not failed

    def bare():
        for batch in ready:
            session.run(["probabilities"], {"pcm": batch.pcm, "lengths": batch.lengths})

    trials = {OURS: clocked(ours), BARE: clocked(bare)}
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
