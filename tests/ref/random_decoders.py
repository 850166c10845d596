#!/usr/bin/env python3
"""random_decoders.py SINTER [FAMILY...] [--device D] [--seed N] [--mix N] [--part TEXT] [-v]

Tiny random models of each family of decoder_rows.py, made with transformers: every config flag that changes the
graph, every head, padding left and right, position_ids, labels; f32, bf16 and f16. Their outputs are compared with `sinter forward`.
Needs transformers and torch. Exit 1: something differs.
"""

import copy
import json
import os
import random
import subprocess
import zlib

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
import torch
import transformers
from safetensors.torch import load_file, save_file

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)

import decoder_rows
from decoder_rows import COMMON, FAMILIES, SHAPES, main

VOCAB, SEQ, LABELS, PAD = 53, 11, 3, 0
WORDS, SEQUENCE, QUESTION = "ForCausalLM", "ForSequenceClassification", "ForQuestionAnswering"
HEADS = ("Model", SEQUENCE, "ForTokenClassification", QUESTION)
NARROW = {"bfloat16": "bf16", "float16": "f16"}
KINDS = ("right", "left", "plain", "positions", "embeds")
NAMES = {"GPT2ForCausalLM": "GPT2LMHeadModel", "Gemma3TextForCausalLM": "Gemma3ForCausalLM"}
LACKS = {"bloom", "mpt", "mamba", "mamba2", "falcon_mamba"}  # families without position_ids
PADDING_SEES = {"gpt_neo"}  # where queries that see nothing are of the library's own making, so is the loss
TYPES = {"gpt2", "gpt_bigcode", "gpt_neo", "gptj"}  # which embed token types


def class_of(prefix, head):
    return getattr(transformers, NAMES.get(prefix + head, prefix + head), None)


ACTS = ["gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh", "gelu_accurate", "gelu_10", "quick_gelu", "relu",
        "relu2", "relu6", "leaky_relu", "silu", "swish", "mish", "tanh", "sigmoid", "laplace", "linear", "hardswish",
        "sqrtsoftplus", "gelu_python_tanh", "prelu", "xielu"]
KEPT = {"use_cache", "is_encoder_decoder", "is_decoder", "initializer_range",
        "rescale_prenorm_residual"}  # by which the library divides weights whenever it loads them


def defaults(family):
    """The keys of its own that a family has."""
    all_have = transformers.PretrainedConfig().to_dict()
    return {k: v for k, v in transformers.AutoConfig.for_model(family).to_dict().items() if k not in all_have}


def keys_of(r, family, n):
    """n keys of the family at other values, whatever they mean; keys that any config may have."""
    own = {k: v for k, v in defaults(family).items() if k not in KEPT and "drop" not in k and "mamba" not in k and "time_" not in k}
    own["is_causal"] = True
    found = {}
    for key in r.sample(sorted(own), min(n, len(own))):
        if isinstance(own[key], bool):
            found[key] = not own[key]
        elif isinstance(own[key], float) and own[key] > 0:
            found[key] = own[key] * r.choice([0.5, 0.9, 2.0])
        elif key.endswith(("_act", "_activation", "activation_function", "activation")):
            found[key] = r.choice(ACTS)
        elif key == "head_dim":
            found[key] = r.choice([6, 8, 16, 20])
        elif key == "sliding_window":
            found[key] = r.choice([1, 2, 3, 7, 40])
        elif key == "num_hidden_layers":
            found[key] = r.choice([1, 2, 5])
        elif key == "layer_types" and own[key]:
            kinds = sorted(set(own[key]) | {"full_attention"}) if "attention" in own[key][0] else sorted(set(own[key]))
            found[key] = [r.choice(kinds) for _ in range(7)]
    return found


def bare(family):
    """config.json without what the family has by default."""
    own = defaults(family)
    return lambda c: {k: v for k, v in c.items() if k not in own or v != own[k]}


def mixture(family, seed):
    """A few of the family's variants at once, at another shape; the library may refuse it."""
    base, changes, _ = FAMILIES[family]
    r = random.Random(f"{family} {seed}")
    shapes = next((v for key, v in SHAPES.items() if key in base), [{}])
    known = [c for c in changes if "edit_json" not in c]
    picked = r.sample(known, min(len(known), r.choice([1, 2, 3]))) + [r.choice(shapes)]
    if "num_key_value_heads" in base:
        picked += r.sample(COMMON, r.choice([0, 1, 2]))
    picked.append(keys_of(r, family, r.choice([0, 1, 3, 6])))
    if r.random() < 0.3:
        picked.append({"edit_json": bare(family)})
    mixed = {key: v for change in picked for key, v in change.items()}
    if "layer_types" in mixed:
        mixed["layer_types"] = (7 * mixed["layer_types"])[:mixed.get("num_hidden_layers", base["num_hidden_layers"])]
    return mixed


def make_config(family, options):
    base, _, _ = FAMILIES[family]
    options = {k: copy.deepcopy(v) for k, v in {**base, **options}.items() if k not in ("edit_json", "long")}
    return transformers.AutoConfig.for_model(family, **options, vocab_size=VOCAB, pad_token_id=PAD, bos_token_id=1,
                                             eos_token_id=2, attn_implementation="eager")


def save(model, folder, change):
    model.save_pretrained(folder)
    if "edit_json" in change:
        path = os.path.join(folder, "config.json")
        with open(path) as f:
            edited = change["edit_json"](json.load(f))
        with open(path, "w") as f:
            json.dump(edited, f)


def randomise(model, generator):
    """Biases and norms too, so that one that is forgotten shows."""
    kept = model.state_dict().keys()
    buffers = [(name, p) for name, p in model.named_buffers() if name in kept and p.is_floating_point()]
    for name, p in sorted([*model.named_parameters(), *buffers]):
        spread = 0.3 if p.ndim > 1 else 0.2
        mean = 1.0 if p.ndim == 1 and name.endswith("weight") else 0.0
        p.data = mean + spread * torch.randn(p.shape, generator=generator)


def mask_of(kind, seq):
    mask = torch.ones(3, seq, dtype=torch.long)
    if kind == "right":
        mask[1, -4:] = 0
        mask[2, 1:] = 0
    if kind == "left":
        mask[1, :5] = 0
        mask[2, :1] = 0
    return mask


def inputs_of(kind, head, family, generator, seq=SEQ):
    mask = mask_of(kind, seq)
    ids = torch.randint(1, VOCAB, (3, seq), generator=generator)
    ids[mask == 0] = PAD
    x = {"input_ids": ids}
    if kind in ("right", "left", "positions"):  # positions that jump are packed sequences without a mask
        x["attention_mask"] = mask
    if kind == "positions" and family not in LACKS:
        x["position_ids"] = torch.randint(0, 30, (3, seq), generator=generator)
        x["position_ids"][:, 0] = 29  # the library scales all rows by the longest
        if family in TYPES:
            x["token_type_ids"] = torch.randint(0, VOCAB, (3, SEQ), generator=generator)
    if kind == "embeds":
        x["inputs_embeds"] = None  # made when the model is there
        del x["input_ids"]
    if head == QUESTION:
        x["start_positions"] = torch.randint(0, seq, (3,), generator=generator)
        x["end_positions"] = torch.randint(0, seq, (3,), generator=generator)
    elif head == SEQUENCE:
        x["labels"] = torch.randint(0, LABELS, (3,), generator=generator)
    elif head != "Model":
        x["labels"] = torch.randint(0, LABELS, (3, seq), generator=generator)
        x["labels"][mask == 0] = -100
    return x, mask


def flat(output, kind):
    found = {}
    for name, v in output.items():
        if torch.is_tensor(v):
            found[name] = v
        elif name in ("hidden_states", "attentions") or (name == "router_logits" and kind == "plain"):
            found.update({f"{name}.{i}": t for i, t in enumerate(v) if t is not None})
    return found


def forward(model, x, family, kind):
    probs = {} if kind in ("positions", "long") or "mamba" in family else {"output_attentions": True}
    with torch.no_grad():
        found = flat(model(**x, **probs, output_hidden_states=True, use_cache=False), kind)
    if family in PADDING_SEES and kind in ("left", "right"):
        found.pop("loss", None)
    return found


class Runner(decoder_rows.Runner):
    def sinter(self, model, x, want, dtype):
        inputs, outputs = os.path.join(self.folder, "in"), os.path.join(self.folder, "out")
        save_file({k: v.contiguous() for k, v in x.items()}, inputs + ".safetensors")
        line = [self.args.sinter, "forward", model, "--inputs", inputs + ".safetensors", "--outputs",
                outputs + ".safetensors", "--want", ",".join(want), "--device", self.args.device, "--dtype", dtype,
                "--no-cache"]
        done = subprocess.run(line, capture_output=True, text=True)
        if done.returncode:
            return done.stderr.strip()
        return load_file(outputs + ".safetensors")

    def check(self, name, model, x, mask, expected, dtype, atol, rtol):
        got = self.sinter(model, x, sorted(expected), dtype)
        worst, where = (1e9, got) if isinstance(got, str) else (0.0, "")
        for key, e in expected.items() if isinstance(got, dict) else ():
            e, y = e.float(), got[key].reshape(e.shape)
            if mask is not None and e.ndim >= 2 and e.shape[:2] == mask.shape:
                e, y = e[mask == 1], y[mask == 1]
            if mask is not None and key.startswith("attentions"):
                e, y = e.transpose(1, 2)[mask == 1], y.transpose(1, 2)[mask == 1]
            over = ((y - e).abs() / (atol + rtol * e.abs())).max().item() if torch.isfinite(y).all() else 1e9
            if not over <= worst:
                worst, where = over, key
        self.report(name, worst, where)

    def variant(self, family, change, head, kind, dtype):
        name = f"{family} {json.dumps(change, default=lambda f: 'edited')} {head} {kind} {dtype}"
        if self.args.part not in name:
            return
        try:
            case = self.make(name, family, change, head, kind, dtype)
        except Exception as e:
            self.skipped += 1  # what the library refuses says nothing
            if self.args.v:
                print(f"skip {name}: {type(e).__name__} {e}"[:300], flush=True)
            return
        for call in case:
            self.check(*call)

    def make(self, name, family, change, head, kind, dtype):
        """The calls of check: in f32, perhaps in bf16 as well."""
        generator = torch.Generator().manual_seed(zlib.crc32(f"{self.args.seed} {name}".encode()))
        labels = {} if head == "Model" else {"num_labels": 2 if head == QUESTION else LABELS}
        model = class_of(FAMILIES[family][2], head)(make_config(family, {**change, **labels})).eval()
        randomise(model, generator)
        model.tie_weights()
        model = model.to(getattr(torch, dtype))
        folder = os.path.join(self.folder, "model")
        x, mask = inputs_of(kind, head, family, generator, change["long"] if kind == "long" else SEQ)
        if "inputs_embeds" in x:
            width = model.get_input_embeddings().weight.shape[1]
            x["inputs_embeds"] = torch.randn(3, SEQ, width, generator=generator)
        save(model, folder, change)
        exact = type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        wide = forward(exact, x, family, kind)
        calls = [(name, folder, x, mask, wide, "f32", 2e-4, 1e-3)]
        if dtype in NARROW:
            x = {k: v.to(getattr(torch, dtype)) if v.is_floating_point() else v for k, v in x.items()}
            narrow = forward(model, x, family, kind)
            # as far from the wide result as twice what the library itself is off, and a little
            off = {k: (narrow[k].float() - wide[k]).abs()[torch.isfinite(wide[k])].max().item() for k in wide}
            scale = max(off[k] / (wide[k].abs().max().item() + 1e-6) for k in wide)
            top = max(v.abs().max().item() for v in wide.values())
            calls.append((f"{name} in it", folder, x, mask, wide, NARROW[dtype], 2 * scale * top + 0.05, 0.05))
        return calls

    def change(self, family, heads, change, i):
        for kind in KINDS if i == 0 else [KINDS[i % 2], KINDS[2 + i % 3]]:
            self.variant(family, change, WORDS, kind, "float32")
        if "long" in change:
            self.variant(family, change, WORDS, "long", "float32")
        self.variant(family, change, heads[i % len(heads)], KINDS[(i + 1) % 2], "float32")
        if not any("experts" in key for key in {**FAMILIES[family][0], **change}):  # rounding chooses other ones
            self.variant(family, change, WORDS, KINDS[i % 2], list(NARROW)[(i + self.args.seed) % 2])

    def family(self, family):
        _, changes, prefix = FAMILIES[family]
        heads = [h for h in HEADS if class_of(prefix, h)]
        for i in range(self.args.mix):
            change = mixture(family, self.args.seed * 10000 + i)
            self.variant(family, change, WORDS, KINDS[i % 5], "float32")
            if "long" in change:
                self.variant(family, change, WORDS, "long", "float32")
            if i % 4 == 0:
                self.variant(family, change, heads[i // 4 % len(heads)], KINDS[i % 3], "float32")
        if self.args.mix:
            return
        for i, change in enumerate(changes):
            self.change(family, heads, change, i)
        for head in heads[1:]:
            for kind in ("right", "left", "plain", "embeds"):
                self.variant(family, changes[0], head, kind, "float32")


if __name__ == "__main__":
    main(Runner, FAMILIES, ("--mix", {"default": 0, "type": int,
                               "help": "this many random mixtures of a family's variants instead"}))
