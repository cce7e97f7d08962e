"""CAM++ next to a plain reading of its paper; the published weights: tests/export/fold."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from voxedge.nn.campplus import CamPlusPlus, _Masked, _Segments


@pytest.fixture(scope="module")
def net() -> CamPlusPlus:
    torch.manual_seed(0)
    return CamPlusPlus(bands=16, embedding_dim=24).eval()


@pytest.mark.parametrize("frames", [1, 99, 100, 101, 249])
def test_the_mask_of_a_segment_is_that_of_its_frames(frames):
    """Equations 1 to 5, frame by frame: the context of a frame is repeated for each one."""
    torch.manual_seed(1)
    layer = _Masked(40, dilation=2).eval()
    x = torch.randn(2, 40, frames)
    inner = layer.nonlinear2(layer.linear1(layer.nonlinear1(x)))
    pieces = [piece.mean(dim=2, keepdim=True) for piece in inner.split(100, dim=2)]
    repeated = torch.cat([piece.expand(-1, -1, 100) for piece in pieces], dim=2)[..., :frames]
    context = inner.mean(dim=2, keepdim=True) + repeated
    cam = layer.cam_layer
    mask = torch.sigmoid(cam["linear2"](F.relu(cam["linear1"](context))))
    expected = cam["linear_local"](inner) * mask
    actual = layer(x, _Segments(frames, x.device))
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_embeddings_of_any_number_of_frames(net):
    with torch.inference_mode():
        for frames in (20, 298):
            bands = torch.randn(3, frames, 16)
            rows = torch.cat([net(row.unsqueeze(0)) for row in bands])
            assert rows.shape == (3, 24)
            torch.testing.assert_close(net(bands), rows, atol=1e-4, rtol=1e-4)


def test_the_embedding_is_not_rectified(net):
    with torch.inference_mode():
        assert (net(torch.randn(4, 60, 16)) < 0).any()


def test_parameters_have_the_names_of_published_checkpoints(net):
    names = set(net.state_dict())
    assert {
        "head.layer1.0.shortcut.1.running_var",
        "xvector.tdnn.nonlinear.batchnorm.bias",
        "xvector.block2.tdnnd24.cam_layer.linear_local.weight",
        "xvector.transit3.linear.weight",
        "xvector.out_nonlinear.batchnorm.weight",
        "xvector.dense.nonlinear.batchnorm.running_mean",
    } <= names
    assert len(names) == 937
