"""What a method says that it reads is what it reads."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from support import frame_of

from lostreg.features import Features, HeadReading
from lostreg.methods import METHODS
from lostreg.settings import PROJECTIONS, MethodSettings

COMMON = {"method", "objects"}
FIELDS = {field.name for field in dataclasses.fields(MethodSettings)}
LOOKED_AT = set()


class Watched(MethodSettings):
    """Settings that remember which of them were looked at."""

    def __getattribute__(self, name):
        if name in FIELDS:
            LOOKED_AT.add(name)
        return super().__getattribute__(name)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_looks_at_exactly_what_it_says(method):
    values = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    attention = torch.rand(1, 6, 30, generator=torch.Generator().manual_seed(1)) / 30
    tokens, reading = dict.fromkeys(PROJECTIONS, values), HeadReading(values[:, 0])
    features = Features(frame_of((5, 6)), tokens, attention, class_token=True, reading=reading)
    settings = Watched(method)
    LOOKED_AT.clear()
    METHODS[method].needs(settings)
    assert METHODS[method].propose(features, settings, np.ones((5, 6), dtype=np.bool_)) is not None
    assert METHODS[method].reads == LOOKED_AT - COMMON
