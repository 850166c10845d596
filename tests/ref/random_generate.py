#!/usr/bin/env python3
"""random_generate.py SINTER [FAMILY...] [--device D] [--seed N] [--count N] [--greedy] [--part TEXT] [-v]

Tiny random decoders of random_decoders.py and mixtures of them, made with transformers; generate() with random
arguments (greedy, beams, processors, guidance, lists of ends, padding on the left) against `sinter generate`:
sequences and, of half of them, logits and scores of each step, scores of sequences and which beam gave each
token. Where sequences differ it says how far apart the two best tokens were: rounding may turn them round below
1e-5. Needs transformers, torch. Exit 1: something differs.
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
from safetensors.torch import load_file, save_file

import random_decoders

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)
VOCAB = 53
RECURRENT = ("mamba", "mamba2", "falcon_mamba")


def kwargs_of(r, family):
    k = {"max_new_tokens": r.randint(1, 14), "do_sample": False}
    if r.random() < 0.45:
        k["num_beams"] = r.choice([2, 3, 4, 6])
        k["early_stopping"] = r.choice([True, False, "never"])
        k["length_penalty"] = r.choice([1.0, 0.0, 2.0, 0.6, -1.0])
        k["num_return_sequences"] = r.randint(1, k["num_beams"])
    ends = r.sample(range(VOCAB), r.choice([1, 1, 2, 4]))
    k["eos_token_id"] = ends if r.random() < 0.8 else ends[0]
    choice = {
        "repetition_penalty": lambda: r.choice([1.3, 0.8]),
        "no_repeat_ngram_size": lambda: r.choice([1, 2, 3]),
        "bad_words_ids": lambda: [[r.randrange(VOCAB)], [r.randrange(VOCAB), r.randrange(VOCAB)]],
        "min_new_tokens": lambda: r.randint(1, 8),
        "min_length": lambda: r.randint(1, 16),
        "suppress_tokens": lambda: r.sample(range(VOCAB), 3),
        "begin_suppress_tokens": lambda: r.sample(range(VOCAB), 5),
        "forced_eos_token_id": lambda: r.randrange(VOCAB),
        "sequence_bias": lambda: [[[r.randrange(VOCAB)], 2.5], [[r.randrange(VOCAB), r.randrange(VOCAB)], -3.0]],
        "exponential_decay_length_penalty": lambda: [r.randint(1, 4), 1.3],
        "renormalize_logits": lambda: True,
        "remove_invalid_values": lambda: True,
        "guidance_scale": lambda: r.choice([1.5, 3.0, 0.5]),
        "encoder_repetition_penalty": lambda: r.choice([1.4, 0.7]),
        "encoder_no_repeat_ngram_size": lambda: r.choice([1, 2]),
        "prompt_lookup_num_tokens": lambda: r.randint(1, 5),
    }
    for key in r.sample(sorted(choice), r.choice([0, 1, 1, 2, 3, 5])):
        if key == "prompt_lookup_num_tokens" and (family in RECURRENT or "num_beams" in k or len(k) > 3):
            continue
        if key == "guidance_scale" and ("prompt_lookup_num_tokens" in k or family in RECURRENT):
            continue  # the library loses the state of recurrent models there
        if key == "encoder_repetition_penalty" and "num_beams" in k:
            continue  # the library changes only as many rows as the batch has
        k[key] = choice[key]()
    if r.random() < 0.5 and "prompt_lookup_num_tokens" not in k:
        k |= {"output_scores": True, "output_logits": True}
    return k


def inputs_of(r, g, batch_of_one, by_length):
    batch, seq = 1 if batch_of_one else r.randint(1, 3), r.randint(1, 9)
    ids = torch.randint(1, VOCAB, (batch, seq), generator=g)
    mask = torch.ones_like(ids)
    if not by_length:
        for row in range(1, batch):
            n = r.randint(0, seq - 1)
            mask[row, :n] = 0
            ids[row, :n] = 0
    return {"input_ids": ids, "attention_mask": mask}


def make(r, family, g):
    _, changes, prefix = random_decoders.FAMILIES[family]
    change = r.choice(changes) if r.random() < 0.3 else random_decoders.mixture(family, r.randrange(1 << 30))
    config = random_decoders.make_config(family, change)
    model = random_decoders.class_of(prefix, random_decoders.WORDS)(config).eval()
    random_decoders.randomise(model, g)
    model.tie_weights()
    return model, change


def flags_of(kwargs):
    line = []
    for key, v in kwargs.items():
        flag = "--" + key.replace("_", "-")
        if v is True and key != "early_stopping":
            line.append(flag)
        elif v is not False or key == "early_stopping":
            line += [flag, v if isinstance(v, str) else json.dumps(v)]
    return line


def gap(model, x, kwargs):
    """The smallest distance of the two best tokens of a step, as the library sees it."""
    with torch.no_grad():
        out = model.generate(**x, **(kwargs | {"output_scores": True, "return_dict_in_generate": True}))
    return min((s.topk(2).values.diff().abs().min().item() for s in out.scores), default=0.0)


def lengths(sequences, prompt, ends):
    """Steps of each row up to its end."""
    ends = {ends} if isinstance(ends, int) else set(ends)
    return [next((i + 1 for i, t in enumerate(row[prompt:].tolist()) if t in ends), len(row) - prompt) for row in sequences]


def steps_differ(got, expected, kwargs, prompt):
    """What differs of the steps; None: nothing."""
    for key in ("logits", "scores"):
        a, b = got[key], torch.stack(expected[key], 1)
        if a.shape != b.shape:
            return f"{key} {tuple(a.shape)}, expected {tuple(b.shape)}"
        if "num_beams" not in kwargs:
            n = lengths(expected.sequences, prompt, kwargs["eos_token_id"])
            a, b = [torch.cat([x[i, :n[i]] for i in range(len(n))]) for x in (a, b)]
        same = (a == b) | ((a - b).abs() <= 2e-4 * b.abs().clamp(min=1))
        if not same.all():
            i = (~same).nonzero()[0].tolist()
            return f"{key} at {i}: {a[tuple(i)]}, expected {b[tuple(i)]}"
    if "num_beams" in kwargs:
        if not torch.equal(got["beam_indices"], expected.beam_indices.to(torch.int32)):
            return f"beam_indices {got['beam_indices'].tolist()}, expected {expected.beam_indices.tolist()}"
        if not torch.allclose(got["sequences_scores"], expected.sequences_scores, rtol=1e-3, atol=1e-4):
            return f"sequences_scores {got['sequences_scores']}, expected {expected.sequences_scores}"
    return None


def one(args, seed, folder):
    r = random.Random(seed)
    family = r.choice(args.families or sorted(random_decoders.FAMILIES))
    g = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    try:
        model, change = make(r, family, g)
    except Exception as e:  # a config that the library refuses
        return f"skipped {seed} {family}: {e}"[:300]
    kwargs = {"max_new_tokens": 14, "do_sample": False} if args.greedy else kwargs_of(r, family)
    if change.get("is_causal") is False:
        kwargs.pop("guidance_scale", None)  # refused where there are windows, too
        kwargs.pop("prompt_lookup_num_tokens", None)  # there guesses see one another
    # Ropes that go by length go by the longest row of a batch there, by each row's own here: rows alone are as in batches.
    by_length = any(rope in json.dumps(change, default=str) for rope in ("longrope", "dynamic"))
    biased = family in RECURRENT and change.get("use_bias")  # which convolutions of the library see of padding
    x = inputs_of(r, g, "prompt_lookup_num_tokens" in kwargs, by_length or biased)
    name = f"{seed} {family} {json.dumps(change, default=lambda f: 'edited')} {tuple(x['input_ids'].shape)} {json.dumps(kwargs)}"
    if args.part not in name:
        return None
    random_decoders.save(model, os.path.join(folder, "model"), change)
    model = type(model).from_pretrained(os.path.join(folder, "model"), attn_implementation="eager")  # as the edit says
    save_file(x, os.path.join(folder, "in.safetensors"))
    try:
        with torch.no_grad():
            own = dict(kwargs)
            if "sequence_bias" in own:
                own["sequence_bias"] = {tuple(k): v for k, v in own["sequence_bias"]}
            steps = model.generate(**x, **own, return_dict_in_generate=True)
            expected = steps.sequences
    except Exception as e:
        return f"skipped {name}: {e}"[:300]
    line = [args.sinter, "generate", os.path.join(folder, "model"), "--inputs", os.path.join(folder, "in.safetensors"),
            "--outputs", os.path.join(folder, "out.safetensors"), "--device", args.device, "--dtype", "f32",
            *flags_of(kwargs)]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        return f"FAIL {name}: {done.stderr.strip()}"
    found = load_file(os.path.join(folder, "out.safetensors"))
    got = found["sequences"]
    if got.shape == expected.shape and torch.equal(got, expected) and "output_scores" in kwargs:
        wrong = steps_differ(found, steps, kwargs, x["input_ids"].shape[1])
        if wrong:
            return f"FAIL {name}: {wrong}"
    if got.shape == expected.shape and torch.equal(got, expected):
        return f"ok   {name}"
    try:
        near = gap(model, x, own)
    except Exception:
        near = -1
    return f"FAIL {name}: gap {near:.2g}\n  got      {got.tolist()}\n  expected {expected.tolist()}"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("sinter")
    p.add_argument("families", nargs="*")
    p.add_argument("--device", default="interp")
    p.add_argument("--seed", default=1, type=int)
    p.add_argument("--count", default=50, type=int)
    p.add_argument("--greedy", action="store_true", help="14 tokens, no further arguments")
    p.add_argument("--part", default="")
    p.add_argument("-v", action="store_true")
    args = p.parse_args()
    passed = failed = 0
    for i in range(args.count):
        with tempfile.TemporaryDirectory() as folder:
            said = one(args, args.seed * 100000 + i, folder)
        passed += bool(said) and said.startswith("ok")
        failed += bool(said) and said.startswith("FAIL")
        if said and (args.v or said.startswith("FAIL")):
            print(said, flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
