"""The options that commands share."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

from lostreg.cli.options import METHODS as NAMED
from lostreg.cli.options import add_method_options
from lostreg.methods import METHODS


def test_the_help_names_exactly_the_methods_there_are():
    parser = argparse.ArgumentParser()
    add_method_options(parser)
    (option,) = (action for action in parser._actions if action.dest == "method")
    listed = re.sub(r"\(.*", "", option.help).replace(" ", "").split(",")
    assert listed == list(METHODS) == list(NAMED)


def test_the_help_comes_without_torch():
    code = "import sys; from lostreg.cli.options import METHODS; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
