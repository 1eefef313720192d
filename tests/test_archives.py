"""Archives: streamed, only regular pictures count, and one that is not whole says so."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import tarfile

import pytest
from support import picture

from lostreg.archives import ARCHIVE_ERRORS, pictures_in
from lostreg.errors import ImageError
from lostreg.sources import list_sources


@pytest.fixture
def photo(tmp_path):
    """The bytes of a photograph."""
    return picture(tmp_path / "photo.jpg").read_bytes()


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def test_archives_are_streamed_and_only_regular_pictures_count(photo, tmp_path):
    content = photo
    for suffix, mode in ((".tar", "w"), (".tar.gz", "w:gz")):
        path = tmp_path / f"shard{suffix}"
        with tarfile.open(path, mode) as archive:
            for name in ("000.jpg", "../../evil.jpg", "/abs.jpg", "000.jpg", "000.json"):
                add(archive, name, content)
            folder = tarfile.TarInfo("folder.jpg")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
        listing = list_sources([str(path)], io.StringIO())
        assert listing.total is None
        found = [(item.key.split(f"shard{suffix}/")[1], item.read().wh) for item in listing.items]
        assert [name for name, _ in found] == ["000.jpg", "evil.jpg", "abs.jpg", "000.jpg~"]
        assert {wh for _, wh in found} == {(80, 60)}


def test_a_cut_archive_gives_what_it_has_and_a_failure(photo, tmp_path):
    content = photo
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for number in range(20):
            add(archive, f"{number}.jpg", content)
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) // 2])
    items = list(list_sources([str(tmp_path / "a.tar")], io.StringIO()).items)
    assert 5 < len(items) < 20
    with pytest.raises(ImageError, match="cut short"):
        items[-1].read()
    assert all(item.read() for item in items[:-1])


@pytest.mark.parametrize(
    ("pax", "size"), [({"GNU.sparse.map": "a", "GNU.sparse.size": "1"}, 0), ({}, 2**62)], ids=["garbled", "lying"]
)
def test_an_archive_that_is_garbled_or_lies_costs_itself(tmp_path, pax, size):
    member = tarfile.TarInfo("a.txt")
    member.size, member.pax_headers = size, pax
    kind = tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT
    (tmp_path / "a.tar").write_bytes(member.tobuf(kind) + bytes(1024))
    (item,) = list_sources([str(tmp_path / "a.tar")], io.StringIO()).items
    with pytest.raises(ImageError, match="damaged or cut short"):
        item.read()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.LNKTYPE, "link to 000.jpg, which a stream cannot follow"),
        (tarfile.SYMTYPE, "link to 000.jpg, which a stream cannot follow"),
        (tarfile.CHRTYPE, "x.jpg in the archive is no file"),
    ],
    ids=["hard link", "symbolic link", "device"],
)
def test_what_is_no_regular_file_is_one_failed_picture(photo, tmp_path, kind, said):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        add(archive, "000.jpg", photo)
        member = tarfile.TarInfo("x.jpg")
        member.type, member.linkname = kind, "000.jpg"
        archive.addfile(member)
    (_, whole), (name, refused) = pictures_in(tmp_path / "a.tar")
    assert (whole, name) == (photo, "x.jpg")
    with pytest.raises(ImageError, match=said):
        raise refused


def archive_of(*names, content):
    """Return the bytes of a tar, one block of 512 after the other: headers, contents, and two empty ones at the end."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in names:
            add(archive, name, content)
    return file.getvalue()


def padded(content):
    return content + bytes(-len(content) % 512)


def test_every_way_of_not_being_whole_is_told_after_the_members_before_it(photo, tmp_path):
    whole = archive_of("0.jpg", "1.jpg", content=photo)
    each = 512 + len(padded(photo))
    packed = gzip.compress(whole)
    damaged = {
        "nothing": b"",
        "cut between members": whole[:each],
        "cut before the end": whole[: 2 * each],
        "cut in a header": whole[: each + 100],
        "garbage for a header": whole[:each] + b"x" * 512 + whole[each + 512 :],
        "glued": whole + whole,
        "wrong checksum of gzip": packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:],
        "cut gzip": packed[:-4],
    }
    for name, content in damaged.items():
        (tmp_path / "a.tar").write_bytes(content)
        with pytest.raises(ARCHIVE_ERRORS):
            list(pictures_in(tmp_path / "a.tar"))
        items = list(list_sources([str(tmp_path / "a.tar")], io.StringIO()).items)
        with pytest.raises(ImageError, match="damaged or cut short"):
            items[-1].read()
        before = {"nothing": 0, "cut between members": 1, "cut in a header": 1, "garbage for a header": 1}.get(name, 2)
        assert len(items) == before + 1, name
    for content in (whole, packed):
        (tmp_path / "a.tar").write_bytes(content)
        assert list(pictures_in(tmp_path / "a.tar")) == [("0.jpg", photo), ("1.jpg", photo)]


def test_an_archive_without_pictures_is_one_failure(tmp_path):
    for content in (archive_of(content=b""), archive_of("a.json", content=b"{}")):
        (tmp_path / "a.tar").write_bytes(content)
        (item,) = list_sources([str(tmp_path / "a.tar")], io.StringIO()).items
        with pytest.raises(ImageError, match="holds no picture"):
            item.read()


def test_a_member_is_never_taken_for_a_file_on_disk(photo, tmp_path):
    name = "../../photo.jpg"
    (tmp_path / "a.tar").write_bytes(archive_of(name, content=photo))
    items = list(list_sources([str(tmp_path / "photo.jpg"), str(tmp_path / "a.tar")], io.StringIO()).items)
    assert [item.path for item in items] == [str(tmp_path / "photo.jpg"), f"{tmp_path / 'a.tar'}:{name}"]


def test_a_sentence_names_the_member(tmp_path):
    (tmp_path / "a.tar").write_bytes(archive_of("sub/empty.jpg", content=b""))
    (item,) = list_sources([str(tmp_path / "a.tar")], io.StringIO()).items
    with pytest.raises(ImageError, match=r"a\.tar:sub/empty\.jpg is empty"):
        item.read()


@pytest.mark.parametrize("kind", [b"x", b"L"])
def test_a_chain_of_extended_headers_is_damage(photo, tmp_path, kind):
    member = tarfile.TarInfo("x")
    member.type, data = kind, {b"x": b"12 a=bcdefg\n", b"L": b"a.jpg\0"}[kind]
    member.size = len(data)
    (tmp_path / "a.tar").write_bytes(3000 * (member.tobuf(tarfile.USTAR_FORMAT) + padded(data)))
    (item,) = list_sources([str(tmp_path / "a.tar")], io.StringIO()).items
    with pytest.raises(ImageError, match="damaged or cut short"):
        item.read()


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs tar, which writes sparse files")
@pytest.mark.parametrize("kind", ["gnu", "posix"])
def test_a_sparse_file_of_any_size_costs_no_picture(photo, tmp_path, kind):
    with (tmp_path / "sparse.img").open("wb") as file:
        file.truncate(3 << 30)
    command = [
        "tar",
        "-C",
        str(tmp_path),
        f"--format={kind}",
        "-cSf",
        str(tmp_path / "a.tar"),
        "sparse.img",
        "photo.jpg",
    ]
    subprocess.run(command, check=True)
    assert list(pictures_in(tmp_path / "a.tar")) == [("photo.jpg", photo)]


def test_a_stop_ends_it_in_the_middle_of_what_is_skipped(photo, tmp_path):
    """Where a member is skipped that is no picture, which may take minutes."""
    member = tarfile.TarInfo("big.bin")
    member.size = 400_000_000
    with gzip.open(tmp_path / "a.tar", "wb") as file:
        file.write(archive_of("a.jpg", content=photo)[: 512 + len(padded(photo))])
        file.write(member.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(50_000_000))
    asked = []
    found = [name for name, _ in pictures_in(tmp_path / "a.tar", stopped=lambda: asked.append(1) or len(asked) > 100)]
    assert found == ["a.jpg"]
    assert len(asked) == 101
