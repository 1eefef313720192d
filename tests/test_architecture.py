"""The shape of the package: data flows one way, heavy packages stay out of the maths, public names are listed."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import lostreg

PACKAGE = Path(lostreg.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# From pure to applied; a module imports from its own line and from those above it only.
LAYERS = [
    ["errors", "devices", "settings", "files", "layout", "geometry", "regions", "progress", "signals", "data"],
    ["images", "features", "graph", "catalogue", "draw", "chart"],
    ["preprocess", "methods", "presets", "archives", "videos", "sources", "tap", "pos_embed", "weights", "heads"],
    ["tally", "objects", "looks", "engines", "grids", "backbone", "annotations"],
    ["registers"],
    ["discovery", "discover", "datasets"],
    ["records"],
    ["runreader", "runfolder", "batch"],
    ["overlays", "merge", "predictions", "published", "metrics"],
    ["evaluate", "export", "laboratory", "fit"],
    ["report", "demo", "bench"],
    ["cli", "__main__"],
]
MATHS = ["settings", "geometry", "regions", "features", "graph", "methods", "objects"]


def top(name):
    return name.split(".")[0]


def level(name):
    return next((n for n, layer in enumerate(LAYERS) if top(name) in layer), None)


def imports(path):
    """Yield the modules that a file imports at run time, those inside functions included."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("name", [name for name in MODULES if name != "__init__"])
def test_every_module_has_its_layer_and_imports_downwards(name):
    assert level(name) is not None, f"{name} has no layer in this test"
    for imported in imports(MODULES[name]):
        if imported.startswith("lostreg."):
            below = imported.removeprefix("lostreg.")
            assert level(below) <= level(name), f"{name} imports {below}, which stands above it"


@pytest.mark.parametrize("name", [name for name in MODULES if top(name) in MATHS])
def test_the_maths_knows_no_files_no_timm_no_command_line(name):
    forbidden = {"timm", "pathlib", "argparse", "PIL", "huggingface_hub", "os", "json"} - (
        {"json"} if name == "settings" else set()
    )
    assert not {imported.split(".")[0] for imported in imports(MODULES[name])} & forbidden


def test_the_probe_sees_imports():
    assert "torch" in set(imports(MODULES["graph"]))
    assert "lostreg.settings" in set(imports(MODULES["graph"]))


def test_no_device_is_named_in_the_code():
    for path in MODULES.values():
        assert ".cuda()" not in path.read_text()


def test_public_names_are_sorted_importable_and_as_published():
    published = json.loads((Path(__file__).parent / "api_surface.json").read_text())
    assert lostreg.__all__ == sorted(lostreg.__all__) == published
    assert all(getattr(lostreg, name) is not None for name in published)
    with pytest.raises(AttributeError):
        _ = lostreg.nosuch
