"""The words of the page."""

from __future__ import annotations

from html import escape

import numpy as np
from numpy.typing import NDArray

TITLE = "lostreg: objects without labels"

INTRO = """# lostreg
**Find the objects in a picture without a single label.** A Vision Transformer turns the picture into patches; what
stands out of their similarity graph is an object. Nothing here was trained on boxes, masks or class names."""

WAITING = "Choose a picture, or one of the examples, and its objects are drawn on it."

CLICK = "Click a patch of the picture to see its similarity to all others."

MAPS = """Dark is low, yellow is high. The first maps are the method's own.
- **LOST**: *degree*: how many patches each patch is similar to; the seed is where it is lowest; *seed similarity*: to
  that patch; *expansion*: to the seed and its companions; the object is where it is positive.
- **Head consensus**: *attention* of the CLS token; *score*: how similar patches are to what its heads attend to, their
  mean; *agreement*: how many of the proposals of all heads hold a patch.
- **Every method**: *token norms*: how long the patches' vectors are as they leave the last block; lone patches far
  above the rest are the artifacts that registers take away; *CLS attention* and *register attention*: what these tokens
  look at, means of their heads."""

COMPARE = """Two ways of looking at the same picture. Choose a model, method, feature and offset for either side; move
the handle to compare what they find, and look at the same maps below."""

BATCH = """Up to {pictures} pictures, as files or in a tar or zip archive, through the same model and settings. The
results can be taken away as COCO, YOLO, CSV, or as the JSON lines that `lostreg discover` writes."""

SURE = ((0.5, "stands out clearly"), (0.25, "stands out fairly well"), (0.0, "hardly stands out; take it with care"))


def summary(scores: NDArray[np.float64], *, cheap_ms: float, vit_ms: float | None) -> str:
    """Say what was found and how sure, and what it took; ``vit_ms`` is ``None`` where no ViT ran."""
    took = f"{cheap_ms:.0f} ms" + (
        "; the ViT did not run again" if vit_ms is None else f", after {vit_ms:.0f} ms of ViT"
    )
    if len(scores) == 0:
        return status(f"Nothing found with these settings ({took}).")
    count = "1 object" if len(scores) == 1 else f"{len(scores)} objects"
    words = next(words for least, words in SURE if scores[0] >= least)
    which = "It" if len(scores) == 1 else "The first"
    return status(f"Found {count}. {which} {words} (contrast {scores[0]:.2f} of 1). Took {took}.")


def status(sentence: str) -> str:
    """Return a line that screen readers announce."""
    return f'<p role="status" aria-live="polite" class="said">{escape(sentence)}</p>'


def problem(sentence: str) -> str:
    """Return an error's sentence where the person looks, announced at once."""
    return f'<p role="alert" class="said problem">{escape(sentence)}</p>'


def progress(done: int, total: int | None) -> str:
    """Return a bar with a count beside it."""
    of_total = "" if total is None else f' max="{total}"'
    return (
        f'<p role="status" class="said"><progress value="{done}"{of_total} aria-label="pictures done"></progress> '
        f"{done}{'' if total is None else f' of {total}'} pictures done</p>"
    )
