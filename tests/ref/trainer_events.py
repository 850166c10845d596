#!/usr/bin/env python3
"""Events, folders and states of `sinter train` beside those of Transformers' Trainer, over random strategies.

Usage: trainer_events.py BRIDGE [--count N] [--seed N] [--device D]. BRIDGE: tests/trainer_bridge.so of the build."""
import ctypes
import json
import math
import os
import random
import tempfile

import torch
import transformers
from datasets import Dataset
from transformers import (DataCollatorWithPadding, EarlyStoppingCallback, PrinterCallback, Trainer, TrainerCallback,
                          TrainingArguments)

from seeds import main
from trainer import model_of, text, tokenizer

FLAGS = ["should_training_stop", "should_epoch_stop", "should_save", "should_evaluate", "should_log"]
EVENTS = ["init_end", "train_begin", "train_end", "epoch_begin", "epoch_end", "step_begin", "pre_optimizer_step",
          "optimizer_step", "substep_end", "step_end", "evaluate", "predict", "save", "log", "prediction_step"]
TIMES = ("_runtime", "_per_second")  # a run's own
TOLERANCE = 2e-4
Tell = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int64, ctypes.c_double, ctypes.POINTER(ctypes.c_int32),
                        ctypes.c_char_p)


def broken(orders):
    """A step that is broken off between two micro-batches leaves what the first one did in these sums of Trainer."""
    breaks = [k for k, f in orders.items() if "stop" in f and k[0] in ("epoch_begin", "step_begin", "substep_end")]
    return {"loss", "train_loss", "total_flos", "num_input_tokens_seen"} if breaks else set()


class Recorder(TrainerCallback):
    """What both runs tell; orders: {(event, its count): a flag to be set}."""

    def __init__(self, orders):
        self.orders, self.events, self.counts = orders, [], {}
        self.unlike = {"step"} | broken(orders)

    def hear(self, event, step, epoch, flags, logs):
        self.counts[event] = self.counts.get(event, 0) + 1
        logs = {k: v for k, v in (logs or {}).items() if k not in self.unlike}
        self.events.append((event, step, round(epoch, 9), "".join(str(int(f)) for f in flags), logs))
        return self.orders.get((event, self.counts[event]))

    def tell(self, event, step, epoch, flags, logs):
        order = self.hear(event.decode(), step, epoch, flags[:5], json.loads(logs) if logs else None)
        if order:
            flags[FLAGS.index(order)] = 1


def make_on(event):
    def on(self, args, state, control, **kwargs):
        logs = kwargs.get("logs") or kwargs.get("metrics")
        order = self.hear(event, state.global_step, state.epoch, [getattr(control, f) for f in FLAGS], logs)
        if order:
            setattr(control, order, True)
    return on


for name in EVENTS:
    setattr(Recorder, "on_" + name, make_on(name))


def strategies(rng):
    """Arguments that Trainer takes, and what stands in our config for a callback."""
    a = dict(per_device_train_batch_size=rng.randint(2, 5), gradient_accumulation_steps=rng.choice([1, 1, 2, 3]),
             per_device_eval_batch_size=rng.randint(3, 7), learning_rate=rng.choice([1e-3, 3e-3, 1e-2]),
             eval_strategy=rng.choice(["no", "steps", "epoch"]), logging_strategy=rng.choice(["no", "steps", "epoch"]),
             save_strategy=rng.choice(["no", "steps", "epoch", "best"]), eval_steps=rng.choice([None, 1, 2, 3, 0.3]),
             logging_steps=rng.choice([1, 2, 3, 5, 0.25]), save_steps=rng.choice([1, 2, 3, 4, 0.4]),
             save_total_limit=rng.choice([None, None, 1, 2, 3]), logging_first_step=rng.random() < 0.3,
             eval_delay=rng.choice([0, 0, 1, 2]), eval_on_start=rng.random() < 0.2,
             metric_for_best_model=rng.choice([None, "loss", "eval_loss", "accuracy"]),
             load_best_model_at_end=rng.random() < 0.4, save_only_model=False,
             restore_callback_states_from_checkpoint=rng.random() < 0.5, ignore_data_skip=rng.random() < 0.2,
             dataloader_drop_last=rng.random() < 0.2,
             include_num_input_tokens_seen=rng.choice(["no", "all", "non_padding", True]))
    if rng.random() < 0.5:
        a["max_steps"] = rng.randint(3, 14)
    else:
        a["num_train_epochs"] = rng.choice([1, 2, 3, 1.5, 2.2])
    if rng.random() < 0.3:
        a["lr_scheduler_type"] = "reduce_lr_on_plateau"
        a["lr_scheduler_kwargs"] = {"patience": rng.choice([0, 1]), "factor": 0.5}
    if a["save_strategy"] == "best" and a["eval_strategy"] == "no":
        a["eval_strategy"] = "epoch"
    early = {}
    if rng.random() < 0.4:
        a["metric_for_best_model"] = a["metric_for_best_model"] or "loss"
        early = {"early_stopping_patience": rng.choice([1, 2]), "early_stopping_threshold": rng.choice([0.0, 0.05])}
    if a["save_strategy"] == "best":
        a["metric_for_best_model"] = a["metric_for_best_model"] or "loss"
    if a["load_best_model_at_end"] and a["save_strategy"] != "best":
        a["save_strategy"] = a["eval_strategy"] = rng.choice(["steps", "epoch"])
        a["eval_steps"] = a["save_steps"]
    if early or a.get("lr_scheduler_type"):
        a["eval_strategy"] = a["eval_strategy"] if a["eval_strategy"] != "no" else "epoch"
        if a["load_best_model_at_end"] and a["save_strategy"] != "best":
            a["save_strategy"] = a["eval_strategy"]
    orders = {}
    for _ in range(rng.choice([0, 0, 1, 2])):
        event = rng.choice(["step_end", "epoch_end", "substep_end", "epoch_begin", "log", "save", "step_begin"])
        flags = ["should_save", "should_log"] if event in ("log", "save") else FLAGS
        orders[event, rng.randint(1, 4)] = rng.choice(flags)
    if a["eval_strategy"] == "no" and a["save_strategy"] != "best":
        orders = {k: f for k, f in orders.items() if f != "should_evaluate"}
    return {k: v for k, v in a.items() if v is not None}, early, orders


def scores(p):
    said = p.predictions.argmax(-1)
    f = []
    for k in range(3):
        hit = int(((said == k) & (p.label_ids == k)).sum())
        n = int((said == k).sum()) + int((p.label_ids == k).sum())
        if n:
            f.append(2 * hit / n)
    return {"accuracy": float((said == p.label_ids).mean()), "f1": sum(f) / len(f)}


def theirs(d, t, rows, args, early, orders, resume):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(d + "/model")
    model.config.problem_type = "single_label_classification"
    data = [Dataset.from_list([dict(t(r["text"]), labels=r["label"]) for r in x]) for x in rows]
    recorder = Recorder(orders)
    trainer = Trainer(model=model, args=TrainingArguments(output_dir=d + "/theirs", use_cpu=True, disable_tqdm=True,
                                                         report_to="none", train_sampling_strategy="sequential", **args),
                      train_dataset=data[0], eval_dataset=data[1], data_collator=DataCollatorWithPadding(t),
                      compute_metrics=scores,
                      callbacks=[recorder] + ([EarlyStoppingCallback(*early.values())] if early else []))
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=d + "/theirs/" + resume if resume else None)
    return recorder.events


def ours(bridge, device, d, args, early, orders, resume):
    config = dict(args, **early, output_dir=d + "/ours", model_name_or_path=d + "/model", task="text-classification",
                  train_file=d + "/train.jsonl", validation_file=d + "/eval.jsonl",
                  train_sampling_strategy="sequential", resume_from_checkpoint=d + "/ours/" + resume if resume else None)
    recorder = Recorder(orders)
    message = ctypes.create_string_buffer(500)
    if bridge(json.dumps(config).encode(), *device, Tell(recorder.tell), message):
        return [("error", message.value.decode())]
    return recorder.events


def near(a, b):
    if isinstance(a, float) or isinstance(b, float):
        return a is not None and b is not None and abs(a - b) <= TOLERANCE * max(1, abs(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(k.endswith(TIMES) or near(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(near(x, y) for x, y in zip(a, b))
    return a == b


def difference(a, b):
    """Where two lists or objects are no longer alike."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return next(("%s: %s" % (k, difference(a[k], b[k])) for k in a if not near(a[k], b[k])), "")
    if isinstance(a, list) and isinstance(b, list):
        for i, (x, y) in enumerate(zip(a, b)):
            if not near(x, y):
                return "%d: %s" % (i, difference(x, y))
    if isinstance(a, dict) and isinstance(b, dict):
        return "ours alone %s, theirs alone %s" % (a.keys() - b.keys(), b.keys() - a.keys())
    return "ours %s, theirs %s" % (a, b) if not isinstance(a, list) else "ours %s more, theirs %s more" % (
        a[len(b):], b[len(a):])


def folders(d):
    return sorted(x for x in os.listdir(d) if x.startswith("checkpoint-")) if os.path.isdir(d) else []


def states(d, unlike):
    out = {}
    for f in folders(d):
        with open("%s/%s/trainer_state.json" % (d, f)) as s:
            out[f] = json.load(s)
        best = out[f]["best_model_checkpoint"]
        out[f]["best_model_checkpoint"] = best and os.path.basename(best)
        for x in [out[f]] + out[f]["log_history"]:
            for key in unlike:
                x.pop(key, None)
    return out


def compare(d, unlike, a, b):
    if not near(a, b):
        return "event " + difference(a, b)
    if folders(d + "/ours") != folders(d + "/theirs"):
        return "folders %s, theirs %s" % (folders(d + "/ours"), folders(d + "/theirs"))
    x, y = states(d + "/ours", unlike), states(d + "/theirs", unlike)
    return "" if near(x, y) else "state " + difference(x, y)


def ages(d):
    """Checkpoints as if they were written long ago, one after the other."""
    for f in folders(d):
        os.utime(d + "/" + f, times=(1e9 + 10 * int(f[11:]),) * 2)


def one(told, seed):
    rng, bridge = random.Random(seed), ctypes.CDLL(told.bridge).trainer_bridge
    device = told.device.encode(), os.path.dirname(os.path.dirname(os.path.abspath(told.bridge))).encode()
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as d:
        model_of("text-classification", rng)[0].save_pretrained(d + "/model")
        t = tokenizer(d + "/model")
        rows = [[{"text": text(rng), "label": i % 3} for i in range(n)] for n in (rng.randint(10, 24), rng.randint(7, 12))]
        for name, part in zip(("train", "eval"), rows):
            with open("%s/%s.jsonl" % (d, name), "w") as f:
                f.writelines(json.dumps(r) + "\n" for r in part)
        args, early, orders = strategies(rng)
        unlike = broken(orders)
        said = compare(d, unlike, ours(bridge, device, d, args, early, orders, None),
                       theirs(d, t, rows, args, early, orders, None))
        left = [f for f in folders(d + "/theirs")]
        max_steps = json.load(open("%s/theirs/%s/trainer_state.json" % (d, left[0])))["max_steps"] if left else 0
        left = [f for f in left if int(f[11:]) < max_steps]
        if not said and left:
            resume = rng.choice(left)
            if rng.random() < 0.5:  # steps stay those of the checkpoint
                args.update((k, v) for k, v in zip(("logging_steps", "eval_steps", "save_steps"), [rng.randint(1, 3)] * 3)
                            if k in args)
                early.update(early and {"early_stopping_patience": rng.choice([1, 2])})
            ages(d + "/ours")
            ages(d + "/theirs")
            said = compare(d, unlike, ours(bridge, device, d, args, early, orders, resume),
                           theirs(d, t, rows, args, early, orders, resume))
            said = said and "resumed from %s: %s" % (resume, said)
    return said and "%s %s %s %s" % (said, args, early, orders)


transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
main(one, 5, "bridge", "--device")
