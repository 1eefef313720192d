"""Small random ViTs with two blocks, and pictures for them."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from support import picture

from lostreg.backbone import Backbone
from lostreg.catalogue import ModelEntry
from lostreg.sources import ImageItem
from lostreg.weights import Weights


def small_vit(timm_id="vit_tiny_patch16_224", seed=0, **options):
    """Return a timm model with random weights, biases too."""
    torch.manual_seed(seed)
    model = timm.create_model(timm_id, num_classes=0, dynamic_img_size=True, depth=2, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def small_backbone(**options):
    """Return a Backbone around a small ViT."""
    entry = ModelEntry("small", "vit_tiny_patch16_224", "other", "none")
    return Backbone(entry, small_vit(**options), torch.device("cpu"), "fp32")


def weights_of(backbone, digest="a" * 64):
    """Return what says where a backbone's weights come from."""
    return Weights(backbone.entry, Path("small.safetensors"), "file:small.safetensors", digest)


def small_pictures(folder, sizes=((64, 48), (48, 64), (64, 48), (80, 48), (64, 48))):
    """Write pictures and return them as items."""
    folder.mkdir(exist_ok=True)
    paths = [picture(folder / f"{number}.png", size=size) for number, size in enumerate(sizes)]
    return [ImageItem(path.name, str(path), path) for path in paths]
