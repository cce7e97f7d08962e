"""The contestants: ways from the same windows to an answer, all called the same way.

A rival that is not installed is left out, and the report says so. Each gets what makes it fast:
fixed shapes where it wants them, constants folded, as many threads as the others.

Shapes: B windows, W samples of a window, K classes, P pixels of a side, D of any size.
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

from bench import campplus
from bench.accuracy.rivals import load_resemblyzer
from bench.clips import Integers
from bench.prepare import Prepared
from bench.seed_pipeline import SeedPipeline
from bench.trunk import bare_front_end, bare_trunk, behind_front_end
from voxedge.audio.limits import Samples
from voxedge.errors import MissingExtra, ProviderUnavailable, VoxedgeError
from voxedge.inference.identifier import Identifier
from voxedge.inference.session import open_session
from voxedge.install import install_command
from voxedge.nn.speaker_net import ExportedNet
from voxedge.train.build import load_net
from voxedge.train.run import Run

Array: TypeAlias = npt.NDArray[np.float32]
Answer: TypeAlias = Callable[[Samples, Integers], Array]  # [B, W], lengths [B] -> [B, K] or [B, D]

INT8, FP32, FP16 = "int8", "fp32", "fp16"
BARE_INT8, BARE_FP32 = "bare_int8", "bare_fp32"
FRONT_END, BEHIND_INT8 = "front_end", "behind_int8"
EAGER, COMPILED = "eager", "compiled"
OPENVINO_INT8, OPENVINO_FP32 = "openvino_int8", "openvino_fp32"
RESEMBLYZER, ECAPA = "resemblyzer", "ecapa"
CAMPPLUS_INT8, CAMPPLUS_FP32, CAMPPLUS_USUAL = "campplus_int8", "campplus", "campplus_usual"
SEED, SEED_EXPORTED = "seed", "seed_exported"
SEED_EAGER = "seed_eager"  # the seed network behind our front end; compared, not timed


@dataclass(frozen=True)
class Contestant:
    """One way to an answer.

    Args:
        title: for people.
        load: (prepared, device, threads) -> the way; where it raises ``VoxedgeError``, the
            contestant is left out.
        devices: that it runs on.
        compared: whether its answers are compared too, and not only its time: false where the
            answer is no speaker, and for a network that is compared already.
    """

    title: str
    load: Callable[[Prepared, str, int], Answer]
    devices: tuple[str, ...] = ("cpu",)
    compared: bool = True


def contestants(
    prepared: Prepared, device: str, threads: int
) -> tuple[dict[str, Answer], dict[str, str]]:
    """Load the contestants of a device: those that run, and why the others do not.

    The number of PyTorch's threads is global: it is set here for what runs next.
    """
    torch.set_num_threads(threads)
    answers: dict[str, Answer] = {}
    missing: dict[str, str] = {}
    for name, contestant in CONTESTANTS.items():
        if device in contestant.devices:
            try:
                answers[name] = contestant.load(prepared, device, threads)
            except VoxedgeError as error:
                missing[name] = f"{error.message} ({error.hint})" if error.hint else error.message
    return answers, missing


def onnx_runtime(model: Path, device: str, threads: int) -> Answer:
    """An exported file, as ``Identifier`` runs it."""
    identifier = Identifier(model, device=device, threads=threads)

    def answer(pcm: Samples, lengths: Integers) -> Array:
        return identifier.run(pcm, lengths).probabilities

    return answer


def eager(run: Run, device: str) -> Answer:
    """The network as it was trained, in PyTorch."""
    net = ExportedNet(load_net(run), run.metrics()["temperature"])
    return _module(net.eval().to(device), device)


def why_no_cuda(model: Path) -> str | None:
    """Why ONNX Runtime does not run on the GPU; None where it does."""
    try:
        Identifier(model, device="cuda")
    except ProviderUnavailable as error:
        return str(error)
    return None


def _ours(precision: Precision) -> Callable[[Prepared, str, int], Answer]:
    def load(prepared: Prepared, device: str, threads: int) -> Answer:
        return onnx_runtime(prepared.file(precision), device, threads)

    return load


def _bare(precision: Precision) -> Callable[[Prepared, str, int], Answer]:
    """The trunk alone, on images of the same size."""

    def load(prepared: Prepared, device: str, threads: int) -> Answer:
        session, _ = open_session(bare_trunk(prepared.file(precision)), device, threads)
        image = _images(prepared)

        def answer(pcm: Samples, _: Integers) -> Array:
            features: Array = session.run(["features"], {"image": image(len(pcm))})[0]
            return features[:, :, 0, 0]

        return answer

    return load


def _behind(precision: Precision) -> Callable[[Prepared, str, int], Answer]:
    """Everything but the front end, on images of the same size."""

    def load(prepared: Prepared, device: str, threads: int) -> Answer:
        session, _ = open_session(behind_front_end(prepared.file(precision)), device, threads)
        image = _images(prepared)

        def answer(pcm: Samples, lengths: Integers) -> Array:
            feeds = {"image": image(len(pcm)), "pcm": pcm, "lengths": lengths}
            _, probabilities, _ = session.run(OUTPUTS, feeds)
            array: Array = probabilities
            return array

        return answer

    return load


def _images(prepared: Prepared) -> Callable[[int], Array]:
    """A function B -> random images [B, 1, P, P], the same each time."""
    pixels = prepared.run.recipe().frontend.image_size

    @functools.cache
    def image(rows: int) -> Array:
        return np.random.default_rng(0).standard_normal((rows, 1, pixels, pixels), np.float32)

    return image


def _front_end(prepared: Prepared, device: str, threads: int) -> Answer:
    """The front end alone, which every precision computes in float32."""
    session, _ = open_session(bare_front_end(prepared.file("fp32")), device, threads)

    def answer(pcm: Samples, lengths: Integers) -> Array:
        image: Array = session.run(["image"], {"pcm": pcm, "lengths": lengths})[0]
        return image[:, 0, 0]

    return answer


def _module(net: Callable[..., Any], device: str) -> Answer:
    @torch.inference_mode()
    def answer(pcm: Samples, lengths: Integers) -> Array:
        _, probabilities, _ = net(
            torch.from_numpy(pcm).to(device), torch.from_numpy(lengths).to(device)
        )
        array: Array = probabilities.cpu().numpy()
        return array

    return answer


def _eager(prepared: Prepared, device: str, _: int) -> Answer:
    _torch_on(device)
    return eager(prepared.run, device)


def _compiled(prepared: Prepared, device: str, threads: int) -> Answer:
    """``torch.compile``, its weights frozen in; each shape of input is compiled on first use."""
    _torch_on(device)
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise MissingExtra("torch.compile finds no C++ compiler", "apt install g++")
    run = prepared.run
    net = ExportedNet(load_net(run), run.metrics()["temperature"]).eval().to(device)
    options: dict[str, Any] = {"freezing": True, "cpp.threads": threads}
    return _module(torch.compile(net, dynamic=False, options=options), device)


def _openvino(precision: Precision) -> Callable[[Prepared, str, int], Answer]:
    """OpenVINO on the same file, compiled for each shape of input on first use."""

    def load(prepared: Prepared, _: str, threads: int) -> Answer:
        try:
            import openvino
        except ImportError as error:
            message = f"OpenVINO is not installed ({error})"
            raise MissingExtra(message, install_command("bench")) from None
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it
        }
        path = prepared.file(precision)
        compiled: dict[tuple[int, ...], Any] = {}

        def answer(pcm: Samples, _: Integers) -> Array:
            if pcm.shape not in compiled:
                model = core.read_model(path)
                model.reshape({"pcm": list(pcm.shape)})
                compiled[pcm.shape] = core.compile_model(model, "CPU", settings)
            probabilities: Array = compiled[pcm.shape]({"pcm": pcm})["probabilities"]
            return probabilities

        return answer

    return load


def _resemblyzer(_: Prepared, __: str, ___: int) -> Answer:
    """Its own features, voice activity detection included, and its embedding, clip by clip."""
    describe = load_resemblyzer()

    def answer(pcm: Samples, lengths: Integers) -> Array:
        return np.stack([describe(row[:n]) for row, n in zip(pcm, lengths, strict=True)])

    return answer


def _campplus(precision: Precision) -> Callable[[Prepared, str, int], Answer]:
    """CAM++ folded: samples to embedding in one file."""

    def load(prepared: Prepared, device: str, threads: int) -> Answer:
        data = None if precision == "fp32" else prepared.run.manifest().root
        identifier = Identifier(campplus.folded(precision, data), device=device, threads=threads)

        def answer(pcm: Samples, lengths: Integers) -> Array:
            return identifier.run(pcm, lengths).embedding

        return answer

    return load


def _campplus_usual(_: Prepared, __: str, threads: int) -> Answer:
    """CAM++ as others run it: kaldi-native-fbank clip by clip, then the network."""
    embed = campplus.usual_way(threads)

    def answer(pcm: Samples, lengths: Integers) -> Array:
        return np.stack([embed(row[:n]) for row, n in zip(pcm, lengths, strict=True)])

    return answer


def _ecapa(_: Prepared, device: str, __: int) -> Answer:
    """SpeechBrain's ECAPA-TDNN as published for VoxCeleb: 80 bands, 1,024 channels, embedding 192.

    Its weights are random: only its time is measured.
    """
    try:
        from speechbrain.lobes.features import Fbank
        from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
        from speechbrain.processing.features import InputNormalization
    except ImportError as error:
        message = f"SpeechBrain is not installed ({error})"
        raise MissingExtra(message, install_command("bench")) from None
    _torch_on(device)
    bands, normalise = Fbank(n_mels=80).to(device), InputNormalization("sentence", std_norm=False)
    channels = [1024, 1024, 1024, 1024, 3072]
    net = ECAPA_TDNN(80, lin_neurons=192, channels=channels).eval().to(device)

    @torch.inference_mode()
    def answer(pcm: Samples, lengths: Integers) -> Array:
        relative = torch.from_numpy(lengths / pcm.shape[1]).float().to(device)
        features = normalise(bands(torch.from_numpy(pcm).to(device)), relative)
        embedding: Array = net(features, relative)[:, 0].cpu().numpy()
        return embedding

    return answer


def _seed(prepared: Prepared, device: str, _: int) -> Answer:
    _torch_on(device)
    return SeedPipeline(prepared.seed_run.folder, device)


def _seed_exported(prepared: Prepared, device: str, threads: int) -> Answer:
    return onnx_runtime(prepared.file(SEED), device, threads)


def _torch_on(device: str) -> None:
    if device != "cpu" and not torch.cuda.is_available():
        raise ProviderUnavailable("this PyTorch has no CUDA")


_BOTH = ("cpu", "cuda")
#: By name; the ratios of the tables are to the first that ran.
CONTESTANTS: dict[str, Contestant] = {
    INT8: Contestant("voxedge, int8", _ours("int8")),
    FP32: Contestant("voxedge, fp32", _ours("fp32"), _BOTH),
    FP16: Contestant("voxedge, fp16", _ours("fp16"), _BOTH),
    BARE_INT8: Contestant("bare ResNet-18 of the file, int8", _bare("int8"), compared=False),
    BARE_FP32: Contestant("bare ResNet-18 of the file, fp32", _bare("fp32"), _BOTH, compared=False),
    FRONT_END: Contestant("front end of the file alone", _front_end, _BOTH, compared=False),
    BEHIND_INT8: Contestant("everything but the front end, int8", _behind("int8"), compared=False),
    OPENVINO_INT8: Contestant("OpenVINO, the int8 file", _openvino("int8"), compared=False),
    OPENVINO_FP32: Contestant("OpenVINO, the fp32 file", _openvino("fp32"), compared=False),
    EAGER: Contestant("PyTorch eager", _eager, _BOTH),
    COMPILED: Contestant("torch.compile", _compiled, _BOTH, compared=False),
    RESEMBLYZER: Contestant("Resemblyzer", _resemblyzer, compared=False),
    CAMPPLUS_INT8: Contestant("CAM++ folded, int8", _campplus("int8"), compared=False),
    CAMPPLUS_FP32: Contestant("CAM++ folded, fp32", _campplus("fp32"), compared=False),
    CAMPPLUS_USUAL: Contestant(
        "CAM++ behind kaldi-native-fbank, fp32", _campplus_usual, compared=False
    ),
    ECAPA: Contestant("SpeechBrain ECAPA-TDNN", _ecapa, _BOTH, compared=False),
    SEED: Contestant("seed pipeline (librosa, torch)", _seed, _BOTH),
    SEED_EXPORTED: Contestant("seed network, exported", _seed_exported, _BOTH),
}
