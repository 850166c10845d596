#!/usr/bin/env python3
"""Compares `sinter tokenize` with the package tokenizers on random tokenizer.json files.

usage: random_tokenizers.py SINTER [--count N] [--seed S] [--map TOKENIZER.JSON]

Each file has a random normalizer, pre-tokenizer, model, post-processor, decoder and added tokens over a small
vocabulary; --map names a file whose precompiled_charsmap is used too. What the reference refuses or panics at is
skipped; what sinter names as unsupported is counted. Exit 1 where something differs. Needs tokenizers 0.23.3.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer

SIGN, SPACE = "\u2581", "\u0120"
ALPHABET = "aabbcdexyzABZ 019.,!-'\t\n" + "\u00e9\u0301\u0323\u00c5\u0130\ufb01\u1e9b\u4e2d\ud55c\u3042\u200b\u00a0" \
    + SIGN + SPACE + "\U0001F600"


def pick(r, *kinds):
    return r.choice(kinds)


def flag(r):
    return r.random() < 0.5


def some(r, make, depth, least=0):
    return [make(r, depth + 1) for _ in range(r.randrange(least, 4))]


def normalizer(r, depth=0):
    kind = r.randrange(10 if depth < 2 else 8)
    if kind < 3:
        return {"type": pick(r, "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")}
    if kind == 3:
        return {"type": "BertNormalizer", "clean_text": flag(r), "handle_chinese_chars": flag(r),
                "strip_accents": pick(r, None, True, False), "lowercase": flag(r)}
    if kind == 4:
        return {"type": "Strip", "strip_left": flag(r), "strip_right": flag(r)}
    if kind == 5:
        return {"type": "Prepend", "prepend": pick(r, SIGN, "ab", "\u0301", "")}
    if kind == 6:
        pattern = pick(r, {"String": pick(r, " ", "a", "ab", "\u0301", "")},
                       {"Regex": pick(r, r"\s+", " {2,}", "[ab]", "a|b+", r"\p{L}", "a*", r"\d")})
        return {"type": "Replace", "pattern": pattern, "content": pick(r, SIGN, "", "xyz", " ", "\u00e9")}
    if kind == 7 and charsmap:
        return {"type": "Precompiled", "precompiled_charsmap": charsmap}
    return {"type": "Sequence", "normalizers": some(r, normalizer, depth)} if depth < 2 else {"type": "NFC"}


def pre_tokenizer(r, depth=0):
    kind = r.randrange(12 if depth < 2 else 11)
    behavior = pick(r, "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")
    if kind < 2:
        return {"type": pick(r, "BertPreTokenizer", "Whitespace", "WhitespaceSplit", "UnicodeScripts")}
    if kind == 2:
        return {"type": "ByteLevel", "add_prefix_space": flag(r), "trim_offsets": flag(r), "use_regex": flag(r)}
    if kind == 3:
        return {"type": "CharDelimiterSplit", "delimiter": pick(r, " ", "a", "-", "\u4e2d")}
    if kind == 4:
        return {"type": "Punctuation", "behavior": behavior}
    if kind == 5:
        return {"type": "Digits", "individual_digits": flag(r)}
    if kind == 6:
        return {"type": "FixedLength", "length": r.randrange(1, 6)}
    if kind in (7, 8):
        return {"type": "Metaspace", "replacement": pick(r, SIGN, SPACE, "_"),
                "prepend_scheme": pick(r, "always", "first", "never"), "split": flag(r)}
    if kind in (9, 10):
        pattern = pick(r, {"String": pick(r, " ", "a", "ab")},
                       {"Regex": pick(r, r"\s+", r"\p{L}+|\p{N}", r" ?\p{L}+|\s+(?!\S)|\s+", "[^ab]+", r"\w+|[^\w\s]+")})
        return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": flag(r)}
    return {"type": "Sequence", "pretokenizers": some(r, pre_tokenizer, depth)}


def words(r, n, extra=""):
    return {"".join(r.choices(ALPHABET + extra, k=r.choice([1, 1, 2, 2, 3, 4]))) for _ in range(n)}


def shuffled(r, tokens):
    tokens = sorted(tokens)
    r.shuffle(tokens)
    return {t: i for i, t in enumerate(tokens)}


def bpe(r):
    prefix, suffix = pick(r, "", "", None, "##"), pick(r, "", None, None, "</w>")
    tokens, merges = set(r.sample(sorted(set(ALPHABET)), 20)), []
    tokens |= {c + suffix for c in tokens if suffix} | {prefix + c for c in tokens if prefix and flag(r)}
    for _ in range(r.randrange(60)):
        a, b = r.choice(sorted(tokens)), r.choice(sorted(tokens))
        joined = a + (b[len(prefix):] if prefix and b.startswith(prefix) else b)
        merges.append([a, b])
        tokens.add(joined)
    tokens |= {"?"} if flag(r) else set()
    fallback = not prefix and not suffix and flag(r)
    tokens |= {f"<0x{i:02X}>" for i in range(256) if flag(r) or i > 1} if fallback else set()
    if flag(r):
        merges = [m for m in merges if not any(" " in t for t in m)]
        merges = [" ".join(m) for m in merges]
    return {"type": "BPE", "dropout": None, "unk_token": "?" if "?" in tokens else None,
            "continuing_subword_prefix": prefix, "end_of_word_suffix": suffix, "fuse_unk": flag(r),
            "byte_fallback": fallback, "ignore_merges": flag(r), "vocab": shuffled(r, tokens), "merges": merges}


def unigram(r):
    tokens = ["?"] + sorted(words(r, 60) | set(r.sample(ALPHABET, 15)))
    fallback = flag(r)
    tokens += [f"<0x{i:02X}>" for i in range(256) if i > 1] if fallback else []
    return {"type": "Unigram", "unk_id": 0, "byte_fallback": fallback,
            "vocab": [[t, -r.choice([r.random() * 10, float(r.randrange(5)), 1.5])] for t in tokens]}


def model(r):
    kind = r.randrange(4)
    if kind == 0:
        return bpe(r)
    if kind == 1:
        return unigram(r)
    if kind == 2:
        prefix = pick(r, "##", "", SIGN)
        tokens = {"?"} | words(r, 60) | {prefix + w for w in words(r, 60)}
        return {"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": prefix,
                "max_input_chars_per_word": pick(r, 5, 100), "vocab": shuffled(r, tokens)}
    return {"type": "WordLevel", "unk_token": "?", "vocab": shuffled(r, {"?"} | words(r, 150))}


def ids_of(m):
    return [t for t, _ in m["vocab"]] if m["type"] == "Unigram" else list(m["vocab"])


def post_processor(r, tokens, depth=0):
    def token():
        i = r.randrange(len(tokens))
        return [tokens[i], i]

    kind = r.randrange(6 if depth == 0 else 2)
    if kind == 0:
        return None if depth == 0 else {"type": "ByteLevel", "add_prefix_space": flag(r), "trim_offsets": False}
    if kind == 1:
        return {"type": "ByteLevel", "add_prefix_space": flag(r), "trim_offsets": flag(r), "use_regex": flag(r)}
    if kind == 2:
        return {"type": "BertProcessing", "sep": token(), "cls": token()}
    if kind == 3:
        return {"type": "RobertaProcessing", "sep": token(), "cls": token(), "trim_offsets": flag(r),
                "add_prefix_space": flag(r)}
    if kind == 4:
        def piece(which):
            return {"Sequence": {"id": which, "type_id": r.randrange(3)}}
        special = {"SpecialToken": {"id": "S", "type_id": r.randrange(3)}}
        single = r.choice([[special, piece("A")], [piece("A")], [special, piece("A"), special, special]])
        pair = r.choice([[piece("A"), piece("B")], [special, piece("B"), special, piece("A")]])
        tok = token()
        return {"type": "TemplateProcessing", "single": single, "pair": pair,
                "special_tokens": {"S": {"id": "S", "ids": [tok[1]] * r.randrange(1, 3), "tokens": [tok[0]] * 2}}}
    return {"type": "Sequence", "processors": [post_processor(r, tokens, 1)]}


def decoder(r, depth=0):
    kind = r.randrange(11 if depth < 2 else 9)
    if kind == 0:
        return {"type": "BPEDecoder", "suffix": pick(r, "</w>", "a", " ")}
    if kind == 1:
        return {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    if kind == 2:
        return {"type": "WordPiece", "prefix": pick(r, "##", "", SIGN), "cleanup": flag(r)}
    if kind == 3:
        return {"type": "Metaspace", "replacement": pick(r, SIGN, SPACE), "prepend_scheme": pick(r, "always", "never")}
    if kind == 4:
        return {"type": "CTC", "pad_token": pick(r, "a", "b"), "word_delimiter_token": "|", "cleanup": flag(r)}
    if kind == 5:
        return {"type": "Replace", "pattern": pick(r, {"String": SIGN}, {"Regex": "[ab]+"}), "content": " "}
    if kind in (6, 7):
        return {"type": pick(r, "Fuse", "ByteFallback")}
    if kind == 8:
        return {"type": "Strip", "content": " ", "start": r.randrange(3), "stop": 0}
    return {"type": "Sequence", "decoders": some(r, decoder, depth, 1)}


def added(r, n):
    """With all 32 combinations of flags."""
    contents = [pick(r, "<s>", "ab", "a", "[X]", " b", "\u00e9", "e\u0301", "A", "\u4e2d", "b-a", "<mask>", "  ") for _ in range(n)]
    return [{"id": i, "content": c, "single_word": flag(r), "lstrip": flag(r), "rstrip": flag(r), "normalized": flag(r),
             "special": flag(r)} for i, c in enumerate(dict.fromkeys(contents))]


def tokenizer(r):
    m = model(r)
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added(r, r.randrange(5)),
            "normalizer": normalizer(r) if r.random() < 0.6 else None,
            "pre_tokenizer": pre_tokenizer(r) if r.random() < 0.8 else None,
            "post_processor": post_processor(r, ids_of(m)), "decoder": decoder(r) if flag(r) else None, "model": m}


def text(r):
    parts = [pick(r, "<s>", "ab", "[X]", " b", "<mask>", "  ") if r.random() < 0.15 else r.choice(ALPHABET)
             for _ in range(r.choice([0, 1, 2, 4, 8, 16, 40]))]
    return "".join(parts)


def attempt(call):
    try:
        return call()
    except BaseException as e:  # a panic of the reference is no Exception
        if isinstance(e, KeyboardInterrupt):
            raise
        return None


def shape(e):
    return None if e is None else [e.ids, [list(o) for o in e.offsets], e.type_ids, e.special_tokens_mask]


def run(folder, flags, values):
    p = subprocess.run([sinter, "tokenize", folder, "--json", "--no-cache", *flags],
                       input="".join(json.dumps(v) + "\n" for v in values).encode(), capture_output=True)
    if p.returncode != 0:
        return p.returncode, p.stderr.decode().strip()
    return 0, [json.loads(line) for line in p.stdout.splitlines()]


def reference_of(j, texts):
    """What the reference gives, from a process of its own: it may abort. None: it refuses the file."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        out = None
        reference = attempt(lambda: Tokenizer.from_str(json.dumps(j)))
        if reference is not None:
            rows = [shape(attempt(lambda t=t: reference.encode(t))) for t in texts]
            back = [w and attempt(lambda w=w: reference.decode(w[0], skip_special_tokens=False)) for w in rows]
            out = [rows, back]
        with os.fdopen(writing, "w") as f:
            json.dump(out, f)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as f:
        out = f.read()
    os.waitpid(child, 0)
    return json.loads(out) if out else None


def compare(folder, texts, want, counts):
    kept = [(t, w, b) for t, w, b in zip(texts, *want) if w is not None]
    code, got = run(folder, [], [t for t, _, _ in kept])
    if code == 3:
        counts["unsupported: " + got.split(": ")[-1][:60]] += 1
        return []
    if code != 0:
        return [f"exit {code}: {got}"]
    bad = []
    for (t, w, _), g in zip(kept, got):
        counts["strings"] += 1
        g = [g["ids"], g["offsets"], g["type_ids"], g["special_tokens_mask"]]
        if w != g:
            bad.append(f"{t!a}\n    want {w}\n    got  {g}")
    code, got = run(folder, ["--decode"], [w[0] for _, w, _ in kept])
    if code != 0:
        return bad + [f"decode: exit {code}: {got}"]
    return bad + [f"decode {w[0]}: want {b!a}, got {g!a}" for (_, w, b), g in zip(kept, got) if b is not None and b != g]


def main():
    counts, nbad = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(args.seed, args.seed + args.count):
            r = random.Random(i)
            j = tokenizer(r)
            texts = [text(r) for _ in range(40)]
            want = reference_of(j, texts)
            if want is None:
                counts["refused by the reference"] += 1
                continue
            pathlib.Path(folder, "tokenizer.json").write_text(json.dumps(j))
            counts["files"] += 1
            bad = compare(folder, texts, want, counts)
            if not bad:
                continue
            nbad += 1
            short = {k: v for k, v in j.items() if k not in ("model", "version", "truncation", "padding")}
            short["model"] = {k: v for k, v in j["model"].items() if k not in ("vocab", "merges")}
            print(f"seed {i}: {len(bad)} differ: {re.sub('ALQ[^ ]*', 'MAP', json.dumps(short))}\n  {bad[0][:1500]}", flush=True)
            if args.keep:
                pathlib.Path(args.keep, f"bad{i}.json").write_text(json.dumps(j))
    print(dict(counts), f"{nbad} files differ")
    return 1 if nbad else 0


parser = argparse.ArgumentParser()
parser.add_argument("sinter")
parser.add_argument("--count", type=int, default=200)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--map")
parser.add_argument("--keep")
args = parser.parse_args()
sinter = args.sinter
charsmap = json.loads(pathlib.Path(args.map).read_text())["normalizer"]["precompiled_charsmap"] if args.map else None
sys.exit(main())
