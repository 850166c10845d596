#!/usr/bin/env python3
"""random_adapters.py SINTER [--count 10] [--seed 0] [--device interp]: several random LoRA adapters of PEFT on a tiny model: rows
of a batch with one each (adapter_names; forward, generate, beams), and as one by add_weighted_adapter, by the logits of both
libraries. What is dropped at random (dare) is compared where nothing is. Needs peft. Exit 1: something differs."""
import json
import subprocess
import tempfile

from random_peft import BATCH, FAMILIES, LABELS, TASKS, VOCAB, class_of, randomise, some, spread
import peft
import random
import seeds
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

SEQ = 9
WAYS = ["linear", "cat", "svd", "ties", "ties_svd", "dare_linear", "dare_ties", "dare_linear_svd", "dare_ties_svd",
        "magnitude_prune", "magnitude_prune_svd"]


def run(args, command, folder, *more):
    done = subprocess.run([args.sinter, command, folder + "/model", "--inputs", folder + "/in.safetensors", "--outputs",
                           folder + "/out.safetensors", "--device", args.device, *more], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{command} {more}: {done.stderr[-500:]}")
    return load_file(folder + "/out.safetensors")


def near(what, got, want):
    worst = (got - want).abs().max().item()
    assert got.shape == want.shape and worst < 1e-4 * max(1, want.abs().max().item()), f"{what}: off by {worst:.3g}"


def one(args, seed):
    r, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    family = r.choice(list(FAMILIES))
    task = r.choice(["SEQ_CLS"] if family == "bert" else ["CAUSAL_LM", "CAUSAL_LM", "SEQ_CLS"])
    config, cls = class_of(family, task)
    base, is_alike, count = cls.from_config(config).eval(), r.random() < 0.5, r.randint(2, 3)
    randomise(base, generator)
    base.tie_weights()
    rank = r.choice([1, 2, 4])
    with tempfile.TemporaryDirectory() as folder:
        base.save_pretrained(folder + "/model")
        names = [f"a{i}" for i in range(count)]
        for name in names:
            own = LoraConfig(r=rank if is_alike else r.choice([1, 2, 4]), lora_alpha=r.choice([3, 8]), use_rslora=not is_alike and r.random() < 0.3,
                             target_modules=some(r, family) + ([FAMILIES[family][2]] if r.random() < 0.3 else []),
                             layers_to_transform=None if is_alike or r.random() < 0.7 else [1],
                             rank_pattern={} if is_alike else {FAMILIES[family][1][0]: 3})
            model = peft.get_peft_model(base, own, adapter_name=name) if name == "a0" else (model.add_adapter(name, own), model)[1]
            model.set_adapter(name)
            spread(model.eval(), generator)
        model.save_pretrained(folder)
        own = ["--adapter", ",".join(f"{folder}/{name}" for name in names)]
        try:
            rows(args, r, folder, model, names, task, own)
            if is_alike:
                combined(args, r, folder, model, names, own)
        except AssertionError as e:
            return f"{family} {task}: {e}"
    return None


def rows(args, r, folder, model, names, task, own):
    rows = [r.randint(0, len(names)) for _ in range(BATCH)]
    told = dict(adapter_names=[names[i - 1] if i else "__base__" for i in rows])
    x = {"input_ids": torch.randint(1, VOCAB, (BATCH, SEQ)), "attention_mask": torch.ones(BATCH, SEQ, dtype=torch.long)}
    x["input_ids"][1, :2] = x["attention_mask"][1, :2] = 0
    save_file({**x, "adapter_rows": torch.tensor(rows)}, folder + "/in.safetensors")
    with torch.no_grad():
        near("rows", run(args, "forward", folder, "--want", "logits", *own)["logits"], model(**x, **told).logits)
    for beams in (1, 3) if task == "CAUSAL_LM" else ():
        want = model.generate(**x, **told, max_new_tokens=6, do_sample=False, pad_token_id=0, num_beams=beams)
        got = run(args, "generate", folder, "--max-new-tokens", "6", "--pad-token-id", "0", "--num-beams", str(beams), "--adapter-rows",
                  json.dumps(rows), *own)["sequences"]
        assert torch.equal(got, want), f"generate, {beams} beams, {rows}: {got.tolist()}, expected {want.tolist()}"


def combined(args, r, folder, model, names, own):
    save_file({"input_ids": torch.randint(1, VOCAB, (BATCH, SEQ))}, folder + "/in.safetensors")
    for way in WAYS:
        weights = [round(r.uniform(-1, 1.5), 2) for _ in names]
        how = {"combination_type": way, "density": 1.0 if "dare" in way else r.choice([0.3, 0.5, 0.9, 1.0]),
               "majority_sign_method": r.choice(["total", "frequency"])}
        if way.endswith("svd") and r.random() < 0.5:
            how["svd_rank"] = r.randint(1, 6)
        model.add_weighted_adapter(names, weights, way, **how)
        model.set_adapter(way)
        with torch.no_grad():
            want = model(**load_file(folder + "/in.safetensors")).logits
        near(how, run(args, "forward", folder, "--want", "logits", *own, "--combine", json.dumps({**how, "weights": weights}))["logits"], want)
        model.delete_adapter(way)


if __name__ == "__main__":
    seeds.main(one, 10, "sinter", "--device")
