#!/usr/bin/env python3
"""random_data.py SINTER [--count 30]: random csv, jsonl, json, text, Arrow and Parquet files: rows and types as datasets.load_dataset
and load_from_disk have them, orders of shuffle, sort, split and shard, rows of filter and map, casts of nested types, chains of operations, and folders and Arrow files
that sinter writes, read by datasets. Needs datasets, pyarrow, zstandard. Exit 1: something differs."""
import argparse
import bz2
import csv
import datetime
import decimal
import gzip
import json
import lzma
import math
import os
import random
import subprocess
import sys
import tempfile

import numpy
import pyarrow
import pyarrow.parquet
import zstandard

os.environ["HF_HUB_OFFLINE"] = "1"
import warnings  # noqa: E402

warnings.simplefilter("ignore")
import datasets  # noqa: E402

datasets.disable_progress_bars()
datasets.utils.logging.set_verbosity_error()
WORDS = ["a", "Été", "two words", 'q"uote', "comma,", "line\nend", "字", "", "NA", "1", "-2.5", "True", " x ", "'", "2020-01-01"]


def word(r, plain=False):
    w = "".join(r.choice(WORDS) for _ in range(r.randrange(1, 4)))
    return w.replace("\n", " ") if plain else w


def scalar(r, kind):
    return {"int": lambda: r.randrange(-10**r.randrange(1, 18), 10**6), "float": lambda: round(r.uniform(-1e3, 1e3), 3),
            "bool": lambda: r.random() < 0.5, "text": lambda: word(r), "date": lambda: f"20{r.randrange(10, 30)}-03-{r.randrange(1, 29):02}",
            "time": lambda: f"2021-11-{r.randrange(1, 29):02} 1{r.randrange(10)}:30:{r.randrange(10, 60)}" + r.choice(["", "", "Z", "+01:00", "-0730", "+02"]), "null": lambda: None,
            "any": lambda: r.choice([1, "x", "5", True, [1], {}, {"a": 1}, {"b": None}]) if r.random() < 0.3 else {"a": 2}, "mixed": lambda: r.choice([r.randrange(100), round(r.random(), 4)])}[kind]()


def value(r, shape, depth=0):
    if shape[0] == "list":
        return [value(r, shape[1]) for _ in range(r.randrange(4))]
    if shape[0] == "struct":
        return {k: value(r, s) for k, s in shape[1].items()}
    return None if shape[1] and r.random() < 0.2 else scalar(r, shape[0])


def shape(r, depth=0):
    kind = r.choice(["int", "float", "bool", "text", "date", "time", "null", "mixed", "any"] + (["list", "struct"] if depth < 2 else []))
    if kind == "list":
        return kind, shape(r, depth + 1)
    if kind == "struct":
        return kind, {f"k{i}": shape(r, depth + 1) for i in range(r.randrange(1, 3))}
    return kind, r.random() < 0.3


def json_case(r, path):
    shapes = {f"c{i}": shape(r) for i in range(r.randrange(1, 5))}
    rows = [{k: value(r, s) for k, s in shapes.items()} for _ in range(r.randrange(1, 30))]
    listed = r.random() < 0.3
    with open(path, "w") as f:
        f.write(json.dumps(rows) if listed else "".join(json.dumps(x, ensure_ascii=r.random() < 0.5) + "\n" for x in rows))
    return "json"


def csv_case(r, path):
    kinds = [(r.choice(["int", "float", "bool", "text", "null"]), r.random() < 0.3) for _ in range(r.randrange(1, 6))]
    with open(path, "w", newline="") as f:
        w = csv.writer(f, lineterminator=r.choice(["\n", "\r\n"]), quoting=r.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
        w.writerow([f"c{i}" for i in range(len(kinds))])
        for _ in range(r.randrange(1, 30)):
            w.writerow([value(r, k) for k in kinds])
    return "csv"


def text_case(r, path):
    with open(path, "w") as f:
        f.write("".join(word(r) + r.choice(["\n", "\n", "\n\n", " "]) for _ in range(r.randrange(1, 30))))
    return "text"


def same(a, b):
    if isinstance(a, float) and isinstance(b, (float, int)):
        return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=4e-16)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def run(sinter, *args):
    done = subprocess.run([sinter, "data", *args], capture_output=True, text=True)
    if done.returncode:
        raise ValueError(done.stderr.strip())
    return done.stdout


def check_file(sinter, r, kind, where):
    path = f"{where}/f.{dict(json='jsonl', csv='csv', text='txt')[kind]}"
    {"json": json_case, "csv": csv_case, "text": text_case}[kind](r, path)
    extra = {}
    if kind == "text":
        extra["sample_by"] = r.choice(["line", "paragraph", "document"])
    packed = r.choice(["", "", ".gz", ".bz2", ".xz", ".zst"])
    if packed:
        data, pack = open(path, "rb").read(), {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": lambda x: zstandard.ZstdCompressor().compress(x)}[packed]
        at = r.choice([0, len(data) // 2]) if packed in [".gz", ".bz2", ".xz"] else 0  # several streams
        path += packed
        with open(path, "wb") as f:
            f.write((pack(data[:at]) if at else b"") + pack(data[at:]))
    try:
        expected = datasets.load_dataset(kind, data_files=path, split="train", cache_dir=f"{where}/cache", **extra)
    except Exception:  # what datasets itself cannot read
        return None
    args = ["--sample-by", extra["sample_by"]] if extra else []
    run(sinter, path, *args, "--output", f"{where}/saved")
    found = datasets.load_from_disk(f"{where}/saved")
    if found.features != expected.features:
        return f"{path}: {found.features}, expected {expected.features}\n{'' if packed else open(path).read()[:600]}"
    for i, (a, b) in enumerate(zip(expected.to_list(), found.to_list())):
        if not same(a, b):
            return f"{path}: row {i}: {b}, expected {a}"
    return None if len(found) == len(expected) else f"{path}: {len(found)} rows, expected {len(expected)}"


def check_orders(sinter, r, where):
    n, seed = r.choice([2, 10, 1000, 5000]), r.randrange(2**32)
    d = datasets.Dataset.from_dict({"i": list(range(n)), "t": [word(r) for _ in range(n)], "x": [r.choice([None, 1.5, r.random()]) for _ in range(n)],
                                    "n": [r.randrange(100) for _ in range(n)]})
    d.save_to_disk(f"{where}/d")
    column, size, threshold = r.choice(["t", "x", "n"]), r.choice([0.2, 0.5, 1]), r.randrange(100)
    split, size_of = d.train_test_split(size, seed=seed), r.randrange(1, n + 1)
    cases = [(["--shuffle", "--seed", str(seed)], d.shuffle(seed)), (["--sort", column], d.sort(column)),
             (["--sort", "-" + column], d.sort(column, reverse=True)), (["--train-part", str(size), "--seed", str(seed)], split["train"]),
             (["--test-part", str(size), "--seed", str(seed)], split["test"]), (["--shard", "1/3"], d.shard(3, 1)),
             (["--shuffle", "--seed", str(seed), "--skip", "3", "--take", "5"], d.shuffle(seed).skip(3).take(5)),
             (["--where", f"n > {threshold} and len(t) < 6 or 'a' in t"], d.filter(lambda e: e["n"] > threshold and len(e["t"]) < 6 or "a" in e["t"])),
             (["--where", f"x is not None and x * 2 >= n / {threshold + 1} and n not in [1, 3, 5]"],
              d.filter(lambda e: e["x"] is not None and e["x"] * 2 >= e["n"] / (threshold + 1) and e["n"] not in [1, 3, 5])),
             (["--batch", str(size_of)], d.batch(size_of)), (["--shuffle", "--seed", str(seed), "--batch", str(size_of), "--drop-last"], d.shuffle(seed).batch(size_of, drop_last_batch=True)),
             (["--shuffle", "--seed", str(seed), "--map", "m=n % 7 - len(t) // 2"],
              d.shuffle(seed).map(lambda e: {"m": e["n"] % 7 - len(e["t"]) // 2}))]
    for args, expected in cases:
        found = [json.loads(x) for x in run(sinter, f"{where}/d", *args).splitlines()]
        if not same(expected.to_list(), found):
            return f"{args}: {found[:5]}, expected {expected.to_list()[:5]}"
    return None


def check_joins(sinter, r, where):
    """Several datasets by turns, behind and beside each other; labels, unique values, fields, repeated rows, stratified splits."""
    seed, path = r.randrange(2**32), lambda i: f"{where}/p{i}"
    labels = r.sample(["neg", "Pos", "Été", "b c", "10", "9"], r.randrange(2, 7))
    make = lambda n: datasets.Dataset.from_dict(
        {"i": [r.randrange(100) for _ in range(n)], "t": [r.choice([None, "a", "b", "10", "9", "é"]) for _ in range(n)],
         "x": [r.choice([None, 1.0, 2.5, -0.0, 1e20, 1e-7, 12345678.9]) for _ in range(n)], "b": [r.choice([True, False, None]) for _ in range(n)],
         "s": [r.choice([None, {"a": r.randrange(9), "d": {"e": word(r)}}, {"a": None, "d": None}]) for _ in range(n)],
         "l": [r.choice([None, r.randrange(len(labels))]) for _ in range(n)], "k": [[r.randrange(len(labels)) for _ in range(r.randrange(3))] for _ in range(n)]},
        features=datasets.Features({"i": datasets.Value("int64"), "t": datasets.Value("string"), "x": datasets.Value("float64"), "b": datasets.Value("bool"),
                                    "s": {"a": datasets.Value("int64"), "d": {"e": datasets.Value("string")}}, "l": datasets.ClassLabel(names=labels),
                                    "k": datasets.List(datasets.ClassLabel(names=labels))}))
    parts = [make(r.choice([1, 3, 10, 40])) for _ in range(r.randrange(2, 4))]
    for i, d in enumerate(parts):
        d.save_to_disk(path(i))
    d, others = parts[0], ",".join(path(i) for i in range(1, len(parts)))
    p = numpy.random.default_rng(seed).dirichlet(numpy.ones(len(parts))).tolist()
    spelt_p = ",".join(map(repr, p))
    beside = make(len(d)).rename_columns({c: c + "2" for c in d.column_names})
    beside.save_to_disk(f"{where}/beside")
    names = [x.upper() if r.random() < 0.5 else x for x in r.sample(labels, len(labels))] + ["more"]
    encoded = r.choice(["i", "t", "x", "b"])
    kind = r.choice(["first_exhausted", "all_exhausted", "all_exhausted_without_replacement"])
    cases = [(["--interleave", others, "--stopping-strategy", kind], lambda: datasets.interleave_datasets(parts, stopping_strategy=kind)),
             (["--interleave", others, "--stopping-strategy", kind, "--probabilities", spelt_p, "--seed", str(seed)],
              lambda: datasets.interleave_datasets(parts, probabilities=p, seed=seed, stopping_strategy=kind)),
             (["--concatenate", others], lambda: datasets.concatenate_datasets(parts)),
             (["--concatenate-columns", f"{where}/beside"], lambda: datasets.concatenate_datasets([d, beside], axis=1)),
             (["--repeat", str(seed % 4)], lambda: d.repeat(seed % 4)), (["--flatten"], d.flatten),
             (["--skip", "1", "--flatten"], lambda: d.skip(1).flatten()),
             (["--shard", "1/3", "--strided"], lambda: d.shard(3, 1, contiguous=False)),
             (["--labels", encoded], lambda: d.class_encode_column(encoded)),
             (["--align-labels", "l=" + ",".join(names)], lambda: d.align_labels_with_mapping({n: i for i, n in enumerate(names)}, "l")),
             (["--align-labels", "k=" + ",".join(names)], lambda: d.align_labels_with_mapping({n: i for i, n in enumerate(names)}, "k"))]
    cases += [(["--unique", c], lambda c=c: datasets.Dataset.from_dict({c: d.unique(c)}, features=datasets.Features({c: d.features[c]}))) for c in "itxb"]
    whole, size = datasets.concatenate_datasets(parts * 3).filter(lambda e: e["l"] is not None), r.choice([0.2, 0.5, 0.37])
    whole.save_to_disk(f"{where}/whole")
    try:
        split = whole.train_test_split(size, seed=seed, stratify_by_column="l")
    except ValueError:
        split = None
    for side in ["train", "test"] if split else []:
        cases.append(([f"{where}/whole", f"--{side}-part", str(size), "--seed", str(seed), "--stratify", "l"], lambda side=side: split[side]))
    for args, make_it in cases:
        try:
            expected = make_it()
        except Exception as e:  # interleaving may end without rows
            expected = e
        inputs = [] if args[0].startswith("/") else [path(0)]
        if isinstance(expected, Exception):
            continue
        run(sinter, *inputs, *args, "--output", f"{where}/out")
        found = datasets.load_from_disk(f"{where}/out")
        if found.features != expected.features or not same(expected.to_list(), found.to_list()):
            return f"{args}: {found.features} {found.to_list()[:5]}, expected {expected.features} {expected.to_list()[:5]}"[:1500]
    return None


def check_arrow(sinter, r, where):
    kinds = [pyarrow.int8(), pyarrow.uint32(), pyarrow.float32(), pyarrow.bool_(), pyarrow.string(), pyarrow.large_string(),
             pyarrow.list_(pyarrow.int64()), pyarrow.list_(pyarrow.float32(), 2), pyarrow.struct([("a", pyarrow.string())]),
             pyarrow.timestamp("us"), pyarrow.binary(), pyarrow.timestamp("ms", "UTC"), pyarrow.large_list(pyarrow.string())]
    make = lambda k: (None if r.random() < 0.2 else [r.choice([None, 3]) for _ in range(r.randrange(4))] if k == kinds[6] else
                      [r.random(), 1] if k == kinds[7] else {"a": word(r)} if k == kinds[8] else word(r).encode() if k == kinds[10] else
                      [word(r)] if k == kinds[12] else word(r) if k in kinds[4:6] else r.random() < 0.5 if k == kinds[3] else r.randrange(100))
    chosen = r.sample(kinds, r.randrange(1, 6))
    n = r.randrange(1, 3000)
    table = pyarrow.table({f"c{i}": pyarrow.array([make(k) for _ in range(n)], k) for i, k in enumerate(chosen)})
    with pyarrow.OSFile(f"{where}/a.arrow", "wb") as f, pyarrow.ipc.new_stream(f, table.schema) as w:
        w.write_table(table, max_chunksize=r.randrange(1, 2000))
    run(sinter, f"{where}/a.arrow", "--output", f"{where}/b.arrow")
    with pyarrow.memory_map(f"{where}/b.arrow") as f:
        found = pyarrow.ipc.open_stream(f).read_all()
    found.validate(full=True)
    if not found.schema.equals(table.schema) or found.to_pylist() != table.to_pylist():
        return f"{found.schema}\nexpected {table.schema}"
    return None


# ---- Parquet ----

FLAT = [pyarrow.int8(), pyarrow.int16(), pyarrow.int32(), pyarrow.int64(), pyarrow.uint8(), pyarrow.uint16(), pyarrow.uint32(), pyarrow.uint64(),
        pyarrow.float16(), pyarrow.float32(), pyarrow.float64(), pyarrow.bool_(), pyarrow.string(), pyarrow.large_string(), pyarrow.binary(),
        pyarrow.large_binary(), pyarrow.date32(), pyarrow.time32("ms"), pyarrow.time64("us"), pyarrow.time64("ns"), pyarrow.timestamp("ms"),
        pyarrow.timestamp("us"), pyarrow.timestamp("ns"), pyarrow.timestamp("us", "UTC"), pyarrow.timestamp("ms", "Europe/Paris"),
        pyarrow.duration("us"), pyarrow.null(), pyarrow.decimal128(9, 2), pyarrow.decimal128(30, 5), pyarrow.decimal128(4, 0), pyarrow.decimal256(60, 10)]


def arrow_type(r, depth=0):
    k = r.random() if depth < 3 else 1
    inner = lambda: arrow_type(r, depth + 1)
    return (pyarrow.list_(inner()) if k < 0.2 else pyarrow.large_list(inner()) if k < 0.25 else pyarrow.list_(inner(), r.randrange(1, 4)) if k < 0.3 else
            pyarrow.struct([(f"f{i}", inner()) for i in range(r.randrange(1, 4))]) if k < 0.45 else r.choice(FLAT))


def arrow_value(r, t, nulls):
    is_ = pyarrow.types
    scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}.get(getattr(t, "unit", None))
    if is_.is_null(t) or (nulls and r.random() < 0.2):
        return None
    if is_.is_boolean(t):
        return r.random() < 0.5
    if is_.is_integer(t):
        lo, hi = (0, 2**t.bit_width - 1) if is_.is_unsigned_integer(t) else (-2**(t.bit_width - 1), 2**(t.bit_width - 1) - 1)
        return r.choice([lo, hi, r.randrange(5), r.randrange(lo, hi + 1)])
    if is_.is_floating(t):
        return numpy.float16(r.uniform(-100, 100)) if t == pyarrow.float16() else r.choice([0.0, -0.0, 1.5, r.uniform(-1e3, 1e3)])
    if is_.is_string(t) or is_.is_large_string(t):
        return word(r)
    if is_.is_binary(t) or is_.is_large_binary(t):
        return word(r).encode()
    if is_.is_date(t):
        return datetime.date(1900 + r.randrange(200), 1 + r.randrange(12), 1 + r.randrange(28))
    if is_.is_time(t):
        return r.randrange(86399 * scale)
    if is_.is_timestamp(t) or is_.is_duration(t):
        return r.randrange(-10**9, 2 * 10**9) * scale + r.randrange(10)
    if is_.is_decimal(t):
        return decimal.Decimal(r.randrange(1 - 10**t.precision, 10**t.precision)).scaleb(-t.scale, decimal.Context(prec=80))
    if is_.is_struct(t):
        return {f.name: arrow_value(r, f.type, nulls) for f in t}
    return [arrow_value(r, t.value_type, nulls) for _ in range(t.list_size if is_.is_fixed_size_list(t) else r.randrange(5))]


def spelt(t):
    """The type with texts for decimals, which sinter has no numbers for."""
    is_ = pyarrow.types
    if is_.is_fixed_size_list(t):
        return pyarrow.list_(spelt(t.value_type), t.list_size)
    if is_.is_list(t) or is_.is_large_list(t):
        return (pyarrow.list_ if is_.is_list(t) else pyarrow.large_list)(spelt(t.value_type))
    if is_.is_struct(t):
        return pyarrow.struct([(f.name, spelt(f.type)) for f in t])
    return pyarrow.string() if is_.is_decimal(t) else t


def spell(v):
    if isinstance(v, (list, dict)):
        return [spell(x) for x in v] if isinstance(v, list) else {k: spell(x) for k, x in v.items()}
    return format(v, "f") if isinstance(v, decimal.Decimal) else v


def parquet_encodings(r, schema):
    fitting = {pyarrow.int32(): ["DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"], pyarrow.int64(): ["DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
               pyarrow.float32(): ["BYTE_STREAM_SPLIT"], pyarrow.float64(): ["BYTE_STREAM_SPLIT"], pyarrow.bool_(): ["RLE"],
               pyarrow.string(): ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"], pyarrow.binary(): ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]}
    return {f.name: r.choice(["PLAIN"] + fitting.get(f.type, [])) for f in schema if not pyarrow.types.is_nested(f.type)}


def check_parquet(sinter, r, where):
    n, columns = r.choice([0, 1, 7, 100, 3000]), {}
    for i in range(r.randrange(1, 5)):
        t, nulls = arrow_type(r), r.random() < 0.6
        values = [arrow_value(r, t, nulls) for _ in range(n)]
        columns[f"c{i}"] = pyarrow.array([r.choice(values[:5]) for _ in values] if r.random() < 0.3 else values, t)
    table = pyarrow.table(columns)
    by_dictionary = r.random() < 0.5
    pyarrow.parquet.write_table(table, f"{where}/a.parquet", compression=r.choice(["snappy", "zstd", "gzip", "lz4", "brotli", "none"]),
                                use_dictionary=by_dictionary, column_encoding=None if by_dictionary else parquet_encodings(r, table.schema),
                                data_page_version=r.choice(["1.0", "2.0"]), row_group_size=r.choice([10, 1000, 10**6]), data_page_size=r.choice([100, 10**6]))
    expected = pyarrow.parquet.read_table(f"{where}/a.parquet")
    schema = pyarrow.schema([(f.name, spelt(f.type)) for f in expected.schema])
    for name in ["b.arrow", "c.parquet"]:
        run(sinter, f"{where}/a.parquet", "--output", f"{where}/{name}")
        found = pyarrow.parquet.read_table(f"{where}/{name}") if name == "c.parquet" else pyarrow.ipc.open_stream(pyarrow.OSFile(f"{where}/{name}")).read_all()
        found.validate(full=True)
        if not found.schema.equals(schema):
            return f"{name}: {found.schema}\nexpected {schema}"
        if repr(found.to_pylist()) != repr([spell(x) for x in expected.to_pylist()]):
            return f"{name}: {found.to_pylist()[:3]}, expected {expected.to_pylist()[:3]}"
    return None


def check_splits(sinter, r, where):
    """Parts of splits, also those that are refused."""
    n = r.choice([3, 10, 99, 100, 250, 1001])
    with open(f"{where}/s.jsonl", "w") as f:
        f.write("".join(json.dumps({"i": i}) + "\n" for i in range(n)))
    def part():
        unit = r.choice(["", "%"])
        at = lambda: r.choice(["", str(r.randrange(-101, 102)) + unit, str(r.randrange(-9, 10)) + unit])
        return r.choice(["train", "train", "train", "test"]) + (f"[{at()}:{at()}]" if r.random() < 0.9 else "") + \
            (r.choice(["(closest)", "(pct1_dropremainder)", "(other)"]) if r.random() < 0.3 else "")
    spec = "+".join(part() for _ in range(r.choice([1, 1, 2, 3])))
    try:
        expected = datasets.load_dataset("json", data_files=f"{where}/s.jsonl", split=spec, cache_dir=f"{where}/cache")["i"][:]
    except Exception:
        expected = None
    try:
        found = [json.loads(x)["i"] for x in run(sinter, f"{where}/s.jsonl", "--split", spec).splitlines()]
    except ValueError:
        found = None
    return None if found == expected else f"{spec} of {n}: {found and found[:5]}, expected {expected and expected[:5]}"


def check_folder(sinter, r, where):
    """Images or sounds by folders, splits or a metadata file; bytes that nobody decodes."""
    kind, column, ending = r.choice([("imagefolder", "image", ".png"), ("audiofolder", "audio", ".wav")])
    splits = r.choice([[""], ["train/"], ["train/", "test/"], ["my-train/", "val_2/"]])
    names = []
    for split in splits:
        labels = r.sample(["cat", "dog", "Été", "a b"], r.randrange(1, 4)) if r.random() < 0.7 else [""]
        for label in labels:
            os.makedirs(f"{where}/d/{split}{label}", exist_ok=True)
            for i in range(r.randrange(1, 5)):
                names.append(f"{split}{label}/x{i}{r.choice([ending, ending.upper()])}".replace("//", "/").lstrip("/"))
                with open(f"{where}/d/{names[-1]}", "wb") as f:
                    f.write(r.randbytes(20))
    if r.random() < 0.4:
        for split in splits:
            own = [n for n in names if n.startswith(split)]
            r.shuffle(own)
            if r.random() < 0.5:
                with open(f"{where}/d/{split}metadata.csv", "w") as f:
                    f.write("n,file_name\n" + "".join(f"{i},{n[len(split):]}\n" for i, n in enumerate(own)))
            else:
                with open(f"{where}/d/{split}metadata.jsonl", "w") as f:
                    f.write("".join(json.dumps({"file_name": n[len(split):], "t": "x" * i}) + "\n" for i, n in enumerate(own)))
    plain = datasets.Image(decode=False) if column == "image" else datasets.Audio(decode=False)
    try:
        all_splits = datasets.load_dataset(kind, data_dir=f"{where}/d", cache_dir=f"{where}/cache")
    except Exception:  # metadata files of two kinds
        return None
    for split, d in all_splits.items():
        expected = d.cast_column(column, plain)
        run(sinter, f"{where}/d", "--format", kind, "--split", str(split), "--output", f"{where}/saved-{split}")
        found = datasets.load_from_disk(f"{where}/saved-{split}")
        if found.features != d.features:
            return f"{names}: {found.features}, expected {d.features}"
        for i, (a, b) in enumerate(zip(expected.to_list(), found.cast_column(column, plain).to_list())):
            a, b = dict(a), dict(b)
            x, y = a.pop(column), b.pop(column)
            if "label" in a and a["label"] is None:  # datasets looks at one split after the other: the first may have too few labels yet
                b["label"] = None
            if a != b or (x["bytes"] or open(x["path"], "rb").read()) != y["bytes"] or os.path.basename(x["path"]) != y["path"]:
                return f"{split} {i}: {b} {y}, expected {a} {x}"
        if len(found) != len(expected):
            return f"{split}: {len(found)} rows, expected {len(expected)}"
    return None


def check_parts(sinter, r, where):
    """Files of more than a part, whose last rows say something else of a column; what datasets itself cannot cast is not compared."""
    kind = r.choice(["csv", "json"])
    path = f"{where}/f.{kind}"
    if kind == "csv":
        values = ["7", "7.5", "", "x", "True", "False", "8.0", "1e20", "-0.0001", "123456789.25", "2020-01-02"]
        columns = [(r.choice(values), r.choice(values)) for _ in range(3)]
        rows = [[a for a, _ in columns]] * 10000 + [[b for _, b in columns]] * r.choice([1, 3, 10001])
        with open(path, "w") as f:
            f.write("a,b,c\n" + "".join(",".join(x) + "\n" for x in rows))
    else:
        values = [7, 8.0, 7.5, 1e20, None, True, "x", "2020-01-02", "1969-12-31T23:59:58", [1], [2.0, None], {"k": 1}, {"k": 2.0, "l": [1]}]
        columns = [(r.choice(values), r.choice(values)) for _ in range(2)]
        first = json.dumps({"a": columns[0][0], "b": columns[1][0], "t": "y" * 20000}) + "\n"
        rows = first * ((10 << 20) // len(first) + 1) + (json.dumps({"b": columns[1][1], "a": columns[0][1]}) + "\n") * r.randrange(1, 4)
        with open(path, "w") as f:
            f.write(rows if r.random() < 0.5 else "[" + rows.rstrip("\n").replace("\n", ",\n") + "]\n")
    os.utime(path, (1e9, 1e9))
    try:
        expected = datasets.load_dataset(kind, data_files=path, split="train", cache_dir=f"{where}/cache")
    except Exception:
        return None
    for _ in range(2):  # decoded, and found
        run(sinter, path, "--output", f"{where}/saved")
        found = datasets.load_from_disk(f"{where}/saved")
        if found.features != expected.features or found[-5:] != expected[-5:] or len(found) != len(expected):
            return f"{columns}: {found.features} {found[-1]}, expected {expected.features} {expected[-1]}"[:600]
    return None


CASTABLE = [pyarrow.bool_(), pyarrow.int8(), pyarrow.int32(), pyarrow.int64(), pyarrow.uint8(), pyarrow.uint64(), pyarrow.float32(), pyarrow.float64(), pyarrow.string(),
            pyarrow.large_string(), pyarrow.binary(), pyarrow.date32(), pyarrow.date64(), pyarrow.time32("s"), pyarrow.time32("ms"), pyarrow.time64("us"), pyarrow.time64("ns"),
            pyarrow.timestamp("s"), pyarrow.timestamp("ms"), pyarrow.timestamp("us"), pyarrow.timestamp("ns"), pyarrow.timestamp("us", "UTC"), pyarrow.duration("s"), pyarrow.duration("us"), pyarrow.null()]
TEXTS = ["0", "1", "-1", "007", "12", "255", "300", "-0", "1.5", ".5", "2.", "+3", "1e3", "nan", "-inf", "Infinity", "true", "False", "yes", "", "x", "9223372036854775808", "18446744073709551615",
         "2020-01-31", "2020-02-30", "2021-03-04 05:06", "2021-03-04T05:06:07", "2021-03-04 05:06:07.25", "2021-03-04 05:06:07.123456Z", "1969-12-31 23:59:59+01:00", "neg", "pos", " pos"]


def cast_pair(r, depth=0):
    """A type, and a feature that it may be cast to."""
    k = r.random() if depth < 3 else 1
    if k < 0.2:
        a, b = cast_pair(r, depth + 1)
        n = r.randrange(1, 4)
        return r.choice([(pyarrow.list_(a), datasets.List(b)), (pyarrow.list_(a), datasets.LargeList(b)), (pyarrow.large_list(a), datasets.List(b)), (pyarrow.list_(a, n), datasets.List(b)),
                         (pyarrow.list_(a, n), datasets.List(b, length=n)), (pyarrow.list_(a, 2), datasets.LargeList(b))])
    if k < 0.4:
        fields = {f"f{i}": cast_pair(r, depth + 1) for i in range(r.randrange(1, 4))}
        to = {n: b for n, (_, b) in r.sample(list(fields.items()), len(fields))}
        if r.random() < 0.3:
            to["more"] = datasets.Value("int32")
        return pyarrow.struct([(n, a) for n, (a, _) in fields.items()]), to
    a = r.choice(CASTABLE)
    if r.random() < 0.15:
        return r.choice([pyarrow.int64(), pyarrow.int8(), pyarrow.string(), a]), datasets.ClassLabel(names=["neg", "pos", "Été"])
    b = a if r.random() < 0.15 else r.choice(CASTABLE)
    return a, datasets.Value(datasets.features.features._arrow_to_datasets_dtype(b))


def cast_value(r, t, nulls):
    is_ = pyarrow.types
    if not is_.is_null(t) and nulls and r.random() < 0.2:
        return None
    if is_.is_struct(t):
        return {f.name: cast_value(r, f.type, nulls) for f in t}
    if is_.is_nested(t):
        return [cast_value(r, t.value_type, nulls) for _ in range(t.list_size if is_.is_fixed_size_list(t) else r.randrange(4))]
    if (is_.is_string(t) or is_.is_large_string(t) or is_.is_binary(t)) and r.random() < 0.9:
        return (str.encode if is_.is_binary(t) else str)(r.choice([r.choice(TEXTS[:3]), r.choice(TEXTS)] if r.random() < 0.5 else ["2020-01-31", r.choice(TEXTS)]))
    if is_.is_date64(t):
        return r.randrange(-10**4, 2 * 10**4) * 86400000
    if (is_.is_integer(t) or is_.is_floating(t)) and r.random() < 0.7:
        return r.randrange(0, 3)
    if is_.is_temporal(t) and not is_.is_date(t) and r.random() < 0.7:
        scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[t.unit]
        return r.randrange(0 if is_.is_time(t) else -86400, 86400) * scale
    return arrow_value(r, t, False)


def cells(table):
    try:
        return repr(table.to_pylist())
    except OverflowError:  # years that Python has no dates for
        return table.to_string(preview_cols=99)


def check_casts(sinter, r, where):
    for i in range(6):
        t, feature = cast_pair(r)
        nulls = r.random() < 0.5
        values = [cast_value(r, t, nulls) for _ in range(r.choice([1, 2, 5]))]
        table = pyarrow.table({"c": pyarrow.array(values, t)})
        with pyarrow.OSFile(f"{where}/a.arrow", "wb") as f, pyarrow.ipc.new_stream(f, table.schema) as w:
            w.write_table(table)
        try:
            expected = datasets.Dataset(datasets.table.InMemoryTable(table)).cast_column("c", feature).data.table
        except Exception as e:
            expected = e
        spelt_feature = json.dumps(datasets.Features({"c": feature}).to_dict()["c"])
        try:
            run(sinter, f"{where}/a.arrow", "--cast", f"c={spelt_feature}", "--output", f"{where}/b.arrow")
        except ValueError as e:
            if not isinstance(expected, Exception) and "allowed 0 to" not in str(e):  # datasets looks at labels only where it casts
                return f"{t} as {spelt_feature}: {e}, expected {cells(expected)}"
            continue
        with pyarrow.memory_map(f"{where}/b.arrow") as f:
            found = pyarrow.ipc.open_stream(f).read_all()
            if isinstance(expected, Exception) and not nulls and "[]" not in str(values) and "null" not in str(t):  # of no values only types are wrong
                return f"{t} {values} as {spelt_feature}: {found.to_pylist()}, expected {expected}"[:900]
            found.validate()
            if not isinstance(expected, Exception) and cells(found) != cells(expected):
                return f"{t} as {spelt_feature}: {found.schema} {cells(found)}, expected {expected.schema} {cells(expected)}"[:1500]
    return None


CHAIN_CASTS = [("i", "Value", "int32"), ("i", "Value", "float64"), ("i", "Value", "string"), ("x", "Value", "float32"), ("x", "Value", "string"), ("t", "Value", "large_string"), ("n", "Value", "int16"), ("b", "Value", "int8")]


def chain_table(r, n):
    pick = lambda make: [None if r.random() < 0.15 else make() for _ in range(n)]
    return {"i": [r.randrange(-50, 1000) for _ in range(n)], "n": pick(lambda: r.randrange(20)), "x": pick(lambda: r.choice([r.uniform(-9, 9), 0.5, -0.0, 1e20])),
            "t": pick(lambda: word(r, plain=True) or "e"), "b": [r.random() < 0.5 for _ in range(n)], "k": [r.choice(["neg", "pos", "Été"]) for _ in range(n)],
            "s": [{"a": r.randrange(9), "d": {"e": word(r, plain=True) or "e"}} for _ in range(n)], "l": [[r.randrange(9) for _ in range(r.randrange(1, 4))] for _ in range(n)]}


def write_chain(r, path, columns):
    kind = r.choice(["jsonl", "csv", "arrow", "parquet", "saved"])
    flat = {k: v for k, v in columns.items() if k not in "sl"} if kind == "csv" else columns
    if kind == "csv":
        with open(path + ".csv", "w", newline="") as f:
            w = csv.writer(f)
            w.writerow(flat)
            w.writerows(zip(*flat.values()))
        return path + ".csv", datasets.load_dataset("csv", data_files=path + ".csv", split="train", cache_dir=path + "-cache")
    if kind == "jsonl":
        with open(path + ".jsonl", "w") as f:
            f.write("".join(json.dumps(dict(zip(flat, row))) + "\n" for row in zip(*flat.values())))
        return path + ".jsonl", datasets.load_dataset("json", data_files=path + ".jsonl", split="train", cache_dir=path + "-cache")
    d = datasets.Dataset.from_dict(flat)
    if kind == "saved":
        d.save_to_disk(path)
        return path, d
    if kind == "parquet":
        pyarrow.parquet.write_table(d.data.table, path + ".parquet", row_group_size=r.choice([3, 100]))
    else:
        with pyarrow.OSFile(path + ".arrow", "wb") as f, pyarrow.ipc.new_stream(f, d.data.table.schema) as w:
            w.write_table(d.data.table, max_chunksize=r.randrange(1, 50))
    return path + "." + kind, d


def chain_step(r, d, other):
    """An operation that there is for these columns: options, and what datasets makes of it; None: draw again."""
    seed, n, names = r.randrange(2**32), len(d), d.column_names
    plain = [c for c in names if isinstance(d.features[c], (datasets.Value, datasets.ClassLabel))]
    numbers = [c for c in plain if str(getattr(d.features[c], "dtype", "")) in ["int64", "int32", "float64", "int16"]]
    numbers = [c for c in numbers if c.isidentifier()]  # formulas know no others
    texts = [c for c in plain if c.isidentifier() and getattr(d.features[c], "dtype", "") in ["string", "large_string"]]
    c = r.choice(plain) if plain else None
    is_told = d._indices is None or len(d._indices) != len(d._data)  # else datasets finds unique values in the rows that it began with
    op = r.choice(["select", "shuffle", "sort", "filter", "filter_text", "map", "rename", "remove", "columns", "cast", "labels", "concatenate", "beside", "interleave", "drawn",
                   "split", "shard", "strided", "take", "skip", "batch", "flatten", "unique", "repeat", "stratify"])
    if op == "select" and n:
        rows = [r.randrange(-n, n) for _ in range(r.randrange(1, n + 1))]
        return ["--select", ",".join(map(str, rows))], d.select([i % n for i in rows])
    if op == "shuffle":
        return ["--seed", str(seed), "--shuffle"], d.shuffle(seed)
    if op == "sort" and c:
        reverse = r.random() < 0.5
        return ["--sort", ("-" if reverse else "") + c], d.sort(c, reverse=reverse)
    if op == "filter" and numbers:
        c, k = r.choice(numbers), r.randrange(20)
        return ["--where", f"{c} is not None and {c} > {k}"], d.filter(lambda e: e[c] is not None and e[c] > k)
    if op == "filter_text" and texts:
        c = r.choice(texts)
        return ["--where", f"{c} is None or 'a' in {c} or len({c}) > 5"], d.filter(lambda e: e[c] is None or "a" in e[c] or len(e[c]) > 5)
    if op == "map" and "i" in numbers:
        to = r.choice(["m", "i", "t", "b", "n"])
        return ["--map", f"{to}=i * 3 - 1"], d.map(lambda e: {to: e["i"] * 3 - 1})
    if op == "rename":
        c = r.choice(names)
        return ["--rename", f"{c}={c}z"], d.rename_column(c, c + "z")
    if op in ["remove", "columns"] and len(names) > 2:
        some = r.sample(names, r.randrange(1, len(names) - 1))
        return [f"--{op}", ",".join(some)], d.remove_columns(some) if op == "remove" else d.select_columns(some)
    if op == "cast":
        c, _, to = r.choice(CHAIN_CASTS)
        return (["--cast", f"{c}={to}"], d.cast_column(c, datasets.Value(to))) if c in plain else None
    if op == "labels" and c and is_told and not isinstance(d.features[c], datasets.ClassLabel):
        return ["--labels", c], d.class_encode_column(c)
    if op in ["concatenate", "interleave", "drawn"] and other[1].features == d.features:
        path, more = other
        if op == "concatenate":
            return ["--concatenate", path], datasets.concatenate_datasets([d, more])
        when = r.choice(["first_exhausted", "all_exhausted"])
        if op == "interleave":
            return ["--interleave", path, "--stopping-strategy", when], datasets.interleave_datasets([d, more], stopping_strategy=when)
        return ["--interleave", path, "--stopping-strategy", when, "--probabilities", "0.3,0.7", "--seed", str(seed)], datasets.interleave_datasets([d, more], probabilities=[0.3, 0.7], seed=seed, stopping_strategy=when)
    if op == "split" and n > 2:
        side, size = r.choice(["train", "test"]), r.choice([0.2, 0.5, 1])
        return ["--seed", str(seed), f"--{side}-part", str(size)], d.train_test_split(size, seed=seed)[side]
    if op == "stratify" and n > 10 and c and isinstance(d.features[c], datasets.ClassLabel) and None not in d[c]:
        return ["--seed", str(seed), "--train-part", "0.5", "--stratify", c], d.train_test_split(0.5, seed=seed, stratify_by_column=c)["train"]
    if op in ["shard", "strided"]:
        return ["--shard", "1/3"] + ["--strided"] * (op == "strided"), d.shard(3, 1, contiguous=op == "shard")
    if op in ["take", "skip"]:
        k = r.randrange(n + 3)
        return [f"--{op}", str(k)], d.take(min(k, n)) if op == "take" else d.skip(min(k, n))
    if op == "batch" and n:
        k, drop = r.randrange(1, n + 1), r.random() < 0.5
        return ["--batch", str(k)] + ["--drop-last"] * drop, d.batch(k, drop_last_batch=drop)
    if op == "flatten":
        return ["--flatten"], d.flatten()
    if op == "unique" and c and r.random() < 0.3 and is_told:
        return ["--unique", c], datasets.Dataset.from_dict({c: d.unique(c)}, features=datasets.Features({c: d.features[c]}))
    if op == "repeat" and n < 200:
        return ["--repeat", "2"], d.repeat(2)
    return None


def check_chains(sinter, r, where):
    """One operation after the other, each with its own seed, over a file of any kind; what datasets refuses ends the chain before it."""
    path, d = write_chain(r, f"{where}/a", chain_table(r, r.choice([1, 5, 40, 300])))
    other = write_chain(r, f"{where}/b", chain_table(r, r.choice([1, 5, 40])))
    steps, wanted = [], r.randrange(1, 8)
    while len(steps) < wanted:
        try:
            step = chain_step(r, d, other)
        except Exception:
            continue
        if not step or len(step[1]) == 0:
            if r.random() < 0.02:
                break
            continue
        args, d = step
        steps.append(args)
    at = path
    for i, args in enumerate(steps):  # a line each, as --seed and the like are of the whole line
        run(sinter, at, *args, "--output", f"{where}/step{i}")
        at = f"{where}/step{i}"
    plain = [a for args in steps for a in args]
    found = datasets.load_from_disk(at) if steps else None
    if found is not None and (found.features != d.features or not same(d.to_list(), found.to_list())):
        return f"{path} {plain}: {found.features} {found.to_list()[:4]}, expected {d.features} {d.to_list()[:4]}"[:1500]
    once = ["--seed", "--stratify", "--strided", "--drop-last", "--stopping-strategy", "--probabilities"]
    if steps and not any(o in plain for o in once):  # all in one process, without files between
        run(sinter, path, *plain, "--output", f"{where}/line")
        found = datasets.load_from_disk(f"{where}/line")
        if found.features != d.features or not same(d.to_list(), found.to_list()):
            return f"one line: {path} {plain}: {found.features} {found.to_list()[:4]}, expected {d.features} {d.to_list()[:4]}"[:1500]
    return None


CHECKS = {"chains": check_chains, "casts": check_casts, "parts": check_parts, "folder": check_folder, "splits": check_splits, "orders": check_orders, "joins": check_joins, "arrow": check_arrow, "parquet": check_parquet}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("sinter")
    p.add_argument("--count", type=int, default=30)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--only", nargs="*", help="chains casts parts folder splits orders joins arrow parquet json csv text")
    a = p.parse_args()
    bad = 0
    for i in range(a.count):
        r = random.Random(a.seed * 1000 + i)
        for name in a.only or list(CHECKS) + ["json", "csv", "text"]:
            with tempfile.TemporaryDirectory() as where:
                try:
                    wrong = CHECKS[name](a.sinter, r, where) if name in CHECKS else check_file(a.sinter, r, name, where)
                except ValueError as e:
                    wrong = str(e)
            if wrong:
                bad += 1
                print(f"{name} {i}: {wrong}")
    print(f"{bad} of {len(a.only or list(CHECKS) + ['json', 'csv', 'text']) * a.count} differ")
    return bad > 0


sys.exit(main())
