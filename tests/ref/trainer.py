#!/usr/bin/env python3
"""`sinter train` beside Transformers' Trainer: loss, norm of the gradients and rate of every step of tiny models of any
family, losses of evaluations, counted operations; dropout 0, rows in their order, steps that lack rows at ends of epochs.

Usage: trainer.py SINTER [--count N] [--seed N]"""
import contextlib
import io
import json
import os
import random
import subprocess
import tempfile

import torch
import transformers
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (AutoConfig, DataCollatorForSeq2Seq, DataCollatorForTokenClassification, DataCollatorWithFlattening,
                          DataCollatorWithPadding, PreTrainedTokenizerFast, Trainer, TrainingArguments, default_data_collator)

from seeds import main

WORDS = "the a cat dog sat ran on under mat log red blue is was good bad and then it he".split()
STEPS, EVERY, CALM = 16, 8, 5  # CALM: after these, kinks and experts that change places move norms of gradients
TOLERANCE = 1e-4
ENCODERS = ["bert", "roberta", "distilbert", "electra", "albert", "mpnet", "modernbert", "deberta-v2"]
DECODERS = ["gpt2", "llama", "gpt_neox", "qwen2", "opt", "falcon", "gpt_neo", "bloom"]
TASKS = {
    "text-classification": ("SequenceClassification", ENCODERS + DECODERS),
    "text-generation": ("CausalLM", DECODERS + ["bert", "mixtral"]),
    "token-classification": ("TokenClassification", ENCODERS + DECODERS[:4]),
    "question-answering": ("QuestionAnswering", ENCODERS[:4] + ["modernbert", "gpt2", "llama", "gpt_neox"]),
    "regression": ("SequenceClassification", ENCODERS + DECODERS[:3]),
    "seq2seq-lm": ("Seq2SeqLM", ["t5"]),
    "padding-free": ("CausalLM", ["gpt2", "llama", "gpt_neox", "qwen2", "gemma2", "mixtral"]),
}


def tokenizer(folder):
    t = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["[PAD]", "[UNK]"] + WORDS)}, unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    t = PreTrainedTokenizerFast(tokenizer_object=t, pad_token="[PAD]", unk_token="[UNK]", model_max_length=32)
    t.save_pretrained(folder)
    return t


def text(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 12)))


def arguments(folder, rng, task, kind):
    batch, times = rng.choice([(8, 1), (4, 1), (4, 2), (3, 3), (5, 4)])
    smoothing = rng.choice([0.0, 0.0, 0.1]) if task != "regression" else 0.0
    return dict(output_dir=folder, max_steps=STEPS, per_device_train_batch_size=batch, learning_rate=1e-3,
                optim=rng.choice(["sgd"] + ["adamw_torch", "adafactor"] * (kind != "mixtral")), label_smoothing_factor=smoothing,
                lr_scheduler_type=rng.choice(["linear", "cosine", "constant_with_warmup"]), warmup_steps=5,
                weight_decay=rng.choice([0.0, 0.1]), gradient_accumulation_steps=times, eval_strategy="steps",
                eval_steps=EVERY, per_device_eval_batch_size=rng.choice([8, 7]), max_grad_norm=rng.choice([1.0, 0.1]),
                logging_steps=1, save_strategy="no", train_sampling_strategy="sequential", report_to="none",
                dataloader_drop_last=rng.random() < 0.2, prediction_loss_only=True)


def model_of(task, rng):
    head, kinds = TASKS[task]
    kind = rng.choice(kinds)
    small = dict(vocab_size=len(WORDS) + 2, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                 max_position_embeddings=48, pad_token_id=0, bos_token_id=0, eos_token_id=1)
    small.update({"intermediate_size": 64} if kind not in ("gpt2", "bloom") else {})
    own = {"gpt_neo": {"attention_types": [[["global", "local"], 1]]}, "distilbert": {"hidden_dim": 64},
           "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32}, "llama": {"num_key_value_heads": 2},
           "qwen2": {"num_key_value_heads": 2},
           "modernbert": {"cls_token_id": 0, "sep_token_id": 0}, "electra": {"embedding_size": 16},
           "albert": {"embedding_size": 16}, "mixtral": {"num_key_value_heads": 2, "output_router_logits": True},
           "deberta-v2": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8},
           "t5": dict(d_kv=8, d_ff=64, num_layers=2, decoder_start_token_id=0)}.get(kind, {})
    c = AutoConfig.for_model(kind, **small, **own)
    for key, v in vars(c).items():
        if "drop" in key and isinstance(v, float):
            setattr(c, key, 0.0)
    c.classifier_dropout = 0.0 if hasattr(c, "classifier_dropout") or task == "token-classification" else None
    if head not in ("CausalLM", "Seq2SeqLM"):
        c.num_labels = {"QuestionAnswering": 2}.get(head, 1 if task == "regression" else 3)
    return getattr(transformers, "AutoModelFor" + head).from_config(c), kind


def rows_of(task, rng):
    n = rng.randint(70, 95)
    if task == "token-classification":
        all_words = [text(rng).split() for _ in range(n)]
        return [{"tokens": w, "ner_tags": [WORDS.index(x) % 3 for x in w]} for w in all_words]
    rows = [{"text": text(rng)} for _ in range(n)]
    if task == "question-answering":
        rows = [{"question": text(rng), "context": text(rng)} for _ in range(n)]
        for r in rows:
            words, at = r["context"].split(), rng.randrange(3)
            answer = " ".join(words[at:at + rng.randint(1, 3)])
            r["answers"] = {"text": [answer], "answer_start": [len(" ".join(words[:at] + [""]))]}
        return rows
    more = {"text-classification": lambda i: {"label": i % 3}, "regression": lambda i: {"label": rng.uniform(-2, 2)},
            "seq2seq-lm": lambda i: {"target": text(rng)}}.get(task, lambda i: {})
    return [dict(r, **more(i)) for i, r in enumerate(rows)]


def answered(t, r):
    before, answer = r["context"][:r["answers"]["answer_start"][0]].split(), r["answers"]["text"][0].split()
    at = len(r["question"].split()) + len(before)
    return dict(t(r["question"], r["context"], padding="max_length", max_length=32), start_positions=at, end_positions=at + len(answer) - 1)


def encode(task, t, rows, model):
    if task in ("text-classification", "regression"):
        return [dict(t(r["text"]), labels=r["label"]) for r in rows], DataCollatorWithPadding(t)
    if task == "token-classification":
        return ([dict(t(r["tokens"], is_split_into_words=True), labels=r["ner_tags"]) for r in rows],
                DataCollatorForTokenClassification(t))
    if task == "question-answering":
        return [answered(t, r) for r in rows], DataCollatorWithPadding(t)
    if task == "seq2seq-lm":
        return [dict(t(r["text"]), labels=t(r["target"])["input_ids"]) for r in rows], DataCollatorForSeq2Seq(t, model)
    if task == "padding-free":
        return [dict(input_ids=t(r["text"])["input_ids"]) for r in rows], DataCollatorWithFlattening()
    ids = [i for r in rows for i in t(r["text"])["input_ids"]]
    blocks = [ids[i:i + 16] for i in range(0, len(ids) - 15, 16)]
    return [dict(input_ids=b, attention_mask=[1] * 16, labels=b) for b in blocks], default_data_collator


def one(told, seed):
    rng = random.Random(seed)
    torch.manual_seed(seed)
    task = list(TASKS)[seed % len(TASKS)]
    with tempfile.TemporaryDirectory() as d:
        model, kind = model_of(task, rng)
        model.save_pretrained(d + "/model")
        t = tokenizer(d + "/model")
        rows = rows_of(task, rng)
        with open(d + "/rows.jsonl", "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in rows)
        args = arguments(d + "/theirs", rng, task, kind)
        examples, collate = encode(task, t, rows, model)
        data = Dataset.from_list(examples)
        trainer = Trainer(model=model, args=TrainingArguments(use_cpu=True, disable_tqdm=True, **args),
                          train_dataset=data, eval_dataset=data, data_collator=collate)
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.train()
        args.update(output_dir=d + "/ours", model_name_or_path=d + "/model", train_file=d + "/rows.jsonl", block_size=16,
                    task={"regression": "text-classification", "padding-free": "text-generation"}.get(task, task),
                    packing=task != "padding-free", padding_free=task == "padding-free", validation_file=d + "/rows.jsonl",
                    doc_stride=8)
        with open(d + "/config.json", "w") as f:
            json.dump(args, f)
        done = subprocess.run([told.sinter, "train", d + "/config.json", "-q"], capture_output=True, text=True)
        if done.returncode:
            return f"{kind} {task} {args}: {done.stderr}"
        with open(d + "/ours/train_log.jsonl") as f:
            got = [json.loads(line) for line in f]
    want, off = trainer.state.log_history, {}
    for key in ("loss", "eval_loss", "grad_norm", "learning_rate", "epoch", "train_loss", "total_flos"):
        pairs = [(a.get(key, 9e9), b[key]) for a, b in zip(got, want) if key in b][:CALM if key == "grad_norm" else None]
        off[key] = max(abs(a - b) / max(1, abs(b)) for a, b in pairs)
    good = len(got) == len(want) and all(v <= (0 if k == "total_flos" else TOLERANCE) for k, v in off.items())
    off = str({k: float("%.2g" % v) for k, v in off.items()})
    if good:
        print("ok", seed, kind, task, args["per_device_train_batch_size"], "x", args["gradient_accumulation_steps"], off, flush=True)
    return "" if good else f"{kind} {task} {args} {off}"


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    main(one, 3, "sinter")
