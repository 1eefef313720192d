"""``lostreg demo``: the web demo."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lostreg.cli.options import path_argument
from lostreg.errors import UsageError

if TYPE_CHECKING:
    from lostreg.discover import Discoverer
    from lostreg.signals import StopRequest

SECONDS_BETWEEN_TRIMS = 20.0


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="the web demo",
        description="Serve the web demo on this machine until it is stopped. Nothing is fetched but weights.",
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME[@REVISION][+REGISTERS]",
        help="offer this model, the first one as the default, with registers as --registers of `lostreg discover` "
        "takes them; repeatable (default: the default model, and all whose weights are cached)",
    )
    parser.add_argument(
        "--head", type=path_argument, metavar="FILE", help="head of `lostreg fit` for the first --model"
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--host", metavar="ADDRESS", help="listen there; 0.0.0.0 for all (default 127.0.0.1)")
    parser.add_argument("--port", type=int, metavar="N", help="(default: the first free one from 7860)")
    parser.add_argument("--root-path", metavar="PATH", help="where a reverse proxy shows the page, such as /lostreg")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.port is not None and not 1 <= args.port <= 65535:
        raise UsageError(f"--port must be from 1 to 65535, but it is {args.port}.")
    if args.head is not None and not args.model:
        raise UsageError("--head needs the model that it was fitted on; name it with --model.")
    try:
        from lostreg.demo.server import launch
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise UsageError('The demo needs Gradio; install it with `pip install "lostreg[demo]"`.') from error
    from lostreg.demo.models import Models
    from lostreg.demo.storage import own_folder
    from lostreg.registers.choice import split_model
    from lostreg.signals import StopRequest, orderly_stop
    from lostreg.weights import resolve

    for name in args.model or []:
        resolve(split_model(name)[0])  # with its progress here, and not while a visitor waits for it
    models = Models(args.model or [], partial(_load, args))
    stop = StopRequest()
    with orderly_stop(stop), own_folder() as folder:
        page = launch(models, host=args.host, port=args.port, root_path=args.root_path)
        print(f"lostreg: the demo is at {page.local_url} (Ctrl-C ends it)", file=sys.stderr, flush=True)
        _serve(folder, stop)
        page.close(verbose=False)
    return stop.exit_code


def _load(args: argparse.Namespace, name: str | None) -> Discoverer:
    """Load a model on offer; the head belongs to the first one."""
    from lostreg.discover import Discoverer
    from lostreg.registers.choice import split_model

    model, registers = split_model(name) if name else (None, None)
    head = args.head if args.model and name == args.model[0] else None
    # it reads every part of every picture, which one compiled model per method would not serve
    return Discoverer(model, device=args.device, registers=registers, head=head, engine="torch")


def _serve(folder: Path, stop: StopRequest) -> None:
    """Wait until a stop is asked for, and keep the folder of uploads and results within its bounds."""
    from lostreg.demo.storage import MAX_STORED_BYTES
    from lostreg.files import trim

    trimmed = time.monotonic()
    while not stop():
        time.sleep(0.2)
        if time.monotonic() - trimmed > SECONDS_BETWEEN_TRIMS:
            trim(folder, MAX_STORED_BYTES)
            trimmed = time.monotonic()
