#!/usr/bin/env python3
"""stories.py SINTER: small Llamas that were trained on stories tell some.

stories260K is a folder. The char Llama beside it is what llama2.c writes: seven numbers, then f32 weights; here it becomes
a folder, with its SentencePiece file as it is. Exit 77: the models are not there.
"""

import array
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.environ.get("SN_SHARED", os.path.join(ROOT, "../shared"))
LAYER = [("input_layernorm", "d"), ("self_attn.q_proj", "d,d"), ("self_attn.k_proj", "k,d"), ("self_attn.v_proj", "k,d"),
         ("self_attn.o_proj", "d,d"), ("post_attention_layernorm", "d"), ("mlp.gate_proj", "h,d"),
         ("mlp.down_proj", "d,h"), ("mlp.up_proj", "h,d")]


def convert(source, folder):
    """Weights of one kind lie together for all layers; positions turn pairs."""
    with open(source, "rb") as f:
        dim, hidden, layers, heads, kv_heads, vocab, seq = struct.unpack("<7i", f.read(28))
        numbers = array.array("f", f.read())
    size = {"d": dim, "k": dim // heads * kv_heads, "h": hidden, "v": abs(vocab)}
    plan = [("model.embed_tokens", "v,d")]
    plan += [(f"model.layers.{i}.{name}", dims) for name, dims in LAYER for i in range(layers)]
    plan += [("model.norm", "d")]
    header, at = {}, 0
    for name, dims in plan:
        shape = [size[c] for c in dims.split(",")]
        n = shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name + ".weight"] = {"dtype": "F32", "shape": shape, "data_offsets": [4 * at, 4 * (at + n)]}
        at += n
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + numbers[:at].tobytes())
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": dim, "intermediate_size": hidden,
              "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
              "vocab_size": abs(vocab), "max_position_embeddings": seq, "rms_norm_eps": 1e-5, "rope_interleave": True,
              "tie_word_embeddings": vocab > 0, "bos_token_id": 1, "eos_token_id": 2}
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f)


def tell(sinter, model, begin, expected):
    done = subprocess.run([sinter, "generate", model, "--prompt", begin, "--max-new-tokens", "60", "--threads", "2"],
                          capture_output=True, text=True)
    if done.returncode or expected not in done.stdout:
        sys.exit(f"{model}: exit {done.returncode}: {done.stdout!r} {done.stderr}")


def main():
    sinter, models = sys.argv[1], os.path.join(SHARED, "models")
    char = os.path.join(models, "babyllama105")
    if not os.path.isdir(char):
        sys.exit(77)
    tell(sinter, os.path.join(models, "stories260K"), "Once upon a time",
         ", there was a little girl named Lily. She loved to play outside in the park.")
    with tempfile.TemporaryDirectory() as folder:
        convert(os.path.join(char, "model5000.bin"), folder)
        shutil.copy(os.path.join(char, "tok105.model"), os.path.join(folder, "tokenizer.model"))
        tell(sinter, folder, "Once upon a time", ", there was a ")


main()
