"""``lostreg registers ACTION``: the register laboratory."""

from __future__ import annotations

from typing import Any

from lostreg.cli import distill

ACTIONS = (distill,)
"""Each has ``add_parser(actions)``, and sets ``run``, as a command does."""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("registers", help="give a model registers it was trained without")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for action in ACTIONS:
        action.add_parser(actions)
