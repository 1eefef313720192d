"""The settings of a discovery as controls; the same set in every tab."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import Any

import gradio as gr

from lostreg.demo.models import Models
from lostreg.heads import SHIPPED
from lostreg.methods import METHODS
from lostreg.methods.fitted import NAME as FITTED
from lostreg.objects import AUTO_MOST
from lostreg.settings import PROJECTIONS, MethodSettings

FEATURES = {"k": "keys", "q": "queries", "v": "values", "x": "output tokens"}
OFFSETS = ("none", "mean", "q0.25", "q0.5", "q0.75")
MAX_K_PATCHES = 500


@dataclass(frozen=True)
class Controls:
    """One control per setting, in the order in which functions take their values."""

    model: Any
    method: Any
    feature: Any
    offset: Any
    k_patches: Any
    objects: Any

    @property
    def all(self) -> list[Any]:
        """All of them, the model first."""
        return [getattr(self, field.name) for field in fields(self)]


def controls(models: Models, prefix: str, *, another_method: bool = False) -> Controls:
    """Lay out the controls with the default model's own settings.

    Args:
        models: on offer.
        prefix: of the ids in the page.
        another_method: begin with another method than the model's own, to have something to compare.
    """
    preset = models.get(models.names[0]).settings
    model = gr.Dropdown(models.names, value=models.names[0], label="Model", elem_id=f"{prefix}-model")
    methods = _methods_on_offer(models)
    if another_method:
        preset = replace(preset, method=next(name for name in methods if name != preset.method))
    method = gr.Dropdown(methods, value=preset.method, label="Method", elem_id=f"{prefix}-method")
    count = gr.Slider(
        0,
        AUTO_MOST,
        slider_value(preset),
        step=1,
        label="Number of objects",
        info="0: as many as stand out",
        elem_id=f"{prefix}-objects",
    )
    with gr.Accordion("What the patches are compared by", open=False) as details:
        feature = gr.Radio(
            [(FEATURES[name], name) for name in PROJECTIONS],
            value=preset.feature,
            label="Feature",
            elem_id=f"{prefix}-feature",
        )
        offset = gr.Dropdown(
            list(OFFSETS),
            value=str(preset.offset),
            allow_custom_value=True,
            label="Offset",
            info="none, mean, a number, or q and a share of the similarities such as q0.5",
            elem_id=f"{prefix}-offset",
        )
        k_patches = gr.Slider(
            1,
            MAX_K_PATCHES,
            patches_value(preset),
            step=1,
            label="k: patches that may join the seed",
            elem_id=f"{prefix}-k",
        )
    for control, settings in ((feature, "feature"), (offset, "offset"), (k_patches, "k_patches")):
        show_where_read(method, control, settings)
    show_where_read(method, details, "feature", "offset", "k_patches")
    return Controls(model, method, feature, offset, k_patches, count)


def _methods_on_offer(models: Models) -> list[str]:
    """Return all methods, the fitted one only where there is a head for the default model."""
    first = models.get(models.names[0])
    has_head = first.head_file is not None or first.weights.sha256 in SHIPPED
    return [name for name in METHODS if name != FITTED or has_head]


def show_where_read(method: Any, control: Any, *settings: str) -> None:
    """Let a control be seen only while the chosen method reads one of the settings that it stands for.

    The browser does it by itself, so that it happens at once and in the order of the choices.
    """
    reads = {name: not known.reads.isdisjoint(settings) for name, known in METHODS.items()}
    control.visible = reads[method.value]
    update = f"(name) => ({{__type__: 'update', visible: {json.dumps(reads)}[name]}})"
    method.change(None, method, control, js=update, api_visibility="private")


def overrides(method: str, feature: str, offset: str, k_patches: float, objects: float) -> dict[str, Any]:
    """Return the method settings that the controls' values stand for, the model left out."""
    return {
        "method": method,
        "feature": feature,
        "offset": str(offset),
        "k_patches": int(k_patches),
        "objects": int(objects) or "auto",
    }


def values_of(settings: MethodSettings) -> tuple[str, str, str, int, int]:
    """Return the values that the controls show for some settings, the model left out."""
    return settings.method, settings.feature, str(settings.offset), patches_value(settings), slider_value(settings)


def patches_value(settings: MethodSettings) -> int:
    """Return where the slider of k stands; a share counts as the published 100."""
    return settings.k_patches if isinstance(settings.k_patches, int) else 100


def slider_value(settings: MethodSettings) -> int:
    """Return where the slider of objects stands."""
    return 0 if settings.objects == "auto" else settings.objects
