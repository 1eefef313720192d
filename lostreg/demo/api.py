"""The named endpoints for programs: typed JSON, the same records as in ``records.jsonl``."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from lostreg.demo.discover_tab import PICTURE_QUEUE
from lostreg.demo.engine import Engine
from lostreg.demo.models import entry_of, preset_of
from lostreg.demo.uploads import Upload, picture_input
from lostreg.demo.views import look
from lostreg.discover import choose_method
from lostreg.errors import LostregError, UsageError
from lostreg.settings import parse_k_patches, parse_objects

PRESET = "preset"
"""Stands for the model's own setting."""


def endpoints(engine: Engine) -> None:
    """Add ``/discover`` and ``/models``; their parts are on the page but not seen."""
    with gr.Row(visible=False):
        picture = picture_input(label="picture")
        model = gr.Textbox(engine.models.names[0], label="model")
        settings = [
            gr.Textbox(PRESET, label=label)
            for label in ("method", "feature", "offset", "k_patches", "objects", "quality")
        ]
        answer = gr.JSON(label="record")
        offered = gr.JSON(label="models")
        trigger, list_models = gr.Button(), gr.Button()

    def discover(
        picture: Upload | None,
        model: str,
        method: str,
        feature: str,
        offset: str,
        k_patches: str,
        objects: str,
        quality: str,
    ) -> dict[str, Any]:
        """Find the objects of one picture; the answer is a record as in records.jsonl, its "path" being null.

        Settings are those of the command line as text, such as "3", "auto" or "q0.5"; "preset" leaves one to the model.
        """
        given = {"method": method, "feature": feature, "offset": offset, "k_patches": k_patches, "objects": objects}
        return record(engine, picture, model, {**given, "quality": quality})

    def models() -> list[dict[str, Any]]:
        """List the models on offer, with the settings that "preset" stands for."""
        return [describe(name) for name in engine.models.names]

    trigger.click(discover, [picture, model, *settings], answer, api_name="discover", **PICTURE_QUEUE)
    list_models.click(models, None, offered, api_name="models", **PICTURE_QUEUE)


def record(engine: Engine, picture: Upload | None, model: str, given: dict[str, str]) -> dict[str, Any]:
    """Answer ``/discover``; what cannot be done is refused in a sentence.

    The path is null: a picture that was sent has none, and Gradio's clients take any ``path`` for a file to fetch.
    """
    try:
        if picture is None:
            raise UsageError("A picture is needed.")
        found = look(engine, picture, model, **settings_of(given))
        return found.record.to_json() | {"path": None}
    except LostregError as error:
        raise gr.Error(escape(str(error), quote=False), print_exception=False) from error


def settings_of(given: dict[str, str]) -> dict[str, Any]:
    """Read settings that were sent as text, those left to the model's preset left out.

    Raises:
        UsageError: a number is none, or a quality and a method contradict each other.
    """
    chosen: dict[str, Any] = {name: str(text) for name, text in given.items() if text != PRESET}
    if "quality" in chosen:
        chosen["method"] = choose_method(chosen.get("method"), False, chosen.pop("quality"))
    if "k_patches" in chosen:
        chosen["k_patches"] = parse_k_patches(chosen["k_patches"])
    if "objects" in chosen:
        chosen["objects"] = parse_objects(chosen["objects"])
    return chosen


def describe(name: str) -> dict[str, Any]:
    """Say what a model is and how it is read."""
    entry, preset = entry_of(name), preset_of(name)
    return {
        "name": name,
        "timm_id": entry.timm_id,
        "licence": entry.licence,
        "preset": preset.settings.to_json(),
        "why": preset.why,
    }
