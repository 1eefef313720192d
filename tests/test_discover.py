"""The Discoverer on real photographs with the real ViT."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import torch
from heads_by_hand import head_of
from lost_by_hand import lost_by_hand
from maps_by_hand import iou
from PIL import Image
from support import features_of

from lostreg import Discoverer
from lostreg.discover import choose_method
from lostreg.errors import FeatureError, ModelError, UsageError, WeightsError
from lostreg.heads import shipped_head
from lostreg.images import as_photograph, read_photograph
from lostreg.methods.lost import propose
from lostreg.preprocess import prepare
from lostreg.regions import bounding_box
from lostreg.settings import InputSettings, MethodSettings, Offset

pytestmark = pytest.mark.weights

SMALL, NATIVE = InputSettings(max_side=224), InputSettings()
"""Pictures of up to 256 patches, which go through quickly, and of some 1,000, as VOC's are."""


def test_every_example_gets_a_box_inside_it(discoverer, examples):
    assert len(examples) >= 5
    for path in examples:
        discovery = discoverer(path)
        width, height = read_photograph(path).wh
        assert len(discovery) == 1
        x0, y0, x1, y1 = discovery.boxes_xyxy[0]
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
        assert discovery.masks.shape == (1, height, width)
        # the preset's method averages boxes, so the mask's extent is near the box and not the box
        assert iou(extent_of(discovery.masks[0]), (x0, y0, x1, y1)) > 0.5
        assert 0 <= discovery.scores[0] <= 1


def test_boxes_of_lost_are_the_extents_of_their_masks(discoverer, examples):
    for path in examples:
        discovery = discoverer(path, method="lost", objects=2)
        assert [extent_of(mask) for mask in discovery.masks] == [tuple(box) for box in discovery.boxes_xyxy]


def extent_of(mask):
    ys, xs = np.nonzero(mask)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def test_path_bytes_array_and_pillow_image_give_the_same(discoverer, examples):
    path = examples[0]
    rgb = read_photograph(path).rgb
    boxes = [discoverer(image).boxes_xyxy.tolist() for image in (path, str(path), path.read_bytes(), rgb)]
    boxes.append(discoverer(Image.fromarray(rgb)).boxes_xyxy.tolist())
    assert all(each == boxes[0] for each in boxes)


def test_the_cheap_step_runs_no_vit(discoverer, examples):
    features = discoverer.extract(examples[0], {"k", "q", "v", "x", "attention"})
    hook = discoverer.backbone.model.patch_embed.register_forward_hook(lambda m, i, o: pytest.fail("the ViT ran"))
    for feature in "kqvx":
        for offset in ("none", "mean", "q0.5"):
            found = discoverer.discover(features, method="lost", feature=feature, offset=offset, objects=3)
            assert 1 <= len(found) <= 3
    assert len(discoverer.discover(features, method="dino-seg")) == 1
    hook.remove()


def test_whole_image_is_the_whole_image(discoverer, examples):
    width, height = read_photograph(examples[0]).wh
    assert discoverer(examples[0], method="whole-image").boxes_xyxy.tolist() == [[0, 0, width, height]]


def test_several_objects_do_not_share_patches(discoverer, examples):
    discovery = discoverer(examples[0], objects=4)
    assert len(discovery) == 4
    assert discovery.masks.sum(axis=0).max() == 1


def test_a_large_photograph_is_scaled_and_its_box_comes_back(discoverer, examples):
    small = Image.open(examples[0]).convert("RGB")
    large = small.resize((small.width * 3, small.height * 3), Image.Resampling.BICUBIC)
    discovery = discoverer(large)
    assert discovery.frame.image_wh == large.size
    assert max(discovery.frame.content_wh) == 640
    assert discovery.boxes_xyxy[0, 2] <= large.width


def test_a_jpeg_decoded_at_a_fraction_has_nearly_the_features_of_all_its_pixels(discoverer, examples, tmp_path):
    small = Image.open(examples[0]).convert("RGB")
    large = small.resize((small.width * 6, small.height * 6), Image.Resampling.BICUBIC)
    large.save(tmp_path / "a.jpg", quality=95)
    assert read_photograph(tmp_path / "a.jpg", needed_side=640).rgb.shape[0] < large.height
    part, whole = (discoverer.extract(each) for each in (tmp_path / "a.jpg", Image.open(tmp_path / "a.jpg")))
    assert part.frame == whole.frame
    cosines = torch.cosine_similarity(part.projection("v"), whole.projection("v"))
    assert cosines.mean() > 0.999


def test_tiny_photographs_have_an_answer(discoverer):
    for wh in ((1, 1), (3, 200), (15, 14)):
        photograph = np.full((wh[1], wh[0], 3), 128, dtype=np.uint8)
        discovery = discoverer(photograph, method="lost")
        assert len(discovery) == 1
        assert discovery.masks.any()
        default = discoverer(photograph)
        assert len(default) <= 1
        assert default.masks.shape == (len(default), wh[1], wh[0])
    assert len(discoverer(np.full((1, 1, 3), 128, dtype=np.uint8))) == 0  # a single patch cannot stand out


def test_features_that_are_not_finite_are_refused(discoverer):
    values = np.ones((12, 4))
    values[3, 1] = np.nan
    with pytest.raises(FeatureError, match="not finite"):
        discoverer.discover(features_of(values, (3, 4)), method="lost", feature="k")


def test_a_projection_that_was_not_extracted_is_named(discoverer, examples):
    features = discoverer.extract(examples[0], {"k"})
    with pytest.raises(FeatureError, match="needs projection 'v'"):
        discoverer.discover(features, method="lost", feature="v")
    with pytest.raises(FeatureError, match="CLS attention, but it was not extracted"):
        discoverer.discover(features, method="dino-seg")


NONSENSE = [
    ({"model": "dinov2-s14-imgfocs"}, ModelError),
    ({"device": "tpu"}, UsageError),
    ({"device": "cuda:99"}, UsageError),
    ({"precision": "int3"}, UsageError),
    ({"max_side": -1}, UsageError),
    ({"offset": "q7"}, UsageError),
    ({"k_patches": 0}, UsageError),
    ({"k_patches": 1.5}, UsageError),
    ({"objects": 0}, UsageError),
    ({"feature": "z"}, UsageError),
    ({"method": "magic"}, UsageError),
    ({"quality": "worst"}, UsageError),
    ({"quality": "best", "method": "lost"}, UsageError),
    ({"head": "nosuch.safetensors"}, WeightsError),
    ({"head": "nosuch.safetensors", "method": "lost"}, UsageError),
    ({"colour": "red"}, UsageError),
    ({"quality": "best", "looks": 0}, UsageError),
    ({"quality": "best", "looks": 6}, UsageError),
    ({"quality": "best", "looks": 2, "views": 2}, UsageError),
    ({"method": "lost", "looks": 2}, UsageError),
    ({"looks": 2}, UsageError),
]


@pytest.mark.parametrize(("given", "error"), NONSENSE)
def test_nonsense_is_refused_when_the_discoverer_is_built(given, error):
    with pytest.raises(error):
        Discoverer(**({"model": "dinov2-s14-imgfocus"} | given))


@pytest.mark.parametrize(
    ("method", "has_head", "quality", "chosen"),
    [
        (None, False, None, None),
        (None, False, "fast", None),
        ("lost", False, None, "lost"),
        (None, True, None, "fitted"),
        ("fitted", True, None, "fitted"),
        (None, False, "best", "fitted"),
    ],
)
def test_the_method_that_head_and_quality_ask_for(method, has_head, quality, chosen):
    assert choose_method(method, has_head, quality) == chosen


@pytest.mark.parametrize("kind", ["logistic", "vote"])
def test_a_head_file_finds_objects_and_is_part_of_the_identity(kind, examples, tmp_path, discoverer):
    path = tmp_path / "head.safetensors"
    head, content = head_of(kind)
    path.write_bytes(content)
    fitted = Discoverer("dinov2-s14-imgfocus", device="cpu", engine="torch", head=path)
    assert fitted.settings.method == "fitted"
    found = fitted(examples[0])
    assert found.masks.any()
    assert {"logistic": {"score"}, "vote": {"score", "votes"}}[kind] <= found.maps.keys()
    assert fitted.identity()["head_sha256"] == head.sha256
    assert "head_sha256" not in fitted.identity(MethodSettings()) | discoverer.identity()


def test_best_quality_is_the_head_that_ships(examples, discoverer):
    best = Discoverer("dinov2-s14-imgfocus", device="cpu", engine="torch", quality="best")
    assert best.settings.method == "fitted"
    assert best.identity()["head_sha256"] == shipped_head("dinov2-s14-imgfocus", discoverer.weights.sha256).sha256
    features = best.extract(examples[0])
    again = discoverer.discover(features, method="fitted")  # no head was named: the one that ships
    assert again.boxes_xyxy.tolist() == best.discover(features).boxes_xyxy.tolist()
    fast = Discoverer("dinov2-s14-imgfocus", device="cpu", engine="torch", quality="fast")
    assert fast.identity() == discoverer.identity()


def test_several_looks_pool_votes_and_are_part_of_the_identity(examples):
    best = Discoverer("dinov2-s14-imgfocus", device="cpu", engine="torch", quality="best")
    looking = Discoverer("dinov2-s14-imgfocus", device="cpu", engine="torch", quality="best", looks=3, max_side=336)
    assert "looks" not in best.identity()
    assert looking.identity()["looks"] == 3
    features = looking.extract(examples[0])
    scales = [each.frame.content_wh[0] / features.frame.content_wh[0] for each in features.looks]
    assert scales == pytest.approx([1, 1.25], abs=0.01)
    pooled, alone = looking.discover(features), looking.discover(dataclasses.replace(features, looks=()))
    assert (pooled.maps["votes"] != alone.maps["votes"]).any()
    assert iou(extent_of(pooled.masks[0]), pooled.boxes_xyxy[0]) > 0.5


def test_a_head_without_votes_is_not_asked_for_several(tmp_path):
    path = tmp_path / "head.safetensors"
    path.write_bytes(head_of("logistic")[1])
    with pytest.raises(UsageError, match="logistic head"):
        Discoverer("dinov2-s14-imgfocus", device="cpu", engine="torch", head=path, looks=2)


def test_best_quality_without_a_head_for_the_model_is_refused(monkeypatch):
    monkeypatch.setattr("lostreg.heads.shipped.SHIPPED", {})
    with pytest.raises(ModelError, match="No fitted head comes with lostreg for dinov2-s14-imgfocus"):
        Discoverer("dinov2-s14-imgfocus", device="cpu", engine="torch", quality="best")


def test_a_head_of_another_vit_is_refused(tmp_path):
    path = tmp_path / "head.safetensors"
    path.write_bytes(head_of("vote", weights_sha256="0" * 64, model="dino-s16")[1])
    with pytest.raises(ModelError, match="fitted on dino-s16"):
        Discoverer("dinov2-s14-imgfocus", device="cpu", engine="torch", head=path)
    path.write_bytes(head_of("vote", layer=5)[1])
    with pytest.raises(ModelError, match="not on block 11; use --layer 5"):
        Discoverer("dinov2-s14-imgfocus", device="cpu", engine="torch", head=path)


def by_grid(discoverer, paths):
    groups = {}
    for path in paths:
        tensor, frame = prepare(read_photograph(path), discoverer.backbone.spec, SMALL)
        groups.setdefault(frame.grid_hw, []).append((path.name, tensor, frame))
    return groups


def boxes_in_batches(discoverer, groups, size, generator=None):
    boxes = {}
    for members in groups.values():
        order = members if generator is None else [members[i] for i in generator.permutation(len(members))]
        for start in range(0, len(order), size):
            names, tensors, frames = zip(*order[start : start + size], strict=True)
            for name, features in zip(
                names, discoverer.extract_batch(torch.stack(tensors), list(frames), {"k", "v"}), strict=True
            ):
                for feature, offset in (("v", "none"), ("k", "mean")):
                    found = discoverer.discover(features, method="lost", feature=feature, offset=offset)
                    boxes[name, feature] = (found.boxes_xyxy.tolist(), found.seeds_xy)
    return boxes


def test_batch_size_and_order_change_no_box(discoverer, dev100):
    groups = by_grid(discoverer, dev100[:32])
    alone = boxes_in_batches(discoverer, groups, 1)
    assert len(alone) == 64
    for size in (2, 8):
        assert boxes_in_batches(discoverer, groups, size) == alone
    assert boxes_in_batches(discoverer, groups, 8, np.random.default_rng(0)) == alone


@pytest.mark.parametrize(
    ("side", "photographs"),
    [
        (SMALL, slice(4, 40)),
        (NATIVE, slice(0, 4)),
        pytest.param(NATIVE, slice(4, None), marks=pytest.mark.slow),
    ],
    ids=["small", "native", "native-rest"],
)
def test_real_photographs_equal_the_literal_procedure(discoverer, dev100, side, photographs):
    for path in dev100[photographs]:
        tensor, frame = prepare(read_photograph(path), discoverer.backbone.spec, side)
        (features,) = discoverer.extract_batch(tensor[None], [frame], {"k", "v"})
        for name, offset in (("k", "none"), ("k", "mean"), ("v", "none")):
            settings = MethodSettings(feature=name, offset=Offset(offset))
            found = propose(features, settings, np.ones(features.grid_hw, dtype=bool))
            values = features.tokens[name].numpy()
            box, seed, component = lost_by_hand(values, features.grid_hw, 100, (offset, 0.0))
            assert found.seed_rc == divmod(seed, features.grid_hw[1]), path.name
            assert bounding_box(found.region) == box, path.name
            assert {tuple(patch) for patch in np.argwhere(found.region)} == component, path.name


@pytest.mark.slow
def test_one_photograph_costs_little_more_than_the_bare_forward(discoverer):
    """Forward and discovery of a 500 x 375 photograph: at most 1.15 times timm's forward of the same tensor."""
    rgb = np.random.default_rng(0).integers(0, 256, size=(375, 500, 3), dtype=np.uint8)
    tensor, frame = discoverer.prepare(as_photograph(rgb))
    inputs, ratios = tensor[None], []
    for _ in range(9):
        started = time.perf_counter()
        with torch.inference_mode():
            discoverer.backbone.model.forward_features(inputs)
        bare = time.perf_counter()
        discoverer.discover(discoverer.extract_batch(inputs, [frame])[0])
        ratios.append((time.perf_counter() - bare) / (bare - started))
    print("ratios", sorted(round(ratio, 3) for ratio in ratios))
    assert np.median(ratios[1:]) <= 1.15


@pytest.mark.slow
@pytest.mark.parametrize(
    ("feature", "offset", "published"), [("v", "none", 50.4), ("k", "none", 30.0), ("k", "mean", 45.0)]
)
def test_corloc_on_dev500(discoverer, data_root, feature, offset, published):
    """CorLoc of LOST on 500 photographs, against figures measured by other code on the same weights."""
    from lostreg.datasets import open_dataset
    from lostreg.evaluate import evaluate
    from lostreg.predictions import PredictedBoxes, Predictions

    dataset = open_dataset("voc07", data_root / "voc07" / "VOCdevkit", "dev500")
    boxes = {}
    for image in dataset.images:
        found = discoverer(image.path, method="lost", feature=feature, offset=offset)
        boxes[image.key] = PredictedBoxes(found.boxes_xyxy, found.scores)
    measured = evaluate(dataset.truths(), Predictions("test", boxes)).corloc.percent
    assert measured == pytest.approx(published, abs=0.6)
