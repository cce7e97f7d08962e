"""The most operations a second that this machine reaches, in float32 and in 8-bit integers.

A product of two large matrices comes closest to the hardware's limit; the best trial of the better
library counts. A multiply-add counts as two operations, so that integers and floats share one
unit: 1e9 a second, GFLOP/s.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from bench.alternate import IN_A_ROW, alternate, timed
from bench.bench_latency import THREADS, TURNS
from bench.trunk import bare_trunk, multiply_adds
from voxedge.inference.session import open_session

SIDE = 512  # of the matrices: 2.7e8 operations on 1 MB each in float32


@pytest.mark.parametrize("threads", THREADS)
def test_ceiling(benchmark, prepared, threads, rounds):
    torch.set_num_threads(threads)
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, SIDE, SIDE), np.float32)
    floats = matrix_product(b, threads)
    right = random.integers(-64, 64, (SIDE, SIDE), np.int8)  # 7 bits, as the files have them
    integers = matrix_product(right, threads)
    left = random.integers(0, 256, (SIDE, SIDE), np.uint8)
    trials = {
        "fp32, ONNX Runtime": partial(floats.run, None, {"a": a}),
        "fp32, PyTorch": partial(torch.mm, torch.from_numpy(a), torch.from_numpy(b)),
        "int8, ONNX Runtime": partial(integers.run, None, {"a": left}),
    }
    timings = alternate(
        benchmark, {name: timed(run, IN_A_ROW) for name, run in trials.items()}, TURNS * rounds
    )
    per_second = {name: 2 * SIDE**3 / min(timing["seconds"]) for name, timing in timings.items()}
    pixels = prepared.run.recipe().frontend.image_size
    benchmark.extra_info.update(
        suite="ceiling",
        device="cpu",
        threads=threads,
        multiply_adds=multiply_adds(bare_trunk(prepared.file("fp32")), pixels),
        ceiling={
            precision: max(v for name, v in per_second.items() if name.startswith(precision))
            for precision in ("fp32", "int8")
        },
        figures=timings,
    )


def matrix_product(right, threads):
    """A session of ``a`` [SIDE, SIDE] times a constant: float32 by float32, or uint8 by int8."""
    operators = {
        "float32": ("MatMul", "FLOAT", "FLOAT"),
        "int8": ("MatMulInteger", "UINT8", "INT32"),
    }
    operator, left, result = operators[str(right.dtype)]
    shape = list(right.shape)
    graph = helper.make_graph(
        [helper.make_node(operator, ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", getattr(TensorProto, left), shape)],
        [helper.make_tensor_value_info("c", getattr(TensorProto, result), shape)],
        [numpy_helper.from_array(right, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return open_session(model.SerializeToString(), "cpu", threads)[0]
