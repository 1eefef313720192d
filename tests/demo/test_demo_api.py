"""The named endpoints through gradio_client: typed answers, cheap repeats, refusals in a sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
from demo_pictures import bomb, encoded, photograph
from PIL import Image
from support import picture

from lostreg.catalogue import OFFLINE_MODEL
from lostreg.records import Record, decode_mask

gradio_client = pytest.importorskip("gradio_client", reason="the demo needs Gradio: pip install 'lostreg[demo]'")
from gradio_client import handle_file  # noqa: E402
from gradio_client.exceptions import AppError  # noqa: E402

MODEL = "dinov2-s14"


@pytest.fixture
def photo(tmp_path):
    return picture(tmp_path / "disc.png", (280, 210))


def ask(client, path, **settings):
    return client.predict(picture=handle_file(str(path)), api_name="/discover", **settings)


def refusal(client, path, **settings):
    with pytest.raises(AppError) as caught:
        ask(client, path, **settings)
    return str(caught.value)


def test_the_answer_is_a_record(client, photo):
    answer = ask(client, photo, objects="3")
    assert answer["path"] is None
    record = Record.from_json(answer | {"path": "disc.png"})
    assert (record.key, record.width, record.height, record.orientation) == ("disc.png", 280, 210, 1)
    assert record.to_json() == answer | {"path": "disc.png"}
    assert 1 <= len(record.objects) <= 3
    for each in record.objects:
        x0, y0, x1, y1 = each.bbox_xyxy
        assert 0 <= x0 < x1 <= 280
        assert 0 <= y0 < y1 <= 210
        assert 0 <= each.score <= 1
    json.dumps(answer, allow_nan=False)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_the_mask_is_that_of_the_picture(client, photo):
    found = ask(client, photo)["objects"][0]
    mask = decode_mask(found["mask"])
    assert mask.shape == (210, 280)
    ys, xs = np.nonzero(mask)
    assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == found["bbox_xyxy"]


def test_the_quality_chooses_the_method_as_on_the_command_line(client, photo):
    fast, preset = (ask(client, photo, **chosen) for chosen in ({"quality": "fast"}, {}))
    assert fast["settings"] == preset["settings"]
    assert fast["objects"] == preset["objects"]
    best, fitted = (
        ask(client, photo, model=OFFLINE_MODEL, **chosen) for chosen in ({"quality": "best"}, {"method": "fitted"})
    )
    assert best["objects"] == fitted["objects"]
    assert best["settings"] == fitted["settings"] != preset["settings"]


def test_the_vit_runs_once_per_picture_and_model(client, tmp_path):
    path = picture(tmp_path / "once.png", (294, 210))
    ran = ["vit" in ask(client, path, objects=str(count))["ms"] for count in (1, 2, 3)]
    ran += ["vit" in ask(client, path, feature=feature, offset="mean")["ms"] for feature in "kqvx"]
    assert ran == [True] + [False] * 6
    assert "vit" in ask(client, path, model="dino-s16")["ms"]
    assert "vit" not in ask(client, path, model="dino-s16", k_patches="0.5")["ms"]


def test_the_same_picture_under_another_name_keeps_its_name(client, photo, tmp_path):
    other = tmp_path / "other.png"
    other.write_bytes(photo.read_bytes())
    answers = [ask(client, path) for path in (photo, other)]
    assert [each["key"] for each in answers] == ["disc.png", "other.png"]
    assert answers[0]["objects"] == answers[1]["objects"]


def test_every_endpoint_is_described(client):
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/discover", "/models"}
    assert named["/discover"]["description"].startswith("Find the objects of one picture")
    models = client.predict(api_name="/models")
    assert [each["name"] for each in models] == ["dinov2-s14", "dino-s16", "dinov2-s14-imgfocus"]
    assert all(each["licence"] and each["why"] and each["preset"]["method"] for each in models)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"model": "nosuch"}, "model must be one of"),
        ({"model": "dinov2-g14"}, "model must be one of"),
        ({"model": "/etc/passwd"}, "model must be one of"),
        ({"quality": "finest"}, "--quality must be one of"),
        ({"quality": "best", "method": "lost"}, "--quality chooses method and head itself"),
        ({"quality": "best"}, "No fitted head comes with lostreg for dinov2-s14"),
        ({"method": "nosuch"}, "--method must be one of"),
        ({"feature": "z"}, "--feature must be one of"),
        ({"offset": "much"}, "--offset must be"),
        ({"offset": "q1.5"}, "--offset must be"),
        ({"offset": "inf"}, "--offset must be"),
        ({"k_patches": "0"}, "--k-patches must be"),
        ({"k_patches": "many"}, "--k-patches must be"),
        ({"objects": "0"}, "--objects must be"),
        ({"objects": "-1"}, "--objects must be"),
        ({"objects": "1e9"}, "--objects must be"),
        ({"objects": None}, "--objects must be"),
        ({"objects": 3.5}, "--objects must be"),
        ({"method": ["lost"]}, "--method must be one of"),
        ({"offset": {"a": 1}}, "--offset must be"),
    ],
)
def test_values_out_of_range_are_refused_in_a_sentence(client, photo, settings, sentence):
    assert sentence in refusal(client, photo, **settings)
    assert ask(client, photo)["objects"]


REFUSED = {
    "text.jpg": (b"this is no picture", "not a picture"),
    "empty.png": (b"", "empty"),
    "page.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    "cut.jpg": (photograph()[:20_000], "damaged or cut short"),
    "cut.png": (photograph("PNG")[:50_000], "damaged or cut short"),
    "bomb.png": (bomb(12_000), "more than 36 million pixels"),
    "bomb20.png": (bomb(20_000), "pixels"),
    "bomb40.png": (bomb(40_000), "pixels"),
    "bomb.gif": (bomb(65_000, "GIF"), "pixels"),
    "bomb.bmp": (bomb(30_000, "BMP"), "pixels"),
    "panorama.png": (encoded("L", (20_000, 2_000)), "more than 36 million pixels"),
    "photos.zip": (b"PK\x03\x04" + bytes(100), "not a picture"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_picture_gets_a_sentence_and_the_next_one_an_answer(client, photo, tmp_path, name):
    content, sentence = REFUSED[name]
    path = tmp_path / name
    path.write_bytes(content)
    said = refusal(client, path)
    assert sentence in said
    assert "/" not in said.replace("tar/zip", ""), f"a path of the server shows: {said}"
    assert "Traceback" not in said
    assert ask(client, photo)["objects"]


ACCEPTED = {
    "animated.gif": (encoded("P", suffix="GIF", save_all=True, append_images=[Image.new("P", (60, 40), 3)]), (60, 40)),
    "cmyk.jpg": (encoded("CMYK", suffix="JPEG"), (60, 40)),
    "grey16.png": (encoded("I;16"), (60, 40)),
    "one.png": (encoded("RGB", (1, 1)), (1, 1)),
    "wide.png": (encoded("L", (20_000, 60)), (20_000, 60)),
    "alpha.webp": (encoded("RGBA", suffix="WEBP"), (60, 40)),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_unusual_pictures_are_answered_in_their_own_pixels(client, tmp_path, name):
    content, (width, height) = ACCEPTED[name]
    path = tmp_path / name
    path.write_bytes(content)
    answer = ask(client, path)
    assert (answer["width"], answer["height"]) == (width, height)
    for each in answer["objects"]:
        assert each["bbox_xyxy"][2] <= width
        assert each["bbox_xyxy"][3] <= height


def test_a_picture_is_needed(client):
    with pytest.raises(AppError, match=r"A picture is needed\."):
        client.predict(picture=None, api_name="/discover")
