#!/usr/bin/env python3
"""tiktoken_ranks.py SINTER [--count 200] [--seed 1]: folders with nothing but a file of ranks, by each name that says how its
texts are split: `sinter tokenize` and tiktoken's Encoding of the same ranks give random texts the same ids. Needs tiktoken,
tokenizers, gguf. Exit 1: something differs."""
import argparse
import base64
import os
import random
import sys
import tempfile

import tiktoken
import tiktoken_ext.openai_public as public

from gguf_splits import SPLITS, ask, text_of, train

FILES = {"gpt2.tiktoken": "gpt2", "r50k_base.tiktoken": "r50k_base", "p50k_base.tiktoken": "p50k_base",
         "cl100k_base.tiktoken": "cl100k_base", "o200k_base.tiktoken": "o200k_base", "tokenizer.model": "llama-bpe",
         "qwen.tiktoken": "qwen2", "multilingual.tiktoken": "gpt2"}


def pattern(name):
    """How the package splits; the ranks that it would fetch are not asked for."""
    if name in SPLITS:  # those of Llama 3 and Qwen come without the package
        return SPLITS[name][0]
    public.load_tiktoken_bpe = public.data_gym_to_mergeable_bpe_ranks = lambda *a, **k: {bytes([i]): i for i in range(256)}
    return getattr(public, name)()["pat_str"]


def ranks_of(t):
    """Tokens as bytes: single ones first, then as they were merged."""
    bytes_of, ranks = {c: b for b, c in unicode_of().items()}, {bytes([i]): i for i in range(256)}
    for token in sorted(t.get_vocab(), key=t.get_vocab().get):
        ranks.setdefault(bytes(bytes_of[c] for c in token), len(ranks))
    return ranks


def unicode_of():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(other)}}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("sinter")
    p.add_argument("--count", type=int, default=200)
    p.add_argument("--seed", type=int, default=1)
    args, bad = p.parse_args(), 0
    for name, encoding in FILES.items():
        r = random.Random(f"{name} {args.seed}")
        trained = train(SPLITS["gpt-2"], [text_of(r) for _ in range(300)])
        vocab = {t: i for t, i in trained.get_vocab().items() if t != "<s>"}
        trained.get_vocab = lambda vocab=vocab: vocab
        ranks = ranks_of(trained)
        own = tiktoken.Encoding("own", pat_str=pattern(encoding), mergeable_ranks=ranks, special_tokens={})
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, name), "wb") as f:
                f.writelines(base64.b64encode(k) + b" %d\n" % v for k, v in ranks.items())
            texts = [text_of(r) for _ in range(args.count)]
            got = ask(args.sinter, folder, texts)
        wrong = [(x, g, own.encode_ordinary(x)) for x, g in zip(texts, got) if g != own.encode_ordinary(x)] \
            if isinstance(got, list) else [got]
        print(f"{name}: {args.count - len(wrong)} of {args.count} equal" if isinstance(got, list) else f"{name}: {got}")
        for w in wrong[:2] if isinstance(got, list) else []:
            print(" ", w)
        bad += len(wrong)
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
