#!/usr/bin/env python3
"""random_arrow.py BRIDGE [--count 100]: random tables of pyarrow through the Arrow C stream interface into a dataset and back,
in order and shuffled as datasets does. BRIDGE: tests/arrow_bridge.so of the build. Exit 1: something differs."""
import argparse
import ctypes
import gc
import random
import sys

import numpy
import pyarrow


def load_types():
    """FLAT, arrow_type and arrow_value of random_data.py."""
    source = open(__file__.replace("random_arrow", "random_data")).read()
    names = {"pyarrow": pyarrow, "numpy": numpy, "random": random, "datetime": __import__("datetime"), "decimal": __import__("decimal")}
    words = source[source.index("WORDS ="):source.index("def scalar")]
    exec(words + source[source.index("FLAT ="):source.index("def spelt")], names)
    names["FLAT"][:] = [t for t in names["FLAT"] if not pyarrow.types.is_decimal(t)] + [pyarrow.timestamp("s"), pyarrow.date64(), pyarrow.time32("s")]
    return names["arrow_type"], names["arrow_value"]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("bridge")
    p.add_argument("--count", type=int, default=100)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    bridge = ctypes.CDLL(a.bridge).arrow_bridge
    arrow_type, arrow_value = load_types()
    bad = 0
    for i in range(a.count):
        r = random.Random(a.seed * 1000 + i)
        n, columns = r.choice([0, 1, 10, 1000]), {}
        for k in range(r.randrange(1, 4)):
            t, nulls = arrow_type(r), r.random() < 0.6
            make = lambda m: pyarrow.array([arrow_value(r, t, nulls) if t != pyarrow.date64() else None for _ in range(m)], t)
            columns[f"c{k}"] = pyarrow.chunked_array([make(n), make(n + 3).slice(2, n // 2)], t)
        table = pyarrow.table(columns)
        shuffles = r.random() < 0.5
        source, result, message = (ctypes.c_void_p * 5)(), (ctypes.c_void_p * 5)(), ctypes.create_string_buffer(500)
        at = ctypes.addressof
        table.to_reader(max_chunksize=r.choice([7, 10**6]))._export_to_c(at(source))
        if bridge(ctypes.c_void_p(at(source)), ctypes.c_void_p(at(result)), int(shuffles), message):
            print(i, message.value.decode(), table.schema)
            bad += 1
            continue
        found = pyarrow.RecordBatchReader._import_from_c(at(result)).read_all()
        found.validate(full=True)
        order = numpy.random.default_rng(42).permutation(len(table)) if shuffles else range(len(table))
        expected = table.take(pyarrow.array(order, pyarrow.int64()))
        if found.schema != table.schema or repr(found.to_pylist()) != repr(expected.to_pylist()):
            print(i, found.schema, table.schema, found.to_pylist()[:3], expected.to_pylist()[:3])
            bad += 1
        column = found.column(0)
        del found, table, source, result
        gc.collect()
        column.validate(full=True)  # what was moved out of its batch stands without it
    print(f"{bad} of {a.count} differ")
    return bad > 0


sys.exit(main())
