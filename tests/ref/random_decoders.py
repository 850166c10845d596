#!/usr/bin/env python3
"""random_decoders.py SINTER [FAMILY...] [--device D] [--seed N] [--part TEXT] [-v]

Tiny random models of each family, made with transformers: every config flag that changes the graph, every head,
padding left and right, position_ids, labels; f32 and bf16. Their outputs are compared with `sinter forward`.
Needs transformers and torch. Exit 1: something differs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zlib

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
import torch
import transformers
from safetensors.torch import load_file, save_file

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)

VOCAB, SEQ, LABELS, PAD = 53, 11, 3, 0
SEQUENCE, TOKEN, QUESTION = "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering"
ALL = (SEQUENCE, TOKEN, QUESTION)
GPT = {"n_embd": 24, "n_layer": 3, "n_head": 4, "n_positions": 40}
WIDE = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4}


def rope(theta, **more):
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta, **more}}


def longer(kind, **more):
    return rope(10000.0, rope_type=kind, factor=4.0, **more)


ROPES = [longer("linear"), longer("yarn", original_max_position_embeddings=8), longer("dynamic"),
         longer("llama3", low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)]

# family: base of the config, variants of it, prefix of class names, heads beside Model and the one of words
FAMILIES = {
    "gpt2": (GPT, [
        {}, {"scale_attn_by_inverse_layer_idx": True}, {"scale_attn_weights": False}, {"n_inner": 40},
        {"reorder_and_upcast_attn": True, "scale_attn_by_inverse_layer_idx": True},
        {"activation_function": "relu"}, {"tie_word_embeddings": False}, {"layer_norm_epsilon": 0.01},
        {"n_layer": 1, "n_head": 1},
    ], "GPT2", ALL),
    "gpt_bigcode": (GPT, [
        {}, {"multi_query": False}, {"scale_attn_weights": False}, {"n_inner": 40},
        {"attention_softmax_in_fp32": False}, {"activation_function": "gelu"}, {"tie_word_embeddings": False},
    ], "GPTBigCode", (SEQUENCE, TOKEN)),
    "gpt_neo": ({"hidden_size": 24, "num_layers": 3, "num_heads": 4, "max_position_embeddings": 40,
                 "attention_types": [[["global", "local"], 1], [["global"], 1]], "window_size": 4}, [
        {}, {"window_size": 1}, {"attention_types": [[["local"], 3]]}, {"intermediate_size": 40},
        {"attention_types": [[["global"], 1], [["local"], 2]]}, {"activation_function": "relu"},
        {"num_layers": 5, "attention_types": [[["global", "local", "local"], 1], [["local", "global"], 1]]},
        {"tie_word_embeddings": False, "layer_norm_epsilon": 0.01},
    ], "GPTNeo", ALL),
    "gptj": ({**GPT, "rotary_dim": 4}, [
        {}, {"rotary_dim": 6}, {"rotary_dim": 2, "n_inner": 40}, {"activation_function": "relu"},
        {"tie_word_embeddings": True}, {"layer_norm_epsilon": 0.01, "n_head": 2, "rotary_dim": 12},
    ], "GPTJ", (SEQUENCE, QUESTION)),
    "gpt_neox": ({**WIDE, "num_attention_heads": 3, "intermediate_size": 40, "max_position_embeddings": 40}, [
        {}, {"use_parallel_residual": False}, {"attention_bias": False}, {"hidden_act": "gelu_fast"},
        {"tie_word_embeddings": True, "layer_norm_eps": 0.01}, rope(500.0, partial_rotary_factor=1.0),
        rope(10000.0, partial_rotary_factor=0.5), {"rotary_pct": 0.5, "rotary_emb_base": 300},
        *({"rope_parameters": {**r["rope_parameters"], "partial_rotary_factor": 0.5}} for r in ROPES),
    ], "GPTNeoX", ALL),
    "opt": ({**WIDE, "ffn_dim": 40, "max_position_embeddings": 40, "word_embed_proj_dim": 24}, [
        {}, {"do_layer_norm_before": False}, {"word_embed_proj_dim": 16}, {"enable_bias": False},
        {"layer_norm_elementwise_affine": False}, {"_remove_final_layer_norm": True},
        {"word_embed_proj_dim": 16, "do_layer_norm_before": False}, {"activation_function": "gelu"},
        {"tie_word_embeddings": False},
    ], "OPT", (SEQUENCE, QUESTION)),
    "bloom": ({"hidden_size": 24, "n_layer": 3, "n_head": 4}, [
        {}, {"apply_residual_connection_post_layernorm": True}, {"n_head": 3}, {"n_head": 6}, {"n_head": 1},
        {"n_head": 12}, {"layer_norm_epsilon": 0.01},
        {"tie_word_embeddings": False},
    ], "Bloom", ALL),
    "falcon": ({**WIDE, "max_position_embeddings": 40}, [
        {}, {"multi_query": False}, {"parallel_attn": False}, {"bias": True}, {"ffn_hidden_size": 40},
        {"alibi": True}, {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True},
        {"alibi": True, "num_attention_heads": 6}, {"alibi": True, "num_attention_heads": 3},
        {"new_decoder_architecture": True}, {"new_decoder_architecture": True, "num_kv_heads": 2},
        {"new_decoder_architecture": True, "num_kv_heads": 1, "bias": True},
        {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
        {"new_decoder_architecture": True, "num_kv_heads": 2, "alibi": True}, {"activation": "relu"},
        {"tie_word_embeddings": False}, rope(300.0), *ROPES,
    ], "Falcon", ALL),
    "mpt": ({"d_model": 24, "n_layers": 3, "n_heads": 4, "max_seq_len": 40}, [
        {}, {"n_heads": 3}, {"n_heads": 6}, {"n_heads": 12}, {"attn_config": {"alibi_bias_max": 16}},
        {"attn_config": {"clip_qkv": 0.5}}, {"attn_config": {"softmax_scale": 0.2}},
        {"attn_config": {"qk_ln": True}}, {"attn_config": {"alibi": False}}, {"no_bias": False},
        {"expansion_ratio": 2}, {"layer_norm_epsilon": 0.01}, {"tie_word_embeddings": False},
    ], "Mpt", ALL),
    "mamba": ({"hidden_size": 24, "num_hidden_layers": 3, "state_size": 5, "expand": 2}, [
        {}, {"expand": 3, "conv_kernel": 3}, {"use_bias": True}, {"use_conv_bias": False}, {"hidden_act": "gelu"},
        {"time_step_rank": 5}, {"residual_in_fp32": False}, {"layer_norm_epsilon": 0.01}, {"conv_kernel": 1},
        {"tie_word_embeddings": False, "num_hidden_layers": 1},
    ], "Mamba", ()),
    "mamba2": ({"hidden_size": 24, "num_hidden_layers": 3, "state_size": 5, "expand": 2, "num_heads": 6,
                "head_dim": 8, "n_groups": 2, "chunk_size": 4}, [
        {}, {"n_groups": 1}, {"n_groups": 6}, {"num_heads": 12, "head_dim": 4, "n_groups": 3}, {"use_bias": True},
        {"use_conv_bias": False}, {"hidden_act": "gelu"}, {"residual_in_fp32": False}, {"conv_kernel": 2},
        {"time_step_limit": [0.3, 0.9]}, {"chunk_size": 64}, {"layer_norm_epsilon": 0.01},
        {"tie_word_embeddings": True},
    ], "Mamba2", ()),
}
WORDS = {"gpt2": "LMHeadModel"}
LACKS = {"bloom", "mpt", "mamba", "mamba2"}  # families without position_ids
PADDING_SEES = {"gpt_neo"}  # where queries that see nothing are of the library's own making, so is the loss
TYPES = {"gpt2", "gpt_bigcode", "gpt_neo", "gptj"}  # which embed token types


def randomise(model, generator):
    """Biases and norms too, so that one that is forgotten shows."""
    for name, p in sorted(model.named_parameters()):
        spread = 0.3 if p.ndim > 1 else 0.2
        mean = 1.0 if p.ndim == 1 and name.endswith("weight") else 0.0
        p.data = mean + spread * torch.randn(p.shape, generator=generator)


def mask_of(kind):
    mask = torch.ones(3, SEQ, dtype=torch.long)
    if kind == "right":
        mask[1, -4:] = 0
        mask[2, 1:] = 0
    if kind == "left":
        mask[1, :5] = 0
        mask[2, :1] = 0
    return mask


def inputs_of(kind, head, family, generator):
    mask = mask_of(kind)
    ids = torch.randint(1, VOCAB, (3, SEQ), generator=generator)
    ids[mask == 0] = PAD
    x = {"input_ids": ids}
    if kind in ("right", "left", "positions"):  # positions that jump are packed sequences without a mask
        x["attention_mask"] = mask
    if kind == "positions" and family not in LACKS:
        x["position_ids"] = torch.randint(0, 30, (3, SEQ), generator=generator)
        if family in TYPES:
            x["token_type_ids"] = torch.randint(0, VOCAB, (3, SEQ), generator=generator)
    if kind == "embeds":
        x["inputs_embeds"] = None  # made when the model is there
        del x["input_ids"]
    if head == QUESTION:
        x["start_positions"] = torch.randint(0, SEQ, (3,), generator=generator)
        x["end_positions"] = torch.randint(0, SEQ, (3,), generator=generator)
    elif head == SEQUENCE:
        x["labels"] = torch.randint(0, LABELS, (3,), generator=generator)
    elif head != "Model":
        x["labels"] = torch.randint(0, LABELS, (3, SEQ), generator=generator)
        x["labels"][mask == 0] = -100
    return x, mask


def flat(output):
    found = {}
    for name, v in output.items():
        if torch.is_tensor(v):
            found[name] = v
        elif name in ("hidden_states", "attentions"):
            found.update({f"{name}.{i}": t for i, t in enumerate(v) if t is not None})
    return found


def forward(model, x, wants_probs):
    with torch.no_grad():
        probs = {"output_attentions": True} if wants_probs else {}
        return flat(model(**x, **probs, output_hidden_states=True, use_cache=False))


class Runner:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.passed = self.failed = 0

    def sinter(self, model, x, want, dtype):
        inputs, outputs = os.path.join(self.folder, "in"), os.path.join(self.folder, "out")
        save_file({k: v.contiguous() for k, v in x.items()}, inputs + ".safetensors")
        line = [self.args.sinter, "forward", model, "--inputs", inputs + ".safetensors", "--outputs",
                outputs + ".safetensors", "--want", ",".join(want), "--device", self.args.device, "--dtype", dtype,
                "--no-cache"]
        done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode:
            return done.stderr.strip()
        return load_file(outputs + ".safetensors")

    def check(self, name, model, x, mask, expected, dtype, atol, rtol):
        got = self.sinter(model, x, sorted(expected), dtype)
        worst, where = 0.0, "" if isinstance(got, dict) else got
        for key, e in expected.items() if isinstance(got, dict) else ():
            e, y = e.float(), got[key].reshape(e.shape)
            if e.ndim >= 2 and e.shape[:2] == mask.shape:
                e, y = e[mask == 1], y[mask == 1]
            if key.startswith("attentions"):
                e, y = e.transpose(1, 2)[mask == 1], y.transpose(1, 2)[mask == 1]
            over = ((y - e).abs() / (atol + rtol * e.abs())).max().item() if torch.isfinite(y).all() else 1e9
            if over > worst:
                worst, where = over, key
        good = isinstance(got, dict) and worst <= 1
        self.passed += good
        self.failed += not good
        if not good or self.args.v:
            print(f"{'ok  ' if good else 'FAIL'} {name}: {worst:.2g} of what is allowed, {where}", flush=True)

    def expected(self, model, x, family, kind, wants_probs):
        found = forward(model, x, wants_probs)
        if family in PADDING_SEES and kind in ("left", "right"):
            found.pop("loss", None)
        return found

    def variant(self, family, base, change, prefix, head, kind, dtype):
        name = f"{family} {json.dumps(change)} {head} {kind} {dtype}"
        if self.args.part not in name:
            return
        seed = zlib.crc32(f"{self.args.seed} {name}".encode())
        generator = torch.Generator().manual_seed(seed)
        more = {} if head == "Model" else {"num_labels": LABELS}
        if head == QUESTION:
            more = {"num_labels": 2}
        config = transformers.AutoConfig.for_model(
            family, **{**base, **change}, **more, vocab_size=VOCAB, pad_token_id=PAD, bos_token_id=1,
            eos_token_id=2, attn_implementation="eager")
        model = getattr(transformers, prefix + head)(config).eval()
        randomise(model, generator)
        model.tie_weights()
        model = model.to(getattr(torch, dtype))
        folder = os.path.join(self.folder, "model")
        model.save_pretrained(folder)
        x, mask = inputs_of(kind, head, family, generator)
        if "inputs_embeds" in x:
            x["inputs_embeds"] = torch.randn(3, SEQ, model.get_input_embeddings().weight.shape[1],
                                             generator=generator)
        wants_probs = kind != "positions" and not family.startswith("mamba")
        wide = self.expected(type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager"),
                             x, family, kind, wants_probs)
        self.check(name, folder, x, mask, wide, "f32", 2e-4, 1e-3)
        if dtype == "bfloat16":
            x = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in x.items()}
            narrow = self.expected(model, x, family, kind, wants_probs)
            # as far from the wide result as twice what the library itself is off, and a little
            off = {k: (narrow[k].float() - wide[k]).abs()[torch.isfinite(wide[k])].max().item() for k in wide}
            scale = max(off[k] / (wide[k].abs().max().item() + 1e-6) for k in wide)
            top = max(v.abs().max().item() for v in wide.values())
            self.check(name + " in bf16", folder, x, mask, wide, "bf16", 2 * scale * top + 0.05, 0.05)

    def family(self, family):
        base, changes, prefix, heads = FAMILIES[family]
        words = WORDS.get(family, "ForCausalLM")
        kinds = ["right", "left", "plain", "positions", "embeds"]
        for i, change in enumerate(changes):
            for kind in kinds if i == 0 else [kinds[i % 2], kinds[2 + i % 3]]:
                self.variant(family, base, change, prefix, words, kind, "float32")
            head = ("Model", *heads)[i % (1 + len(heads))]
            self.variant(family, base, change, prefix, head, kinds[(i + 1) % 2], "float32")
            self.variant(family, base, change, prefix, words, kinds[i % 2], "bfloat16")
        for i, head in enumerate(heads):
            for kind in ("right", "left", "plain", "embeds"):
                self.variant(family, base, {}, prefix, head, kind, "float32")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("sinter")
    p.add_argument("families", nargs="*")
    p.add_argument("--device", default="cpu")
    p.add_argument("--seed", default=1, type=int)
    p.add_argument("--part", default="", help="only variants whose name has this part")
    p.add_argument("-v", action="store_true", help="print what passes, too")
    args = p.parse_args()
    bad = 0
    for family in args.families or FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            r = Runner(args, folder)
            r.family(family)
        print(f"{family}: {r.passed} passed, {r.failed} failed", flush=True)
        bad += r.failed
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
