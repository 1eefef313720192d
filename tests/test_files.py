"""Files written whole or not at all, and folders kept within bounds."""

from __future__ import annotations

import hashlib
import os
import subprocess

import pytest
from support import small_disk

from lostreg.files import cache_dir, sha256_of, trim, write_text_whole, written_whole


def test_a_file_appears_whole_with_ordinary_permissions(tmp_path):
    write_text_whole(tmp_path / "sub" / "a.txt", "grüße")
    assert (tmp_path / "sub" / "a.txt").read_text(encoding="utf-8") == "grüße"
    assert (tmp_path / "sub" / "a.txt").stat().st_mode & 0o600 == 0o600
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail():
        with written_whole(target) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("broken off")

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("kilobytes", [4, 16, 40, 80, 120])
def test_a_full_disk_leaves_the_old_file(tmp_path, kilobytes):
    with small_disk(tmp_path / "disk", 128) as disk:
        (disk / "filler").write_bytes(b"x" * kilobytes * 1024)
        target = disk / "a.txt"
        with pytest.raises(OSError, match="No space left"):
            write_text_whole(target, "x" * 200_000)
        assert [path.name for path in disk.iterdir()] == ["filler"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real").write_text("old")
    (tmp_path / "link").symlink_to("folder/real")
    (tmp_path / "dangling").symlink_to("folder/new")
    for name, real in (("link", "real"), ("dangling", "new")):
        write_text_whole(tmp_path / name, "text")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "folder" / real).read_text() == "text"


def test_a_pipe_takes_the_text_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True) as reader:
        write_text_whole(pipe, "text")
        assert reader.communicate(timeout=10)[0] == "text"
    assert pipe.is_fifo()


def test_what_stands_among_the_devices_is_written_to_and_never_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr("lostreg.files._DEVICES", (tmp_path,))  # as /dev/stdout before a plain file of the shell's
    (tmp_path / "stdout").write_text("first\n")
    before = (tmp_path / "stdout").stat().st_ino
    write_text_whole(tmp_path / "stdout", "text")
    assert (tmp_path / "stdout").read_text() == "first\ntext"
    assert (tmp_path / "stdout").stat().st_ino == before


def test_names_as_long_as_the_file_system_takes(tmp_path):
    target = tmp_path / ("x" * 250)
    write_text_whole(target, "a")
    assert target.read_text() == "a"


def test_the_oldest_files_go_first(tmp_path):
    for number in range(5):
        path = tmp_path / f"{number}" / "file"
        path.parent.mkdir()
        path.write_bytes(bytes(1000))
        os.utime(path, (number, number))
    trim(tmp_path, 2500)
    assert sorted(path.parent.name for path in tmp_path.rglob("file")) == ["3", "4"]
    trim(tmp_path, 2500)
    assert len(list(tmp_path.rglob("file"))) == 2


def test_sha256_is_that_of_hashlib(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_the_cache_is_where_the_user_says(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSTREG_CACHE", str(tmp_path / "here"))
    assert cache_dir() == tmp_path / "here"
    monkeypatch.delenv("LOSTREG_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "lostreg"
