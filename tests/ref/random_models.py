#!/usr/bin/env python3
"""random_models.py CONFORM [--only WORD] [--keep FOLDER] [--seed N] [--generate] [-- flags of conform]

Tiny decoders with random weights, made by Transformers, and what sinter's conform says of them: each row of
random_rows.py is a config; each is run as several classes and with several kinds of input (padding right, left,
none, position_ids, labels). Needs torch and transformers. Prints a line for each that fails and the counts."""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
import transformers
from safetensors.torch import save_file

from random_rows import ROWS, SMALL

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
BATCH, SEQ = 3, 9
HEADS = ["ForCausalLM", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "Model"]


def fill(model):
    """Every parameter at random: an ignored bias or norm shows."""
    with torch.no_grad():
        for name, p in list(model.named_parameters()) + list(model.named_buffers()):
            if "inv_freq" in name or not p.is_floating_point() or "embed_scale" in name:
                continue
            norm = "norm" in name and p.ndim == 1 and name.endswith("weight")
            p.copy_(torch.randn(p.shape) * (0.2 if p.ndim < 2 else p.shape[-1] ** -0.5) + (1 if norm else 0))


def inputs_of(kind, head, vocab, seq):
    g = torch.Generator().manual_seed(len(kind) + seq)
    ids = torch.randint(3, vocab, (BATCH, seq), generator=g)
    out = {"input_ids": ids}
    if kind in ("right", "left", "places"):
        mask = torch.ones(BATCH, seq, dtype=torch.int64)
        for row, n in ((1, 3), (2, seq // 2)):
            cut = slice(seq - n, seq) if kind != "left" else slice(0, n)
            mask[row, cut] = 0
            ids[row, cut] = 0
        out["attention_mask"] = mask
    if kind == "places":
        out["position_ids"] = torch.arange(seq)[None] + torch.tensor([[0], [2], [5]])
    if kind == "right" and head == "ForCausalLM":
        out["labels"] = torch.where(out["attention_mask"] == 0, -100, ids)
    if kind == "right" and head == "ForSequenceClassification":
        out["labels"] = torch.tensor([0, 2, 1])
    return out


def flat(result, wide, whole):
    out = {}
    for name in ("loss", "logits", "last_hidden_state", "start_logits", "end_logits", "aux_loss"):
        v = getattr(result, name, None)
        if v is not None and not isinstance(v, int):
            out[name] = v.float().reshape(v.shape)
    if wide:
        for name in ("hidden_states", "attentions") + (("router_logits",) if whole else ()):
            for i, v in enumerate(getattr(result, name, None) or ()):
                out[f"{name}.{i}"] = v.float()
    return {k: v.detach().contiguous() for k, v in out.items()}


def call_of(model, name, inputs, expected, saved):
    rows = "attention_mask" in inputs
    outputs = {}
    for key, v in expected.items():
        saved["expected"][f"{name}.{key}"] = v
        outputs[key] = {"tensor": f"{name}.{key}"}
        if rows and v.ndim >= 2 and v.shape[:2] == inputs["input_ids"].shape:
            outputs[key]["rows"] = f"{name}.attention_mask"
    for key, v in inputs.items():
        saved["inputs"][f"{name}.{key}"] = v
    return {"name": name, "op": "forward", "kwargs": {"output_hidden_states": True, "use_cache": False},
            "inputs": {key: f"{name}.{key}" for key in inputs}, "outputs": outputs}


def make(folder, prefix, config, head, kinds):
    model = getattr(transformers, prefix + head)._from_config(config, attn_implementation="eager").eval()
    fill(model)
    model.save_pretrained(folder / "model")
    model = type(model).from_pretrained(folder / "model", attn_implementation="eager", dtype=torch.float32).eval()
    saved, calls, far = {"inputs": {}, "expected": {}}, [], 0
    for kind, seq in kinds:
        inputs = inputs_of(kind, head, config.vocab_size, seq)
        wide = head == "ForCausalLM" and kind != "long"
        args = dict(use_cache=False, output_hidden_states=wide, output_attentions=wide and kind == "none")
        with torch.no_grad():
            expected = flat(model(**inputs, **args), wide, kind == "none")
        calls.append(call_of(model, kind, inputs, expected, saved))
    save_file(saved["inputs"], folder / "inputs.safetensors")
    save_file(saved["expected"], folder / "expected.safetensors")
    spec = {"name": folder.name, "kind": "forward", "architecture": prefix + head, "model_type": config.model_type,
            "task": "causal-lm", "model": "model", "dtype": "f32", "tolerance": {"atol": 1.5e-4, "rtol": 5e-4},
            "calls": calls}
    (folder / "case.json").write_text(json.dumps(spec))


def make_generate(folder, prefix, config, head, kinds):
    """Greedy, prompts of different lengths; past windows and the switch of LongRoPE."""
    model = getattr(transformers, prefix + head)._from_config(config, attn_implementation="eager").eval()
    fill(model)
    model.generation_config.eos_token_id = None
    model.save_pretrained(folder / "model")
    model = type(model).from_pretrained(folder / "model", attn_implementation="eager", dtype=torch.float32).eval()
    inputs = inputs_of("none" if "long" in folder.name else "left", head, config.vocab_size, SEQ)
    args = dict(max_new_tokens=14, do_sample=False)
    with torch.no_grad():
        out = model.generate(**inputs, **args, return_dict_in_generate=True, output_logits=True)
    save_file(inputs, folder / "inputs.safetensors")
    save_file({"sequences": out.sequences, "logits": torch.stack(out.logits, 1)}, folder / "expected.safetensors")
    call = {"name": "greedy", "op": "generate", "kwargs": args, "inputs": {key: key for key in inputs},
            "outputs": {"sequences": {"tensor": "sequences"}, "logits": {"tensor": "logits"}}}
    spec = {"name": folder.name, "kind": "generate", "architecture": prefix + head, "model_type": config.model_type,
            "task": "generate", "model": "model", "dtype": "f32",
            "tolerance": {"sequences": "exact", "atol": 2e-4, "rtol": 1e-3}, "calls": [call]}
    (folder / "case.json").write_text(json.dumps(spec))


def cases(only):
    for number, (prefix, variants) in enumerate(ROWS):
        for i, (variant, options) in enumerate(variants.items()):
            if only not in f"{prefix}-{variant}":
                continue
            heads = [h for h in HEADS if hasattr(transformers, prefix + h)]
            for head in heads if i == 0 else heads[:1]:
                yield prefix, variant, head, options, number * 100 + i


def main():
    p = argparse.ArgumentParser()
    p.add_argument("conform")
    p.add_argument("--only", default="")
    p.add_argument("--keep")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--generate", action="store_true", help="greedy ids and logits instead of forward passes")
    p.add_argument("flags", nargs="*")
    a = p.parse_args()
    good = bad = 0
    for prefix, variant, head, options, number in cases(a.only):
        torch.manual_seed(a.seed * 10000 + number)
        name = f"{prefix}-{variant}-{head}"
        if a.generate and head != "ForCausalLM":
            continue
        room = pathlib.Path(a.keep or tempfile.mkdtemp()) / name
        shutil.rmtree(room, ignore_errors=True)
        room.mkdir(parents=True)
        options = dict(SMALL, **options)
        edit, lengths = options.pop("edit_json", None), options.pop("long", None)
        kinds = [(k, SEQ) for k in (("right", "left", "none", "places") if head == "ForCausalLM" else ("right",))]
        if lengths and head == "ForCausalLM":
            kinds.append(("long", lengths))
        config_class = getattr(transformers, options.pop("config", prefix + "Config"))
        try:
            (make_generate if a.generate else make)(room, prefix, config_class(**options), head, kinds)
            if edit:
                path = room / "model/config.json"
                path.write_text(json.dumps(edit(json.loads(path.read_text()))))
        except Exception as e:  # a config that this library refuses says nothing about sinter
            print("SKIPPED", name, type(e).__name__, str(e)[:300].replace("\n", " "))
            continue
        run = subprocess.run([a.conform, str(room), str(room / "out"), "--check", *a.flags], capture_output=True,
                             text=True)
        good += run.returncode == 0
        bad += run.returncode != 0
        if run.returncode != 0:
            print("FAILED", name, (run.stdout + run.stderr)[-600:])
        sys.stdout.flush()
        if not a.keep:
            shutil.rmtree(room.parent)
    print(f"{good} passed, {bad} failed")
    sys.exit(bad != 0)


main()
