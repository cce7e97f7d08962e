"""Every error that voxedge raises on purpose: one tree of exceptions.

The library raises them, and only the command line prints. Each class owns the stable ``code`` that
programs see in ``--json`` records, and the ``exit_code`` of the process. ``docs/errors.md`` is made
from the docstrings: what happened, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class VoxedgeError(Exception):
    """Something else failed: a full disk, a read-only folder, or a fault in voxedge itself.
    Free the disk, or run ``voxedge --debug`` again and report what it shows.

    Args:
        message: what happened.
        hint: what to do about it, for people; may be empty.
    """

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return _sentence(self.message, self.hint)


class UsageError(VoxedgeError):
    """The command, a flag or a recipe makes no sense. Correct it; ``--help`` lists the flags."""

    code, exit_code = "usage", 2


class AudioError(VoxedgeError):
    """A clip cannot be used. Leave it out; the other clips of the call are not affected."""

    code, exit_code = "audio", 3


class AudioNotFound(AudioError):
    """There is no file at this path. Check the name and the current folder."""

    code = "not_found"


class NotAFile(AudioError):
    """The path is a folder, FIFO, device or socket. Give the path of a regular file."""

    code = "not_a_file"


class PermissionDenied(AudioError):
    """The file may not be read by this user. Change its permissions."""

    code = "permission_denied"


class UnreadableAudio(AudioError):
    """The file is not audio that can be decoded. Convert it to WAV or FLAC, or copy it again."""

    code = "unreadable"


class TruncatedAudio(AudioError):
    """The file holds less audio than its header declares. Copy it again, or leave out
    ``--strict``: then what can be decoded is used, with a warning.
    """

    code = "truncated"


class DecodingStopped(AudioError):
    """The process that decodes took too long or too much memory, or crashed, and was stopped: the
    file is damaged, or made to do harm. Convert it, or leave it out.
    """

    code = "decoding_stopped"


class OutsideLimits(AudioError):
    """The sample rate, channel count, length or size is beyond a limit. Convert the file."""

    code = "outside_limits"


class TooShort(AudioError):
    """The clip is shorter than the model's minimum, or ``--min-seconds``. Record a longer one."""

    code = "too_short"


class NoSpeech(AudioError):
    """Nobody speaks in the recording: silence, noise or music. Record again, nearer to the
    microphone; where a command has ``--any-sound``, it uses the recording all the same.
    """

    code = "no_speech"


class TooLittleSpeech(AudioError):
    """There is less than a quarter of a second of speech in the clip. Record a longer one;
    ``--any-sound`` uses it all the same.
    """

    code = "too_little_speech"


class BadSamples(AudioError):
    """Samples are NaN, infinite, or far outside [-1, 1]. Scale integers by their type's range."""

    code = "bad_samples"


class MicrophoneError(AudioError):
    """There is no such microphone, or it fails, or delivers another rate than it says.
    ``voxedge listen --list`` shows the others.
    """

    code = "microphone"


class CorpusError(AudioError):
    """A folder, manifest or evaluation cannot be used for training or measuring. Correct it."""

    code = "corpus"


class EnrolmentError(AudioError):
    """None of the clips can be enrolled; each has its reason. Record others.

    Args:
        message: what happened.
        hint: what to do about it.
        reports: what is known of each clip (``voxedge.gallery.enrolment.ClipReport``).
    """

    code = "enrolment"

    def __init__(self, message: str, hint: str = "", reports: Sequence[Any] = ()) -> None:
        super().__init__(message, hint)
        self.reports = tuple(reports)


class AnotherVoice(EnrolmentError):
    """A clip does not sound like the person's others, so nobody was enrolled. Leave the clip out
    that is named; ``--force`` enrols it all the same.
    """

    code = "another_voice"


class TooClose(EnrolmentError):
    """The person sounds like one who is enrolled already under another name. If it is the same
    person, add the clips to that name; ``--force`` enrols a second one.
    """

    code = "too_close"


class ModelError(VoxedgeError):
    """The model file is not a voxedge model, is damaged or unsafe. Copy or export it again."""

    code, exit_code = "model_refused", 4


class ModelNotFound(ModelError):
    """There is no model file. Name one by ``--model`` or ``$VOXEDGE_MODEL``, or export one."""

    code = "model_not_found"


class NonFiniteOutput(ModelError):
    """The model's answer is NaN or infinite, so no speaker is named. Export the model again."""

    code = "non_finite_output"


class NoSpeakers(ModelError):
    """The model file gives embeddings and knows no names, as ``voxedge fold`` writes it. Enrol
    people (``voxedge enroll``), or train a file with names on top of it.
    """

    code = "no_speakers"


class RunError(ModelError):
    """A run folder or checkpoint is missing, damaged, or does not fit. Name another, or train."""

    code = "run_refused"


class GalleryError(ModelError):
    """The gallery is damaged, or cannot be read. Copy it again, or enrol its people anew."""

    code = "gallery_refused"


class GalleryNotFound(GalleryError):
    """There is no gallery. Name one by ``--gallery``, or enrol somebody: ``voxedge enroll``."""

    code = "gallery_not_found"


class SignatureRefused(GalleryError):
    """The gallery is not signed by the key that is trusted (``--trust``): it has no signature, one
    of another key, or was changed. Get it again from those who sign.
    """

    code = "signature_refused"


class EmptyGallery(GalleryError):
    """Nobody is enrolled in the gallery. ``voxedge enroll NAME CLIP...`` enrols somebody."""

    code = "gallery_empty"


class ForeignModel(GalleryError):
    """The gallery was made with another model file, whose embeddings do not compare. Name that
    file by ``--model``; or ``voxedge gallery migrate``, if the clips were kept; or enrol anew.
    """

    code = "foreign_model"


class ParityError(ModelError):
    """The exported graph answers differently from the trained network, so no file was written.
    Export in a higher precision, or report it.
    """

    code = "parity"


class SomeFilesFailed(VoxedgeError):
    """Some of the clips could not be used; each has its own error. The other answers are right."""

    code, exit_code = "some_files_failed", 5


class ProviderUnavailable(VoxedgeError):
    """ONNX Runtime, or the requested execution provider, does not load. See ``voxedge doctor``."""

    code, exit_code = "provider_unavailable", 6


class MissingExtra(VoxedgeError):
    """Something that this command needs is not installed. The hint says how to install it."""

    code, exit_code = "missing_extra", 2


class NameTaken(UsageError):
    """Somebody in the gallery has this name, or one that differs in case or blanks only. Take
    another name, or spell it in the same way.
    """

    code = "name_taken"


class UnknownPerson(UsageError):
    """Nobody in the gallery has this name. ``voxedge gallery list`` shows the names."""

    code = "unknown_person"


class GalleryBusy(VoxedgeError):
    """Another process has been changing the gallery for long. Try again; nothing was changed."""

    code, exit_code = "gallery_busy", 2


class TrainingError(VoxedgeError):
    """Training cannot go on: the loss is not finite. Lower the learning rate, then ``--resume``."""

    code = "training"


class RunBusy(TrainingError):
    """Another process is training in the same run folder. Wait for it, or use another folder."""

    code, exit_code = "run_busy", 2


class Interrupted(BaseException):
    """A signal stopped the process. ``voxedge train --resume`` goes on from what was saved.

    The exit code is 128 + the signal's number. Like ``KeyboardInterrupt`` it is no ``Exception``:
    what catches those takes them for faults of a clip or of a model file.
    """

    code: ClassVar[str] = "interrupted"

    def __init__(self, signum: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.signum = signum
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return _sentence(self.message, self.hint)

    @property
    def status(self) -> int:
        """The exit code of the process."""
        return 128 + self.signum


def _sentence(message: str, hint: str) -> str:
    return f"{message} ({hint})" if hint else message
