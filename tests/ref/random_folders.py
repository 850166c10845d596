#!/usr/bin/env python3
"""Compares `sinter tokenize` on folders without tokenizer.json with Transformers: a folder a tokenizer class.

usage: random_folders.py SINTER CORPUS.TXT [CLASS...]

Small SentencePiece models and vocab.json + merges.txt are trained on the corpus; AutoTokenizer's backend is the
reference for ids, offsets, types, pairs and decoded texts of random strings. Exit 1 where something differs. Needs
transformers 5.23, tokenizers 0.23.3 and sentencepiece.
"""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import sentencepiece
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

SPM = {"plain": {}, "cf": {"normalization_rule_name": "nmt_nfkc_cf", "user_defined_symbols": ["<x>"]},
       "t5": {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
       "albert": {"pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "control_symbols": ["[CLS]", "[SEP]", "[MASK]"],
                  "user_defined_symbols": ["(", "_x"], "normalization_rule_name": "nfkc"},
       "gemma": {"byte_fallback": True, "pad_id": 0, "eos_id": 1, "bos_id": 2, "unk_id": 3, "add_dummy_prefix": False,
                 "normalization_rule_name": "identity", "remove_extra_whitespaces": False},
       "llama": {"byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False}}
UNIGRAM = {"Albert": ["albert"], "FNet": ["albert"], "XLMRoberta": ["plain", "cf"], "Camembert": ["plain"],
           "Barthez": ["plain"], "DebertaV2": ["albert", "plain"], "MBart": ["plain"], "MBart50": ["plain"],
           "XLNet": ["albert", "plain"], "RemBert": ["albert"], "Pegasus": ["t5"], "T5": ["t5", "cf"], "BigBird": ["albert"],
           "XGLM": ["plain"], "MLuke": ["plain"]}
BPE = {"Nllb": ["plain"], "Reformer": ["plain"], "CodeLlama": ["llama"], "Gemma": ["gemma"]}
S, G = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], ["<|endoftext|>"]
PAIRS = {"Roberta": S, "Bart": S, "Longformer": S, "LayoutLMv3": S, "Luke": S, "Blenderbot": S, "GPT2": G, "CodeGen": G,
         "Qwen2": G, "GPTNeoX": G, "Cohere": G, "Deberta": ["[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"],
         "CLIP": ["<|startoftext|>", "<|endoftext|>"], "Whisper": [*G, "<|startoftranscript|>", "<|notimestamps|>"],
         "Herbert": S, "OpenAIGPT": ["<unk>"]}


def train_spm(corpus, work, kind, name):
    path = work / f"{kind}_{name}"
    if not path.with_suffix(".model").exists():
        sentencepiece.SentencePieceTrainer.train(input=corpus, model_prefix=str(path), vocab_size=700, model_type=kind,
                                                 character_coverage=0.99, minloglevel=2, hard_vocab_limit=False, **SPM[name])
    return path.with_suffix(".model").read_bytes()


def write_pairs(corpus, folder, name, special):
    suffix = "</w>" if name in ("CLIP", "Herbert", "OpenAIGPT") else ""
    t = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix=suffix) if suffix else models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.train([corpus], trainers.BpeTrainer(vocab_size=900, special_tokens=special, end_of_word_suffix=suffix,
                                          initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.model.save(str(folder))


def text(r, pieces):
    parts = [r.choice(pieces) if r.random() < 0.4 else chr(r.choice([r.randrange(32, 127), r.randrange(160, 0x3100)]))
             for _ in range(r.choice([0, 1, 3, 8, 20]))]
    return "".join(parts) + r.choice(["", " ", "  ", "\n\t", "\U0001F600"])


def call(sinter, folder, flags, values):
    lines = "".join(json.dumps(v) + "\n" for v in values).encode()
    p = subprocess.run([sinter, "tokenize", str(folder), "--json", "--no-cache", *flags], input=lines, capture_output=True)
    if p.returncode != 0:
        sys.exit(f"{folder.name}: exit {p.returncode}: {p.stderr.decode()}")
    return [json.loads(line) for line in p.stdout.splitlines()]


def check(sinter, folder):
    # A copy: CLIP's class wraps what its backend decodes.
    reference = Tokenizer.from_str(transformers.AutoTokenizer.from_pretrained(folder).backend_tokenizer.to_str())
    r = random.Random(folder.name)
    texts = [text(r, sorted(reference.get_vocab())) for _ in range(300)]
    want = reference.encode_batch(texts)
    pairs = list(zip(texts[::7], texts[1::7]))
    bad = [t for t, e, g in zip(texts, want, call(sinter, folder, [], texts))
           if (e.ids, [list(o) for o in e.offsets], e.type_ids) != (g["ids"], g["offsets"], g["type_ids"])]
    bad += [p for p, e, g in zip(pairs, reference.encode_batch(pairs), call(sinter, folder, ["--pair"], pairs))
            if (e.ids, e.type_ids) != (g["ids"], g["type_ids"])]
    back = call(sinter, folder, ["--decode", "--skip-special"], [e.ids for e in want])
    bad += [e.ids for e, b in zip(want, back) if reference.decode(e.ids) != b]
    print(f"{folder.name}: {len(texts)} texts, {len(bad)} differ", *map(ascii, bad[:1]), flush=True)
    return len(bad)


def main():
    sinter, corpus, only = sys.argv[1], sys.argv[2], sys.argv[3:]
    differ = 0
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        rows = [(c, k, m) for k, all in (("unigram", UNIGRAM), ("bpe", BPE)) for c, ms in all.items() for m in ms]
        rows += [(c, "pairs", "") for c in PAIRS]
        for name, kind, model in rows:
            if only and name not in only:
                continue
            folder = work / "_".join(filter(None, (name, kind, model)))
            folder.mkdir()
            (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name + "Tokenizer"}))
            if kind == "pairs":
                write_pairs(corpus, folder, name, PAIRS[name])
            else:
                file = getattr(transformers, name + "Tokenizer").vocab_files_names.get("vocab_file", "tokenizer.model")
                (folder / file).write_bytes(train_spm(corpus, work, kind, model))
            differ += check(sinter, folder)
    return 1 if differ else 0


sys.exit(main())
