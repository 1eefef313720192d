"""What a result depends on, and the command line and the Python that give it again."""

from __future__ import annotations

import json
import shlex
from typing import Any

from lostreg.discover import Discoverer
from lostreg.settings import MethodSettings, fingerprint


def shell(settings: MethodSettings, discoverer: Discoverer, name: str) -> str:
    """Return the ``lostreg discover`` command that finds the same objects in the picture ``name``."""
    options = [f"--{field.replace('_', '-')} {shlex.quote(str(value))}" for field, value in settings.to_json().items()]
    lines = [f"lostreg discover {shlex.quote(name)} --output run", f"--model {discoverer.weights.entry.name}"]
    return " \\\n    ".join([*lines, *options])


def python(settings: MethodSettings, discoverer: Discoverer, name: str) -> str:
    """Return the Python that finds the same objects in the picture ``name``."""
    arguments = "\n".join(f"    {field}={value!r}," for field, value in settings.to_json().items())
    return (
        "from lostreg import Discoverer\n\n"
        f"discoverer = Discoverer(\n    model={discoverer.weights.entry.name!r},\n{arguments}\n)\n"
        f"discovery = discoverer({name!r})\n"
        "print(discovery.boxes_xyxy, discovery.scores)\n"
    )


def settings_fingerprint(settings: MethodSettings, discoverer: Discoverer) -> str:
    """Return the fingerprint that records of the command above carry."""
    return fingerprint(discoverer.identity(settings))


def as_text(values: dict[str, Any]) -> str:
    """Return JSON for people."""
    return json.dumps(values, indent=2)
