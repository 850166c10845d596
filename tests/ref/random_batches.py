#!/usr/bin/env python3
"""Batches of training beside the collators of Transformers: pairs, tags, texts by themselves, whole words that are hidden;
and the order of rows that are grouped by length.

Usage: random_batches.py BRIDGE SINTER [--count N] [--seed N]. BRIDGE: tests/trainer_bridge.so of the build."""
import ctypes
import json
import os
import random
import subprocess
import tempfile

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM,
                          AutoModelForTokenClassification, DataCollatorForLanguageModeling, DataCollatorForSeq2Seq,
                          DataCollatorForTokenClassification, DataCollatorWithFlattening, PreTrainedTokenizerFast)
from transformers.trainer_pt_utils import get_length_grouped_indices

from seeds import main

LETTERS = "abcdefgh"
TellTensor = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int64), ctypes.c_void_p)


def tokenizer(folder, pad):
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "</s>"]
    t = Tokenizer(models.WordPiece({w: i for i, w in enumerate(names + list(LETTERS) + ["##" + c for c in LETTERS])},
                                   unk_token="[UNK]"))
    t.normalizer = normalizers.Lowercase()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    t = PreTrainedTokenizerFast(tokenizer_object=t, pad_token=pad, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
                                mask_token="[MASK]", eos_token="</s>", model_max_length=48)
    t.save_pretrained(folder)
    return t


def text(rng):
    return " ".join("".join(rng.choice(LETTERS) for _ in range(rng.randint(1, 5))) + rng.choice(["", "", ",", " </s>"])
                    for _ in range(rng.randint(1, 9)))


def ours(bridge, config, rows, seed):
    found = {}

    def tell(name, ndim, dims, at):
        shape = [dims[i] for i in range(ndim)]
        n = int(np.prod(shape))
        found[name.decode()] = np.ctypeslib.as_array((ctypes.c_int64 * n).from_address(at)).reshape(shape).copy()

    message = ctypes.create_string_buffer(500)
    row = (ctypes.c_int64 * len(rows))(*rows)
    if bridge.batch_bridge(json.dumps(config).encode(), b".", row, ctypes.c_int64(len(rows)), ctypes.c_int64(seed),
                           TellTensor(tell), message):
        return message.value.decode()
    return found


def model(folder, kind, make, size, **more):
    small = dict(vocab_size=size, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                 max_position_embeddings=48)
    if kind == "t5":
        small = dict(vocab_size=size, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0)
    make.from_config(AutoConfig.for_model(kind, **small, **more)).save_pretrained(folder)


def unlike(got, want, keys):
    if isinstance(got, str):
        return got
    for k in keys:
        if got[k].shape != tuple(want[k].shape) or (got[k] != np.asarray(want[k])).any():
            return "%s: %s for %s" % (k, got[k].tolist(), np.asarray(want[k]).tolist())
    return ""


def pairs(bridge, d, rng, t, pick):
    model(d + "/model", "t5", AutoModelForSeq2SeqLM, len(t))
    rows = [{"text": text(rng), "target": text(rng)} for _ in range(12)]
    prefix = rng.choice(["", "a b: "])
    most, least = rng.randint(4, 48), rng.randint(3, 30)
    got = ours(bridge, write(d, rows, task="seq2seq-lm", max_length=most, max_target_length=least, source_prefix=prefix or None),
               pick, 1)
    e = [dict(t(prefix + r["text"], truncation=True, max_length=most, return_token_type_ids=False),
              labels=t(text_target=r["target"], truncation=True, max_length=least)["input_ids"]) for r in rows]
    return unlike(got, DataCollatorForSeq2Seq(t)([e[i] for i in pick]), ("input_ids", "attention_mask", "labels"))


def tags(bridge, d, rng, t, pick):
    model(d + "/model", "bert", AutoModelForTokenClassification, len(t), num_labels=3)
    rows = [{"tokens": text(rng).replace(",", "").replace("</s>", "").split() or ["a"]} for _ in range(12)]
    for i, r in enumerate(rows):
        r["ner_tags"] = [(i + k) % 3 for k in range(len(r["tokens"]))]
    every = rng.random() < 0.5
    got = ours(bridge, write(d, rows, task="token-classification", label_all_tokens=every), pick, 1)
    e = []
    for r in rows:
        x = t(r["tokens"], is_split_into_words=True, truncation=True, return_token_type_ids=False)
        words = x.word_ids()
        e.append(dict(x, labels=[-100 if w is None or (not every and w == words[i - 1]) else r["ner_tags"][w]
                                 for i, w in enumerate(words)]))
    return unlike(got, DataCollatorForTokenClassification(t)([e[i] for i in pick]), ("input_ids", "attention_mask", "labels"))


def alone(bridge, d, rng, t, pick):
    model(d + "/model", "llama", AutoModelForCausalLM, len(t), num_key_value_heads=2)
    rows = [{"text": text(rng)} for _ in range(12)]
    flat = rng.random() < 0.5
    got = ours(bridge, write(d, rows, task="text-generation", packing=False, padding_free=flat, block_size=40), pick, 1)
    e = [t(r["text"], truncation=True, max_length=40, return_token_type_ids=False) for r in rows]
    want = (DataCollatorWithFlattening() if flat else DataCollatorForLanguageModeling(t, mlm=False))([e[i] for i in pick])
    return unlike(got, want, ("input_ids", "position_ids" if flat else "attention_mask", "labels"))


def hidden(bridge, d, rng, t, pick):
    """Who may be hidden, and with whom; all of them where the probability is 1."""
    model(d + "/model", "bert", AutoModelForMaskedLM, len(t))
    rows = [{"text": text(rng)} for _ in range(12)]
    whole, p = rng.random() < 0.7, rng.choice([1.0, 0.5])
    got = ours(bridge, write(d, rows, task="fill-mask", whole_word_mask=whole, mlm_probability=p), pick, rng.randint(0, 9))
    if isinstance(got, str):
        return got
    e = [t(rows[i]["text"], truncation=True, return_offsets_mapping=True, return_special_tokens_mask=True) for i in pick]
    for i, x in enumerate(e):
        n = len(x["input_ids"])
        special, words = np.array([x["special_tokens_mask"]]), np.arange(n)[None]
        if whole:
            words, _ = DataCollatorForLanguageModeling._calc_word_ids_and_prob_mask(np.array([x["offset_mapping"]]), special)
        else:
            words[special == 1] = -1
        is_label = got["labels"][i, :n] != -100
        if (is_label & (words[0] == -1)).any() or (p == 1 and (is_label != (words[0] != -1)).any()):
            return "hidden %s of words %s" % (is_label.tolist(), words[0].tolist())
        for w in set(words[0]) - {-1}:
            if len(set(is_label[words[0] == w])) > 1:
                return "a part of word %d is hidden: %s of %s" % (w, is_label.tolist(), words[0].tolist())
        if (got["labels"][i, :n][is_label] != np.array(x["input_ids"])[is_label]).any():
            return "labels are other tokens"
        if (got["input_ids"][i, :n][~is_label] != np.array(x["input_ids"])[~is_label]).any():
            return "tokens changed that are not guessed"
        if got["input_ids"].max() >= len(t) or (got["labels"][i, n:] != -100).any():
            return "tokens out of range"
    return ""


def grouped(sinter, d, rng, t):
    """Batches of one row: how long they are is in the log."""
    model(d + "/model", "llama", AutoModelForCausalLM, len(t), num_key_value_heads=2)
    rows = [{"text": text(rng)} for _ in range(rng.randint(9, 60))]
    times, seed = rng.choice([1, 2, 5]), rng.randint(0, 99)
    config = write(d, rows, task="text-generation", packing=False, block_size=48, train_sampling_strategy="group_by_length",
                   gradient_accumulation_steps=times, per_device_train_batch_size=1, num_train_epochs=1, logging_steps=1,
                   include_num_input_tokens_seen="non_padding", seed=seed, save_strategy="no", max_grad_norm=1.0)
    with open(d + "/config.json", "w") as f:
        json.dump(config, f)
    r = subprocess.run([sinter, "train", d + "/config.json", "-q", "--device", "interp"], capture_output=True, text=True)
    if r.returncode:
        return r.stderr
    with open(d + "/out/train_log.jsonl") as f:
        seen = [x["num_input_tokens_seen"] for x in map(json.loads, f) if "loss" in x]
    lengths = [len(t(r["text"], truncation=True, max_length=48)["input_ids"]) for r in rows]
    drawn = torch.tensor(np.random.default_rng(seed).permutation(len(rows)))
    real, torch.randperm = torch.randperm, lambda n, generator=None: drawn
    order = get_length_grouped_indices(lengths, times)
    torch.randperm = real
    want = [sum(lengths[i] for i in order[:(k + 1) * times]) for k in range(-(-len(rows) // times))]
    return "" if seen == want else "grouped by length: %s for %s" % (seen, want)


def write(d, rows, **more):
    with open(d + "/rows.jsonl", "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in rows)
    config = dict(model_name_or_path=d + "/model", train_file=d + "/rows.jsonl", output_dir=d + "/out", **more)
    return {k: v for k, v in config.items() if v is not None}


def one(args, seed):
    bridge, sinter, rng = ctypes.CDLL(args.bridge), args.sinter, random.Random(seed)
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as d:
        t = tokenizer(d + "/model", rng.choice(["[PAD]", "</s>"]))
        kind = [pairs, tags, alone, hidden, grouped][seed % 5]
        if kind is grouped:
            return grouped(sinter, d, rng, t)
        pick = [rng.randrange(12) for _ in range(rng.randint(1, 6))]
        said = kind(bridge, d, rng, t, pick)
        return said and "%s: %s" % (kind.__name__, said)


transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
os.environ["TOKENIZERS_PARALLELISM"] = "false"
main(one, 25, "bridge", "sinter")
