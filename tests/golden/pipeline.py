#!/usr/bin/env python3
"""Makes tests/golden/pipeline: tiny models with random weights, and what transformers.pipeline gives for them.

Run once with transformers 5.23.0 and once with 4.57.1 (question-answering, which later versions lack); torch 2.15.0,
tokenizers 0.23.3 and 0.22.1. A case has the form of the conformance program: case.json, data.json, model/.
"""
import json
import pathlib
import shutil

import numpy
import tokenizers
import torch
import transformers as T

here = pathlib.Path(__file__).parent / "pipeline"
words = """[PAD] [UNK] [CLS] [SEP] [MASK] the paris is capital of france hello world quick brown fox dog lazy over who
where what lives in berlin angela sea big it was this example do n ' t s . , ! ? - ( ) 東 京 naive cafe""".split()
letters = [c for c in "abcdefghijklmnopqrstuvwxyz0123456789"]
long = "angela lives in paris , the capital of france . " * 6 + "the quick brown fox is in berlin ."
odd = "  Naïve café — 東京 😀 don't\tstate-of-the-art "


def tokenizer(folder, **config):
    vocab = list(dict.fromkeys(words + letters + ["##" + c for c in letters]))
    t = tokenizers.Tokenizer(tokenizers.models.WordPiece({w: i for i, w in enumerate(vocab)}, unk_token="[UNK]"))
    t.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    t.decoder = tokenizers.decoders.WordPiece()
    t.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    t.add_special_tokens(words[:5])
    names = {k: f"[{k[:-6].upper()}]" for k in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")}
    folder.mkdir(parents=True)
    t.save(str(folder / "tokenizer.json"))
    config = {"model_max_length": 24, "tokenizer_class": "BertTokenizerFast", **names, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    return len(vocab)


def model(folder, family, head, vocab, labels, seed, **config):
    size = {"Bert": dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16),
            "DistilBert": dict(dim=8, n_layers=1, n_heads=2, hidden_dim=16),
            "Electra": dict(embedding_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                            intermediate_size=16)}[family]
    named = dict(id2label=dict(enumerate(labels)), label2id={l: i for i, l in enumerate(labels)}) if labels else {}
    c = getattr(T, family + "Config")(vocab_size=vocab, max_position_embeddings=48, **size, **named, **config)
    m = getattr(T, family + head)(c).eval()
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in m.parameters():
            p.copy_(torch.randn(p.shape, generator=g) * (0.6 if p.ndim > 1 else 0.3) + (p.ndim == 1) * 0.4)
    m.save_pretrained(folder)


def plain(v):
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [plain(x) for x in v]
    return v.item() if isinstance(v, numpy.generic) else v


def call(p, task, value, kwargs):
    kwargs = json.loads(json.dumps(kwargs))
    if task == "zero-shot-classification":
        return p(value["sequences"], candidate_labels=value["candidate_labels"], **kwargs)
    return p(value, **kwargs)


none_to_max = [{"aggregation_strategy": s} for s in ("none", "simple", "first", "average", "max")]
pair = {"text": "who lives in paris ?", "text_pair": odd}
about = {"question": "where is the capital ?", "context": "Paris is the capital of France. PARIS is big; paris!"}
cases = [
    ("fill-mask", "Electra", "ForMaskedLM", None, {}, {"clean_up_tokenization_spaces": True}, [
        ("paris is the [MASK] of france", {}), ("[MASK] don [MASK] t , who ?", {"top_k": 3}),
        (["the [MASK] fox", odd + "[MASK]"], {"top_k": 2}), (["the [MASK] fox"], {"top_k": 1}),
        ("the [MASK]", {"targets": ["fox", "Fox", "foxes", "fox"]}), ("the [MASK] .", {"targets": "dog", "top_k": 9}),
        (long + "[MASK]", {"tokenizer_kwargs": {"truncation": True}}), ("no mask", {}), ("[MASK]", {"top_k": 9999}),
        ("the [MASK]", {"tokenizer_kwargs": {"padding": "max_length", "max_length": 9}})]),
    ("text-classification", "Bert", "ForSequenceClassification", ["NEG", "NEU", "POS"], {}, {}, [
        ("paris is big", {}), ("", {}), (odd, {"top_k": None}), ([odd, "fox"], {}), ([odd, "fox"], {"top_k": 2}),
        (pair, {}), ([pair, {"text": "fox"}], {"top_k": -1}), ([[["who ?", "fox"]]], {}),
        (odd, {"function_to_apply": "sigmoid", "top_k": 9}), (odd, {"function_to_apply": "NONE"}),
        (long, {"truncation": True}), (long, {"max_length": 7}), (pair, {"truncation": "only_second", "max_length": 12}),
        (odd, {"function_to_apply": "what"}), ([], {}), (["fox"], {"top_k": 0})]),
    ("text-classification", "DistilBert", "ForSequenceClassification", ["A", "B"],
     {"problem_type": "multi_label_classification"}, {"tokenizer_class": "DistilBertTokenizerFast"},
     [(odd, {}), (pair, {"top_k": None}), ({"text": odd}, {})]),
    ("token-classification", "Bert", "ForTokenClassification", ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], {}, {},
     [(odd, k) for k in none_to_max] + [(long, k | {"stride": 4}) for k in none_to_max[1:]] +
     [(long, {}), (long, {"stride": 3}), ([odd, "fox"], {}), ("", {}), (odd, {"ignore_labels": []}),
      (odd, {"aggregation_strategy": "simple", "ignore_labels": ["LOC"]}), (long, {"stride": 24}),
      (odd, {"aggregation_strategy": "what"}), (long, {"stride": 4, "aggregation_strategy": "none"})]),
    ("feature-extraction", "DistilBert", "Model", None, {}, {"tokenizer_class": "DistilBertTokenizerFast"}, [
        ("fox", {}), (["fox", "the dog"], {}), (long, {"truncation": True}),
        ("fox", {"tokenize_kwargs": {"padding": "max_length", "max_length": 6}})]),
    ("zero-shot-classification", "Electra", "ForSequenceClassification", ["contradiction", "neutral", "Entailment"], {},
     {"truncation_side": "left"}, [
        ({"sequences": odd, "candidate_labels": ["fox", "sea", "big dog"]}, {}),
        ({"sequences": ["fox", long], "candidate_labels": "fox, sea ,, dog"}, {"multi_label": True}),
        ({"sequences": "fox", "candidate_labels": "one"}, {"hypothesis_template": "{{it}} was {0}."}),
        ({"sequences": "fox", "candidate_labels": ["a", "b"]}, {"hypothesis_template": long + "{}"}),
        ({"sequences": "fox", "candidate_labels": ["a"]}, {"hypothesis_template": "no place"}),
        ({"sequences": "", "candidate_labels": ["a"]}, {}), ({"sequences": "fox", "candidate_labels": []}, {})]),
    ("question-answering", "Bert", "ForQuestionAnswering", None, {}, {}, [
        (about, {}), (about, {"top_k": 3}), (about, {"handle_impossible_answer": True, "top_k": 2}),
        (about, {"align_to_words": False}), (about, {"max_answer_len": 1}), ([about, about], {"top_k": 1}),
        ({"question": "who ?", "context": long}, {}), ({"question": "who ?", "context": odd}, {}),
        ({"question": "who ?", "context": long}, {"max_seq_len": 16, "doc_stride": 4, "top_k": 4}),
        ({"question": "who ?", "context": long}, {"max_seq_len": 40}), (about, {"top_k": 0}),
        ({"question": "", "context": "fox"}, {}), (about, {"doc_stride": 99}),
        ({"question": long, "context": "fox"}, {})]),
]

is_old = T.__version__.startswith("4.")
T.logging.set_verbosity_error()
for i, (task, family, head, labels, config, tokens, rows) in enumerate(cases):
    if (task == "question-answering") != is_old:
        continue
    name = f"{task}-{family.lower()}"
    shutil.rmtree(here / name, ignore_errors=True)
    folder = here / name / "model"
    model(folder, family, head, tokenizer(folder, **tokens), labels, i, **config)
    p = T.pipeline(task, model=str(folder), device="cpu")
    out = []
    for value, kwargs in rows:
        row = {"input": value, "kwargs": kwargs}
        try:
            row["expected"] = plain(call(p, task, value, kwargs))
        except BaseException as e:  # the Rust library panics
            row["expected_error"] = type(e).__name__
        out.append(row)
    about_case = {"name": name, "kind": "pipeline", "task": task, "model": "model", "data": "data.json",
                  "library": {"transformers": T.__version__}, "tolerance": {"atol": 1e-5, "rtol": 1e-4}}
    (here / name / "case.json").write_text(json.dumps(about_case, indent=1) + "\n")
    (here / name / "data.json").write_text(json.dumps({"task": task, "rows": out}, ensure_ascii=False) + "\n")
