"""The settings of a discovery as controls; the same set in every tab."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from lostreg.demo.models import Models, preset_of
from lostreg.discover import Discoverer, choose_method
from lostreg.errors import LostregError
from lostreg.heads import SHIPPED
from lostreg.methods import METHODS
from lostreg.methods.fitted import NAME as FITTED
from lostreg.objects import AUTO_MOST
from lostreg.settings import PROJECTIONS, QUALITIES, MethodSettings, Quality, with_overrides

FEATURES = {"k": "keys", "q": "queries", "v": "values", "x": "output tokens"}
OFFSETS = ("none", "mean", "q0.25", "q0.5", "q0.75")
MAX_K_PATCHES = 500


@dataclass(frozen=True)
class Controls:
    """One control per setting, in the order in which functions take their values.

    Attributes:
        wanted: not seen; its ``change`` comes once for every choice of the visitor, whatever came of it. Gradio's
            dropdowns say ``input`` twice for a choice, and also when they are only passed with the Tab key.
    """

    model: Any
    method: Any
    feature: Any
    offset: Any
    k_patches: Any
    objects: Any
    wanted: Any

    @property
    def all(self) -> list[Any]:
        """The settings, the model first."""
        return [self.model, self.method, self.feature, self.offset, self.k_patches, self.objects]


def controls(models: Models, prefix: str, *, another_method: bool = False) -> Controls:
    """Lay out the controls with the default model's own settings, and let them follow one another.

    Args:
        models: on offer.
        prefix: of the ids in the page.
        another_method: begin with another method than the model's own, to have something to compare.
    """
    first = models.get(models.names[0])
    preset, methods = first.settings, _methods_on_offer(first)
    if another_method:
        preset = replace(preset, method=next(name for name in methods if name != preset.method))
    model = gr.Dropdown(models.names, value=models.names[0], label="Model", elem_id=f"{prefix}-model")
    quality = gr.Radio(
        list(QUALITIES),
        value=_quality_of(preset.method, models.names[0]),
        label="Quality",
        info="fast: the model's preset; best: the head that was fitted for it, without labels",
        visible=_has_qualities(first),
        elem_id=f"{prefix}-quality",
    )
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
    wanted = gr.Textbox(visible="hidden", elem_id=f"{prefix}-wanted")
    chosen = Controls(model, method, feature, offset, k_patches, count, wanted)
    _connect(models, chosen, quality)
    return chosen


def _connect(models: Models, chosen: Controls, quality: Any) -> None:
    """Let a model or a quality bring its settings along, and ``wanted`` follow all of them."""

    def of_model(name: str) -> tuple[Any, ...]:
        try:
            known = models.get(name)
        except LostregError:  # the discovery that follows meets the same and says it where results stand
            return (gr.skip(),) * 5
        methods = _methods_on_offer(known)
        method, *others = _method_values(known.settings)
        shown = gr.Radio(value=_quality_of(method, name), visible=_has_qualities(known))
        return shown, gr.Dropdown(methods, value=method), *others

    def of_quality(name: str, asked: Quality) -> tuple[Any, ...]:
        return _method_values(with_overrides(preset_of(name).settings, method=choose_method(None, False, asked)))

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    method = [chosen.method, chosen.feature, chosen.offset, chosen.k_patches]
    tell_wanted(chosen.model.change(of_model, chosen.model, [quality, *method], **quiet).then, chosen)
    tell_wanted(quality.input(of_quality, [chosen.model, quality], method, **quiet).then, chosen)
    for control in (*method, chosen.objects):
        tell_wanted(control.input, chosen)
    fast = json.dumps({name: preset_of(name).settings.method for name in models.names})
    chosen.method.change(
        None,
        [chosen.method, chosen.model],
        quality,
        js=f"(method, model) => method === '{FITTED}' ? 'best' : method === {fast}[model] ? 'fast' : null",
        api_visibility="private",
    )


def tell_wanted(event: Any, chosen: Controls) -> None:
    """Write down in the browser what is wanted after an event; the same again changes nothing."""
    event(None, chosen.all, chosen.wanted, js="(...values) => JSON.stringify(values)", api_visibility="private")


def _quality_of(method: str, model: str) -> Quality | None:
    """Return the quality that a method stands for, ``None`` where it is neither; the browser does the same."""
    if method == FITTED:
        return "best"
    return "fast" if method == preset_of(model).settings.method else None


def _has_qualities(discoverer: Discoverer) -> bool:
    """Tell whether a head ships for a model as it runs, and no other was given."""
    stock = discoverer.registers.identity is None
    return discoverer.head_file is None and stock and discoverer.weights.sha256 in SHIPPED


def _methods_on_offer(discoverer: Discoverer) -> list[str]:
    """Return all methods, the fitted one only where there is a head for the model."""
    has_head = discoverer.head_file is not None or _has_qualities(discoverer)
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


def _method_values(settings: MethodSettings) -> tuple[str, str, str, int]:
    """Return what the controls of method, feature, offset and k show for some settings."""
    return settings.method, settings.feature, str(settings.offset), patches_value(settings)


def patches_value(settings: MethodSettings) -> int:
    """Return where the slider of k stands; a share counts as the published 100."""
    return settings.k_patches if isinstance(settings.k_patches, int) else 100


def slider_value(settings: MethodSettings) -> int:
    """Return where the slider of objects stands."""
    return 0 if settings.objects == "auto" else settings.objects
