"""Decode the clips of an evaluation one after the other, so that memory does not grow with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from voxedge.audio.load import Audio, decode
from voxedge.data.clips import Clip
from voxedge.errors import AudioError
from voxedge.threads import ordered_map


def decode_clips(
    clips: Sequence[Clip],
    sample_rate: int,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Clip, Audio | AudioError]]:
    """Yield each clip with its audio, or with the reason why it cannot be decoded.

    Args:
        clips: what to decode.
        sample_rate: rate to resample to, in Hz.
        workers: decoding threads.
        progress: called with (clips done, all clips) after each clip has been consumed.
    """

    def decode_or_explain(clip: Clip) -> Audio | AudioError:
        try:
            return decode(clip.source, sample_rate)
        except AudioError as error:
            return error

    decoded = ordered_map(decode_or_explain, clips, workers)
    for done, (clip, audio) in enumerate(zip(clips, decoded, strict=True), 1):
        yield clip, audio
        if progress:
            progress(done, len(clips))
