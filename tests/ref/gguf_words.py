#!/usr/bin/env python3
"""gguf_words.py SINTER [FOLDER...] [--count 300]: WordPiece tokenizers of folders with a vocab.txt, written to a GGUF file
as llama.cpp's converter writes BERT's, read from there: what BertTokenizer of Transformers makes of random texts. Without
folders: two small vocabularies, one with capital letters. Needs gguf, transformers. Exit 1: something differs."""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

import gguf
from transformers import BertTokenizerFast

SPECIAL = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
WORDS = ["hello", "world", "caf", "##e", "##é", "fox", "##es", "don", "'", "t", "a", "##b", "123", "##4", ",", ".", "字", "!",
         "##ing", "new", "york", "##s", "naive", "[", "]"]


def write(path, lines):
    w = gguf.GGUFWriter(path, "bert")
    kinds = [gguf.TokenType.CONTROL if t in SPECIAL.values() else gguf.TokenType.NORMAL for t in lines]
    w.add_tokenizer_model("bert")
    w.add_tokenizer_pre("default")
    w.add_token_list([t if k == gguf.TokenType.CONTROL else t[2:] if t.startswith("##") else "\u2581" + t
                      for t, k in zip(lines, kinds)])
    w.add_token_types(kinds)
    for key, add in (("unk", w.add_unk_token_id), ("sep", w.add_sep_token_id), ("pad", w.add_pad_token_id),
                     ("cls", w.add_bos_token_id), ("mask", w.add_mask_token_id)):
        add(lines.index(SPECIAL[key]))
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file(), w.close()


def random_text(r, lines):
    pieces = [t[2:] if t.startswith("##") else t for t in r.sample(lines, min(len(lines), 12))]
    extra = [" ", "  ", "\t", "É", "ü", "ﬁ", "A", "z", "\u00ad", "東京", "🙂", "...", "don't", "[MASK]", "x" * 101, "İ", "ß"]
    return "".join(r.choice(pieces + extra + [" "] * 8) for _ in range(r.randrange(12)))


def compare(sinter, name, lines, lowers, count):
    r, bad = random.Random(name), 0
    with tempfile.TemporaryDirectory() as where:
        with open(f"{where}/vocab.txt", "w") as f:
            f.write("".join(t + "\n" for t in lines))
        reference = BertTokenizerFast(f"{where}/vocab.txt", do_lower_case=lowers)
        write(f"{where}/m.gguf", lines)
        texts = [random_text(r, lines) for _ in range(count)]
        done = subprocess.run([sinter, "tokenize", f"{where}/m.gguf", "--json"], capture_output=True, text=True,
                              input="".join(json.dumps(t) + "\n" for t in texts))
    if done.returncode:
        print(f"{name}: {done.stderr.strip()}")
        return 1
    for text, line in zip(texts, done.stdout.splitlines()):
        expected = reference(text)["input_ids"]
        if json.loads(line)["ids"] != expected:
            bad += 1
            if bad < 5:
                print(f"{name}: {text!r}: {json.loads(line)['ids']}, expected {expected}")
    print(f"{name}: {count - bad} of {count} equal")
    return bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument("sinter")
    p.add_argument("folder", nargs="*")
    p.add_argument("--count", type=int, default=300)
    o = p.parse_args()
    small = list(SPECIAL.values()) + ["[unused1]"] + WORDS
    bad = compare(o.sinter, "lowered", small, True, o.count)
    bad += compare(o.sinter, "with capitals", small + list("ABDEHNWXYZ") + ["New", "York"], False, o.count)
    for folder in o.folder:
        with open(f"{folder}/vocab.txt", encoding="utf-8") as f:
            lines = f.read().split("\n")[:-1]
        bad += compare(o.sinter, os.path.basename(folder), lines, "uncased" in folder, o.count)
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
