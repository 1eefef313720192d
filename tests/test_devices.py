"""The device is one that exists here."""

from __future__ import annotations

import pytest
import torch

from lostreg.devices import choose_device
from lostreg.errors import UsageError


def test_auto_exists():
    assert torch.zeros(1, device=choose_device("auto")).device.type in {"cpu", "cuda", "mps"}


def test_a_device_is_taken_by_its_name():
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("count", "name"), [(0, "cuda"), (0, "cuda:0"), (2, "cuda:2"), (1, "meta")])
def test_a_device_that_is_not_here_is_refused(monkeypatch, count, name):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(UsageError, match=f"--device {name} is not present here"):
        choose_device(name)


def test_a_device_that_is_here_among_several(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:x"])
def test_what_is_no_device_is_refused(name):
    with pytest.raises(UsageError, match="--device must be auto, cpu, cuda, cuda:N or mps"):
        choose_device(name)
