"""What ``--registers`` may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from lostreg.errors import UsageError
from lostreg.registers.choice import RegisterChoice, split_model

CHOICES = {
    "native": RegisterChoice("native"),
    "none": RegisterChoice("none"),
    "test-time": RegisterChoice("test-time"),
    "test-time:a/b.json": RegisterChoice("test-time", Path("a/b.json")),
    "a/b.safetensors": RegisterChoice("adapter", Path("a/b.safetensors")),
}


@pytest.mark.parametrize("text", CHOICES)
def test_a_choice_is_read_and_told_again(text):
    assert RegisterChoice.parse(text) == CHOICES[text]
    assert str(RegisterChoice.parse(text)) == text


@pytest.mark.parametrize("text", ["", "nativ", "native:", "native:x", "test-time:", "list.json", ":x"])
def test_anything_else_is_refused_with_what_may_be_said(text):
    with pytest.raises(UsageError, match=r"must be native, none, test-time, test-time:LIST\.json or"):
        RegisterChoice.parse(text)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("dinov2-s14", ("dinov2-s14", None)),
        ("dinov2-l14@main+test-time", ("dinov2-l14@main", "test-time")),
        ("dinov2-s14+a+b.safetensors", ("dinov2-s14", "a+b.safetensors")),
    ],
)
def test_a_model_may_name_its_registers(spec, parts):
    assert split_model(spec) == parts
