#!/usr/bin/env python3
"""talk_test.py SINTER: a model that talks, compiled to a file. Exit 77: it cannot be checked here.

A small model of random weights is made, with and without a chat template. What its .so says, in one go, in slices,
after interruptions (talk_host.c), is what `sinter generate` gives for the whole conversation.
"""

import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
UNSUPPORTED = 3
MESSAGES = ["Who are you?", "  Tell me\nmore.", "x"]
SYSTEM = "You are kind."
NEW = 24  # tokens of an answer
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] | trim + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
# Once a message is answered it stands there in another way: a prompt that begins a thought, thoughts that are forgotten,
# a system text that goes with the last message.
FORMS = {
    "thinks": "{{ '<s>' }}{% for m in messages %}{% if m.role == 'assistant' %}<A>{{ m.content.split('</think>')[-1] }}"
              "<E>{% else %}<U>{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}<A><think>x{% endif %}",
    "forgets": "{% for m in messages %}<{{ m.role }}>{% if '</think>' in m.content %}{{ m.content.split('</think>')[-1]"
               ".lstrip('\n') }}{% else %}{{ m.content }}{% endif %}<E>{% endfor %}<assistant>",
    "moves": "{% set s = messages[0].content %}<s>{% for m in messages[1:] %}{% if m.role == 'user' %}[I]"
             "{% if loop.last %}{{ s }} {% endif %}{{ m.content }}[/I]{% else %} {{ m.content }}</s>{% endif %}{% endfor %}",
}
LINES = ["Who are you?", "And I?", "x", "Well."]
BENT = "{% for m in messages %}{{ m['content'] | upper }}{% endfor %}"
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 32, "intermediate_size": 48,
          "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
          "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False,
          "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32"}


def write(path, data):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(data, f)


def write_weights(path, vocab):
    """Tokens of markup are never the likeliest."""
    rng = random.Random(7)
    width, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    shapes = {"model.embed_tokens.weight": [vocab, width], "model.norm.weight": [width],
              "lm_head.weight": [vocab, width]}
    for i in range(CONFIG["num_hidden_layers"]):
        at = f"model.layers.{i}."
        shapes.update({at + "input_layernorm.weight": [width], at + "post_attention_layernorm.weight": [width],
                       at + "self_attn.q_proj.weight": [width, width],
                       at + "self_attn.k_proj.weight": [width // 2, width],
                       at + "self_attn.v_proj.weight": [width // 2, width],
                       at + "self_attn.o_proj.weight": [width, width],
                       at + "mlp.gate_proj.weight": [inner, width], at + "mlp.up_proj.weight": [inner, width],
                       at + "mlp.down_proj.weight": [width, inner]})
    header, data = {}, bytearray()
    for name, shape in shapes.items():
        n = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [1.0] * n if len(shape) == 1 else [rng.gauss(0, 0.4) for _ in range(n)]
        if name == "lm_head.weight":
            values[:3 * width] = [0.0] * (3 * width)
        if name == "lm_head.weight":  # the end of a thought is likely
            values[3 * width:4 * width] = [2 * v for v in values[3 * width:4 * width]]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + 4 * n]}
        data += struct.pack(f"<{n}f", *values)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def make_model(folder, template, positions=512):
    special = ["<|im_start|>", "<s>", "<|im_end|>"]
    thought = ["</think>"]
    letters = ["\u010a", "\u0120"] + [chr(c) for c in range(33, 127)]  # bytes as byte-level tokenizers spell them
    vocab = {t: i for i, t in enumerate(special + thought + letters)}
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": t in special} for i, t in enumerate(special + thought)]
    begin = {"type": "TemplateProcessing", "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
             "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
             "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]}
    os.mkdir(folder)
    write(os.path.join(folder, "config.json"), dict(CONFIG, vocab_size=len(vocab), max_position_embeddings=positions))
    write(os.path.join(folder, "generation_config.json"), {"eos_token_id": [2], "max_new_tokens": NEW})
    write(os.path.join(folder, "tokenizer.json"), {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None if template else begin,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab,
                  "merges": []}})
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>",
              "clean_up_tokenization_spaces": False}
    write(os.path.join(folder, "tokenizer_config.json"), dict(config, chat_template=template) if template else config)
    write_weights(os.path.join(folder, "model.safetensors"), len(vocab))


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode == UNSUPPORTED and command[0].endswith("talk_host"):
        sys.exit(77)
    if done.returncode:
        sys.exit(f"{' '.join(command)[:300]}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(sinter, folder, *options):
    library = os.path.join(folder, "model.so")
    level = os.environ.get("SINTER_CPU_LEVEL")
    run(sinter, "compile", folder, "-o", library, "--context", "256", "--max-text", "512",
        *(["--cpu", level] if level else []), *options)
    needed = re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", library))
    assert sorted(needed) == ["libc.so.6", "libm.so.6"], needed
    host = os.path.join(folder, "talk_host")
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", folder, os.path.join(HERE, "talk_host.c"), library,
        "-Wl,-rpath," + folder, "-o", host)
    return host


def check(sinter, folder, template):
    make_model(folder, template)
    host = build(sinter, folder, *(["--system", SYSTEM] if template else []))
    got = run(host, "200000", *MESSAGES).split("\0")[:-1]
    text = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n" if template else ""
    for message, answer in zip(MESSAGES, got):
        text += f"<|im_start|>user\n{message.strip()}<|im_end|>\n<|im_start|>assistant\n" if template else message
        want = run(sinter, "generate", folder, "--prompt", text, "--max-new-tokens", str(NEW))[:-1]
        assert len(want) >= NEW and answer == want, f"said {answer!r}, expected {want!r}"
        text += answer + ("<|im_end|>\n" if template else "")
    assert len(got) == len(MESSAGES)
    return got


def check_stop(sinter, folder, answer):
    """An answer ends before a stop string, which stays in the conversation; `generate` gives it too."""
    stop = max(answer.split("</think>"), key=len)[1:4]
    end = answer.index(stop)
    write(os.path.join(folder, "generation_config.json"),
          {"eos_token_id": [2], "max_new_tokens": NEW, "stop_strings": ["never said", stop]})
    got = run(build(sinter, folder), "200000", *MESSAGES).split("\0")[:-1]
    want = run(sinter, "generate", folder, "--prompt", MESSAGES[0])[:-1]
    assert want == answer[:end] + stop and got[0] == answer[:end], (got, want, stop)
    next_one = run(sinter, "generate", folder, "--prompt", MESSAGES[0] + want + MESSAGES[1])[:-1]
    assert got[1] == next_one.removesuffix(stop), (got, next_one)


def check_form(sinter, folder, template, system):
    """The same conversation as the template's own."""
    make_model(folder, template)
    got = run(build(sinter, folder, *system), "200000", *LINES).split("\0")[:-1]
    saved = os.path.join(folder, "saved.json")
    run(sinter, "chat", folder, "--max-new-tokens", str(NEW), *system, input="\n".join(LINES + ["/save " + saved, ""]))
    with open(saved, encoding="utf-8") as f:
        want = [m["content"] for m in json.load(f) if m["role"] == "assistant"]
    assert got == want, (got, want)
    check_model(sinter, os.path.join(folder, "model.so"), want)
    return any("</think>" in answer for answer in got[:-1])


def check_model(sinter, library, want):
    """The file in the place of a folder."""
    saved = library + ".json"
    run(sinter, "chat", library, input="\n".join(["not this", "/clear"] + LINES + ["/save " + saved, ""]))
    with open(saved, encoding="utf-8") as f:
        got = json.load(f)
    assert [m["content"] for m in got] == [t for pair in zip(LINES, want) for t in pair], got
    assert run(sinter, "generate", library, "--prompt", LINES[0]) == want[0] + "\n"
    question = [{"role": "user", "content": LINES[0]}]
    got = json.loads(run(sinter, "run", library, json.dumps(question), "--json"))
    assert got == [{"generated_text": question + [{"role": "assistant", "content": want[0]}]}], got
    for command in (["chat", library, "--system", "no"], ["generate", library, "--prompt", "x", "--top-k", "2"],
                    ["forward", library, "--inputs", library, "--outputs", library + ".out"], ["plan", library]):
        done = subprocess.run([sinter, *command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode in (1, UNSUPPORTED) and done.stderr.startswith("sinter: "), (command, done)


def main():
    sinter = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as work:
        check(sinter, os.path.join(work, "chat"), TEMPLATE)
        said = check(sinter, os.path.join(work, "plain"), None)
        check_stop(sinter, os.path.join(work, "plain"), said[0])
        os.environ["SINTER_CPU_LEVEL"] = "v3"  # the rest is not about levels
        thoughts = [check_form(sinter, os.path.join(work, name), form, ["--system", SYSTEM] if name == "moves" else [])
                    for name, form in FORMS.items()]
        assert any(thoughts[:2]), "no thoughts"
        bent = os.path.join(work, "bent")
        make_model(bent, BENT)
        done = subprocess.run([sinter, "compile", bent, "-o", os.path.join(bent, "model.so")], capture_output=True,
                              text=True)
        assert done.returncode and "chat template" in done.stderr, done.stderr


if __name__ == "__main__":
    main()
