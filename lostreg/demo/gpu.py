"""ZeroGPU of Hugging Face Spaces, which lends a GPU to a function for the length of a call; elsewhere nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

try:
    from spaces import GPU  # only there on Spaces; it wants to be imported before CUDA is touched
except ImportError:  # or a folder of that name
    GPU = None

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

GPU_SECONDS = 30


def on_gpu(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Let a function run on a lent GPU where there is one to lend; arguments and result are pickled there."""
    if GPU is None:
        return function
    lent: Callable[_Arguments, _Result] = GPU(duration=GPU_SECONDS)(function)
    return lent
