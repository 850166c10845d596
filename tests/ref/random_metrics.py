"""Metrics on random inputs against the packages that have them: random_metrics.py SINTER [SEED].

Made with scikit-learn 1.9.1, scipy 1.17.1, sacrebleu 2.6.0, rouge_score 0.1.2, seqeval 1.2.2, jiwer 4.0.0."""
import json
import math
import random
import subprocess
import sys
import tempfile
import warnings

import jiwer
import numpy as np
import sacrebleu.metrics as sb
import scipy.stats as stats
import seqeval.metrics as sq
import seqeval.scheme as sqs
import sklearn.metrics as m
from rouge_score import rouge_scorer

warnings.filterwarnings("ignore")


def ours(sinter, name, given):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump(given, f)
        f.flush()
        p = subprocess.run([sinter, "eval", name, f.name], capture_output=True, text=True)
    return json.loads(p.stdout) if p.returncode == 0 else None


def same(a, b):
    a, b = np.asarray(a, float), np.asarray(b, float)
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-9, atol=1e-9, equal_nan=True)


def classes(r):
    n, k = r.randint(1, 30), r.randint(2, 5)
    names = r.choice([list(range(k)), list(range(-1, k - 1)), ["a", "bé", "", "c", "B"][:k]])
    pred, ref = [r.choice(names) for _ in range(n)], [r.choice(names) for _ in range(n)]
    weight = r.choice([None, [round(r.random(), 2) + 0.01 for _ in range(n)]])
    given = {"predictions": pred, "references": ref, "sample_weight": weight}
    name = r.choice(["accuracy", "precision", "recall", "f1", "matthews_correlation", "cohen_kappa",
                     "confusion_matrix", "balanced_accuracy"])
    more = {}
    if name in ("precision", "recall", "f1"):
        more = {"average": r.choice(["binary", "micro", "macro", "weighted", None]),
                "zero_division": r.choice([0, 1, math.nan]),
                "labels": r.choice([None, r.sample(names, r.randint(1, k))])}
        if more["average"] == "binary":
            more |= {"pos_label": r.choice(names), "labels": None}
    elif name == "cohen_kappa":
        more = {"weights": r.choice([None, "linear", "quadratic"])}
    elif name == "confusion_matrix":
        more = {"normalize": r.choice([None, "true", "pred", "all"])}
    elif name == "accuracy":
        more = {"normalize": r.choice([True, False])}
    elif name == "balanced_accuracy":
        more = {"adjusted": r.choice([True, False])}
    f = {"precision": m.precision_score, "recall": m.recall_score, "f1": m.f1_score,
         "accuracy": m.accuracy_score, "matthews_correlation": m.matthews_corrcoef,
         "cohen_kappa": m.cohen_kappa_score, "confusion_matrix": m.confusion_matrix,
         "balanced_accuracy": m.balanced_accuracy_score}[name]
    try:
        want = f(ref, pred, sample_weight=weight, **more)
    except ValueError:
        want = None
    return name, given | more, want


def numbers(r):
    n = r.randint(2, 30)
    digits = r.choice([0, 1, 6])
    x, y = ([round(r.gauss(0, 2), digits) for _ in range(n)] for _ in range(2))
    weight = r.choice([None, [round(r.random(), 2) + 0.01 for _ in range(n)]])
    name = r.choice(["pearsonr", "spearmanr", "kendalltau", "mse", "mae", "r2", "roc_auc", "average_precision"])
    if name in ("roc_auc", "average_precision"):
        y = [r.randint(0, 1) for _ in range(n)]
        y[:2] = [0, 1]
        f = {"roc_auc": m.roc_auc_score, "average_precision": m.average_precision_score}[name]
        return name, {"prediction_scores": x, "references": y}, f(y, x)
    given = {"predictions": x, "references": y}
    if name in ("mse", "mae", "r2"):
        f = {"mse": m.mean_squared_error, "mae": m.mean_absolute_error, "r2": m.r2_score}[name]
        return name, given | {"sample_weight": weight}, f(y, x, sample_weight=weight)
    return name, given, getattr(stats, name)(x, y)[0]


PIECES = ("the The a cat cats running ponies relational U.S. 3.14 1,000 -- \"q\" it's don't e-mail 5-6 &amp; &quot; (hi) "
          "naïve Σίσυφος ΟΔΟΣ 北京 カタ 𝒳 ½ é. . , ? ! hopefulness generalization sky skies dying news aaaa "
          "logically yyy agreed feed hopping falling fizzed filing happy enjoy sensibiliti 。 $5 #x a/b <x> \t \n -").split(" ")


def sentence(r, most=14):
    return "".join(r.choice(PIECES) + r.choice([" ", " ", " ", "", "  ", "\n"]) for _ in range(r.randint(0, most)))


def near(r, text):
    words = text.split(" ")
    for _ in range(r.randint(0, 4)):
        at = r.randint(0, len(words))
        n = r.randint(0, 3)
        moved, words = words[at:at + n], words[:at] + words[at + n:]
        at = r.randint(0, len(words))
        words[at:at] = r.choice([moved, [r.choice(PIECES)], []])
    return " ".join(words)


def texts(r):
    n, k = r.randint(1, 6), r.randint(1, 3)
    refs = [[sentence(r, 30) for _ in range(k)] for _ in range(n)]
    preds = [near(r, r.choice(x)) if r.random() < 0.9 else sentence(r) for x in refs]
    streams = [list(x) for x in zip(*refs)]
    name = r.choice(["sacrebleu", "chrf", "ter", "rouge", "wer", "cer"])
    given = {"predictions": preds, "references": refs}
    flag = lambda: r.choice([True, False])
    if name == "sacrebleu":
        smooth = r.choice(["exp", "floor", "add-k", "none"])
        more = {"tokenize": r.choice(["13a", "intl", "char", "zh", "none"]), "smooth_method": smooth,
                "smooth_value": r.choice([None, 0.3]) if smooth in ("floor", "add-k") else None,
                "lowercase": flag()}
        effective, order = flag(), r.randint(1, 5)
        b = sb.BLEU(effective_order=effective, max_ngram_order=order, **more)
        x = b.corpus_score(preds, streams)
        want = {"score": x.score, "counts": x.counts, "totals": x.totals, "precisions": x.precisions, "bp": x.bp,
                "sys_len": x.sys_len, "ref_len": x.ref_len}
        return name, given | more | {"use_effective_order": effective, "max_ngram_order": order}, want
    if name == "chrf":
        more = {"char_order": r.randint(1, 7), "word_order": r.randint(0, 3), "beta": r.choice([1, 2, 3]),
                "lowercase": flag(), "whitespace": flag(), "eps_smoothing": flag()}
        return name, given | more, {"score": sb.CHRF(**more).corpus_score(preds, streams).score}
    if name == "ter":
        more = [flag() for _ in range(4)]
        x = sb.TER(normalized=more[0], no_punct=more[1], asian_support=more[2],
                   case_sensitive=more[3]).corpus_score(preds, streams)
        names = ["normalized", "ignore_punct", "support_zh_ja_chars", "case_sensitive"]
        return name, given | dict(zip(names, more)), {"score": x.score, "num_edits": x.num_edits,
                                                      "ref_length": x.ref_length}
    if name == "rouge":
        types = r.choice([["rouge1", "rouge2", "rougeL", "rougeLsum"], ["rouge3", "rougeLsum"]])
        stems = flag()
        scorer = rouge_scorer.RougeScorer(types, use_stemmer=stems)
        rows = [scorer.score_multi(x, y) for x, y in zip(refs, preds)]
        return name, given | {"rouge_types": types, "use_stemmer": stems, "use_aggregator": False}, {
            t: [x[t].fmeasure for x in rows] for t in types}
    given["references"] = [x[0] for x in refs]
    try:
        want = {"wer": jiwer.wer, "cer": jiwer.cer}[name](given["references"], preds)
    except ValueError:
        want = None
    return name, given, want if want is None else {name: want}


def tags(r):
    letters = r.choice(["IOB", "IOB", "IOE", "IOBES", "BILOU", "IOBX"])
    types = r.choice([["PER", "LOC", "ORG"], ["A", "A-B", ""]])
    suffix, strict = r.choice([True, False]), r.choice([True, False])

    def tag():
        c, t = r.choice(letters), r.choice(types)
        return c if c == "O" or t == "" else f"{t}-{c}" if suffix else f"{c}-{t}"

    sizes = [r.randint(1, 12)] + [r.randint(0, 12) for _ in range(r.randint(0, 4))]
    ref = [[tag() for _ in range(n)] for n in sizes]
    pred = [[x if r.random() < 0.7 else tag() for x in row] for row in ref]
    zero = r.choice([0, 1])
    scheme = r.choice([None, "IOB1", "IOE1", "IOB2", "IOE2", "IOBES", "BILOU"]) if strict else None
    given = {"predictions": pred, "references": ref, "suffix": suffix, "zero_division": zero,
             "mode": "strict" if strict else None, "scheme": scheme}
    try:
        report = sq.classification_report(ref, pred, suffix=suffix, output_dict=True, mode="strict" if strict else None,
                                          scheme=getattr(sqs, scheme) if scheme else None, zero_division=zero)
        accuracy = sq.accuracy_score(ref, pred)
    except (ValueError, KeyError, IndexError, ZeroDivisionError):
        return "seqeval", given, None
    micro = report.pop("micro avg")
    want = {k: [v["precision"], v["recall"], v["f1-score"], v["support"]] for k, v in report.items() if " avg" not in k}
    want |= {"overall_precision": micro["precision"], "overall_recall": micro["recall"],
             "overall_f1": micro["f1-score"], "overall_accuracy": accuracy}
    return "seqeval", given, want


def same_all(name, got, want):
    if not isinstance(want, dict):
        return same(got[name], want)
    got = {k: list(v.values()) if isinstance(v, dict) else v for k, v in got.items()}
    return all(k in got and same(got[k], want[k]) for k in want)


def main():
    sinter, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    r, bad = random.Random(seed), 0
    for i in range(400):
        name, given, want = r.choice([classes, numbers, texts, texts, tags])(r)
        got = ours(sinter, name, given)
        if (got is None) != (want is None) or (got is not None and not same_all(name, got, want)):
            bad += 1
            print(i, name, json.dumps(given), "sinter", got, "library", want)
    print(f"seed {seed}: {bad} of 400 differ")
    sys.exit(bad != 0)


main()
