#!/usr/bin/env python3
"""llama.py SINTER LLAMA_BENCH MODEL.gguf...: decoding and prompts beside llama.cpp, in alternation in one run.

LLAMA_BENCH is the program llama-bench of a native build of the source package llama-cpp-python. Decoding begins after 8
tokens; the prompt has 512. Both are times of whole processes with and without them, so that starting does not count.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from safetensors.numpy import save_file

THREADS, PROMPT, SHORT, ROUNDS = "2", 512, 8, 3


def seconds(sinter, model, ids, new, out):
    begin = time.monotonic()
    subprocess.run([sinter, "generate", model, "--inputs", ids, "--outputs", out, "--max-new-tokens", str(new),
                    "--min-new-tokens", str(new), "--threads", THREADS, "-q"], check=True)
    return time.monotonic() - begin


def peer(bench, model, *what):
    done = subprocess.run([bench, "-m", model, "-t", THREADS, *what, "-r", "1", "-o", "csv"], check=True,
                          capture_output=True, text=True)
    head, row = (line.replace('"', "").split(",") for line in done.stdout.strip().splitlines()[-2:])
    return float(row[len(row) - (len(head) - head.index("avg_ts"))])


def measure(sinter, bench, model, folder):
    ids = {n: os.path.join(folder, f"{n}.safetensors") for n in (SHORT, PROMPT)}
    for n, path in ids.items():
        save_file({"input_ids": np.arange(100, 100 + n)[None].astype(np.int64)}, path)
    out = os.path.join(folder, "out.safetensors")
    new = 128 if os.path.getsize(model) < 4e8 else 48
    for path in ids.values():
        seconds(sinter, model, path, 2, out)
    rows = []
    for _ in range(ROUNDS):
        start = min(seconds(sinter, model, ids[SHORT], 2, out) for _ in range(2))
        decode = new / (seconds(sinter, model, ids[SHORT], new + 2, out) - start)
        prompt = (PROMPT - SHORT) / (seconds(sinter, model, ids[PROMPT], 2, out) - start)
        rows.append((start, decode, peer(bench, model, "-p", "0", "-n", str(new)), prompt,
                     peer(bench, model, "-p", str(PROMPT), "-n", "0")))
    start, *rates = (statistics.median(column) for column in zip(*rows))
    print(f"{os.path.basename(model)}: start and 2 tokens {start:.3f} s; decode {rates[0]:.1f} tokens/s, llama.cpp "
          f"{rates[1]:.1f}, {rates[0] / rates[1]:.2f} x; prompt {rates[2]:.0f} tokens/s, llama.cpp {rates[3]:.0f}, "
          f"{rates[2] / rates[3]:.2f} x", flush=True)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        for model in sys.argv[3:]:
            measure(sys.argv[1], sys.argv[2], model, folder)


main()
