#!/usr/bin/env python3
"""What rounding weights costs: Kullback-Leibler divergence of next-token distributions from those of the f32
model, per block format, beside llama.cpp's on the same files.

  kld.py SINTER FOLDER TEXT [--llama DIR] [--tokens 4096] [--formats q8_0,q4_k_m,...] [--quant q8,q4]

FOLDER is a Hub folder of a decoder in f32. SINTER converts it to GGUF once a format; windows of 512 tokens, of
which the second half counts, as llama-perplexity does it. --llama: where llama-perplexity is; it reads the files
that were written here, tokenises TEXT itself, and compares with its own f32 run. Needs numpy."""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

import numpy as np

WINDOW = 512


def save(path, ids):
    head = json.dumps({"input_ids": {"dtype": "I64", "shape": list(ids.shape), "data_offsets": [0, ids.nbytes]}})
    head += " " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(len(head).to_bytes(8, "little") + head.encode() + ids.tobytes())


def load(path):
    with open(path, "rb") as f:
        head = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        t = head["logits"]
        return np.frombuffer(f.read(), np.float32).reshape(t["shape"])


def log_softmax(x):
    x = x.astype(np.float64)
    x -= x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def windows(sinter, model, ids, folder, more):
    """Log probabilities of the second half of each window, one window at a time."""
    for row in ids:
        save(f"{folder}/in.safetensors", row[None])
        subprocess.run([sinter, "forward", model, "--inputs", f"{folder}/in.safetensors", "--outputs",
                        f"{folder}/out.safetensors", "--want", "logits", "-q", *more], check=True)
        yield log_softmax(load(f"{folder}/out.safetensors")[0, WINDOW // 2:WINDOW - 1])


def measure(sinter, base, model, ids, folder, more):
    total = []
    for p, q in zip(base, windows(sinter, model, ids, folder, more)):
        total.append((np.exp(p) * (p - q)).sum(-1))
    return float(np.concatenate(total).mean())


def llama(program, model, text, base, more):
    out = subprocess.run([program, "-m", model, "-f", text, "-c", str(WINDOW), "-b", str(WINDOW),
                          "--kl-divergence-base", base, *more], capture_output=True, text=True)
    found = re.search(r"Mean\s+KLD:\s+([-0-9.e]+)", out.stdout + out.stderr)
    return float(found.group(1)) if found else float("nan")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("sinter")
    p.add_argument("folder")
    p.add_argument("text")
    p.add_argument("--llama")
    p.add_argument("--tokens", type=int, default=4096)
    p.add_argument("--formats", default="q8_0,q6_k,q5_k_m,q4_k_m,q4_1,q4_0")
    p.add_argument("--quant", default="q8,q4")
    a = p.parse_args()
    text = open(a.text, encoding="utf-8").read()
    out = subprocess.run([a.sinter, "tokenize", a.folder, "--json"], input=json.dumps(text) + "\n",
                         capture_output=True, text=True, check=True).stdout
    ids = np.array(json.loads(out)["ids"][:a.tokens], np.int64)
    ids = ids[:len(ids) // WINDOW * WINDOW].reshape(-1, WINDOW)
    with tempfile.TemporaryDirectory() as folder:
        base = list(windows(a.sinter, a.folder, ids, folder, ["--dtype", "f32"]))
        loss = -np.concatenate([b[np.arange(len(b)), r[WINDOW // 2 + 1:]] for b, r in zip(base, ids)])
        print(f"{ids.size} tokens, perplexity {np.exp(loss.mean()):.4f}", flush=True)
        their_base = f"{folder}/base"
        if a.llama:
            program = os.path.join(a.llama, "llama-perplexity")
            subprocess.run([a.sinter, "convert", a.folder, "-o", f"{folder}/f32.gguf", "--to", "f32"], check=True)
            llama(program, f"{folder}/f32.gguf", a.text, their_base, [])
            os.remove(f"{folder}/f32.gguf")
        for name in a.formats.split(","):
            model = f"{folder}/m.gguf"
            subprocess.run([a.sinter, "convert", a.folder, "-o", model, "--to", name], check=True)
            ours = measure(a.sinter, base, model, ids, folder, [])
            theirs = llama(program, model, a.text, their_base, ["--kl-divergence"]) if a.llama else float("nan")
            print(f"{name:8} {os.path.getsize(model) / 1e6:7.1f} MB  {ours:.6f}  {theirs:.6f}  "
                  f"{ours / theirs if theirs else float('nan'):.2f}", flush=True)
        for name in filter(None, a.quant.split(",")):
            ours = measure(a.sinter, base, a.folder, ids, folder, ["--quant", name])
            print(f"--quant {name}          {ours:.6f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
