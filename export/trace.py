"""PyTorch -> an ``onnx_ir`` model with the inputs and outputs of the model file."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence

import onnx_ir as ir
import torch
from onnx.helper import find_min_ir_version_for, make_opsetid
from torch import Tensor, nn

from voxedge.nn.speaker_net import ExportedNet

#: The lowest opset of torch's exporter: its operators are implemented in opset 18, and it writes 18
#: when asked for less.
OPSET = 18
OUTPUTS = ("logits", "probabilities", "embedding")


def trace(net: ExportedNet) -> ir.Model:
    """The graph of a network, for any batch size and any number of samples.

    ``lengths`` is traced with shape [1]: a default must broadcast over the batch, and with an
    example of the batch's size the exporter might read the batch size from it.
    """
    samples = net.net.frontend.window.samples
    # Two rows: the exporter specialises on a batch of 1.
    example = (torch.zeros(2, samples + 1), torch.tensor([samples]))
    return trace_module(net, example, OUTPUTS)


def trace_module(
    module: nn.Module, example: tuple[Tensor, Tensor], outputs: Sequence[str], channels: int = 1
) -> ir.Model:
    """The graph of a module that takes ``pcm`` [batch, samples] and ``lengths`` [1].

    Args:
        module: any module of those two inputs.
        example: inputs to trace with.
        outputs: names of the outputs.
        channels: the number of samples is a multiple of it.
    """
    batch, samples = torch.export.Dim("batch"), torch.export.Dim("samples")
    if channels > 1:
        samples = channels * samples
    with quiet():
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            input_names=["pcm", "lengths"],
            output_names=list(outputs),
            dynamic_shapes={"pcm": {0: batch, 1: samples}, "lengths": None},
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # with dynamo=True it always returns a program
    model = program.model
    model.ir_version = lowest_ir_version(model)
    return model


def lowest_ir_version(model: ir.Model) -> int:
    """The IR version that came with the model's opsets; older runtimes refuse a later one.

    Tensor types do not raise it: float8 needs IR version 9 and 4-bit integers 10, and no file of
    ours has them.
    """
    opsets = [make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    version: int = find_min_ir_version_for(opsets)
    return version


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the exporter's progress lines and the warnings about its own internals."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
