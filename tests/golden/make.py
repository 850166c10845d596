#!/usr/bin/env python3
"""Makes the cases in tests/golden/forward: tiny models with random weights, inputs, and the outputs of Transformers.

They cover the families, heads and config keys that the shared fixtures leave out, in the same format. Made with
torch 2.15.0, transformers 5.23.0, safetensors 0.8.0. Usage: make.py [FOLDER]
"""
import json
import pathlib
import shutil
import sys

import safetensors
import torch
import transformers as tf
from safetensors.torch import save_file

SMALL = dict(vocab_size=24, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
             max_position_embeddings=16)
DISTIL = dict(vocab_size=24, dim=8, n_layers=2, n_heads=2, hidden_dim=12, max_position_embeddings=16)
BERT = dict(SMALL, layer_norm_eps=3e-3)
DEBERTA = dict(BERT, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=6, type_vocab_size=0,
               norm_rel_ebd="layer_norm", position_biased_input=False)
MODERN = dict(SMALL, norm_eps=3e-3, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
              local_attention=4)
GPT = dict(vocab_size=24, n_embd=8, n_layer=2, n_head=2, n_inner=12, n_positions=16, pad_token_id=0, bos_token_id=1,
           eos_token_id=2)
WIDE = dict(SMALL, hidden_size=12, pad_token_id=0, bos_token_id=1, eos_token_id=2)
DECODER = dict(SMALL, num_key_value_heads=1, pad_token_id=0, bos_token_id=1, eos_token_id=2)
LATENT = dict(DECODER, num_key_value_heads=2, moe_intermediate_size=8, n_routed_experts=4, n_group=2, topk_group=1,
              num_experts_per_tok=2, first_k_dense_replace=1, kv_lora_rank=6, q_lora_rank=6, qk_rope_head_dim=4,
              qk_nope_head_dim=2, v_head_dim=4)
REGRESSION = torch.tensor([0.25, -1.5])
MULTI = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])

# name, class, config, pad id, padding on the left, labels (argument -> tensor or upper bound of classes by token)
CASES = [
    ("albert-pretraining", tf.AlbertForPreTraining,
     tf.AlbertConfig(**BERT, embedding_size=6, num_hidden_groups=2, inner_group_num=2), 0, False,
     dict(labels=24, sentence_order_label=torch.tensor([1, 0]))),
    ("bert-multi-label", tf.BertForSequenceClassification, tf.BertConfig(**BERT, num_labels=3), 0, True,
     dict(labels=MULTI)),
    ("bert-next-sentence", tf.BertForNextSentencePrediction, tf.BertConfig(**BERT), 0, False,
     dict(labels=torch.tensor([1, 0]))),
    ("bert-regression", tf.BertForSequenceClassification, tf.BertConfig(**BERT, num_labels=1, hidden_act="relu"), 0,
     False, dict(labels=REGRESSION)),
    ("camembert-mlm", tf.CamembertForMaskedLM, tf.CamembertConfig(**BERT, pad_token_id=1), 1, True, dict(labels=24)),
    ("deberta-v2-conv", tf.DebertaV2Model, tf.DebertaV2Config(**DEBERTA, conv_kernel_size=3, conv_act="gelu"), 0,
     False, {}),
    ("deberta-v2-mlm", tf.DebertaV2ForMaskedLM, tf.DebertaV2Config(**DEBERTA, share_att_key=True, legacy=False), 0,
     True, dict(labels=24)),
    ("distilbert-qa", tf.DistilBertForQuestionAnswering, tf.DistilBertConfig(**DISTIL), 0, False,
     dict(start_positions=torch.tensor([1, 99]), end_positions=torch.tensor([3, 2]))),
    ("electra-mlm", tf.ElectraForMaskedLM, tf.ElectraConfig(**BERT, embedding_size=6), 0, False, dict(labels=24)),
    ("electra-pretraining", tf.ElectraForPreTraining, tf.ElectraConfig(**BERT, embedding_size=8), 0, True,
     dict(labels=2)),
    ("electra-seqcls", tf.ElectraForSequenceClassification, tf.ElectraConfig(**BERT, embedding_size=6, num_labels=3), 0,
     False, dict(labels=torch.tensor([2, 0]))),
    ("llama-seqcls", tf.LlamaForSequenceClassification,
     tf.LlamaConfig(**SMALL, num_key_value_heads=1, pad_token_id=0, num_labels=3,
                    rope_parameters=dict(rope_type="yarn", factor=2.0, original_max_position_embeddings=8,
                                         rope_theta=1e4)), 0, False, dict(labels=torch.tensor([2, 0]))),
    ("modernbert-mean", tf.ModernBertForSequenceClassification,
     tf.ModernBertConfig(**MODERN, classifier_pooling="mean", norm_bias=True, mlp_bias=True, attention_bias=True,
                         classifier_bias=True, num_labels=3), 0, True, dict(labels=torch.tensor([2, 0]))),
    ("mpnet", tf.MPNetModel, tf.MPNetConfig(**BERT), 1, True, {}),
    ("mpnet-tokcls", tf.MPNetForTokenClassification, tf.MPNetConfig(**BERT, num_labels=3), 1, False, dict(labels=3)),
    ("roberta-seqcls", tf.RobertaForSequenceClassification,
     tf.RobertaConfig(**BERT, pad_token_id=1, num_labels=3), 1, False, dict(labels=torch.tensor([2, 0]))),
    ("xlm-roberta-choice", tf.XLMRobertaForMultipleChoice, tf.XLMRobertaConfig(**BERT, pad_token_id=1), 1, False,
     dict(labels=torch.tensor([2, 0]))),
    ("bloom-norm-residual-qa", tf.BloomForQuestionAnswering,
     tf.BloomConfig(vocab_size=24, hidden_size=12, n_layer=2, n_head=3, apply_residual_connection_post_layernorm=True),
     3, True, dict(start_positions=torch.tensor([1, 4]), end_positions=torch.tensor([3, 99]))),
    ("falcon-alibi-lm", tf.FalconForCausalLM,
     tf.FalconConfig(**dict(WIDE, num_attention_heads=3), alibi=True, multi_query=False, parallel_attn=False,
                     bias=True, ffn_hidden_size=20), 0, True, dict(labels=24)),
    ("falcon-new-seqcls", tf.FalconForSequenceClassification,
     tf.FalconConfig(**dict(WIDE, num_attention_heads=6), new_decoder_architecture=True, num_kv_heads=2,
                     num_labels=3), 0, False, dict(labels=torch.tensor([2, 0]))),
    ("gpt2-scaled-tokcls", tf.GPT2ForTokenClassification,
     tf.GPT2Config(**GPT, scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True, num_labels=3), 0, True,
     dict(labels=3)),
    ("gpt-bigcode-mha-lm", tf.GPTBigCodeForCausalLM, tf.GPTBigCodeConfig(**GPT, multi_query=False), 0, False,
     dict(labels=24)),
    ("gpt-bigcode-seqcls", tf.GPTBigCodeForSequenceClassification, tf.GPTBigCodeConfig(**GPT, num_labels=3), 0, True,
     dict(labels=torch.tensor([2, 0]))),
    ("gpt-neo-local-lm", tf.GPTNeoForCausalLM,
     tf.GPTNeoConfig(vocab_size=24, hidden_size=8, num_layers=3, num_heads=2, intermediate_size=12, window_size=5,
                     max_position_embeddings=16, attention_types=[[["local", "global"], 1], [["local"], 1]]),
     3, False, dict(labels=24)),
    ("gpt-neox-serial-tokcls", tf.GPTNeoXForTokenClassification,
     tf.GPTNeoXConfig(**WIDE, use_parallel_residual=False, attention_bias=False, num_labels=3,
                      rope_parameters=dict(rope_type="default", rope_theta=1e3, partial_rotary_factor=0.5)), 0, True,
     dict(labels=3)),
    ("gptj-qa", tf.GPTJForQuestionAnswering, tf.GPTJConfig(**dict(GPT, n_embd=12), rotary_dim=4), 0, False,
     dict(start_positions=torch.tensor([1, 4]), end_positions=torch.tensor([3, 99]))),
    ("mamba2-lm", tf.Mamba2ForCausalLM,
     tf.Mamba2Config(vocab_size=24, hidden_size=8, num_hidden_layers=2, state_size=3, num_heads=4, head_dim=4,
                     n_groups=2, chunk_size=4, time_step_limit=(0.2, 1.5), use_bias=True), 0, True, dict(labels=24)),
    ("mpt-clip-lm", tf.MptForCausalLM,
     tf.MptConfig(vocab_size=24, d_model=12, n_layers=2, n_heads=3, max_seq_len=16,
                  attn_config=dict(clip_qkv=0.7, alibi_bias_max=4, softmax_scale=0.4)), 0, False, dict(labels=24)),
    ("opt-post-norm-lm", tf.OPTForCausalLM,
     tf.OPTConfig(**{k: v for k, v in WIDE.items() if k != "intermediate_size"}, ffn_dim=16, word_embed_proj_dim=8,
                  do_layer_norm_before=False), 0, True, dict(labels=24)),
    ("cohere", tf.CohereForCausalLM, tf.CohereConfig(**DECODER, use_qk_norm=True, logit_scale=0.3), 0, True,
     dict(labels=24)),
    ("deepseek-v3", tf.DeepseekV3ForCausalLM,
     tf.DeepseekV3Config(**LATENT, rope_parameters=dict(rope_type="yarn", factor=4.0, mscale=0.7, mscale_all_dim=1.3,
                                                        original_max_position_embeddings=4, rope_theta=1e4)),
     0, False, dict(labels=24)),
    ("gemma3-seqcls", tf.Gemma3TextForSequenceClassification,
     tf.Gemma3TextConfig(**DECODER, head_dim=4, sliding_window=3, query_pre_attn_scalar=5, num_labels=3,
                         layer_types=["sliding_attention", "full_attention"]), 0, True,
     dict(labels=torch.tensor([2, 0]))),
    ("gpt-oss", tf.GptOssForCausalLM,
     tf.GptOssConfig(**DECODER, head_dim=8, num_local_experts=3, num_experts_per_tok=2, sliding_window=3,
                     swiglu_limit=0.5, rope_parameters=dict(rope_type="yarn", factor=4.0, truncate=False,
                                                            original_max_position_embeddings=8, rope_theta=1.5e4)),
     0, False, dict(labels=24)),
    ("llama-dynamic", tf.LlamaForTokenClassification,
     tf.LlamaConfig(**dict(DECODER, max_position_embeddings=6), num_labels=3,
                    rope_parameters=dict(rope_type="dynamic", factor=2.5, rope_theta=1e4)), 0, False, dict(labels=3)),
    ("phi3-longrope", tf.Phi3ForCausalLM,
     tf.Phi3Config(**DECODER, original_max_position_embeddings=4, sliding_window=5,
                   rope_parameters=dict(rope_type="longrope", short_factor=[1.0, 1.5], long_factor=[2.0, 5.0],
                                        original_max_position_embeddings=4, rope_theta=1e4)), 0, False,
     dict(labels=24)),
    ("qwen2-moe", tf.Qwen2MoeForCausalLM,
     tf.Qwen2MoeConfig(**DECODER, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=8, mlp_only_layers=[0],
                       shared_expert_intermediate_size=12, output_router_logits=True, router_aux_loss_coef=0.2), 0,
     True, dict(labels=24)),
    ("stablelm", tf.StableLmForCausalLM,
     tf.StableLmConfig(**DECODER, qk_layernorm=True, use_parallel_residual=True, use_qkv_bias=True,
                       rope_parameters=dict(rope_type="default", rope_theta=1e4, partial_rotary_factor=0.5)), 0,
     False, dict(labels=24)),
]


def randomize(model, g):
    """Every parameter, biases and norms too, so that one that is ignored shows."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 0.2 if p.dim() == 1 else 0.5 if "embedding" in name else 1.2 / p.shape[-1] ** 0.5
            is_norm = p.dim() == 1 and "norm" in name.lower() and name.endswith("weight")
            p.copy_(torch.randn(p.shape, generator=g) * scale + is_norm)


def make_inputs(cls, pad, left, labels, g):
    seq = 8
    ids = torch.randint(3, 24, (2, seq), generator=g)
    mask = torch.ones(2, seq, dtype=torch.long)
    if left:
        mask[1, :3] = 0
    else:
        mask[1, seq - 3:] = 0
    ids = torch.where(mask == 1, ids, pad)
    r = dict(input_ids=ids, attention_mask=mask)
    if "MultipleChoice" in cls.__name__:
        r = {k: torch.stack([v, v.roll(1, 1), v], 1) for k, v in r.items()}
    for name, v in labels.items():
        if isinstance(v, int):
            v = torch.randint(0, v, (2, seq), generator=g)
            if v.max() > 1:
                v[mask == 0] = -100
        r[name] = v
    return r


def flatten(out):
    for key, v in out.items():
        if isinstance(v, torch.Tensor):
            yield key, v
        elif key in ("hidden_states", "attentions"):
            yield from ((f"{key}.{i}", x) for i, x in enumerate(v))


def make_case(folder, seed, name, cls, config, pad, left, labels):
    folder = folder / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    g = torch.Generator().manual_seed(seed)
    config._attn_implementation = "eager"
    model = cls(config).eval()
    randomize(model, g)
    model.tie_weights()
    model.save_pretrained(folder / "model")
    inputs = make_inputs(cls, pad, left, labels, g)
    kwargs = dict(output_hidden_states=True)
    if not config.model_type.startswith("mamba"):
        kwargs["output_attentions"] = True
    with torch.no_grad():
        out = {k: v.clone().contiguous() for k, v in flatten(model(**inputs, **kwargs))}
    mask = inputs["attention_mask"]
    outputs = {k: {"tensor": k} for k in out}
    for k, v in out.items():
        if mask.dim() == 2 and v.shape[:2] == mask.shape:
            outputs[k]["rows"] = "attention_mask"
    save_file(inputs, folder / "inputs.safetensors")
    save_file(out, folder / "expected.safetensors")
    case = dict(name=name, kind="forward", architecture=cls.__name__, model_type=config.model_type, model="model",
                dtype="f32", seed=seed, tolerance=dict(atol=5e-5, rtol=5e-4),
                library=dict(transformers=tf.__version__, torch=torch.__version__.split("+")[0],
                             safetensors=safetensors.__version__),
                calls=[dict(name="forward", op="forward", kwargs=kwargs, inputs={k: k for k in inputs},
                            outputs=outputs)])
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")


def main():
    tf.logging.set_verbosity_error()
    here = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "forward"
    for i, case in enumerate(CASES):
        make_case(here, 500 + i, *case)


main()
