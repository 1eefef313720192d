"""Pictures that test the demo's patience."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def bomb(side, suffix="PNG"):
    """Return a one-bit picture of side x side pixels in a few kilobytes."""
    if suffix == "PNG":
        rows = zlib.compress(bytes((side // 8 + 1) * side), 9)
        header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
        body = b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
        return b"\x89PNG\r\n\x1a\n" + body
    small = io.BytesIO()
    Image.new("L", (8, 8)).save(small, suffix)
    content = bytearray(small.getvalue())
    if suffix == "GIF":
        content[6:10] = struct.pack("<HH", side, side)
    else:
        content[18:26] = struct.pack("<ii", side, side)
    return bytes(content)


def encoded(mode, size=(60, 40), suffix="PNG", **options):
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, suffix, **options)
    return stream.getvalue()


def photograph(suffix="JPEG"):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    Image.fromarray(noise).save(stream, suffix)
    return stream.getvalue()
