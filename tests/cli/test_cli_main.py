"""The frame of the command line: instant help, exit codes, no tracebacks."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

from lostreg import cli
from lostreg.cli import COMMANDS, main, run_script
from lostreg.errors import UsageError

HEAVY = {"torch", "timm", "cv2", "gradio", "numpy", "scipy", "PIL", "pycocotools", "huggingface_hub"}

PROBE = """
import sys
from lostreg.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
{extra}
print("LOADED", *sorted({heavy} & set(sys.modules)), file=sys.stderr)
"""


def loaded(extra=""):
    """Return which heavy packages a fresh process has loaded after printing the help."""
    code = PROBE.format(extra=extra, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.split("LOADED")[1].split()


def test_help_loads_nothing_heavy():
    assert loaded() == []


def test_the_probe_would_notice():
    assert "numpy" in loaded("import numpy")


def cpu_seconds_of_children():
    """Return their processor time, which other programs on the machine do not stretch as they do the wall's."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_is_instant():
    seconds = []
    for _ in range(5):
        before = cpu_seconds_of_children()
        done = subprocess.run([sys.executable, "-m", "lostreg", "--help"], capture_output=True, text=True, check=True)
        seconds.append(cpu_seconds_of_children() - before)
    assert "discover" in done.stdout
    assert min(seconds) < 0.3


@pytest.mark.parametrize("command", [module.__name__.rpartition(".")[2] for module in COMMANDS])
def test_every_command_has_help_that_loads_nothing_heavy(command):
    name = "eval" if command == "evaluate" else command
    assert loaded(f"try:\n    main([{name!r}, '--help'])\nexcept SystemExit: pass") == []


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("lostreg ")


@pytest.mark.parametrize("arguments", [[], ["nosuch"], ["discover", "--nosuch"], ["models"]])
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_an_unexpected_error_is_one_line_and_debug_shows_where(monkeypatch, capsys):
    def fail(args):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(cli.doctor, "run", fail)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == "lostreg: unexpected ZeroDivisionError: by zero (--debug shows where)\n"
    assert main(["doctor", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def run_in_shell(command, **options):
    """Run a command line of a shell in which ``lostreg`` is this one."""
    line = f'lostreg() {{ "{sys.executable}" -m lostreg "$@"; }}; {command}'
    return subprocess.run(["bash", "-c", line], capture_output=True, check=False, timeout=100, **options)


def test_a_reader_that_goes_away_ends_it_as_it_ends_other_tools():
    done = run_in_shell("lostreg models list --json | true; echo ${PIPESTATUS[0]}")
    assert (done.stdout, done.stderr) == (b"141\n", b"")


def test_an_output_that_takes_nothing_is_a_sentence():
    done = run_in_shell("lostreg models list --json > /dev/full")
    assert done.returncode == 1
    assert done.stderr == b"lostreg: Cannot go on, or write the output: No space left on device.\n"


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_closed_streams_do_no_harm(closed):
    done = run_in_shell(f"lostreg models list --json {closed}")
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) > 15


def test_what_a_closed_stderr_does_not_take_stays_out_of_stdout(tmp_path):
    done = run_in_shell(f"lostreg export {tmp_path} --format csv --output {tmp_path} --json 2>&-")
    assert (done.returncode, done.stdout) == (6, b"")


def test_nothing_is_read_from_a_closed_stdin():
    done = run_in_shell("lostreg discover - <&-")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"lostreg: No pictures found in -")


def test_what_the_system_refuses_is_a_sentence(monkeypatch, capsys):
    def refuse(args):
        raise PermissionError(13, "Permission denied", "/closed/file")

    monkeypatch.setattr("lostreg.cli.doctor.examine", lambda: refuse(None))
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == "lostreg: Cannot use /closed/file: Permission denied.\n"
    assert main(["doctor", "--debug"]) == 1
    assert "in refuse" in capsys.readouterr().err


def test_a_script_ends_as_a_command_does(capsys):
    def fail():
        raise UsageError("--root must be a folder.")

    assert run_script(lambda: None) == 0
    assert run_script(fail) == 2
    assert capsys.readouterr().err == "lostreg: --root must be a folder.\n"


def test_models_list_names_licences_in_both_forms(capsys):
    assert main(["models", "list"]) == 0
    text = capsys.readouterr().out
    assert main(["models", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) > 15
    assert all(row["name"] in text and row["licence"] in text and row["preset"] for row in rows)
    assert sum(row["default"] for row in rows) == 1


def test_doctor_speaks_both_forms(capsys):
    code = main(["doctor", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert code == (0 if facts["weights"]["usable"] else 4)
    assert facts["packages"]["torch"]
    main(["doctor"])
    assert facts["cache"]["folder"] in capsys.readouterr().out


@pytest.mark.weights
def test_models_check_verifies_a_model_and_a_file(offline_weights, tmp_path, capsys):
    assert main(["models", "check", offline_weights.entry.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sha256"] == offline_weights.sha256
    assert main(["models", "check", str(offline_weights.path)]) == 0
    capsys.readouterr()
    assert main(["models", "check", str(offline_weights.path), "--as", "dinov2-b14"]) == 4
    assert "does not hold the weights of dinov2-b14" in capsys.readouterr().err
