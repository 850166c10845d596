#!/usr/bin/env python3
"""Answers of question-answering training beside run_qa.py's: windows, the n best spans of a tiny BERT's logits, questions
that have no answer, exact match and F1.

Usage: random_answers.py SINTER [--count N] [--seed N] [--device D]"""
import collections
import json
import os
import random
import re
import string
import subprocess
import tempfile

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForQuestionAnswering, PreTrainedTokenizerFast

from seeds import main

WORDS = "the a cat dog sat ran on under mat log red blue é was good, bad. and then it he".split()


def tokenizer(folder):
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = sorted(set("".join(WORDS)))
    t = Tokenizer(models.WordPiece({w: i for i, w in enumerate(names + letters + ["##" + c for c in letters])}, unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    t = PreTrainedTokenizerFast(tokenizer_object=t, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
                                model_max_length=96, model_input_names=["input_ids", "token_type_ids", "attention_mask"])
    t.save_pretrained(folder)
    return t


def rows_of(rng, with_none):
    rows = []
    for i in range(rng.randint(3, 9)):
        words = [rng.choice(WORDS) for _ in range(rng.randint(3, 40))]
        context = " ".join(words)
        answers = {"text": [], "answer_start": []}
        for _ in range(0 if with_none and rng.random() < 0.4 else rng.randint(1, 3)):
            at = rng.randrange(len(words))
            answers["text"].append(" ".join(words[at:at + rng.randint(1, 3)]))
            answers["answer_start"].append(len(" ".join(words[:at])) + (at > 0))
        rows.append({"id": "q%d" % i, "question": " " * rng.randint(0, 2) + " ".join(rng.choice(WORDS) for _ in range(3)),
                     "context": context, "answers": answers})
    return rows


def logits_of(model, t, rows, config):
    """(row, offsets or None, start logits, end logits) of each window."""
    e = t([r["question"].lstrip() for r in rows], [r["context"] for r in rows], truncation="only_second",
          max_length=config["max_length"], stride=config["doc_stride"], return_overflowing_tokens=True,
          return_offsets_mapping=True, padding="max_length", return_tensors="pt")
    with torch.no_grad():
        y = model(input_ids=e["input_ids"], attention_mask=e["attention_mask"], token_type_ids=e["token_type_ids"])
    for i in range(len(e["input_ids"])):
        sides = e.sequence_ids(i)
        places = [tuple(o) if s == 1 else None for o, s in zip(e["offset_mapping"][i].tolist(), sides)]
        yield int(e["overflow_to_sample_mapping"][i]), places, y.start_logits[i].numpy(), y.end_logits[i].numpy()


def answers_of(windows, rows, config):
    """What stands in run_qa.py's predictions.json."""
    most, longest, with_none = config["n_best_size"], config["max_answer_length"], config["version_2_with_negative"]
    found = collections.defaultdict(list)
    none = {}
    for row, places, start, end in windows:
        score = start[0] + end[0]
        none[row] = min(none.get(row, score), score)
        for a in np.argsort(start)[-1:-most - 1:-1]:
            for b in np.argsort(end)[-1:-most - 1:-1]:
                if places[a] and places[b] and a <= b < a + longest:
                    found[row].append((start[a] + end[b], places[a][0], places[b][1], start[a], end[b]))
    out = []
    for i, r in enumerate(rows):
        all_spans = found[i] + ([(none[i], 0, 0, 0, 0)] if with_none else [])
        best = sorted(all_spans, key=lambda x: x[0], reverse=True)[:most]
        if with_none and not any(x[1:3] == (0, 0) for x in best):
            best.append((none[i], 0, 0, 0, 0))
        texts = [(r["context"][x[1]:x[2]], x[3], x[4]) for x in best]
        if not texts or (len(texts) == 1 and texts[0][0] == ""):
            texts.insert(0, ("empty", 0.0, 0.0))
        if with_none:
            texts = [x for x in texts if x[0]]
            if none[i] - texts[0][1] - texts[0][2] > config["null_score_diff_threshold"]:
                texts = [("", 0, 0)]
        out.append(texts[0][0])
    return out


def words_of(s):
    return re.sub(r"\b(a|an|the)\b", " ", "".join(c for c in s.lower() if c not in string.punctuation)).split()


def scores_of(said, rows):
    exact = f1 = 0
    for text, r in zip(said, rows):
        gold = [x for x in r["answers"]["text"] if words_of(x)] or [""]
        each = []
        for g in gold:
            x, y = words_of(g), words_of(text)
            same = sum((collections.Counter(x) & collections.Counter(y)).values())
            each.append(2 * same / (len(x) + len(y)) if x and y else float(x == y))
        exact += max(words_of(g) == words_of(text) for g in gold)
        f1 += max(each)
    return 100 * exact / len(rows), 100 * f1 / len(rows)


def one(args, seed):
    rng = random.Random(seed)
    torch.manual_seed(seed)
    with_none = rng.random() < 0.5
    rows = rows_of(rng, with_none)
    with tempfile.TemporaryDirectory() as d:
        t = tokenizer(d + "/model")
        model = BertForQuestionAnswering(BertConfig(
            vocab_size=len(t), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=96, initializer_range=rng.choice([0.2, 1.0]), hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0)).eval()
        model.save_pretrained(d + "/model")
        with open(d + "/rows.jsonl", "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in rows)
        config = dict(max_length=rng.randint(40, 96), doc_stride=rng.randint(2, 12), n_best_size=rng.choice([1, 3, 20]),
                      max_answer_length=rng.choice([1, 4, 30]), version_2_with_negative=with_none,
                      null_score_diff_threshold=rng.choice([0.0, 0.5, -0.5]) if with_none else 0.0)
        asked = dict(config, model_name_or_path=d + "/model", task="question-answering", train_file=d + "/rows.jsonl",
                     validation_file=d + "/rows.jsonl", test_file=d + "/rows.jsonl", do_predict=True, max_steps=1,
                     learning_rate=0.0, eval_strategy="epoch", save_strategy="no", output_dir=d + "/out",
                     per_device_eval_batch_size=rng.randint(1, 5))
        with open(d + "/config.json", "w") as f:
            json.dump(asked, f)
        r = subprocess.run([args.sinter, "train", d + "/config.json", "-q", "--device", args.device], capture_output=True, text=True)
        if r.returncode:
            return r.stderr.strip()
        want = answers_of(logits_of(model, t, rows, config), rows, config)
        with open(d + "/out/predictions.jsonl") as f:
            got = [json.loads(x) for x in f]
        scores = json.loads(r.stdout)
    if [(x["id"], x["prediction_text"]) for x in got] != [(r["id"], w) for r, w in zip(rows, want)]:
        return "answers %s for %s" % (got, want)
    exact, f1 = scores_of(want, rows)
    keys = ("test_exact", "test_f1") if with_none else ("test_exact_match", "test_f1")
    if not all(k in scores and abs(scores[k] - v) < 1e-9 for k, v in zip(keys, (exact, f1))):
        return "scores %s for %s" % (scores, (exact, f1))
    return None


transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
os.environ["TOKENIZERS_PARALLELISM"] = "false"
main(one, 10, "sinter", "--device")
