"""File names made of keys: legal, inside the folder, never the same twice."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostreg.export.names import file_names, legible


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([], []),
        (["a.jpg"], ["a.txt"]),
        (["sub/a.jpg", "a.jpg"], ["sub/a.txt", "a.txt"]),
        (["a.jpg", "a.png"], ["a.jpg.txt", "a.png.txt"]),
        (["x/a.jpg", "x/a.png", "x/b.png"], ["x/a.jpg.txt", "x/a.png.txt", "x/b.txt"]),
        (["/etc/passwd.jpg"], ["etc/passwd.txt"]),
        (["../../up.jpg"], ["up.txt"]),
        (["a/../../b/./c.jpg"], ["a/b/c.txt"]),
        (["C:\\pictures\\a.jpg"], ["C__pictures_a.txt"]),
        (['what? "yes" <no>|*.jpg'], ["what_ _yes_ _no___.txt"]),
        (["tab\there\n.jpg"], ["tab_here_.txt"]),
        (["end. ./x.jpg"], ["end___/x.txt"]),
        ([".."], ["unnamed.txt"]),
        ([".hidden"], [".hidden.txt"]),
        (["no-suffix"], ["no-suffix.txt"]),
        (["ünï/日本.jpg"], ["ünï/日本.txt"]),
        (["lone\udcff.jpg"], ["lone_.txt"]),
    ],
)
def test_names(keys, expected):
    assert [str(name) for name in file_names(keys, ".txt").values()] == expected


@pytest.mark.parametrize(
    "keys",
    [
        ["A.jpg", "a.jpg"],  # one file where case does not count
        ["caf\u00e9.jpg", "cafe\u0301.jpg"],  # one file where Unicode is normalised
        ["a?.jpg", "a*.jpg"],
        ["../a.jpg", "a.jpg", "/a.jpg"],
        ["a", "a.txt/b.jpg"],  # a file where the other needs a folder
        ["n" * 300 + ".jpg", "n" * 300 + ".png", "n" * 301 + ".jpg"],
    ],
)
def test_clashing_keys_get_different_files(keys, tmp_path):
    names = file_names(keys, ".txt")
    for key, name in names.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(key)
    assert {key: (tmp_path / name).read_text() for key, name in names.items()} == {key: key for key in keys}
    assert len({str(name).casefold() for name in names.values()}) == len(keys)


def test_names_depend_on_the_keys_alone():
    keys = ["A.jpg", "a.jpg", "b.jpg"]
    assert file_names(keys, ".txt") == {key: file_names(keys[::-1], ".txt")[key] for key in keys}


@given(st.sets(st.text(st.sampled_from("aA./\\:é\u0301 ~\udc80"), max_size=6), max_size=8))
def test_any_keys_stay_inside_and_apart(keys):
    names = file_names(keys, ".xml")
    assert len(set(names.values())) == len(keys)
    for name in names.values():
        assert not name.is_absolute()
        assert ".." not in name.parts
        assert all(len(part.encode()) <= 255 for part in name.parts)
        assert Path("/root", name).resolve().is_relative_to(Path("/root").resolve())
    parents = {parent for name in names.values() for parent in name.parents}
    assert parents.isdisjoint(names.values())
    assert all(isinstance(name, PurePosixPath) for name in names.values())


def test_legible_text_can_be_written():
    assert legible("plain é 日本") == "plain é 日本"
    assert legible("a\x00b\udcffc\ufffe") == "a\ufffdb\ufffdc\ufffd"
