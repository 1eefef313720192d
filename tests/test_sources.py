"""Sources: every way of naming pictures, and stable keys without collisions."""

from __future__ import annotations

import io
import os
import tarfile

import pytest
from support import picture

from lostreg.errors import ImageError, UsageError
from lostreg.images import Photograph
from lostreg.sources import in_shard, list_sources, parse_shard


def keys(*sources, stdin=""):
    listing = list_sources([str(source) for source in sources], io.StringIO(stdin))
    return [item.key for item in listing.items]


@pytest.fixture
def tree(tmp_path):
    for name in ("a.jpg", "b.png", "notes.txt", "sub/a.jpg", "sub/deep/c.JPG", ".hidden.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x") if path.suffix == ".txt" else picture(path)
    (tmp_path / "photos" / "d.jpg").mkdir()
    return tmp_path / "photos"


def test_a_folder_is_searched_in_a_stable_order(tree):
    assert keys(tree) == [".hidden.jpg", "a.jpg", "b.png", "sub/a.jpg", "sub/deep/c.JPG"]


def test_files_globs_lists_and_stdin(tree, monkeypatch):
    assert keys(tree / "a.jpg") == ["a.jpg"]
    monkeypatch.chdir(tree)
    assert keys("**/*.jpg") == ["a.jpg", "sub/a.jpg"]
    (tree / "list.txt").write_text("a.jpg\n\nsub/a.jpg\r\n")
    assert keys("list.txt") == ["a.jpg", "sub/a.jpg"]
    assert keys("-", stdin="b.png\nsub/deep/c.JPG\n") == ["b.png", "sub/deep/c.JPG"]
    listing = list_sources(["list.txt"], io.StringIO())
    assert all(isinstance(item.read(), Photograph) for item in listing.items)


def test_a_list_counts_from_its_own_folder(tree, tmp_path, monkeypatch):
    (tree / "list.txt").write_text("a.jpg\n")
    monkeypatch.chdir(tmp_path)
    assert next(iter(list_sources([str(tree / "list.txt")], io.StringIO()).items)).read().wh == (80, 60)


def test_a_byte_order_mark_is_no_part_of_a_list(tree):
    (tree / "list.txt").write_bytes(b"\xef\xbb\xbfa.jpg\n")
    assert keys(tree / "list.txt") == ["a.jpg"]
    assert keys("-", stdin="\ufeffa.jpg\n") == ["a.jpg"]


def test_a_file_named_twice_is_one_picture_whatever_it_is_called(tree, monkeypatch):
    monkeypatch.chdir(tree.parent)
    (tree.parent / "list.txt").write_text("photos/sub/a.jpg\n")
    assert keys("photos/sub", "list.txt") == ["a.jpg", "deep/c.JPG"]
    assert keys("list.txt", "photos/sub") == ["photos/sub/a.jpg", "deep/c.JPG"]


def test_a_source_that_holds_nothing_is_one_failed_picture_among_others(tree, monkeypatch):
    monkeypatch.chdir(tree)
    (tree / "nothing").mkdir()
    (tree / "empty.txt").touch()
    items = list(list_sources(["nothing", "empty.txt", "a.jpg", "no*.jpg"], io.StringIO()).items)
    assert [item.key for item in items] == ["a.jpg", "nothing", "empty.txt", "no*.jpg"]
    for item in items[1:]:
        with pytest.raises(ImageError, match="No picture is found in"):
            item.read()


def test_links_to_folders_are_searched_but_not_for_ever(tree):
    outside = tree.parent / "outside"
    (outside / "deep").mkdir(parents=True)
    picture(outside / "deep" / "o.jpg")
    (tree / "linked").symlink_to(outside)
    (tree / "up").symlink_to(tree.parent)
    (outside / "deep" / "back").symlink_to(tree)
    found = keys(tree)
    assert "linked/deep/o.jpg" in found
    assert len(found) == 6
    assert "deep/back/a.jpg" in keys(outside)


def test_a_stream_ends_where_a_stop_is_asked_for(tmp_path):
    photo = picture(tmp_path / "a.jpg")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(100):
            archive.add(photo, f"{number}.jpg")
    asked = []
    listing = list_sources([str(tmp_path / "a.tar")], io.StringIO(), stopped=lambda: len(asked) == 3)
    for item in listing.items:
        asked.append(item.key)
        if len(asked) > 20:
            break
    assert 3 <= len(asked) < 10  # what was read ahead may still come
    assert not any(isinstance(item.content, ImageError) for item in listing.items)


def test_an_empty_source_does_not_mean_the_current_folder(tree, monkeypatch):
    monkeypatch.chdir(tree)
    with pytest.raises(UsageError, match="A source is empty"):
        keys("")


def test_what_a_run_drew_is_no_photograph(tree):
    for run in ("run", "foreign"):
        (tree / run / "overlays").mkdir(parents=True)
        picture(tree / run / "overlays" / "a.jpg.jpg")
        picture(tree / run / "mine.jpg")
    for name in ("run.json", "records.jsonl"):
        (tree / "run" / name).touch()
    found = keys(tree)
    assert "run/mine.jpg" in found
    assert "run/overlays/a.jpg.jpg" not in found
    assert "foreign/overlays/a.jpg.jpg" in found
    assert keys(tree / "run" / "overlays") == ["a.jpg.jpg"]


def test_the_same_name_in_two_folders_gets_two_keys(tree, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    picture(other / "a.jpg")
    found = keys(tree, other, tree / "a.jpg", other / "a.jpg")
    assert len(found) == len(set(found)) == 6
    assert found.count("a.jpg") == 1
    assert any(key.endswith("other/a.jpg") for key in found)


def test_keys_do_not_hang_on_where_the_folder_lies(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert keys("sub", "a.jpg") == ["a.jpg", "deep/c.JPG", "a.jpg~"]
    (tree / "other").mkdir()
    picture(tree / "other" / "a.jpg")
    assert keys("sub", "other") == ["a.jpg", "deep/c.JPG", "other/a.jpg"]


def test_a_key_that_collides_with_a_full_path_too_drops_no_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = tmp_path.as_posix().lstrip("/")  # the full path's key, as a relative path of its own
    (tmp_path / "list.txt").write_text(f"{inside}/a.jpg\n{tmp_path}/a.jpg\n")
    items = list(list_sources(["list.txt"], io.StringIO()).items)
    assert len(items) == 2
    assert len({item.key for item in items}) == 2


def test_a_name_that_cannot_be_is_one_failed_picture(tree):
    items = list(list_sources(["x" * 300 + ".jpg", "x" * 300 + ".txt", str(tree)], io.StringIO()).items)
    for item in items[:2]:
        with pytest.raises(ImageError, match="too long"):
            item.read()
    assert len(items) > 2


def test_a_list_that_cannot_be_read_is_one_failed_picture(tree, monkeypatch):
    (tree / "list.txt").write_text("a.jpg\n")

    def closed(*given, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", closed)
    (item,) = list_sources([str(tree / "list.txt")], io.StringIO()).items
    with pytest.raises(ImageError, match="Cannot read the list"):
        item.read()


def test_nothing_found_is_said(tmp_path):
    with pytest.raises(UsageError, match="No pictures found"):
        keys(tmp_path)
    with pytest.raises(UsageError, match="No pictures found"):
        keys("-", stdin="\n\n")


def test_a_missing_path_is_one_failed_picture(tmp_path):
    (item,) = list_sources([str(tmp_path / "no.jpg")], io.StringIO()).items
    with pytest.raises(ImageError, match="No file at"):
        item.read()


def test_a_folder_that_cannot_be_listed_is_one_failed_picture(tree, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    items = list(list_sources([str(tree)], io.StringIO()).items)
    refused = [item for item in items if isinstance(item.content, ImageError)]
    assert len(items) == 5
    assert len(refused) == 1
    with pytest.raises(ImageError, match="Permission denied"):
        refused[0].read()


ODD_NAMES = [
    "new\nline.jpg",
    "-dash.jpg",
    "ü.jpg",
    "u\u0308.jpg",
    "x" * 250 + ".jpg",
    b"caf\xe9.jpg".decode(errors="surrogateescape"),
]


def test_odd_file_names_are_read_and_kept_apart(tmp_path):
    for name in ODD_NAMES:
        picture(tmp_path / name)
    items = list(list_sources([str(tmp_path)], io.StringIO()).items)
    assert len({item.key for item in items}) == len(ODD_NAMES)
    assert all(item.read().wh == (80, 60) for item in items)


def test_link_loops_end(tree):
    (tree / "loop").symlink_to(tree, target_is_directory=True)
    assert len(keys(tree)) == 5


def test_keys_never_lead_out_of_a_folder(tree, monkeypatch):
    monkeypatch.chdir(tree / "sub")
    for key in keys("-", stdin=f"../a.jpg\n{tree}/b.png\n./a.jpg\n../../photos/a.jpg\n"):
        assert not key.startswith("/")
        assert ".." not in key.split("/")


def test_archives_named_twice_or_alike_lose_no_picture_and_double_none(tmp_path, monkeypatch):
    (tmp_path / "inner").mkdir()
    for path in (tmp_path / "a.tar", tmp_path / "inner" / "a.tar"):
        with tarfile.open(path, "w") as archive:
            archive.add(picture(tmp_path / "a.jpg"), "a.jpg")
    (tmp_path / "inner" / "list.txt").write_text("a.tar/a.jpg\n")
    monkeypatch.chdir(tmp_path / "inner")
    assert keys("a.tar", "./a.tar", tmp_path / "inner" / "a.tar") == ["a.tar/a.jpg"]
    assert keys("a.tar", "../a.tar") == ["a.tar/a.jpg", "a.tar/a.jpg~"]
    assert keys("a.tar", "list.txt") == ["a.tar/a.jpg", "a.tar/a.jpg~"]


@pytest.mark.parametrize("count", range(1, 17))
def test_shards_partition_whatever_the_order(count):
    names = [f"folder/{number}.jpg" for number in range(500)]
    parts = [{name for name in reversed(names) if in_shard(name, (i, count))} for i in range(1, count + 1)]
    assert set().union(*parts) == set(names)
    assert sum(map(len, parts)) == len(names)
    assert min(map(len, parts)) > 0.5 * 500 / count


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "1", "a/b", "1/0", "-1/3", "1/4/2", "1/" + "1" * 5000, "\u00b9/4"])
def test_shards_that_make_no_sense_are_refused(text):
    with pytest.raises(UsageError, match="--shard must be i/n"):
        parse_shard(text)
    assert parse_shard("2/4") == (2, 4)
