"""The clips of a request: its body as it is, or the files of a form."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from voxedge.service.guard import Refused, read_body
from voxedge.service.settings import Settings

_MOST_FILES = 100
_FORM = "multipart/form-data"


@dataclass(frozen=True)
class Clips:
    """The files of a request, by the names of their fields; a body without a form has none."""

    files: tuple[tuple[str | None, bytes], ...]

    def one(self, *names: str) -> tuple[bytes, ...]:
        """One file of each name, in order.

        Raises:
            Refused: 422, they are others.
        """
        if len(names) == len(self.files) == 1 and self.files[0][0] in (None, *names):
            return (self.files[0][1],)
        if sorted(str(name) for name, _ in self.files) != sorted(names):
            raise Refused(422, "usage", f"one clip is needed for each of: {', '.join(names)}")
        by_name = dict(self.files)
        return tuple(by_name[name] for name in names)

    def all(self, name: str) -> list[bytes]:
        """All files, which have this name or none.

        Raises:
            Refused: 422, they have another, or there is none.
        """
        if not self.files or any(field not in (None, name) for field, _ in self.files):
            raise Refused(422, "usage", f"one file or more is needed, in a field {name!r}")
        return [data for _, data in self.files]


async def read_clips(request: Request, settings: Settings) -> Clips:
    """Read the body of a request.

    Raises:
        Refused: it is too large, too slow, or a form that cannot be read.
    """
    body = await read_body(request, settings)
    if not request.headers.get("content-type", "").lower().startswith(_FORM):
        return Clips(((None, body),))

    async def chunks() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        request.headers,
        chunks(),
        max_files=_MOST_FILES,
        max_fields=0,
        max_part_size=settings.max_bytes,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeError) as error:
        raise Refused(400, "usage", f"the form cannot be read: {error}") from None
    files = [(name, value) for name, value in form.multi_items() if isinstance(value, UploadFile)]
    return Clips(tuple([(name, await file.read()) for name, file in files]))
