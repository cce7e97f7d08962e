"""Builders of broken files: each field of a header can be wrong on its own."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import onnx
import soundfile
from onnx import TensorProto, helper, numpy_helper

from voxedge.model_file.metadata import KEY, Metadata
from voxedge.model_file.seal import seal

RATE = 16_000
UNKNOWN = 0xFFFFFFFF
LABELS = ("ada", "ben", "cleo", "dan", "eve")
Change = Callable[[onnx.ModelProto], object]  # of a graph, before it is sealed


def sound(seconds: float = 1.0, rate: int = RATE, seed: int = 7) -> np.ndarray:
    """A buzz in noise, its level modulated; float32 [S], exact in 16 bits, below half scale."""
    time = np.arange(round(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 140 * k * time + k) / k for k in range(1, 12))
    noise = np.random.default_rng(seed).normal(0, 0.2, len(time))
    loud = 0.1 * (buzz + noise) * (0.7 + 0.3 * np.sin(9 * time))
    return (np.rint(loud * 32768) / 32768).astype(np.float32)


def encoded(samples: np.ndarray, kind: str, subtype: str | None = None, rate: int = RATE) -> bytes:
    """A sound file of one of libsndfile's formats."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def chunk(name: bytes, body: bytes = b"", size: int | None = None, order: str = "<") -> bytes:
    """A RIFF chunk, padded to an even length; ``size`` is what it claims."""
    claimed = len(body) if size is None else size
    return name + struct.pack(order + "I", claimed) + body + b"\0" * (len(body) & 1)


def fmt(
    channels: int = 1,
    rate: int = RATE,
    bits: int = 16,
    tag: int = 1,
    block: int | None = None,
    extra: bytes = b"",
    order: str = "<",
) -> bytes:
    """A ``fmt`` chunk; ``block`` is what it claims as block_align."""
    align = channels * ((bits + 7) // 8) if block is None else block
    second = (rate * align) & UNKNOWN
    body = struct.pack(order + "HHIIHH", tag, channels, rate, second, align & 0xFFFF, bits)
    return chunk(b"fmt ", body + extra, order=order)


def riff(*chunks: bytes, magic: bytes = b"RIFF", size: int | None = None) -> bytes:
    """A RIFF file of chunks; ``size`` is what its head claims."""
    body = b"WAVE" + b"".join(chunks)
    order = ">" if magic == b"RIFX" else "<"
    return magic + struct.pack(order + "I", len(body) if size is None else size) + body


def ds64(data_bytes: int) -> bytes:
    """The 64-bit sizes of an RF64 file."""
    return chunk(b"ds64", struct.pack("<QQQI", (data_bytes + 80) % 2**64, data_bytes, 0, 0))


def rf64(*chunks: bytes) -> bytes:
    """An RF64 file, whose own size is in its ds64 chunk."""
    return riff(*chunks, magic=b"RF64", size=UNKNOWN)


def pcm16(samples: np.ndarray, order: str = "<") -> bytes:
    """Samples as 16-bit integers, as a WAV holds them."""
    return np.rint(samples * 32768).astype(order + "i2").tobytes()


def wav(samples: np.ndarray) -> bytes:
    """A correct 16-bit mono WAV."""
    return riff(fmt(), chunk(b"data", pcm16(samples)))


def float_wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    """Samples [S] or [S, channels] as they are, NaN included, in a float WAV of their width."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    body = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    header = fmt(channels, rate, 8 * samples.dtype.itemsize, tag=3)
    return riff(header, chunk(b"data", body))


def silent_flac(seconds: float, rate: int) -> bytes:
    """Hours of digital silence in a few kilobytes an hour."""
    file = io.BytesIO()
    block = np.zeros(1 << 20, np.int16)
    left = round(seconds * rate)
    with soundfile.SoundFile(file, "w", rate, 1, format="FLAC", subtype="PCM_16") as sink:
        while left > 0:
            sink.write(block[: min(left, len(block))])
            left -= len(block)
    return file.getvalue()


def forged_flac(samples: np.ndarray, frames: int) -> bytes:
    """A FLAC whose STREAMINFO declares ``frames`` samples (36 bits)."""
    data = bytearray(encoded(samples, "FLAC"))
    assert data[:4] == b"fLaC"
    assert data[4] & 0x7F == 0
    at = 8 + 10  # rate (20 bits), channels (3), bits (5), then the frames (36)
    packed = int.from_bytes(data[at : at + 8], "big")
    data[at : at + 8] = ((packed >> 36 << 36) | frames).to_bytes(8, "big")
    return bytes(data)


def id3(size: int = 200) -> bytes:
    """An ID3v2.3 tag with ``size`` bytes of padding."""
    syncsafe = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + syncsafe + b"\0" * size


def metadata(**changes) -> Metadata:
    """The metadata of ``small_model``, with some values changed."""
    values = {
        "labels": LABELS,
        "sample_rate": RATE,
        "window_seconds": 1.0,
        "min_seconds": 0.25,
        "embedding_dim": 4,
        "temperature": 1.0,
    }
    return Metadata(**(values | changes))


TEXT = metadata().to_json()


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    low = bytes([value & 0x7F | (0x80 if value > 0x7F else 0)])
    return low + varint(value >> 7) if value > 0x7F else low


def field(tag: int, body: bytes) -> bytes:
    """A protobuf field that holds bytes."""
    return varint(tag) + varint(len(body)) + body


def small_graph(classes: int = len(LABELS)) -> onnx.ModelProto:
    """A minimal graph with the interface of the model file: loudness -> logits."""
    node = helper.make_node
    nodes = [
        node("Abs", ["pcm"], ["loud"]),
        node("ReduceMean", ["loud", "axis"], ["mean"], keepdims=1),
        node("Cast", ["lengths"], ["valid"], to=TensorProto.FLOAT),
        node("Min", ["valid", "one"], ["ones"]),
        node("Unsqueeze", ["ones", "axis"], ["column"]),
        node("Mul", ["mean", "column"], ["level"]),
        node("MatMul", ["level", "head"], ["logits"]),
        node("Softmax", ["logits"], ["probabilities"], axis=1),
        node("MatMul", ["level", "width"], ["wide"]),
        node("ReduceL2", ["wide", "axis"], ["norm"], keepdims=1),
        node("Div", ["wide", "norm"], ["embedding"]),
    ]
    tensors = {
        "axis": np.array([1]),
        "one": np.array([1], np.float32),
        "lengths": np.array([np.iinfo(np.int64).max]),
        "head": np.linspace(-3, 9, classes, dtype=np.float32)[None],
        "width": np.ones((1, 4), np.float32),
    }
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "small",
        [
            value("pcm", TensorProto.FLOAT, ["batch", "samples"]),
            value("lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            value("logits", TensorProto.FLOAT, ["batch", classes]),
            value("probabilities", TensorProto.FLOAT, ["batch", classes]),
            value("embedding", TensorProto.FLOAT, ["batch", 4]),
        ],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def sealed(model: onnx.ModelProto, text: str | None = None) -> bytes:
    """The model with metadata and a correct digest, so that only its content is wrong."""
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, TEXT if text is None else text
    return seal(model.SerializeToString())


def small_model(change: Change = lambda _: None, text: str | None = None) -> bytes:
    """A sealed model file, its graph changed first."""
    model = small_graph()
    change(model)
    return sealed(model, text)
