"""The image door: every mode in, every kind of damage out as a sentence."""

from __future__ import annotations

import io
import os
import struct
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageOps
from support import picture

from lostreg.errors import ImageError
from lostreg.images import MAX_PIXELS, as_photograph, jpeg_fraction, read_photograph, read_size

MODES = [("1", "png"), ("L", "png"), ("LA", "png"), ("P", "png"), ("PA", "tif"), ("RGB", "jpg"), ("RGBA", "png")]
MODES += [("CMYK", "jpg"), ("YCbCr", "jpg"), ("RGB", "webp"), ("RGB", "bmp"), ("P", "gif"), ("LAB", "tif")]


@pytest.mark.parametrize(("mode", "suffix"), MODES)
def test_every_mode_becomes_rgb(tmp_path, mode, suffix):
    if mode == "PA":
        path = tmp_path / "a.tif"
        picture(tmp_path / "base.png", mode="P")
        Image.open(tmp_path / "base.png").convert("PA").convert("LA").save(path)
    elif mode == "LAB":
        from PIL import ImageCms

        path = tmp_path / "a.tif"
        rgb = Image.open(picture(tmp_path / "base.png"))
        ImageCms.profileToProfile(
            rgb, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        ).save(path)
    else:
        path = picture(tmp_path / f"a.{suffix}", mode=mode)
    photograph = read_photograph(path)
    assert photograph.rgb.shape == (60, 80, 3)
    assert photograph.rgb.dtype == np.uint8
    assert photograph.rgb[24, 48].mean() > photograph.rgb[50, 5].mean()  # the disc is brighter than the ground


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_the_header_tells_the_size_that_decoding_gives(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = picture(tmp_path / f"a.{suffix}", exif=exif)
    for upright in (True, False):
        assert read_size(path, upright=upright) == read_photograph(path, upright=upright).wh


def test_what_is_no_picture_has_no_size(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture")
    os.mkfifo(tmp_path / "pipe.jpg")
    names = ("empty.jpg", "text.jpg", "pipe.jpg", "none.jpg", "a\0.jpg", "")
    assert [read_size(tmp_path / name) for name in names] == [None] * len(names)


def test_16_bit_grey_is_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, axis=0)
    for name in ("a.png", "a.tif"):
        Image.fromarray(ramp).save(tmp_path / name)
        rgb = read_photograph(tmp_path / name).rgb
        assert np.abs(rgb[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_float_pictures_are_stretched_even_with_values_that_are_not_finite(tmp_path):
    values = np.array([[0.25, 0.5], [np.nan, 0.75]], dtype=np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert read_photograph(tmp_path / "a.tif").rgb[:, :, 0].tolist() == [[0, 128], [0, 255]]
    Image.fromarray(np.full((2, 2), 7, dtype=np.float32)).save(tmp_path / "flat.tif")
    assert read_photograph(tmp_path / "flat.tif").rgb.max() == 0


def test_transparency_is_laid_over_white(tmp_path):
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert (read_photograph(tmp_path / "a.png").rgb == 255).all()


def test_first_frame_of_an_animation_counts(tmp_path):
    frames = [Image.new("P", (9, 9), color) for color in (1, 2, 3)]
    frames[0].putpalette([0, 0, 0, 250, 0, 0, 0, 250, 0, 0, 0, 250])
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_photograph(tmp_path / "a.gif").rgb[0, 0].tolist() == [250, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_exif_orientation_is_applied_unless_the_stored_frame_is_asked_for(tmp_path, orientation, suffix):
    path, exif = tmp_path / f"a.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    stored = np.zeros((40, 60, 3), dtype=np.uint8)
    stored[:10, :20] = 255
    Image.fromarray(stored).save(path, exif=exif)
    # where the bright top left corner is displayed, by the EXIF 2.3 definition of each value
    corners = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}
    photograph = read_photograph(path)
    assert photograph.orientation == orientation
    assert photograph.wh == ((60, 40) if orientation < 5 else (40, 60))
    row = 0 if corners[orientation][0] == "t" else -1
    column = 0 if corners[orientation][1] == "l" else -1
    assert photograph.rgb[row, column, 0] > 200
    assert photograph.rgb[-1 - row, -1 - column, 0] < 50
    raw = read_photograph(path, upright=False)
    assert raw.wh == (60, 40)
    assert raw.rgb[0, 0, 0] > 200


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3000, 1)])
def test_extreme_shapes_are_read(tmp_path, size):
    assert read_photograph(picture(tmp_path / "a.png", size)).wh == size


def bomb(width, height):
    """Return a valid one-bit PNG of zeros that is tiny on disk."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    body = b"".join(packer.compress(row * 100) for _ in range(height // 100)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [12_000, 20_000])
def test_a_small_file_that_claims_gigabytes_is_refused_from_its_header(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(side, side))
    assert path.stat().st_size < 60_000
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(ImageError) as caught:
        read_photograph(path)
    seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.reason == "too-large"
    assert seconds < 0.5
    assert peak < 5_000_000


def test_the_limit_can_be_moved(tmp_path):
    path = picture(tmp_path / "a.png", (100, 100))
    assert read_photograph(path, max_pixels=10_000).wh == (100, 100)
    with pytest.raises(ImageError, match="raise the limit"):
        read_photograph(path, max_pixels=9_999)
    assert MAX_PIXELS > 8160 * 6144  # a 50 megapixel camera


@pytest.mark.parametrize(
    ("wh", "needed_side", "fraction"),
    [
        ((4000, 3000), None, 1),
        ((2559, 1), 640, 1),
        ((2560, 1920), 640, 2),
        ((3000, 5119), 640, 2),
        ((5120, 100), 640, 4),
        ((10_240, 10_240), 640, 8),
        ((65_535, 100), 1, 8),
    ],
)
def test_a_fraction_leaves_the_longer_side_twice_what_is_needed(wh, needed_side, fraction):
    assert jpeg_fraction(wh, needed_side) == fraction


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_much_larger_jpeg_is_decoded_at_a_fraction_and_keeps_its_size(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = picture(tmp_path / "a.jpg", (1003, 600), quality=95, exif=exif)
    whole = read_photograph(path, upright=upright)
    part = read_photograph(path, upright=upright, needed_side=125)
    assert (part.wh, part.orientation) == (whole.wh, orientation)
    assert sorted(part.rgb.shape) == [3, 150, 251]  # a quarter, rounded up
    averages = Image.fromarray(whole.rgb).resize((part.rgb.shape[1], part.rgb.shape[0]), Image.Resampling.BOX)
    assert np.abs(part.rgb.astype(int) - np.asarray(averages)).mean() < 3


@pytest.mark.parametrize(("name", "wh"), [("a.png", (1000, 600)), ("a.jpg", (499, 300)), ("thin.jpg", (1000, 1))])
def test_all_pixels_of_other_pictures_are_decoded(tmp_path, name, wh):
    photograph = read_photograph(picture(tmp_path / name, wh), needed_side=125)
    assert (photograph.rgb.shape[1], photograph.rgb.shape[0]) == photograph.wh == wh


def test_a_cut_jpeg_is_refused_at_a_fraction_too(tmp_path):
    path = picture(tmp_path / "a.jpg", (1000, 600))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ImageError, match="damaged or cut short"):
        read_photograph(path, needed_side=60)


@pytest.mark.parametrize("pillows", [5_000, 9_000])  # below half of the picture, where Pillow refuses; else it warns
def test_our_limit_counts_and_pillows_is_left_as_it_was(tmp_path, monkeypatch, pillows):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows)
    path = picture(tmp_path / "a.png", (101, 100))
    with ThreadPoolExecutor(8) as readers:
        assert {read.wh for read in readers.map(read_photograph, [path] * 64)} == {(101, 100)}
    with pytest.raises(ImageError, match="101 x 100 pixels"):
        read_photograph(path, max_pixels=10_000)
    assert pillows == Image.MAX_IMAGE_PIXELS


def jpeg_bytes():
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


DAMAGED = {
    "empty": (b"", "empty"),
    "text": (b"this is not a picture\n" * 20, "not-an-image"),
    "cut in half": (jpeg_bytes()[: len(jpeg_bytes()) // 2], "damaged"),
    "header only": (jpeg_bytes()[:30], None),
    "pdf": (b"%PDF-1.4\n" + b"x" * 500, "not-an-image"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not-an-image"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_a_sentence_that_names_the_file(tmp_path, name):
    content, reason = DAMAGED[name]
    path = tmp_path / f"{name}.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_photograph(path)
    assert str(path) in str(caught.value)
    assert reason is None or caught.value.reason == reason


def test_missing_files_folders_and_odd_names_are_refused(tmp_path):
    for path, reason in [(tmp_path / "no.jpg", "missing"), (tmp_path, "unreadable"), ("a\0b.jpg", "unreadable")]:
        with pytest.raises(ImageError) as caught:
            read_photograph(path)
        assert caught.value.reason == reason


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    import os

    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="not a regular file"):
        read_photograph(tmp_path / "a.jpg")


@pytest.mark.filterwarnings("ignore")  # Pillow warns of odd metadata; what counts here is what is raised
def test_mutated_pictures_are_read_or_refused_and_nothing_else(tmp_path):
    generator = np.random.default_rng(0)
    originals = []
    for suffix in ("jpg", "png", "webp", "tif", "bmp", "gif"):
        originals.append(picture(tmp_path / f"a.{suffix}", (48, 36)).read_bytes())
    refused = 0
    for trial in range(1800):
        content = bytearray(originals[trial % len(originals)])
        for _ in range(int(generator.integers(1, 8))):
            content[int(generator.integers(len(content)))] = int(generator.integers(256))
        if trial % 3 == 0:
            content = content[: int(generator.integers(1, len(content)))]
        try:
            read_photograph(bytes(content), max_pixels=1_000_000)
        except ImageError:
            refused += 1
    assert 300 < refused < 1800


@pytest.mark.parametrize("shape", [(0, 4, 3), (4, 4), (4, 4, 4), (2, 4, 4, 3)])
def test_arrays_that_are_no_rgb_picture_are_refused(shape):
    with pytest.raises(ImageError, match="RGB array"):
        as_photograph(np.zeros(shape, dtype=np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_odd_tag_beside_the_orientation_costs_nothing(tmp_path, orientation):
    """XResolution as a text instead of a ratio, as some programs write it."""
    plain = picture(tmp_path / "plain.jpg").read_bytes()
    entries = struct.pack(">HHIHHHHI4sI", 0x112, 3, 1, orientation, 0, 0x11A, 2, 4, b"72\0\0", 0)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + entries
    (tmp_path / "odd.jpg").write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])
    proper = Image.Exif()
    proper[0x112] = orientation
    whole = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(proper.tobytes()) + 2) + proper.tobytes() + plain[2:]
    for upright in (True, False):
        odd = read_photograph(tmp_path / "odd.jpg", upright=upright)
        known = read_photograph(whole, upright=upright)
        assert odd.orientation == known.orientation == orientation
        np.testing.assert_array_equal(odd.rgb, known.rgb)
    with Image.open(io.BytesIO(whole)) as image:
        np.testing.assert_array_equal(read_photograph(whole).rgb, np.asarray(ImageOps.exif_transpose(image)))


def test_whatever_a_decoder_raises_is_damage(tmp_path, monkeypatch):
    def fail(image):
        raise TypeError("fill character must be a unicode character")

    monkeypatch.setattr(Image.Image, "getexif", fail)
    with pytest.raises(ImageError, match="damaged or cut short: fill character"):
        read_photograph(picture(tmp_path / "a.jpg"))
