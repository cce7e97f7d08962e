"""Files a second: ``identify_many`` on recordings, compared with the bare session on ready batches.

The difference is what decoding, resampling and cutting into windows cost; these run on other
threads, but share the processors with the session. How much of it is the codec's is shown by two
more rows: the same clips as WAV files, which cost next to nothing to decode, and decoding alone.
"""

from __future__ import annotations

import soundfile

from bench.alternate import alternate, timed
from bench.clips import recordings
from voxedge.audio.load import load_audio
from voxedge.audio.windows import active_windows, batches
from voxedge.inference.identifier import Identifier
from voxedge.inference.prediction import Failure
from voxedge.inference.session import open_session
from voxedge.threads import available_processors, ordered_map

CLIPS, QUICK_CLIPS = 1_000, 40
TURNS = 2  # some fifteen seconds each
OURS, BARE = "identify_many", "bare session"
OURS_WAV, DECODING = "identify_many, the clips as WAV files", "decoding alone"


def test_files(benchmark, prepared, device_model, tmp_path):
    threads = available_processors()
    paths = recordings(prepared.run, QUICK_CLIPS if prepared.quick else CLIPS)
    identifier = Identifier(device_model, device="cpu", threads=threads)
    session, _ = open_session(device_model.read_bytes(), "cpu", threads)
    rate, window = identifier.sample_rate, identifier.metadata.window
    windows = (
        (None, part)
        for path in paths
        for part in active_windows(load_audio(path, rate), window, rate)
    )
    ready = list(batches(windows, identifier.batch_size, window))
    copies = {path: tmp_path / f"{n}.wav" for n, path in enumerate(set(paths))}
    for path, copy in copies.items():
        soundfile.write(copy, load_audio(path, rate), rate, subtype="PCM_16")
    wav_paths = [copies[path] for path in paths]

    def identify(files):
        failed = sum(isinstance(answer, Failure) for answer in identifier.identify_many(files))
        assert not failed

    def decode():
        decoded = ordered_map(lambda path: load_audio(path, rate), paths, threads)
        assert all(len(samples) for samples in decoded)

    def run_ready():
        for batch in ready:
            session.run(["probabilities"], {"pcm": batch.pcm, "lengths": batch.lengths})

    trials = {
        OURS: timed(lambda: identify(paths)),
        OURS_WAV: timed(lambda: identify(wav_paths)),
        DECODING: timed(decode),
        BARE: timed(run_ready),
    }
    timings = alternate(benchmark, trials, 1 if prepared.quick else TURNS)
    benchmark.extra_info.update(
        suite="files",
        device="cpu",
        precision=identifier.metadata.precision,
        clips=len(paths),
        different=len(set(paths)),
        windows=sum(len(batch.pcm) for batch in ready),
        figures=timings,
    )
