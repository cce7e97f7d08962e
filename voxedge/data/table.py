"""Read tables (CSV) that people and spreadsheets wrote, as far as they leave no doubt.

The delimiter is the one that makes the first line name the columns that are needed. Case and blanks
in the names of these columns are ignored. UTF-16 and UTF-32 are recognised by their byte order mark
and everything else is UTF-8; file names in it may hold any bytes.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from voxedge.errors import CorpusError

_DELIMITERS = (",", ";", "\t", "|")
_MARKS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_SPREADSHEETS = {
    b"PK\x03\x04": "a spreadsheet (.xlsx, .ods, .numbers)",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls)",
}
_SAVE_AS_CSV = "save it as CSV (UTF-8)"
_HEAD = 4096  # bytes that are looked at before a file is read as text
_SHOWN = 8  # columns in an error


class Row(NamedTuple):
    """A row of a table."""

    line: int  # where it ends
    cells: dict[str, str]  # column -> text; "" where the row is too short


class _Columns(NamedTuple):
    names: list[str]
    delimiter: str
    blanks: bool  # around the delimiters of the first line: blanks around cells mean nothing


def read_table(path: Path, needed: Collection[str], known: Collection[str] = ()) -> Iterator[Row]:
    """Yield the rows of a table; rows without any text are skipped.

    Args:
        path: the file.
        needed: columns that it must have; lower case.
        known: other columns that are wanted, if it has them; lower case.

    Raises:
        CorpusError: it cannot be read, is no table, or can be understood in two ways.
    """
    try:
        with path.open("rb") as file:
            encoding, errors = _encoding(path, file.read(_HEAD))
        with path.open(newline="", encoding=encoding, errors=errors) as text:
            yield from _rows(path, text, needed, {*needed, *known})
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from None
    except (csv.Error, UnicodeError) as error:
        raise CorpusError(f"{path} is not a CSV file: {error}", _SAVE_AS_CSV) from None


def _encoding(path: Path, head: bytes) -> tuple[str, str]:
    """The encoding of a text file, and how its undecodable bytes are handled."""
    for magic, what in _SPREADSHEETS.items():
        if head.startswith(magic):
            raise CorpusError(f"{path} is {what}, not a CSV file", _SAVE_AS_CSV)
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding, "strict"
    if b"\0" in head:
        raise CorpusError(f"{path} is not UTF-8 text", _SAVE_AS_CSV)
    return "utf-8-sig", "surrogateescape"


def _rows(path: Path, text: IO[str], needed: Collection[str], wanted: set[str]) -> Iterator[Row]:
    before, first = 0, ""
    for line in text:
        before += 1
        first = line.strip("\r\n")
        if first.strip() and not first.lower().startswith("sep="):  # which spreadsheets write
            break
    columns = _columns(path, first, needed, wanted)
    reader = csv.reader(text, delimiter=columns.delimiter, skipinitialspace=columns.blanks)
    for values in reader:
        cells = [cell.strip() for cell in values] if columns.blanks else values
        if not any(cell.strip() for cell in cells):
            continue
        number, width = before + reader.line_num, len(columns.names)
        if any(cell.strip() for cell in cells[width:]):
            raise CorpusError(
                f"{path}, line {number}: {len(cells)} cells, but the first line names {width}",
                f"put cells that hold {columns.delimiter!r} in quotes",
            )
        cells += [""] * (width - len(cells))
        yield Row(number, dict(zip(columns.names, cells, strict=False)))


def _columns(path: Path, first: str, needed: Collection[str], wanted: set[str]) -> _Columns:
    """Find the delimiter by which the first line names the columns that are needed."""
    for delimiter in _DELIMITERS:
        cells = next(csv.reader([first], delimiter=delimiter, skipinitialspace=True), [])
        names = [_name(cell, wanted) for cell in cells]
        if not set(needed) <= set(names):
            continue
        if twice := [name for name in sorted(wanted) if names.count(name) > 1]:
            raise CorpusError(f"{path}: the first line names the column {twice[0]} twice")
        raw = next(csv.reader([first], delimiter=delimiter))
        return _Columns(names, delimiter, any(cell != cell.strip() for cell in raw))
    found = next(csv.reader([first]), [])
    listed = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
    raise CorpusError(
        f"{path}: the first line must name the column{'s' * (len(needed) > 1)}"
        f" {' and '.join(needed)}; it is: {listed or 'empty'}"
    )


def _name(cell: str, wanted: set[str]) -> str:
    """The name of a column: as it is known, else as it is written."""
    name = cell.strip()
    known = "".join(name.lower().split())
    return known if known in wanted else name
