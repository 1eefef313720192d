"""Shifted and flipped views: what they show, and that averaging puts every patch back where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support import frame_of, picture, stub_discoverer

from lostreg import Discoverer
from lostreg.errors import UsageError
from lostreg.features import Features
from lostreg.images import as_photograph
from lostreg.preprocess import InputSpec
from lostreg.registers.views import View, choose_views, extract_over_views, move, patches_shown

SPEC = InputSpec(2, (0.25, 0.5, 0.75), (0.5, 0.25, 0.125))
VIEWS = [View(), View(1, 0), View(0, -2), View(-1, 1, True), View(2, 2, True), View(0, 0, True)]


def by_hand(picture, grid_hw, view, white, patch=2):
    """Move one picture patch by patch, (3, H, W); return it and what each patch shows."""
    rows, columns = grid_hw
    moved = np.empty_like(picture)
    moved[:] = np.asarray(white)[:, None, None]
    shown = np.full((rows, columns), -1)
    for row in range(rows):
        for column in range(columns):
            to_row, to_column = row + view.down, column + view.right
            if not (0 <= to_row < rows and 0 <= to_column < columns):
                continue
            tile = picture[:, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            if view.mirrored:
                to_column, tile = columns - 1 - to_column, tile[:, :, ::-1]
            moved[:, to_row * patch : (to_row + 1) * patch, to_column * patch : (to_column + 1) * patch] = tile
            shown[to_row, to_column] = row * columns + column
    return moved, shown.ravel()


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_the_picture_moved_patch_by_patch(view):
    inputs = torch.randn(2, 3, 6, 10, generator=torch.Generator().manual_seed(0))
    white = [(1 - 0.25) / 0.5, (1 - 0.5) / 0.25, (1 - 0.75) / 0.125]
    moved = move(inputs, view, SPEC)
    for one, result in zip(inputs.numpy(), moved.numpy(), strict=True):
        expected, shown = by_hand(one, (3, 5), view, white)
        np.testing.assert_array_equal(result, expected)
        np.testing.assert_array_equal(patches_shown((3, 5), view), shown)


def test_features_that_move_with_the_picture_come_back_unchanged():
    """A ViT that saw each patch alone would give the same patch the same features in every view."""
    inputs = torch.randn(2, 3, 6, 10, generator=torch.Generator().manual_seed(1))
    alone = read_patches(inputs)
    averaged = extract_over_views(read_patches, inputs, VIEWS, SPEC)
    for one, other in zip(alone, averaged, strict=True):
        torch.testing.assert_close(one.tokens["k"], other.tokens["k"])
        torch.testing.assert_close(one.attention, other.attention)
        torch.testing.assert_close(one.norms, other.norms)


def test_what_stays_in_place_is_averaged_by_how_often_a_patch_was_seen():
    inputs = torch.zeros(1, 3, 6, 10)
    stays = torch.randn(15, 4, generator=torch.Generator().manual_seed(2))

    def extract(moved):
        return [Features(frame_of((3, 5), 2), {"v": stays}, stays.T.reshape(2, 2, 15))]

    (averaged,) = extract_over_views(extract, inputs, VIEWS, SPEC)
    total, hits = np.zeros((15, 4)), np.zeros(15)
    for view in VIEWS:
        for place, patch in enumerate(by_hand(inputs[0].numpy(), (3, 5), view, [0, 0, 0])[1]):
            if patch >= 0:
                total[patch] += stays[place].numpy()
                hits[patch] += 1
    np.testing.assert_allclose(averaged.tokens["v"], total / hits[:, None], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(averaged.attention.reshape(4, 15).T, total / hits[:, None], rtol=1e-5, atol=1e-6)


def read_patches(moved):
    """Return each patch's mean colour, the same for its mirror image, as features and as attention."""
    colours = torch.nn.functional.avg_pool2d(moved, 2).flatten(2)
    return [Features(frame_of((3, 5), 2), {"k": each.T}, each[None], norms=each.norm(dim=0)) for each in colours]


@pytest.mark.parametrize(("grid_hw", "reach"), [((1, 1), (0, 0)), ((6, 7), (0, 1)), ((27, 36), (4, 5))])
def test_shifts_stay_within_15_percent_and_the_first_view_is_the_picture(grid_hw, reach):
    views = choose_views(grid_hw, 8)
    assert len(views) == 8
    assert views[0] == View()
    assert all(abs(view.down) <= reach[0] and abs(view.right) <= reach[1] for view in views)
    assert views == choose_views(grid_hw, 8)


def test_views_lie_far_apart():
    views = choose_views((40, 40), 5)
    shifts = np.array([(view.down, view.right) for view in views])
    apart = min(np.hypot(*(a - b)) for i, a in enumerate(shifts) for b in shifts[:i])
    assert apart > 5  # of five points in 13 x 13, the best have 8.5 between them; random ones come closer than 5
    assert len({view.mirrored for view in choose_views((40, 40), 16)}) == 2
    assert choose_views((40, 40), 5, seed=1) != views


def test_one_view_is_the_forward_itself_and_more_cost_a_forward_each(tmp_path):
    path = picture(tmp_path / "a.png", size=(14 * 20, 14 * 16))
    once, often = stub_discoverer(), stub_discoverer()
    often.views = 4
    one, four = once.extract(path), often.extract(path)
    assert once.backbone.batches == [1]
    assert often.backbone.batches == [1] * 4
    assert four.tokens["k"].shape == one.tokens["k"].shape
    assert not torch.equal(four.tokens["k"], one.tokens["k"])


def test_no_views_are_refused():
    with pytest.raises(UsageError, match="--views must be from 1 to 1000, but it is 0"):
        Discoverer("dinov2-s14-imgfocus", views=0)


@pytest.mark.weights
def test_views_are_what_boxes_depend_on(discoverer, examples):
    other = Discoverer(discoverer.weights.entry.name, device="cpu", engine="torch", views=2, max_side=160)
    assert other.identity()["views"] == 2
    assert discoverer.identity()["views"] == 1
    tensor, frame = other.prepare(as_photograph(examples[0]))
    batched = other.extract_batch(torch.stack([tensor, tensor.flip(-1)]), [frame, frame], {"v", "attention"})
    alone = other.extract_batch(tensor[None], [frame], {"v", "attention"})[0]
    torch.testing.assert_close(batched[0].tokens["v"], alone.tokens["v"], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(batched[0].attention, alone.attention, rtol=1e-3, atol=1e-5)
