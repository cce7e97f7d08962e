"""Write a site: the page, the runtime, a model file, and people, as static files.

The page was built before (``make web``): nothing is built, and nothing fetched, when a site is
written.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voxedge.errors import ForeignModel, UsageError
from voxedge.files import atomic_write, write_text
from voxedge.gallery import file as gallery_file
from voxedge.gallery.measured import calibration_of
from voxedge.gallery.people import Contents, GalleryModel
from voxedge.inference.identifier import Identifier
from voxedge.model_file.reader import ModelFile
from voxedge.speech.network import FILE as SILERO

PAGE = Path(__file__).with_name("page")
RUNTIME = "ort-wasm-simd-threaded.wasm"  # of onnxruntime-web; in the page it is compressed

_SITE = "site.json"
_MODEL, _GALLERY = "model.onnx", "people.vxg"
_WORKER = "sw.js"
_PLACE = "/* site */ null"  # in the service worker, of the list of files


@dataclass(frozen=True)
class Site:
    """A site that was written."""

    folder: Path
    files: int
    size: int  # bytes
    people: int | None  # in its gallery; None: it has none


def write_site(folder: Path, model: Path, gallery: Path | None = None) -> Site:
    """Write a site, or replace one.

    Args:
        folder: is made; of an earlier site its files are replaced, any other is left alone.
        model: the model file.
        gallery: people of that model. Kept samples of their voices are left out.

    Raises:
        ModelError: the model file is missing, or not safe to run.
        ProviderUnavailable: ONNX Runtime is not installed.
        GalleryError: the gallery cannot be read, or is of another model (``ForeignModel``).
        UsageError: the folder holds something else.
        OSError: the disk is full, or the folder read-only.
    """
    identifier = Identifier(model, device="cpu")
    opened = identifier.model_file
    contents = None if gallery is None else _people(gallery, opened)
    _prepare(folder)
    for source in _page_files():
        target = folder / source.relative_to(PAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    _write(folder / RUNTIME, lzma.decompress((PAGE / f"{RUNTIME}.xz").read_bytes()))
    shutil.copyfile(SILERO, folder / SILERO.name)
    shutil.copyfile(model, folder / _MODEL)
    opened.require_unchanged()
    if contents is None:
        (folder / _GALLERY).unlink(missing_ok=True)
    else:
        _write(folder / _GALLERY, gallery_file.encode(contents))
    described = GalleryModel.of(opened.metadata, opened.path.name)
    measured = calibration_of(described)
    site = {
        "model": described.file,
        "digest": described.digest,
        "gallery": None if gallery is None else gallery.name,
        "calibration": None if measured is None else asdict(measured),
        "probe": [round(float(value), 5) for value in _probe(identifier)],
    }
    write_text(folder / _SITE, json.dumps(site, indent=1) + "\n")
    files = [*_written(contents is not None), Path(_SITE)]
    _write_worker(folder, files)
    size = sum((folder / name).stat().st_size for name in files)
    return Site(folder, len(files) + 1, size, None if contents is None else len(contents.people))


def _probe(identifier: Identifier) -> npt.NDArray[np.float32]:
    """The embedding [E] of one window of noise, which the page must compute as well.

    The noise comes from a linear congruential generator (Knuth, The Art of Computer Programming,
    volume 2, 3.3.4), which is the same in every language.
    """
    state, values = 1, []
    for _ in range(identifier.metadata.window):
        state = (1_664_525 * state + 1_013_904_223) % (1 << 32)
        values.append(state / (1 << 32) - 0.5)
    embedding: npt.NDArray[np.float32] = identifier.run(np.array([values], np.float32)).embedding[0]
    return embedding


def _people(path: Path, model: ModelFile) -> Contents:
    """The people of a gallery, without samples of their voices.

    Raises:
        GalleryError: it cannot be read, or is of another model.
    """
    contents = gallery_file.read(path)
    if contents.model.digest != model.metadata.digest:
        raise ForeignModel(
            f"{path.name} was made with {contents.model.file}, and {model.path.name} is another"
            " model: their embeddings do not compare",
            f"voxedge web {contents.model.file} --gallery {path.name}",
        )
    return contents.without_samples()


def _prepare(folder: Path) -> None:
    """Make the folder, unless it holds something that is no site.

    Raises:
        UsageError: it does.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "--out FOLDER")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _SITE).is_file():
        raise UsageError(f"{folder} holds other files, and no site", "--out ANOTHER_FOLDER")
    folder.mkdir(parents=True, exist_ok=True)


def _page_files() -> Iterator[Path]:
    """The files of the page that are copied as they are."""
    own = {f"{RUNTIME}.xz", "built.json"}
    yield from (path for path in sorted(PAGE.rglob("*")) if path.is_file() and path.name not in own)


def _written(people: bool) -> list[Path]:
    """Names of the files that the page loads, the service worker aside."""
    page = [path.relative_to(PAGE) for path in _page_files() if path.name != _WORKER]
    return [*page, Path(RUNTIME), Path(SILERO.name), Path(_MODEL), *[Path(_GALLERY)] * people]


def _write_worker(folder: Path, files: list[Path]) -> None:
    """Tell the service worker the files, and a version that changes with any of them."""
    version = hashlib.sha256()
    for name in files:
        version.update(f"{name.as_posix()}\0".encode())
        version.update(hashlib.sha256((folder / name).read_bytes()).digest())
    # A server gives index.html for the folder itself, by which the page is opened.
    listed = ["./", *(name.as_posix() for name in files)]
    site = json.dumps({"version": version.hexdigest()[:16], "files": listed})
    text = (PAGE / _WORKER).read_text(encoding="utf-8")
    write_text(folder / _WORKER, text.replace(_PLACE, site))


def _write(path: Path, data: bytes) -> None:
    with atomic_write(path) as file:
        file.write(data)
