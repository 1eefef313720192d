"""The input rule against torchvision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as tv

from lostreg.errors import UsageError
from lostreg.images import Photograph
from lostreg.preprocess import InputSpec, prepare
from lostreg.settings import InputSettings

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SPEC = InputSpec(14, MEAN, STD)


def random_rgb(width, height):
    return np.random.default_rng(width).integers(0, 256, size=(height, width, 3), dtype=np.uint8)


def test_normalisation_equals_torchvision_and_the_padding_is_zero():
    rgb = random_rgb(50, 33)
    tensor, frame = prepare(Photograph(rgb), SPEC, InputSettings())
    expected = tv.normalize(tv.to_tensor(Image.fromarray(rgb)), MEAN, STD)
    assert frame.grid_hw == (3, 4)
    assert tensor.shape == (3, 42, 56)
    torch.testing.assert_close(tensor[:, :33, :50], expected, rtol=0, atol=1e-6)
    assert tensor[:, 33:].abs().max() == 0
    assert tensor[:, :, 50:].abs().max() == 0


def test_reflection_repeats_the_edge():
    rgb = random_rgb(50, 33)
    tensor, _ = prepare(Photograph(rgb), SPEC, InputSettings(pad="reflect"))
    assert torch.equal(tensor[:, 33], tensor[:, 32])
    assert torch.equal(tensor[:, 33 + 8], tensor[:, 32 - 8])


SIZES = [
    ((500, 333), None, (500, 333), (24, 36)),
    ((640, 480), 640, (640, 480), (35, 46)),
    ((4000, 3000), 640, (640, 480), (35, 46)),
    ((3000, 4000), 640, (480, 640), (46, 35)),
    ((1, 1), 640, (1, 1), (1, 1)),
    ((20000, 100), 640, (640, 3), (1, 46)),
    ((100, 20000), 640, (3, 640), (46, 1)),
]


@pytest.mark.parametrize(("wh", "max_side", "content_wh", "grid_hw"), SIZES)
def test_sizes(wh, max_side, content_wh, grid_hw):
    tensor, frame = prepare(Photograph(np.zeros((wh[1], wh[0], 3), np.uint8)), SPEC, InputSettings(max_side))
    assert (frame.image_wh, frame.content_wh, frame.grid_hw) == (wh, content_wh, grid_hw)
    assert tensor.shape == (3, grid_hw[0] * 14, grid_hw[1] * 14)


def test_resize_stretches_to_the_nearest_multiple():
    _, frame = prepare(Photograph(random_rgb(50, 33)), SPEC, InputSettings(pad="resize"))
    assert frame.content_wh == (56, 28)
    assert frame.input_wh == (56, 28)


def test_scaling_down_is_pillow_bicubic():
    rgb = random_rgb(300, 200)
    tensor, _ = prepare(Photograph(rgb), SPEC, InputSettings(max_side=150))
    small = Image.fromarray(rgb).resize((150, 100), Image.Resampling.BICUBIC)
    expected = tv.normalize(tv.to_tensor(small), MEAN, STD)
    torch.testing.assert_close(tensor[:, :100, :150], expected, rtol=0, atol=1e-6)


def test_a_side_below_one_patch_is_refused():
    with pytest.raises(UsageError, match="at least one patch"):
        prepare(Photograph(random_rgb(50, 33)), SPEC, InputSettings(max_side=13))


@pytest.mark.parametrize("bad", [{"max_side": 0}, {"max_side": -5}, {"pad": "zeros"}])
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(UsageError):
        InputSettings(**bad)
