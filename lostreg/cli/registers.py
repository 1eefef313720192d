"""``lostreg registers ACTION``: the register laboratory."""

from __future__ import annotations

from typing import Any

from lostreg.cli import distill, registers_find, registers_inspect

ACTIONS = (registers_inspect, registers_find, distill)
"""Each has ``add_parser(actions)``, and sets ``run``, as a command does."""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("registers", help="see a model's artifacts, and give it registers")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for action in ACTIONS:
        action.add_parser(actions)
