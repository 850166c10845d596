#!/usr/bin/env python3
"""Compares `sinter tokenizer train` with the package tokenizers on random texts and settings.

usage: random_tokenizer_training.py SINTER [--count N] [--seed S]

BPE without affixes and WordLevel must be the same file, byte for byte, where limit_alphabet cuts no ties. Unigram must
have the same pieces and scores and split a text held out the same; ids only as far as ties let it, as the reference
orders equal scores, and hands out those of characters without a piece, by a hash table. Where it goes by one
otherwise (affixes, WordPiece), the reference must read the file; how many tokens are the same is reported.
Exit 1 where something differs. Needs tokenizers 0.23.3.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

LETTERS = "aabbccdeeefghiABC 0.,'-\u00e9\u4e2d\u3042\U0001F600"


def words(r):
    known = ["".join(r.choice(LETTERS) for _ in range(r.randrange(1, 9))) for _ in range(r.randrange(1, 60))]
    return [" ".join(r.choices(known, weights=[1 / (i + 1) for i in range(len(known))], k=r.randrange(1, 40)))
            + r.choice(["\n", "\r\n", " \n"]) for _ in range(r.randrange(1, 12))]


def setting(r):
    kind = r.choice(["BPE", "BPE", "BPE", "WordPiece", "WordLevel", "Unigram"])
    o = {"vocab_size": r.choice([1, 30, 60, 100, 1000])}
    if r.random() < 0.5:
        o["special_tokens"] = r.sample(["<unk>", "<s>", "a", "abc"], r.randrange(4))
    if kind != "Unigram" and r.random() < 0.4:
        o["min_frequency"] = r.randrange(5)
    if kind in ("BPE", "WordPiece", "Unigram") and r.random() < 0.3:
        o["initial_alphabet"] = r.choice([["x", "yz"], ["\u4e2d"]])
    if kind == "BPE":
        if r.random() < 0.3:
            o["max_token_length"] = r.randrange(1, 8)
        if r.random() < 0.2:
            o["end_of_word_suffix"] = "</w>"
        if r.random() < 0.2:
            o["continuing_subword_prefix"] = "##"
    if kind == "Unigram":
        o["vocab_size"] = r.choice([60, 100, 1000])
        o["unk_token"] = "<unk>"
        o["n_sub_iterations"] = r.randrange(1, 4)
        o["shrinking_factor"] = r.choice([0.5, 0.75, 0.9])
        o["max_piece_length"] = r.choice([3, 16])
    return kind, o


def tokenizer(r, kind):
    t = Tokenizer({"BPE": models.BPE, "Unigram": models.Unigram}[kind]() if kind in ("BPE", "Unigram") else
                  {"WordPiece": models.WordPiece, "WordLevel": models.WordLevel}[kind](unk_token="<unk>"))
    norm = r.choice([None, normalizers.NFKC(), normalizers.Lowercase(), normalizers.BertNormalizer()])
    pre = [pre_tokenizers.Whitespace(), pre_tokenizers.WhitespaceSplit(), pre_tokenizers.BertPreTokenizer(),
           pre_tokenizers.Metaspace(), None]
    pre += [pre_tokenizers.ByteLevel(add_prefix_space=r.random() < 0.5)] * 3 if kind == "BPE" else []
    pre = r.choice(pre)
    if norm is not None:
        t.normalizer = norm
    if pre is not None:
        t.pre_tokenizer = pre
    return t


def flags(options):
    return [s for k, v in options.items() for s in ("--" + k.replace("_", "-"), v if isinstance(v, str) else json.dumps(v))]


def unigram_differs(theirs, ours, held_out, seen):
    files = [json.loads(t.to_str()) for t in (theirs, ours)]
    a, b = ([tuple(piece) for piece in f["model"].pop("vocab")] for f in files)
    for f, vocab in zip(files, (a, b)):
        for token in f["added_tokens"]:
            token["id"] = vocab[token["id"]][0]
    if {s for s, _ in a} != {s for s, _ in b}:
        return f"pieces differ: {sorted({s for s, _ in a} ^ {s for s, _ in b})}"
    if any(abs(x - y) > 1e-9 for (_, x), (_, y) in zip(a, b, strict=True)):
        return "scores differ"
    longer = [sorted(p for p in vocab if len(p[0]) > 1) for vocab in (a, b)]
    if any(abs(x - y) > 1e-9 for (_, x), (_, y) in zip(*longer, strict=True)):
        return "scores of pieces differ"
    if files[0] != files[1]:
        return "files differ beside the vocabulary"
    x, y = (collections.Counter(t.encode(held_out).tokens) for t in (theirs, ours))
    seen["Unigram tokens held out"] += x.total()
    seen["Unigram tokens held out that are the same"] += (x & y).total()
    return None


def one(r, sinter, folder, seen):
    kind, o = setting(r)
    t = tokenizer(r, kind)
    os.makedirs(folder / "in", exist_ok=True)
    t.save(str(folder / "in" / "tokenizer.json"))
    text = folder / "text.txt"
    text.write_text("".join(words(r)), newline="")
    failed = None
    try:
        t.train([str(text)], getattr(trainers, ("Bpe" if kind == "BPE" else kind) + "Trainer")(show_progress=False, **o))
    except BaseException as e:  # panics are no Exception
        failed = str(e)
    run = subprocess.run([sinter, "tokenizer", "train", folder / "in", text, "-o", folder / "out", *flags(o)],
                         capture_output=True, text=True)
    if failed is not None:
        seen["refused by the reference"] += 1
        return None
    if run.returncode != 0:
        return f"{kind} {o}: {run.stderr}"
    ours = (folder / "out" / "tokenizer.json").read_text()
    theirs = t.to_str(pretty=True)
    Tokenizer.from_str(ours)
    if ours == theirs:
        seen[kind + " equal"] += 1
        return None
    if kind == "WordLevel" or (kind == "BPE" and not {"end_of_word_suffix", "continuing_subword_prefix"} & set(o)):
        return f"{kind} {o}: files differ"
    if kind == "Unigram":
        differs = unigram_differs(t, Tokenizer.from_str(ours), "".join(words(r)), seen)
        return differs and f"{kind} {o}: {differs}"
    a, b = (json.loads(x)["model"]["vocab"] for x in (theirs, ours))
    seen[kind + " tokens"] += len(a)
    seen[kind + " tokens in both"] += len(set(a) & set(b))
    return None


def main():
    p = argparse.ArgumentParser()
    p.add_argument("sinter")
    p.add_argument("--count", type=int, default=100)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    seen, wrong = collections.Counter(), 0
    for i in range(a.count):
        with tempfile.TemporaryDirectory() as d:
            message = one(random.Random(a.seed + i), a.sinter, pathlib.Path(d), seen)
        if message:
            wrong += 1
            print(f"seed {a.seed + i}: {message}")
    if seen["Unigram tokens held out that are the same"] < 0.999 * seen["Unigram tokens held out"]:
        wrong += 1
        print("a text held out is split otherwise by Unigram")
    print(", ".join(f"{n} {what}" for what, n in sorted(seen.items())), f"; {wrong} of {a.count} differ")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
