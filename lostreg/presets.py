"""Which method each family of models is read with, on which feature and offset, and the evidence for it.

A preset is what ``lostreg discover`` uses where the user says nothing. The figures are CorLoc on the 500 photographs
of VOC2007's dev500 list (``eval/results/methods-dev500.md``) unless another source is named. Feature and offset
count where the user asks for another method: they are what LOST is read with.
"""

from __future__ import annotations

from dataclasses import dataclass

from lostreg.catalogue import Family
from lostreg.settings import MethodSettings, Offset


@dataclass(frozen=True)
class Preset:
    """Settings for a family, and why."""

    settings: MethodSettings
    why: str


_KEYS = MethodSettings(feature="k")
_KEYS_CENTRED = MethodSettings(feature="k", offset=Offset("mean"))
_VALUES = MethodSettings(feature="v")
_HEAD_CONSENSUS = MethodSettings("head-consensus", feature="v")

PRESETS: dict[Family, Preset] = {
    "dino": Preset(_KEYS, "LOST on keys as they are, as published (61.9 on VOC2007 trainval with ViT-S/16)"),
    "dinov2": Preset(
        _HEAD_CONSENSUS,
        "head consensus: 69.2, against 50.6 for LOST on values as they are and 30.0, the whole-image floor, for LOST "
        "on keys as they are (ViT-S/14)",
    ),
    "dinov2-reg": Preset(
        _KEYS_CENTRED,
        "LOST on keys, as in the registers paper, minus their mean, which stands for the Gram bias that the paper "
        "does not state; not measured here",
    ),
    "dinov3": Preset(_KEYS_CENTRED, "as for DINOv2 with registers; not measured here"),
    "deit3": Preset(_VALUES, "LOST on values, as in the registers paper; not measured here"),
    "openclip": Preset(_VALUES, "LOST on values, as in the registers paper; not measured here"),
    "clip": Preset(_VALUES, "LOST on values, as in the registers paper for OpenCLIP; not measured here"),
    "siglip": Preset(_VALUES, "LOST on values, as in the registers paper for OpenCLIP; not measured here"),
    "mae": Preset(_KEYS_CENTRED, "LOST on keys minus their mean; not measured here"),
    "other": Preset(_KEYS_CENTRED, "LOST on keys minus their mean, which no constant can spoil; not measured here"),
}
