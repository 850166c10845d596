"""`sinter train` beside Transformers' Trainer: the loss of every step of tiny models, dropout 0, rows in their order.

Usage: trainer.py SINTER [--count N] [--seed N]"""
import json
import os
import random
import subprocess
import tempfile

import torch
import transformers
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification,
                          AutoModelForTokenClassification, DataCollatorForTokenClassification,
                          DataCollatorWithPadding, PreTrainedTokenizerFast, Trainer, TrainingArguments,
                          default_data_collator)

from seeds import main

WORDS = "the a cat dog sat ran on under mat log red blue is was good bad and then it he".split()
STEPS = 50
TOLERANCE = 1e-4


def tokenizer(folder):
    t = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["[PAD]", "[UNK]"] + WORDS)}, unk_token="[UNK]"))
    t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    t = PreTrainedTokenizerFast(tokenizer_object=t, pad_token="[PAD]", unk_token="[UNK]", model_max_length=32)
    t.save_pretrained(folder)
    return t


def text(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(3, 12)))


def arguments(folder, rng, batch, times):
    optim = rng.choice(["adamw_torch", "sgd", "adafactor"])
    return dict(output_dir=folder, max_steps=STEPS, per_device_train_batch_size=batch, learning_rate=1e-3, optim=optim,
                lr_scheduler_type=rng.choice(["linear", "cosine", "constant_with_warmup"]), warmup_steps=5,
                weight_decay=rng.choice([0.0, 0.1]), gradient_accumulation_steps=times,
                max_grad_norm=rng.choice([1.0, 0.1]), logging_steps=1, save_strategy="no",
                train_sampling_strategy="sequential", report_to="none")


def model_of(task, rng):
    kind = rng.choice(["llama", "gpt2"]) if task == "text-generation" else "bert"
    small = dict(vocab_size=len(WORDS) + 2, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                 max_position_embeddings=32)
    if kind == "gpt2":
        small = dict(vocab_size=len(WORDS) + 2, n_embd=32, n_layer=2, n_head=4, n_positions=32, resid_pdrop=0.0,
                     embd_pdrop=0.0, attn_pdrop=0.0, summary_first_dropout=0.0)
    elif kind == "bert":
        small.update(intermediate_size=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=3)
    else:
        small.update(intermediate_size=64, num_key_value_heads=2)
    c = AutoConfig.for_model(kind, **small)
    make = {"text-generation": AutoModelForCausalLM, "text-classification": AutoModelForSequenceClassification,
            "token-classification": AutoModelForTokenClassification}[task]
    return make.from_config(c), kind


def rows_of(task, rng):
    if task == "token-classification":
        all_words = [text(rng).split() for _ in range(90)]
        return [{"tokens": w, "ner_tags": [WORDS.index(x) % 3 for x in w]} for w in all_words]
    rows = [{"text": text(rng)} for _ in range(90)]
    return [dict(r, label=i % 3) for i, r in enumerate(rows)] if task == "text-classification" else rows


def encode(task, t, rows):
    if task == "text-classification":
        return [dict(t(r["text"]), labels=r["label"]) for r in rows], DataCollatorWithPadding(t)
    if task == "token-classification":
        return ([dict(t(r["tokens"], is_split_into_words=True), labels=r["ner_tags"]) for r in rows],
                DataCollatorForTokenClassification(t))
    ids = [i for r in rows for i in t(r["text"])["input_ids"]]
    blocks = [ids[i:i + 16] for i in range(0, len(ids) - 15, 16)]
    return [dict(input_ids=b, attention_mask=[1] * 16, labels=b) for b in blocks], default_data_collator


def one(told, seed):
    rng = random.Random(seed)
    torch.manual_seed(seed)
    task = ["text-generation", "text-classification", "token-classification"][seed % 3]
    batch, times = rng.choice([(8, 1), (4, 1), (4, 2), (3, 3)])
    with tempfile.TemporaryDirectory() as d:
        model, kind = model_of(task, rng)
        model.save_pretrained(d + "/model")
        t = tokenizer(d + "/model")
        rows = rows_of(task, rng)
        with open(d + "/rows.jsonl", "w") as f:
            f.writelines(json.dumps(r) + "\n" for r in rows)
        args = arguments(d + "/theirs", rng, batch, times)
        examples, collate = encode(task, t, rows)
        trainer = Trainer(model=model, args=TrainingArguments(use_cpu=True, disable_tqdm=True, **args),
                          train_dataset=Dataset.from_list(examples), data_collator=collate)
        trainer.train()
        want = [x for x in trainer.state.log_history if "loss" in x]
        args.update(output_dir=d + "/ours", model_name_or_path=d + "/model", task=task, train_file=d + "/rows.jsonl",
                    block_size=16)
        with open(d + "/config.json", "w") as f:
            json.dump(args, f)
        subprocess.run([told.sinter, "train", d + "/config.json", "-q"], check=True, stdout=subprocess.DEVNULL)
        with open(d + "/ours/train_log.jsonl") as f:
            got = [x for x in map(json.loads, f) if "loss" in x]
    worst = {k: max(abs(a[k] - b[k]) / max(1, abs(b[k])) for a, b in zip(got, want))
             for k in ("loss", "grad_norm", "learning_rate", "epoch")}
    good = len(got) == len(want) == STEPS and worst["loss"] <= TOLERANCE and worst["epoch"] < 1e-9
    said = f"{kind} {task} batch {batch} x {times} {args['optim']} {args['lr_scheduler_type']} " + \
           str({k: float("%.2g" % v) for k, v in worst.items()})
    if good:
        print("ok", seed, said, flush=True)
    return "" if good else said


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    main(one, 3, "sinter")
