"""Metrics on random inputs against scikit-learn and SciPy: random_metrics.py SINTER [SEED].

Made with scikit-learn 1.9.1, scipy 1.17.1."""
import json
import math
import random
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import scipy.stats as stats
import sklearn.metrics as m

warnings.filterwarnings("ignore")


def ours(sinter, name, given):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump(given, f)
        f.flush()
        p = subprocess.run([sinter, "eval", name, f.name], capture_output=True, text=True)
    return json.loads(p.stdout)[name] if p.returncode == 0 else None


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


def main():
    sinter, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    r, bad = random.Random(seed), 0
    for i in range(400):
        name, given, want = r.choice([classes, numbers])(r)
        got = ours(sinter, name, given)
        if (got is None) != (want is None) or (got is not None and not same(got, want)):
            bad += 1
            print(i, name, json.dumps(given), "sinter", got, "library", want)
    print(f"seed {seed}: {bad} of 400 differ")
    sys.exit(bad != 0)


main()
