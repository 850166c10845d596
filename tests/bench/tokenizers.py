#!/usr/bin/env python3
"""tokenizers.py SINTER MODEL...: how fast texts become ids, beside the fastest peers, as ratios.

MODEL is a folder with a tokenizer.json. Each contender is a fresh process on one CPU with one thread; it encodes the
texts one after the other, once (cold) and then some times more (warm: the best), without special tokens. Contenders
take turns; the figure is the median over the rounds, the ratio that of sinter to the fastest peer of the round. A peer
counts where its ids are those of the package tokenizers on every text. The texts: --text NAME=FILE[,FILE...], by default
the files of Python's standard library as "code"; one line of 10 MB is --line. Peers that are not installed are left out.
"""

import argparse
import array
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import sysconfig
import time

PEERS = ["fastokens", "tokie", "gigatoken", "tokenizers"]
WARM = 4


def read(paths):
    return [pathlib.Path(p).read_bytes().decode() for p in paths]


def opened(peer, path):
    """Two functions: a text to what the peer makes of it, that to its ids (a list in Python takes time of its own)."""
    if peer == "gigatoken":
        import gigatoken
        return gigatoken.Tokenizer(str(path)).encode, list
    if peer == "fastokens":
        from fastokens import Tokenizer
    elif peer == "tokie":
        from tokie import Tokenizer
    else:
        from tokenizers import Tokenizer
    t = Tokenizer.from_json(str(path)) if peer == "tokie" else Tokenizer.from_file(str(path))
    return lambda text: t.encode(text, add_special_tokens=False), lambda encoding: encoding.ids


def contend(peer, path, files):
    """In a process of its own: seconds of each pass, and a hash of the ids."""
    texts, passes = read(files), []
    encode, ids_of = opened(peer, path)
    for _ in range(1 + WARM):
        begin = time.perf_counter()
        got = [encode(t) for t in texts]
        passes.append(time.perf_counter() - begin)
    digest = hashlib.sha256()
    ids = [array.array("i", ids_of(e)) for e in got]
    for one in ids:
        digest.update(one.tobytes() + b"|")
    print(json.dumps({"cold": passes[0], "warm": min(passes[1:]), "tokens": sum(map(len, ids)), "ids": digest.hexdigest()}))


def run(command):
    p = subprocess.run(command, capture_output=True, text=True,
                       env=dict(os.environ, RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false"))
    lines = p.stdout.strip().splitlines()
    return json.loads(lines[-1]) if p.returncode == 0 and lines else None


def round_of(a, model, files, size, peers):
    """MB/s of each contender: (cold, warm), and what it counted."""
    out = {}
    got = run([a.sinter, "bench", str(model), "--json", "--threads", "1", "--input", *files])
    if got:
        out["sinter"] = (got["cold_MBps"], got["warm_MBps"], got["tokens"], None)
    for peer in peers:
        got = run([sys.executable, __file__, "--contend", peer, str(model / "tokenizer.json"), *files])
        if got:
            out[peer] = (size / got["cold"] / 1e6, size / got["warm"] / 1e6, got["tokens"], got["ids"])
    return out


def compare(a, model, name, files):
    size = sum(os.path.getsize(f) for f in files)
    want = run([sys.executable, __file__, "--contend", "tokenizers", str(model / "tokenizer.json"), *files])
    peers, rounds = list(a.peers), []
    for i in range(a.rounds):
        rounds.append(round_of(a, model, files, size, peers))
        if i == 0:
            peers = [p for p in peers if p in rounds[0] and want and rounds[0][p][3] == want["ids"]]
    if any("sinter" not in r for r in rounds):
        print(f"{model.name:24} {name:12} sinter fails", flush=True)
        return
    exact = want and all(r["sinter"][2] == want["tokens"] for r in rounds)
    row = [f"{model.name:24} {name:12}", "counts equal" if exact else "COUNTS DIFFER"]
    for way, label in ((0, "cold"), (1, "warm")):
        mine = statistics.median(r["sinter"][way] for r in rounds)
        best = [max((r[p][way], p) for p in peers) for r in rounds] if peers else []
        ratio = statistics.median(r["sinter"][way] / b[0] for r, b in zip(rounds, best)) if best else float("nan")
        fastest = statistics.mode(b[1] for b in best) if best else "no peer is exact"
        rate = statistics.median(b[0] for b in best) if best else float("nan")
        row.append(f"{label} {mine:7.1f} MB/s, {ratio:5.2f} x {fastest} ({rate:.1f})")
    print("  ".join(row), flush=True)


def texts_of(a):
    texts = {t.split("=", 1)[0]: t.split("=", 1)[1].split(",") for t in a.text}
    if not texts:
        library = pathlib.Path(sysconfig.get_paths()["stdlib"])
        files = [p for p in sorted(library.rglob("*.py")) if "-packages" not in str(p)]
        texts["code"] = [str(p) for p in files if valid(p)]
    return texts


def valid(path):
    try:
        path.read_bytes().decode()
    except ValueError:
        return False
    return True


def main():
    if sys.argv[1:2] == ["--contend"]:
        sys.path.pop(0)  # where this file hides the package of its name
        contend(sys.argv[2], sys.argv[3], sys.argv[4:])
        return
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("sinter")
    p.add_argument("model", nargs="+", type=pathlib.Path)
    p.add_argument("--text", action="append", default=[])
    p.add_argument("--line", action="store_true", help="one line of 10 MB of the first text instead")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--cpu", type=int, default=0)
    p.add_argument("--peers", nargs="*", default=PEERS)
    a = p.parse_args()
    os.sched_setaffinity(0, {a.cpu})
    texts = texts_of(a)
    if a.line:
        name, files = next(iter(texts.items()))
        words = " ".join(" ".join(read(files)).split())
        path = pathlib.Path("line.txt").resolve()
        path.write_bytes((words * (1 + 10_000_000 // len(words.encode()))).encode()[:10_000_000].decode(errors="ignore").encode())
        texts = {f"{name}, a line": [str(path)]}
    for model in a.model:
        for name, files in texts.items():
            compare(a, model, name, files)


if __name__ == "__main__":
    main()
