"""What a result depends on, and the command line and the Python that give it again."""

from __future__ import annotations

import json
import shlex
from typing import Any

from lostreg.discover import Discoverer
from lostreg.methods.fitted import NAME as FITTED
from lostreg.settings import MethodSettings, fingerprint


def shell(settings: MethodSettings, discoverer: Discoverer, name: str) -> str:
    """Return the ``lostreg discover`` command that finds the same objects in the picture ``name``."""
    options = [f"--{field.replace('_', '-')} {shlex.quote(str(value))}" for field, value in settings.to_json().items()]
    lines = [f"lostreg discover {shlex.quote(name)} --output run", f"--model {discoverer.weights.entry.name}"]
    if discoverer.registers.choice:
        lines.append(f"--registers {shlex.quote(str(discoverer.registers.choice))}")
    if head := _head_file(settings, discoverer):
        lines.append(f"--head {shlex.quote(head)}")
    return " \\\n    ".join([*lines, *options])


def python(settings: MethodSettings, discoverer: Discoverer, name: str) -> str:
    """Return the Python that finds the same objects in the picture ``name``."""
    values = settings.to_json()
    if discoverer.registers.choice:
        values["registers"] = str(discoverer.registers.choice)
    if head := _head_file(settings, discoverer):
        values["head"] = head
    arguments = "\n".join(f"    {field}={value!r}," for field, value in values.items())
    return (
        "from lostreg import Discoverer\n\n"
        f"discoverer = Discoverer(\n    model={discoverer.weights.entry.name!r},\n{arguments}\n)\n"
        f"discovery = discoverer({name!r})\n"
        "print(discovery.boxes_xyxy, discovery.scores)\n"
    )


def _head_file(settings: MethodSettings, discoverer: Discoverer) -> str | None:
    """Return the head that the result hangs on, if it is not the one that ships."""
    return str(discoverer.head_file) if settings.method == FITTED and discoverer.head_file else None


def settings_fingerprint(settings: MethodSettings, discoverer: Discoverer) -> str:
    """Return the fingerprint that records of the command above carry."""
    return fingerprint(discoverer.identity(settings))


def as_text(values: dict[str, Any]) -> str:
    """Return JSON for people."""
    return json.dumps(values, indent=2)
