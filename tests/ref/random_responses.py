#!/usr/bin/env python3
"""random_responses.py CHAT_PARSE_TEST [SEED [COUNT]]

Answers of random parts, well-formed and not, by the response templates that transformers serves with and two more,
against parse_response of transformers: the same message, or an error from both. Exit 1: something differs.
"""

import json
import os
import random
import subprocess
import sys
import tempfile

from transformers.cli.serving.utils import _RESPONSE_TEMPLATE_FALLBACKS
from transformers.utils.chat_parsing import parse_response

HARMONY = {
    "defaults": {"role": "assistant", "content": ""}, "start_anchor": "<|start|>assistant",
    "fields": {
        "thinking": {"open": "<|channel|>analysis<|message|>", "close": ["<|end|>", "<|return|>"]},
        "tool_calls": {"open_pattern": r"<\|channel\|>commentary to=functions\.(?P<name>\w+)[^<]*<\|message\|>",
                       "close": "<|call|>", "repeats": True, "content": "json", "content_args": {"allow_non_json": True},
                       "transform": {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}}},
        "content": {"open": "<|channel|>final<|message|>", "close_pattern": r"<\|return\|>|<\|end\|>|$"}}}
MIXED = {
    "defaults": {"role": "assistant", "x": None}, "start_anchor_pattern": r"A\w*:|B+",
    "fields": {
        "kv": {"open": ["[kv", "[kv]"], "close": "[/kv]", "content": "kv-lines", "repeats": True,
               "content_args": {"line_sep": ";", "kv_sep": "=", "value_parser": {"name": "int"}}},
        "n": {"open": "<n>", "close": "</n>", "content": "float", "optional": True},
        "b": {"open": "<b>", "close": "</b>", "content": "bool"},
        "j": {"open": "<j>", "close": "</j>", "repeats": True, "join": " / ", "content": "text"},
        "l": {"open": "<l>", "close_pattern": r"</l>|\Z", "content": "json", "transform_each": True,
              "transform": {"f": "{name}", "a": ["{args}", 1]}},
        "xml": {"open": "<x>", "close": "</x>", "content": "xml-inline",
                "content_args": {"tag_pattern": r"<(?P<key>\w+)=(?P<value>[^>]*?)>", "merge_duplicates": True,
                                 "value_parser": {"name": "json", "args": {"allow_non_json": True}}}},
        "rest": {"close_pattern": r"(?i:END)(?=\s|\Z)", "content": "text", "content_args": {"strip": False}}}}
SCHEMAS = [*_RESPONSE_TEMPLATE_FALLBACKS.values(), HARMONY, MIXED]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {
    "a": {"type": "integer"}, "b": {"type": ["number", "null"]}, "c": {"anyOf": [{"type": "boolean"}, {"type": "array"}]},
    "d": {"type": "string"}, "e": {"type": "object", "nullable": True}}}}}]
CALL = '{"name": "f", "arguments": {"a": "3", "b": "x", "c": "true"}}'
PARTS = [
    ["<think>", "</think>", "<tool_call>", "</tool_call>", "\n", " ", "hello", "<|im_end|>", "<|endoftext|>", CALL,
     '{"name": "g", "arguments": {}}', "\u00e9\u4e2d", "<|eot_id|>", "<|im_start|>assistant\n", "{bad"],
    ["<think>", "</think>", "<tool_call>", "</tool_call>", "<function=f>", "<function=g>", "</function>", "<parameter=a>",
     "<parameter=c>", "<parameter=e>", "</parameter>", " 3.0 ", "[1]", "null", '{"q":1}', "\n", " ", "text", "<|im_end|>"],
    ["<|channel>thought\n", "<channel|>", "<|tool_call>call:f", "<tool_call|>", '{a:1,b:<|"|>x y<|"|>}',
     '{c:[true,{d:<|"|>q<|"|>}]}', "<turn|>", "<eos>", "words", "\n", "<|tool_response>", '<|"|>'],
    ["<|channel|>analysis<|message|>", "<|end|>", "<|return|>",
     "<|channel|>commentary to=functions.f <|constrain|>json<|message|>", '{"a": "7"}', "<|call|>",
     "<|channel|>final<|message|>", "text", "\n", "<|start|>assistant"],
    ["[kv]", "[kv", "[/kv]", "a=1", "; b = 22", "<n>", "</n>", "1.5", " 3", "<b>", "</b>", " TRUE ", "<j>", "</j>", "x",
     "<l>", "</l>", '[{"name":"u","args":{}}]', '[{"name":"u","args":2},{"name":"v","args":"w"}]', "<x>", "</x>", "<k=1>",
     "<k=z z>", "<m=[1]>", "END", "end ", "\n", "rest"],
]
WHOLE = ["[kv]a=1; b = 22 ;c=_[/kv]", "[kv]a=1;b=2_3[/kv]", "<n> 2 </n>", "<n>.5</n>", "<b>1</b>",
         '<l>[{"name":"u","args":{}}]</l>', "<x><k=1><k=z z><k=null><m=[1]></x>"]
VALUES = ["null", "None", "true", "1", "[1]", "{}", "1e3", "2.50", "inf", "-0", ".5", "5.", "3", "3.5", "-4.0", "x", "1_0"]
PREFIXES = ["", "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n", "none ",
            "A1:B", "<|turn>model\n", "<|start|>assistant"]


def well_formed(rng, kind):
    if kind == 0:
        calls = "\n".join(f"<tool_call>\n{CALL}\n</tool_call>" for _ in range(rng.randrange(3)))
        return rng.choice(["", "<think>\nT\n</think>\n\n"]) + rng.choice(["", "Hi "]) + calls + rng.choice(["", "<|im_end|>\n"])
    if kind == 1:
        return (f"<tool_call>\n<function=f>\n<parameter=a>\n{rng.choice(VALUES)}\n</parameter>\n<parameter="
                f"{rng.choice('abcde')}>{rng.choice(VALUES)}</parameter></function>\n</tool_call>")
    if kind == 4:
        return rng.choice(["", "rest "]) + rng.choice(WHOLE) + rng.choice(["", " END", "<j>a</j><j>b</j>"])
    return "".join(rng.choice(PARTS[kind]) for _ in range(4))


def make(rng):
    kind = rng.randrange(len(SCHEMAS))
    text = "".join(rng.choice(PARTS[kind]) for _ in range(rng.randrange(9)))
    row = {"schema": SCHEMAS[kind], "prefix": rng.choice(PREFIXES),
           "text": well_formed(rng, kind) if rng.random() < 0.5 else text}
    return dict(row, tools=TOOLS) if rng.random() < 0.6 else row


def main():
    seed, count = int(sys.argv[2]) if len(sys.argv) > 2 else 1, int(sys.argv[3]) if len(sys.argv) > 3 else 2000
    rng = random.Random(seed)
    rows = [make(rng) for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows")
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(row) + "\n" for row in rows)
        lines = subprocess.run([sys.argv[1], path], capture_output=True, text=True, check=True).stdout.splitlines()
    differ = errors = 0
    for row, line in zip(rows, lines, strict=True):
        try:
            want = json.dumps(parse_response(row["text"], row["schema"], prefix=row["prefix"], tools=row.get("tools")))
        except Exception:  # whatever the parser, or Python, says
            want = None
            errors += 1
        got = json.loads(line)
        if ("error" in got) if want is None else json.dumps(got) == want:
            continue
        differ += 1
        print(f"{row['text']!r} after {row['prefix']!r}: {line}, expected {want}")
    print(f"seed {seed}: {count} answers, {errors} errors, {differ} differ")
    sys.exit(differ > 0)


main()
