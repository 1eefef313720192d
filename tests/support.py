"""Small real inputs shared by the tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from lostreg.discover import Discoverer
from lostreg.features import Features
from lostreg.geometry import Frame
from lostreg.preprocess import InputSpec
from lostreg.settings import InputSettings, MethodSettings


def frame_of(grid_hw, patch_size=14):
    """Return the frame of a photograph that fills its grid."""
    rows, columns = (int(side) for side in grid_hw)
    wh = (columns * patch_size, rows * patch_size)
    return Frame(wh, wh, (rows, columns), patch_size)


def features_of(values, grid_hw, name="k", attention=None):
    """Return features of one photograph with one projection, (N, D)."""
    tokens = {name: torch.as_tensor(np.asarray(values), dtype=torch.float32)}
    heads = None if attention is None else torch.as_tensor(attention, dtype=torch.float32)[None]
    return Features(frame_of(grid_hw), tokens, heads, class_token=heads is not None)


def picture(path, size=(80, 60), mode="RGB", **save):
    """Write a photograph-like picture: a bright disc on a textured dark ground; return its path."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    ground = np.random.default_rng(0).integers(20, 60, size=(height, width))
    disc = (x - width * 0.6) ** 2 + (y - height * 0.4) ** 2 < (min(size) * 0.3) ** 2
    grey = np.where(disc, 220, ground).astype(np.uint8)
    image = Image.fromarray(np.dstack([grey, grey // 2, 255 - grey]).astype(np.uint8))
    image.convert(mode).save(path, **save)
    return path


class StubBackbone:
    """Costs nothing: a patch's features are its colour less the picture's, carried to a real ViT's 384 dimensions."""

    device = torch.device("cpu")
    spec = InputSpec(14, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    lift = torch.randn(3, 384, generator=torch.Generator().manual_seed(0))

    def __init__(self, fits=10**9):
        self.fits = fits
        self.batches = []

    def extract(self, inputs, frames, parts, layer=-1):
        self.batches.append(len(inputs))
        if inputs[0].numel() * len(inputs) > self.fits:
            raise torch.OutOfMemoryError("out of memory")
        pooled = torch.nn.functional.avg_pool2d(inputs, 14).flatten(2).transpose(1, 2)
        tokens = (pooled - pooled.mean(dim=1, keepdim=True)) @ self.lift
        return [Features(frame, {"k": tokens[i]}) for i, frame in enumerate(frames)]


def stub_discoverer(**options):
    """Return a Discoverer whose ViT is a StubBackbone."""
    made = Discoverer.__new__(Discoverer)
    made.backbone = StubBackbone(**options)
    made.settings, made.input_settings, made.layer = MethodSettings(feature="k"), InputSettings(), -1
    made.views = made.looks = 1
    return made


def short_lists(data_root, folder, **lists):
    """Make a VOC2007 folder whose lists hold the first photographs of dev100, so many as each name says.

    Returns:
        The folder.
    """
    real, made = data_root / "voc07" / "VOCdevkit" / "VOC2007", folder / "VOC2007"
    (made / "ImageSets" / "Main").mkdir(parents=True)
    for name in ("Annotations", "JPEGImages"):
        (made / name).symlink_to(real / name)
    photographs = (real / "ImageSets" / "Main" / "dev100.txt").read_text().split()
    for name, count in lists.items():
        (made / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(photographs[:count]) + "\n")
    return made


@contextlib.contextmanager
def small_disk(folder, size):
    """Mount a disk of so many kilobytes on a new folder, or skip where that is not allowed."""
    folder.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small disk needs root")
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk is not allowed here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
