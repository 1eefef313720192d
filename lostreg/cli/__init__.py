"""The command line: ``lostreg COMMAND``. One module per command; heavy packages load when a command runs."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from lostreg import __version__
from lostreg.cli import bench, demo, discover, doctor, evaluate, export, fit, merge, models, registers, report
from lostreg.errors import LostregError

COMMANDS = (discover, fit, evaluate, export, report, merge, models, registers, bench, doctor, demo)
"""Each has ``add_parser(commands)``, and sets ``run``: a function of the parsed arguments to an exit code."""

SIGPIPE = 13
"""Of a closed pipe; Windows has the number nowhere."""

_STREAMS = (
    ("stdin", "r", "surrogateescape"),
    ("stdout", "w", "backslashreplace"),
    ("stderr", "w", "backslashreplace"),
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="lostreg",
        description="Find the objects in images without a single label.",
        epilog="Exit codes: 0 done, 1 unexpected, 2 usage, 3 some images failed, 4 weights or model, "
        "5 annotations or dataset, 6 run folder, 130/143 stopped, 141 nobody reads the output any more.",
    )
    parser.add_argument("--version", action="version", version=f"lostreg {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    for subparser in commands.choices.values():
        subparser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    _prepare_streams()
    args = build_parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except LostregError as error:
        return _report(error, error.exit_code, args.debug)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`), with work perhaps undone: end as Unix tools do that SIGPIPE ends
        _drop_stdout()
        return 128 + SIGPIPE
    except OSError as error:
        _drop_stdout()
        return _report(_environment_error(error), 1, args.debug)
    except Exception as error:
        return _report(error, 1, args.debug)
    return code


def run_script(script: Callable[[], None]) -> int:
    """Run a script's main function as a command runs: what is wrong is one sentence, and an exit code."""
    _prepare_streams()
    try:
        script()
    except LostregError as error:
        return _report(error, error.exit_code, debug=False)
    return 0


def _prepare_streams() -> None:
    """Give closed standard streams a stand-in, let file names of any encoding pass, and keep Pillow's remarks out.

    Pillow warns of what it mends in a picture without naming the picture.
    """
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    for name, mode, errors in _STREAMS:
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for good
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def _environment_error(error: OSError) -> LostregError:
    """Say what the system refused; without a file's name it was the output."""
    what = f"use {error.filename}" if error.filename else "go on, or write the output"
    made = LostregError(f"Cannot {what}: {error.strerror or error}.")
    made.__cause__ = error
    return made


def _drop_stdout() -> None:
    """Keep Python from complaining at exit that what is buffered cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _report(error: Exception, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    elif not isinstance(error, LostregError):
        print(f"lostreg: unexpected {type(error).__name__}: {error} (--debug shows where)", file=sys.stderr)
    else:
        print(f"lostreg: {error}", file=sys.stderr)
    return code
