"""Unsupervised object discovery from Vision Transformers with registers."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lostreg.discover import Discoverer
    from lostreg.discovery import Discovery
    from lostreg.errors import LostregError
    from lostreg.features import Features
    from lostreg.images import Photograph, read_photograph
    from lostreg.settings import MethodSettings, Offset

try:
    __version__ = version("lostreg")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "Discoverer",
    "Discovery",
    "Features",
    "LostregError",
    "MethodSettings",
    "Offset",
    "Photograph",
    "__version__",
    "read_photograph",
]

_HOMES = {
    "Discoverer": "lostreg.discover",
    "Discovery": "lostreg.discovery",
    "Features": "lostreg.features",
    "LostregError": "lostreg.errors",
    "MethodSettings": "lostreg.settings",
    "Offset": "lostreg.settings",
    "Photograph": "lostreg.images",
    "read_photograph": "lostreg.images",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, so that importing lostreg stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lostreg' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
