#!/usr/bin/env python3
"""Compares `sinter tokenize` with every row of the recorded tokenizers.

usage: tokenize_oracle.py SINTER [NAME...]

Rows are in ../shared/oracle (or $SN_SHARED/oracle), models in ../shared/tokenizers; NAME defaults to all.
Exit: 0 all rows are equal, 1 some differ, 77 there are no rows.
"""
import gzip
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent
shared = pathlib.Path(os.environ.get("SN_SHARED", root.parent / "shared"))
names = ["bert-base-uncased", "bert-base-cased", "bert-base-multilingual-cased", "gpt2", "llama3", "qwen2",
         "cl100k_base", "gpt-neox", "clip", "whisper", "llama2", "mistral-v3", "t5-base", "albert-base-v2"]


def run(model, flags, values):
    """One JSON value a line in and out; None: the command failed as a failure should."""
    text = "".join(json.dumps(v) + "\n" for v in values)
    p = subprocess.run([sinter, "tokenize", str(model), "--json", *flags], input=text.encode(), capture_output=True)
    if p.returncode == 1 and p.stderr.count(b"\n") == 1 and p.stderr.startswith(b"sinter: "):
        return None
    if p.returncode != 0:
        raise SystemExit(f"{model} {flags}: exit {p.returncode}: {p.stderr.decode()}")
    return [json.loads(line) for line in p.stdout.splitlines()]


def pairs(flat):
    return [list(p) for p in zip(flat[::2], flat[1::2])]


def shape(e):
    """An encoding of a rows file, with the keys of the command."""
    return {"ids": e["i"], "type_ids": e["t"], "special_tokens_mask": e["m"], "attention_mask": e["a"],
            "offsets": pairs(e["o"])}


def same(got, want):
    return all(got[k] == v for k, v in want.items())


def check_strings(model, rows, strings):
    bad = []
    texts = [strings[r["s"]] for r in rows]
    whole, bare = run(model, [], texts), run(model, ["--no-special"], texts)
    kept, skipped = (run(model, ["--decode", *f], [r["i"] for r in rows]) for f in ([], ["--skip-special"]))
    for r, text, w, b, d, k in zip(rows, texts, whole, bare, kept, skipped):
        mask = [int(i in r.get("m", [])) for i in range(len(r["i"]))]
        want = {"ids": r["i"], "offsets": pairs(r["o"]), "type_ids": r.get("t", [0] * len(mask)),
                "special_tokens_mask": mask, "attention_mask": [1] * len(mask)}
        plain = r.get("n", [i for i, m in zip(r["i"], mask) if not m])
        ok = same(w, want) and b["ids"] == plain and d == r["d"] and k == (text if r["k"] is True else r["k"])
        if not ok:
            bad.append(f"string {r['s']}: {text!r}")
    return bad


def check_trunc(model, r, strings):
    flags = ["--max-length", str(r["max"]), "--stride", str(r["stride"]), "--truncation", r["strategy"],
             "--truncation-side", r["dir"]]
    single = r["B"] is None
    value = strings[r["A"]] if single else [strings[r["A"]], strings[r["B"]]]
    out = run(model, flags + ([] if single else ["--pair"]), [value])
    if "error" in r or out is None:
        return ("error" in r) == (out is None)
    over = out[0].get("overflow", [])
    return same(out[0], shape(r)) and len(over) == r["nover"] and all(map(same, over, map(shape, r["over"])))


def check_pad(model, r, strings):
    flags = ["--pad", "--pad-side", r["dir"], "--pad-token", r["pad_token"]]
    flags += ["--pad-length", str(r["length"])] if r["length"] else []
    flags += ["--pad-multiple", str(r["multiple"])] if r["multiple"] else []
    out = run(model, flags, [strings[s] for s in r["strs"]])
    return len(out) == len(r["batch"]) and all(map(same, out, map(shape, r["batch"])))


def check_op(model, r, strings):
    if r["op"] == "pair":
        return same(run(model, ["--pair"], [[strings[r["A"]], strings[r["B"]]]])[0], shape(r))
    return (check_trunc if r["op"] == "trunc" else check_pad)(model, r, strings)


def unpacked(folder, target):
    """The folder, or where files of it are packed a copy."""
    packed = list(folder.glob("*.json.gz"))
    if not packed:
        return folder
    target.mkdir()
    for f in folder.glob("*.json"):
        shutil.copy(f, target)
    for f in packed:
        (target / f.stem).write_bytes(gzip.decompress(f.read_bytes()))
    return target


def main(work):
    if not (shared / "oracle" / "strings.json").exists():
        return 77
    strings = json.loads((shared / "oracle" / "strings.json").read_text())
    status = 0
    for name in sys.argv[2:] or names:
        model, file = unpacked(shared / "tokenizers" / name, work / name), shared / "oracle" / name
        rows = [json.loads(line) for line in file.with_suffix(".jsonl").open()]
        bad = check_strings(model, rows, strings)
        ops = json.loads((shared / "oracle" / f"{name}.ops.json").read_text())
        bad += [f"op {i}: {r['op']}" for i, r in enumerate(ops) if not check_op(model, r, strings)]
        print(f"{name}: {len(rows)} strings, {len(ops)} ops, {len(bad)} differ")
        for line in bad[:20]:
            print("  ", line)
        status = 1 if bad else status
    return status


sinter = sys.argv[1]
with tempfile.TemporaryDirectory() as folder:
    sys.exit(main(pathlib.Path(folder)))
