"""The last tab: what is measured, whose weights these are, and how to do it elsewhere."""

from __future__ import annotations

import gradio as gr

from lostreg import __version__
from lostreg.demo.api import describe
from lostreg.demo.engine import Engine
from lostreg.methods import METHODS

_METHOD = """## What happens to a picture
1. A Vision Transformer cuts the picture into patches of {patch} x {patch} pixels and describes each by a vector.
   This is the slow step and runs once per picture and model.
2. Patches whose vectors point the same way are *similar*. The offset decides how similar is similar enough.
3. The patch that is similar to the fewest others is the **seed**: backgrounds are large, objects are small.
4. Patches like the seed join it; the connected region around the seed is the object. Its box is drawn.

Step 2 to 4 are LOST ([Siméoni et al., 2021](https://arxiv.org/abs/2109.14279)) and take milliseconds; other methods
in the list read the same vectors in their own way. The *contrast* of an object is how far its patches stand out of
the rest on the method's own map, from 0 to 1. It is no probability."""

_CORLOC = """## CorLoc, the figure this field is measured by
The share of pictures whose first box covers some annotated object with an intersection over union (IoU) of at least
0.5. Boxes of people are dashed, found ones are solid: the left picture counts as a hit, the right one does not."""

_FIGURE = """<svg viewBox="0 0 520 175" role="img" class="figure"
 aria-label="Two pairs of boxes: one overlaps by more than half and counts, one by less and does not">
<g fill="none" stroke="currentColor" stroke-width="2">
<rect x="30" y="30" width="160" height="100" stroke-dasharray="7 5"/>
<rect x="310" y="30" width="160" height="100" stroke-dasharray="7 5"/></g>
<g fill="#40c4ff" fill-opacity=".25" stroke="#1995c9" stroke-width="3">
<rect x="45" y="36" width="165" height="102"/><rect x="390" y="60" width="115" height="90"/></g>
<g fill="currentColor" font-size="15" text-anchor="middle">
<text x="120" y="170">IoU 0.71: counts</text><text x="400" y="170">IoU 0.27: does not count</text></g></svg>"""

_ELSEWHERE = """## Elsewhere
The command line and the Python for what you see stand under *Take it away* in the first tab. Programs can ask this
page: *Use via API* at the bottom of the page shows the endpoints `/discover` and `/models`, whose answers are the
records of `lostreg discover`. Pictures are kept for about an hour and are sent nowhere."""


def about_tab(engine: Engine) -> None:
    """Lay out the tab."""
    patch = engine.models.get(engine.models.names[0]).backbone.spec.patch_size
    gr.Markdown(_METHOD.format(patch=patch))
    gr.Markdown(_methods())
    gr.Markdown(_CORLOC)
    gr.HTML(_FIGURE)
    gr.Markdown(_models(engine))
    gr.Markdown(_ELSEWHERE)
    gr.Markdown(f"lostreg {__version__}, Apache-2.0.")


def _methods() -> str:
    return "## Methods\n" + "\n".join(f"- **{method.name}**: {method.summary}." for method in METHODS.values())


def _models(engine: Engine) -> str:
    facts = [describe(name) for name in engine.models.names]
    rows = [
        f"- **{each['name']}**, in timm `{each['timm_id']}`. Licence of the weights: {each['licence']}. "
        f"Read with {each['why']}."
        for each in facts
    ]
    note = f"\n\nThis page is {engine.models.note}." if engine.models.note else ""
    return "## Models and their licences\n" + "\n".join(rows) + note
