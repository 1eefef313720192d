"""``lostreg fit`` as a user runs it, with the real ViT on small made pictures."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from heads_by_hand import head_of
from PIL import Image

from lostreg.backbone import Backbone
from lostreg.catalogue import OFFLINE_MODEL
from lostreg.cli import main
from lostreg.heads import read_head

pytestmark = pytest.mark.weights
MODEL = ("--model", OFFLINE_MODEL, "--device", "cpu", "--quiet")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Return a folder of 12 pictures of 12 x 10 patches: a textured ellipse on a ground of another colour."""
    folder = tmp_path_factory.mktemp("photos")
    y, x = np.mgrid[:140, :168]
    for index in range(12):
        generator = np.random.default_rng(index)
        cx, cy = generator.uniform(60, 108), generator.uniform(55, 85)
        inside = ((x - cx) / generator.uniform(20, 34)) ** 2 + ((y - cy) / generator.uniform(18, 30)) ** 2 < 1
        ground, colour = generator.integers(0, 256, size=(2, 3))
        rgb = np.where(inside[..., None], colour, ground) + generator.integers(-20, 20, size=(140, 168, 1))
        Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).save(folder / f"{index:02}.png")
    return folder


@pytest.fixture(autouse=True)
def _own_cache(offline_weights, tmp_path_factory, monkeypatch):
    """Keep features in a folder of the test, the weights where they are."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "weights").symlink_to(offline_weights.path.parent)
    monkeypatch.setenv("LOSTREG_CACHE", str(folder))


@pytest.fixture
def forwards(monkeypatch):
    """Return a list that grows by one with every picture that goes through the ViT."""
    counted, extract = [], Backbone.extract

    def counting(self, inputs, *arguments):
        counted.extend(inputs)
        return extract(self, inputs, *arguments)

    monkeypatch.setattr(Backbone, "extract", counting)
    return counted


def fit(*arguments):
    return main(["fit", *map(str, arguments), *MODEL])


def test_a_folder_becomes_a_head_that_discover_reads(photos, tmp_path, forwards, capsys):
    out = tmp_path / "out"
    command = (photos, "--output", out, "--epochs", 2, "--composites", 4)
    assert fit(*command, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((out / "fit.json").read_text())
    counts = report["provenance"]["counts"]
    assert (counts["listed"], counts["distinct"], counts["fitted"], counts["held_out"]) == (12, 12, 11, 1)
    assert len(forwards) == 12 + counts["composites"]
    assert len(report["losses"]) == 2
    stages = {"features", "logistic", "targets", "composites", "training", "box scorer", "held out"}
    assert set(report["seconds"]) == stages
    assert len(report["scorer_losses"]) == (3 if counts["pictures_of_box_scorer"] else 0)
    head = read_head(out / "head.safetensors")
    assert (head.sha256, head.info.kind, head.info.dim) == (report["sha256"], "vote", 384)
    with Image.open(out / "loss.png") as picture:
        assert picture.size == (720, 420)
    assert main(["discover", str(photos / "00.png"), "--head", str(out / "head.safetensors"), *MODEL]) == 0
    assert "00.png  [" in capsys.readouterr().out
    forwards.clear()
    assert fit(*command, "--overwrite") == 0
    assert forwards == []  # all from the cache
    assert read_head(out / "head.safetensors").sha256 == head.sha256


def test_a_stopped_fit_leaves_no_head_and_goes_on_where_it_was(photos, tmp_path, monkeypatch, forwards):
    out = tmp_path / "out"
    command = (photos, "--output", out, "--kind", "logistic")
    extract = Backbone.extract

    def stops(self, *arguments):
        if len(forwards) == 5:
            raise KeyboardInterrupt
        return extract(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Backbone, "extract", stops)
        assert fit(*command) == 130
    assert not out.exists()
    forwards.clear()
    assert fit(*command) == 0
    assert len(forwards) == 12 - 5
    assert sorted(path.name for path in out.iterdir()) == ["fit.json", "head.safetensors", "loss.png"]
    assert read_head(out / "head.safetensors").info.kind == "logistic"


def test_bad_pictures_cost_themselves(photos, tmp_path, capsys):
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    (folder / "text.jpg").write_text("no picture")
    assert fit(folder, "--output", tmp_path / "out", "--kind", "logistic") == 3
    assert "not-an-image" in capsys.readouterr().err
    assert (tmp_path / "out" / "head.safetensors").exists()


def three(photos, folder):
    for name in ("00.png", "01.png", "02.png"):
        shutil.copy(photos / name, folder)


def identical(photos, folder):
    for index in range(20):
        shutil.copy(photos / "00.png", folder / f"{index}.png")


REFUSED = {
    "no pictures": (lambda photos, folder: None, "No pictures found"),
    "three pictures": (three, "at least 10 distinct pictures, but there are 3"),
    "identical pictures": (identical, "at least 10 distinct pictures, but there are 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_too_little_to_fit_on_is_refused_in_a_sentence(case, photos, tmp_path, capsys):
    fill, said = REFUSED[case]
    folder = tmp_path / "few"
    folder.mkdir()
    fill(photos, folder)
    assert fit(folder, "--output", tmp_path / "out") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_head_that_is_there_is_kept(photos, tmp_path, capsys):
    (tmp_path / "head.safetensors").write_text("mine")
    assert fit(photos, "--output", tmp_path) == 6
    assert "use --overwrite" in capsys.readouterr().err
    assert (tmp_path / "head.safetensors").read_text() == "mine"


USAGE = [((), "Name either"), (("--exclude-split", "a"), "Name either"), (("--epochs", "0", "x"), "--epochs")]


@pytest.mark.parametrize(("arguments", "said"), USAGE)
def test_wrong_usage_is_said(arguments, said, tmp_path, capsys):
    assert fit(*arguments, "--output", tmp_path / "out") == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "fitted on dino-s16"),
        (("--method", "lost"), "--head is read by --method fitted alone"),
        (("--quality", "best"), "leave out --method and --head"),
    ],
)
def test_a_head_that_discover_cannot_use_is_refused(options, said, photos, tmp_path, capsys):
    path = tmp_path / "head.safetensors"
    path.write_bytes(head_of("vote", weights_sha256="0" * 64, model="dino-s16")[1])
    code = main(["discover", str(photos), "--head", str(path), *options, *MODEL])
    assert code == (2 if options else 4)
    assert said in capsys.readouterr().err
