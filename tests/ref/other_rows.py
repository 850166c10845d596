"""other_rows.py -- families whose inputs are images, or texts in pairs: configs, heads and inputs for
random_gradients.py and random_forward.py."""

import torch
import transformers

VOCAB, LABELS, EOS = 53, 3, 1
VIT = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=16, patch_size=4)
RESNET = dict(embedding_size=8, hidden_sizes=[16, 24], depths=[2, 1])
T5 = dict(d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, vocab_size=VOCAB, pad_token_id=0, eos_token_id=EOS,
          decoder_start_token_id=0, relative_attention_num_buckets=8, relative_attention_max_distance=12)
FAMILIES = {
    "vit": (VIT, [
        {}, {"hidden_act": "relu", "qkv_bias": False}, {"num_channels": 1, "image_size": 12}, {"image_size": [8, 20]},
        {"pooler_act": "relu", "pooler_output_size": 20}, {"layer_norm_eps": 0.01, "patch_size": 5}, {"num_hidden_layers": 0},
    ], "ViT"),
    "resnet": (RESNET, [
        {}, {"layer_type": "basic"}, {"layer_type": "basic", "downsample_in_first_stage": True, "hidden_act": "gelu"},
        {"downsample_in_bottleneck": True, "hidden_act": "silu"}, {"num_channels": 1, "depths": [1], "hidden_sizes": [8]},
        {"layer_type": "basic", "hidden_sizes": [8, 8, 12], "depths": [1, 2, 1]}, {"embedding_size": 16},
    ], "ResNet"),
    "t5": (T5, [
        {}, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, {"feed_forward_proj": "gated-silu", "d_kv": 5},
        {"num_decoder_layers": 1, "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128},
        {"feed_forward_proj": "gelu", "decoder_start_token_id": 3, "layer_norm_epsilon": 0.01},
        {"relative_attention_num_buckets": 6, "relative_attention_max_distance": 5, "num_heads": 2},
    ], "T5"),
}
TRAINED = ("ForImageClassification", "ForConditionalGeneration", "ForSequenceClassification", "ForTokenClassification",
           "ForQuestionAnswering")
BARE = ("Model", "EncoderModel")


def heads(family, names):
    return [h for h in names if hasattr(transformers, FAMILIES[family][2] + h)]


def make(family, change, head):
    base, _, prefix = FAMILIES[family]
    labels = {} if head in BARE else {"num_labels": 2 if head == "ForQuestionAnswering" else LABELS}
    config = transformers.AutoConfig.for_model(family, **{**base, **change, **labels}, attn_implementation="eager")
    return getattr(transformers, prefix + head)(config).eval()


def positive(model):
    """After random weights: variances are none that are less than nothing."""
    for name, p in model.named_buffers():
        if name.endswith("running_var"):
            p.data = p.data.abs() + 0.5


def inputs_of(family, kind, head, config, generator):
    draw = lambda n, *shape: torch.randint(0, n, shape, generator=generator)
    if family != "t5":
        size = getattr(config, "image_size", [33, 28] if kind == "plain" else [24, 24])
        size = size if isinstance(size, (list, tuple)) else [size, size]
        x = {"pixel_values": torch.randn(3, config.num_channels, *size, generator=generator)}
        return x if head in BARE else {**x, "labels": draw(LABELS, 3)}
    seq, target = 11, 7
    x = {"input_ids": 2 + draw(VOCAB - 2, 3, seq)}
    x["input_ids"][:, -1] = EOS
    if kind != "plain":
        x["attention_mask"] = torch.ones(3, seq, dtype=torch.long)
        x["attention_mask"][1, :4] = 0
        x["input_ids"][1, :4] = 0
    if head in ("Model", "ForQuestionAnswering") or (head == "ForConditionalGeneration" and kind == "left"):
        x["decoder_input_ids"] = draw(VOCAB, 3, target)
        if kind == "left":
            x["decoder_attention_mask"] = torch.ones(3, target, dtype=torch.long)
            x["decoder_attention_mask"][2, -3:] = 0
    if head == "ForConditionalGeneration":
        x["labels"] = draw(VOCAB, 3, target)
        x["labels"][0, -2:] = -100
    elif head == "ForQuestionAnswering":
        x["start_positions"], x["end_positions"] = draw(target, 3), draw(target, 3)
    elif head == "ForSequenceClassification":
        x["labels"] = draw(LABELS, 3)
    elif head == "ForTokenClassification":
        x["labels"] = draw(LABELS, 3, seq)
    return x
