"""PyTorch -> an ``onnx_ir`` model with the inputs and outputs of the contract."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence

import onnx_ir as ir
import torch
from torch import Tensor, nn

from voxedge.nn.speaker_net import ExportedNet

OPSET = 18
OUTPUTS = ("logits", "probabilities", "embedding")


def trace(net: ExportedNet) -> ir.Model:
    """The graph for any batch and any length.

    ``lengths`` is traced with shape [1]: a default must broadcast, and an example of the batch's
    size would let the exporter take B from it.
    """
    samples = net.net.frontend.window.samples
    example = (torch.zeros(2, samples + 1), torch.tensor([samples]))  # a batch of 1 would be frozen
    return trace_module(net, example, OUTPUTS)


def trace_module(
    module: nn.Module, example: tuple[Tensor, Tensor], outputs: Sequence[str], channels: int = 1
) -> ir.Model:
    """A module of ``pcm`` [batch, samples], a multiple of ``channels``, and ``lengths`` [1]."""
    batch, length = torch.export.Dim("batch"), torch.export.Dim("samples")
    if channels > 1:
        length = channels * length
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            input_names=["pcm", "lengths"],
            output_names=list(outputs),
            dynamic_shapes={"pcm": {0: batch, 1: length}, "lengths": None},
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # with dynamo it always returns a program
    return program.model


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Without the exporter's progress lines and warnings about its own internals."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
