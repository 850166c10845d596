#!/usr/bin/env python3
"""random_logits.py CONFORM [--device D] [--seed N] [--count N] [-v]

Logits processors of transformers with random arguments on random inputs against ours: each call is written as a
case of kind logits, which `conform --check` compares at 1e-6. Needs transformers, torch. Exit 1: something differs.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from types import SimpleNamespace

os.environ.update(HF_HUB_OFFLINE="1")
import torch
import transformers.generation.logits_process as lp
import transformers
from safetensors.torch import save_file

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)


def tokens(r, v, n):
    return r.sample(range(v), n)


def choices(r, v, seq):
    """Class name ▶ arguments."""
    mark = {"greenlist_ratio": r.choice([0.1, 0.25, 0.5, 0.9]), "bias": r.choice([2.0, -1.5, 0.5]),
            "hashing_key": r.choice([15485863, 7, 2**32 - 5]), "seeding_scheme": r.choice(["lefthash", "selfhash"]),
            "context_width": r.randint(1, 4)}
    fill = r.choice([{}, {"filter_value": -1e9}])
    return {
        "TemperatureLogitsWarper": {"temperature": r.uniform(0.1, 4)},
        "TopKLogitsWarper": {"top_k": r.randint(1, v + 3), "min_tokens_to_keep": r.randint(1, 4)},
        "TopPLogitsWarper": {"top_p": r.uniform(0, 1), "min_tokens_to_keep": r.randint(1, 4), **fill},
        "TopHLogitsWarper": {"top_h": r.uniform(0.05, 1)},
        "MinPLogitsWarper": {"min_p": r.uniform(0, 1), "min_tokens_to_keep": r.randint(1, 4), **fill},
        "TypicalLogitsWarper": {"mass": r.uniform(0.05, 0.95), "min_tokens_to_keep": r.randint(1, 4)},
        "EpsilonLogitsWarper": {"epsilon": r.uniform(0.001, 0.2), "min_tokens_to_keep": r.randint(1, 4), **fill},
        "EtaLogitsWarper": {"epsilon": r.uniform(0.001, 0.2), "min_tokens_to_keep": r.randint(1, 4)},
        "RepetitionPenaltyLogitsProcessor": {"penalty": r.uniform(0.5, 2)},
        "NoRepeatNGramLogitsProcessor": {"ngram_size": r.randint(1, 4)},
        "SequenceBiasLogitsProcessor": {"sequence_bias": [[tokens(r, v, r.randint(1, 3)), r.uniform(-9, 9)]
                                                          for _ in range(r.randint(1, 5))]},
        "NoBadWordsLogitsProcessor": {"bad_words_ids": [tokens(r, v, r.randint(1, 3)) for _ in range(r.randint(1, 5))],
                                      "eos_token_id": tokens(r, v, 3)},
        "MinLengthLogitsProcessor": {"min_length": r.randint(0, 2 * seq), "eos_token_id": tokens(r, v, r.randint(1, 3))},
        "MinNewTokensLengthLogitsProcessor": {"prompt_length_to_skip": r.randint(0, seq), "min_new_tokens": r.randint(0, 5),
                                              "eos_token_id": tokens(r, v, r.randint(1, 3))},
        "ForcedBOSTokenLogitsProcessor": {"bos_token_id": r.randrange(v)},
        "ForcedEOSTokenLogitsProcessor": {"max_length": seq + r.randint(0, 2), "eos_token_id": tokens(r, v, 2)},
        "InfNanRemoveLogitsProcessor": {},
        "ExponentialDecayLengthPenalty": {"exponential_decay_length_penalty": [r.randint(0, seq), r.uniform(1, 1.5)],
                                          "eos_token_id": tokens(r, v, 2), "input_ids_seq_length": r.randint(0, 2)},
        "LogitNormalization": {},
        "SuppressTokensAtBeginLogitsProcessor": {"begin_suppress_tokens": tokens(r, v, 3),
                                                 "begin_index": seq + r.randint(0, 1)},
        "SuppressTokensLogitsProcessor": {"suppress_tokens": tokens(r, v, 3)},
        "WhisperTimeStampLogitsProcessor": {"begin_index": r.randint(0, seq), "eos_token_id": r.randrange(1, v // 2),
                                            "no_timestamps_token_id": v // 2,
                                            "max_initial_timestamp_index": r.choice([None, 0, 3])},
        "WatermarkLogitsProcessor": mark,
        "SynthIDTextWatermarkLogitsProcessor": {
            "ngram_len": r.randint(2, 6), "keys": [r.randrange(1000) for _ in range(r.randint(1, 30))],
            "sampling_table_size": r.choice([65536, 1000]), "sampling_table_seed": r.randrange(9),
            "context_history_size": 1024, "skip_first_ngram_calls": r.random() < 0.2},
    }


def build(name, kwargs, v):
    own = dict(kwargs)
    if name == "SequenceBiasLogitsProcessor":
        return lp.SequenceBiasLogitsProcessor({tuple(k): b for k, b in own["sequence_bias"]})
    if name == "WhisperTimeStampLogitsProcessor":
        config = SimpleNamespace(bos_token_id=None, **{k: x for k, x in own.items() if k != "begin_index"})
        return lp.WhisperTimeStampLogitsProcessor(config, begin_index=own["begin_index"])
    if name.startswith("Watermark"):
        own.update(vocab_size=v, device="cpu")
    if name.startswith("SynthID") or "eos_token_id" in own and name != "NoBadWordsLogitsProcessor":
        own["device"] = "cpu"
    if name in ("EtaLogitsWarper", "SuppressTokensLogitsProcessor", "SuppressTokensAtBeginLogitsProcessor"):
        own["device"] = "cpu"
    if name == "ExponentialDecayLengthPenalty":
        own.pop("device")
        own["exponential_decay_length_penalty"] = tuple(own["exponential_decay_length_penalty"])
        own["eos_token_id"] = torch.tensor(own["eos_token_id"])
    if name == "NoBadWordsLogitsProcessor":
        own["eos_token_id"] = torch.tensor(own["eos_token_id"])
    return getattr(lp, name)(**own)


def one(args, seed, folder):
    r = random.Random(seed)
    torch.manual_seed(seed)
    batch, seq, v = r.randint(1, 4), r.randint(1, 12), r.randint(40, 90)
    few = r.random() < 0.5
    ids = torch.randint(0, 4 if few else v, (batch, seq))
    if r.random() < 0.3:
        ids[:, -1] = v - 2
    scores = torch.randn(batch, v) * r.choice([0.5, 3, 10])
    if r.random() < 0.3:
        scores[torch.rand(batch, v) < 0.2] = -float("inf")
    inputs, outputs, calls, atol = {"input_ids": ids}, {}, [], {}
    for name, kwargs in choices(r, v, seq).items():
        own = scores
        if name == "SynthIDTextWatermarkLogitsProcessor" or name == "TopHLogitsWarper":
            own = torch.nan_to_num(scores, neginf=-20.0)
        if name.startswith("SynthID"):  # 1 - mass must not be what rounding left over
            own = own / 10
        if name == "InfNanRemoveLogitsProcessor":
            own = scores.clone()
            own[0, 1], own[0, 2] = float("nan"), float("inf")
        inputs["scores." + name] = own.clone()
        try:
            outputs[name] = build(name, kwargs, v)(ids, own.clone()).float().contiguous()
        except Exception as e:
            if args.v:
                print(f"skipped {seed} {name}: {e}"[:300])
            continue
        if name.startswith("SynthID"):  # 30 products of 1 - mass: as far as the library's f32 is from its f64
            far = (build(name, kwargs, v)(ids, own.double()) - outputs[name]).abs().max().item()
            atol[name] = max(1e-6, 30 * far)
        calls.append({"name": name, "op": "logits_processor", "class": name, "kwargs": kwargs,
                      "inputs": {"input_ids": "input_ids", "scores": "scores." + name},
                      "outputs": {"scores": {"tensor": name}}})
    save_file(inputs, os.path.join(folder, "inputs.safetensors"))
    save_file(outputs, os.path.join(folder, "expected.safetensors"))
    case = {"name": f"random-{seed}", "kind": "logits", "calls": calls,
            "tolerance": {"atol": 1e-6, "rtol": 2e-6, "infinities": "exact",
                          "atol_by_tensor": atol}, "allow_nonfinite": True}
    with open(os.path.join(folder, "case.json"), "w") as f:
        json.dump(case, f)
    done = subprocess.run([args.conform, folder, os.path.join(folder, "out"), "--check", "--device", args.device],
                          capture_output=True, text=True)
    if done.returncode == 0:
        return len(calls), None
    return len(calls), f"FAIL {seed}: ids {tuple(ids.shape)} of {v}\n{done.stdout[-1500:]}{done.stderr[-500:]}"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("conform")
    p.add_argument("--device", default="interp")
    p.add_argument("--seed", default=1, type=int)
    p.add_argument("--count", default=10, type=int)
    p.add_argument("-v", action="store_true")
    args = p.parse_args()
    passed = failed = 0
    for i in range(args.count):
        with tempfile.TemporaryDirectory() as folder:
            n, said = one(args, args.seed * 10000 + i, folder)
        passed, failed = passed + (said is None) * n, failed + (said is not None)
        if said:
            print(said, flush=True)
    print(f"{passed} processors passed, {failed} cases failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
