#!/usr/bin/env python3
"""random_forward.py SINTER [FAMILY...] [--device D] [--seed N] [--part TEXT] [-v]

Tiny random models of the families of other_rows.py, made with transformers: every variant with every head. All outputs
of `sinter forward`, with hidden states and probabilities, are compared; in bf16, too.
Needs transformers and torch. Exit 1: something differs.
"""

import os
import zlib

import torch

import other_rows as rows
import random_decoders as decoders
from decoder_rows import main

KINDS = ("plain", "right", "left")


def outputs(model, x, family):
    probs = {} if family == "resnet" else {"output_attentions": True}
    if family == "t5":
        probs["use_cache"] = False
    with torch.no_grad():
        found = {}
        for name, v in model(**x, **probs, output_hidden_states=True).items():
            found.update({name: v} if torch.is_tensor(v) else {f"{name}.{i}": t for i, t in enumerate(v)})
    return found


class Runner(decoders.Runner):
    def make(self, name, family, change, head, kind, dtype):
        generator = torch.Generator().manual_seed(zlib.crc32(f"{self.args.seed} {name}".encode()))
        model = rows.make(family, change, head)
        decoders.randomise(model, generator)
        rows.positive(model)
        if family == "t5":
            model.tie_weights()
        model = model.to(getattr(torch, dtype))
        folder = os.path.join(self.folder, "model")
        model.save_pretrained(folder)
        exact = type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        x = rows.inputs_of(family, kind, head, model.config, generator)
        wide = outputs(exact, x, family)
        if dtype == "float32":
            return [(name, folder, x, None, wide, "f32", 2e-4, 1e-3)]
        narrow = outputs(model, {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in x.items()}, family)
        scale = max(((narrow[k].float() - wide[k]).abs().max() / (wide[k].abs().max() + 1e-6)).item() for k in wide)
        top = max(v.abs().max().item() for v in wide.values())
        return [(name, folder, x, None, wide, "bf16", 2 * scale * top + 0.05, 0.05)]

    def family(self, family):
        for i, change in enumerate(rows.FAMILIES[family][1]):
            for k, head in enumerate(rows.heads(family, rows.TRAINED + rows.BARE)):
                self.variant(family, change, head, KINDS[(i + k) % 3], "bfloat16" if i == 0 else "float32")
                if i == 0:
                    self.variant(family, change, head, KINDS[k % 3], "float32")


if __name__ == "__main__":
    main(Runner, rows.FAMILIES)
