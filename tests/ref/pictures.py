#!/usr/bin/env python3
"""Images in other sizes, and PNG and JPEG files, beside Pillow: every byte, over random sizes, filters, modes and depths.

Usage: pictures.py BRIDGE [--count N] [--seed N]. BRIDGE: tests/picture_bridge.so of the build."""
import ctypes
import io
import random
import struct
import zlib

import numpy as np
from PIL import Image

from seeds import main


def array(a):
    return a.ctypes.data_as(ctypes.c_void_p)


def resized(bridge, rng, values):
    side = lambda: rng.choice([1, 2, 3, rng.randint(4, 40), rng.randint(41, 300)])
    h, w, to, channels, how = side(), side(), (side(), side()), rng.choice([1, 3]), rng.randrange(6)
    if rng.random() < 0.2:
        to = (h, to[1]) if rng.random() < 0.5 else (to[0], w)
    x = values.integers(0, 256, (h, w, channels), dtype=np.uint8) if rng.random() < 0.7 else values.choice(
        np.array([0, 255], np.uint8), (h, w, channels))
    want = np.asarray(Image.fromarray(x[:, :, 0] if channels == 1 else x).resize(to[::-1], how)).reshape(*to, channels)
    got = np.zeros_like(want)
    x = np.ascontiguousarray(x)
    ok = bridge.picture_resize(array(x), (ctypes.c_int64 * 3)(h, w, channels), (ctypes.c_int64 * 2)(*to), how, array(got))
    return "" if ok and (got == want).all() else "resize %s to %s by %d: %d bytes differ" % (
        x.shape, to, how, (got != want).sum())


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def own_png(rng, values):
    """Forms that Pillow reads and does not write: sixteen bits, interlaced, grey of two and four bits."""
    depth, colour = rng.choice([(1, 0), (2, 0), (4, 0), (8, 0), (8, 2), (16, 2), (1, 3), (2, 3), (4, 3), (8, 3), (8, 4),
                                (8, 6), (16, 6)])
    h, w, channels, laced = rng.randint(1, 20), rng.randint(1, 20), {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour], rng.random() < 0.5
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x, y, right, down in passes if laced else [(0, 0, 1, 1)]:
        columns, lines = max(0, -(-(w - x) // right)), max(0, -(-(h - y) // down))
        for _ in range(lines if columns else 0):
            raw += bytes([rng.randrange(5)]) + values.bytes((columns * depth * channels + 7) // 8)
    palette = chunk(b"PLTE", values.bytes(3 << depth)) if colour == 3 else b""
    trns = chunk(b"tRNS", values.bytes(2)) if colour == 3 and rng.random() < 0.3 else b""
    data = zlib.compress(raw)
    cut = rng.randint(0, len(data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, laced)) + palette + trns +
            chunk(b"IDAT", data[:cut]) + chunk(b"IDAT", data[cut:]) + chunk(b"IEND", b"")), "PNG of %d bits of %d" % (depth, colour)


def their_png(rng, values):
    mode = rng.choice(["1", "L", "LA", "P", "RGB", "RGBA"])
    x = values.integers(0, 256, (rng.randint(1, 50), rng.randint(1, 50), 4), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(x, "RGBA").convert(mode).save(out, "PNG", optimize=rng.random() < 0.3)
    return out.getvalue(), "PNG " + mode


def jpeg(rng, values):
    mode, sampling, h, w = rng.choice(["L", "RGB"]), rng.randrange(3), rng.randint(1, 70), rng.randint(1, 70)
    x = values.integers(0, 256, (h, w, 3), dtype=np.uint8)
    if rng.random() < 0.5:  # smooth
        x = np.asarray(Image.fromarray(x[: h // 8 + 1, : w // 8 + 1]).resize((w, h)))
    out = io.BytesIO()
    Image.fromarray(x).convert(mode).save(out, "JPEG", quality=rng.randint(1, 100), subsampling=sampling,
                                          progressive=rng.random() < 0.3, optimize=rng.random() < 0.3)
    return out.getvalue(), "JPEG %s %d" % (mode, sampling)


def read(bridge, rng, values):
    file, name = rng.choice([own_png, their_png, jpeg])(rng, values)
    channels = rng.choice([1, 3])
    x = Image.open(io.BytesIO(file))
    if channels == 1 and x.mode == "P":
        x = x.convert("RGB")
    want = np.asarray(x.convert("L" if channels == 1 else "RGB"))
    got, size = np.zeros_like(want), (ctypes.c_int64 * 2)()
    ok = bridge.picture_read(file, ctypes.c_size_t(len(file)), ctypes.c_int64(channels), array(got), size)
    return "" if ok and tuple(size) == want.shape[:2] and (got == want).all() else "%s to %d: %s, %d bytes differ" % (
        name, channels, "read" if ok else "refused", (got != want).sum())


def one(args, seed):
    bridge, rng = ctypes.CDLL(args.bridge), random.Random(seed)
    return (resized if seed % 2 else read)(bridge, rng, np.random.default_rng(seed))


main(one, 400, "bridge")
