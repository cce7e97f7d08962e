from __future__ import annotations

import pytest
import torch

from voxedge.errors import UsageError
from voxedge.train.device import choose_device, choose_precision


def test_unusable_devices_and_precisions_are_refused():
    with pytest.raises(UsageError, match="abacus"):
        choose_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="cuda"):
            choose_device("cuda")
    with pytest.raises(UsageError, match="auto, fp32 or bf16"):
        choose_precision("fp8", torch.device("cpu"))
    assert choose_precision("bf16", torch.device("cpu"))
    assert not choose_precision("fp32", torch.device("cpu"))
