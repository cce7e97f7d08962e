"""Every way in which voxedge can fail on purpose: one exception tree.

The library raises, only the command line prints. Each class owns the stable ``code`` that programs
see in ``--json`` records and the ``exit_code`` of the process (docs/design.md, "The command line").
"""

from __future__ import annotations

from typing import ClassVar


class VoxedgeError(Exception):
    """A failure that is explained to the user; ``hint`` says what to do about it."""

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(VoxedgeError):
    """The command or call itself makes no sense."""

    code, exit_code = "usage", 2


class AudioError(VoxedgeError):
    """A clip that cannot be used; the other clips of a call are not affected."""

    code, exit_code = "audio", 3


class AudioNotFound(AudioError):
    code = "not_found"


class NotAFile(AudioError):
    """A directory, FIFO, device or socket where a regular file is needed."""

    code = "not_a_file"


class PermissionDenied(AudioError):
    code = "permission_denied"


class UnreadableAudio(AudioError):
    """The bytes are not audio that can be decoded."""

    code = "unreadable"


class TruncatedAudio(AudioError):
    """Less audio than the header declares; an error only where ``strict`` asks for it."""

    code = "truncated"


class OutsideLimits(AudioError):
    """A header or a size beyond the stated limits."""

    code = "outside_limits"


class TooShort(AudioError):
    code = "too_short"


class BadSamples(AudioError):
    """NaN, infinite, or far outside [-1, 1]."""

    code = "bad_samples"


class CorpusError(AudioError):
    """A folder or manifest from which nothing can be trained or measured."""

    code = "corpus"


class ModelError(VoxedgeError):
    """A model file that is missing or must not be trusted."""

    code, exit_code = "model_refused", 4


class ModelNotFound(ModelError):
    code = "model_not_found"


class NonFiniteOutput(ModelError):
    """The model answered NaN or infinity for good input; no name may be drawn from that."""

    code = "non_finite_output"


class RunError(ModelError):
    """A run folder or checkpoint that is missing, damaged or of another architecture."""

    code = "run_refused"


class ParityError(ModelError):
    """The exported graph does not compute what the trained network computes."""

    code = "parity"


class SomeFilesFailed(VoxedgeError):
    """Some of several files failed; each was reported where it stood."""

    code, exit_code = "some_files_failed", 5


class ProviderUnavailable(VoxedgeError):
    """An execution provider (or ONNX Runtime itself) that was asked for and is not there."""

    code, exit_code = "provider_unavailable", 6


class MissingExtra(VoxedgeError):
    """A part of voxedge whose optional dependencies are not installed."""

    code, exit_code = "missing_extra", 2


class TrainingError(VoxedgeError):
    """Training cannot go on, a loss that is not finite for one; the last good state is kept."""

    code = "training"


class RunBusy(TrainingError):
    """Another process trains in the same run folder."""

    code, exit_code = "run_busy", 2


class Interrupted(VoxedgeError):
    """A signal asked the process to stop; what was done is saved. The exit code is 128 + signal."""

    code = "interrupted"

    def __init__(self, signum: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.signum = signum

    @property
    def status(self) -> int:
        return 128 + self.signum
