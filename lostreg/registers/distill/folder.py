"""The folder of a distillation: every file in it is replaced whole.

::

    FOLDER/distill.json          settings, origin, losses, timings
    FOLDER/checkpoint.pt         what the next steps depend on, while the run is not done
    FOLDER/targets/              the teacher's answers, while the run is not done
    FOLDER/adapter.safetensors   the result
    FOLDER/loss.png              the loss curve
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lostreg.chart import loss_chart
from lostreg.errors import RunError
from lostreg.files import sha256_of, write_text_whole, written_whole
from lostreg.registers.adapter import Adapter, write_adapter
from lostreg.registers.distill.student import Student

FORMAT = 1
FACTS, CHECKPOINT, TARGETS, ADAPTER, CURVE = (
    "distill.json",
    "checkpoint.pt",
    "targets",
    "adapter.safetensors",
    "loss.png",
)


@dataclass
class Course:
    """What a run has been through, earlier calls included: the loss of every step, and the student's seconds."""

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


class DistillFolder:
    """Where a distillation writes, and where it left off.

    Attributes:
        path: the folder.
        facts: the content of ``distill.json``.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        """Read what an earlier call left.

        Args:
            path: the folder; made when something is written.
            identity: JSON-ready settings, weights and pictures.

        Raises:
            RunError: the folder was made with another identity, or is damaged.
        """
        self.path = path
        self.facts: dict[str, Any] = {"format": FORMAT, "state": "running", "identity": identity}
        if (path / FACTS).exists():
            self.facts = self._read_facts()
            self._check(identity)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return bool(self.facts["state"] == "complete")

    @property
    def targets(self) -> Path:
        """The usual place of the teacher's answers."""
        return self.path / TARGETS

    def say(self, **facts: Any) -> None:
        """Add facts and write ``distill.json``."""
        self.facts |= facts
        with self._writing():
            write_text_whole(self.path / FACTS, json.dumps(self.facts, indent=1) + "\n")

    def save(self, student: Student, course: Course) -> None:
        """Write the checkpoint."""
        content = {**student.state(), "losses": course.losses, "seconds": course.seconds}
        buffer = io.BytesIO()  # torch turns what a full disk says into errors of its own
        torch.save(content, buffer)
        with self._writing(), written_whole(self.path / CHECKPOINT) as temporary:
            temporary.write_bytes(buffer.getvalue())

    def resume(self, student: Student) -> Course:
        """Bring the student to where the checkpoint is, if there is one.

        Raises:
            RunError: it is damaged.
        """
        path = self.path / CHECKPOINT
        if not path.exists():
            return Course()
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            student.restore(content)
            return Course(content["losses"], content["seconds"])
        except Exception as error:  # torch raises a dozen classes for files that are not what they claim
            raise RunError(f"{path} is damaged ({type(error).__name__}); delete it to start anew.") from error

    def finish(self, adapter: Adapter, epochs: int) -> None:
        """Write the results, and remove what was only needed on the way."""
        with self._writing():
            write_adapter(self.path / ADAPTER, adapter)
            with written_whole(self.path / CURVE) as temporary:
                temporary.write_bytes(loss_chart(_lines(self.facts["losses"], epochs), "step"))
        written = self.path / ADAPTER
        size, digest = written.stat().st_size, sha256_of(written)
        self.say(state="complete", adapter={"file": ADAPTER, "bytes": size, "sha256": digest})
        (self.path / CHECKPOINT).unlink(missing_ok=True)
        shutil.rmtree(self.targets, ignore_errors=True)

    def _read_facts(self) -> dict[str, Any]:
        path = self.path / FACTS
        try:
            facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            facts["identity"].items()
            facts["state"].lower()
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise RunError(f"{path} is damaged; delete the folder or name another one with --output.") from error
        return facts

    def _check(self, identity: dict[str, Any]) -> None:
        found = self.facts["identity"]
        for name in identity.keys() | found.keys():
            if found.get(name) != identity.get(name):
                raise RunError(
                    f"{self.path} was made with another {name} ({found.get(name)!r}, now {identity.get(name)!r}); "
                    "name another folder with --output, or delete it."
                )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what the disk says into a sentence."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            raise RunError(f"Cannot write to {self.path}: {error.strerror or error}; free some space.") from error


def _lines(losses: list[float], epochs: int) -> dict[str, list[float]]:
    size = len(losses) // epochs
    means = [sum(losses[start : start + size]) / size for start in range(0, len(losses), size)]
    return {"loss": losses, "mean of the epoch": [mean for mean in means for _ in range(size)]}
