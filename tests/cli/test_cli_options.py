"""The options that commands share."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import types

import pytest

from lostreg.cli.options import METHODS as NAMED
from lostreg.cli.options import add_config_option, add_method_options, add_model_options, discoverer_from
from lostreg.methods import METHODS
from lostreg.settings import MethodSettings


def test_the_help_names_exactly_the_methods_there_are():
    parser = argparse.ArgumentParser()
    add_method_options(parser)
    (option,) = (action for action in parser._actions if action.dest == "method")
    listed = re.sub(r"\(.*", "", option.help).replace(" ", "").split(",")
    assert listed == list(METHODS) == list(NAMED)


def test_the_help_comes_without_torch():
    code = "import sys; from lostreg.cli.options import METHODS; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([], ""),
        (["--feature", "q", "--offset", "mean", "--k-patches", "7"], ""),
        (["--attention-head", "2", "--objects", "3"], "lostreg: without effect on the method lost: --attention-head\n"),
        (["--method", "tokencut", "--feature", "q"], ""),
        (["--method", "dino-seg", "--attention-head", "2"], ""),
        (
            ["--method", "head-consensus", "--k-patches", "7", "--feature", "v", "--objects", "2"],
            "lostreg: without effect on the method head-consensus: --feature, --k-patches\n",
        ),
    ],
)
def test_options_that_the_method_does_not_read_are_said_in_one_line(typed, said, monkeypatch, capsys):
    def discoverer(model, method="lost", **options):
        return types.SimpleNamespace(settings=MethodSettings(method), engine_note=None)

    monkeypatch.setattr("lostreg.discover.Discoverer", discoverer)
    parser = argparse.ArgumentParser()
    for add in (add_model_options, add_method_options, add_config_option):
        add(parser)
    discoverer_from(parser.parse_args(typed))
    assert capsys.readouterr().err == said
