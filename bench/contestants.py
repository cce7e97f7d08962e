"""Who is compared: ways from the same windows to an answer, called the same way.

A rival that is not installed is left out with one line that says so. Each is given what makes it
fast: fixed shapes where it wants them, constants folded, as many threads as the others.

Shapes: B windows, W samples of a window, K classes, P pixels of a side, D any width.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from voxedge.export.precision import Precision
from voxedge.export.trace import OUTPUTS

from bench.prepare import Lengths, Material
from bench.seed_pipeline import SeedPipeline
from bench.trunk import bare_front_end, bare_trunk, behind_front_end
from voxedge.audio.limits import Samples
from voxedge.errors import MissingExtra, ProviderUnavailable, VoxedgeError
from voxedge.inference.identifier import Identifier
from voxedge.inference.session import open_session
from voxedge.nn.speaker_net import ExportedNet
from voxedge.train.build import load_net
from voxedge.train.run import Run

Array: TypeAlias = npt.NDArray[np.float32]
Answer: TypeAlias = Callable[[Samples, Lengths], Array]  # [B, W], [B] -> [B, K], or [B, D]

INT8, FP32, FP16 = "int8", "fp32", "fp16"
BARE_INT8, BARE_FP32 = "bare_int8", "bare_fp32"
FRONT_END, BEHIND_INT8 = "front_end", "behind_int8"
EAGER, COMPILED = "eager", "compiled"
OPENVINO_INT8, OPENVINO_FP32 = "openvino_int8", "openvino_fp32"
RESEMBLYZER, ECAPA = "resemblyzer", "ecapa"
SEED, SEED_EXPORTED = "seed", "seed_exported"
SEED_EAGER = "seed_eager"  # the seed network behind our front end; compared, not timed

_EXTRA = "pip install -c constraints.txt -e '.[bench]'"
_RESEMBLYZER = "pip install --no-deps Resemblyzer webrtcvad-wheels"


@dataclass(frozen=True)
class Contestant:
    """One way to an answer.

    Args:
        title: for people.
        load: (material, device, threads) -> the way; may raise ``VoxedgeError``: it is left out.
        devices: that it runs on.
        judged: whether its answers are compared: not those that name no speaker, and not those of a
            network that is judged already.
    """

    title: str
    load: Callable[[Material, str, int], Answer]
    devices: tuple[str, ...] = ("cpu",)
    judged: bool = True


def contestants(
    material: Material, device: str, threads: int
) -> tuple[dict[str, Answer], dict[str, str]]:
    """All that run on a device, and of the others why they do not.

    PyTorch's threads are everybody's: they are set here for what runs next.
    """
    torch.set_num_threads(threads)
    answers: dict[str, Answer] = {}
    missing: dict[str, str] = {}
    for name, contestant in CONTESTANTS.items():
        if device in contestant.devices:
            try:
                answers[name] = contestant.load(material, device, threads)
            except VoxedgeError as error:
                missing[name] = f"{error.message} ({error.hint})" if error.hint else error.message
    return answers, missing


def onnx_runtime(model: Path, device: str, threads: int) -> Answer:
    """An exported file, as ``Identifier`` runs it."""
    identifier = Identifier(model, device=device, threads=threads)

    def answer(pcm: Samples, lengths: Lengths) -> Array:
        return identifier.run(pcm, lengths).probabilities

    return answer


def eager(run: Run, device: str) -> Answer:
    """The network as it was trained, in PyTorch."""
    net = ExportedNet(load_net(run), run.metrics()["temperature"])
    return _module(net.eval().to(device), device)


def why_no_cuda(model: Path) -> str | None:
    """What keeps ONNX Runtime from the GPU; None where it loads."""
    try:
        Identifier(model, device="cuda")
    except ProviderUnavailable as error:
        return str(error)
    return None


def _ours(precision: Precision) -> Callable[[Material, str, int], Answer]:
    def load(material: Material, device: str, threads: int) -> Answer:
        return onnx_runtime(material.file(precision), device, threads)

    return load


def _bare(precision: Precision) -> Callable[[Material, str, int], Answer]:
    """The trunk alone, given an image of the same size."""

    def load(material: Material, device: str, threads: int) -> Answer:
        session, _ = open_session(bare_trunk(material.file(precision)), device, threads)
        image = _images(material)

        def answer(pcm: Samples, _: Lengths) -> Array:
            features: Array = session.run(["features"], {"image": image(len(pcm))})[0]
            return features[:, :, 0, 0]

        return answer

    return load


def _behind(precision: Precision) -> Callable[[Material, str, int], Answer]:
    """All but the front end, given an image of the same size."""

    def load(material: Material, device: str, threads: int) -> Answer:
        session, _ = open_session(behind_front_end(material.file(precision)), device, threads)
        image = _images(material)

        def answer(pcm: Samples, lengths: Lengths) -> Array:
            feeds = {"image": image(len(pcm)), "pcm": pcm, "lengths": lengths}
            _, probabilities, _ = session.run(OUTPUTS, feeds)
            array: Array = probabilities
            return array

        return answer

    return load


def _images(material: Material) -> Callable[[int], Array]:
    """B -> the same random images [B, 1, P, P] each time."""
    pixels = material.run.recipe().frontend.image_size

    @functools.cache
    def image(rows: int) -> Array:
        return np.random.default_rng(0).standard_normal((rows, 1, pixels, pixels), np.float32)

    return image


def _front_end(material: Material, device: str, threads: int) -> Answer:
    """The image alone, which every precision computes in float32."""
    session, _ = open_session(bare_front_end(material.file("fp32")), device, threads)

    def answer(pcm: Samples, lengths: Lengths) -> Array:
        image: Array = session.run(["image"], {"pcm": pcm, "lengths": lengths})[0]
        return image[:, 0, 0]

    return answer


def _module(net: Callable[..., Any], device: str) -> Answer:
    @torch.inference_mode()
    def answer(pcm: Samples, lengths: Lengths) -> Array:
        _, probabilities, _ = net(
            torch.from_numpy(pcm).to(device), torch.from_numpy(lengths).to(device)
        )
        array: Array = probabilities.cpu().numpy()
        return array

    return answer


def _eager(material: Material, device: str, _: int) -> Answer:
    _torch_on(device)
    return eager(material.run, device)


def _compiled(material: Material, device: str, threads: int) -> Answer:
    """``torch.compile``, its weights frozen in; each shape of input is compiled on first use."""
    _torch_on(device)
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise MissingExtra("torch.compile finds no C++ compiler", "apt install g++")
    run = material.run
    net = ExportedNet(load_net(run), run.metrics()["temperature"]).eval().to(device)
    options: dict[str, Any] = {"freezing": True, "cpp.threads": threads}
    return _module(torch.compile(net, dynamic=False, options=options), device)


def _openvino(precision: Precision) -> Callable[[Material, str, int], Answer]:
    """OpenVINO on the very same file, compiled for each shape of input on first use."""

    def load(material: Material, _: str, threads: int) -> Answer:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtra(f"OpenVINO is not installed ({error})", _EXTRA) from None
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it
        }
        path = material.file(precision)
        compiled: dict[tuple[int, ...], Any] = {}

        def answer(pcm: Samples, _: Lengths) -> Array:
            if pcm.shape not in compiled:
                model = core.read_model(path)
                model.reshape({"pcm": list(pcm.shape)})
                compiled[pcm.shape] = core.compile_model(model, "CPU", settings)
            probabilities: Array = compiled[pcm.shape]({"pcm": pcm})["probabilities"]
            return probabilities

        return answer

    return load


def _resemblyzer(_: Material, __: str, ___: int) -> Answer:
    """Its own features, voice activity detection included, and its embedding, clip by clip."""
    try:
        from resemblyzer import VoiceEncoder, preprocess_wav
    except ImportError as error:
        raise MissingExtra(f"Resemblyzer is not installed ({error})", _RESEMBLYZER) from None
    encoder = VoiceEncoder("cpu", verbose=False)

    def answer(pcm: Samples, lengths: Lengths) -> Array:
        clips = (row[:length] for row, length in zip(pcm, lengths, strict=True))
        return np.stack([encoder.embed_utterance(preprocess_wav(clip)) for clip in clips])

    return answer


def _ecapa(_: Material, device: str, __: int) -> Answer:
    """SpeechBrain's ECAPA-TDNN as published on VoxCeleb (80 bands, 1,024 channels, 192 wide)."""
    try:
        from speechbrain.lobes.features import Fbank
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
        from speechbrain.processing.features import InputNormalization
    except ImportError as error:
        raise MissingExtra(f"SpeechBrain is not installed ({error})", _EXTRA) from None
    _torch_on(device)
    bands, normalise = Fbank(n_mels=80).to(device), InputNormalization("sentence", std_norm=False)
    channels = [1024, 1024, 1024, 1024, 3072]
    net = ECAPA_TDNN(80, lin_neurons=192, channels=channels).eval().to(device)  # random weights

    @torch.inference_mode()
    def answer(pcm: Samples, lengths: Lengths) -> Array:
        relative = torch.from_numpy(lengths / pcm.shape[1]).float().to(device)
        features = normalise(bands(torch.from_numpy(pcm).to(device)), relative)
        embedding: Array = net(features, relative)[:, 0].cpu().numpy()
        return embedding

    return answer


def _seed(material: Material, device: str, _: int) -> Answer:
    _torch_on(device)
    return SeedPipeline(material.seed_run.folder, device)


def _seed_exported(material: Material, device: str, threads: int) -> Answer:
    return onnx_runtime(material.file(SEED), device, threads)


def _torch_on(device: str) -> None:
    if device != "cpu" and not torch.cuda.is_available():
        raise ProviderUnavailable("this PyTorch has no CUDA")


_BOTH = ("cpu", "cuda")
#: By name; in the tables ratios are to the first that ran.
CONTESTANTS: dict[str, Contestant] = {
    INT8: Contestant("voxedge, int8", _ours("int8")),
    FP32: Contestant("voxedge, fp32", _ours("fp32"), _BOTH),
    FP16: Contestant("voxedge, fp16", _ours("fp16"), _BOTH),
    BARE_INT8: Contestant("bare ResNet-18 of the file, int8", _bare("int8"), judged=False),
    BARE_FP32: Contestant("bare ResNet-18 of the file, fp32", _bare("fp32"), _BOTH, judged=False),
    FRONT_END: Contestant("front end of the file alone", _front_end, _BOTH, judged=False),
    BEHIND_INT8: Contestant("all but the front end, int8", _behind("int8"), judged=False),
    OPENVINO_INT8: Contestant("OpenVINO, the int8 file", _openvino("int8"), judged=False),
    OPENVINO_FP32: Contestant("OpenVINO, the fp32 file", _openvino("fp32"), judged=False),
    EAGER: Contestant("PyTorch eager", _eager, _BOTH),
    COMPILED: Contestant("torch.compile", _compiled, _BOTH, judged=False),
    RESEMBLYZER: Contestant("Resemblyzer", _resemblyzer, judged=False),
    ECAPA: Contestant("SpeechBrain ECAPA-TDNN", _ecapa, _BOTH, judged=False),
    SEED: Contestant("seed pipeline (librosa, torch)", _seed, _BOTH),
    SEED_EXPORTED: Contestant("seed network, exported", _seed_exported, _BOTH),
}
