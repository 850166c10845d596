#!/usr/bin/env python3
"""Compares `sinter tokenize` with every row of the recorded tokenizers.

usage: tokenize_oracle.py SINTER [NAME...]

Rows are in ../shared/oracle (or $SN_SHARED/oracle), models in ../shared/tokenizers; NAME defaults to all. Beside the
rows: ids one by one and in pairs, malformed bytes, and the vectors of llama.cpp.
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
vectors = {"bert-base-uncased": ("bert-bge", []), "gpt2": ("gpt-2", []), "llama3": ("llama-bpe", []),
           "llama2": ("phi-3", []), "qwen2": ("qwen2", [])}


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


def asked(r, strings):
    """Flags and the value of a row that is an answer by itself."""
    single = r["B"] is None
    value = strings[r["A"]] if single else [strings[r["A"]], strings[r["B"]]]
    flags = [] if r["op"] == "pair" else ["--max-length", str(r["max"]), "--stride", str(r["stride"]),
                                          "--truncation", r["strategy"], "--truncation-side", r["dir"]]
    return tuple(flags + ([] if single else ["--pair"])), value


def is_answer(r, out):
    if "error" in r or out is None:
        return ("error" in r) == (out is None)
    over = out.get("overflow", [])
    want = [shape(e) for e in r.get("over", [])]
    return same(out, shape(r)) and len(over) == r.get("nover", 0) and all(map(same, over, want))


def check_pad(model, r, strings):
    flags = ["--pad", "--pad-side", r["dir"], "--pad-token", r["pad_token"]]
    flags += ["--pad-length", str(r["length"])] if r["length"] else []
    flags += ["--pad-multiple", str(r["multiple"])] if r["multiple"] else []
    out = run(model, flags, [strings[s] for s in r["strs"]])
    return len(out) == len(r["batch"]) and all(map(same, out, map(shape, r["batch"])))


def check_ops(model, ops, strings):
    """Rows of equal flags go through one process; those that fail have one each."""
    bad, groups = [], {}
    for i, r in enumerate(ops):
        if r["op"] == "pad":
            bad += [] if check_pad(model, r, strings) else [i]
        else:
            flags, value = asked(r, strings)
            groups.setdefault((flags, i if "error" in r else -1), []).append((i, value))
    for (flags, _), rows in groups.items():
        out = run(model, flags, [value for _, value in rows]) or [None] * len(rows)
        bad += [i for (i, _), o in zip(rows, out) if not is_answer(ops[i], o)]
    return [f"op {i}: {ops[i]['op']}" for i in sorted(bad)]


def check_ids(model, name):
    """Single ids and pairs: partial UTF-8, bytes that fall back."""
    known = json.loads((shared / "oracle" / "decode_ids.json").read_text()).get(name, {})
    known = {**known, **known.get("pairs", {})}
    known.pop("pairs", None)
    rows = [[int(i) for i in key.split(",")] for key in known]
    got = run(model, ["--decode"], rows) if rows else []
    return [f"ids {key}: {g!r}" for (key, want), g in zip(known.items(), got) if g != want]


def check_malformed(model, name):
    short = {"gpt2": "gpt2", "bert-base-uncased": "bert", "llama2": "llama2"}.get(name)
    rows = json.loads((shared / "oracle" / "malformed.json").read_text()) if short else []
    rows = [(bytes.fromhex(r["hex"]), r[short]) for r in rows]
    rows = [r for r in rows if b"\n" not in r[0] and b"\r" not in r[0]]
    if not rows:
        return []
    p = subprocess.run([sinter, "tokenize", str(model)], input=b"".join(raw + b"\n" for raw, _ in rows),
                       capture_output=True)
    got = [json.loads(line)["ids"] for line in p.stdout.splitlines()]
    if p.returncode != 0 or len(got) != len(rows):
        return [f"malformed: exit {p.returncode}, {len(got)} of {len(rows)} rows"]
    return [f"malformed {raw.hex()}" for (raw, want), g in zip(rows, got) if g != want]


def check_vectors(model, name):
    if name not in vectors:
        return []
    file, flags = shared / "oracle" / "llamacpp" / vectors[name][0], vectors[name][1]
    texts = file.with_suffix(".inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    wants = [[int(i) for i in line.split()] for line in file.with_suffix(".out").read_text().split("\n")]
    got = run(model, ["--no-special", *flags], texts)
    return [f"vector {t!r}" for t, w, g in zip(texts, wants, got) if g["ids"] != w]


def unpacked(name, work):
    """The folder, with its tokenizer.json unpacked where it is not."""
    model = shared / "tokenizers" / name
    if (model / "tokenizer.json").exists():
        return model
    shutil.copytree(model, work / name)
    (work / name / "tokenizer.json").write_bytes(gzip.decompress((model / "tokenizer.json.gz").read_bytes()))
    return work / name


def main():
    if not (shared / "oracle" / "strings.json").exists():
        return 77
    strings = json.loads((shared / "oracle" / "strings.json").read_text())
    status = 0
    names = sys.argv[2:] or sorted(f.stem for f in (shared / "oracle").glob("*.jsonl"))
    with tempfile.TemporaryDirectory() as work:
        for name in names:
            model, file = unpacked(name, pathlib.Path(work)), shared / "oracle" / name
            rows = [json.loads(line) for line in (shared / "oracle" / f"{name}.jsonl").open()]
            bad = check_strings(model, rows, strings)
            ops = json.loads((shared / "oracle" / f"{name}.ops.json").read_text())
            bad += check_ops(model, ops, strings)
            bad += check_ids(model, name) + check_malformed(model, name) + check_vectors(model, name)
            print(f"{name}: {len(rows)} strings, {len(ops)} ops, {len(bad)} differ", flush=True)
            for line in bad[:20]:
                print("  ", line)
            status = 1 if bad else status
    return status


sinter = sys.argv[1]
sys.exit(main())
