#!/usr/bin/env python3
"""peers.py BUILD MODEL: sinter and its peers in one run, in alternation, as ratios.

Every contender is a process of its own that answers "run N" with N times in milliseconds; the driver goes round them
in slices of a fraction of a second, so that a machine that speeds up or slows down does so for all. A ratio is the
median over the rounds of (best peer of the round) / (sinter of the round): above 1, sinter is ahead. Shares are of
limits that sinter measures in the same run. Peers are at their best: ONNX Runtime with every graph optimisation, the
faster of two exports, fused by its own transformer optimiser; PyTorch in inference mode with scaled dot product
attention.

BUILD is sinter's build directory, MODEL the folder of all-MiniLM-L6-v2, fetched where it is absent. --venv DIR is used as it is where it has the
packages; else one is made below --work (default: BUILD/peers).
"""

import argparse
import array
import datetime
import json
import math
import os
import platform
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import time

PACKAGES = ["torch", "transformers", "sentence-transformers", "onnxruntime", "onnx", "onnxscript", "numpy", "safetensors"]
MODULES = [p.replace("-", "_") for p in PACKAGES]
SLICE_S = 0.25  # of one contender in one round
PAUSE_S = 0.02  # until the threads of the last one sleep
PRODUCTS = ["512x512x512", "2048x2048x2048", "16x384x1536", "128x384x1536", "512x384x1536", "2048x384x1536",
            "16x2048x2048", "16x4096x4096", "2048x4096x4096"]  # M x K x N
FUSED = {"rms_silu": ("RMSNorm + SiLU * mul", 12), "softmax": ("softmax", 8), "norm_residual": ("layer norm + residual", 12),
         "gelu_bias": ("GELU + bias", 8), "rotary_cast": ("rotary + cast", 6)}  # bytes of an element, read and written
TEXT = "the house of a man was in water and his work with time world"  # 16 tokens with the special ones


# ---- contenders: run in processes of their own ----


def load_inputs(path):
    from safetensors.numpy import load_file
    return load_file(path)


def torch_model(folder, dtype):
    import torch
    from transformers import AutoModel
    return AutoModel.from_pretrained(folder, dtype=getattr(torch, dtype), attn_implementation="sdpa",
                                     add_pooling_layer=False).eval()


TORCH_DTYPE = {"f32": "float32", "bf16": "bfloat16"}


class TorchForward:
    def __init__(self, a):
        import torch
        torch.set_num_threads(a["threads"])
        self.torch = torch
        self.model = torch_model(a["model"], TORCH_DTYPE[a["dtype"]])
        self.inputs = {k: torch.from_numpy(v) for k, v in load_inputs(a["inputs"]).items()}

    def run(self):
        with self.torch.inference_mode():
            self.out = self.model(**self.inputs).last_hidden_state

    def result(self):
        return self.out.float().numpy()


class CompiledForward(TorchForward):
    def __init__(self, a):
        super().__init__(a)
        self.model = self.torch.compile(self.model)


def ort_session(path, threads):
    import onnxruntime as ort
    o = ort.SessionOptions()
    o.intra_op_num_threads = threads
    o.inter_op_num_threads = 1
    o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    return ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])


def export_onnx(folder, work, attention, dynamo):
    """The model as ONNX, fused; made once."""
    import torch
    from onnxruntime.transformers import optimizer
    from transformers import AutoModel
    path = os.path.join(work, f"minilm-{attention}-{'dynamo' if dynamo else 'script'}.onnx")
    if os.path.exists(path):
        return path

    class Hidden(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, input_ids, attention_mask):
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention,
                                      add_pooling_layer=False).eval()
    names = ["input_ids", "attention_mask"]
    ids = torch.randint(0, 1000, (2, 16))
    args = {"input_names": names, "output_names": ["last_hidden_state"], "dynamo": dynamo}
    if dynamo:
        dims = {0: torch.export.Dim("batch", min=1, max=4096), 1: torch.export.Dim("seq", min=2, max=512)}
        args |= {"dynamic_shapes": dict.fromkeys(names, dims), "opset_version": 18}
    else:
        dims = {0: "batch", 1: "seq"}
        args |= {"dynamic_axes": dict.fromkeys([*names, "last_hidden_state"], dims), "opset_version": 17}
    plain = path + ".plain"
    with torch.inference_mode():
        torch.onnx.export(Hidden(model), (ids, torch.ones_like(ids)), plain, **args)
    fused = optimizer.optimize_model(plain, model_type="bert", num_heads=12, hidden_size=384, opt_level=0, use_gpu=False)
    fused.save_model_to_file(path)
    return path


class OrtForward:
    def __init__(self, a):
        self.inputs = load_inputs(a["inputs"])
        sessions = [ort_session(export_onnx(a["model"], a["work"], *form), a["threads"])
                    for form in [("eager", False), ("sdpa", True)]]
        self.session = min(sessions, key=self.time)

    def time(self, session):
        times = []
        for _ in range(4):
            begin = time.perf_counter()
            session.run(None, self.inputs)
            times.append(time.perf_counter() - begin)
        return min(times)

    def run(self):
        self.out = self.session.run(None, self.inputs)[0]

    def result(self):
        return self.out


class SentenceTransformersEmbed:
    def __init__(self, a):
        import torch
        from sentence_transformers import SentenceTransformer
        torch.set_num_threads(a["threads"])
        self.model = SentenceTransformer(a["model"], device="cpu")
        self.texts = a["texts"]

    def run(self):
        self.out = self.model.encode(self.texts, show_progress_bar=False)

    def result(self):
        return self.out


class TorchEmbed:
    """What sentence-transformers does, by hand."""

    def __init__(self, a):
        import torch
        from tokenizers import Tokenizer
        torch.set_num_threads(a["threads"])
        self.torch = torch
        self.tokenizer = Tokenizer.from_file(os.path.join(a["model"], "tokenizer.json"))
        self.tokenizer.no_padding()
        self.model = torch_model(a["model"], "float32")
        self.texts = a["texts"]

    def run(self):
        torch = self.torch
        encoded = self.tokenizer.encode_batch(self.texts)
        with torch.inference_mode():
            ids = torch.tensor([e.ids for e in encoded])
            mask = torch.tensor([e.attention_mask for e in encoded])
            x = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
            m = mask.unsqueeze(-1).float()
            x = (x * m).sum(1) / m.sum(1)
            self.out = torch.nn.functional.normalize(x, dim=-1).numpy()

    def result(self):
        return self.out


class OrtEmbed:
    def __init__(self, a):
        import numpy
        from tokenizers import Tokenizer
        self.np = numpy
        self.tokenizer = Tokenizer.from_file(os.path.join(a["model"], "tokenizer.json"))
        self.tokenizer.no_padding()
        self.texts = a["texts"]
        sessions = [ort_session(export_onnx(a["model"], a["work"], *form), a["threads"])
                    for form in [("eager", False), ("sdpa", True)]]
        self.session = min(sessions, key=self.time)

    def time(self, session):
        self.session = session
        times = []
        for _ in range(20):
            begin = time.perf_counter()
            self.run()
            times.append(time.perf_counter() - begin)
        return min(times)

    def run(self):
        np = self.np
        encoded = self.tokenizer.encode_batch(self.texts)
        ids = np.array([e.ids for e in encoded])
        mask = np.array([e.attention_mask for e in encoded])
        x = self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        m = mask[:, :, None].astype(np.float32)
        x = (x * m).sum(1) / m.sum(1)
        self.out = x / np.linalg.norm(x, axis=-1, keepdims=True)

    def result(self):
        return self.out


def fastest(runs):
    """Of several ways to the same result."""
    def least(run):
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            run()
            times.append(time.perf_counter() - begin)
        return min(times[1:])
    return min(runs, key=least)


class TorchProduct:
    def __init__(self, a):
        import torch
        from safetensors.torch import load_file
        torch.set_num_threads(a["threads"])
        tensors = load_file(a["inputs"])
        x, w = tensors["x"], tensors["w"]
        columns = w.t().contiguous()
        self.torch = torch
        with torch.inference_mode():
            self.way = fastest([lambda: torch.nn.functional.linear(x, w), lambda: torch.matmul(x, columns)])

    def run(self):
        with self.torch.inference_mode():
            self.out = self.way()

    def result(self):
        return self.out.float().numpy()


class NumpyProduct:
    """OpenBLAS, as NumPy brings it."""

    def __init__(self, a):
        import numpy
        tensors = load_inputs(a["inputs"])
        x, w = tensors["x"], tensors["w"]
        columns = numpy.ascontiguousarray(w.T)
        self.out = numpy.empty((len(x), len(w)), dtype=numpy.float32)
        self.run = fastest([lambda: numpy.matmul(x, w.T, out=self.out), lambda: numpy.matmul(x, columns, out=self.out)])

    def result(self):
        return self.out


def make_product(path, shape, dtype):
    import torch
    from safetensors.torch import save_file
    m, k, n = map(int, shape.split("x"))
    torch.manual_seed(1)
    kind = getattr(torch, TORCH_DTYPE[dtype])
    save_file({"x": torch.randn(m, k).to(kind), "w": torch.randn(n, k).to(kind)}, path)


CONTENDERS = {c.__name__: c for c in [TorchProduct, NumpyProduct, TorchForward, CompiledForward, OrtForward, SentenceTransformersEmbed, TorchEmbed,
                                      OrtEmbed]}


def work_as(name, arguments):
    contender = CONTENDERS[name](arguments)
    for _ in range(3):
        contender.run()
    print("ready {}", flush=True)
    for line in sys.stdin:
        command, value = line.split()
        if command == "run":
            times = []
            for _ in range(int(value)):
                begin = time.perf_counter()
                contender.run()
                times.append((time.perf_counter() - begin) * 1e3)
            print(*times, flush=True)
        else:
            import numpy
            from safetensors.numpy import save_file
            save_file({"out": numpy.ascontiguousarray(contender.result(), dtype=numpy.float32)}, value)
            print("saved", flush=True)


# ---- the driver ----


class Process:
    """A contender, warm and waiting."""

    def __init__(self, name, command, env=None):
        self.name = name
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                      env=dict(os.environ, **(env or {})))
        self.facts = json.loads(self.answer("ready "))

    def answer(self, start=""):
        while True:
            line = self.child.stdout.readline()
            if not line:
                raise RuntimeError(f"{self.name}: ended early")
            if line.startswith(start):
                return line[len(start):]

    def ask(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    def run(self, n):
        self.ask(f"run {n}")
        return [float(t) for t in self.answer().split()]

    def result(self, path):
        self.ask(f"save {path}")
        self.answer("saved")
        return read_floats(path)

    def limits(self):
        self.ask("limits")
        return json.loads(self.answer())

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def time_command(command):
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (time.perf_counter() - begin) * 1e3


def write_i64(path, tensors):
    """A .safetensors file of {name: (shape, values)}."""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        blob = struct.pack(f"<{len(values)}q", *values)
        header[name] = {"dtype": "I64", "shape": shape, "data_offsets": [len(data), len(data) + len(blob)]}
        data += blob
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def read_floats(path):
    """The only tensor of a file, in f32 or bf16."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    if next(v["dtype"] for k, v in header.items() if k != "__metadata__") == "BF16":
        data = array.array("I", [x << 16 for x in array.array("H", data)]).tobytes()
    return array.array("f", data)


def cosine(a, b):
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))


def make_ids(path, batch, seq, vocab=30000):
    x, ids = 1, []
    for _ in range(batch * seq):
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        ids.append((x >> 33) % vocab)
    write_i64(path, {"input_ids": ([batch, seq], ids), "attention_mask": ([batch, seq], [1] * (batch * seq))})
    return path


def slices(contenders, rounds):
    """Times of each contender by round."""
    count, times = {}, {c.name: [] for c in contenders}
    for c in contenders:
        count[c.name] = max(1, min(2000, round(SLICE_S * 1e3 / statistics.median(c.run(3)))))
    for i in range(rounds):
        for c in contenders[i % len(contenders):] + contenders[: i % len(contenders)]:
            time.sleep(PAUSE_S)
            times[c.name].append(c.run(count[c.name]))
    return times


def compare(case, contenders, rounds):
    """Medians and bests in ms, and the ratio of the best peer to sinter, round by round."""
    times = slices(contenders, rounds)
    medians = {name: [statistics.median(t) for t in by_round] for name, by_round in times.items()}
    ratios = [min(m[i] for name, m in medians.items() if name != "sinter") / medians["sinter"][i] for i in range(rounds)]
    return case | {"ms": {name: statistics.median(m) for name, m in medians.items()},
                   "best_ms": {name: min(map(min, t)) for name, t in times.items()},
                   "ratio": statistics.median(ratios)}


def copy_limit(limits, size):
    """GB/s of a copy of that working set, between those that were measured."""
    sets = [(s["bytes"], s["copy_GBps"]) for s in limits["sets"]]
    if size <= sets[0][0] or size >= sets[-1][0]:
        return sets[0][1] if size <= sets[0][0] else sets[-1][1]
    (lo, a), (hi, b) = next((x, y) for x, y in zip(sets, sets[1:], strict=False) if size <= y[0])
    return a + (b - a) * math.log(size / lo) / math.log(hi / lo)


class Busy:
    """Another program on the last CPU, on and off."""

    def __init__(self):
        cpu = max(os.sched_getaffinity(0))
        self.child = subprocess.Popen([sys.executable, "-c", "while True: pass"],
                                      preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
        self.rest()

    def work(self):
        self.child.send_signal(signal.SIGCONT)
        time.sleep(0.05)

    def rest(self):
        self.child.send_signal(signal.SIGSTOP)
        time.sleep(0.05)

    def close(self):
        self.child.kill()
        self.child.wait()


class Bench:
    def __init__(self, args, python):
        self.args, self.python = args, python
        self.model = os.path.abspath(args.model)
        self.program = os.path.join(args.build, "tests", "model")
        self.cache = os.path.join(args.work, "cache")

    def peer(self, name, contender, **arguments):
        arguments |= {"model": self.model, "work": self.args.work}
        command = [self.python, os.path.abspath(__file__), "--worker", contender, json.dumps(arguments)]
        threads = str(arguments["threads"])
        return Process(name, command, {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads,
                                       "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})

    def sinter(self, dtype, threads, *rest):
        return Process("sinter", [self.program, self.model, dtype, str(threads), *rest], {"SINTER_CACHE_DIR": self.cache})

    def check(self, contenders, least):
        """All compute the same."""
        out = {c.name: c.result(os.path.join(self.args.work, "out.safetensors")) for c in contenders}
        for name, values in out.items():
            c = cosine(out["sinter"], values)
            if not c >= least:
                raise RuntimeError(f"{name} and sinter differ: cosine {c}")

    def forward(self, batch, seq, dtype, threads):
        inputs = make_ids(os.path.join(self.args.work, f"ids-{batch}x{seq}.safetensors"), batch, seq)
        given = {"inputs": inputs, "dtype": dtype, "threads": threads}
        contenders = [self.sinter(dtype, threads, "forward", inputs), self.peer("torch", "TorchForward", **given)]
        if dtype == "f32":
            contenders.append(self.peer("onnxruntime", "OrtForward", **given))
        if self.args.compile:
            contenders.append(self.peer("torch.compile", "CompiledForward", **given))
        self.check(contenders, 0.9999 if dtype == "f32" else 0.99)
        case = {"case": f"MiniLM {batch} x {seq} {dtype}", "threads": threads, "flops": self.flops(batch, seq),
                "dtype": dtype}
        return self.measure(case, contenders)

    def texts(self):
        path = os.path.join(self.args.work, "texts.txt")
        with open(path, "w", encoding="utf-8") as f:
            f.write(TEXT + "\n")
        return path

    def embedders(self, threads):
        given = {"texts": [TEXT], "threads": threads}
        contenders = [self.sinter("f32", threads, "embed", self.texts()),
                      self.peer("sentence-transformers", "SentenceTransformersEmbed", **given),
                      self.peer("torch", "TorchEmbed", **given), self.peer("onnxruntime", "OrtEmbed", **given)]
        self.check(contenders, 0.9999)
        return contenders

    def embed(self, threads):
        contenders = self.embedders(threads)
        return self.measure({"case": "MiniLM text to vector, 16 tokens", "threads": threads, "flops": self.flops(1, 16),
                             "dtype": "f32"}, contenders)

    def product(self, shape, dtype, threads):
        inputs = os.path.join(self.args.work, f"product-{shape}-{dtype}.safetensors")
        if not os.path.exists(inputs):
            subprocess.run([self.python, os.path.abspath(__file__), "--make", inputs, shape, dtype], check=True)
        given = {"inputs": inputs, "threads": threads}
        contenders = [Process("sinter", [self.program, "-", dtype, str(threads), "product", inputs],
                              {"SINTER_CACHE_DIR": self.cache}), self.peer("torch", "TorchProduct", **given)]
        if dtype == "f32":
            contenders.append(self.peer("openblas", "NumpyProduct", **given))
        m, k, n = map(int, shape.split("x"))
        if m * n < 2**21:
            self.check(contenders, 0.9999 if dtype == "f32" else 0.999)
        return self.measure({"case": f"{shape} {dtype}", "threads": threads, "flops": 2 * m * k * n, "dtype": dtype},
                            contenders)

    def fused(self, name, threads, of="65536x1024"):
        """No peer: the limit is the copy bandwidth."""
        title, element = FUSED[name]
        rows, width = map(int, of.split("x"))
        c = Process("sinter", [self.program, "-", "f32", str(threads), name, of], {"SINTER_CACHE_DIR": self.cache})
        times, limits = [], []
        for _ in range(3):
            limits.append(c.limits())
            times += [statistics.median(c.run(20)) for _ in range(3)]
        size = rows * width * element
        ms = statistics.median(times)
        limit = statistics.median(copy_limit(x, size) for x in limits)
        result = {"case": f"{title} {of}", "threads": threads, "ms": {"sinter": ms}, "best_ms": {"sinter": min(times)},
                  "GBps": size / ms / 1e6, "limits": limits[-1], "share_of_copy": size / ms / 1e6 / limit,
                  "level": c.facts["level"]}
        c.close()
        return result

    def busy(self):
        """How much longer a run on two threads takes while another program has the second CPU."""
        contenders = self.embedders(2)
        other, growth = Busy(), {c.name: [] for c in contenders}
        for _ in range(self.args.rounds):
            for c in contenders:
                quiet = statistics.median(c.run(40))
                other.work()
                growth[c.name].append(statistics.median(c.run(40)) / quiet)
                other.rest()
        other.close()
        result = {"case": "MiniLM text to vector, second CPU busy", "threads": 2, "level": contenders[0].facts["level"],
                  "growth": {name: statistics.median(g) for name, g in growth.items()}}
        for c in contenders:
            c.close()
        return result

    def start(self):
        """From the folder to the first embedding, in a new process."""
        sinter = [os.path.join(self.args.build, "tools", "sinter"), "embed", self.model, TEXT, "--json", "--cache-dir"]
        cache = os.path.join(self.args.work, "start-cache")
        peer = f"from sentence_transformers import SentenceTransformer as S; S({self.model!r}).encode([{TEXT!r}])"
        times = {"cold": [], "warm": [], "sentence-transformers": []}
        for i in range(self.args.rounds):
            shutil.rmtree(cache, ignore_errors=True)
            for kind in ["cold", "warm", "warm"]:
                times[kind].append(time_command([*sinter, cache]))
            if i < 3:
                times["sentence-transformers"].append(time_command([self.python, "-c", peer]))
        c = self.sinter("f32", 2, "embed", self.texts())
        level = c.facts["level"]
        c.close()
        return {"case": "MiniLM folder to first vector, new process", "threads": 2, "level": level,
                "start_ms": {kind: statistics.median(t) for kind, t in times.items()}}

    def measure(self, case, contenders):
        before = contenders[0].limits()
        result = compare(case, contenders, self.args.rounds)
        after = contenders[0].limits()
        result["limits"] = limits = after | {k: max(before[k], after[k]) for k in ("f32_GFLOPs", "bf16_GFLOPs")}
        result["level"] = contenders[0].facts["level"]
        peak = limits["bf16_GFLOPs" if case["dtype"] == "bf16" else "f32_GFLOPs"]
        result["share_of_peak"] = case["flops"] / result["ms"]["sinter"] / 1e6 / peak
        for c in contenders:
            c.close()
        return result

    def flops(self, batch, seq):
        with open(os.path.join(self.model, "config.json"), encoding="utf-8") as f:
            c = json.load(f)
        width, inner = c["hidden_size"], c["intermediate_size"]
        layer = batch * seq * (8 * width * width + 4 * width * inner) + 4 * batch * seq * seq * width
        return layer * c["num_hidden_layers"]


# ---- set-up ----


def get_model(folder):
    """Exit 77: it cannot be had."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/get-model.sh")
    if not os.path.exists(os.path.join(folder, "config.json")):
        code = subprocess.run(["sh", script, "minilm", os.path.dirname(os.path.abspath(folder))]).returncode
        if code:
            sys.exit(code)


def has_packages(python):
    code = f"import importlib.util, sys; sys.exit(not all(importlib.util.find_spec(m) for m in {MODULES}))"
    return os.path.exists(python) and subprocess.run([python, "-c", code]).returncode == 0


def find_python(args):
    venv = args.venv or os.path.join(args.work, "venv")
    python = os.path.join(venv, "bin", "python")
    if has_packages(python):
        return python
    if args.venv:
        sys.exit(f"peers: {args.venv}: lacks one of {', '.join(PACKAGES)}")
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    return python


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def versions(python):
    code = ("import importlib.metadata as m, json; print(json.dumps({p: m.version(p) for p in "
            f"{PACKAGES}" "}))")
    return json.loads(subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout)


# ---- output ----


def row_of(r):
    head = [r["case"], str(r["threads"])]
    if "start_ms" in r:
        t = r["start_ms"]
        peer = t["sentence-transformers"]
        return [*head, f"{t['warm']:.0f} ms ({t['cold']:.0f} ms with an empty cache)", f"sentence-transformers {peer:.0f} ms",
                f"{peer / t['warm']:.0f} x", ""]
    if "growth" in r:
        peers = {name: g for name, g in r["growth"].items() if name != "sinter"}
        best = min(peers, key=peers.get)
        return [*head, f"{r['growth']['sinter']:.2f} x as long", f"{best} {peers[best]:.2f} x", "", ""]
    if "share_of_copy" in r:
        return [*head, f"{r['ms']['sinter']:.3g} ms", "", "", f"{100 * r['share_of_copy']:.0f} % of copy"]
    peers = {name: ms for name, ms in r["ms"].items() if name != "sinter"}
    best = min(peers, key=peers.get)
    return [*head, f"{r['ms']['sinter']:.3g} ms", f"{best} {peers[best]:.3g} ms", f"{r['ratio']:.2f} x",
            f"{100 * r['share_of_peak']:.0f} % of peak"]


HEAD = ["case", "threads", "sinter", "best peer", "ratio", "share"]


def print_table(results):
    rows = [HEAD, *map(row_of, results)]
    width = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    for row in rows:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, width, strict=True)).rstrip())


def print_markdown(results, facts):
    print(f"{facts['date']}, {facts['cpu']} (level {facts['level']}), {facts['cpus']} CPUs; {facts['command']}\n")
    for row in [HEAD, ["---"] * len(HEAD), *map(row_of, results)]:
        print("| " + " | ".join(row) + " |")


CASES = {
    "batch": lambda b: [b.forward(32, 128, "f32", t) for t in (1, 2)],
    "bf16": lambda b: [b.forward(32, 128, "bf16", t) for t in (1, 2)],
    "short": lambda b: [b.forward(1, 16, "f32", t) for t in (1, 2)],
    "text": lambda b: [b.embed(t) for t in (1, 2)],
    "product": lambda b: [b.product(s, "f32", t) for s in PRODUCTS for t in (1, 2)],
    "product-bf16": lambda b: [b.product(s, "bf16", t) for s in PRODUCTS for t in (1, 2)],
    "fused": lambda b: [b.fused(name, t) for name in FUSED for t in (1, 2)],
    "busy": lambda b: [b.busy()],
    "start": lambda b: [b.start()],
}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("build")
    p.add_argument("model")
    p.add_argument("--venv")
    p.add_argument("--work")
    p.add_argument("--only", default=",".join(CASES), help="cases, by comma: " + " ".join(CASES))
    p.add_argument("--rounds", type=int, default=8)
    p.add_argument("--compile", action="store_true", help="torch.compile too")
    p.add_argument("--json", metavar="FILE", help="every figure")
    p.add_argument("--markdown", action="store_true", help="a table for README")
    args = p.parse_args()
    args.build = os.path.abspath(args.build)
    args.work = os.path.abspath(args.work or os.path.join(args.build, "peers"))
    os.makedirs(args.work, exist_ok=True)
    get_model(args.model)
    python = find_python(args)
    bench, results = Bench(args, python), []
    for name in args.only.split(","):
        results += CASES[name](bench)
    facts = {"date": datetime.date.today().isoformat(), "cpu": cpu_name(), "cpus": os.cpu_count(),
             "level": results[0]["level"], "command": "tests/bench/peers.py BUILD MODEL", "versions": versions(python)}
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(facts | {"results": results}, f, indent=1)
    (print_markdown(results, facts) if args.markdown else print_table(results))


if len(sys.argv) > 1 and sys.argv[1] == "--worker":
    work_as(sys.argv[2], json.loads(sys.argv[3]))
elif len(sys.argv) > 1 and sys.argv[1] == "--make":
    make_product(*sys.argv[2:])
else:
    main()
