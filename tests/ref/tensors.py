#!/usr/bin/env python3
"""tensors.py SINTER [--count 30]: `sinter tensors` against safetensors and torch, on random dicts of all dtypes: split and
merge give the library's own bytes, numbers are cast as torch casts them, printed as they are, renamed and compared. Needs
safetensors, torch. Exit 1: something differs."""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

from weights import random_name, random_tensor

CASTS = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16,
         "f8_e4m3": torch.float8_e4m3fn, "f8_e5m2": torch.float8_e5m2}


def tensors(sinter, *args):
    done = subprocess.run([sinter, "tensors", *args], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr.strip()


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and \
        torch.equal(a.contiguous().flatten().view(torch.uint8), b.contiguous().flatten().view(torch.uint8))


def numbers(t):
    if t.dtype in (torch.bool, torch.float64) or not t.is_floating_point():
        return t.flatten().tolist()
    return t.flatten().to(torch.float32).tolist()


def equal(a, b):
    return len(a) == len(b) and all(x == y or (x != x and y != y) for x, y in zip(a, b))


def written(sinter, where, a, r):
    code, _, error = tensors(sinter, "split", f"{where}/a.safetensors", "-o", f"{where}/dir", "--max-shard-size",
                             str(r.choice([1, 64, 1000])))
    yield "split", code == 0, error
    shards = [f"{where}/dir/{name}" for name in os.listdir(f"{where}/dir") if name.endswith(".safetensors")]
    found = {}
    for shard in shards:
        found |= load_file(shard)
    yield "shards", found.keys() == a.keys() and all(same(found[k], a[k]) for k in a), ""
    for parts in ([f"{where}/dir"], shards):
        code, _, error = tensors(sinter, "merge", *parts, "-o", f"{where}/back.safetensors")
        yield "merge", code == 0 and open(f"{where}/back.safetensors", "rb").read() == \
            open(f"{where}/a.safetensors", "rb").read(), error
    yield "diff of shards", tensors(sinter, "diff", f"{where}/dir", f"{where}/a.safetensors") == (0, "", ""), ""
    yield "hash", tensors(sinter, "hash", *shards) == tensors(sinter, "hash", f"{where}/a.safetensors"), ""
    code, _, error = tensors(sinter, "rename", f"{where}/a.safetensors", "layers.*=x.*.y", "weight*=", "-o",
                             f"{where}/named.safetensors")
    new = {k: "x." + k[7:] + ".y" if k.startswith("layers.") else k for k in a}
    expected = {new[k]: a[k] for k in a if k.startswith("layers.") or not k.startswith("weight")}
    found = load_file(f"{where}/named.safetensors") if code == 0 else {}
    yield "rename", found.keys() == expected.keys() and all(same(found[k], expected[k]) for k in found), error


def cast(sinter, where, a, name):
    code, _, error = tensors(sinter, "cast", f"{where}/a.safetensors", "--to", name, "-o", f"{where}/cast.safetensors")
    found = load_file(f"{where}/cast.safetensors") if code == 0 else {}
    for k, t in a.items():
        expected = t.to(CASTS[name]) if t.is_floating_point() and t.dtype not in (torch.complex64,) else t
        ok = k in found and found[k].dtype == expected.dtype and equal(numbers(found[k]), numbers(expected))
        yield f"cast {t.dtype} to {name}", ok, error or f"{numbers(t)} {numbers(found[k])} {numbers(expected)}"


def shown(sinter, where, a, r):
    code, out, error = tensors(sinter, "ls", f"{where}/a.safetensors", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    yield "ls", code == 0 and [(x["name"], x["shape"], x["bytes"]) for x in rows] == \
        [(k, list(a[k].shape), a[k].nbytes) for k in sorted(a, key=str.encode)], error
    for k, t in a.items():
        if t.dtype == torch.complex64:
            continue
        code, out, error = tensors(sinter, "cat", f"{where}/a.safetensors", "--json", "--", k)
        found = torch.tensor(json.loads(out or "[]"), dtype=torch.float64)
        found = found.to(torch.float32).tolist() if t.is_floating_point() and t.dtype != torch.float64 else json.loads(out)
        yield f"cat {t.dtype}", code == 0 and equal(found, numbers(t)), error
    other = {k: t.clone() for k, t in a.items()}
    k = r.choice(list(other))
    raw = other[k].flatten().view(torch.uint8)
    if raw.numel():
        raw[r.randrange(raw.numel())] ^= 1
    save_file(other | {"more": torch.ones(1)}, f"{where}/other.safetensors")
    code, out, error = tensors(sinter, "diff", f"{where}/a.safetensors", f"{where}/other.safetensors", "--json")
    rows = {(x["is"], x["name"]) for x in map(json.loads, out.splitlines())}
    yield "diff", code == 1 and rows == {(">", "more")} | ({("~", k)} if raw.numel() else set()), out + error


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sinter")
    parser.add_argument("--count", type=int, default=30)
    o = parser.parse_args()
    bad = n = 0
    for seed in range(o.count):
        r = random.Random(seed)
        a = {random_name(r): random_tensor(r) for _ in range(r.randrange(1, 12))}
        with tempfile.TemporaryDirectory() as where:
            save_file(a, f"{where}/a.safetensors", metadata={"format": "pt"})
            name = list(CASTS)[seed % len(CASTS)]
            for what, ok, why in [*written(o.sinter, where, a, r), *cast(o.sinter, where, a, name),
                                  *shown(o.sinter, where, a, r)]:
                n += 1
                if not ok:
                    bad += 1
                    print(f"seed {seed}, {what}: {why}")
    print(f"{n - bad} of {n} results equal")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
