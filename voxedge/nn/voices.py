"""Other voices made of a recording: another speed, and formants shifted against the pitch.

Shapes: S samples of a clip, N bins of the spectrum, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

_N_FFT = 1024
_HOP = 256
_CEPSTRA = 50  # coefficients of the spectral envelope: finer than formants, coarser than harmonics
_LIMIT = 3.0  # largest change of the log amplitude: what lies outside a band stays outside
_TINY = 1e-5


def shift_formants(samples: Tensor, factor: float) -> Tensor:
    """Move the spectral envelope of a clip up or down in frequency; pitch and timing stay.

    The envelope is the spectrum smoothed by its first cepstral coefficients (Oppenheim and Schafer
    1989, "Discrete-time signal processing", ch. 12), and each frame is filtered to have the moved
    one, as another length of the vocal tract would give (Eide and Gish 1996, "A parametric approach
    to vocal tract length normalization"). The power stays as it is.

    Args:
        samples: float32 [S]; a clip shorter than 64 ms at 16 kHz is returned as it is.
        factor: of the formants' frequencies, such as 0.85 to 1.18.
    """
    if len(samples) < _N_FFT:
        return samples
    taper = torch.hann_window(_N_FFT)
    spectrum = torch.stft(samples, _N_FFT, _HOP, window=taper, return_complex=True)  # [N, T]
    envelope = _envelope(spectrum)
    position = torch.arange(len(envelope)) / factor
    low = position.long().clamp(max=len(envelope) - 1)
    high = (low + 1).clamp(max=len(envelope) - 1)
    share = (position - low).clamp(0, 1).unsqueeze(1)
    moved = envelope[low] * (1 - share) + envelope[high] * share
    gain = torch.exp((moved - envelope).clamp(-_LIMIT, _LIMIT))
    shifted: Tensor = torch.istft(spectrum * gain, _N_FFT, _HOP, window=taper, length=len(samples))
    power = samples.square().mean() / shifted.square().mean().clamp(min=1e-12)
    return shifted * torch.sqrt(power)


def _envelope(spectrum: Tensor) -> Tensor:
    """Log amplitude of the spectral envelope of each frame, [N, T]."""
    log = torch.log(spectrum.abs() + _TINY)
    cepstrum = torch.fft.irfft(log, _N_FFT, dim=0)
    cepstrum[_CEPSTRA : _N_FFT - _CEPSTRA + 1] = 0
    envelope: Tensor = torch.fft.rfft(cepstrum, dim=0).real
    return envelope
