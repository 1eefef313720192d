"""Further looks at a photograph: what the ViT is shown, and where its patches lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lostreg.features import Features
from lostreg.geometry import carry_boxes
from lostreg.images import Photograph
from lostreg.looks import LOOKS, Look, extract_looks, look_again
from lostreg.preprocess import InputSpec, prepare
from lostreg.settings import InputSettings

SPEC = InputSpec(14, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def smooth_rgb(width, height):
    y, x = np.mgrid[:height, :width]
    waves = [127 + 120 * np.sin(x / a + y / b) for a, b in ((9, 14), (17, 8), (12, 31))]
    return np.stack(waves, axis=-1).astype(np.uint8)


def brightness(inputs, frames):
    """Stand in for the ViT: a patch's feature is its mean colour."""
    pooled = torch.nn.functional.avg_pool2d(inputs, 14).flatten(2).transpose(1, 2)
    return [Features(frame, {"x": values}) for frame, values in zip(frames, pooled, strict=True)]


def test_one_look_is_the_photograph_alone():
    tensor, frame = prepare(Photograph(smooth_rgb(50, 33)), SPEC, InputSettings())
    (features,) = extract_looks(brightness, tensor[None], [frame], LOOKS[:1], SPEC, "none")
    assert features.looks == ()
    assert torch.equal(features.tokens["x"], brightness(tensor[None], [frame])[0].tokens["x"])


@pytest.mark.parametrize("pad", ["none", "reflect", "resize"])
@pytest.mark.parametrize("wh", [(1, 1), (14, 28), (75, 50)])
def test_a_mirrored_look_shows_the_mirrored_photograph(wh, pad):
    rgb, settings = smooth_rgb(*wh), InputSettings(pad=pad)
    tensor, frame = look_again(*prepare(Photograph(rgb), SPEC, settings), Look(mirrored=True), SPEC, pad)
    expected, plain = prepare(Photograph(np.ascontiguousarray(rgb[:, ::-1])), SPEC, settings)
    assert (frame.content_wh, frame.grid_hw, frame.mirrored) == (plain.content_wh, plain.grid_hw, True)
    # a resized picture is flipped after its resampling, which rounds
    torch.testing.assert_close(tensor, expected, rtol=0, atol=0.03 if pad == "resize" else 0)


@pytest.mark.parametrize("pad", ["none", "reflect", "resize"])
@pytest.mark.parametrize("look", [each for each in LOOKS if each.scale != 1], ids=str)
def test_a_scaled_look_shows_what_pillow_scales(look, pad):
    rgb = smooth_rgb(100, 70)
    tensor, frame = look_again(*prepare(Photograph(rgb), SPEC, InputSettings(pad="none")), look, SPEC, pad)
    wide, high = frame.content_wh
    if pad == "resize":
        assert (wide % 14, high % 14) == (0, 0)
        assert max(abs(wide - 100 * look.scale), abs(high - 70 * look.scale)) <= 7
    else:
        assert (wide, high) == (round(100 * look.scale), round(70 * look.scale))
    scaled = np.asarray(Image.fromarray(rgb).resize((wide, high), Image.Resampling.BICUBIC))
    expected, plain = prepare(Photograph(scaled), SPEC, InputSettings(pad=pad))
    assert frame.grid_hw == plain.grid_hw
    assert frame.image_wh == (100, 70)
    torch.testing.assert_close(tensor, expected, rtol=0, atol=0.03)  # Pillow rounds to 8 bits


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_a_rectangle_is_found_where_it_was_drawn(look):
    rgb = np.zeros((333, 500, 3), dtype=np.uint8)
    rgb[100:240, 120:300] = 255
    tensor, frame = prepare(Photograph(rgb), SPEC, InputSettings())
    seen, other = look_again(tensor, frame, look, SPEC, "none")
    rows, columns = other.grid_hw
    bright = brightness(seen[None], [other])[0].tokens["x"].mean(dim=1).reshape(rows, columns) > 0
    ys, xs = bright.nonzero(as_tuple=True)
    box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], dtype=np.float64)
    np.testing.assert_allclose(other.box_to_image(box[0]), (120, 100, 300, 240), atol=14 / look.scale)
    np.testing.assert_allclose(carry_boxes(box, other, frame)[0] * 14, other.box_to_image(box[0]))


def test_pictures_of_a_batch_keep_their_looks_and_equal_sizes_share_a_forward():
    # of one grid, but scaled to two
    settings = InputSettings()
    prepared = [
        prepare(Photograph(smooth_rgb(width, 70) // (1 + i)), SPEC, settings) for i, width in enumerate((98, 85, 98))
    ]
    inputs, frames = torch.stack([tensor for tensor, _ in prepared]), [frame for _, frame in prepared]
    sizes = []

    def extract(shown, of):
        sizes.append(len(of))
        return brightness(shown, of)

    found = extract_looks(extract, inputs, frames, (Look(), Look(1.5)), SPEC, "none")
    assert sorted(sizes) == [1, 2, 3]
    for i, features in enumerate(found):
        (alone,) = extract_looks(brightness, inputs[i : i + 1], frames[i : i + 1], (Look(), Look(1.5)), SPEC, "none")
        assert torch.equal(features.tokens["x"], alone.tokens["x"])
        assert features.looks[0].frame == alone.looks[0].frame
        assert torch.equal(features.looks[0].tokens["x"], alone.looks[0].tokens["x"])
