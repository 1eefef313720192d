"""What the demo keeps, and for how long; archives; what reproduces a result; all without a server."""

from __future__ import annotations

import io
import sys
import tarfile
import threading
import types
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_vits import small_backbone
from support import picture

pytest.importorskip("gradio", reason="the demo needs Gradio: pip install 'lostreg[demo]'")
from demo_stub import stub, stub_models

from lostreg.demo import archives, gpu, limits, reproduce
from lostreg.demo.archives import pictures_of
from lostreg.demo.batch import DOWNLOADS, run
from lostreg.demo.engine import Engine
from lostreg.demo.maps import explanations, patch_at, similarity_at, token_maps
from lostreg.demo.models import Models
from lostreg.demo.uploads import Upload
from lostreg.demo.views import drawn, look
from lostreg.errors import ImageError, UsageError
from lostreg.export import FORMATS
from lostreg.settings import fingerprint, with_overrides

MODEL = "dinov2-s14"


@pytest.fixture
def engine():
    return Engine(stub_models())


def upload(path):
    return Upload(path, path.name)


def test_a_move_of_any_slider_runs_no_vit(engine, tmp_path):
    photo = upload(picture(tmp_path / "a.png"))
    for settings in ({"objects": 1}, {"objects": 5}, {"k_patches": 7}, {"offset": "q0.3"}, {"feature": "q"}):
        look(engine, photo, MODEL, **settings)
    assert engine.forwards == 1
    look(engine, photo, "dino-s16")
    assert engine.forwards == 2


def test_eight_at_once_with_one_picture_run_one_vit(engine, tmp_path):
    content = picture(tmp_path / "a.png").read_bytes()
    threads = [threading.Thread(target=engine.analyse, args=(content, MODEL)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.forwards == 1


def test_the_least_used_picture_makes_room(tmp_path):
    contents = [picture(tmp_path / f"{width}.png", (width, 84)).read_bytes() for width in (84, 98, 112)]
    one = Engine(stub_models()).analyse(contents[2], MODEL)[0].nbytes
    engine = Engine(stub_models(), kept_bytes=int(2.5 * one))
    for number in (0, 1, 0, 2):  # 1 is the oldest when 2 comes
        engine.analyse(contents[number], MODEL)
    assert [engine.analyse(contents[number], MODEL)[1] for number in (0, 2, 1)] == [False, False, True]


def test_a_picture_larger_than_all_memory_is_still_answered(tmp_path):
    engine = Engine(stub_models(), kept_bytes=1)
    assert look(engine, upload(picture(tmp_path / "a.png")), MODEL).record.objects


def test_models_are_loaded_once_and_two_stay(monkeypatch):
    loaded = []

    def load(name):
        loaded.append(name)
        return stub(name)

    models = Models(("dinov2-s14", "dino-s16", "dino-s8"), load)
    for name in ("dino-s16", "dinov2-s14", "dino-s8", "dinov2-s14", "dino-s16"):
        assert models.get(name).weights.entry.name == name
    assert loaded == ["dinov2-s14", "dino-s16", "dino-s8", "dino-s16"]
    with pytest.raises(UsageError, match="must be one of"):
        models.get("dino-b16")


def test_without_a_name_the_cached_models_are_offered(monkeypatch):
    monkeypatch.setattr("lostreg.demo.models.is_cached", lambda entry: entry.name in {"dino-s16", "dinov2-s14"})
    assert Models((), stub).names == ["dinov2-s14", "dino-s16"]


def test_a_large_picture_is_shown_small_and_recorded_in_its_own_pixels(engine, tmp_path):
    view = look(engine, upload(picture(tmp_path / "a.png", (3000, 2000))), MODEL)
    assert view.analysed.rgb.shape == (683, 1024, 3)
    assert drawn(view).shape == (683, 1024, 3)
    assert (view.record.width, view.record.height) == (3000, 2000)
    assert drawn(view).tobytes() != view.analysed.rgb.tobytes()


def test_maps_have_names_and_the_clicked_patch_is_most_like_itself(engine, tmp_path):
    view = look(engine, upload(picture(tmp_path / "a.png", (280, 210))), MODEL, method="lost")
    names = [name for _, name in explanations(view.analysed, view.discovery)]
    assert names[:3] == ["degree", "seed similarity", "expansion"]
    norms = view.analysed.features.norms
    assert names[3] == f"token norms, {float(norms.min()):.0f} to {float(norms.max()):.0f}"
    assert names[4:] == ["CLS attention", "register 1 attention", "register 2 attention"]
    row, column = patch_at(view.analysed.features.frame, 168.0, 84.0)
    assert (row, column) == (6, 12)
    settings = with_overrides(view.discovery.settings, offset="mean")
    values = similarity_at(view.analysed, settings, (168.0, 84.0))
    vectors = view.analysed.features.tokens["k"]
    centred = vectors - vectors.mean(dim=0)
    expected = (centred @ centred[row * 20 + column]).reshape(15, 20)
    np.testing.assert_allclose(values, expected.numpy(), rtol=1e-4, atol=1e-6)
    assert patch_at(view.analysed.features.frame, 1e9, -5.0) == (0, 19)


def test_the_maps_of_a_register_vit_name_its_registers(tmp_path):
    """From one forward of a real, if small, ViT with four registers; brighter is what timm's own tokens say."""
    backbone = small_backbone(reg_tokens=4)
    seen = backbone.model.blocks[-1].register_forward_hook(lambda m, i, o: behind.append(o))
    behind = []
    engine = Engine(Models(("dinov2-s14",), lambda name: stub(name, backbone)))
    view = look(engine, upload(picture(tmp_path / "a.png", (64, 48))), "dinov2-s14", method="lost")
    named = {name.split(",")[0]: values for name, values in token_maps(view.analysed.features).items()}
    assert list(named) == ["token norms", "CLS attention", *(f"register {n} attention" for n in range(1, 5))]
    assert {values.shape for values in named.values()} == {view.discovery.frame.grid_hw}
    np.testing.assert_allclose(named["token norms"].ravel(), behind[0][0, 5:].norm(dim=1).numpy(), rtol=1e-5)
    for settings in ({"objects": 3}, {"offset": "q0.3"}, {"feature": "v"}):
        again = look(engine, upload(tmp_path / "a.png"), "dinov2-s14", method="lost", **settings)
        assert len(explanations(again.analysed, again.discovery)) == 9
    seen.remove()
    assert len(behind) == engine.forwards == 1


def test_records_carry_the_fingerprint_of_the_command_line():
    discoverer = stub(MODEL)
    changed = with_overrides(discoverer.settings, objects=3, offset="q0.4")
    ours = reproduce.settings_fingerprint(changed, discoverer)
    discoverer.settings = changed
    assert ours == fingerprint(discoverer.identity())


def test_the_python_that_is_shown_runs(monkeypatch, capsys, tmp_path):
    discoverer = stub(MODEL)
    settings = with_overrides(discoverer.settings, objects=2, offset="q0.4")
    asked = {}

    def discoverer_class(**arguments):
        asked.update(arguments)
        return lambda name: types.SimpleNamespace(boxes_xyxy=name, scores=None)

    monkeypatch.setitem(sys.modules, "lostreg", types.SimpleNamespace(Discoverer=discoverer_class))
    exec(reproduce.python(settings, discoverer, "it's.jpg"))
    assert asked == {"model": MODEL, **settings.to_json()}
    assert "it's.jpg" in capsys.readouterr().out


def test_on_spaces_the_vit_is_what_borrows_the_gpu(monkeypatch, tmp_path):
    lent = []

    def lend(duration):
        def decorate(function):
            return lambda *arguments: lent.append(duration) or function(*arguments)

        return decorate

    monkeypatch.setattr(gpu, "GPU", lend)
    engine = Engine(stub_models())
    for objects in (1, 2):
        look(engine, upload(picture(tmp_path / "a.png")), MODEL, objects=objects)
    assert lent == [gpu.GPU_SECONDS]


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return Upload(path, path.name)


def tarred(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return Upload(path, path.name)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # such archives exist
@pytest.mark.parametrize(("pack", "suffix"), [(zipped, ".zip"), (tarred, ".tar.gz"), (tarred, ".TGZ")])
def test_archives_give_their_pictures_under_harmless_keys(tmp_path, pack, suffix):
    content = picture(tmp_path / "a.png").read_bytes()
    names = ["a.png", "sub/b.PNG", "../../c.png", "/etc/d.png", "a.png", "__MACOSX/._a.png", "readme.txt", "x\\e.png"]
    items = pictures_of([pack(tmp_path / f"p{suffix}", [(name, content) for name in names])])
    assert [item.key for item in items] == ["a.png", "sub/b.PNG", "c.png", "etc/d.png", "a-2.png", "x/e.png"]
    assert all(item.content == content for item in items)


def test_an_archive_that_unpacks_to_too_much_is_refused_early(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 3_000_000)
    bombs = [(f"{number}.png", bytes(1_000_000)) for number in range(5)]
    hidden = [("notes.txt", bytes(9_000_000)), ("a.png", b"x")]
    for given in (
        zipped(tmp_path / "a.zip", bombs),
        tarred(tmp_path / "a.tgz", bombs),
        tarred(tmp_path / "b.tgz", hidden),
    ):
        with pytest.raises(UsageError, match="unpack to more than"):
            pictures_of([given])


def test_a_member_that_is_too_large_costs_only_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_PICTURE_BYTES", 1000)
    items = pictures_of([zipped(tmp_path / "a.zip", [("big.png", bytes(5000)), ("small.png", b"x")])])
    assert isinstance(items[0].content, ImageError)
    assert items[1].content == b"x"


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_damaged_archives_get_a_sentence(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04 this is no archive" * 50)
    with pytest.raises(UsageError, match=f"The archive {name} is damaged"):
        pictures_of([Upload(tmp_path / name, name)])


def test_too_many_and_no_pictures_are_refused(tmp_path):
    many = [(f"{number}.png", b"x") for number in range(limits.MAX_BATCH_PICTURES + 1)]
    with pytest.raises(UsageError, match="50 pictures at a time"):
        pictures_of([zipped(tmp_path / "a.zip", many)])
    with pytest.raises(UsageError, match="No pictures found"):
        pictures_of([])


def test_a_batch_costs_a_bad_picture_only_itself_and_ends_with_downloads(engine, tmp_path):
    content = picture(tmp_path / "a.png").read_bytes()
    members = [("a.png", content), ("bad.png", b"nothing"), ("sub/a.png", content)]
    items = pictures_of([zipped(tmp_path / "a.zip", members)])
    (tmp_path / "work").mkdir()
    states = list(run(engine, items, MODEL, {"objects": 2}, tmp_path / "work"))
    assert len(states) == 4
    batch = states[-1]
    assert [row[0] for row in batch.rows] == ["a.png", "bad.png", "sub/a.png"]
    assert "not a picture" in batch.rows[1][-1]
    assert [name for _, name in batch.pictures] == ["a.png", "sub/a.png"]
    assert len(batch.downloads) == len(DOWNLOADS) <= len(FORMATS)


def test_kept_features_lie_in_main_memory(engine, tmp_path):
    analysed, _ = engine.analyse(picture(tmp_path / "a.png").read_bytes(), MODEL)
    assert all(values.device == torch.device("cpu") for values in analysed.features.tokens.values())
    assert analysed.nbytes > replace(analysed, rgb=analysed.rgb[:1]).nbytes > 0
