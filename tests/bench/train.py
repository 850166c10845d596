#!/usr/bin/env python3
"""train.py BUILD: steps of a training, sinter against PyTorch, in one run and in alternation.

A small GPT: 6 layers of 384, 6 heads, 65 letters, 10.8 million parameters, AdamW with clipping; a batch of 8 x 256. Or, with
--lora FOLDER, an adapter of rank 8 for q_proj and v_proj of that model, a batch of 4 x 256, against PEFT. Every contender is a process of its own that answers "run N" with N times in milliseconds. A ratio is the median over the rounds of
(peer) / (sinter): above 1, sinter is ahead; one of memory is sinter's peak over the peer's. Losses are compared too.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

LORA = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 8, "lora_alpha": 16, "lora_dropout": 0.0,
        "target_modules": ["q_proj", "v_proj"]}
LAYERS, WIDTH, HEADS, VOCAB, BATCH, SEQ = 6, 384, 6, 65, 8, 256
FLOPS = 3 * 2 * BATCH * SEQ * (LAYERS * (12 * WIDTH * WIDTH + SEQ * WIDTH) + VOCAB * WIDTH)  # causal scores are half


def weights():
    import torch
    torch.manual_seed(0)
    n = lambda *d: torch.randn(*d) * 0.02
    w = {"wte.weight": n(VOCAB, WIDTH), "wpe.weight": n(SEQ, WIDTH)}
    for i in range(LAYERS):
        for name, a, b in ("attn.c_attn", WIDTH, 3 * WIDTH), ("attn.c_proj", WIDTH, WIDTH), \
                          ("mlp.c_fc", WIDTH, 4 * WIDTH), ("mlp.c_proj", 4 * WIDTH, WIDTH):
            w[f"h.{i}.{name}.weight"], w[f"h.{i}.{name}.bias"] = n(a, b), torch.zeros(b)
    for name in [f"h.{i}.ln_{k}" for i in range(LAYERS) for k in (1, 2)] + ["ln_f"]:
        w[f"{name}.weight"], w[f"{name}.bias"] = torch.ones(WIDTH), torch.zeros(WIDTH)
    return w


def make_folder(folder):
    import torch
    from safetensors.torch import save_file
    config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS,
              "n_positions": SEQ, "vocab_size": VOCAB, "activation_function": "gelu_new", "tie_word_embeddings": True,
              "resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0}
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f)
    save_file({f"transformer.{k}": v for k, v in weights().items()}, os.path.join(folder, "model.safetensors"))
    ids = torch.randint(0, VOCAB, (BATCH, SEQ))
    save_file({"input_ids": ids, "labels": ids.clone()}, os.path.join(folder, "batch.safetensors"))


def make_lora(folder, model):
    import torch
    from safetensors.torch import save_file
    with open(os.path.join(model, "config.json")) as f:
        vocab = json.load(f)["vocab_size"]
    with open(os.path.join(folder, "adapter.json"), "w") as f:
        json.dump(LORA, f)
    torch.manual_seed(0)
    ids = torch.randint(0, vocab, (4, SEQ))
    save_file({"input_ids": ids, "labels": ids.clone()}, os.path.join(folder, "batch.safetensors"))


class Peft:
    def __init__(self, folder, model):
        import torch
        sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # tokenizers.py there is not the library
        from peft import LoraConfig, get_peft_model
        from safetensors.torch import load_file
        from transformers import AutoModelForCausalLM
        self.ids = load_file(f"{folder}/batch.safetensors")["input_ids"]
        config = LoraConfig(**{k: v for k, v in LORA.items() if k != "peft_type"})
        self.model = get_peft_model(AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32), config)
        self.w = {k: v for k, v in self.model.named_parameters() if v.requires_grad}

    def __call__(self, w, ids):
        return self.model(input_ids=ids, labels=ids).loss


class Torch:
    def __init__(self, folder, threads, dtype, is_compiled, model):
        import torch
        torch.set_num_threads(threads)
        self.torch = torch
        if model:
            peft = Peft(folder, model)
            self.w, self.ids, loss = peft.w, peft.ids, peft
        else:
            loss = self.gpt(folder)
        self.autocast = dtype == "bf16"
        self.optimizer = torch.optim.AdamW(self.w.values(), lr=1e-3, weight_decay=0.1, fused=True)
        self.loss_of = torch.compile(loss) if is_compiled else loss

    def gpt(self, folder):
        torch = self.torch
        from safetensors.torch import load_file
        from torch.nn import functional as F
        self.w = {k.removeprefix("transformer."): v.requires_grad_() for k, v in load_file(f"{folder}/model.safetensors").items()}
        self.ids = load_file(f"{folder}/batch.safetensors")["input_ids"]

        def loss(w, ids):
            batch, seq = ids.shape
            norm = lambda x, name: F.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"])
            linear = lambda x, name: torch.addmm(w[f"{name}.bias"], x.view(-1, x.shape[-1]), w[f"{name}.weight"]).view(batch, seq, -1)
            x = F.embedding(ids, w["wte.weight"]) + w["wpe.weight"][:seq]
            for i in range(LAYERS):
                q, k, v = (t.view(batch, seq, HEADS, -1).transpose(1, 2)
                           for t in linear(norm(x, f"h.{i}.ln_1"), f"h.{i}.attn.c_attn").split(WIDTH, 2))
                y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
                x = x + linear(y.transpose(1, 2).reshape(batch, seq, WIDTH), f"h.{i}.attn.c_proj")
                x = x + linear(F.gelu(linear(norm(x, f"h.{i}.ln_2"), f"h.{i}.mlp.c_fc"), approximate="tanh"), f"h.{i}.mlp.c_proj")
            logits = norm(x, "ln_f") @ w["wte.weight"].T
            sum_ = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="sum")
            return sum_ / ids.numel()  # as Trainer counts labels of GPT2LMHeadModel
        return loss

    def step(self):
        with self.torch.autocast("cpu", self.torch.bfloat16, enabled=self.autocast):
            loss = self.loss_of(self.w, self.ids)
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.w.values(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


def serve(a):
    import resource
    peer = Torch(a["folder"], a["threads"], a["dtype"], a["compile"], a["model"])
    print("ready", flush=True)
    last = 0
    for line in sys.stdin:
        if line.startswith("run "):
            times = []
            for _ in range(int(line[4:])):
                begin = time.perf_counter()
                last = peer.step()
                times.append((time.perf_counter() - begin) * 1e3)
            print(*times, flush=True)
        elif line.startswith("loss"):
            print(last, flush=True)
        else:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)


class Contender:
    def __init__(self, name, command, env):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **env})
        self.process.stdout.readline()  # ready
        self.times, self.losses = [], []

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def round(self, n):
        self.process.send_signal(signal.SIGCONT)
        self.times.append(min(float(t) for t in self.ask(f"run {n}").split()))
        self.losses.append(float(self.ask("loss")))
        self.process.send_signal(signal.SIGSTOP)


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("build")
    p.add_argument("--venv", help="the environment that has PyTorch")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--dtype", default="f32", choices=("f32", "bf16"))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--steps", type=int, default=2, help="of a round")
    p.add_argument("--folder", help="where the model is made; it stays")
    p.add_argument("--peers", default="eager,compile")
    p.add_argument("--lora", help="a folder of a model to train an adapter for")
    p.add_argument("--by-kernel", action="store_true", help="where a step's time goes, and nothing else")
    a = p.parse_args()
    python = os.path.join(a.venv, "bin", "python") if a.venv else sys.executable
    folder = a.folder or tempfile.mkdtemp()
    if not os.path.exists(os.path.join(folder, "batch.safetensors")):
        os.makedirs(folder, exist_ok=True)
        subprocess.run([python, __file__, "--make", folder] + ([a.lora] if a.lora else []), check=True)
    env = {"OMP_NUM_THREADS": str(a.threads), "SINTER_CACHE_DIR": os.path.join(folder, "cache")}
    ours = [os.path.join(a.build, "tests", "train"), a.lora or folder, os.path.join(folder, "batch.safetensors"), str(a.threads), a.dtype]
    adapter = [os.path.join(folder, "adapter.json")] if a.lora else []
    if a.by_kernel:
        subprocess.run(ours + ["steps"] + adapter, input=f"run {a.steps}\n", text=True, env={**os.environ, **env}, check=True)
        return
    ours += adapter
    first = Contender("first", ours, env)  # compiles: what is measured finds its kernels
    limits = json.loads(first.ask("limits"))
    first.process.communicate()
    all_ = [Contender("sinter", ours, env)]
    for peer in filter(None, a.peers.split(",")):
        about = {"folder": folder, "threads": a.threads, "dtype": a.dtype, "compile": peer == "compile", "model": a.lora}
        all_.append(Contender(peer, [python, __file__, "--serve", json.dumps(about)], env))
    for c in all_:
        c.round(1)
        c.times.clear()
    for _ in range(a.rounds):
        for c in all_:
            c.round(a.steps)
    peak = {}
    for c in all_:
        c.process.send_signal(signal.SIGCONT)
        peak[c.name] = int(c.ask("peak"))
        c.process.communicate()
    best, limit = min(all_[0].times), limits[f"{a.dtype}_GFLOPs"]
    share = "" if a.lora else f"{FLOPS / best / 1e6:.0f} GF/s, {FLOPS / best / 1e4 / limit:.0f} % of {limit:.0f}, "
    print(f"sinter: {best:.1f} ms, {share}"
          f"peak {peak['sinter'] / 1e6:.0f} MB, losses {all_[0].losses[0]:.5f} {all_[0].losses[-1]:.5f}")
    for c in all_[1:]:
        ratio = statistics.median(theirs / own for theirs, own in zip(c.times, all_[0].times))
        print(f"{c.name}: {min(c.times):.1f} ms, ratio {ratio:.2f}; peak {peak[c.name] / 1e6:.0f} MB, "
              f"ratio {peak['sinter'] / peak[c.name]:.2f}; losses {c.losses[0]:.5f} {c.losses[-1]:.5f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(json.loads(sys.argv[2]))
    elif sys.argv[1:2] == ["--make"]:
        make_lora(*sys.argv[2:4]) if len(sys.argv) > 3 else make_folder(sys.argv[2])
    else:
        main()
