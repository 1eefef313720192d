"""A fitted head: a small network on the frozen tokens of one ViT, and where it comes from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch.nn.functional import normalize

from lostreg.errors import ModelError
from lostreg.features import Features, HeadReading
from lostreg.heads import nets, scorer
from lostreg.heads.nets import LogisticNet, TwoStageNet, VoteNet
from lostreg.heads.scorer import BoxScorer

Kind = Literal["logistic", "vote"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Net = LogisticNet | TwoStageNet

VOTE_SHAPE: dict[str, dict[str, Any]] = {
    "votes": {"width": nets.WIDTH, "dilations": list(nets.DILATIONS)},
    "scorer": {"axes": scorer.AXES, "width": scorer.WIDTH},
}
"""Of the networks of a new vote head."""


@dataclass(frozen=True)
class HeadInfo:
    """What a head file says of itself.

    Attributes:
        kind: ``logistic`` or ``vote``.
        model: short name of the ViT whose tokens it reads.
        weights_sha256: of that ViT's weights.
        layer: the block whose output it reads, counted from 0.
        dim: width D of the tokens.
        registers: which registers that ViT runs with, as a run's identity has it; ``None`` for its own.
        net: further arguments of the networks, by network; none for the logistic.
        provenance: how it was fitted; JSON-ready and without a date, so that equal fits give equal files.
    """

    kind: Kind
    model: str
    weights_sha256: str
    layer: int
    dim: int
    registers: Any = None
    net: dict[str, dict[str, Any]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Head:
    """A head that can read features.

    Attributes:
        info: what it says of itself.
        net: the network.
        sha256: of its file.
    """

    info: HeadInfo
    net: Net
    sha256: str

    @property
    def votes(self) -> bool:
        """Whether its patches vote for boxes."""
        return self.info.kind == "vote"

    def to_json(self) -> dict[str, Any]:
        """Return what the head says of itself, and its checksum."""
        return {"sha256": self.sha256, **self.info.to_json()}

    def check_fits(self, model: str, weights_sha256: str, layer: int, registers: Any = None) -> None:
        """Refuse another ViT than the one the head was fitted on.

        Args:
            model: the ViT's short name.
            weights_sha256: of its weights.
            layer: the block that is read, counted from 0.
            registers: which registers it runs with, as a run's identity has it; ``None`` for its own.

        Raises:
            ModelError: the head was fitted on other weights, another block or other registers.
        """
        if self.info.weights_sha256 != weights_sha256:
            raise ModelError(
                f"The head was fitted on {self.info.model} (weights {self.info.weights_sha256[:12]}…), not on {model} "
                f"(weights {weights_sha256[:12]}…); use --model {self.info.model}, or fit one with `lostreg fit`."
            )
        if self.info.layer != layer:
            raise ModelError(
                f"The head was fitted on block {self.info.layer} of {model}, not on block {layer}; use "
                f"--layer {self.info.layer}, or fit one with `lostreg fit`."
            )

        if self.info.registers != registers:
            raise ModelError(
                f"The head was fitted on {model} with registers {self.info.registers or 'native'}, not with "
                f"{registers or 'native'}; repeat those --registers, or fit one with `lostreg fit`."
            )

    def attach(self, features: Features) -> Features:
        """Return the features with what the head reads off their tokens ``x``, those of further looks likewise.

        Raises:
            FeatureError: the tokens were not extracted or are not finite.
        """
        tokens = normalize(features.projection("x"), dim=1).reshape(*features.grid_hw, -1)
        looks = tuple(self.attach(each) for each in features.looks)
        return replace(features, reading=read_tokens(self.net, tokens), looks=looks)


@torch.inference_mode()
def read_tokens(net: Net | VoteNet, tokens: torch.Tensor) -> HeadReading:
    """Read one photograph's tokens ``(h, w, D)``, divided by their norm, on the device of the tokens."""
    return net.to(tokens.device).read(tokens.float())


def new_net(info: HeadInfo) -> Net:
    """Return a network with the shape that a head's information asks for.

    Raises:
        KeyError, RuntimeError, TypeError, ValueError: it asks for none that there is.
    """
    if info.kind == "logistic":
        return LogisticNet(info.dim)
    return TwoStageNet(VoteNet(info.dim, **info.net["votes"]), BoxScorer(info.dim, **info.net["scorer"]))
