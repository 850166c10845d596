#!/usr/bin/env python3
"""so_test.py SINTER MODELS CHECK [ARG...]: a compiled model as a file. Exit 77: it cannot be checked here.

The model is the real MiniLM, brought into MODELS once; where it cannot be had, a fixture. Checks:
  file              what the .so needs, exports and weighs; bits of just in time on each level; two models at once
  chroot            it runs where there is nothing but libc, libm and the dynamic linker
  start             how long a process takes to its first vector, and the compiler to the .so
  run EXE ARG...    the program, whose first argument is the .so
"""

import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
HERE = os.path.join(ROOT, "tests/embed/so")
FIXTURE = os.path.join(ROOT, "tests/golden/pipeline/feature-extraction-distilbert/model")
TRAINED = os.path.join(ROOT, "tests/golden/pipeline/text-classification-bert/model")
TEXTS = ["Hello world, a 12.5", "", "don't stop", "W\u00f6rld \u4e2d\u6587 \u2014 \U0001f600", "the " * 600]
LEVELS = ["v3", "v4", "v4d", "amx"]
FUNCTIONS = {
    *("create destroy error cpu_level embed begin step run cancel vector entry bind reserve result reset".split()),
    *("state_save state_load trace_begin trace_end program".split()),
}
SKIP, UNSUPPORTED = 77, 3
MOST_BYTES = 400_000  # stripped, without weights and tokenizer


class Work:
    """A folder for what a check makes, and what it may use."""

    def __init__(self, sinter, models, folder):
        self.sinter, self.folder, self.wrong = os.path.abspath(sinter), folder, 0
        code = subprocess.run(["sh", os.path.join(ROOT, "tools/get-model.sh"), "minilm", models]).returncode
        self.model = FIXTURE if code else os.path.abspath(os.path.join(models, "all-MiniLM-L6-v2"))
        print("model:", self.model)

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, *command, may_fail=False, **options):
        done = subprocess.run([str(c) for c in command], capture_output=True, cwd=self.folder, text=True, **options)
        if done.returncode and not may_fail:
            sys.exit(f"{' '.join(map(str, command))[:300]}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done if may_fail else done.stdout

    def compile(self, name, *options, model=None):
        return self.run(self.sinter, "compile", model or self.model, "--task", "embed", "-o", name, *options)

    def check(self, ok, what):
        print("ok   " if ok else "FAIL ", what, flush=True)
        self.wrong += not ok
        return ok

    def host(self, library="model.so"):
        """The 30-line program, linked with the model."""
        self.run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", self.folder, os.path.join(HERE, "host.c"),
                 library, "-Wl,-rpath," + os.path.dirname(self.path(library)), "-o", "host")
        return self.path("host")


# ---- the file ----


def check_needs(w, functions):
    needed = re.findall(r"NEEDED.*\[(.*)\]", w.run("readelf", "-d", "model.so"))
    w.check(sorted(needed) == ["libc.so.6", "libm.so.6"], f"needs {' '.join(needed)}")
    lines = [line.split() for line in w.run("nm", "-D", "--defined-only", "model.so").splitlines()]
    names = {line[-1] for line in lines}
    want = {"model_" + f for f in functions}
    w.check(names == want, f"exports {len(names)} symbols; too many or too few: {names ^ want or 'none'}")


def check_size(w, sizes):
    shutil.copy(w.path("model.so"), w.path("stripped.so"))
    w.run("strip", "stripped.so")
    left = os.path.getsize(w.path("stripped.so")) - sizes["weight_bytes"] - sizes["tokenizer_bytes"]
    known = sizes["code_bytes"] + sizes["runtime_bytes"]
    w.check(left <= MOST_BYTES, f"{left} bytes stripped, without weights and tokenizer; {MOST_BYTES} at most")
    w.check(left <= known <= left * 9 // 8, f"{known} bytes of code and runtime by --size, names and padding included")
    os.rename(w.path("stripped.so"), w.path("model.so"))


def just_in_time(w, level):
    env = dict(os.environ, SINTER_CPU_LEVEL=level) if level else None
    done = w.run(w.sinter, "embed", "--json", w.model, *TEXTS, env=env, may_fail=True)
    if level and done.returncode == UNSUPPORTED:
        return None
    if done.returncode:
        sys.exit(done.stderr)
    vectors = [json.loads(line) for line in done.stdout.splitlines()]
    return [[struct.unpack("<I", struct.pack("<f", x))[0] for x in v] for v in vectors]


def ahead_of_time(w, host, level, threads):
    done = w.run(host, level, threads, *TEXTS, may_fail=True)
    if level and done.returncode == UNSUPPORTED:
        return None
    if done.returncode:
        sys.exit(done.stderr)
    return [[int(x, 16) for x in line.split()] for line in done.stdout.splitlines()]


def check_exact(w):
    os.mkdir(w.path("exact"))
    w.compile("exact/model.so", "--exact")
    host = w.host("exact/model.so")
    got = [ahead_of_time(w, host, level, threads) for level in LEVELS for threads in [1, 2]]
    got = [vectors for vectors in got if vectors]
    w.check(all(vectors == got[0] for vectors in got), f"--exact: {len(got)} runs, levels and threads, equal bits")


def check_two(w):
    """Two models in one program, as shared objects, objects and archives."""
    runtime = os.path.join(os.path.dirname(os.path.dirname(w.sinter)), "libsinter-rt.a")
    for ending in ["so", "o", "a"]:
        w.compile("model." + ending, "--cpu", "v3")
        w.compile("other." + ending, "--cpu", "v3", model=FIXTURE)
    libraries = ["-lm", "-ldl", "-lpthread"]
    with open(w.sinter, "rb") as f:
        is_sanitized = re.search(rb"__(asan|tsan|ubsan)_", f.read())
    for ending, more in {"so": [], "o": [runtime, *libraries], "a": libraries}.items():
        for language, compiler in {"c": "cc", "c++": "c++"}.items():
            if not shutil.which(compiler):
                continue
            if ending == "o" and is_sanitized:
                continue  # and so is that runtime: typed_test has it
            w.run(compiler, "-Wall", "-Wextra", "-Werror", "-I", w.folder, "-x", language, os.path.join(HERE, "two.c"),
                  "-x", "none", "model." + ending, "other." + ending, *more, "-Wl,-rpath," + w.folder, "-o", "two")
            done = w.run(w.path("two"), may_fail=True)
            w.check(done.returncode == 0, f"two models as .{ending} in one program of {language}: {done.stdout[:-1]}")


def check_train(w):
    with open(w.path("args.json"), "w") as f:
        json.dump({"learning_rate": 1e-3, "max_steps": 10, "optim": "sgd"}, f)
    for more in [], ["--args", "args.json", "--cpu", "v3"]:
        w.run(w.sinter, "compile", TRAINED, "--train", "-o", "model.so", *more)
        check_needs(w, FUNCTIONS - {"embed", "vector"} | {"eval", "state", "restore"})
    w.run("cc", "-std=c11", "-Wall", "-Werror", "-fsyntax-only", "-x", "c", w.path("model.h"))


def check_file(w):
    check_train(w)
    sizes = json.loads(w.compile("model.so", "--size", "--json"))
    check_needs(w, FUNCTIONS)
    check_size(w, sizes)
    host = w.host()
    for level in ["", *LEVELS]:
        want, *got = just_in_time(w, level), ahead_of_time(w, host, level, 1), ahead_of_time(w, host, level, 2)
        if want is None or None in got:
            print("     ", level, "is not a level of this machine")
            continue
        w.check(got == [want, want], f"the bits of just in time on level {level or 'best'}, 1 and 2 threads")
    check_exact(w)
    check_two(w)


# ---- nothing else around ----


def check_chroot(w):
    if os.geteuid() != 0:
        sys.exit(SKIP)
    w.compile("model.so")
    host, cell = w.host(), w.path("cell")
    want = w.run(host, "", 1, *TEXTS)
    wanted = re.findall(r"(?:=> )?(/\S+) \(0x", w.run("ldd", host))
    for file in wanted:
        to = cell + ("/" + os.path.basename(file) if file.startswith(w.folder) else file)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        shutil.copy(file, to)
    shutil.copy(host, cell)
    files = sorted(f for _, _, names in os.walk(cell) for f in names)
    got = w.run("chroot", cell, "/host", "", 1, *TEXTS, env=dict(os.environ, LD_LIBRARY_PATH="/"))
    w.check(got == want, f"runs among {' '.join(files)}")
    w.check(len(files) == 5, "which are the host, the model, libc, libm and the dynamic linker")


# ---- how long it takes ----


def least_ms(n, run):
    best = []
    for _ in range(n):
        begin = time.perf_counter()
        run()
        best.append(1000 * (time.perf_counter() - begin))
    best.sort()
    return best[0], best[len(best) // 2]


def stretch(source, to, rows):
    """A copy of the model with an embedding of so many rows; the new ones are holes in the file."""
    shutil.copytree(source, to)
    with open(os.path.join(source, "model.safetensors"), "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    head.pop("__metadata__", None)
    wide = next(k for k in head if k.endswith("word_embeddings.weight"))
    at, pieces = 0, []
    for name in sorted(head, key=lambda k: k == wide):
        tensor = head[name]
        begin, end = tensor["data_offsets"]
        size = end - begin
        if name == wide:
            size = size // tensor["shape"][0] * rows
            tensor["shape"][0] = rows
        tensor["data_offsets"] = [at, at + size]
        pieces.append((at, data[begin:end]))
        at += size
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(to, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for offset, piece in pieces:
            f.seek(8 + len(text) + offset)
            f.write(piece)
        f.truncate(8 + len(text) + at)
    with open(os.path.join(to, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    with open(os.path.join(to, "config.json"), "w", encoding="utf-8") as f:
        json.dump(dict(config, vocab_size=rows), f)


def time_host(w, library):
    host = w.host(library)
    for name, text in {"an empty text": "", "ten words": "a b c d e f g h i j"}.items():
        best, median = least_ms(40, lambda text=text: w.run(host, "", 1, text))
        mb = os.path.getsize(w.path(library)) / 1e6
        print(f"{library} of {mb:.0f} MB, start to end, {name}: "
              f"best {best:.1f} ms, median {median:.1f} ms")


def check_start(w):
    best, median = least_ms(5, lambda: w.compile("model.so", "--no-cache"))
    print(f"compiling without a cache: best {best:.0f} ms, median {median:.0f} ms")
    time_host(w, "model.so")
    stretch(w.model, w.path("big"), 500_000)
    os.mkdir(w.path("wide"))
    w.compile("wide/model.so", model="big")
    time_host(w, "wide/model.so")


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    sinter, models, check, *args = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="sinter-so-") as folder:
        w = Work(sinter, models, folder)
        if check == "run":
            w.compile("model.so")
            sys.exit(subprocess.run([args[0], w.path("model.so"), *args[1:]]).returncode)
        {"file": check_file, "chroot": check_chroot, "start": check_start}[check](w)
        sys.exit(w.wrong != 0)


main()
