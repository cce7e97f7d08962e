"""The most that this machine multiplies, in float32 and in 8-bit integers.

A product of two large matrices is what comes closest to it; the best trial of the better library
counts. Multiply-adds count twice, so that integers and floats have one unit: 1e9 a second, GFLOP/s.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from bench.alternate import IN_A_ROW, alternate, clocked
from bench.bench_latency import THREADS, TURNS
from bench.trunk import bare_trunk, multiply_adds
from voxedge.inference.session import open_session

SIDE = 512  # of the matrices: 2.7e8 operations on 1 MB each in float32


@pytest.mark.parametrize("threads", THREADS)
def test_ceiling(benchmark, material, threads, rounds):
    torch.set_num_threads(threads)
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, SIDE, SIDE), np.float32)
    session = product(b, threads)
    small = random.integers(-64, 64, (SIDE, SIDE), np.int8)  # 7 bits, as the files have them
    integer = product(small, threads)
    left = random.integers(0, 256, (SIDE, SIDE), np.uint8)
    first, second = torch.from_numpy(a), torch.from_numpy(b)
    trials = {
        "fp32, ONNX Runtime": partial(session.run, None, {"a": a}),
        "fp32, PyTorch": partial(torch.mm, first, second),
        "int8, ONNX Runtime": partial(integer.run, None, {"a": left}),
    }
    rows = {name: clocked(run, IN_A_ROW) for name, run in trials.items()}
    figures = alternate(benchmark, rows, TURNS * rounds)
    per_second = {name: 2 * SIDE**3 / min(f["seconds"]) for name, f in figures.items()}
    pixels = material.run.recipe().frontend.image_size
    benchmark.extra_info.update(
        suite="ceiling",
        device="cpu",
        threads=threads,
        multiply_adds=multiply_adds(bare_trunk(material.file("fp32")), pixels),
        ceiling={
            precision: max(v for name, v in per_second.items() if name.startswith(precision))
            for precision in ("fp32", "int8")
        },
        figures=figures,
    )


def product(right, threads):
    """A session of ``a`` [SIDE, SIDE] times a constant: float32 by float32, or uint8 by int8."""
    kinds = {"float32": ("MatMul", "FLOAT", "FLOAT"), "int8": ("MatMulInteger", "UINT8", "INT32")}
    kind, left, result = kinds[str(right.dtype)]
    shape = list(right.shape)
    graph = helper.make_graph(
        [helper.make_node(kind, ["a", "b"], ["c"])],
        "product",
        [helper.make_tensor_value_info("a", getattr(TensorProto, left), shape)],
        [helper.make_tensor_value_info("c", getattr(TensorProto, result), shape)],
        [numpy_helper.from_array(right, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return open_session(model.SerializeToString(), "cpu", threads)[0]
