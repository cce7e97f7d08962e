"""Programs that answer once and end, to be timed from their start: ``python -m bench.fresh``.

``bare MODEL THREADS`` is the least that ONNX Runtime can do: no decoding, no checks, no answer.
``many MODEL LIST`` names the speaker of every clip of a list. ``eager RUN CLIP`` and ``seed RUN
CLIP`` name the speaker of one clip, as the other contestants do. The imports are inside the
functions, so that each program imports only what it needs.
"""

from __future__ import annotations

import sys


def bare(model: str, threads: str) -> None:
    """Open a session and run it on three seconds of silence."""
    import numpy as np

    from voxedge.inference.runtime import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(["probabilities"], {"pcm": np.zeros((1, 48_000), np.float32)})


def many(model: str, listed: str) -> None:
    """Name the speakers of the clips whose paths are the lines of a file."""
    from pathlib import Path

    from voxedge import Identifier

    paths = Path(listed).read_text().splitlines()
    for answer in Identifier(model, device="cpu").identify_many(paths):
        print(answer.to_dict())


def eager(run: str, clip: str) -> None:
    """Name the speaker of a clip with the network as PyTorch trained it."""
    from pathlib import Path

    import torch

    from voxedge.audio.load import load_audio
    from voxedge.nn.speaker_net import ExportedNet
    from voxedge.train.build import load_net
    from voxedge.train.run import Run

    trained = Run(Path(run))
    net = ExportedNet(load_net(trained), trained.metrics()["temperature"]).eval()
    pcm = torch.from_numpy(load_audio(clip, trained.recipe().frontend.sample_rate))[None]
    with torch.inference_mode():
        _, probabilities, _ = net(pcm, torch.tensor([pcm.shape[1]]))
    print(trained.labels()[int(probabilities.argmax())])


def seed(run: str, clip: str) -> None:
    """Name the speaker of a clip as the seed system does."""
    from pathlib import Path

    import librosa
    import numpy as np

    from bench.seed_pipeline import SeedPipeline

    pipeline = SeedPipeline(Path(run))
    pcm, _ = librosa.load(clip, sr=pipeline.sample_rate)
    print(pipeline(pcm[None, : pipeline.window], np.array([len(pcm)])).argmax())


if __name__ == "__main__":
    {"bare": bare, "many": many, "eager": eager, "seed": seed}[sys.argv[1]](*sys.argv[2:])
