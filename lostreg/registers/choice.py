"""Which registers a model runs with, as typed: ``--registers native|none|test-time[:LIST.json]|FILE.safetensors``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lostreg.errors import UsageError


@dataclass(frozen=True)
class RegisterChoice:
    """A choice of registers; without one a model runs as it is.

    Attributes:
        kind: ``native`` asks for the registers the model was trained with; ``none`` for a model without any;
            ``test-time`` for one that is added when the model runs (arXiv 2506.08010); ``adapter`` for those that
            ``lostreg registers distill`` trained.
        path: the list of register neurons, or the adapter; ``None`` for ``test-time`` takes the known list.
    """

    kind: Literal["native", "none", "test-time", "adapter"]
    path: Path | None = None

    @classmethod
    def parse(cls, text: str) -> RegisterChoice:
        """Read a choice.

        Raises:
            UsageError: anything else.

        Example:
            >>> RegisterChoice.parse("test-time")
            RegisterChoice(kind='test-time', path=None)
        """
        match text.partition(":"):
            case ("native" | "none" | "test-time" as kind, "", ""):
                return cls(kind)
            case ("test-time", ":", name) if name:
                return cls("test-time", Path(name))
        if text.endswith(".safetensors"):
            return cls("adapter", Path(text))
        raise UsageError(
            "--registers must be native, none, test-time, test-time:LIST.json or an adapter's FILE.safetensors, "
            f"but it is {text!r}."
        )

    def __str__(self) -> str:
        """Return the text that :meth:`parse` reads."""
        if self.kind == "adapter":
            return str(self.path)
        return self.kind if self.path is None else f"{self.kind}:{self.path}"


def split_model(spec: str) -> tuple[str, str | None]:
    """Return a model's name and what ``--registers`` takes, of ``NAME`` or ``NAME+REGISTERS``.

    Example:
        >>> split_model("dinov2-l14+test-time")
        ('dinov2-l14', 'test-time')
    """
    name, _, registers = spec.partition("+")
    return name, registers or None
