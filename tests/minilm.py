#!/usr/bin/env python3
"""minilm.py SINTER DIR: embeddings of a real model against golden ones. The model is fetched into DIR once.

In f32 and bf16; threads, the kernel cache and, with --exact, CPU levels must not change a bit. Exit 77: the model
cannot be had.
"""

import json
import math
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LEVELS = ["base", "v3", "v4", "v4d", "amx"]
UNSUPPORTED = 3


def get_model(folder):
    code = subprocess.run(["sh", os.path.join(ROOT, "tools/get-model.sh"), "minilm", folder]).returncode
    if code:
        sys.exit(code)
    return os.path.join(folder, "all-MiniLM-L6-v2")


class Embedder:
    def __init__(self, sinter, model, cache):
        self.start = [sinter, "embed", "--json", "--device", "cpu", "--cache-dir", cache]
        self.model = model

    def __call__(self, texts, *options, level=None):
        """Vectors; None where this machine or build lacks the level."""
        env = dict(os.environ, SINTER_CPU_LEVEL=level) if level else None
        done = subprocess.run([*self.start, *options, "--", self.model, *texts], env=env, capture_output=True, text=True)
        if level and done.returncode == UNSUPPORTED:
            return None
        if done.returncode:
            sys.exit(f"{' '.join(options)} {level or ''}: exit {done.returncode}\n{done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]


def cosine(a, b):
    def dot(x, y):
        return math.fsum(u * v for u, v in zip(x, y, strict=True))

    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def check(ok, what):
    print("ok   " if ok else "FAIL ", what)
    return ok


def check_golden(embed, texts, golden, dtype, least):
    vectors = embed(texts, "--dtype", dtype, "--threads", "2")
    worst = min((cosine(v, g), t) for v, g, t in zip(vectors, golden, texts, strict=True))
    ok = check(worst[0] >= least, f"{dtype}: cosine {worst[0]:.9f}, at least {least}, worst {worst[1][:40]!r}")
    one = embed(texts, "--dtype", dtype, "--threads", "1")
    return check(one == vectors, f"{dtype}: 1 and 2 threads") and ok


def check_levels(embed, texts):
    by_level = {level: embed(texts, "--exact", level=level) for level in LEVELS}
    have = {level: vectors for level, vectors in by_level.items() if vectors}
    first = next(iter(have.values()), None)
    return check(first and all(v == first for v in have.values()), f"--exact: the same on {', '.join(have)}")


def main():
    sinter, folder = sys.argv[1:]
    with open(os.path.join(ROOT, "tests/golden/minilm.json"), encoding="utf-8") as f:
        rows = json.load(f)
    texts = [row["text"] for row in rows]
    golden = [row["vector"] for row in rows]
    model = get_model(folder)
    with tempfile.TemporaryDirectory() as cache:
        embed = Embedder(sinter, model, cache)
        results = [check_golden(embed, texts, golden, "f32", 0.999999),
                   check_golden(embed, texts, golden, "bf16", 0.9995),
                   check_levels(embed, texts[:4])]
    sys.exit(not all(results))


main()
