#!/usr/bin/env python3
"""weights.py SINTER [--count 50]: files of weights against safetensors and torch. What is written equals safetensors'
own file byte for byte, for random dicts of all dtypes; what torch.save writes of a state_dict is read, what is more
than tensors is refused by name and never run; blocks of GGUF files and of gpt-oss are the numbers that gguf and
transformers make of them. Needs safetensors, torch, gguf, transformers. Exit 1: something differs."""
import argparse
import collections
import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
import zipfile

import torch
from safetensors.torch import load_file, save_file

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
          torch.uint8, torch.bool, torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64,
          torch.complex64, torch.float8_e8m0fnu, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]


def convert(sinter, model, out):
    done = subprocess.run([sinter, "convert", model, "-o", out], capture_output=True, text=True)
    return done.returncode, done.stderr.strip()


def random_tensor(r):
    dtype, shape = r.choice(DTYPES), [r.choice([0, 1, 2, 3, 5, 8]) for _ in range(r.randrange(4))]
    n = 1
    for d in shape:
        n *= d
    size = torch.empty(0, dtype=dtype).element_size()
    raw = bytearray(r.randbytes(n * size)) if dtype != torch.bool else bytearray(r.choice(b"\0\1") for _ in range(n))
    return (torch.frombuffer(raw, dtype=dtype) if n else torch.empty(0, dtype=dtype)).reshape(shape)


def random_name(r):
    return "".join(r.choice(["a", "b", "layers.", "10", "2", "é", "weight", "字", "_", '"', "\\", "\t"])
                   for _ in range(r.randrange(1, 5)))


def folder_of(where, name):
    path = os.path.join(where, name)
    os.makedirs(path)
    with open(f"{path}/config.json", "w") as f:
        json.dump({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, f)
    return path


def written(sinter, count):
    bad = 0
    for seed in range(count):
        r = random.Random(seed)
        tensors = {random_name(r): random_tensor(r) for _ in range(r.randrange(1, 12))}
        with tempfile.TemporaryDirectory() as where:
            model = folder_of(where, "m")
            save_file(tensors, f"{model}/model.safetensors")
            save_file(tensors, f"{where}/expected", metadata={"format": "pt"})
            code, error = convert(sinter, model, f"{where}/out.safetensors")
            if code or open(f"{where}/out.safetensors", "rb").read() != open(f"{where}/expected", "rb").read():
                bad += 1
                print(f"seed {seed}: {error or 'other bytes'}")
    print(f"{count - bad} of {count} files equal byte for byte")
    return bad


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/sinter-was-here",)


def state_dicts():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    linear = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.BatchNorm1d(7))
    yield "module", linear.state_dict(), {}
    yield "views", {"t": base.t(), "row": base[1], "column": base[:, 2], "step": base[::2, 1:5:2]}, {}
    yield "dtypes", {str(d): random_tensor(random.Random(5)).new_zeros(3).to(d)
                     for d in DTYPES[:10] if d != torch.bool} | {"b": torch.tensor([True, False])}, {}
    yield "scalars", {"s": torch.tensor(3.5), "none": torch.empty(0, 4), "big": torch.ones(300, 300)}, {}
    yield "parameters", {"p": torch.nn.Parameter(torch.randn(3, 3))}, {}
    yield "many", {f"layer.{i}.weight": torch.randn(2) for i in range(700)}, {}
    yield "shared", {"a": base, "b": base}, {"_use_new_zipfile_serialization": True}
    yield "protocol 4", {"a": base, "name": torch.ones(2, dtype=torch.float16)}, {"pickle_protocol": 4}


def refused():
    yield "os.system", lambda p: torch.save({"a": Evil()}, p), "posix.system"
    yield "eval", lambda p: crafted(p, b"\x80\x02cbuiltins\neval\nX\x03\0\0\x001+1\x85R."), "builtins.eval"
    yield "a whole module", lambda p: torch.save(torch.nn.Linear(2, 2), p), "torch.nn"
    yield "before 1.6", lambda p: torch.save({"a": torch.ones(1)}, p, _use_new_zipfile_serialization=False), "torch.save"
    yield "an instance", lambda p: crafted(p, b"\x80\x02(icollections\nOrderedDict\n."), "opcode"
    yield "nothing", lambda p: open(p, "wb").close(), "zip"
    yield "a storage that is not there", lambda p: crafted(
        p, b"\x80\x02}X\1\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
           b"X\1\0\0\0007X\3\0\0\0cpuK\4tQK\0K\4\x85K\1\x85\x89ccollections\nOrderedDict\n)RtRs."), "no storage"


def crafted(path, program):
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", program)
        z.writestr("archive/byteorder", "little")


def read(sinter):
    bad = 0
    for name, tensors, options in state_dicts():
        with tempfile.TemporaryDirectory() as where:
            model = folder_of(where, "m")
            torch.save(tensors, f"{model}/pytorch_model.bin", **options)
            code, error = convert(sinter, model, f"{where}/out.safetensors")
            found = load_file(f"{where}/out.safetensors") if code == 0 else {}
            same = {k for k, v in tensors.items() if k in found and v.dtype == found[k].dtype and
                    v.shape == found[k].shape and torch.equal(v.detach(), found[k])}
            if same != set(tensors):
                bad += 1
                print(f"{name}: {error or sorted(set(tensors) - same)[:5]}")
    for name, write, word in refused():
        with tempfile.TemporaryDirectory() as where:
            model = folder_of(where, "m")
            write(f"{model}/pytorch_model.bin")
            code, error = convert(sinter, model, f"{where}/out.safetensors")
            if code not in (1, 3) or word not in error or os.path.exists(f"{where}/out.safetensors"):
                bad += 1
                print(f"{name}: {code} {error}")
    with tempfile.TemporaryDirectory() as where:
        model, a, b = folder_of(where, "m"), torch.randn(3), torch.randn(2, 2)
        torch.save({"a": a}, f"{model}/pytorch_model-00001-of-00002.bin")
        torch.save({"b": b}, f"{model}/pytorch_model-00002-of-00002.bin")
        with open(f"{model}/pytorch_model.bin.index.json", "w") as f:
            json.dump({"metadata": {}, "weight_map": {"a": "pytorch_model-00001-of-00002.bin",
                                                      "b": "pytorch_model-00002-of-00002.bin"}}, f)
        code, error = convert(sinter, model, f"{where}/out.safetensors")
        found = load_file(f"{where}/out.safetensors") if code == 0 else {}
        if not (found and torch.equal(found["a"], a) and torch.equal(found["b"], b)):
            bad += 1
            print(f"shards: {error}")
    if os.path.exists("/tmp/sinter-was-here"):
        bad += 1
        print("a pickle was run")
    print(f"pickles: {bad} wrong")
    return bad


def blocks(sinter):
    """Random blocks of every type that is read, as the package gguf reads them."""
    import gguf
    import numpy as np
    r, bad = np.random.default_rng(3), 0
    for name in "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL MXFP4".split():
        kind = gguf.GGMLQuantizationType[name]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        data = r.integers(0, 256, (6, 512 // block * size), dtype=np.uint8)
        if name == "MXFP4":
            data[:, ::size] = r.integers(100, 150, data[:, ::size].shape)
            data[0, ::size] = np.arange(data[0, ::size].size) % 3
        with tempfile.TemporaryDirectory() as where:
            w = gguf.GGUFWriter(f"{where}/m.gguf", "llama")
            w.add_block_count(1)
            w.add_tensor("x", data, raw_dtype=kind)
            w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file(), w.close()
            code, error = convert(sinter, f"{where}/m.gguf", f"{where}/out.safetensors")
            found = load_file(f"{where}/out.safetensors")["x"].numpy() if code == 0 else None
            if found is None or not np.array_equal(found, gguf.quants.dequantize(data, kind), equal_nan=True):
                bad += 1
                print(f"{name}: {error or 'other numbers'}")
    print(f"blocks: {bad} types wrong")
    return bad


def mxfp4(sinter):
    """gpt-oss with experts in blocks computes what it does with the numbers that they stand for."""
    from transformers import GptOssConfig, GptOssForCausalLM
    torch.manual_seed(1)
    config = GptOssConfig(vocab_size=50, hidden_size=64, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                          num_key_value_heads=1, head_dim=32, num_local_experts=2, num_experts_per_tok=2,
                          attn_implementation="eager", pad_token_id=0, architectures=["GptOssForCausalLM"],
                          rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    model = GptOssForCausalLM(config).eval()
    value = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6])
    packed = {}
    for key, old in list(model.state_dict().items()):
        packed[key] = old.clone()
        if key.endswith(("experts.gate_up_proj", "experts.down_proj")):
            experts, inner, outer = old.shape
            code = torch.randint(0, 16, (experts, outer, inner // 32, 16, 2))
            e = torch.randint(118, 124, (experts, outer, inner // 32))
            numbers = value[code] * torch.exp2((e - 127).float())[..., None, None]
            old.copy_(numbers.reshape(experts, outer, inner).transpose(1, 2))
            del packed[key]
            packed[key + "_blocks"] = (code[..., 0] | code[..., 1] << 4).to(torch.uint8)
            packed[key + "_scales"] = e.to(torch.uint8)
    ids = torch.randint(3, 49, (1, 7))
    with tempfile.TemporaryDirectory() as where:
        config.save_pretrained(where)
        save_file(packed, f"{where}/model.safetensors", metadata={"format": "pt"})
        save_file({"input_ids": ids}, f"{where}/in.safetensors")
        done = subprocess.run([sinter, "forward", where, "--inputs", f"{where}/in.safetensors", "--outputs",
                               f"{where}/out.safetensors", "--want", "logits"], capture_output=True, text=True)
        with torch.no_grad():
            gap = (load_file(f"{where}/out.safetensors")["logits"] - model(ids).logits).abs().max().item() \
                if done.returncode == 0 else float("nan")
    print(f"gpt-oss in mxfp4: {done.stderr.strip() or f'logits within {gap:.2g}'}")
    return not gap < 1e-4


def main():
    p = argparse.ArgumentParser()
    p.add_argument("sinter")
    p.add_argument("--count", type=int, default=50)
    a = p.parse_args()
    return written(a.sinter, a.count) + read(a.sinter) + blocks(a.sinter) + mxfp4(a.sinter) > 0


if __name__ == "__main__":
    sys.exit(main())
