"""random_rows.py -- configs for random_models.py: (prefix of classes, {variant: options of the config}).

Options that are no config's: config, the name of the config class; edit_json, a function on config.json as it is
saved (older keys); long, the length of one further call."""

SMALL = dict(vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
             num_labels=3)
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


def ropes(**more):
    return {name: dict(more, rope_parameters=r, long=70 if name == "dynamic" else 30) for name, r in ROPES.items()}


ROWS = [
    ("Llama", dict({
        "plain": {},
        "biased": dict(attention_bias=True, mlp_bias=True, hidden_act="gelu", rms_norm_eps=1e-3),
        "head-dim": dict(head_dim=20, num_key_value_heads=4, tie_word_embeddings=True),
        "one-head": dict(num_key_value_heads=1),
        "old": dict(edit_json=older()),
        "old-linear": dict(rope_parameters=ROPES["linear"], edit_json=older("type")),
        "old-dynamic": dict(rope_parameters=ROPES["dynamic"], long=80, edit_json=older("type")),
        "old-llama3": dict(rope_parameters=ROPES["llama3"], long=40, edit_json=older("rope_type")),
        "old-yarn": dict(rope_parameters=ROPES["yarn-all"], long=40, edit_json=older("rope_type")),
    }, **ropes())),
    ("Mistral", {
        "window": dict(sliding_window=4, long=20),
        "plain": dict(sliding_window=None),
        "head-dim": dict(sliding_window=6, head_dim=12, rope_parameters={"rope_type": "default", "rope_theta": 1e6}),
    }),
    ("Ministral", {"plain": dict(sliding_window=4, head_dim=8), "types": dict(head_dim=8, 
        sliding_window=3, layer_types=["full_attention", "sliding_attention", "full_attention"])}),
    ("Qwen2", {
        "plain": {},
        "window": dict(use_sliding_window=True, sliding_window=4, max_window_layers=1),
        "types": dict(use_sliding_window=True, sliding_window=3,
                      layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
        "old": dict(use_sliding_window=True, sliding_window=4, max_window_layers=2,
                    edit_json=older(layer_types="gone")),
        "old-unused": dict(edit_json=older(layer_types="gone", sliding_window=4)),
        "yarn": dict(rope_parameters=ROPES["yarn"], long=30),
    }),
    ("Qwen3", {
        "plain": dict(head_dim=16),
        "biased": dict(attention_bias=True, head_dim=8, use_sliding_window=True, sliding_window=4,
                       max_window_layers=1),
    }),
    ("SmolLM3", {
        "plain": dict(no_rope_layer_interval=2),
        "list": dict(no_rope_layers=[0, 1, 0], attention_bias=True, mlp_bias=True),
        "window": dict(no_rope_layers=[1, 0, 1], use_sliding_window=True, sliding_window=3),
    }),
    ("Granite", {
        "plain": {},
        "factors": dict(embedding_multiplier=3.0, logits_scaling=5.0, residual_multiplier=0.3,
                        attention_multiplier=0.2, attention_bias=True, mlp_bias=True),
    }),
    ("Gemma", {
        "plain": dict(head_dim=16),
        "gelu": dict(head_dim=8, attention_bias=True, edit_json=lambda c: dict(c, hidden_act="gelu")),
    }),
    ("Gemma2", {
        "plain": dict(head_dim=16, sliding_window=4, query_pre_attn_scalar=24),
        "capless": dict(head_dim=8, sliding_window=4, final_logit_softcapping=None, attn_logit_softcapping=None,
                        layer_types=["full_attention", "sliding_attention", "sliding_attention"]),
        "low-caps": dict(head_dim=8, sliding_window=4, final_logit_softcapping=2.0, attn_logit_softcapping=1.5,
                         attention_bias=True, hidden_activation="gelu"),
    }),
    ("Gemma3", {
        "plain": dict(config="Gemma3TextConfig", head_dim=16, sliding_window=4, query_pre_attn_scalar=20,
                      layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
        "pattern": dict(config="Gemma3TextConfig", head_dim=8, sliding_window=4, final_logit_softcapping=3.0,
                        num_hidden_layers=7, attn_logit_softcapping=1.0),
        "both-ways": dict(config="Gemma3TextConfig", head_dim=8, sliding_window=6, use_bidirectional_attention=True),
        "ropes": dict(config="Gemma3TextConfig", head_dim=8, sliding_window=4, num_hidden_layers=6, rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 7000.0}}),
        "old": dict(config="Gemma3TextConfig", head_dim=8, sliding_window=4, num_hidden_layers=6, rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 7000.0}}, edit_json=older(
                "rope_type", rope_local_base_freq=300.0, layer_types="gone", sliding_window_pattern=6)),
    }),
    ("Gemma3Text", {"sequence": dict(head_dim=16, sliding_window=4)}),
    ("Phi", {
        "plain": {},
        "normed": dict(qk_layernorm=True, num_key_value_heads=4, rope_parameters={
            "rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.75}),
        "old": dict(edit_json=older(partial_rotary_factor=0.5)),
        "linear": dict(rope_parameters=dict(ROPES["linear"], partial_rotary_factor=0.5)),
    }),
    ("Phi3", {
        "plain": dict(sliding_window=4),
        "longrope": dict(rope_parameters=ROPES["longrope"], original_max_position_embeddings=16, long=30),
        "old-su": dict(rope_parameters=ROPES["longrope"], original_max_position_embeddings=16, long=30,
                       edit_json=lambda c: older("type")(dict(c, rope_parameters=dict(c["rope_parameters"],
                                                                                     rope_type="su")))),
        "old-yarn": dict(rope_parameters=ROPES["longrope"], original_max_position_embeddings=16, long=30,
                         edit_json=lambda c: older("type")(dict(c, rope_parameters=dict(c["rope_parameters"],
                                                                                       rope_type="yarn")))),
        "partial": dict(rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}),
    }),
    ("StableLm", {
        "plain": dict(num_key_value_heads=4, hidden_size=64),
        "parallel": dict(use_parallel_residual=True, use_qkv_bias=True, qk_layernorm=True, hidden_size=64),
        "partial": dict(use_qkv_bias=True, rope_parameters={
            "rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}),
        "old": dict(hidden_size=64, edit_json=older(partial_rotary_factor=0.25)),
    }),
    ("Olmo", {"plain": {}, "clipped": dict(clip_qkv=0.4, attention_bias=True)}),
    ("Olmo2", {"plain": {}, "biased": dict(attention_bias=True, num_key_value_heads=4)}),
    ("Starcoder2", {
        "plain": {},
        "window": dict(use_bias=False, sliding_window=4, norm_epsilon=1e-3, tie_word_embeddings=False),
    }),
    ("Cohere", {
        "plain": {},
        "normed": dict(use_qk_norm=True, logit_scale=0.3, attention_bias=True, layer_norm_eps=1e-3),
    }),
    ("Cohere2", {
        "plain": dict(sliding_window=4, num_hidden_layers=4),
        "types": dict(sliding_window=3, logit_scale=0.5,
                      layer_types=["full_attention", "sliding_attention", "full_attention"]),
        "old": dict(sliding_window=4, num_hidden_layers=4, edit_json=older(layer_types="gone",
                                                                          sliding_window_pattern=4)),
    }),
    ("Mixtral", {
        "plain": dict(num_local_experts=4),
        "one": dict(num_local_experts=3, num_experts_per_tok=1, sliding_window=4, tie_word_embeddings=True),
        "losses": dict(num_local_experts=4, num_experts_per_tok=3, output_router_logits=True,
                       router_aux_loss_coef=0.3),
    }),
    ("Qwen2Moe", {
        "plain": dict(num_experts=5, num_experts_per_tok=2, moe_intermediate_size=24,
                      shared_expert_intermediate_size=40),
        "sparse": dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, num_hidden_layers=4,
                       shared_expert_intermediate_size=16, decoder_sparse_step=2, norm_topk_prob=True,
                       use_sliding_window=True, sliding_window=4, max_window_layers=3),
        "only": dict(num_experts=4, num_experts_per_tok=3, moe_intermediate_size=24, mlp_only_layers=[1],
                     shared_expert_intermediate_size=16, qkv_bias=False, output_router_logits=True,
                     router_aux_loss_coef=0.2),
    }),
    ("Qwen3Moe", {
        "plain": dict(num_experts=5, num_experts_per_tok=2, moe_intermediate_size=24, head_dim=16),
        "normed": dict(num_experts=4, num_experts_per_tok=3, moe_intermediate_size=24, head_dim=8,
                       norm_topk_prob=True, mlp_only_layers=[0], attention_bias=True),
        "window": dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, head_dim=8,
                       use_sliding_window=True, sliding_window=4, decoder_sparse_step=2),
    }),
    ("DeepseekV3", {
        "plain": dict(DEEPSEEK),
        "dense-q": dict(DEEPSEEK, q_lora_rank=None, n_group=1, topk_group=1, rope_interleave=False),
        "raw": dict(DEEPSEEK, norm_topk_prob=False, routed_scaling_factor=1.3, first_k_dense_replace=0,
                    n_shared_experts=2, num_experts_per_tok=3, attention_bias=True),
        "yarn": dict(DEEPSEEK, rope_parameters=dict(ROPES["yarn-all"], truncate=True), long=40),
        "yarn-one": dict(DEEPSEEK, rope_parameters=dict(ROPES["yarn"], mscale=1.0, mscale_all_dim=1.0), long=40,
                         edit_json=older("type")),
    }),
    ("GptOss", {
        "plain": dict(GPT_OSS),
        "ropes": dict(GPT_OSS, rope_parameters={
            "rope_type": "yarn", "factor": 4.0, "beta_fast": 8.0, "beta_slow": 1.0, "truncate": False,
            "original_max_position_embeddings": 16, "rope_theta": 15000.0}, long=30),
        "types": dict(GPT_OSS, layer_types=["full_attention", "sliding_attention", "full_attention"],
                      swiglu_limit=0.5, swiglu_alpha=1.2, attention_bias=False, num_experts_per_tok=1),
        "losses": dict(GPT_OSS, output_router_logits=True, router_aux_loss_coef=0.2),
    }),
]
