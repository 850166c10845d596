#!/usr/bin/env python3
"""random_chats.py CONFORM

The templates of chat_templates.py over its conversations, with and without tools, documents and a prompt, through
`conform` as a case of kind chat, against apply_chat_template of transformers: the same text, or an error from both.
Exit 1: something differs.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from chat_templates import CHATS, TEMPLATES, TOOLS

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
KWARGS = [{}, {"add_generation_prompt": True}, {"tools": TOOLS, "add_generation_prompt": True},
          {"add_generation_prompt": True, "enable_thinking": False, "controls": {"length": "long"},
           "documents": [{"title": "a", "text": "A \u00e9"}, {"title": "b", "text": "B"}]},
          {"continue_final_message": True}]


def reference(template, messages, kwargs):
    try:
        t = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"[UNK]": 0}, "[UNK]")), **SPECIAL)
        return {"expected": t.apply_chat_template(messages, chat_template=template, tokenize=False, **kwargs)}
    except Exception as error:  # whatever the template, or Python, says
        return {"expected_error": f"{type(error).__name__}: {error}"}


def run(conform, name, template):
    rows = [{"messages": m, "kwargs": k} for m, k in itertools.product(CHATS, KWARGS)]
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model")
        os.mkdir(model)
        for path, value in (("case.json", {"name": name, "kind": "chat", "model": "model", "data": "data.json"}),
                            ("data.json", {"rows": [dict(row, expected=None) for row in rows]}),
                            ("model/vocab.txt", None),
                            ("model/tokenizer_config.json", dict(SPECIAL, chat_template=template))):
            with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
                if value:
                    json.dump(value, file)
                else:
                    file.write("[UNK]\n")
        out = os.path.join(folder, "out.json")
        subprocess.run([conform, folder, out], check=True, timeout=300)
        with open(out, encoding="utf-8") as file:
            mine = json.load(file)["rows"]
    bad = 0
    for row, got in zip(rows, mine):
        want = reference(template, row["messages"], row["kwargs"])
        same = "expected_error" in got if "expected_error" in want else got.get("expected") == want["expected"]
        if not same:
            bad += 1
            shown = {k: v for k, v in got.items() if k.startswith("expected")}
            print(f"{name}: {json.dumps(row)[:300]}\n  want {want}\n  got  {shown}")
    return len(rows), bad


def main():
    rows = bad = 0
    for name, template in TEMPLATES.items():
        n, b = run(sys.argv[1], name, template)
        rows, bad = rows + n, bad + b
    print(f"{len(TEMPLATES)} templates, {rows} rows, {bad} differ")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
