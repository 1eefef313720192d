"""The student: the same weights and registers, of which a small part trains."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import torch

from lostreg.backbone import Backbone
from lostreg.engines.torch_engine import autocast
from lostreg.registers.added import add_registers, random_registers, trainable
from lostreg.registers.distill.loss import distance
from lostreg.registers.distill.settings import FALL, WARM_UP, WEIGHT_DECAY, DistillSettings
from lostreg.settings import Part
from lostreg.tap import tapped


class Lesson(NamedTuple):
    """A picture and what the teacher says of it: ``(3, H, W)``, and ``(N, D)`` or ``(heads, N)`` for each part."""

    inputs: torch.Tensor
    targets: dict[Part, torch.Tensor]


class Student:
    """A ViT with added registers and its optimiser.

    Args:
        backbone: the stock model, whose frozen weights are shared.
        settings: of the distillation.
        steps: how many there will be, for the learning rate.

    Attributes:
        trained: what trains, by name.
        step_number: how many steps were taken.
    """

    def __init__(self, backbone: Backbone, settings: DistillSettings, steps: int) -> None:
        """Add the registers and free what trains.

        Raises:
            ModelError: the model cannot take registers.
        """
        self.backbone = backbone
        self.steps = steps
        self.step_number = 0
        self._highest_rate = settings.learning_rate
        registers = random_registers(settings.registers, backbone.model.embed_dim, settings.seed)
        self.model = add_registers(backbone.model, registers.to(backbone.device), backbone.entry.name)
        self.trained = trainable(self.model)
        for values in self.trained.values():
            values.requires_grad_(True)
        self._first_patch: int = self.model.num_prefix_tokens
        self._reader = tapped(self.model, backbone.depth - 1, frozenset(settings.targets), self._first_patch)
        self._optimiser = torch.optim.AdamW(self.trained.values(), lr=settings.learning_rate, weight_decay=WEIGHT_DECAY)

    def learn(self, lessons: list[Lesson]) -> float:
        """Take one step on some pictures, of any sizes, and return their mean loss before it."""
        for parameters in self._optimiser.param_groups:
            parameters["lr"] = learning_rate(self.step_number, self.steps, self._highest_rate)
        self._optimiser.zero_grad()
        total = 0.0
        for group in _by_size(lessons):
            loss = distance(self.answer(torch.stack([each.inputs for each in group])), self._stacked(group))
            share = loss * (len(group) / len(lessons))
            share.backward()  # type: ignore[no-untyped-call]
            total += share.item()
        self._optimiser.step()
        self.step_number += 1
        return total

    def answer(self, inputs: torch.Tensor) -> dict[Part, torch.Tensor]:
        """Return what the student says, with its graph: parts ``(B, N, D)``, attention of CLS ``(B, heads, N)``."""
        inputs = inputs.to(self.backbone.device)
        with autocast(self.backbone.device, self.backbone.precision):
            outputs: dict[Part, torch.Tensor] = self._reader.forward_features(inputs)
        first_patch = self._first_patch
        return {
            part: (values[:, 0, :, first_patch:] if part == "attention" else values[:, first_patch:]).float()
            for part, values in outputs.items()
        }

    def state(self) -> dict[str, Any]:
        """Return all that the next steps depend on."""
        trained = {name: values.detach() for name, values in self.trained.items()}
        return {"step": self.step_number, "trained": trained, "optimiser": self._optimiser.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        self.step_number = state["step"]
        self.model.load_state_dict(state["trained"], strict=False)
        self._optimiser.load_state_dict(state["optimiser"])

    def _stacked(self, lessons: list[Lesson]) -> dict[Part, torch.Tensor]:
        return {
            part: torch.stack([each.targets[part] for each in lessons]).to(self.backbone.device, torch.float32)
            for part in lessons[0].targets
        }


def learning_rate(step: int, steps: int, highest: float) -> float:
    """Return the rate of a step, from 0: rising linearly over the first tenth, falling exponentially to the last."""
    rise = min(1.0, (step + 1) / (WARM_UP * steps))
    return highest * rise * float(FALL ** (step / max(1, steps - 1)))


def _by_size(lessons: list[Lesson]) -> list[list[Lesson]]:
    groups: defaultdict[tuple[int, ...], list[Lesson]] = defaultdict(list)
    for lesson in lessons:
        groups[tuple(lesson.inputs.shape)].append(lesson)
    return list(groups.values())
