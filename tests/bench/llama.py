#!/usr/bin/env python3
"""llama.py [--only PARTS] SINTER LLAMA_BIN MODEL.gguf...: a decoder beside llama.cpp, in alternation in one run.

LLAMA_BIN is the folder of a native build of the source package llama-cpp-python, with llama-bench, llama-batched-bench,
llama-server and llama-simple. PARTS, comma-separated, all by default:
  decode   new tokens behind 16, with the share of the bandwidth that is measured in the same process
  past     a prompt of 512, then new tokens behind it
  streams  16 rows of 32 tokens that get 48 new ones each: new tokens over all the time, beside llama-batched-bench
  server   the same beside llama-server with 16 slots, warm, asked by 16 clients at once; left out where there is none,
           or where a model has no tokenizer. Answers come whole, which costs it least
  start    whole processes, from nothing to one token; llama-bench stands in where a model has no tokenizer
  memory   resident at most, of weights and what is kept of 512 tokens
Rates are tokens a second, medians of three rounds, on two threads.
"""

import concurrent.futures
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from safetensors.numpy import save_file

THREADS, PROMPT, SHORT, ROUNDS = "2", 512, 16, 3
TEXT = "The capital of France is"


def sinter_bench(sinter, model, batch, prompt, new):
    done = subprocess.run([sinter, "bench", model, "--shape", f"batch={batch},prompt={prompt},new={new}", "--threads", THREADS,
                           "--kv-dtype", "f16", "--json"], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def llama_bench(folder, model, *what):
    done = subprocess.run([os.path.join(folder, "llama-bench"), "-m", model, "-t", THREADS, *what, "-r", "1", "-o", "json"],
                          check=True, capture_output=True, text=True)
    return json.loads(done.stdout)[-1]["avg_ts"]


def llama_streams(folder, model):
    done = subprocess.run([os.path.join(folder, "llama-batched-bench"), "-m", model, "-t", THREADS, "-tb", THREADS, "-c", "2048",
                           "-npp", "32", "-ntg", "48", "-npl", "16", "--output-format", "jsonl"], check=True,
                          capture_output=True, text=True)
    row = json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])
    return 16 * 48 / row["t"]


def ask(port, ids, new):
    """One request to llama-server: how many new tokens came."""
    body = {"prompt": ids, "n_predict": new, "ignore_eos": True, "cache_prompt": False, "temperature": 0}
    link = http.client.HTTPConnection("127.0.0.1", port)
    link.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
    return json.load(link.getresponse())["tokens_predicted"]


def llama_server(folder, model):
    """The process and its port, ready for requests; None, None where it cannot serve."""
    program = os.path.join(folder, "llama-server")
    if not os.path.exists(program):
        return None, None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    child = subprocess.Popen([program, "-m", model, "-t", THREADS, "-tb", THREADS, "-np", "16", "-c", "2048", "--port", str(port)],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None:
        try:
            link = http.client.HTTPConnection("127.0.0.1", port)
            link.request("GET", "/health")
            if link.getresponse().status == 200:
                return child, port
        except OSError:
            pass
        time.sleep(0.1)
    return None, None


def process(command):
    """Seconds, and bytes that were resident at most."""
    begin = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, use = os.wait4(child.pid, 0)
    child.returncode = status
    return time.monotonic() - begin, use.ru_maxrss * 1024, status == 0


def median(rows):
    return [statistics.median(column) for column in zip(*rows)]


def decode(sinter, folder, model, _):
    new = "128" if os.path.getsize(model) < 4e8 else "48"
    rows = []
    for _ in range(ROUNDS):
        own = sinter_bench(sinter, model, 1, SHORT, new)
        rows.append((own["decode_tokens_per_s"], llama_bench(folder, model, "-p", "0", "-n", new), own["share_of_read"],
                     own["read_GBps"]))
    own, peer, share, read = median(rows)
    return f"decode {own:.1f}, llama.cpp {peer:.1f}: {own / peer:.2f} x, {100 * share:.0f} % of {read:.0f} GB/s"


def past(sinter, folder, model, _):
    new = "64" if os.path.getsize(model) < 4e8 else "24"
    rows = []
    for _ in range(ROUNDS):
        own = sinter_bench(sinter, model, 1, PROMPT, new)
        rows.append((own["prefill_tokens_per_s"], llama_bench(folder, model, "-p", str(PROMPT), "-n", "0"),
                     own["decode_tokens_per_s"], llama_bench(folder, model, "-p", "0", "-n", new, "-d", str(PROMPT))))
    prompt, prompt_peer, own, peer = median(rows)
    return (f"prompt {prompt:.0f}, llama.cpp {prompt_peer:.0f}: {prompt / prompt_peer:.2f} x; decode behind it {own:.1f}, "
            f"llama.cpp {peer:.1f}: {own / peer:.2f} x")


def streams(sinter, folder, model, _):
    rows = [(sinter_bench(sinter, model, 16, 32, 48)["items_per_s"], llama_streams(folder, model)) for _ in range(ROUNDS)]
    own, peer = median(rows)
    return f"16 streams {own:.0f}, llama.cpp {peer:.0f}: {own / peer:.2f} x"


def server(sinter, folder, model, _):
    child, port = llama_server(folder, model)
    if not child:
        return None
    prompts = np.random.default_rng(0).integers(100, 20000, (16, 32)).tolist()
    rows = []
    try:
        with concurrent.futures.ThreadPoolExecutor(16) as clients:
            for _ in range(ROUNDS + 1):
                own = sinter_bench(sinter, model, 16, 32, 48)["items_per_s"]
                begin = time.monotonic()
                new = sum(clients.map(lambda ids: ask(port, ids, 48), prompts))
                rows.append((own, new / (time.monotonic() - begin)))
    finally:
        child.terminate()
        child.wait()
    own, peer = median(rows[1:])
    return f"16 streams {own:.0f}, llama-server {peer:.0f}: {own / peer:.2f} x"


def start(sinter, folder, model, ids):
    simple = [os.path.join(folder, "llama-simple"), "-m", model, "-n", "1", TEXT]
    bench = [os.path.join(folder, "llama-bench"), "-m", model, "-t", THREADS, "-p", "6", "-n", "0", "-r", "1", "--no-warmup"]
    has_text = process(simple)[2]
    own = [sinter, "generate", model, "--max-new-tokens", "1", "--threads", THREADS, "-q"]
    own += ["--prompt", TEXT] if has_text else ["--inputs", ids[SHORT], "--outputs", ids["out"]]
    process(own)
    seconds, peer = median([(process(own)[0], process(simple if has_text else bench)[0]) for _ in range(3 * ROUNDS)])
    return (f"start to one token {seconds:.3f} s, {'llama-simple' if has_text else 'llama-bench'} {peer:.3f}: "
            f"{seconds / peer:.2f} x")


def memory(sinter, _, model, ids):
    command = [sinter, "generate", model, "--max-new-tokens", "16", "--threads", THREADS, "--kv-dtype", "f16", "-q",
               "--inputs", ids[PROMPT], "--outputs", ids["out"]]
    process(command)
    peak, weights = process(command)[1], os.path.getsize(model)
    kept = sinter_bench(sinter, model, 1, PROMPT, 16)["state_bytes"]
    return (f"resident {peak / 1e6:.0f} MB, weights {weights / 1e6:.0f} and kept {kept / 1e6:.0f}: "
            f"{peak / (weights + kept):.3f} x")


PARTS = {"decode": decode, "past": past, "streams": streams, "server": server, "start": start, "memory": memory}


def main():
    args = sys.argv[1:]
    only = list(PARTS)
    if args[:1] == ["--only"]:
        only, args = args[1].split(","), args[2:]
    if len(args) < 3 or not set(only) <= set(PARTS):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        ids = {n: os.path.join(folder, f"{n}.safetensors") for n in (SHORT, PROMPT, "out")}
        for n in (SHORT, PROMPT):
            save_file({"input_ids": np.arange(100, 100 + n)[None].astype(np.int64)}, ids[n])
        for model in args[2:]:
            for part in only:
                said = PARTS[part](args[0], args[1], model, ids)
                if said:
                    print(f"{os.path.basename(model)}: {said}", flush=True)


main()
