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
        return {"type": "Prepend", "prepend": pick(r, SIGN, "ab", "\u0301")}
    if kind == 6:
        pattern = pick(r, {"String": pick(r, " ", "a", "ab", "\u0301", "")},
                       {"Regex": pick(r, r"\s+", " {2,}", "[ab]", "a|b+", r"\p{L}", "a*", r"\d")})
        return {"type": "Replace", "pattern": pattern, "content": pick(r, SIGN, "", "xyz", " ", "\u00e9")}
    if kind == 7 and charsmap:
        return {"type": "Precompiled", "precompiled_charsmap": charsmap}
    return {"type": "Sequence", "normalizers": some(r, normalizer, depth)} if depth < 2 else {"type": "NFC"}


def far(r, depth=0):
    """A pattern that looks ahead, or behind, over any number of characters."""
    def part():
        kind = r.randrange(12 if depth < 2 else 5)
        if kind < 5:
            return r.choice(["a", "b", "[ab]", "[^a]", r"\d", r"\s", r"\S", r"\p{L}", r"\w", ".", "9", " "])
        if kind < 7:
            inside = far(r, depth + 1)
            return f"(?{pick(r, '=', '!', '<=', '<!')}{inside})"
        if kind == 7:
            return pick(r, r"\b", r"\B", "^", "$", r"\A", r"\Z", r"\z", r"(?!\S)", r"(?=(\d{3})+(?!\d))")
        return f"(?:{far(r, depth + 1)}){pick(r, '', '*', '+', '?', '{2}', '{1,3}', '*?', '+?')}"
    return "|".join("".join(part() for _ in range(r.randrange(1, 4))) for _ in range(pick(r, 1, 1, 2, 3)))


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
                       {"Regex": pick(r, r"\s+", r"\p{L}+|\p{N}", r" ?\p{L}+|\s+(?!\S)|\s+", "[^ab]+", r"\w+|[^\w\s]+",
                                      far(r), far(r), far(r))})
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

    kind = r.randrange(6) if depth == 0 else 1 if depth == 1 else r.randrange(1, 5)
    if kind == 0:
        return None if depth != 1 else {"type": "ByteLevel", "add_prefix_space": flag(r), "trim_offsets": False}
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
        tok, n = token(), r.randrange(1, 3)
        return {"type": "TemplateProcessing", "single": single, "pair": pair,
                "special_tokens": {"S": {"id": "S", "ids": [tok[1]] * n, "tokens": [tok[0]] * n}}}
    parts = [post_processor(r, tokens, 1) for _ in range(r.randrange(3))]
    return {"type": "Sequence", "processors": parts + [post_processor(r, tokens, 2)]}


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


KEYS = {"ids": "ids", "offsets": "offsets", "type_ids": "type_ids", "special_tokens_mask": "special_tokens_mask",
        "attention_mask": "attention_mask", "word_ids": "word_ids", "sequence_ids": "sequence_ids", "tokens": "tokens"}


def shape(e):
    if e is None:
        return None
    return [[list(o) if isinstance(o, tuple) else o for o in getattr(e, k)] for k in KEYS] + [[shape(o)[:-1] for o in e.overflowing]]


def shape_of(g):
    return [g[k] for k in KEYS.values()] + [[shape_of(o)[:-1] for o in g.get("overflow", [])]]


def spoken(r):
    """Words of a text that was split before."""
    return [text(r)[:r.choice([0, 1, 3, 8])] for _ in range(r.randrange(6))]


def modes(r, tokens):
    """Ways to call: a name, inputs, flags of the command, and what is done to the reference."""
    def cut():
        length, stride = r.randrange(1, 9), r.choice([0, 0, 1, 2, 3])
        strategy, side = pick(r, "longest_first", "only_first", "only_second"), pick(r, "left", "right")
        return (["--max-length", str(length), "--stride", str(stride), "--truncation", strategy, "--truncation-side", side],
                lambda t: t.enable_truncation(length, stride=stride, strategy=strategy, direction=side))

    def pad():
        i = r.randrange(len(tokens))
        side, length, multiple = pick(r, "left", "right"), pick(r, None, None, 3, 12), pick(r, None, None, 1, 4)
        flags = ["--pad", "--pad-side", side, "--pad-token", tokens[i]]
        flags += ["--pad-length", str(length)] if length else []
        flags += ["--pad-multiple", str(multiple)] if multiple else []
        return flags, lambda t: t.enable_padding(direction=side, pad_id=i, pad_token=tokens[i], length=length,
                                                 pad_to_multiple_of=multiple)

    def pairs(make, n):
        return [[make(r), make(r)] for _ in range(n)]

    yield "plain", [text(r) for _ in range(40)], [], []
    yield "pair", pairs(text, 12), ["--pair"], []
    for kind, values, flags in (("cut", [text(r) for _ in range(12)], []), ("cut pair", pairs(text, 12), ["--pair"]),
                                ("cut words", [spoken(r) for _ in range(8)], ["--words"])):
        more, change = cut()
        yield kind, values, flags + more, [change]
    yield "words", [spoken(r) for _ in range(12)], ["--words"], []
    yield "word pairs", pairs(spoken, 8), ["--words", "--pair"], []
    yield "bare", pairs(text, 6), ["--pair", "--no-special"], []
    more, change = pad()
    yield "pad", [text(r) for _ in range(8)], more, [change]
    cuts, change_cut = cut()
    yield "cut and pad", pairs(text, 8), ["--pair"] + more + cuts, [change, change_cut]


def run(folder, flags, values):
    p = subprocess.run([sinter, "tokenize", folder, "--json", "--no-cache", *flags],
                       input="".join(json.dumps(v) + "\n" for v in values).encode(), capture_output=True)
    if p.returncode != 0:
        return p.returncode, p.stderr.decode().strip()
    return 0, [json.loads(line) for line in p.stdout.splitlines()]


def encoded(t, values, flags):
    """Shapes of the values, None where the reference fails; all together where they are padded."""
    words, special = "--words" in flags, "--no-special" not in flags
    pair = "--pair" in flags

    def batch(vs):
        out = attempt(lambda: t.encode_batch([tuple(v) for v in vs] if pair else vs, is_pretokenized=words,
                                             add_special_tokens=special))
        return [shape(e) for e in out] if out is not None else None

    if "--pad" in flags:
        return batch(values) or [None] * len(values)
    return [(batch([v]) or [None])[0] for v in values]


def references_of(j, calls):
    """What the reference gives for each call, from a process of its own: it may abort. None: it refuses the file."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        out = []
        for _, values, flags, changes in calls:
            t = attempt(lambda: Tokenizer.from_str(json.dumps(j)))
            # Where an added token is normalised to nothing the reference cuts texts at each byte, and panics.
            if t is None or any(a["normalized"] and t.normalizer and not t.normalizer.normalize_str(a["content"])
                                for a in j["added_tokens"]):
                out = None
                break
            ok = all(attempt(lambda c=c: c(t) or True) for c in changes)
            out.append(encoded(t, values, flags) if ok else [None] * len(values))
        back = None
        if out is not None:
            back = [w and attempt(lambda w=w: t.decode(w[0], skip_special_tokens=False)) for w in out[0]]
        with os.fdopen(writing, "w") as f:
            json.dump([out, back], f)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as f:
        out = f.read()
    os.waitpid(child, 0)
    return json.loads(out) if out else [None, None]


def differs(w, g):
    """The first differing parts of two shapes."""
    for key, x, y in zip([*KEYS, "overflow"], w, g):
        if x != y and key != "overflow":
            return f"{key}\n    want {x!a}\n    got  {y!a}\n    of {w[0]} {w[1]}"
        if x != y:
            return f"overflow of {len(x)}, {len(y)}: " + next((differs(p, q) for p, q in zip(x, y) if p != q), "")
    return ""


def compare(folder, calls, wants, back, counts):
    bad = []
    for (name, values, flags, _), want in zip(calls, wants):
        kept = [(v, w) for v, w in zip(values, want) if w is not None]
        if not kept:
            continue
        code, got = run(folder, flags, [v for v, _ in kept])
        if code == 3:
            counts["unsupported: " + got.split(": ")[-1][:60]] += 1
            return bad
        if code != 0:
            bad.append(f"{name} {flags}: exit {code}: {got}")
            continue
        counts[name] += len(kept)
        bad += [f"{name} {flags}: {v!a}\n    {differs(w, shape_of(g))}" for (v, w), g in zip(kept, got) if w != shape_of(g)]
    kept = [(w, b) for w, b in zip(wants[0], back) if w is not None]
    code, got = run(folder, ["--decode"], [w[0] for w, _ in kept])
    if code != 0:
        return bad + [f"decode: exit {code}: {got}"]
    return bad + [f"decode {w[0]}: want {b!a}, got {g!a}" for (w, b), g in zip(kept, got) if b is not None and b != g]


def main():
    counts, nbad = collections.Counter(), 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(args.seed, args.seed + args.count):
            r = random.Random(i)
            j = tokenizer(r)
            calls = list(modes(r, ids_of(j["model"])))
            wants, back = references_of(j, calls)
            if wants is None:
                counts["refused by the reference"] += 1
                continue
            pathlib.Path(folder, "tokenizer.json").write_text(json.dumps(j))
            counts["files"] += 1
            bad = compare(folder, calls, wants, back, counts)
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
