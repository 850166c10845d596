#!/usr/bin/env python3
"""convert.py SINTER [MODEL_TYPE...]: `sinter convert` on tiny random models of transformers: into shards and back
from GGUF every parameter keeps its bits and transformers' logits are equal; what sinter computes from either is
too; blocks of Q8_0 come near. Files are read by the package gguf, whose quantisers make the same blocks.
Needs transformers, torch, gguf. Exit 1: something differs."""
import os
import subprocess
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
import gguf
import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)

PLAIN = dict(vocab_size=71, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             max_position_embeddings=64)
GROUPED = dict(PLAIN, num_key_value_heads=2)
GPT2 = dict(vocab_size=71, n_embd=64, n_layer=2, n_head=4, n_positions=64)
STATES = dict(vocab_size=71, hidden_size=64, num_hidden_layers=2)
MODELS = {
    "llama": [GROUPED, dict(GROUPED, attention_bias=True, tie_word_embeddings=True),
              dict(GROUPED, rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0,
                                                 high_freq_factor=4.0, original_max_position_embeddings=16))],
    "mistral": [dict(GROUPED, sliding_window=None)],
    "mixtral": [dict(GROUPED, num_local_experts=4, sliding_window=None)],
    "qwen2": [GROUPED], "qwen3": [dict(GROUPED, head_dim=32)],
    "gemma": [dict(GROUPED, head_dim=16)],
    "gemma2": [dict(GROUPED, head_dim=16, query_pre_attn_scalar=16)],
    "phi": [dict(PLAIN, partial_rotary_factor=0.5)], "phi3": [dict(GROUPED, vocab_size=32064)],
    "stablelm": [dict(GROUPED, partial_rotary_factor=0.25)], "olmo2": [GROUPED],
    "starcoder2": [dict(GROUPED, use_bias=True)], "cohere": [dict(GROUPED, use_qk_norm=False)],
    "granite": [dict(GROUPED, attention_multiplier=0.3, residual_multiplier=0.5)],
    "gpt2": [GPT2],
    "bloom": [dict(vocab_size=71, hidden_size=64, n_layer=2, n_head=4)],
    "falcon": [dict(vocab_size=71, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, alibi=False, bias=False,
                    multi_query=True, parallel_attn=True, new_decoder_architecture=False),
               dict(vocab_size=71, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, alibi=False, bias=False,
                    num_kv_heads=2, new_decoder_architecture=True),
               dict(vocab_size=71, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, alibi=False, bias=False,
                    num_kv_heads=2, new_decoder_architecture=True, num_ln_in_parallel_attn=1)],
    "phimoe": [dict(GROUPED, num_local_experts=2, sliding_window=None, attention_bias=True, lm_head_bias=True)],
    "gpt_neox": [dict(PLAIN, rope_parameters=dict(rope_type="default", rope_theta=10000.0,
                                                  partial_rotary_factor=0.25)),
                 dict(PLAIN, use_parallel_residual=False)],
    "mamba": [dict(STATES, state_size=8), dict(STATES, state_size=8, use_bias=True, use_conv_bias=False)],
    "falcon_mamba": [dict(STATES, state_size=8)],
    "mamba2": [dict(STATES, state_size=16, num_heads=8, head_dim=16, n_groups=2)],
}


def run(*args):
    done = subprocess.run(args, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(args[1:4])}: {done.stderr.strip()}")


def forward(sinter, model, folder):
    run(sinter, "forward", model, "--inputs", f"{folder}/in.safetensors", "--outputs", f"{folder}/out.safetensors",
        "--want", "logits", "--device", os.environ.get("SINTER_DEVICE", "auto"))
    return load_file(f"{folder}/out.safetensors")["logits"]


def same_weights(a, b, slack):
    """Gemma's norms are stored with one added, decays of state spaces as -exp of them, which rounds."""
    x, y = a.state_dict(), b.state_dict()
    return [k for k in x if k not in y or (x[k] - y[k]).abs().max() > slack] + [k for k in y if k not in x]


def check_blocks(path, source):
    """Blocks of a file are those that the package makes of the numbers."""
    plain = {t.name: t for t in gguf.GGUFReader(source).tensors}
    wrong = []
    for t in gguf.GGUFReader(path).tensors:
        if t.tensor_type == gguf.GGMLQuantizationType.F32:
            continue
        made = gguf.quants.quantize(np.array(plain[t.name].data, np.float32), t.tensor_type)
        if made.tobytes() != t.data.tobytes():
            wrong.append(t.name)
    return wrong


def check(sinter, kind, options, folder):
    config = transformers.AutoConfig.for_model(kind, **options, attn_implementation="eager")
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    for p in model.parameters():
        p.data = torch.randn_like(p) * (0.1 if p.ndim > 1 else 0.3) + (1.0 if p.ndim == 1 else 0.0)
    model.save_pretrained(f"{folder}/m")
    ids = torch.randint(3, 70, (2, 9))
    save_file({"input_ids": ids}, f"{folder}/in.safetensors")
    with torch.no_grad():
        expected = model(ids).logits
    wrong = []
    slack = 3e-7 if "gemma" in kind or "mamba" in kind else 0
    run(sinter, "convert", f"{folder}/m", "-o", f"{folder}/shards", "--max-shard-size", "60KB")
    run(sinter, "convert", f"{folder}/m", "-o", f"{folder}/m.gguf")
    run(sinter, "convert", f"{folder}/m.gguf", "-o", f"{folder}/back")
    run(sinter, "convert", f"{folder}/m", "-o", f"{folder}/q.gguf", "--to", "q8_0")
    run(sinter, "convert", f"{folder}/q.gguf", "-o", f"{folder}/q")
    for name in ("shards", "back"):
        other = transformers.AutoModelForCausalLM.from_pretrained(f"{folder}/{name}", attn_implementation="eager")
        wrong += [f"{name}: {k}" for k in same_weights(model, other, slack if name == "back" else 0)]
        with torch.no_grad():
            if not torch.allclose(other.eval()(ids).logits, expected, atol=1e-5, rtol=1e-5):
                wrong.append(f"{name}: logits differ by {(other(ids).logits - expected).abs().max():.2g}")
    wrong += [f"q8_0 blocks of {k}" for k in check_blocks(f"{folder}/q.gguf", f"{folder}/m.gguf")]
    ours = forward(sinter, f"{folder}/m", folder)
    for name, most in (("m.gguf", 1e-4), ("back", 1e-5), ("q.gguf", 0.15), ("q", 0.15)):
        gap = (forward(sinter, f"{folder}/{name}", folder) - ours).abs().max() / ours.abs().max()
        if not gap <= most:
            wrong.append(f"{name}: sinter's logits differ by {gap:.2g}")
    return wrong


def main():
    sinter, kinds, bad = sys.argv[1], sys.argv[2:] or MODELS, 0
    torch.manual_seed(7)
    for kind in kinds:
        for i, options in enumerate(MODELS[kind]):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    wrong = check(sinter, kind, options, folder)
                except Exception as e:
                    wrong = [f"{type(e).__name__}: {e}"]
            bad += bool(wrong)
            print(f"{kind} {i}: {'; '.join(wrong[:4]) if wrong else 'equal'}", flush=True)
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
