"""The maps that explain an answer: the model of the run, run again for the pictures that are shown."""

from __future__ import annotations

from typing import Any

from lostreg.draw import RGB, heat_map
from lostreg.errors import RunError
from lostreg.report.gallery import MapMaker
from lostreg.settings import MethodSettings


def map_maker(identity: dict[str, Any], registers: str | None = None) -> MapMaker:
    """Load the model of a run.

    Args:
        identity: of the run, from ``run.json``.
        registers: the run's ``--registers``, as typed.

    Raises:
        RunError: the run does not tell its settings, or its weights are not the ones found here.
        WeightsError: the weights cannot be had.
    """
    from lostreg.discover import Discoverer

    try:
        discoverer = Discoverer(
            identity["model"],
            layer=identity["layer"],
            engine=identity["engine"],
            precision=identity["precision"],
            max_side=identity["max_side"],
            pad=identity["pad"],
            registers=registers,
            views=identity["views"],
            looks=identity.get("looks", 1),
            **MethodSettings.from_json(identity).to_json(),
        )
    except KeyError as error:
        raise RunError(f"--maps needs the run's settings, but its run.json lacks {error}; leave --maps out.") from error
    if discoverer.weights.sha256 != identity.get("weights_sha256"):
        raise RunError(
            f"--maps needs the weights of the run (SHA-256 {str(identity.get('weights_sha256'))[:12]}…), but those of "
            f"{identity['model']} found here are others; leave --maps out."
        )
    if discoverer.registers.identity != identity.get("registers"):
        raise RunError("--maps needs the registers of the run, but their file has changed since; leave --maps out.")

    def make(rgb: RGB) -> list[tuple[str, RGB]]:
        discovery = discoverer(rgb)
        return [(name, heat_map(values, discovery.frame, rgb)) for name, values in discovery.maps.items()]

    return make
