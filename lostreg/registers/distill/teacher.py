"""The denoised teacher's answers, kept on disk in half precision so that an epoch does not repeat the views."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lostreg.backbone import Backbone
from lostreg.errors import RunError
from lostreg.features import Features
from lostreg.files import written_whole
from lostreg.geometry import Frame
from lostreg.registers.views import choose_views, extract_over_views
from lostreg.settings import Part, fingerprint

MAX_KEPT_BYTES = 8 * 1024**3
"""Of answers on disk; beyond that the views of a picture are run again in every epoch."""


class Teacher:
    """A frozen ViT whose features are averaged over views.

    Args:
        backbone: the stock model.
        weights_sha256: of its weights; answers of another model are not mistaken for its own.
        views: how many.
        parts: what it teaches.
        folder: where answers are kept.
        max_bytes: how much of them.
    """

    def __init__(
        self,
        backbone: Backbone,
        weights_sha256: str,
        views: int,
        parts: tuple[Part, ...],
        folder: Path,
        max_bytes: int = MAX_KEPT_BYTES,
    ) -> None:
        """Count what is kept already."""
        self.backbone = backbone
        self.views = views
        self.parts = frozenset(parts)
        self.folder = folder
        self.max_bytes = max_bytes
        self._asked = fingerprint(weights_sha256, backbone.precision, views, sorted(parts))
        self._kept = sum(path.stat().st_size for path in folder.glob("*.safetensors"))

    def targets(self, inputs: torch.Tensor, frame: Frame) -> dict[Part, torch.Tensor]:
        """Return what the student should say of a picture, ``float16`` on the CPU.

        Args:
            inputs: ``(3, H, W)`` ``float32``, as prepared for the ViT.
            frame: of the picture.

        Returns:
            For each part ``(N, D)``; ``attention`` is that of CLS, ``(heads, N)``.

        Raises:
            FeatureError: the features are not finite, or there is no CLS token to attend.
            RunError: the answers cannot be written.
        """
        digest = hashlib.sha256(inputs.numpy().tobytes()).hexdigest()[:24]
        path = self.folder / f"{self._asked}-{digest}.safetensors"
        if path.is_file():
            try:
                kept: dict[Part, torch.Tensor] = load_file(path)  # type: ignore[assignment]
            except SafetensorError:
                path.unlink()  # damaged on disk: asked again below
            else:
                return kept
        answer = self._ask(inputs, frame)
        size = sum(values.nbytes for values in answer.values())
        if self._kept + size <= self.max_bytes:
            self._keep(path, answer)
            self._kept += size
        return answer

    def _ask(self, inputs: torch.Tensor, frame: Frame) -> dict[Part, torch.Tensor]:
        def extract(moved: torch.Tensor) -> list[Features]:
            return self.backbone.extract(moved, [frame], self.parts)

        views = choose_views(frame.grid_hw, self.views)
        (features,) = extract_over_views(extract, inputs[None], views, self.backbone.spec)
        answer: dict[Part, torch.Tensor] = {name: features.projection(name) for name in features.tokens}
        if "attention" in self.parts:
            answer["attention"] = features.class_attention()
        return {name: values.to("cpu", torch.float16).contiguous() for name, values in answer.items()}

    def _keep(self, path: Path, answer: dict[Part, torch.Tensor]) -> None:
        try:
            with written_whole(path) as temporary:
                save_file({str(name): values for name, values in answer.items()}, temporary)
        except (OSError, SafetensorError) as error:  # safetensors wraps what the disk says in a class of its own
            raise RunError(f"Cannot keep the teacher's answers in {self.folder}: {error}; free some space.") from error
