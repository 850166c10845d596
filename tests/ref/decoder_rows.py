"""decoder_rows.py -- configs for random_decoders.py and random_generate.py: FAMILIES is
{model_type: (base of the config, [variants of it], prefix of class names)}.

main() and Runner are what those scripts have in common: a runner for each family, whose counts are printed.

Options that are no config's: edit_json, a function on config.json as it is saved (older keys); long, the length of
one further call."""
import argparse
import sys
import tempfile


class Runner:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.passed = self.failed = self.skipped = 0

    def report(self, name, worst, where):
        """worst: the largest difference, as a part of what is allowed."""
        good = worst <= 1
        self.passed += good
        self.failed += not good
        if not good or self.args.v:
            print(f"{'ok  ' if good else 'FAIL'} {name}: {worst:.2g} of what is allowed, {where}", flush=True)


def main(runner, families, *more):
    """runner(args, folder).family(name) counts passed, failed and skipped; more: (flag, settings) of further options."""
    p = argparse.ArgumentParser()
    p.add_argument("sinter")
    p.add_argument("families", nargs="*")
    p.add_argument("--device", default="cpu")
    p.add_argument("--seed", default=1, type=int)
    p.add_argument("--part", default="", help="only variants whose name has this part")
    p.add_argument("-v", action="store_true", help="print what passes, too")
    for flag, settings in more:
        p.add_argument(flag, **settings)
    args, bad = p.parse_args(), 0
    for family in args.families or families:
        with tempfile.TemporaryDirectory() as folder:
            r = runner(args, folder)
            r.family(family)
        print(f"{family}: {r.passed} passed, {r.failed} failed, {r.skipped} refused", flush=True)
        bad += r.failed
    sys.exit(bad != 0)



GPT = {"n_embd": 24, "n_layer": 3, "n_head": 4, "n_positions": 40}
WIDE = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4}
SMALL = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64)
ROPES = {
    "linear": {"rope_type": "linear", "factor": 3.0, "rope_theta": 5000.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.5, "rope_theta": 10000.0},
    "llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 16, "rope_theta": 10000.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0},
    "yarn-all": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "beta_fast": 20.0,
                 "beta_slow": 0.5, "mscale": 0.7, "mscale_all_dim": 1.3, "truncate": False, "rope_theta": 500.0},
    "yarn-factor": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16,
                    "attention_factor": 0.8, "rope_theta": 10000.0},
    "longrope": {"rope_type": "longrope", "original_max_position_embeddings": 16, "rope_theta": 10000.0,
                 "short_factor": [1.0, 1.1, 1.3, 1.7], "long_factor": [2.0, 3.0, 4.0, 6.0]},
    "longrope-factor": {"rope_type": "longrope", "original_max_position_embeddings": 16, "factor": 4.0,
                        "attention_factor": 1.3, "short_factor": [1.0, 1.1, 1.3, 1.7],
                        "long_factor": [2.0, 3.0, 4.0, 6.0], "rope_theta": 10000.0},
    "proportional": {"rope_type": "proportional", "partial_rotary_factor": 0.5, "rope_theta": 10000.0},
}
DEEPSEEK = dict(moe_intermediate_size=24, n_routed_experts=8, n_group=4, topk_group=2, num_experts_per_tok=2,
                first_k_dense_replace=1, kv_lora_rank=16, q_lora_rank=24, qk_rope_head_dim=8, v_head_dim=12,
                qk_nope_head_dim=16, n_shared_experts=1, num_key_value_heads=4)
GPT_OSS = dict(head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=4)


def older(scaling=None, **more):
    """config.json as older versions wrote it."""

    def edit(config):
        old = config.pop("rope_parameters")
        if "full_attention" in old:
            old = old["full_attention"]
        config["rope_theta"] = old["rope_theta"]
        if "partial_rotary_factor" in old:
            config["partial_rotary_factor"] = old["partial_rotary_factor"]
        config["torch_dtype"] = config.pop("dtype")
        rest = {k: v for k, v in old.items() if k not in ("rope_theta", "partial_rotary_factor", "rope_type")}
        config["rope_scaling"] = dict(rest, **{scaling: old["rope_type"]}) if scaling else None
        config.update(more)
        return {k: v for k, v in config.items() if v != "gone"}

    return edit


def renamed(kind):
    """The same, where the type of scaling had another name."""
    return lambda c: older("type")(dict(c, rope_parameters=dict(c["rope_parameters"], rope_type=kind)))


def ropes():
    return [dict(rope_parameters=r, long=70 if name == "dynamic" else 30) for name, r in ROPES.items()]


def partial(share):
    """The types of scaling that go with a part of each head."""
    return [{"rope_parameters": dict(ROPES[name], partial_rotary_factor=share)}
            for name in ("linear", "yarn", "dynamic", "llama3")]


def rope(theta, **more):
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta, **more}}


# What random mixtures of variants take in beside the family's own: shapes, and changes that any family may have.
SHAPES = {
    "expand": [dict(hidden_size=e, num_heads=h) for e, h in ((24, 6), (40, 10), (16, 4), (48, 12))],
    "n_embd": [dict(n_embd=e, n_head=h) for e, h in ((24, 4), (24, 3), (32, 8), (20, 2), (40, 5))],
    "n_layer": [dict(hidden_size=e, n_head=h) for e, h in ((24, 4), (24, 3), (32, 8), (40, 5), (28, 7))],
    "num_heads": [dict(hidden_size=e, num_heads=h) for e, h in ((24, 4), (24, 3), (32, 8), (40, 5))],
    "d_model": [dict(d_model=e, n_heads=h) for e, h in ((24, 4), (24, 3), (32, 8), (40, 5), (24, 6))],
    "num_key_value_heads": [
        dict(hidden_size=8 * h, num_attention_heads=h, num_key_value_heads=kv, intermediate_size=m)
        for h, kv, m in ((4, 1, 37), (4, 2, 48), (4, 4, 65), (8, 2, 40), (8, 4, 33), (2, 1, 17), (5, 5, 64), (6, 3, 50))],
    "num_attention_heads": [dict(hidden_size=e, num_attention_heads=h) for e, h in ((24, 4), (24, 3), (32, 8), (40, 5))],
}
COMMON = [
    dict(tie_word_embeddings=True), dict(tie_word_embeddings=False), dict(attention_bias=True),
    dict(rms_norm_eps=0.01, layer_norm_eps=0.01),
    rope(900.0, partial_rotary_factor=0.5), *({"rope_parameters": r} for r in ROPES.values()), rope(300.0),
]

FAMILIES = {
    "gpt2": (GPT, [
        {}, {"scale_attn_by_inverse_layer_idx": True}, {"scale_attn_weights": False}, {"n_inner": 40},
        {"reorder_and_upcast_attn": True, "scale_attn_by_inverse_layer_idx": True},
        {"activation_function": "relu"}, {"tie_word_embeddings": False}, {"layer_norm_epsilon": 0.01},
        {"n_layer": 1, "n_head": 1},
    ], "GPT2"),
    "gpt_bigcode": (GPT, [
        {}, {"multi_query": False}, {"scale_attn_weights": False}, {"n_inner": 40},
        {"attention_softmax_in_fp32": False}, {"activation_function": "gelu"}, {"tie_word_embeddings": False},
    ], "GPTBigCode"),
    "gpt_neo": ({"hidden_size": 24, "num_layers": 3, "num_heads": 4, "max_position_embeddings": 40,
                 "attention_types": [[["global", "local"], 1], [["global"], 1]], "window_size": 4}, [
        {}, {"window_size": 1}, {"attention_types": [[["local"], 3]]}, {"intermediate_size": 40},
        {"attention_types": [[["global"], 1], [["local"], 2]]}, {"activation_function": "relu"},
        {"num_layers": 5, "attention_types": [[["global", "local", "local"], 1], [["local", "global"], 1]]},
        {"tie_word_embeddings": False, "layer_norm_epsilon": 0.01},
    ], "GPTNeo"),
    "gptj": ({**GPT, "rotary_dim": 4}, [
        {}, {"rotary_dim": 6}, {"rotary_dim": 2, "n_inner": 40}, {"activation_function": "relu"},
        {"tie_word_embeddings": True}, {"layer_norm_epsilon": 0.01, "n_head": 2, "rotary_dim": 12},
    ], "GPTJ"),
    "gpt_neox": ({**WIDE, "num_attention_heads": 3, "intermediate_size": 40, "max_position_embeddings": 40}, [
        {}, {"use_parallel_residual": False}, {"attention_bias": False}, {"hidden_act": "gelu_fast"},
        {"tie_word_embeddings": True, "layer_norm_eps": 0.01}, rope(500.0, partial_rotary_factor=1.0),
        rope(10000.0, partial_rotary_factor=0.5), {"rotary_pct": 0.5, "rotary_emb_base": 300},
        *partial(0.5),
    ], "GPTNeoX"),
    "opt": ({**WIDE, "ffn_dim": 40, "max_position_embeddings": 40, "word_embed_proj_dim": 24}, [
        {}, {"do_layer_norm_before": False}, {"word_embed_proj_dim": 16}, {"enable_bias": False},
        {"layer_norm_elementwise_affine": False}, {"_remove_final_layer_norm": True},
        {"word_embed_proj_dim": 16, "do_layer_norm_before": False}, {"activation_function": "gelu"},
        {"tie_word_embeddings": False},
    ], "OPT"),
    "bloom": ({"hidden_size": 24, "n_layer": 3, "n_head": 4}, [
        {}, {"apply_residual_connection_post_layernorm": True}, {"n_head": 3}, {"n_head": 6}, {"n_head": 1},
        {"n_head": 12}, {"layer_norm_epsilon": 0.01},
        {"tie_word_embeddings": False}, {"slow_but_exact": True, "pretraining_tp": 2},
    ], "Bloom"),
    "falcon": ({**WIDE, "max_position_embeddings": 40}, [
        {}, {"multi_query": False}, {"parallel_attn": False}, {"bias": True}, {"ffn_hidden_size": 40},
        {"alibi": True}, {"alibi": True, "multi_query": False, "parallel_attn": False, "bias": True},
        {"alibi": True, "num_attention_heads": 6}, {"alibi": True, "num_attention_heads": 3},
        {"new_decoder_architecture": True}, {"new_decoder_architecture": True, "num_kv_heads": 2},
        {"new_decoder_architecture": True, "num_kv_heads": 1, "bias": True},
        {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
        {"new_decoder_architecture": True, "num_kv_heads": 2, "alibi": True}, {"activation": "relu"},
        {"new_decoder_architecture": True, "num_kv_heads": 4, "multi_query": False}, {"num_kv_heads": 2},
        {"tie_word_embeddings": False}, rope(300.0), *partial(1.0),
    ], "Falcon"),
    "mpt": ({"d_model": 24, "n_layers": 3, "n_heads": 4, "max_seq_len": 40}, [
        {}, {"n_heads": 3}, {"n_heads": 6}, {"n_heads": 12}, {"attn_config": {"alibi_bias_max": 16}},
        {"attn_config": {"clip_qkv": 0.5}}, {"attn_config": {"softmax_scale": 0.2}},
        {"attn_config": {"qk_ln": True}}, {"attn_config": {"alibi": False}}, {"no_bias": False},
        {"expansion_ratio": 2}, {"layer_norm_epsilon": 0.01}, {"tie_word_embeddings": False},
    ], "Mpt"),
    "mamba": ({"hidden_size": 24, "num_hidden_layers": 3, "state_size": 5, "expand": 2}, [
        {}, {"expand": 3, "conv_kernel": 3}, {"use_bias": True}, {"use_conv_bias": False}, {"hidden_act": "gelu"},
        {"time_step_rank": 5}, {"residual_in_fp32": False}, {"layer_norm_epsilon": 0.01}, {"conv_kernel": 1},
        {"tie_word_embeddings": False, "num_hidden_layers": 1},
    ], "Mamba"),
    "mamba2": ({"hidden_size": 24, "num_hidden_layers": 3, "state_size": 5, "expand": 2, "num_heads": 6,
                "head_dim": 8, "n_groups": 2, "chunk_size": 4}, [
        {}, {"n_groups": 1}, {"n_groups": 6}, {"num_heads": 12, "head_dim": 4, "n_groups": 3}, {"use_bias": True},
        {"use_conv_bias": False}, {"hidden_act": "gelu"}, {"residual_in_fp32": False}, {"conv_kernel": 2},
        {"time_step_limit": [0.3, 0.9]}, {"chunk_size": 64}, {"layer_norm_epsilon": 0.01},
        {"tie_word_embeddings": True},
    ], "Mamba2"),
    "llama": (SMALL, [
        {},
        dict(attention_bias=True, mlp_bias=True, hidden_act="gelu", rms_norm_eps=1e-3),
        dict(head_dim=20, num_key_value_heads=4, tie_word_embeddings=True),
        dict(num_key_value_heads=1),
        dict(edit_json=older()),
        dict(edit_json=lambda c: dict(c, rope_scaling={"type": "linear", "factor": 2.0})),
        dict(rope_parameters=ROPES["linear"], edit_json=older("type")),
        dict(rope_parameters=ROPES["dynamic"], long=80, edit_json=older("type")),
        dict(rope_parameters=ROPES["llama3"], long=40, edit_json=older("rope_type")),
        dict(rope_parameters=ROPES["yarn-all"], long=40, edit_json=older("rope_type")),
        *ropes(),
    ], "Llama"),
    "mistral": (SMALL, [
        dict(sliding_window=4, long=20),
        dict(sliding_window=None),
        dict(sliding_window=6, head_dim=12, rope_parameters={"rope_type": "default", "rope_theta": 1e6}),
        dict(sliding_window=2, is_causal=False),
    ], "Mistral"),
    "ministral": (SMALL, [
        dict(sliding_window=4, head_dim=8),
        dict(head_dim=8, sliding_window=3,
            layer_types=["full_attention", "sliding_attention", "full_attention"]),
    ], "Ministral"),
    "qwen2": (SMALL, [
        {},
        dict(use_sliding_window=True, sliding_window=4, max_window_layers=1),
        dict(use_sliding_window=True, sliding_window=3,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
        dict(use_sliding_window=True, sliding_window=4, max_window_layers=2,
            edit_json=older(layer_types="gone")),
        dict(edit_json=older(layer_types="gone", sliding_window=4)),
        dict(rope_parameters=ROPES["yarn"], long=30),
        dict(rope_parameters=ROPES["longrope"], long=30, edit_json=older("type", max_position_embeddings="gone")),
    ], "Qwen2"),
    "qwen3": (SMALL, [
        dict(head_dim=16),
        dict(attention_bias=True, head_dim=8, use_sliding_window=True, sliding_window=4,
            max_window_layers=1),
    ], "Qwen3"),
    "smollm3": (SMALL, [
        dict(no_rope_layer_interval=2),
        dict(no_rope_layers=[0, 1, 0], attention_bias=True, mlp_bias=True),
        dict(no_rope_layers=[1, 0, 1], use_sliding_window=True, sliding_window=3),
    ], "SmolLM3"),
    "granite": (SMALL, [
        {},
        dict(embedding_multiplier=3.0, logits_scaling=5.0, residual_multiplier=0.3,
            attention_multiplier=0.2, attention_bias=True, mlp_bias=True),
    ], "Granite"),
    "gemma": (SMALL, [
        dict(head_dim=16),
        dict(head_dim=8, attention_bias=True, edit_json=lambda c: dict(c, hidden_act="gelu")),
    ], "Gemma"),
    "gemma2": (SMALL, [
        dict(head_dim=16, sliding_window=4, query_pre_attn_scalar=24),
        dict(head_dim=8, sliding_window=4, final_logit_softcapping=None, attn_logit_softcapping=None,
            layer_types=["full_attention", "sliding_attention", "sliding_attention"]),
        dict(head_dim=8, sliding_window=4, final_logit_softcapping=2.0, attn_logit_softcapping=1.5,
            attention_bias=True, hidden_activation="gelu"),
        dict(head_dim=8, sliding_window=4, use_bidirectional_attention=True),
    ], "Gemma2"),
    "gemma3_text": (SMALL, [
        dict(head_dim=16, sliding_window=4, query_pre_attn_scalar=20,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
        dict(head_dim=8, sliding_window=4, final_logit_softcapping=3.0,
            num_hidden_layers=7, attn_logit_softcapping=1.0),
        dict(head_dim=8, sliding_window=6, use_bidirectional_attention=True),
        dict(head_dim=8, sliding_window=1, use_bidirectional_attention=True),
        dict(head_dim=8, sliding_window=4, num_hidden_layers=6, rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 7000.0}}),
        dict(head_dim=8, sliding_window=4, num_hidden_layers=6, rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 7000.0}}, edit_json=older(
            "rope_type", rope_local_base_freq=300.0, layer_types="gone", sliding_window_pattern=6)),
    ], "Gemma3Text"),
    "phi": (SMALL, [
        {},
        dict(qk_layernorm=True, num_key_value_heads=4, rope_parameters={
            "rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.75}),
        dict(edit_json=older(partial_rotary_factor=0.5)),
        dict(rope_parameters=dict(ROPES["linear"], partial_rotary_factor=0.5)),
    ], "Phi"),
    "phi3": (SMALL, [
        dict(sliding_window=4),
        dict(rope_parameters=ROPES["longrope"], original_max_position_embeddings=16, long=30),
        dict(rope_parameters=ROPES["longrope"], original_max_position_embeddings=16, long=30,
            edit_json=renamed("su")),
        dict(rope_parameters=ROPES["longrope"], original_max_position_embeddings=16, long=30,
            edit_json=renamed("yarn")),
        dict(rope_parameters=ROPES["longrope"], edit_json=older("type", original_max_position_embeddings="gone")),
        dict(rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}),
    ], "Phi3"),
    "stablelm": (SMALL, [
        dict(num_key_value_heads=4, hidden_size=64),
        dict(use_parallel_residual=True, use_qkv_bias=True, qk_layernorm=True, hidden_size=64),
        dict(use_qkv_bias=True, rope_parameters={
            "rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}),
        dict(hidden_size=64, edit_json=older(partial_rotary_factor=0.25)),
    ], "StableLm"),
    "olmo": (SMALL, [
        {}, dict(clip_qkv=0.4, attention_bias=True),
    ], "Olmo"),
    "olmo2": (SMALL, [
        {}, dict(attention_bias=True, num_key_value_heads=4),
    ], "Olmo2"),
    "starcoder2": (SMALL, [
        {},
        dict(use_bias=False, sliding_window=4, norm_epsilon=1e-3, tie_word_embeddings=False),
    ], "Starcoder2"),
    "cohere": (SMALL, [
        {},
        dict(use_qk_norm=True, logit_scale=0.3, attention_bias=True, layer_norm_eps=1e-3),
    ], "Cohere"),
    "cohere2": (SMALL, [
        dict(sliding_window=4, num_hidden_layers=4),
        dict(sliding_window=3, logit_scale=0.5,
            layer_types=["full_attention", "sliding_attention", "full_attention"]),
        dict(sliding_window=4, num_hidden_layers=4, edit_json=older(layer_types="gone",
            sliding_window_pattern=4)),
    ], "Cohere2"),
    "mixtral": (SMALL, [
        dict(num_local_experts=4),
        dict(num_local_experts=3, num_experts_per_tok=1, sliding_window=4, tie_word_embeddings=True),
        dict(num_local_experts=4, num_experts_per_tok=3, output_router_logits=True,
            router_aux_loss_coef=0.3),
    ], "Mixtral"),
    "phimoe": (dict(SMALL, num_local_experts=4, rms_norm_eps=1e-5), [
        {}, dict(router_jitter_noise=0.3, num_local_experts=6, hidden_act="gelu"),
        dict(attention_bias=True, lm_head_bias=True, sliding_window=4),
        dict(output_router_logits=True, router_aux_loss_coef=0.3),
        dict(rope_parameters=dict(ROPES["longrope"], short_mscale=1.1, long_mscale=1.4), long=30),
        dict(rope_parameters=dict(ROPES["linear"], original_max_position_embeddings=16, short_mscale=1.1,
            long_mscale=0.8), long=30),
    ], "Phimoe"),
    "qwen2_moe": (SMALL, [
        dict(num_experts=5, num_experts_per_tok=2, moe_intermediate_size=24,
            shared_expert_intermediate_size=40),
        dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, num_hidden_layers=4,
            shared_expert_intermediate_size=16, decoder_sparse_step=2, norm_topk_prob=True,
            use_sliding_window=True, sliding_window=4, max_window_layers=3),
        dict(num_experts=4, num_experts_per_tok=3, moe_intermediate_size=24, mlp_only_layers=[1],
            shared_expert_intermediate_size=16, qkv_bias=False, output_router_logits=True,
            router_aux_loss_coef=0.2),
        dict(num_experts=0, moe_intermediate_size=24, shared_expert_intermediate_size=16),
    ], "Qwen2Moe"),
    "qwen3_moe": (SMALL, [
        dict(num_experts=5, num_experts_per_tok=2, moe_intermediate_size=24, head_dim=16),
        dict(num_experts=4, num_experts_per_tok=3, moe_intermediate_size=24, head_dim=8,
            norm_topk_prob=True, mlp_only_layers=[0], attention_bias=True),
        dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, head_dim=8,
            use_sliding_window=True, sliding_window=4, decoder_sparse_step=2),
        dict(num_experts=0, head_dim=8),
    ], "Qwen3Moe"),
    "deepseek_v3": (dict(SMALL, **DEEPSEEK), [
        {},
        dict(q_lora_rank=None, n_group=1, topk_group=1, rope_interleave=False),
        dict(norm_topk_prob=False, routed_scaling_factor=1.3, first_k_dense_replace=0,
            n_shared_experts=2, num_experts_per_tok=3, attention_bias=True),
        dict(rope_parameters=dict(ROPES["yarn-all"], truncate=True), long=40),
        dict(rms_norm_eps=0.01),
        dict(rope_parameters=dict(ROPES["yarn"], mscale=1.0, mscale_all_dim=1.0), long=40,
            edit_json=older("type")),
    ], "DeepseekV3"),
    "granitemoe": (dict(SMALL, num_local_experts=4, num_experts_per_tok=2), [
        {}, dict(num_experts_per_tok=1, attention_bias=True, embedding_multiplier=3.0, residual_multiplier=0.3),
        dict(attention_multiplier=0.2, logits_scaling=5.0, num_local_experts=7, num_experts_per_tok=3),
        dict(output_router_logits=True, router_aux_loss_coef=0.3),
    ], "GraniteMoe"),
    "seed_oss": (SMALL, [
        dict(head_dim=8),
        dict(head_dim=16, attention_bias=False, attention_out_bias=True, mlp_bias=True, **rope(500.0)),
    ], "SeedOss"),
    "arcee": (SMALL, [
        {}, dict(mlp_bias=True, attention_bias=True, hidden_act="gelu"), *ropes(),
    ], "Arcee"),
    "helium": (SMALL, [
        dict(head_dim=8), dict(head_dim=8, attention_bias=True, **rope(300.0)),
    ], "Helium"),
    "ernie4_5": (SMALL, [
        dict(head_dim=8), dict(head_dim=16, use_bias=True), dict(head_dim=8, tie_word_embeddings=False),
    ], "Ernie4_5"),
    "glm": (SMALL, [
        dict(head_dim=8), dict(head_dim=16, attention_bias=False),
        dict(head_dim=8, edit_json=older(partial_rotary_factor=0.5)),
        dict(head_dim=8, rope_parameters={
            "rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0}),
    ], "Glm"),
    "glm4": (SMALL, [
        dict(head_dim=8), dict(head_dim=16, attention_bias=True, hidden_act="gelu"),
    ], "Glm4"),
    "nemotron": (SMALL, [
        {}, dict(attention_bias=True, mlp_bias=True, norm_eps=0.01),
        dict(head_dim=16, edit_json=older(partial_rotary_factor=0.5)),
    ], "Nemotron"),
    "persimmon": (dict(SMALL, num_key_value_heads=4), [
        {}, dict(qk_layernorm=False, layer_norm_eps=0.01), dict(hidden_act="gelu"),
    ], "Persimmon"),
    "olmo3": (SMALL, [
        dict(sliding_window=4, num_hidden_layers=4),
        dict(sliding_window=4, attention_bias=True,
            layer_types=["full_attention", "sliding_attention", "full_attention"]),
        dict(sliding_window=4, long=30, rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
            "full_attention": dict(ROPES["yarn"])},
            layer_types=["full_attention", "sliding_attention", "full_attention"]),
        dict(sliding_window=4, num_hidden_layers=4, long=30, rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "full_attention": dict(ROPES["yarn"])}, edit_json=older("rope_type", layer_types="gone")),
    ], "Olmo3"),
    "exaone4": (SMALL, [
        dict(sliding_window=4, num_hidden_layers=4), dict(sliding_window=None),
        dict(sliding_window=3, layer_types=["full_attention", "sliding_attention", "full_attention"]),
        dict(sliding_window=4, num_hidden_layers=4, edit_json=lambda c: {
            k: v for k, v in c.items() if k != "layer_types"}),
    ], "Exaone4"),
    "falcon_mamba": ({"hidden_size": 24, "num_hidden_layers": 3, "state_size": 5, "expand": 2}, [
        {}, {"mixer_rms_eps": 0.01}, {"use_bias": True, "use_conv_bias": False}, {"time_step_rank": 5},
    ], "FalconMamba"),
    "gpt_oss": (dict(SMALL, **GPT_OSS), [
        {},
        dict(rope_parameters={
            "rope_type": "yarn", "factor": 4.0, "beta_fast": 8.0, "beta_slow": 1.0, "truncate": False,
            "original_max_position_embeddings": 16, "rope_theta": 15000.0}, long=30),
        dict(layer_types=["full_attention", "sliding_attention", "full_attention"],
            swiglu_limit=0.5, swiglu_alpha=1.2, attention_bias=False, num_experts_per_tok=1),
        dict(output_router_logits=True, router_aux_loss_coef=0.2), dict(is_causal=False),
        dict(long=30, edit_json=lambda c: {k: v for k, v in c.items() if k != "rope_parameters"}),
    ], "GptOss"),
}
