"""Position embeddings resized like DINO, against its formula written out, and remembered."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lostreg.backbone import Backbone, build_model
from lostreg.catalogue import BY_NAME
from lostreg.pos_embed import RememberedPositions, resize_like_dino


def cubic(distance):
    """The cubic convolution kernel with a = -0.75, which PyTorch uses."""
    d, a = abs(distance), -0.75
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def weights_by_hand(size, out):
    """Return the (out, size) matrix of a resize by (out + 0.1) / size without antialiasing, edges repeated."""
    scale = size / (out + 0.1)
    matrix = np.zeros((out, size))
    for i in range(out):
        source = (i + 0.5) * scale - 0.5
        base = int(np.floor(source))
        for tap in range(base - 1, base + 3):
            matrix[i, min(max(tap, 0), size - 1)] += cubic(source - tap)
    return matrix


@pytest.mark.parametrize("grid_hw", [(7, 9), (14, 20), (21, 32), (1, 1)])
def test_equals_the_formula(grid_hw):
    side, width = 14, 5
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(1, side * side, width)))
    grid = rows[0].reshape(side, side, width).numpy()
    vertical, horizontal = (weights_by_hand(side, out) for out in grid_hw)
    expected = np.einsum("ri,cj,ijd->rcd", vertical, horizontal, grid).reshape(-1, width)
    np.testing.assert_allclose(resize_like_dino(rows, grid_hw)[0], expected, atol=1e-6)


def test_the_trained_grid_is_left_alone():
    rows = torch.randn(1, 14 * 14, 5)
    assert torch.equal(resize_like_dino(rows, (14, 14)), rows)


def test_dino_models_use_it_and_others_do_not():
    torch.manual_seed(0)
    own, timms = build_model(BY_NAME["dino-s16"]), build_model(BY_NAME["deit3-s16"])
    assert own._pos_embed.__qualname__.startswith("use_dino_pos_embed")
    assert timms._pos_embed.__qualname__.startswith("VisionTransformer")
    Backbone(BY_NAME["dino-s16"], own, torch.device("cpu"), "fp32")
    patches = torch.randn(2, 5, 7, 384)
    with torch.inference_mode():
        tokens = own._pos_embed(patches)
        added = tokens[:, 1:] - patches.flatten(1, 2)
    torch.testing.assert_close(added[0], resize_like_dino(own.pos_embed[:, 1:], (5, 7))[0])
    torch.testing.assert_close(tokens[1, 0], own.cls_token[0, 0] + own.pos_embed[0, 0])


@pytest.mark.parametrize("name", ["dino-s16", "deit3-s16", "dinov2-s14-reg", "siglip-b16"])
def test_remembered_positions_are_those_of_the_model(name):
    torch.manual_seed(0)
    model = build_model(BY_NAME[name])
    remembered = RememberedPositions(model)
    with torch.inference_mode():
        for learnt in (model.pos_embed, model.cls_token, model.reg_token):
            if learnt is not None:
                learnt.normal_()
        for rows, columns in ((5, 7), (7, 5), (5, 7)):
            patches = torch.randn(2, rows, columns, model.embed_dim)
            tokens = remembered(rows, columns).repeat(2, 1, 1)
            tokens[:, model.num_prefix_tokens :] += patches.flatten(1, 2)
            assert torch.equal(tokens, model._pos_embed(patches))


def test_positions_are_resized_once_per_grid():
    model, asked = build_model(BY_NAME["dino-s16"]), []
    embed = model._pos_embed
    model._pos_embed = lambda x: asked.append(x.shape[1:3]) or embed(x)
    remembered = RememberedPositions(model)
    for grid_hw in ((5, 7), (7, 5), (5, 7), (7, 5)):
        remembered(*grid_hw)
    assert asked == [(5, 7), (7, 5)]
