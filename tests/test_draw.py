"""Pictures: same size in and out, marks where they belong, nothing passed in is changed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lostreg.draw import PALETTE, heat_map, outline, overlay, panel, shrunk
from lostreg.geometry import Frame

BOX = np.array([[40.0, 30.0, 160.0, 120.0]])


def grey(height: int = 150, width: int = 200, value: int = 128) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def mask_of(box: np.ndarray, height: int = 150, width: int = 200) -> np.ndarray:
    x0, y0, x1, y1 = (int(edge) for edge in box)
    mask = np.zeros((1, height, width), np.bool_)
    mask[0, y0:y1, x0:x1] = True
    return mask


def test_a_picture_without_objects_stays_as_it_is() -> None:
    rgb = grey()
    drawn = overlay(rgb, np.zeros((0, 4)), np.zeros((0, 150, 200), np.bool_), np.zeros(0), [])
    assert np.array_equal(drawn, rgb)
    assert drawn is not rgb


def test_what_is_passed_in_is_not_changed() -> None:
    rgb = grey()
    overlay(rgb, BOX, mask_of(BOX[0]), np.array([0.5]), [(100.0, 75.0)])
    outline(rgb, BOX)
    assert np.array_equal(rgb, grey())


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_box_stands_out_of_dark_and_of_bright(value: int) -> None:
    drawn = outline(grey(value=value), BOX).astype(int)
    across = drawn[75, 30:50].mean(axis=1)  # a row of pixels over the left side
    assert np.abs(across - value).max() > 80


def test_the_sides_lie_on_the_coordinates() -> None:
    colour = (255, 0, 0)
    drawn = outline(grey(), BOX, colour)
    red = (drawn[:, :, 0] > 200) & (drawn[:, :, 1] < 60)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert np.abs(np.array(found) - BOX[0]).max() <= 1  # half a line's width


def test_a_box_at_the_edge_of_the_picture_is_seen_whole() -> None:
    drawn = outline(grey(), np.array([[0.0, 0.0, 200.0, 150.0]]), (255, 0, 0))
    red = drawn[:, :, 0].astype(int) - drawn[:, :, 1] > 80
    assert red[:4, 100].any()
    assert red[-4:, 100].any()
    assert red[75, :4].any()
    assert red[75, -4:].any()


def test_dashes_leave_gaps_and_keep_the_corners() -> None:
    solid = np.any(outline(grey(), BOX) != 128, axis=2)
    dashed = np.any(outline(grey(), BOX, dashed=True) != 128, axis=2)
    assert 0.3 * solid.sum() < dashed.sum() < 0.8 * solid.sum()
    for x, y in ((40, 30), (159, 30), (159, 119), (40, 119)):
        assert dashed[y - 2 : y + 3, x - 2 : x + 3].any()


def test_the_mask_is_tinted_and_the_rest_is_not() -> None:
    mask = mask_of(np.array([60, 50, 140, 100]))
    drawn = overlay(grey(), BOX, mask, np.array([0.5]), [None])
    assert tuple(drawn[75, 100]) == tuple(round(0.62 * 128 + 0.38 * level) for level in PALETTE[0])
    assert tuple(drawn[140, 100]) == (128, 128, 128)


def test_the_seed_is_marked_in_the_object_s_colour() -> None:
    drawn = overlay(grey(), BOX, np.zeros((0, 150, 200), np.bool_), np.array([0.5]), [(100.0, 75.0)])
    assert np.abs(drawn[75, 100].astype(int) - PALETTE[0]).max() < 60
    without = overlay(grey(), BOX, np.zeros((0, 150, 200), np.bool_), np.array([0.5]), [None])
    assert tuple(without[75, 100]) == (128, 128, 128)


def test_labels_of_boxes_with_one_corner_do_not_cover_each_other() -> None:
    both = np.array([[0.0, 0.0, 200.0, 150.0]] * 2)
    drawn = overlay(grey(), both, np.zeros((0, 150, 200), np.bool_), np.array([0.25, 0.75]), [None, None])
    inside = drawn[10:140, 10:190]
    for colour in PALETTE[:2]:
        assert (np.abs(inside.astype(int) - colour).max(axis=2) < 5).sum() > 30


def test_there_is_a_mask_for_every_box_or_for_none() -> None:
    with pytest.raises(ValueError, match="zip"):
        overlay(grey(), np.vstack([BOX, BOX]), mask_of(BOX[0]), np.array([0.5, 0.5]), [None, None])


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (12, 12)])
def test_tiny_pictures_can_be_drawn_on(size: tuple[int, int]) -> None:
    height, width = size
    box = np.array([[0.0, 0.0, width, height]])
    drawn = overlay(grey(height, width), box, np.ones((1, height, width), np.bool_), np.ones(1), [(0.5, 0.5)])
    assert drawn.shape == (height, width, 3)


def test_lines_grow_with_the_picture() -> None:
    small = np.any(outline(grey(150, 200), BOX) != 128, axis=2)[75].sum()
    large = np.any(outline(grey(1500, 2000), 10 * BOX) != 128, axis=2)[750].sum()
    assert large >= 2.5 * small  # seven times the width, but smoothing adds a pixel or two to each edge


def test_a_heat_map_runs_along_viridis_patch_by_patch() -> None:
    frame = Frame(image_wh=(28, 14), content_wh=(28, 14), grid_hw=(1, 2), patch_size=14)
    drawn = heat_map(np.array([[-3.0, 5.0]], np.float32), frame, grey(14, 28, 0))
    # viridis ends at #440154 and #fde725 (bids.github.io/colormap); the black photograph takes 28 % of it.
    assert np.abs(drawn[7, 3] - 0.72 * np.array([0x44, 0x01, 0x54])).max() < 2
    assert np.abs(drawn[7, 20] - 0.72 * np.array([0xFD, 0xE7, 0x25])).max() < 2


def test_a_flat_map_is_drawn_as_its_minimum() -> None:
    frame = Frame(image_wh=(28, 14), content_wh=(28, 14), grid_hw=(1, 2), patch_size=14)
    drawn = heat_map(np.full((1, 2), 7.0, np.float32), frame, grey(14, 28))
    assert (drawn == drawn[0, 0]).all()


def test_a_panel_scales_all_to_one_height() -> None:
    laid = panel(
        [("wide", grey(100, 200)), ("a title that is far too long for its picture", grey(400, 40))], height=200
    )
    assert laid.shape[0] > 200
    assert laid.shape[1] == 400 + 20 + 3 * 5  # scaled widths and three gaps
    right = laid[:25, 5 + 400 + 5 + 20 :]  # beyond the narrow picture: its title does not run over
    assert (right == 255).all()


@pytest.mark.parametrize(("size", "expected"), [((100, 50), (100, 50)), ((400, 100), (200, 50)), ((1, 5000), (1, 200))])
def test_shrinking_never_enlarges(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert shrunk(grey(*size), 200).shape[:2] == expected


def test_the_palette_can_be_told_apart_without_red_or_green() -> None:
    # Viénot, Brettel & Mollon (1999): the deuteranope's view, linear RGB.
    view = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
    linear = (np.array(PALETTE) / 255) ** 2.2
    seen = np.clip(linear @ view.T, 0, 1) ** (1 / 2.2)
    lab = cv2.cvtColor(seen.astype(np.float32)[None], cv2.COLOR_RGB2LAB)[0]
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=2) + 1000 * np.eye(len(lab))
    assert distances.min() > 10
