#!/usr/bin/env python3
"""random_peft.py SINTER CONFORM [--seed N] [--count N] [--part TEXT] [-v]

Random adapters on tiny random models beside PEFT. One that PEFT made: logits, loss, logits and weights after merging, steps of
training, the tensors at the end (a folder as tests/conform reads it). One that `sinter train` makes of the same config: the
names and shapes of its tensors, the line of print_trainable_parameters, and the logits that both libraries compute with it.
Exit 1: something differs.
"""

import argparse
import copy
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import warnings

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
warnings.filterwarnings("ignore")
import peft
import torch
import transformers
from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.pytorch_utils import Conv1D

try:
    import bitsandbytes.functional as bnb
except ImportError:
    bnb = None

from random_decoders import randomise

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)

VOCAB, SEQ, STEPS, BATCH, LABELS = 41, 9, 6, 3, 3
TIMES = 2  # of the distance between torch's own steps in f32 and f64: steps of large gradients are far apart
SMALL = dict(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
             max_position_embeddings=64, pad_token_id=0, attn_implementation="eager")
FAMILIES = {  # config, linear modules, in front of a head
    "gpt2": (dict(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=64, pad_token_id=0, resid_pdrop=0.0,
                  embd_pdrop=0.0, attn_pdrop=0.0, attn_implementation="eager"),
             ["c_attn", "attn.c_proj", "mlp.c_proj", "c_fc"], "wte"),
    "llama": (dict(SMALL, num_key_value_heads=2), ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"],
              "embed_tokens"),
    "qwen2": (dict(SMALL, num_key_value_heads=2, tie_word_embeddings=True),
              ["q_proj", "v_proj", "gate_proj", "down_proj"], "embed_tokens"),
    "bert": (dict(SMALL, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
             ["query", "key", "value", "output.dense", "intermediate.dense"], "word_embeddings"),
    "mixtral": (dict(SMALL, num_key_value_heads=2, num_local_experts=3), ["q_proj", "v_proj", "o_proj"], "embed_tokens"),
    "qwen3_moe": (dict(SMALL, num_key_value_heads=2, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, head_dim=8),
                  ["q_proj", "k_proj"], "embed_tokens"),
    "gpt_oss": (dict(SMALL, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, head_dim=8, sliding_window=4),
                ["q_proj", "o_proj"], "embed_tokens"),
}
TASKS = {"CAUSAL_LM": "CausalLM", "SEQ_CLS": "SequenceClassification", "TOKEN_CLS": "TokenClassification"}
OURS = {"CAUSAL_LM": "text-generation", "SEQ_CLS": "text-classification", "TOKEN_CLS": "token-classification"}


def lora(**more):
    return lambda r, family, task: LoraConfig(task_type=task, r=r.choice([1, 2, 4]), lora_alpha=r.choice([3, 8, 16]),
                                              **{"target_modules": some(r, family), **{k: v(r, family) if callable(v) else v
                                                                                       for k, v in more.items()}})


def some(r, family):
    return r.sample(FAMILIES[family][1], r.randint(1, len(FAMILIES[family][1])))


def regex(r, family):
    return r".*\.(h|layers|layer)\.[01]\..*(%s)" % "|".join(some(r, family))


def ia3(r, family, task):
    targets = some(r, family)
    return IA3Config(task_type=task, target_modules=targets,
                     feedforward_modules=[t for t in targets if "down" in t or "mlp.c_proj" in t or "output" in t])


def layer_name(r, family):
    return {"gpt2": "h", "bert": "layer"}.get(family, "layers")


VARIANTS = {
    "lora": lora(),
    "lora rslora": lora(use_rslora=True),
    "lora dora": lora(use_dora=True),
    "lora bias all": lora(bias="all"),
    "lora bias only": lora(bias="lora_only"),
    "lora_bias": lora(lora_bias=True),
    "lora random": lora(init_lora_weights=False),
    "lora gaussian": lora(init_lora_weights="gaussian"),
    "lora dora random": lora(use_dora=True, init_lora_weights=False),
    "lora pissa": lora(init_lora_weights="pissa"),
    "lora pissa rslora": lora(init_lora_weights="pissa", use_rslora=True),
    "lora pissa dora": lora(init_lora_weights="pissa", use_dora=True),
    "lora pissa patterns": lora(init_lora_weights="pissa", rank_pattern=lambda r, family: {FAMILIES[family][1][0]: 3},
                                alpha_pattern=lambda r, family: {FAMILIES[family][1][1]: 5}),
    "lora pissa_niter": lora(init_lora_weights="pissa_niter_900"),
    "lora olora": lora(init_lora_weights="olora"),
    "lora olora dora": lora(init_lora_weights="olora", use_dora=True),
    "lora regex": lora(target_modules=regex),
    "lora all-linear": lora(target_modules="all-linear"),
    "lora usual": lora(target_modules=None),
    "lora exclude": lora(target_modules="all-linear",
                         exclude_modules=lambda r, family: some(r, family)[:1]),
    "lora exclude regex": lora(target_modules="all-linear", exclude_modules=r".*\.1\..*"),
    "lora layers": lora(layers_to_transform=1),
    "lora layers list": lora(layers_to_transform=[0], layers_pattern=layer_name),
    "lora patterns": lora(rank_pattern=lambda r, family: {FAMILIES[family][1][0]: 3},
                          alpha_pattern=lambda r, family: {r".*\.1\..*" + FAMILIES[family][1][0]: 5}),
    "lora embeddings": lora(target_modules=lambda r, family: some(r, family) + [FAMILIES[family][2]]),
    "lora dora embeddings": lora(use_dora=True, target_modules=lambda r, family: some(r, family) + [FAMILIES[family][2]]),
    "lora rows": lora(trainable_token_indices=[1, 5, 40]),
    "lora rows named": lora(trainable_token_indices=lambda r, family: {FAMILIES[family][2]: [7, 3]}, use_rslora=True),
    "lora experts": lora(target_parameters=["experts.gate_up_proj", "mlp.experts.down_proj"]),
    "lora experts alone": lora(target_modules=[], target_parameters=["experts.gate_up_proj"], init_lora_weights="gaussian",
                               rank_pattern={"experts.gate_up_proj": 3}, use_rslora=True),
    "lora experts random": lora(target_parameters=["experts.down_proj"], init_lora_weights=False,
                                alpha_pattern={r"1\..*down_proj": 5}),
    "lora head": lora(target_modules=lambda r, family: some(r, family) + ["lm_head"]),
    "lora nf4": lora(),
    "lora nf4 double": lora(target_modules="all-linear"),
    "lora stored nf4": lora(),
    "lora stored nf4 double": lora(target_modules="all-linear"),
    "lora stored fp4": lora(use_rslora=True),
    "lora stored fp4 double": lora(use_dora=True),
    "lora save": lora(modules_to_save=lambda r, family: ["ln_f" if family == "gpt2" else "norm"]),
    "ia3": ia3,
    "ia3 usual": lambda r, family, task: IA3Config(task_type=task),
    "prompt": lambda r, family, task: PromptTuningConfig(task_type=task, num_virtual_tokens=r.randint(1, 5)),
    "prompt words": lambda r, family, task: PromptTuningConfig(task_type=task, num_virtual_tokens=3,
                                                               prompt_tuning_init="SAMPLE_VOCAB"),
    "prompt text": lambda r, family, task: PromptTuningConfig(
        task_type=task, num_virtual_tokens=5, prompt_tuning_init="TEXT", prompt_tuning_init_text="w3 w7 w5",
        tokenizer_name_or_path="MODEL"),
    "prefix": lambda r, family, task: PrefixTuningConfig(task_type=task, num_virtual_tokens=r.randint(1, 5)),
    "prefix zero": lambda r, family, task: PrefixTuningConfig(task_type=task, num_virtual_tokens=2, init_weights="zero"),
    "prefix projection": lambda r, family, task: PrefixTuningConfig(
        task_type=task, num_virtual_tokens=r.randint(1, 5), prefix_projection=True, encoder_hidden_size=r.choice([8, 20])),
    "p-tuning": lambda r, family, task: PromptEncoderConfig(task_type=task, num_virtual_tokens=r.randint(1, 5),
                                                            encoder_hidden_size=r.choice([8, 20])),
    "p-tuning lstm": lambda r, family, task: PromptEncoderConfig(
        task_type=task, num_virtual_tokens=r.randint(1, 5), encoder_hidden_size=12, encoder_num_layers=r.choice([1, 2]),
        encoder_reparameterization_type="LSTM"),
}
TAKEN = ("lora pissa", "lora olora")  # files have a LoRA of twice the rank
ENCODED = {"prefix projection", "p-tuning", "p-tuning lstm"}  # what is trained stands in no file


def refuses(variant, family, task):
    """What PEFT itself cannot do, or what a model has not."""
    if variant == "lora head":
        return task != "CAUSAL_LM" or family == "bert"
    if "olora" in variant and family == "gpt2":  # what is left is not the model: PEFT takes the file's matrix the other way round
        return True
    if bits_of(variant) and (not bnb or task == "TOKEN_CLS" or family == "mixtral"):
        return True
    if "experts" in variant and (task == "TOKEN_CLS" or family not in ("mixtral", "qwen3_moe", "gpt_oss")):
        return True
    if family in ("qwen3_moe", "gpt_oss"):
        return "experts" not in variant
    if family == "bert" and "stored" in variant:  # its classifier, which learns whole, is in 4 bits, too
        return True
    if family == "bert":
        return task == "CAUSAL_LM" or variant.startswith("prefix") or (variant == "lora save")
    if family == "mixtral":
        return task == "TOKEN_CLS" or variant in ("ia3 usual", "lora save") or "all-linear" in variant or "exclude" in variant
    if task == "TOKEN_CLS":
        return variant.startswith("prompt") or variant.startswith("p-") or "all-linear" in variant or "exclude" in variant
    return False


def class_of(family, task):
    c = transformers.AutoConfig.for_model(family, **FAMILIES[family][0])
    c.num_labels = LABELS
    return c, getattr(transformers, "AutoModelFor" + TASKS[task])


def bits_of(variant):
    return "nf4" if "nf4" in variant else "fp4" if "fp4" in variant else None


def quant_of(variant):
    """What the model is told to round to; a stored one is rounded already."""
    return "none" if not bits_of(variant) or "stored" in variant else "nf4-double" if "double" in variant else "nf4"


def opened(cls, folder, variant):
    """The model; linear modules but those of heads in 4 bits where the variant says so. Values as bitsandbytes has them for any
    shape: its kernel for a CPU takes wrong scales for rows that are not whole blocks of 64."""
    model = cls.from_pretrained(folder + ("/plain" if "stored" in variant else "/model"), attn_implementation="eager").eval()
    for name, m in model.named_modules():
        if not bits_of(variant) or not name.startswith(model.base_model_prefix + ".") or not isinstance(m, (torch.nn.Linear, Conv1D)):
            continue
        w = m.weight.data.T.contiguous() if isinstance(m, Conv1D) else m.weight.data
        codes, state = bnb.quantize_4bit(w, blocksize=64, compress_statistics="double" in variant, quant_type=bits_of(variant))
        scale = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset if state.nested else state.absmax
        two = torch.stack([codes.flatten() >> 4, codes.flatten() & 15], 1).flatten().long()[:w.numel()]
        w = (state.code[two] * scale.repeat_interleave(64)[:w.numel()]).reshape(w.shape)
        m.weight.data = w.T.contiguous() if isinstance(m, Conv1D) else w
    return model


def words_of(folder):
    t = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCAB)}, unk_token="w1"))
    t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=t, pad_token="w0", unk_token="w1",
                                         model_max_length=64).save_pretrained(folder)


def inputs_of(task, generator):
    x = {"input_ids": torch.randint(1, VOCAB, (STEPS, BATCH, SEQ), generator=generator)}
    x["attention_mask"] = torch.ones_like(x["input_ids"])
    x["attention_mask"][:, 1, -2:] = 0
    x["input_ids"][x["attention_mask"] == 0] = 0
    shape = (STEPS, BATCH) if task == "SEQ_CLS" else (STEPS, BATCH, SEQ)
    x["labels"] = torch.randint(0, VOCAB if task == "CAUSAL_LM" else LABELS, shape, generator=generator)
    if task != "SEQ_CLS":
        x["labels"][x["attention_mask"] == 0] = -100
    return x


def batch(x, i):
    return {k: v[i] for k, v in x.items()}


def spread(model, generator):
    """New adapters do nothing: theirs does."""
    for name, p in sorted(model.named_parameters()):
        if p.requires_grad:
            p.data = p.data + 0.2 * torch.randn(p.shape, generator=generator)


def steps(model, x, lr):
    """Losses and norms, as the fixtures were made."""
    learnt = [p for p in model.parameters() if p.requires_grad]
    o = torch.optim.AdamW(learnt, lr=lr, weight_decay=0.0)
    losses, norms = [], []
    for i in range(STEPS):
        o.zero_grad()
        loss = model(**batch(x, i)).loss
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(learnt, 1.0).item())
        losses.append(loss.item())
        o.step()
    return losses, norms


def is_twin(name):
    """With bias "all" PEFT writes biases of modules that are saved whole a second time, and does not read them."""
    return ".modules_to_save." in name or ".original_module." in name


def make(folder, family, task, variant, seed):
    r = random.Random(f"{family} {task} {variant} {seed}")
    generator = torch.Generator().manual_seed(r.randrange(1 << 30))
    torch.manual_seed(r.randrange(1 << 30))
    config, cls = class_of(family, task)
    base = cls.from_config(config).eval()
    randomise(base, generator)
    base.tie_weights()
    base.save_pretrained(folder + "/model")
    if "stored" in variant:
        base.save_pretrained(folder + "/plain")
        told = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=bits_of(variant),
                                               bnb_4bit_use_double_quant="double" in variant)
        cls.from_pretrained(folder + "/plain", quantization_config=told, device_map="cpu", dtype=torch.float32).save_pretrained(folder + "/model")
    words_of(folder + "/model")
    adapter = VARIANTS[variant](r, family, task)
    if getattr(adapter, "tokenizer_name_or_path", None):
        adapter.tokenizer_name_or_path = folder + "/model"
    given = {k: sorted(v) if isinstance(v, set) else v for k, v in adapter.to_dict().items()}
    model = peft.get_peft_model(opened(cls, folder, variant), adapter).eval()
    return model, cls, given, generator


def theirs(folder, family, task, variant, seed):
    """A case: an adapter of PEFT."""
    model, cls, given, generator = make(folder, family, task, variant, seed)
    fresh = {k: tuple(v.shape) for k, v in peft.get_peft_model_state_dict(model).items()}
    trainable, every = model.get_nb_trainable_parameters()
    line = f"trainable params: {trainable:,d} || all params: {every:,d} || trainable%: {100 * trainable / every:.4f}"
    if variant.startswith(TAKEN):
        save_file({k: v.detach().clone().contiguous() for k, v in peft.get_peft_model_state_dict(model).items()}, folder + "/begin.safetensors")
        fresh = {k: (2 * v[0], v[1]) if "lora_A" in k else (v[0], 2 * v[1]) if "lora_B" in k else v for k, v in fresh.items()}
    spread(model, generator)
    model.save_pretrained(folder + "/adapter")
    x = inputs_of(task, generator)
    save_file(x, folder + "/inputs.safetensors")
    plain = opened(cls, folder, variant)
    lr = 2e-3
    with torch.no_grad():
        y = model(**batch(x, 0))
        expected = {"logits": y.logits, "loss": y.loss.reshape(1), "base_logits": plain(**batch(x, 0)).logits}
    if "prompt" in variant or "prefix" in variant or "tuning" in variant:
        expected["base_logits"] = expected["base_logits"].clone()
    elif not bits_of(variant) and "experts" not in variant and not (given.get("lora_bias") and any(m.base_layer.bias is None for m in model.modules() if hasattr(m, "lora_B"))):
        whole = peft.PeftModel.from_pretrained(cls.from_pretrained(folder + "/model", attn_implementation="eager"),
                                               folder + "/adapter").eval().merge_and_unload()
        if not whole.config.tie_word_embeddings or variant not in ("lora head", "lora embeddings", "lora dora embeddings"):
            with torch.no_grad():
                expected["merged_logits"] = whole(**batch(x, 0)).logits
    apart = {}
    if variant not in ENCODED:
        wide = copy.deepcopy(model).double()
        losses, norms = steps(model, x, lr)
        expected["losses"], expected["grad_norms"] = torch.tensor(losses), torch.tensor(norms)
        final = peft.get_peft_model_state_dict(model)
        # biases of keys have no gradient but rounding
        noisy = ("c_attn.base_layer.bias", "c_attn.bias", "key.bias", "k_proj.bias", "key.base_layer.bias", "k_proj.base_layer.bias",
                 "base_layer.weight", "c_attn.lora_B.bias", "key.lora_B.bias", "k_proj.lora_B.bias")
        expected.update({f"final.{k}": v.detach() for k, v in final.items() if not k.endswith(noisy) and not is_twin(k)})
        apart = {"grad_norms": 2e-4 + 0.02 * max(norms)}
        if not hasattr(model.config, "num_experts_per_tok"):  # torch has no products of groups in f64
            exact = dict(zip(("losses", "grad_norms"), map(torch.tensor, steps(wide, x, lr))))
            exact.update({f"final.{k}": v.detach() for k, v in peft.get_peft_model_state_dict(wide).items()})
            apart = {k: apart.get(k, 2e-4) + TIMES * (expected[k] - v).abs().max().item() for k, v in exact.items() if k in expected}
    expected = {k: v.contiguous().clone() for k, v in expected.items()}
    save_file(expected, folder + "/expected.safetensors")
    spec = {"name": "problem", "kind": "peft", "model": "model", "adapter": "adapter", "dtype": "f32",
            "quant": quant_of(variant),
            "tolerance": {"atol": 2e-4, "rtol": 2e-3, "atol_by_tensor": apart},
            "training": {"optimizer": {"type": "adamw", "lr": lr, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0,
                                       "schedule": "constant"},
                         "steps": STEPS, "gradient_accumulation_steps": 1, "max_grad_norm": 1.0},
            "calls": [{"name": "adapter", "op": "adapter_forward_merge_train", "inputs": {k: k for k in x},
                       "outputs": {k: {"tensor": k} for k in expected}}]}
    with open(folder + "/case.json", "w") as f:
        json.dump(spec, f)
    return cls, given, fresh, line, x


def rows_of(folder, task, seed):
    r = random.Random(seed)
    with open(folder + "/rows.jsonl", "w") as f:
        for i in range(24):
            words = [f"w{r.randrange(1, VOCAB)}" for _ in range(SEQ)]
            row = {"tokens": words, "ner_tags": [r.randrange(LABELS) for _ in words]} if task == "TOKEN_CLS" else \
                {"text": " ".join(words), "label": i % LABELS}
            f.write(json.dumps(row) + "\n")


def begins(sinter, folder, config):
    """What a training that learns nothing has taken out of the model: b a of each module, as PEFT has it; nothing is left of it."""
    with open(folder + "/config.json", "w") as f:
        json.dump(dict(config, learning_rate=0.0, output_dir=folder + "/begin"), f)
    done = subprocess.run([sinter, "train", folder + "/config.json"], capture_output=True, text=True)
    if done.returncode:
        return "train: " + done.stderr[-600:]
    made, want, base = (load_file(folder + at) for at in ("/begin/adapter_model.safetensors", "/begin.safetensors", "/model/model.safetensors"))
    for name in [k for k in want if k.endswith("lora_A.weight")]:
        other = name.replace("lora_A", "lora_B")
        a, b, r = made[name], made[other], want[name].shape[0]
        s = torch.linalg.svdvals(base[name.replace("base_model.model.", "").replace("lora_A.", "")].double())
        if "niter" in config["peft_config"]["init_lora_weights"] and (s[r] / s[r - 1]) ** 1801 > 1e-6:
            continue  # so near are the last value that is taken and the next: 900 rounds from any directions do not tell them apart
        expected = want[other] @ want[name]
        worst = (b[:, :r] @ a[:r] - expected).abs().max().item()
        if worst > 2e-4 * expected.abs().max().item():
            return f"{name}: b a: off by {worst:.3g} of {expected.abs().max().item():.3g}"
        if (b @ a).abs().max().item() > 1e-5:
            return f"{name}: it does not begin as nothing"
    return None


def ends_best(sinter, folder, config):
    """What a training goes back to at its end, of what learns in another form than files have: the best is the first step."""
    with open(folder + "/config.json", "w") as f:
        json.dump(dict(config, validation_file=config["train_file"], eval_strategy="steps", save_strategy="steps", eval_steps=1, save_steps=1,
                       load_best_model_at_end=True, greater_is_better=True, learning_rate=0.01, output_dir=folder + "/best"), f)
    done = subprocess.run([sinter, "train", folder + "/config.json"], capture_output=True, text=True)
    if done.returncode:
        return "train: " + done.stderr[-600:]
    best = json.load(open(folder + "/best/checkpoint-3/trainer_state.json"))["best_global_step"]
    one, other = (load_file(f"{folder}/best/{at}adapter_model.safetensors") for at in ("", f"checkpoint-{best}/"))
    return None if best < 3 and all(torch.equal(one[k], other[k]) for k in other) else f"best: of step {best}, or other tensors"


def ours(sinter, folder, task, variant, cls, given, fresh, line, x):
    """An adapter of `sinter train`."""
    rows_of(folder, task, 1)
    config = {"model_name_or_path": folder + "/model", "task": OURS[task], "train_file": folder + "/rows.jsonl",
              "output_dir": folder + "/ours", "max_steps": 3, "per_device_train_batch_size": 4, "learning_rate": 0.05,
              "save_strategy": "no", "logging_steps": 1, "block_size": SEQ, "num_labels": LABELS,
              "peft_config": {k: v for k, v in given.items() if v is not None and k != "inference_mode"},
              "load_in_4bit": quant_of(variant) != "none", "bnb_4bit_use_double_quant": "double" in quant_of(variant)}
    if variant.startswith(TAKEN):
        why = begins(sinter, folder, config)
        if why:
            return why
    if variant.startswith(TAKEN) or variant in ENCODED:
        why = ends_best(sinter, folder, config)
        if why:
            return why
    with open(folder + "/config.json", "w") as f:
        json.dump(config, f)
    done = subprocess.run([sinter, "train", folder + "/config.json"], capture_output=True, text=True)
    if done.returncode:
        return "train: " + done.stderr[-600:]
    said = next((s for s in done.stderr.splitlines() if "trainable params" in s), "")
    if line not in said:
        return f"report: {said!r}, expected {line!r}"
    made = load_file(folder + "/ours/adapter_model.safetensors")
    shapes = {k: tuple(v.shape) for k, v in made.items()}
    if shapes != {k: v for k, v in fresh.items() if not k.endswith("base_layer.weight") and not is_twin(k)}:
        return f"tensors: only here {sorted(set(shapes.items()) - set(fresh.items()))[:6]}, " \
               f"only there {sorted(set(fresh.items()) - set(shapes.items()))[:6]}"
    theirs = peft.PeftModel.from_pretrained(opened(cls, folder, variant), folder + "/ours").eval()
    one = {k: v for k, v in batch(x, 0).items() if k != "labels"}
    with torch.no_grad():
        want = theirs(**one).logits
        base = opened(cls, folder, variant)(**one).logits
    save_file({k: v.contiguous() for k, v in one.items()}, folder + "/in.safetensors")
    done = subprocess.run([sinter, "forward", folder + "/model", "--adapter", folder + "/ours", "--inputs", folder + "/in.safetensors",
                           "--outputs", folder + "/out.safetensors", "--want", "logits", "--quant", quant_of(variant)], capture_output=True, text=True)
    if done.returncode:
        return "forward: " + done.stderr[-600:]
    got = load_file(folder + "/out.safetensors")["logits"]
    if got.shape != want.shape:
        return f"logits: {got.shape}, expected {want.shape}"
    worst = (got - want).abs().max().item()
    if worst > 1e-4 * max(1, want.abs().max().item()):
        return f"logits: off by {worst:.3g}"
    if got.shape == base.shape and (got - base).abs().max().item() < 1e-4:
        return "logits: the adapter does nothing"
    return generated(sinter, folder, variant, theirs) if task == "CAUSAL_LM" else None


def generated(sinter, folder, variant, model):
    """What comes next, beside PEFT's generate, of rows that are padded in front, too."""
    one = {"input_ids": torch.randint(1, VOCAB, (BATCH, SEQ), generator=torch.Generator().manual_seed(7))}
    one["attention_mask"] = torch.ones_like(one["input_ids"])
    one["input_ids"][1, :2] = one["attention_mask"][1, :2] = 0
    save_file(one, folder + "/in.safetensors")
    for told in ({}, {"num_beams": 3}):
        with torch.no_grad():
            want = model.generate(**one, max_new_tokens=8, do_sample=False, pad_token_id=0, **told)
        words = [w for k, v in told.items() for w in ("--" + k.replace("_", "-"), str(v))]
        done = subprocess.run([sinter, "generate", folder + "/model", "--adapter", folder + "/ours", "--inputs", folder + "/in.safetensors",
                               "--outputs", folder + "/out.safetensors", "--max-new-tokens", "8", "--pad-token-id", "0", "--quant",
                               quant_of(variant), *words], capture_output=True, text=True)
        if done.returncode:
            return f"generate {told}: " + done.stderr[-600:]
        got = load_file(folder + "/out.safetensors")["sequences"]
        if not torch.equal(got, want):
            return f"generate {told}: {got.tolist()}, expected {want.tolist()}"
    return None


def main():
    p = argparse.ArgumentParser()
    p.add_argument("sinter")
    p.add_argument("conform")
    p.add_argument("--seed", default=1, type=int)
    p.add_argument("--count", default=0, type=int, help="this many problems; 0: all")
    p.add_argument("--part", default="", help="only problems whose name has this part")
    p.add_argument("--device", default="interp", help="programs are tiny and many: those of a CPU take long to compile")
    p.add_argument("--only", choices=["theirs", "ours"])
    p.add_argument("--keep", help="leave the last problem in this folder")
    p.add_argument("-v", action="store_true", help="print what passes, too")
    args = p.parse_args()
    os.environ["SINTER_DEVICE"] = args.device
    every = [(f, t, v) for f in FAMILIES for t in TASKS for v in VARIANTS if not refuses(v, f, t)]
    every = [e for e in every if args.part in " ".join(e)]
    if args.count and args.count < len(every):
        every = random.Random(args.seed).sample(every, args.count)
    passed = failed = skipped = 0
    for family, task, variant in every:
        with tempfile.TemporaryDirectory() as folder:
            why = []
            try:
                cls, given, fresh, line, x = theirs(folder, family, task, variant, args.seed)
            except Exception as e:
                skipped += 1
                print(f"skip {family} {task} {variant}: PEFT: {str(e)[:200]}", flush=True)
                continue
            if args.only != "ours" and variant != "lora pissa_niter":  # at random: PEFT itself cannot read it back
                done = subprocess.run([args.conform, folder, "--check", "--device", args.device], capture_output=True, text=True)
                told = [t for t in (done.stdout + done.stderr).splitlines() if "EXCEEDS" in t or "conform" in t]
                why += ["theirs: " + " | ".join(told)[:900]] if done.returncode else []
            if args.only != "theirs":
                problem = ours(args.sinter, folder, task, variant, cls, given, fresh, line, x)
                why += [f"ours: {problem}"] if problem else []
            if args.keep:
                shutil.rmtree(args.keep, ignore_errors=True)
                shutil.copytree(folder, args.keep)
        passed += not why
        failed += bool(why)
        if why or args.v:
            print(f"{'FAIL' if why else 'ok  '} {family} {task} {variant}", *why, sep="\n     " if why else " ", flush=True)
    print(f"adapters: {passed} passed, {failed} failed, {skipped} that PEFT refuses", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
