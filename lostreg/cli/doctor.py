"""``lostreg doctor``: versions, devices, cache, and what works here."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
from importlib import metadata
from typing import Any

from lostreg.catalogue import OFFLINE_MODEL

PACKAGES = (
    "lostreg",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "opencv-python-headless",
    "pillow",
    "pycocotools",
    "safetensors",
    "huggingface_hub",
    "onnx",
    "gradio",
    "openvino",
)


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("doctor", help="versions, devices, cache, what works here")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what is found; the exit code is 0 if weights are here or may be had, else 4."""
    facts = examine()
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        _print(facts)
    return 0 if facts["weights"]["usable"] else 4


def examine() -> dict[str, Any]:
    """Collect the facts, JSON-ready."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": package_versions(),
        "devices": _devices(),
        "cache": _cache(),
        "weights": _weights(),
    }


def package_versions() -> dict[str, str | None]:
    """Return the versions of lostreg and of what it stands on; `None` where not installed."""
    return {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _devices() -> dict[str, Any]:
    import torch

    return {
        "cpu": f"{torch.get_num_threads()} threads",
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "mps": torch.backends.mps.is_available(),
    }


def _cache() -> dict[str, Any]:
    from lostreg.files import cache_dir

    folder = cache_dir()
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return {"folder": str(folder), "free_gb": round(shutil.disk_usage(existing).free / 1e9, 1)}


def _weights() -> dict[str, Any]:
    from lostreg.catalogue import BY_NAME, DEFAULT_MODEL, ENTRIES
    from lostreg.errors import WeightsError
    from lostreg.weights import hub, is_cached
    from lostreg.weights.resolve import repository_of

    try:
        hub.probe(repository_of(BY_NAME[DEFAULT_MODEL]))
        reach = "reachable"
    except WeightsError as error:
        reach = str(error)
    cached = [entry.name for entry in ENTRIES if is_cached(entry)]
    pip = _version("pip") is not None  # by its metadata: setuptools answers find_spec("pip") with a warning
    return {"cached": cached, "hub": reach, "pip": pip, "usable": bool(cached) or reach == "reachable" or pip}


def _print(facts: dict[str, Any]) -> None:
    print(f"Python    {facts['python']} on {facts['platform']}")
    print("Packages  " + ", ".join(f"{name} {found or 'not installed'}" for name, found in facts["packages"].items()))
    devices = facts["devices"]
    print(f"Devices   cpu ({devices['cpu']}); cuda: {', '.join(devices['cuda']) or 'none'}; mps: {devices['mps']}")
    print(f"Cache     {facts['cache']['folder']} ({facts['cache']['free_gb']} GB free)")
    print(f"Weights   cached: {', '.join(facts['weights']['cached']) or 'none'}")
    print(f"Hub       {facts['weights']['hub']}")
    print(f"pip       {'here, to fetch ' + OFFLINE_MODEL if facts['weights']['pip'] else 'not installed'}")
