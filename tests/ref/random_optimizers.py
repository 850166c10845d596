#!/usr/bin/env python3
"""random_optimizers.py CONFORM [--seed N] [--count N] [--part TEXT] [-v]

Steps of every optimizer and schedule on a tiny random model, against torch.optim, Adafactor and get_scheduler of
Transformers, and bitsandbytes where it is installed: losses, norms, rates, and the weights at the end. Each problem becomes
a folder as tests/conform reads it. Exit 1: something differs.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
import torch
import transformers
from safetensors.torch import save_file
from transformers.optimization import Adafactor
from transformers.trainer_pt_utils import LabelSmoother

try:
    import bitsandbytes
except ImportError:
    bitsandbytes = None

from random_decoders import randomise

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)

STEPS, VOCAB, SEQ = 20, 41, 7


def bnb(kind, bits):
    def make(groups, lr, **more):
        more = {"betas": more.pop("betas", (0.9, 0.999)), **more} if kind != "RMSprop" else more
        return getattr(bitsandbytes.optim, kind)(groups, lr=lr, optim_bits=bits, **more)
    return make


def ademamix(bits):
    def make(groups, lr, beta3=0.9999, betas=(0.9, 0.999), t_alpha=None, t_beta3=None, **more):
        kind = bitsandbytes.optim.AdEMAMix8bit if bits == 8 else bitsandbytes.optim.AdEMAMix
        return kind(groups, lr=lr, betas=(*betas, beta3), t_alpha=t_alpha, t_beta3=t_beta3, **more)
    return make


# name: (what makes it, what it may be told)
OPTIMIZERS = {
    "adamw_torch": (torch.optim.AdamW, [{}, {"betas": [0.8, 0.97], "eps": 1e-6}]),
    "sgd": (torch.optim.SGD, [{}, {"momentum": 0.9}, {"momentum": 0.8, "nesterov": True},
                              {"momentum": 0.7, "dampening": 0.3}]),
    "adagrad": (torch.optim.Adagrad, [{}, {"lr_decay": 0.1, "eps": 1e-6}]),
    "rmsprop": (torch.optim.RMSprop, [{}, {"alpha": 0.9, "momentum": 0.5}, {"centered": True}]),
    "adafactor": (Adafactor, [
        {"scale_parameter": False, "relative_step": False}, {"scale_parameter": True, "relative_step": False},
        {"scale_parameter": True, "relative_step": False, "beta1": 0.9, "clip_threshold": 0.5, "decay_rate": -0.7},
        {"scale_parameter": False, "relative_step": False, "eps": [1e-20, 1e-2]},
        {"scale_parameter": True, "relative_step": True}, {"scale_parameter": True, "relative_step": True, "warmup_init": True},
    ]),
    "lion_32bit": (bnb("Lion", 32), [{"betas": [0.9, 0.99]}, {"betas": [0.8, 0.95]}]),
    "rmsprop_bnb": (bnb("RMSprop", 32), [{}]),
    "ademamix": (ademamix(32), [{"beta3": 0.999}, {"beta3": 0.99, "alpha": 2.0, "t_alpha": 10, "t_beta3": 12}]),
    "adamw_8bit": (bnb("AdamW", 8), [{}, {"betas": [0.8, 0.97]}]),
    "ademamix_8bit": (ademamix(8), [{"beta3": 0.999}]),
    "lion_8bit": (bnb("Lion", 8), [{"betas": [0.9, 0.99]}]),
    "rmsprop_bnb_8bit": (bnb("RMSprop", 8), [{}]),
}
BNB = {"lion_32bit", "rmsprop_bnb", "ademamix", "adamw_8bit", "ademamix_8bit", "lion_8bit", "rmsprop_bnb_8bit"}
SCHEDULES = [
    ("linear", {}), ("cosine", {}), ("cosine", {"num_cycles": 1.3}), ("cosine_with_restarts", {"num_cycles": 3}),
    ("polynomial", {}), ("polynomial", {"power": 2.5, "lr_end": 1e-4}), ("constant", {}), ("constant_with_warmup", {}),
    ("inverse_sqrt", {}), ("inverse_sqrt", {"timescale": 7}), ("cosine_with_min_lr", {"min_lr": 1e-4}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.2, "num_cycles": 1.7}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1}),
    ("cosine_warmup_with_min_lr", {"min_lr": 1e-4, "warmup_lr_rate": 0.3}),
    *(("warmup_stable_decay", {"num_decay_steps": 6, "warmup_type": w, "decay_type": d, "min_lr_ratio": m})
      for w, d, m in [("linear", "cosine", 0), ("cosine", "linear", 0.1), ("1-sqrt", "1-sqrt", 0.2)]),
    ("warmup_stable_decay", {"num_decay_steps": 5, "num_stable_steps": 3, "num_cycles": 0.8}),
]


# What a step may be told besides: averages over all labels, smoothed labels, arithmetic in fewer bits
FORMS = [{"average_by_items": True}, {"average_by_items": True, "label_smoothing_factor": 0.2},
         {"label_smoothing_factor": 0.1}, {"bf16": True}, {"fp16": True}]


def loss_of(model, ids, labels, form, items):
    out = model(input_ids=ids, labels=labels, **({"num_items_in_batch": items} if items else {}))
    if "label_smoothing_factor" not in form:
        return out.loss
    return LabelSmoother(epsilon=form["label_smoothing_factor"])(out, labels, shift_labels=True, num_items_in_batch=items)


def problem(folder, seed, optim, options, schedule, kwargs, form=None):
    form = form or {}
    r = random.Random(f"{seed} {optim} {options} {schedule} {kwargs}")
    generator = torch.Generator().manual_seed(r.randrange(1 << 30))
    wide = optim.endswith("8bit")
    config = transformers.GPT2Config(n_embd=72 if wide else 16, n_layer=1, n_head=2, n_positions=SEQ,
                                     vocab_size=VOCAB, attn_implementation="eager")
    model = transformers.GPT2LMHeadModel(config).eval()
    randomise(model, generator)
    model.tie_weights()
    model.save_pretrained(os.path.join(folder, "model"))
    times, clip, warmup = 2 if form else r.choice([1, 1, 2]), r.choice([0, 0.5, 1.0]), r.choice([0, 4, 5])
    lr, decay = r.choice([2e-3, 1e-3]), r.choice([0, 0.1])
    if optim == "sgd":
        lr *= 10
    x = {"input_ids": torch.randint(0, VOCAB, (STEPS * times, 3, SEQ), generator=generator)}
    x["labels"] = torch.where(torch.rand(x["input_ids"].shape, generator=generator) < 0.2, -100, x["input_ids"])
    save_file(x, os.path.join(folder, "inputs.safetensors"))
    names = dict(model.named_parameters())
    still = [n for n, p in names.items() if p.ndim < 2]
    groups = [{"params": [p for n, p in names.items() if n not in still], "weight_decay": decay},
              {"params": [names[n] for n in still], "weight_decay": 0.0}]
    relative = options.get("relative_step", False)
    o = OPTIMIZERS[optim][0](groups, lr=None if relative else lr, **options)
    if relative:
        rate = None
    else:
        rate = transformers.get_scheduler(schedule, o, warmup, STEPS, scheduler_specific_kwargs=dict(kwargs))
    found = {"losses": [], "grad_norms": [], "learning_rates": []}
    for i in range(STEPS):
        o.zero_grad()
        total = 0.0
        each = range(i * times, (i + 1) * times)
        items = None
        if "average_by_items" in form:
            # as Trainer counts: by its class's name this model's labels are not shifted
            items = sum((x["labels"][k] != -100).sum() for k in each)
        for k in each:
            loss = loss_of(model, x["input_ids"][k], x["labels"][k], form, items) / (1 if items else times)
            loss.backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(names.values(), clip if clip else 1e30)
        found["learning_rates"].append(lr if relative else o.param_groups[0]["lr"])
        found["losses"].append(total)
        found["grad_norms"].append(norm.item())
        o.step()
        if rate:
            rate.step()
    if relative:
        del found["learning_rates"]
    expected = {k: torch.tensor(v, dtype=torch.float64) for k, v in found.items()}
    # key biases have no gradient but rounding, which some optimizers make steps of
    noisy = [n for n in names if "c_attn.bias" in n]
    expected.update({f"final.{n}": p.detach().clone() for n, p in names.items() if n not in noisy})
    save_file(expected, os.path.join(folder, "expected.safetensors"))
    if "bf16" in form or "fp16" in form:  # the curve, within 2 %
        expected = {k: v for k, v in expected.items() if not k.startswith("final.")}
    often = 2 if "lion" in optim else 1
    spec = {
        "name": "problem", "kind": "train", "model": "model", "dtype": "f32",
        # gradients that differ by 1e-7 turn single codes of 8 bits, and Lion goes by signs. Seen: weights off by 0.7 lr,
        # losses by 4e-5 of them, norms by 4e-4; of Lion 1.3 lr, 2.3e-4, 2.4e-3
        "tolerance": {"atol": 1.5 * often * lr, "rtol": 1e-4 * often ** 2, "atol_by_tensor": {
            "learning_rates": 1e-15, "grad_norms": 1e-3 * often ** 2 * max(found["grad_norms"])}} if wide else
                     {"atol": 2e-4, "rtol": 0.02 if "bf16" in form or "fp16" in form else 2e-3, "atol_by_tensor": {"learning_rates": 1e-15}},
        "training": {"optimizer": {"type": optim, "lr": lr, "weight_decay": decay, "schedule": schedule,
                                   "warmup_steps": warmup, "schedule_args": kwargs, **options},
                     "steps": STEPS, "gradient_accumulation_steps": times, "max_grad_norm": clip, "no_decay": still,
                     **form},
        "calls": [{"name": "train", "op": "train", "inputs": {k: k for k in x},
                   "outputs": {k: {"tensor": k} for k in expected}}],
    }
    with open(os.path.join(folder, "case.json"), "w") as f:
        json.dump(spec, f)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("conform")
    p.add_argument("--seed", default=1, type=int)
    p.add_argument("--count", default=0, type=int, help="this many problems; 0: all")
    p.add_argument("--part", default="", help="only problems whose name has this part")
    p.add_argument("-v", action="store_true", help="print what passes, too")
    args = p.parse_args()
    every = [(o, t, "linear", {}) for o, (_, told) in OPTIMIZERS.items() for t in told if o not in BNB or bitsandbytes]
    every += [("adamw_torch", {}, s, k) for s, k in SCHEDULES]
    every += [("adamw_torch", {}, "linear", {}, form) for form in FORMS]
    if args.count:
        every = random.Random(args.seed).sample(every, args.count)
    passed = failed = 0
    for one in every:
        name = " ".join(map(str, one))
        if args.part not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            problem(folder, args.seed, *one)
            done = subprocess.run([args.conform, folder, "--check"], capture_output=True, text=True)
        good = done.returncode == 0
        passed += good
        failed += not good
        if not good or args.v:
            print(f"{'ok  ' if good else 'FAIL'} {name}\n{(done.stdout + done.stderr)[-1500:] if not good else ''}", flush=True)
    print(f"optimizers: {passed} passed, {failed} failed", flush=True)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
