"""libsndfile, read forward only and taken at less than its word (see ``decoder.Source``).

Loaded where a clip needs it: a plain WAV does without, and its import costs a tenth of the time
that ``identify`` needs to start.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import soundfile

from voxedge.audio.limits import Samples
from voxedge.errors import UnreadableAudio

_MP3_SLACK = 2 * 1152  # encoder delay and padding make an MP3's declared length inexact
_UNKNOWN_FRAMES = (1 << 63) - 1  # of a FLAC that was written to a pipe

#: What libsndfile says in its log only, where a file is shorter than its container claims.
_CUT_OFF = re.compile(
    r"^.*(?:\(should be|end-of-stream bit|after the last page|truncated file).*$", re.MULTILINE
)


def opened(target: Any) -> LibsndfileSource:  # noqa: ANN401
    """A source of a descriptor or any file-like object; a context manager that frees the decoder.

    Raises:
        UnreadableAudio: libsndfile does not know it.
    """
    try:
        return LibsndfileSource(target, closefd=False)
    except (soundfile.LibsndfileError, TypeError, OSError) as error:
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        raise UnreadableAudio(f"not audio that libsndfile decodes: {reason}") from None


class LibsndfileSource(soundfile.SoundFile):  # type: ignore[misc]
    """A ``decoder.Source``."""

    @property
    def rate(self) -> int:
        """Hz."""
        return int(self.samplerate)

    @property
    def declared(self) -> int:
        """Frames, by the header; 0 where it does not say."""
        return 0 if self.frames == _UNKNOWN_FRAMES else max(0, int(self.frames))

    @property
    def slack(self) -> int:
        """Frames by which less may come than is declared."""
        return _MP3_SLACK if self.format == "MP3" else 0

    @property
    def cut_off(self) -> str:
        """What the log says of missing data, WAV aside: wav.parse has said it already."""
        cut = None if self.format.startswith("WAV") else _CUT_OFF.search(self.extra_info)
        return cut[0].strip() if cut else ""

    def seekable(self) -> bool:
        """soundfile would seek after every block: slow, and an error where a FLAC's header lies."""
        return False

    def block(self, out: Samples) -> tuple[Samples, str]:
        """The next frames, and why they are the last, if the decoder stumbled."""
        out.fill(np.nan)  # stays where a decoder that stumbles has not come
        try:
            return self.read(out=out), ""
        except soundfile.LibsndfileError as error:
            done = int(np.isnan(np.append(out[:, 0], np.nan)).argmax())
            return out[:done], error.error_string.rstrip(".")
