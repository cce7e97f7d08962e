"""Inputs that fuzzing starts from: right files of every kind, small, made by code."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator

import numpy as np

from tests.conftest import voice
from tests.faults import make
from voxedge.gallery import file
from voxedge.gallery.calibration import Calibration, LogOdds
from voxedge.gallery.people import Contents, EnrolledClip, GalleryModel, Person
from voxedge.model_file.metadata import Metadata
from voxedge.train.recipe import load, shipped_names

RATE = 8_000  # of the clips, Hz: small files are mutated more thoroughly
SOUND = make.sound(0.3, RATE)
SPEECH = make.wav(voice(150.0, 0.6, seed=3))
_KINDS = {
    "WAV": ("PCM_U8", "PCM_24", "DOUBLE", "ALAW", "IMA_ADPCM", "MS_ADPCM", "G721_32"),
    "AIFF": ("PCM_16",),
    "AU": ("ULAW",),
    "CAF": ("ALAC_16",),
    "FLAC": ("PCM_16",),
    "OGG": ("VORBIS", "OPUS"),
    "MP3": ("MPEG_LAYER_III",),
    "RF64": ("PCM_16",),
    "W64": ("FLOAT",),
    "VOC": ("PCM_16",),
}


def audio() -> Iterator[bytes]:
    """Sound files of the formats that are read, and some that lie."""
    yield make.riff(make.fmt(rate=RATE), make.chunk(b"data", make.pcm16(SOUND)))
    yield make.float_wav(np.stack([SOUND, -SOUND], axis=1), RATE)
    yield make.riff(
        make.chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 4) + b"abcd"),
        make.fmt(rate=RATE),
        make.chunk(b"data", make.pcm16(SOUND), make.UNKNOWN),
        size=make.UNKNOWN,
    )
    for kind, subtypes in _KINDS.items():
        for subtype in subtypes:
            yield make.encoded(SOUND, kind, subtype, RATE)
    yield make.id3() + make.encoded(SOUND, "MP3", rate=RATE)
    yield make.forged_flac(SOUND, (1 << 36) - 1)
    yield SPEECH
    yield from _of_pyav()


def _of_pyav() -> Iterator[bytes]:
    """Containers that only PyAV reads, where it is installed."""
    try:
        from tests.audio.encode import encoded_by_av
    except BaseException:  # noqa: BLE001 - pytest's Skipped
        return
    for container, codec in (("ipod", "aac"), ("webm", "libopus"), ("amr", "libopencore_amrnb")):
        rate = 48_000 if codec == "libopus" else RATE
        yield encoded_by_av(SOUND, container, codec, rate=RATE, codec_rate=rate)


def models() -> Iterator[bytes]:
    """Model files, their seals included."""
    yield make.small_model()
    yield make.small_model(text=make.metadata(input={"dtype": "int16", "channels": 2}).to_json())
    yield make.small_model(lambda model: model.opset_import.add(domain="com.microsoft", version=1))
    yield make.small_model(lambda model: setattr(model, "ir_version", 8))


def metadata() -> Iterator[bytes]:
    """The metadata of model files."""
    yield make.metadata().to_json().encode()
    full = make.metadata(
        schema=2,
        input={"dtype": "int16", "rate": 16_000, "channels": 2, "layout": "ragged"},
        gallery={"model": "ab" * 32, "scale": 9.5, "offset": -4.0, "thresholds": {}},
        licence="CC BY 4.0",
    )
    yield full.to_json().encode()
    embeddings = json.loads(make.metadata().to_json()) | {"labels": [], "schema": 2}
    yield Metadata.from_json(json.dumps(embeddings)).to_json().encode()


def person(name: str, seed: int, kept: int = 0) -> Person:
    """A person with two clips of four dimensions."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(2, 4)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    samples = np.arange(kept, dtype=np.int16) if kept else None
    return Person(name, tuple(EnrolledClip("a.wav", 2.5, 1.25, row, samples) for row in rows))


def galleries(digest: str) -> Iterator[bytes]:
    """The files of galleries without their first line, which has their checksum."""
    model = GalleryModel(digest, "small.onnx", "", 16_000, 4)
    odds = Calibration((0.3, 0.4, 0.5), 45, 300, "a test", LogOdds(10.0, -4.0))
    two = (person("Zoë", 1), person("ben", 2, kept=3))
    many = tuple(person(f"person {number}", number) for number in range(25))
    for contents in (Contents(model), Contents(model, two, odds), Contents(model, many)):
        yield file.encode(contents).partition(b"\n")[2]


def with_checksum(rest: bytes) -> bytes:
    """A gallery's file of what follows its first line."""
    digest = hashlib.sha256(rest).hexdigest()
    return f"{file.MAGIC} {file.SCHEMA} {digest}\n".encode() + rest


def manifests() -> Iterator[bytes]:
    """Tables of clips, as people and spreadsheets write them."""
    rows = "ann/1.wav,ann\nann/2.wav,ann\nben lee/1.wav,ben lee\n"
    yield f"path,speaker\n{rows}".encode()
    yield f"sep=;\npath;speaker\n{rows.replace(',', ';')}".encode("utf-16")
    yield b"Path\tSpeaker\tSession\tSplit\na.wav\tann\tday 1\tTrain\nb.wav\tann\t\tTEST\n"
    yield b'\xef\xbb\xbf"path", "speaker"\r\n"a ""b"".wav", "J\xc3\xb8rn"\r\n\r\n,\r\n'


def recipes() -> Iterator[bytes]:
    """Recipes as TOML."""
    for name in shipped_names():
        yield load(name).to_toml().encode()
    yield b"[training]\nepochs = 3\n[loss]\nparts = false\n"


def requests() -> Iterator[bytes]:
    """Requests: a line with method and path, a line with the type, then the body."""
    clip = make.riff(make.fmt(rate=RATE), make.chunk(b"data", make.pcm16(SOUND)))
    yield b"POST /identify?top_k=2\naudio/wav\n" + clip
    yield b"POST /identify?accept=0.01\naudio/wav\n" + SPEECH
    yield b"POST /identify?raw=s16le,8000,1&always_answer=true\n\n" + make.pcm16(SOUND)
    yield b"POST /verify?name=ben\n\n" + SPEECH
    yield b"POST /timeline?min_speakers=1&max_speakers=3\n\n" + SPEECH
    yield b"POST /enroll?name=ann\n" + _form({"clips": clip})
    yield b"POST /identify\n" + _form({"clip": SPEECH})
    yield b"POST /verify\n" + _form({"a": clip, "b": clip})
    yield b"GET /people\n\n"
    yield b"DELETE /people/ben\n\n"
    yield b"GET /openapi.json\n\n"
    yield b"GET /metrics\n\n"


def _form(files: dict[str, bytes]) -> bytes:
    parts = b"".join(
        b"--x\r\nContent-Disposition: form-data; "
        + f'name="{name}"; filename="{name}.wav"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in files.items()
    )
    return b"multipart/form-data; boundary=x\n" + parts + b"--x--\r\n"
