"""Tables as people and spreadsheets write them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from voxedge.data.manifest import read_manifest
from voxedge.data.table import read_table
from voxedge.errors import CorpusError

ROWS = "ann/1.wav,ann\nann/2.wav,ann\nben lee/1.wav,ben lee\n"
EXPECTED = [("ann/1.wav", "ann"), ("ann/2.wav", "ann"), ("ben lee/1.wav", "ben lee")]


def clips(folder: Path, data: bytes) -> list[tuple[str, str]]:
    path = folder / "list.csv"
    path.write_bytes(data)
    return [(clip.name, clip.speaker) for clip in read_manifest(path).clips]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ", ", " ; "])
@pytest.mark.parametrize("header", ["path,speaker", "Path,Speaker", "PATH,SPEAKER"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_leaves_no_doubt_is_read(tmp_path, delimiter, header, encoding, end):
    text = f"{header}\n{ROWS}".replace(",", delimiter).replace("\n", end)
    assert clips(tmp_path, text.encode(encoding)) == EXPECTED


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\npath;speaker\n" + ROWS.replace(",", ";"),
        "\n\npath,speaker\n" + ROWS,
        "path,speaker,\n" + ROWS.replace("\n", ",\n"),
        "path,speaker\n" + ROWS.replace("ann/2", "\n,\nann/2") + ",\n",
        'path, speaker\nann/1.wav, "ann"\n"ann/2.wav", ann\nben lee/1.wav, ben lee\n',
        " Path \t SPEAKER \n" + ROWS.replace(",", "\t"),
        '"path";"speaker"\n' + ROWS.replace(",", ";"),
        "no,path,speaker\n" + "".join(f"7,{line}\n" for line in ROWS.splitlines()),
        "path,speaker,note;a|b\n" + ROWS.replace("\n", ",\n"),
    ],
)
def test_habits_of_spreadsheets_are_read(tmp_path, text):
    assert clips(tmp_path, text.encode()) == EXPECTED


def test_sides_and_sessions_are_read_too(tmp_path):
    lines = "Path; Speaker; Session; Split\na.wav; ann; day 1; Train\nb.wav; ann; ; TEST \n"
    (tmp_path / "list.csv").write_text(lines)
    found = [(clip.session, clip.split) for clip in read_manifest(tmp_path / "list.csv").clips]
    assert found == [("day 1", "train"), ("", "test")]


def workbook() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (workbook(), r"a spreadsheet \(.xlsx, .ods, .numbers\), not a CSV file \(save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), r"a spreadsheet \(.xls\)"),
        (f"path,speaker\n{ROWS}".encode("utf-16-le"), "not UTF-8 text"),
        (b"\xff\xfep\0a\0t\0h\0,\0s\0p\0e\0a\0k\0e\0r\0\n\0\xd8", "not a CSV file"),
        (b"RIFF\0\0\0\0WAVE", "not UTF-8 text"),
        (b"file;who\na;b\n", "must name the columns path and speaker; it is: file;who"),
        (b"path speaker\na.wav ann\n", "it is: path speaker"),
        (b"ann/1.wav,ann\n", "it is: ann/1.wav, ann"),
        (b"", "it is: empty"),
        (b"path,speaker,Speaker\na.wav,ann,ben\n", "names the column speaker twice"),
        (b"path,speaker\na, b.wav,ann\n", "line 2: 3 cells, but the first line names 2"),
        (b"path,speaker\na.wav\n", "line 2: path or speaker is empty"),
        (b"path,speaker\na.wav,  \n", "line 2: path or speaker is empty"),
        ("path,speaker\na.wav,José\n".encode("latin-1"), "a speaker is not UTF-8: Jos"),
        ("path,speaker\nJosé.wav,ann\n".encode("cp1252"), "a path is not UTF-8"),
        (b"path,speaker\na.wav,ann\nb.wav,Ann\n", "only in case or blanks: 'Ann' and 'ann'"),
        (b"path,speaker\na.wav,ann\nb.wav,ann \n", "only in case or blanks: 'ann' and 'ann '"),
    ],
)
def test_what_leaves_a_doubt_is_named(tmp_path, data, message):
    with pytest.raises(CorpusError, match=message):
        clips(tmp_path, data)


def test_a_table_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "list.csv").touch()
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(CorpusError, match="cannot be read: Permission denied"):
        list(read_table(tmp_path / "list.csv", ["path"]))
