"""Training: batches and losses against their definition, equal seeds equal weights, and a problem that is learnt."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from fit_by_hand import cache_of, entry_of_block
from maps_by_hand import iou

from lostreg.fit import train as module
from lostreg.fit.targets import Target, photograph_target
from lostreg.fit.train import Batch, batch_losses, batch_order, box_overlaps, collate, mirrored, patch_boxes, train

CPU = torch.device("cpu")
NO_TURN = type("Still", (), {"random": lambda self: 1.0})()


def target_of(grid_hw, key="a", boxes=((0, 0, 2, 2),), weight=1.0):
    owner = torch.zeros(grid_hw, dtype=torch.long)
    owner[0, 0] = 1
    weights = torch.full((len(boxes),), weight)
    return Target(key, (owner > 0).float(), owner, torch.tensor(boxes, dtype=torch.float32), weights)


def test_patches_have_the_box_of_their_owner():
    boxes, weights = patch_boxes(target_of((2, 3), boxes=[(0, 0, 2, 2), (1, 1, 3, 2)], weight=0.5))
    assert boxes[0, 0].tolist() == [0, 0, 2, 2]
    assert weights.tolist() == [[0.5, 0, 0], [0, 0, 0]]
    assert not boxes[1].any()


def test_a_mirrored_picture_has_mirrored_boxes():
    tokens = torch.arange(6.0).view(1, 3, 2)
    boxes = torch.tensor([[[0.0, 0, 1, 1], [0, 0, 2, 1], [1, 0, 3, 1]]])
    flat = torch.tensor([[1.0, 0, 0]])
    turned, foreground, turned_boxes, weights = mirrored(tokens, flat, boxes, flat)
    assert turned[0, :, 0].tolist() == [4, 2, 0]
    assert foreground.tolist() == weights.tolist() == [[0, 0, 1]]
    assert turned_boxes[0].tolist() == [[0, 0, 2, 1], [1, 0, 3, 1], [2, 0, 3, 1]]


def test_smaller_pictures_are_padded_and_padding_is_not_real():
    tokens = {"a": torch.ones(2, 3, 4).half(), "b": torch.ones(3, 2, 4).half()}
    batch = collate([target_of((2, 3)), target_of((3, 2), "b")], tokens.__getitem__, NO_TURN, CPU)
    assert batch.tokens.shape == (2, 3, 3, 4)
    assert batch.real.sum(dim=(1, 2)).tolist() == [6, 6]
    assert not batch.tokens[0, 2].any()
    assert batch.boxes.shape == (2, 3, 3, 4)


def test_batches_hold_every_picture_once_and_like_grids_together():
    targets = [target_of(grid) for grid in [(2, 3)] * 30 + [(3, 2)] * 18]
    order = batch_order(targets, np.random.default_rng(0))
    assert sorted(i for batch in order for i in batch) == list(range(48))
    assert sum(len({targets[i].foreground.shape for i in batch}) > 1 for batch in order) <= 1


def test_overlaps_equal_those_by_hand():
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 5, size=(2, 50, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(0.5, 5, size=corners.shape)], axis=-1)
    found = box_overlaps(*(torch.from_numpy(each) for each in boxes))
    assert found.tolist() == pytest.approx([iou(*pair) for pair in zip(*boxes, strict=True)], abs=1e-5)


class Fixed(torch.nn.Module):
    """Says the same of every picture."""

    def __init__(self, logit, boxes, quality):
        super().__init__()
        self.said = logit, boxes, quality

    def forward(self, tokens):
        return self.said


def test_losses_equal_their_definition():
    generator = torch.Generator().manual_seed(0)
    logit, quality = torch.randn(1, 2, 2, generator=generator), torch.randn(1, 2, 2, generator=generator)
    guesses = torch.tensor([[[[0.0, 0, 2, 2], [0, 0, 1, 1]], [[1, 1, 2, 2], [0, 0, 4, 4]]]])
    boxes = torch.tensor([[[[0.0, 0, 1, 2], [0, 0, 0, 0]], [[0, 0, 2, 2], [0, 0, 4, 4]]]])
    weights, real = torch.tensor([[[1.0, 0], [0.5, 1]]]), torch.tensor([[[1.0, 1], [1, 0]]])
    foreground = torch.tensor([[[1.0, 0], [1, 0]]])
    batch = Batch(torch.zeros(1, 2, 2, 3), foreground, boxes, weights, real)

    def cross_entropy(z, y):
        return math.log1p(math.exp(-z)) * y + math.log1p(math.exp(z)) * (1 - y)

    cells = [(r, c) for r in range(2) for c in range(2)]
    mask = [cross_entropy(float(logit[0, r, c]), float(foreground[0, r, c])) for r, c in cells if real[0, r, c]]
    box_sum = quality_sum = total = 0.0
    for r, c in cells:
        if weights[0, r, c]:
            x0, y0, x1, y1 = boxes[0, r, c].tolist()
            weight = float(weights[0, r, c]) / math.sqrt(max(1, (x1 - x0) * (y1 - y0)))
            overlap = iou(guesses[0, r, c].tolist(), (x0, y0, x1, y1))
            box_sum += weight * (1 - overlap)
            quality_sum += weight * cross_entropy(float(quality[0, r, c]), overlap)
            total += weight
    expected = [sum(mask) / 3, box_sum / total, quality_sum / total]
    assert batch_losses(Fixed(logit, guesses, quality), batch).tolist() == pytest.approx(expected, abs=1e-4)


@pytest.fixture
def task(tmp_path):
    """Return targets of 24 pictures with a rectangle each, and how to read their tokens."""
    generator = np.random.default_rng(0)
    corners = generator.integers(1, 4, size=(24, 2))
    blocks = np.hstack([corners, corners + generator.integers(2, 5, size=corners.shape)])
    entries = [entry_of_block((9, 9), tuple(int(e) for e in block), seed=i) for i, block in enumerate(blocks)]
    cache, pictures = cache_of(entries, tmp_path)
    logits = [np.where(each.mask.numpy(), 1, -1).astype(np.float32) for each in pictures]
    return [photograph_target(*each) for each in zip(pictures, logits, strict=True)], cache.tokens


def test_equal_seeds_give_equal_weights(task):
    nets = [train(*task, seed=seed, epochs=1, device=CPU)[0] for seed in (0, 0, 1)]
    weights = [torch.cat([each.flatten() for each in net.state_dict().values()]) for net in nets]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_losses_fall_and_every_picture_is_counted(task):
    counted = []
    _, history = train(*task, seed=0, epochs=12, device=CPU, advance=counted.append)
    assert sum(counted) == 12 * 24
    assert len(history) == 12
    assert history[-1].foreground < 0.3 * history[0].foreground
    assert history[-1].box < 0.6 * history[0].box


def test_the_mean_and_spread_of_tokens_are_those_of_a_sample(task):
    targets, read_tokens = task
    mean, std = module.token_statistics(module.sample_tokens([each.key for each in targets], read_tokens))
    rows = torch.cat([read_tokens(each.key).float().reshape(81, -1)[::11] for each in targets[::3]]).numpy()
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(std, rows.std(axis=0, ddof=1), rtol=1e-4)
