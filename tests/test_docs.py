"""The documents: links lead somewhere, commands exist and run, tables are those of the code."""

from __future__ import annotations

import re

import pytest

from docs import check, make
from docs.check import ROOT
from docs.commands import CHECKS
from tests.test_imports import FLOORS
from voxedge.audio.windows import window_starts
from voxedge.inference.session import PROVIDERS
from voxedge.train.recipe import Recipe

DOCUMENTS = sorted(
    path
    for folder in ("", "docs", "docs/experiments", "bench/models")
    for path in (ROOT / folder).glob("*.md")
)
BLOCKS = list(check.blocks())
FAST = [block for block in BLOCKS if any(CHECKS[line].how == "run" for line in block.lines)]


def anchors(document) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(document):
    if document.parent.name == "experiments":
        pytest.skip("a log: names are those of its day")
    for name in re.findall(
        r"`((?:voxedge|export|bench|tests|docs)/[\w./-]*)`", document.read_text()
    ):
        assert (ROOT / name).exists(), name


def test_source_comments_name_documents_that_exist():
    for folder in ("voxedge", "export", "bench", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            for name in re.findall(r"\bdocs/[\w/-]+\.md", path.read_text()):
                assert (ROOT / name).is_file(), f"{path}: {name}"


def test_every_experiment_is_listed_by_subject():
    index = (ROOT / "docs" / "experiments.md").read_text()
    for log in (ROOT / "docs" / "experiments").glob("*.md"):
        entries = [name for name in anchors(log) if re.match(r"\d{4}-\d\d-\d\d--", name)]
        listed = re.findall(rf"^- \[.+\]\(experiments/{log.name}#(.+)\)$", index, re.MULTILINE)
        assert sorted(listed) == sorted(entries)


@pytest.mark.parametrize("document", sorted(make.DOCS.glob("*.md")), ids=lambda path: path.name)
def test_tables_are_those_of_the_code(document):
    text = document.read_text()
    assert make.with_tables(text) == text, "run: python -m docs.make"


def test_every_error_has_a_meaning():
    assert all(kind.__doc__ for kind in make.error_classes())


def test_the_design_has_the_floors_of_imports():
    floors = " < ".join(", ".join(floor) for floor in FLOORS)
    assert floors in (ROOT / "docs" / "design.md").read_text()


def test_every_line_of_a_shell_block_is_known_and_every_check_is_of_a_line():
    lines = {line for block in BLOCKS for line in block.lines}
    assert lines == set(CHECKS), "docs/commands.py says how each line is checked"


@pytest.mark.parametrize("line", CHECKS)
def test_commands_of_shell_blocks_parse(line):
    check.parse(line)


@pytest.mark.parametrize(("document", "line"), check.mentioned(), ids=lambda part: str(part))
def test_commands_within_sentences_parse(document, line):
    check.parse(line)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("voxedge identify clip.wav --jsno", "--jsno"),
        ("voxedge export model.onnx --precision int4", "int4"),
        ("voxedge train --set loss.margni=1", "margni"),
        ("voxedge data chekc", "chekc"),
        ("make tset", "tset"),
        ("python -m bench.accuracy tabel --out OUT", "tabel"),
        ("pip install 'another[cpu]'", "neither a clone"),
        ("pip install '.[cup]'", "cup"),
        ("curl x", "curl"),
    ],
)
def test_mistakes_are_found(line, message):
    with pytest.raises(Exception, match=message):
        check.parse(line)


@pytest.fixture(scope="module")
def prepared(workshop, tmp_path_factory):
    return check.prepare(workshop, tmp_path_factory.mktemp("documents") / "prepared")


@pytest.mark.parametrize("block", FAST, ids=lambda block: block.name)
def test_quick_commands_run(prepared, tmp_path, block):
    check.copy(prepared, tmp_path)
    for line in block.lines:
        if CHECKS[line].how == "run":
            assert not check.run(line, CHECKS[line], tmp_path), line


def test_numbers_in_sentences_are_those_of_the_code():
    recipe = Recipe()
    sentences = {
        "train.md": {
            "Four fifths of each speaker's clips are for training, a tenth for validation": (
                recipe.data.train_size == 0.8 and recipe.data.val_size == 0.1
            ),
            "at least two speakers with three usable clips each": recipe.data.min_clips == 3,
        },
        "export.md": {
            "longer than the window (3 s in the default recipe)": (
                recipe.frontend.window_seconds == 3.0
            ),
        },
        "deploy.md": {
            "`--device` takes " + ", ".join(f"`{name}`" for name in ("auto", *PROVIDERS)): True,
            "half-overlapping windows": window_starts(4, 2) == [0, 1, 2],
        },
    }
    for name, held in sentences.items():
        text = " ".join((ROOT / "docs" / name).read_text().split()).lower()
        for sentence, true in held.items():
            assert sentence.lower().replace(", `webgpu`", " or `webgpu`") in text, sentence
            assert true, sentence
