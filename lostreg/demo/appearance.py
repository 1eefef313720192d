"""Colours, sizes, and what Gradio leaves out for those who use a keyboard or a screen reader."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import gradio as gr

CSS = """
h1, h2, strong, th { font-weight: 600 !important; }
.prose h2 { font-size: 1.15rem; }
.said { font-size: 1.05rem; margin: 0; padding: .5rem .75rem; border-left: 4px solid #1995c9; }
.said.problem { border-left-color: #d9480f; font-weight: 600; }
.said progress { width: 50%; vertical-align: middle; }
/* Gradio colours code for a dark ground alone */
body:not(.dark) .cm-content span { color: inherit !important; }
.figure { max-width: 520px; width: 100%; }
.pictures .grid-wrap { max-height: none !important; min-height: 0 !important; }
.dark { --color-accent: var(--primary-400); }
@media (max-width: 640px) {
  .pictures .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
  #result { height: auto !important; }
  #discover-row { flex-direction: column; }
  #discover-row > .column { display: contents; }
  #discover-controls { order: 1; }
  #discover-row .below { order: 2; }
}
"""

_ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><rect x='2' y='3' width='12' height='10' rx='1' "
    "fill='#40c4ff55' stroke='#1995c9' stroke-width='2'/><circle cx='8' cy='8' r='2' fill='#ffb000'/></svg>"
)
"""A box and its seed. Part of the page, as browsers look for an icon beside it, where behind a proxy others answer."""

_SCRIPT = """new MutationObserver(() => {
  for (const each of document.querySelectorAll("#examples button:not([aria-label]) img"))
    each.closest("button").ariaLabel = "Example: " + each.src.split("/").pop().split(".")[0];
  for (const each of document.querySelectorAll(".cm-scroller[tabindex='-1']")) each.tabIndex = 0;
  for (const each of document.querySelectorAll(".empty[aria-label]:not([role])")) each.role = "img";
}).observe(document, {childList: true, subtree: true});"""
"""Gradio names no example, lets long code be scrolled by the mouse alone, and names places without a role."""

HEAD = f'<link rel="icon" href="data:image/svg+xml,{quote(_ICON)}"><script>{_SCRIPT}</script>'


def theme() -> Any:
    """Return Gradio's theme in our blue, its words and edges as clear as WCAG AA asks: 4.5 and 3 to 1."""
    return gr.themes.Default(primary_hue="sky").set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        color_accent="*primary_700",
        input_border_color="*neutral_500",
        input_border_color_dark="*neutral_500",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_500",
    )
