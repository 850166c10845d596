#!/usr/bin/env python3
"""`sinter train` as a user meets it: tiny models on texts that are made here.

Usage: train_test.py SINTER [KILLS]. A run that stops at any moment and goes on from its last checkpoint ends with
the bytes of the run that did not stop. Standard library only."""
import array
import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time

SINTER = sys.argv[1]
KILLS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
ROOT = tempfile.mkdtemp(prefix="sinter-train-")
SPECIAL = ["[PAD]", "[MASK]", "[CLS]"]
LLAMA = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "vocab_size": 64,
         "tie_word_embeddings": True, "rms_norm_eps": 1e-5}
BERT = {"model_type": "bert", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 64, "vocab_size": 64, "type_vocab_size": 2}


def path(name):
    return os.path.join(ROOT, name)


def write(name, text):
    with open(path(name), "w") as f:
        f.write(text)
    return path(name)


def make_files():
    os.mkdir(path("tokenizer"))
    letters = " \nabcdefghijklmnopqrstuvwxyz.,"
    vocab = {c: i for i, c in enumerate(SPECIAL + list(letters))}
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i, t in enumerate(SPECIAL)]
    write("tokenizer/tokenizer.json", json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
        "pre_tokenizer": None, "post_processor": None, "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": []}}))
    write("tokenizer/tokenizer_config.json", json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "mask_token": "[MASK]",
        "cls_token": "[CLS]", "model_max_length": 64}))
    write("text.txt", "the cat sat on the mat, the dog sat on the log.\n" * 60)
    rows = [{"text": ("good " if i % 2 else "bad ") + "abcdefgh"[i % 8] * (i % 5 + 1), "label": i % 2}
            for i in range(64)]
    write("rows.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    write("tags.jsonl", "".join(json.dumps(
        {"tokens": ["the", "cat", "sat"][: i % 3 + 1], "ner_tags": ["O", "B-cat", "O"][: i % 3 + 1]}) + "\n"
        for i in range(24)))


def config(name, **more):
    base = {"init_from_config": LLAMA, "tokenizer_name": path("tokenizer"), "task": "text-generation",
            "train_file": path("text.txt"), "block_size": 32, "output_dir": path(name), "max_steps": 24,
            "per_device_train_batch_size": 4, "learning_rate": 3e-3, "logging_steps": 4, "save_steps": 6}
    base.update(more)
    return write(name + ".json", json.dumps({k: v for k, v in base.items() if v is not None}))


def command(file):
    return [SINTER, "train", file, "-q", "--threads", "1"]


def train(file, **more):
    return subprocess.run(command(file), capture_output=True, text=True, timeout=600, **more)


def must(file, **more):
    r = train(file, **more)
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def fails(file, *parts, **more):
    r = train(file, **more)
    assert r.returncode in (1, 3), (r.returncode, r.stdout)
    for p in parts:
        assert p in r.stderr, (p, r.stderr)


def data(*names):
    with open(os.path.join(ROOT, *names), "rb") as f:
        return f.read()


def state(run, step):
    return json.loads(data(run, "checkpoint-%d" % step, "trainer_state.json"))


def test_plain():
    r = must(config("plain"))
    assert r["global_step"] == 24
    lines = [json.loads(x) for x in data("plain", "train_log.jsonl").splitlines()]
    losses = [x["loss"] for x in lines if "loss" in x]
    assert len(losses) == 6 and losses[-1] < 0.8 * losses[0], losses
    assert state("plain", 24)["log_history"][:6] == lines[:6]
    assert b"<svg" in data("plain", "loss.svg")
    card = data("plain", "README.md").decode()
    assert card.startswith("---\nlibrary_name: transformers\n") and "- learning_rate: " in card


def test_resume():
    must(config("resumed", resume_from_checkpoint=path("plain/checkpoint-12")))
    assert data("resumed", "model.safetensors") == data("plain", "model.safetensors")
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert data("resumed", "checkpoint-24", name) == data("plain", "checkpoint-24", name), name


def idx(name, dims, values):
    head = bytes([0, 0, 8, len(dims)]) + b"".join(n.to_bytes(4, "big") for n in dims)
    with open(path(name), "wb") as f:
        f.write(head + bytes(values))
    return path(name)


def test_images():
    """Dark ones and bright ones; running statistics are in checkpoints."""
    rng = random.Random(3)
    labels = [i % 2 for i in range(48)]
    files = [idx("images-ubyte", [48, 12, 12], [rng.randrange(90) + 160 * k for k in labels for _ in range(144)]),
             idx("labels-ubyte", [48], labels)]
    os.mkdir(path("resnet"))
    write("resnet/config.json", json.dumps(dict(model_type="resnet", num_channels=1, embedding_size=8,
                                                hidden_sizes=[8], depths=[1], layer_type="basic")))
    more = dict(task="image-classification", init_from_config=path("resnet"), tokenizer_name=None, block_size=None,
                train_file=files, validation_file=files, eval_strategy="epoch")
    must(config("seen", **more))
    lines = [json.loads(x) for x in data("seen", "train_log.jsonl").splitlines()]
    assert [x for x in lines if "eval_accuracy" in x][-1]["eval_accuracy"] == 1, lines
    assert json.loads(data("seen", "preprocessor_config.json"))["size"] == {"height": 12, "width": 12}
    must(config("seen-on", **more, resume_from_checkpoint=path("seen/checkpoint-12")))
    assert data("seen-on", "model.safetensors") == data("seen", "model.safetensors")
    assert b"running_mean" in data("seen", "model.safetensors")
    fails(config("coloured", **{**more, "init_from_config": dict(model_type="resnet", embedding_size=8, hidden_sizes=[8], depths=[1]),
                               "tokenizer_name": path("seen")}),
          "an image of 1 channels, the model has 3")


def check_whole(run):
    for e in os.listdir(path(run)) if os.path.isdir(path(run)) else []:
        if e.startswith("checkpoint-") and not e.endswith(".unfinished"):
            step = int(e.split("-")[1])
            assert state(run, step)["global_step"] == step
            for name in ("model.safetensors", "optimizer.safetensors", "config.json", "tokenizer.json"):
                assert data(run, e, name) == data("plain", e, name) or name == "config.json", (e, name)


def test_kill():
    rng = random.Random(7)
    for k in range(KILLS):
        begin = time.time()
        last = [e for e in (os.listdir(path("killed")) if os.path.isdir(path("killed")) else [])
                if e.startswith("checkpoint-") and not e.endswith(".unfinished")]
        p = subprocess.Popen(command(config("killed", resume_from_checkpoint=True if last else None)),
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(rng.random() * test_kill.seconds)
        p.send_signal(signal.SIGKILL)
        p.wait()
        check_whole("killed")
    last = [e for e in os.listdir(path("killed")) if e.startswith("checkpoint-")] if os.path.isdir(
        path("killed")) else []
    must(config("killed", resume_from_checkpoint=True if [e for e in last if "." not in e] else None))
    assert data("killed", "model.safetensors") == data("plain", "model.safetensors")
    assert not [e for e in os.listdir(path("killed")) if e.endswith(".unfinished")]


def test_limit_and_best():
    must(config("best", validation_split=0.2, init_from_config=BERT, task="text-classification",
                train_file=path("rows.jsonl"), block_size=None, eval_strategy="steps", eval_steps=6,
                save_total_limit=1, load_best_model_at_end=True, metric_for_best_model="accuracy",
                early_stopping_patience=2, report_to="tensorboard"))
    left = [e for e in os.listdir(path("best")) if e.startswith("checkpoint-")]
    s = state("best", max(int(e.split("-")[1]) for e in left))
    assert 1 <= len(left) <= 2 and s["best_metric"] is not None, left
    assert os.path.basename(s["best_model_checkpoint"]) in left, (s["best_model_checkpoint"], left)
    assert json.loads(data("best", "config.json"))["architectures"] == ["BertForSequenceClassification"]
    card = data("best", "README.md").decode()
    assert "metrics:\n- accuracy\n" in card and "| Training Loss | Epoch | Step | Validation Loss | Accuracy |" in card
    events = os.listdir(path("best/runs"))
    assert len(events) == 1 and b"eval/accuracy" in data("best", "runs", events[0])


def test_tasks():
    for whole in (False, True):
        must(config("masked", init_from_config=BERT, task="fill-mask", block_size=None, train_file=path("rows.jsonl"),
                    max_steps=4, save_strategy="no", whole_word_mask=whole))
    must(config("tagged", init_from_config=BERT, task="token-classification", block_size=None,
                train_file=path("tags.jsonl"), validation_file=path("tags.jsonl"), eval_strategy="epoch",
                num_train_epochs=1, max_steps=None, save_strategy="epoch"))
    assert json.loads(data("tagged", "config.json"))["id2label"] == {"0": "B-cat", "1": "O"}


def test_answers():
    """Where in a text the word behind "is" stands: windows of a context that share tokens."""
    rows = []
    for i in range(48):
        word, pad = "abcdefgh"[i % 8] * 2, "no. " * (i % 12)
        context = pad + "it is " + word + ". " + "so, " * (i % 5)
        rows.append({"question": " what", "context": context,
                     "answers": {"text": [word], "answer_start": [len(pad) + 6]} if i % 6 else
                     {"text": [], "answer_start": []}})
    file = write("answers.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    asked = dict(init_from_config=BERT, task="question-answering", block_size=None, train_file=file, max_length=40,
                 doc_stride=8, max_steps=60, save_strategy="no", validation_file=file, eval_strategy="epoch")
    must(config("answers", **asked))
    loss = logged("answers", "loss")
    assert loss[-1] < 0.7 * loss[0] and logged("answers", "eval_loss"), loss
    assert logged("answers", "eval_NoAns_exact")[-1] > 0 and logged("answers", "eval_best_f1")[-1] >= 8 / 48 * 100
    r = subprocess.run([SINTER, "run", path("answers"), "what", rows[1]["context"], "--task", "question-answering",
                        "-q", "--json"], capture_output=True, text=True, timeout=600)
    assert r.returncode == 0 and json.loads(r.stdout)["answer"] in rows[1]["context"], (r.stdout, r.stderr)
    must(config("smooth", **{**asked, "label_smoothing_factor": 0.1, "output_dir": path("smooth")}))
    assert logged("smooth", "loss") == loss  # answers have no labels
    fails(config("answers", **{**asked, "train_file": path("rows.jsonl")}), "question")
    worded = write("worded.jsonl", json.dumps({**rows[1], "answers": {"text": ["it"], "answer_start": ["0"]}}))
    fails(config("answers", **{**asked, "train_file": worded}), "column answers", "whole numbers")
    rows[3]["answers"] = {"text": ["so"], "answer_start": [500]}
    write("answers.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    fails(config("answers", **asked), "row 3", "no part of its context")


T5 = {"model_type": "t5", "d_model": 32, "d_kv": 8, "d_ff": 64, "num_heads": 4, "num_layers": 2, "vocab_size": 64,
      "relative_attention_num_buckets": 8, "dropout_rate": 0.0, "decoder_start_token_id": 0, "pad_token_id": 0,
      "eos_token_id": 1, "feed_forward_proj": "gated-gelu"}


def spread(run, tensor):
    file = data(run, "model.safetensors")
    n = struct.unpack("<Q", file[:8])[0]
    begin, end = json.loads(file[8:8 + n])[tensor]["data_offsets"]
    v = array.array("f", file[8 + n + begin:8 + n + end])
    return (sum(x * x for x in v) / len(v)) ** 0.5


def test_pairs():
    """The same texts by the names of each task: a T5 of a config learns the same of them."""
    texts = [("the " + "abcdefgh"[i % 8] * 3, "abcdefgh"[i % 8] * 2) for i in range(32)]
    rows = {"seq2seq-lm": lambda a, b: {"text": a, "target": b},
            "summarization": lambda a, b: {"body": a, "short": b},
            "translation": lambda a, b: {"translation": {"de": b, "en": a}}}
    more = {"seq2seq-lm": {}, "summarization": {"text_column": "body", "summary_column": "short"},
            "translation": {"source_lang": "en_XX", "target_lang": "de"}}
    losses = []
    for task in rows:
        file = write(task + ".jsonl", "".join(json.dumps(rows[task](*t)) + "\n" for t in texts))
        must(config(task, init_from_config=T5, task=task, block_size=None, train_file=file, source_prefix="say ",
                    save_strategy="no", max_steps=40, **more[task]))
        losses.append(logged(task, "loss"))
    assert losses[0] == losses[1] == losses[2] and losses[0][-1] < 0.7 * losses[0][0], losses
    must(config("new", init_from_config=T5, task="translation", block_size=None, train_file=file, max_steps=1,
                learning_rate=0, **more["translation"]))
    at = "decoder.block.1.layer."
    for name, want in (("shared", 1), (at + "0.SelfAttention.q", 256 ** -0.5), (at + "1.EncDecAttention.k", 32 ** -0.5),
                       (at + "0.SelfAttention.o", 32 ** -0.5), (at + "2.DenseReluDense.wo", 64 ** -0.5),
                       (at + "0.layer_norm", 1)):
        assert abs(spread("new", name + ".weight") / want - 1) < 0.1, (name, spread("new", name + ".weight"))
    asked = dict(init_from_config=T5, block_size=None, train_file=file)
    fails(config("new", task="translation", source_lang="en", **asked), "target_lang is not given")
    fails(config("new", task="translation", source_lang="en", target_lang="fr", **asked), "language fr")
    fails(config("new", task="summarization", source_lang="en", **asked), "of the task translation alone")


CLASSES = dict(init_from_config=BERT, task="text-classification", block_size=None)


def of_classes(name, **more):
    return config(name, **{**CLASSES, "train_file": path("rows.jsonl"), "validation_split": 0.25, "max_steps": 8,
                           "save_steps": 4, **more})


def weights(name, **more):
    must(of_classes(name, save_strategy="no", **more))
    return data(name, "model.safetensors")


def logged(name, key):
    return [x[key] for x in map(json.loads, data(name, "train_log.jsonl").splitlines()) if key in x]


def test_drawn():
    """Dropout of a config is drawn by seed and step; without it nothing is; an evaluation has none."""
    still = dict(BERT, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    one = weights("drawn")
    assert weights("drawn") == one
    assert weights("seed", seed=1, data_seed=42) != one
    none = weights("still", init_from_config=still)
    assert none != one and weights("noise", init_from_config=still, neftune_noise_alpha=5) != none
    more = dict(gradient_accumulation_steps=2, logging_steps=1)
    must(of_classes("micro", **more))
    must(of_classes("again", resume_from_checkpoint=path("micro/checkpoint-4"), **more))
    assert data("again", "model.safetensors") == data("micro", "model.safetensors")
    frozen = dict(learning_rate=0.0, eval_strategy="steps", eval_steps=4, save_strategy="no")
    must(of_classes("frozen", **frozen))
    must(of_classes("frozen_still", **{**frozen, "init_from_config": still}))
    assert logged("frozen", "eval_loss") == logged("frozen_still", "eval_loss")


def test_metrics():
    must(of_classes("metrics", eval_strategy="steps", eval_steps=8, save_strategy="no",
                    metrics="accuracy, f1:weighted,matthews_correlation,roc_auc"))
    for key in ("accuracy", "f1", "matthews_correlation", "roc_auc"):
        assert len(logged("metrics", "eval_" + key)) == 1, key
    must(config("seqeval", init_from_config=BERT, task="token-classification", block_size=None, max_steps=2,
                train_file=path("tags.jsonl"), validation_file=path("tags.jsonl"), eval_strategy="steps",
                eval_steps=2, save_strategy="no", metrics=["seqeval"]))
    assert len(logged("seqeval", "eval_overall_f1")) == 1


def test_predict():
    """Rows of a test file by the weights at the end: as an evaluation of them says."""
    file = path("rows.jsonl")
    r = must(of_classes("said", do_predict=True, test_file=file, validation_split=None, validation_file=file,
                        eval_strategy="epoch", max_steps=16))
    said = [json.loads(x) for x in data("said", "predictions.jsonl").splitlines()]
    labels = [json.loads(x)["label"] for x in data("rows.jsonl").splitlines()]
    right = sum(x["prediction"] == "LABEL_%d" % y for x, y in zip(said, labels)) / len(labels)
    assert [x["index"] for x in said] == list(range(len(labels))) and abs(r["test_accuracy"] - right) < 1e-12, r
    assert r["test_loss"] == logged("said", "eval_loss")[-1], r
    tags = path("tags.jsonl")
    must(config("said_tags", init_from_config=BERT, task="token-classification", block_size=None, train_file=tags,
                max_steps=2, do_predict=True, test_file=tags))
    said = [json.loads(x)["prediction"] for x in data("said_tags", "predictions.jsonl").splitlines()]
    assert [len(x) for x in said] == [i % 3 + 1 for i in range(24)] and set(sum(said, [])) <= {"O", "B-cat"}, said
    fails(of_classes("said", test_file=file), "one needs the other")
    fails(config("said", do_predict=True, test_file=path("text.txt")), "do_predict")


def test_search():
    asked = dict(init_from_config=BERT, task="text-classification", block_size=None, train_file=path("rows.jsonl"),
                 validation_file=path("rows.jsonl"), max_steps=6, save_strategy="no", eval_strategy="epoch")
    grid = {"method": "grid", "direction": "maximize", "objective": "accuracy",
            "space": {"learning_rate": [1e-5, 1e-2], "per_device_train_batch_size": {"low": 4, "high": 8, "step": 4}}}
    r = train(config("grid", **asked, hyperparameter_search=grid))
    assert r.returncode == 0 and len(r.stdout.splitlines()) == 6, (r.stdout, r.stderr)
    found = json.loads(data("grid", "hyperparameter_search.json"))
    tried = [(t["hyperparameters"]["learning_rate"], t["hyperparameters"]["per_device_train_batch_size"]) for t in found["trials"]]
    assert tried == [(1e-5, 4), (1e-5, 8), (1e-2, 4), (1e-2, 8)], tried
    best = max(found["trials"], key=lambda t: t["metrics"]["eval_accuracy"])
    assert found["best_run"]["run_id"] == best["run_id"] and best["objective"] == best["metrics"]["eval_accuracy"], found
    assert data("grid", "run-3", "model.safetensors")
    twice = []
    for name in ("drawn", "drawn-again"):
        drawn = {"n_trials": 3, "seed": 5, "space": {"learning_rate": {"low": 1e-5, "high": 1e-2, "log": True}, "seed": [1, 2]}}
        assert train(config(name, **asked, hyperparameter_search=drawn)).returncode == 0
        twice.append([t["hyperparameters"] for t in json.loads(data(name, "hyperparameter_search.json"))["trials"]])
    assert twice[0] == twice[1] and len({t["learning_rate"] for t in twice[0]}) == 3, twice
    assert all(1e-5 <= t["learning_rate"] <= 1e-2 and t["seed"] in (1, 2) for t in twice[0]), twice
    failing = {"method": "grid", "space": {"learning_rate": [1e-3, 1e30]}, "objective": "loss"}
    assert train(config("failing", **asked, hyperparameter_search=failing)).returncode == 0
    trials = json.loads(data("failing", "hyperparameter_search.json"))["trials"]
    assert "error" not in trials[0] and trials[1]["objective"] is None and "step" in trials[1]["error"], trials


def test_plateau():
    """A rate that evaluations lower, and that a checkpoint keeps with what they counted."""
    told = dict(eval_strategy="steps", eval_steps=1, lr_scheduler_type="reduce_lr_on_plateau", logging_steps=1,
                lr_scheduler_kwargs={"patience": 1, "factor": 0.5, "mode": "max", "cooldown": 1})
    must(of_classes("plateau", **told))
    rates = logged("plateau", "learning_rate")
    assert rates[0] == 3e-3 and rates[-1] in (3e-3 * 0.5 ** k for k in range(1, 5)), rates
    must(of_classes("plateau_again", resume_from_checkpoint=path("plateau/checkpoint-4"), **told))
    assert logged("plateau_again", "learning_rate") == rates[4:]
    assert data("plateau_again", "model.safetensors") == data("plateau", "model.safetensors")


def test_memory():
    """Less memory, and the same bytes; a budget that cannot be kept says what can, and that is kept."""
    gpt = {"model_type": "gpt2", "n_embd": 32, "n_layer": 4, "n_head": 4, "n_positions": 64, "vocab_size": 64}
    more = dict(init_from_config=gpt, max_steps=6, logging_steps=1, save_strategy="no")
    must(config("kept", **more))
    no = train(config("impossible", memory_budget=10000, **more))
    said = "memory_budget: 10000 bytes, a run takes "
    assert no.returncode == 3 and said in no.stderr, no.stderr
    least = int(no.stderr.split(said)[1].split()[0])
    for name, told in [("roomy", {"memory_budget": "300MB"}), ("narrow", {"memory_budget": least}),
                       ("layers", {"gradient_checkpointing": True})]:
        must(config(name, **told, **more))
        assert logged(name, "loss") == logged("kept", "loss"), name
        assert data(name, "model.safetensors") == data("kept", "model.safetensors"), name


def test_bad_input():
    fails(config("typo", learning_rat=1), "learning_rat", "learning_rate")
    fails(config("range", adam_beta1=2), "adam_beta1")
    fails(config("empty", train_file=write("empty.txt", "")), "train_file")
    classes = dict(CLASSES, max_steps=2)
    rows = write("wrong.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": 5}\n')
    fails(config("label", num_labels=2, train_file=rows, **classes), "num_labels")
    fails(config("evaluated", train_file=path("rows.jsonl"), validation_file=rows, **classes), "row 1", "label 5")
    fails(config("nan", learning_rate=1e30, max_grad_norm=0), "step 2", "loss", "first in", "near ", "blocks")
    fails(of_classes("metric", metrics="acuracy"), "acuracy")
    fails(of_classes("hub", push_to_hub=True), "push_to_hub")
    fails(of_classes("kwargs", lr_scheduler_kwargs={"num_cycle": 3}), "linear", "num_cycle")
    fails(of_classes("argument", optim_args={"alpah": [1]}), "alpah")
    fails(of_classes("plateau_alone", lr_scheduler_type="reduce_lr_on_plateau"), "eval_strategy")
    fails(of_classes("budget", memory_budget="much"), "memory_budget", "2GB")
    fails(config("file", output_dir=path("text.txt")), "text.txt")


def test_disk_full():
    """A limit on the size of files stands for a disk without room."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))
    must(config("full", max_steps=6))
    before = data("full", "checkpoint-6", "model.safetensors")
    fails(config("full", resume_from_checkpoint=True), "checkpoint-12", "cannot write", preexec_fn=limit)
    assert data("full", "checkpoint-6", "model.safetensors") == before
    assert not [e for e in os.listdir(path("full")) if "12" in e]


make_files()
begin = time.time()
test_plain()
test_kill.seconds = max(0.5, time.time() - begin)
for test in (test_resume, test_kill, test_limit_and_best, test_tasks, test_answers, test_pairs, test_images, test_drawn,
             test_metrics, test_predict, test_search, test_plateau, test_memory, test_bad_input, test_disk_full):
    test()
    print("ok", test.__name__)
subprocess.run(["rm", "-rf", ROOT], check=True)
