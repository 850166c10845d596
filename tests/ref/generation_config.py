#!/usr/bin/env python3
"""generation_config.py SINTER [--count 30]: random generation_config.json files, and options over them; what `sinter
generate --print-config` writes of both is what GenerationConfig.from_pretrained reads, equal to the library's own. Needs
transformers. Exit 1: something differs."""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

import transformers
from transformers import GenerationConfig

transformers.logging.set_verbosity_error()
KEYS = {
    "max_length": lambda r: r.randint(20, 90), "max_new_tokens": lambda r: r.randint(1, 90),
    "min_length": lambda r: r.randint(0, 9), "min_new_tokens": lambda r: r.randint(1, 9),
    "early_stopping": lambda r: r.choice([True, False, "never"]), "max_time": lambda r: r.choice([0.5, 120.0]),
    "stop_strings": lambda r: r.choice(["end", ["é\n", "\"x\""]]), "do_sample": lambda r: r.choice([True, False]),
    "num_beams": lambda r: r.choice([1, 4]), "use_cache": lambda r: True, "temperature": lambda r: r.choice([0.7, 1e-3, 1.0]),
    "top_k": lambda r: r.choice([0, 5, 50]), "top_p": lambda r: r.choice([0.9, 1.0]), "min_p": lambda r: 0.05,
    "top_h": lambda r: 0.4, "typical_p": lambda r: 0.95, "epsilon_cutoff": lambda r: 3e-4, "eta_cutoff": lambda r: 6e-4,
    "repetition_penalty": lambda r: 1.1, "length_penalty": lambda r: -0.5, "no_repeat_ngram_size": lambda r: 3,
    "bad_words_ids": lambda r: [[7], [5, 6]], "renormalize_logits": lambda r: True, "forced_eos_token_id": lambda r: [2, 3],
    "remove_invalid_values": lambda r: True, "exponential_decay_length_penalty": lambda r: [4, 1.25],
    "suppress_tokens": lambda r: [1, 2], "begin_suppress_tokens": lambda r: [9], "guidance_scale": lambda r: 1.5,
    "sequence_bias": lambda r: [[[3], 0.5], [[4, 5], -2.0]], "num_return_sequences": lambda r: 1,
    "output_scores": lambda r: True, "output_logits": lambda r: True, "return_dict_in_generate": lambda r: True,
    "pad_token_id": lambda r: 0, "bos_token_id": lambda r: 1, "eos_token_id": lambda r: r.choice([2, [2, 3]]),
    "prompt_lookup_num_tokens": lambda r: 3, "max_matching_ngram_size": lambda r: 2, "num_assistant_tokens": lambda r: 5,
    "watermarking_config": lambda r: {"greenlist_ratio": 0.25, "bias": 2.0, "hashing_key": 15485863,
                                      "seeding_scheme": "lefthash", "context_width": 1},
    "encoder_repetition_penalty": lambda r: 1.2, "decoder_start_token_id": lambda r: 0,
    "assistant_confidence_threshold": lambda r: 0.4, "cache_implementation": lambda r: "static", "is_assistant": lambda r: False,
    "num_assistant_tokens_schedule": lambda r: "constant", "disable_compile": lambda r: True, "my_own_key": lambda r: {"a": [1]},
}
NOT_FLAGS = ("use_cache", "return_dict_in_generate", "bos_token_id", "decoder_start_token_id", "encoder_repetition_penalty",
             "assistant_confidence_threshold", "cache_implementation", "is_assistant", "num_assistant_tokens_schedule",
             "disable_compile", "my_own_key")


def random_keys(r, most, among):
    return {key: KEYS[key](r) for key in r.sample(among, r.randint(0, most))}


def flags_of(options):
    line = []
    for key, v in options.items():
        line.append("--" + key.replace("_", "-"))
        if v is not True or key == "early_stopping":
            line.append(v if isinstance(v, str) else json.dumps(v))
    return line


def one(sinter, seed, where):
    r = random.Random(seed)
    file = random_keys(r, 14, sorted(KEYS))
    options = random_keys(r, 5, sorted(set(KEYS) - set(NOT_FLAGS)))
    options = {k: v for k, v in options.items() if v is not False or k == "early_stopping"}
    own, back = os.path.join(where, "own"), os.path.join(where, "back")
    os.makedirs(own), os.makedirs(back)
    with open(f"{own}/config.json", "w") as f:
        json.dump({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 100}, f)
    try:
        config = GenerationConfig(**file)
        with open(f"{own}/generation_config.json", "w") as f:
            f.write(config.to_json_string(use_diff=r.random() < 0.8))
        expected = GenerationConfig.from_pretrained(own, **options)
    except ValueError as e:
        return f"skipped: {e}"
    done = subprocess.run([sinter, "generate", own, "--print-config", *flags_of(options)], capture_output=True, text=True)
    if done.returncode:
        return f"{done.stderr.strip()} {file} {options}"
    with open(f"{back}/generation_config.json", "w") as f:
        f.write(done.stdout)
    found = GenerationConfig.from_pretrained(back)
    a, b = json.loads(found.to_json_string(ignore_metadata=True)), json.loads(expected.to_json_string(ignore_metadata=True))
    if found == expected and a == b:
        return None
    return "; ".join(f"{k}: {a.get(k)} expected {b.get(k)}" for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sinter")
    parser.add_argument("--count", type=int, default=30)
    o = parser.parse_args()
    bad = skipped = 0
    for seed in range(o.count):
        with tempfile.TemporaryDirectory() as where:
            said = one(o.sinter, seed, where)
        skipped += bool(said) and said.startswith("skipped")
        if said and not said.startswith("skipped"):
            bad += 1
            print(f"seed {seed}: {said}")
    print(f"{o.count - bad - skipped} of {o.count} equal, {skipped} refused by the library")
    return 1 if bad or skipped == o.count else 0


if __name__ == "__main__":
    sys.exit(main())
