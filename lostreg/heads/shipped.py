"""The heads that come with the package, by the weights that they were fitted on."""

from __future__ import annotations

from importlib.resources import files

from lostreg.catalogue import OFFLINE_MODEL, OFFLINE_SHA256
from lostreg.errors import ModelError
from lostreg.heads.file import parse_head
from lostreg.heads.head import Head

SHIPPED = {OFFLINE_SHA256: f"head-{OFFLINE_MODEL}.safetensors"}
"""File names in ``lostreg/data``; its README says what each has seen."""


def shipped_head(model: str, weights_sha256: str) -> Head:
    """Return the head that comes with the package for a model.

    Args:
        model: the ViT's short name, for the sentence.
        weights_sha256: of its weights.

    Raises:
        ModelError: there is none for these weights.
    """
    name = SHIPPED.get(weights_sha256)
    if name is None:
        raise ModelError(
            f"No fitted head comes with lostreg for {model} (weights {weights_sha256[:12]}…); use "
            f"--model {OFFLINE_MODEL}, or fit one with `lostreg fit` and name it with --head."
        )
    return parse_head(files("lostreg").joinpath("data", name).read_bytes(), name)
