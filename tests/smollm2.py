#!/usr/bin/env python3
"""smollm2.py SINTER DIR: a real chat model in a GGUF file answers. The model is fetched into DIR once.

Threads, the kernel cache and how a prompt is fed must not change a token. Exit 77: the model cannot be had.
"""

import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def get_model(folder):
    code = subprocess.run(["sh", os.path.join(ROOT, "tools/get-model.sh"), "smollm2", folder]).returncode
    if code:
        sys.exit(code)
    return os.path.join(folder, "SmolLM2-135M-Instruct.Q4_1.gguf")


def run(*command, text=None):
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def require(found, what, text):
    if not found:
        sys.exit(f"{what}: {text!r}")


def main():
    sinter, model = sys.argv[1], get_model(sys.argv[2])
    with tempfile.TemporaryDirectory() as cache:
        options = ["--cache-dir", cache]
        begin = [sinter, "generate", model, "--max-new-tokens", "24", *options]
        plain = run(*begin, "--prompt", "The capital of France is")
        require("Paris" in plain, "the capital of France", plain)
        for other in (["--threads", "2"], ["--no-cache"]):
            again = run(*begin, *other, "--prompt", "The capital of France is")
            require(again == plain, f"other tokens with {' '.join(other)}", again)
        answer = run(sinter, "chat", model, "--system", "You are a helpful assistant.", *options,
                     text="What is the capital of France?\n")
        require("Paris" in answer, "the answer", answer)


main()
