#!/usr/bin/env python3
"""Compares `sinter tokenize` with the package tokenizers on random Unicode strings.

usage: random_strings.py SINTER TOKENIZERS_DIR [--count N] [--seed S] [NAME...]

TOKENIZERS_DIR has a folder with a tokenizer.json (or tokenizer.json.gz) for each NAME (default: all). Strings mix
scripts, controls, white space, emoji, marks, bytes that are no UTF-8 (read as errors="replace" does) and pieces of the
vocabulary; ids, offsets and decoded texts are compared. Prints counts; exit 1 where something differs. Needs the Python
package tokenizers 0.23.3.
"""
import argparse
import gzip
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer

BATCH = 5000
RANGES = [(0x20, 0x7F), (0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xE00),
          (0xE00, 0x1000), (0x1100, 0x1200), (0x1E00, 0x2000), (0x2000, 0x2070), (0x2070, 0x2C00), (0x3000, 0x3100),
          (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xF900, 0xFB50), (0xFE00, 0x10000), (0x1D400, 0x1D800), (0x1F300, 0x1FB00)]
ODD = " \t\n\r\0\x0b\x0c\x1f\x7f\x85\xa0\xad\u034f\u0344\u1680\u2003\u200b\u200c\u200d\u2028\u2581\u3000\ufdfa\ufe0f\ufeff\ufffd"


def character(r):
    kind = r.random()
    if kind < 0.15:
        return r.choice(ODD)
    if kind < 0.19:
        while True:
            c = r.randrange(0x110000)
            if not 0xD800 <= c < 0xE000:
                return chr(c)
    return chr(r.randrange(*r.choice(RANGES)))


def run(r):
    """Characters of one kind, or a repeat."""
    kind = r.random()
    if kind < 0.25:
        return "".join(r.choices("etaoinshrdlucmfwypvbgkjqxz", k=r.randrange(1, 9))) + " " * r.randrange(3)
    if kind < 0.35:
        return str(r.randrange(10 ** r.randrange(1, 9)))
    if kind < 0.45:
        low, high = r.choice(RANGES)
        return "".join(chr(r.randrange(low, high)) for _ in range(r.randrange(1, 12)))
    if kind < 0.52:
        return character(r) * r.randrange(2, 40)
    if kind < 0.57:
        return bytes(r.randrange(0x70, 0x100) for _ in range(r.randrange(1, 6))).decode("utf-8", "replace")
    return "".join(character(r) for _ in range(r.randrange(1, 5)))


def string(r, pieces):
    out = [r.choice(pieces) if r.random() < 0.15 else run(r) for _ in range(r.choice([0, 1, 1, 2, 3, 5, 8, 13]))]
    return "".join(out)


def call(sinter, folder, flags, values):
    text = "".join(json.dumps(v) + "\n" for v in values)
    p = subprocess.run([sinter, "tokenize", str(folder), "--json", *flags], input=text.encode(), capture_output=True)
    if p.returncode != 0:
        sys.exit(f"{folder} {flags}: exit {p.returncode}: {p.stderr.decode()}")
    return [json.loads(line) for line in p.stdout.splitlines()]


def compare(sinter, folder, reference, texts):
    """Indexes of the texts that differ."""
    want = reference.encode_batch(texts)
    got = call(sinter, folder, [], texts)
    back = call(sinter, folder, ["--decode", "--skip-special"], [e.ids for e in want])
    same = reference.decode_batch([e.ids for e in want], skip_special_tokens=True)
    return [i for i, (e, g) in enumerate(zip(want, got))
            if e.ids != g["ids"] or [list(o) for o in e.offsets] != g["offsets"] or same[i] != back[i]]


def check(sinter, source, name, count, seed, work):
    folder = work / name
    shutil.copytree(source / name, folder)
    packed = folder / "tokenizer.json.gz"
    if packed.exists():
        (folder / "tokenizer.json").write_bytes(gzip.decompress(packed.read_bytes()))
    reference = Tokenizer.from_file(str(folder / "tokenizer.json"))
    reference.no_truncation()
    reference.no_padding()
    r = random.Random(f"{seed} {name}")
    pieces = [t for t in reference.get_vocab() if t]
    done = differ = 0
    while done < count:
        texts = [string(r, pieces) for _ in range(min(BATCH, count - done))]
        bad = compare(sinter, folder, reference, texts)
        for i in bad[:max(0, 5 - differ)]:
            print(f"  {name}: {ascii(texts[i])}")
        done += len(texts)
        differ += len(bad)
    print(f"{name}: {done} strings, {differ} differ", flush=True)
    return differ


def main():
    p = argparse.ArgumentParser()
    p.add_argument("sinter")
    p.add_argument("tokenizers")
    p.add_argument("names", nargs="*")
    p.add_argument("--count", type=int, default=10000)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_intermixed_args()
    source = pathlib.Path(a.tokenizers)
    names = a.names or sorted(d.name for d in source.iterdir() if d.is_dir())
    with tempfile.TemporaryDirectory() as work:
        differ = sum(check(a.sinter, source, n, a.count, a.seed, pathlib.Path(work)) for n in names)
    return 1 if differ else 0


sys.exit(main())
