"""From a choice of registers to a change of the model: the only place that knows every kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from lostreg.backbone import count_registers
from lostreg.catalogue import BY_NAME, ModelEntry
from lostreg.errors import ModelError, UsageError
from lostreg.registers.adapter import apply_adapter, check_adapter, read_adapter
from lostreg.registers.choice import RegisterChoice
from lostreg.registers.neuron_list import list_for
from lostreg.registers.shift import add_test_time_register
from lostreg.weights import Weights


@dataclass(frozen=True)
class RegisterPlan:
    """What a choice of registers does to a model.

    Attributes:
        change: from the timm model with its weights to the one that runs.
        identity: what results depend on, JSON-ready; ``None`` where the model runs as it is.
        choice: what was asked for; ``None`` leaves the model as it is.
    """

    change: Callable[[nn.Module], nn.Module]
    identity: dict[str, Any] | None = None
    choice: RegisterChoice | None = None


def plan_registers(choice: RegisterChoice | None, weights: Weights) -> RegisterPlan:
    """Say what to do to a model.

    Args:
        choice: ``None`` leaves the model as it is.
        weights: of the model.

    Raises:
        ModelError: no list of register neurons is known. ``change`` raises it where the model does not fit.
        WeightsError: the list or the adapter cannot be read, or is of another model.
    """
    match choice:
        case None:
            return RegisterPlan(_unchanged)
        case RegisterChoice("native"):
            return RegisterPlan(partial(_native, entry=weights.entry), choice=choice)
        case RegisterChoice("none"):
            return RegisterPlan(partial(_without, entry=weights.entry), choice=choice)
        case RegisterChoice("test-time", path):
            found, digest = list_for(weights, path)
            units = found.by_block()
            identity = {
                "kind": "test-time",
                "sha256": digest,
                "neurons": len(found.neurons),
                "extra_tokens": int(bool(units)),
            }
            add = partial(add_test_time_register, units=units, name=weights.entry.name)
            return RegisterPlan(add, identity, choice)
        case RegisterChoice("adapter", Path() as path):
            change, identity = _with_adapter(path, weights)
            return RegisterPlan(change, identity, choice)
        case _:
            raise UsageError(f"{choice} does not say which registers to run with.")


def _with_adapter(path: Path, weights: Weights) -> tuple[Callable[[nn.Module], nn.Module], dict[str, Any]]:
    adapter = read_adapter(path)
    check_adapter(adapter, weights, path.name)
    identity = {"kind": "adapter", "sha256": adapter.sha256, "extra_tokens": adapter.registers}
    return partial(apply_adapter, adapter=adapter, name=weights.entry.name), identity


def _unchanged(model: nn.Module) -> nn.Module:
    return model


def _native(model: nn.Module, entry: ModelEntry) -> nn.Module:
    if not count_registers(model):
        raise ModelError(
            f"{entry.name} was trained without registers; choose a model that has some, such as dinov2-s14-reg, "
            "or --registers test-time."
        )
    return model


def _without(model: nn.Module, entry: ModelEntry) -> nn.Module:
    if count := count_registers(model):
        twin = BY_NAME.get(entry.name.removesuffix("-reg"), entry)
        instead = f"choose its twin without them, {twin.name}" if twin is not entry else "choose a model without them"
        raise ModelError(
            f"{entry.name} was trained with {count} registers, and removing them breaks it; {instead}, or leave "
            "--registers out."
        )
    return model
