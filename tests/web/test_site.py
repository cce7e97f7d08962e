"""What ``voxedge web`` writes: whole, of present sources, and nothing in the way of other files."""

from __future__ import annotations

import hashlib
import json
import lzma
import re

import pytest

from tests.gallery.conftest import write_other_model
from tests.inference.test_open_set import OPEN_SET, resealed
from voxedge.errors import ForeignModel, ModelError, UsageError
from voxedge.gallery import file
from voxedge.gallery.people import Contents, GalleryModel
from voxedge.model_file.reader import read_model
from voxedge.web.pack import digest
from voxedge.web.site import PAGE, RUNTIME, write_site

SOURCES = PAGE.with_name("source")


def listed(folder) -> dict:
    """What the service worker keeps."""
    text = (folder / "sw.js").read_text()
    return json.loads(re.search(r"const SITE = (\{.*\});", text)[1])


def test_the_page_is_built_from_the_present_sources():
    built = json.loads((PAGE / "built.json").read_text())
    assert built["sources"] == digest(SOURCES), "run: make web"
    wasm = lzma.decompress((PAGE / f"{RUNTIME}.xz").read_bytes())
    assert built["runtime"] == hashlib.sha256(wasm).hexdigest()


def test_the_lock_names_no_address():
    lock = (SOURCES / "package-lock.json").read_text()
    assert '"integrity"' in lock
    assert '"resolved"' not in lock


def test_the_page_forbids_itself_other_hosts():
    text = (PAGE / "index.html").read_text()
    (policy,) = re.findall(r'Content-Security-Policy"\s+content="([^"]+)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("script-src") == "'self' 'wasm-unsafe-eval'"
    assert set(rules.values()) == {"'self'", "'none'"}


def test_every_file_is_kept_for_offline_use(model_path, tmp_path):
    site = write_site(tmp_path / "site", model_path)
    files = {
        path.relative_to(site.folder).as_posix()
        for path in site.folder.rglob("*")
        if path.is_file()
    }
    assert files == set(listed(site.folder)["files"]) - {"./"} | {"sw.js"}
    assert site.files == len(files)
    assert (site.folder / "model.onnx").read_bytes() == model_path.read_bytes()
    described = json.loads((site.folder / "site.json").read_text())
    assert described["model"] == model_path.name
    assert described["digest"] == read_model(model_path).metadata.digest
    assert described["gallery"] is described["calibration"] is None


def test_another_model_is_another_version(model_path, tmp_path):
    folder = tmp_path / "site"
    write_site(folder, model_path)
    first = listed(folder)["version"]
    write_site(folder, model_path)
    assert listed(folder)["version"] == first
    write_site(folder, resealed(model_path, tmp_path / "other.onnx", OPEN_SET))
    assert listed(folder)["version"] != first


def test_a_folder_with_other_files_is_left_alone(model_path, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "thesis.txt").write_text("three years")
    with pytest.raises(UsageError, match="holds other files, and no site"):
        write_site(tmp_path / "site", model_path)
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["thesis.txt"]
    with pytest.raises(UsageError, match="is a file"):
        write_site(tmp_path / "site" / "thesis.txt", model_path)


def test_an_earlier_site_is_replaced(model_path, tmp_path):
    metadata = read_model(model_path).metadata
    described = GalleryModel.of(metadata, model_path.name)
    file.write(tmp_path / "people.vxg", Contents(described))
    folder = tmp_path / "site"
    assert write_site(folder, model_path, tmp_path / "people.vxg").people == 0
    assert "people.vxg" in listed(folder)["files"]
    (folder / "robots.txt").write_text("mine")
    assert write_site(folder, model_path).people is None
    assert "people.vxg" not in listed(folder)["files"]
    assert not (folder / "people.vxg").exists()
    assert (folder / "robots.txt").exists()


def test_a_gallery_of_another_model_is_refused(model_path, tmp_path):
    other = write_other_model(model_path, tmp_path / "other.onnx")
    described = GalleryModel.of(read_model(other).metadata, other.name)
    file.write(tmp_path / "people.vxg", Contents(described))
    with pytest.raises(ForeignModel, match=r"was made with other\.onnx"):
        write_site(tmp_path / "site", model_path, tmp_path / "people.vxg")
    assert not (tmp_path / "site").exists()


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError):
        write_site(tmp_path / "site", tmp_path / "model.onnx")
    assert not (tmp_path / "site").exists()
