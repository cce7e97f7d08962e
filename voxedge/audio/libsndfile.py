"""Read audio with libsndfile, front to back, without trusting the length it reports.

Imported only for a clip that needs it: plain WAV files do not, and importing soundfile takes a
tenth of the time in which ``voxedge identify`` starts.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import soundfile

from voxedge.audio.limits import Samples
from voxedge.errors import UnreadableAudio

_MP3_TOLERANCE = 2 * 1152  # frames: encoder delay and padding make an MP3's length inexact
_UNKNOWN_FRAMES = (1 << 63) - 1  # the length of a FLAC that was written to a pipe

#: Lines of libsndfile's log about a file that is shorter than its container claims.
_CUT_OFF = re.compile(
    r"^.*(?:\(should be|end-of-stream bit|after the last page|truncated file).*$", re.MULTILINE
)


def open_source(target: Any) -> LibsndfileSource:  # noqa: ANN401
    """Open a file descriptor or a file-like object, which stays open when the source is closed.

    Raises:
        UnreadableAudio: libsndfile does not recognise it.
    """
    try:
        return LibsndfileSource(target, closefd=False)
    except (soundfile.LibsndfileError, TypeError, OSError) as error:
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        raise UnreadableAudio(f"not audio that libsndfile decodes: {reason}") from None


class LibsndfileSource(soundfile.SoundFile):  # type: ignore[misc]
    """A ``decoder.FrameSource``; closing it frees the decoder."""

    @property
    def rate(self) -> int:
        """Hz."""
        return int(self.samplerate)

    @property
    def declared_frames(self) -> int:
        """Frames by the header; 0 where it does not say."""
        return 0 if self.frames == _UNKNOWN_FRAMES else max(0, int(self.frames))

    @property
    def frame_tolerance(self) -> int:
        """How many frames fewer than declared are no fault."""
        return _MP3_TOLERANCE if self.subtype.startswith("MPEG") else 0  # also within WAV

    @property
    def cut_off(self) -> str:
        """The log's line about missing data; "" for WAV, which ``wav.parse`` has checked."""
        cut = None if self.format.startswith("WAV") else _CUT_OFF.search(self.extra_info)
        return cut[0].strip() if cut else ""

    def seekable(self) -> bool:
        """Report False: soundfile would seek after each block, slowly, and fail on bad headers."""
        return False

    def read_block(self, out: Samples) -> tuple[Samples, str]:
        """Read the next frames into ``out`` [F, channels]; see ``decoder.FrameSource``."""
        out.fill(np.nan)  # marks what a failing decoder has not written
        try:
            return self.read(out=out), ""
        except soundfile.LibsndfileError as error:
            written = int(np.isnan(np.append(out[:, 0], np.nan)).argmax())
            return out[:written], error.error_string.rstrip(".")
