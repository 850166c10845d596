#!/usr/bin/env python3
"""draws.py SINTER [--count 10] [--device D]: tokens that `sinter generate` draws (2,000 rows for each of COUNT seeds) against
what Transformers' warpers leave of the same logits: chi-square at a millionth, and nothing outside. Needs torch, transformers,
safetensors. Exit 1: something differs."""
import argparse
import os
import subprocess
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1")
import torch
import transformers
from safetensors.torch import load_file, save_file

transformers.logging.set_verbosity_error()
ROWS, VOCAB = 2000, 40
KINDS = [{}, {"temperature": 0.7, "top_k": 12}, {"top_p": 0.8, "top_k": 0}, {"min_p": 0.05, "temperature": 1.4, "top_k": 0}]


def wanted(model, ids, kind):
    """The probabilities of the first token."""
    steps = model.generate(ids, max_new_tokens=1, do_sample=True, output_scores=True, return_dict_in_generate=True,
                           pad_token_id=0, **{"top_k": 50, **kind})
    return steps.scores[0][0].softmax(-1)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("sinter")
    p.add_argument("--count", type=int, default=10)
    p.add_argument("--device", default="interp")
    args, bad = p.parse_args(), 0
    torch.manual_seed(5)
    config = transformers.GPT2Config(vocab_size=VOCAB, n_embd=16, n_layer=1, n_head=2, n_positions=16, eos_token_id=None)
    model = transformers.GPT2LMHeadModel(config).eval()
    for w in model.parameters():
        w.data += 0.4 * torch.randn(w.shape)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(f"{folder}/m")
        ids = torch.tensor([[3, 17]])
        save_file({"input_ids": ids.repeat(ROWS, 1)}, f"{folder}/in.safetensors")
        for kind in KINDS:
            p_of, seen = wanted(model, ids, kind), torch.zeros(VOCAB)
            for seed in range(args.count):  # row i goes by seed + i
                flags = [x for k, v in {"top_k": 50, **kind}.items() for x in ("--" + k.replace("_", "-"), str(v))]
                subprocess.run([args.sinter, "generate", f"{folder}/m", "--inputs", f"{folder}/in.safetensors", "--outputs",
                                f"{folder}/out.safetensors", "--device", args.device, "--dtype", "f32", "--do-sample",
                                "--seed", str(seed * ROWS), "--max-new-tokens", "1", *flags], check=True)
                seen += torch.bincount(load_file(f"{folder}/out.safetensors")["sequences"][:, -1].long(), minlength=VOCAB)
            n, is_left = ROWS * args.count, p_of > 0
            common = p_of * n >= 5
            expected = torch.cat([(p_of * n)[common], (p_of * n)[~common].sum()[None]])  # the rare ones as one
            drawn = torch.cat([seen[common], seen[~common].sum()[None]])
            chi = ((drawn - expected) ** 2 / expected.clamp(min=1e-9)).sum().item()
            freedom = max(int(common.sum()) - (not (is_left & ~common).any()), 1)
            most = freedom * (1 - 2 / (9 * freedom) + 4.75 * (2 / (9 * freedom)) ** 0.5) ** 3  # Wilson and Hilferty
            good = chi < most and seen[~is_left].sum() == 0
            print(f"{'ok  ' if good else 'FAIL'} {kind}: chi-square {chi:.1f} of at most {most:.1f}, "
                  f"{int(is_left.sum())} tokens left")
            bad += not good
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
