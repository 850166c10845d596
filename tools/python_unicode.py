#!/usr/bin/env python3
"""Writes frontends/jinja/unicode_table.c: what Python's str says of code points, asked of Python itself.

    python3.11 tools/python_unicode.py > frontends/jinja/unicode_table.c
"""

import re
import sys

FLAGS = {
    "ALPHA": str.isalpha,
    "DECIMAL": str.isdecimal,
    "DIGIT": str.isdigit,
    "NUMERIC": str.isnumeric,
    "SPACE": str.isspace,
    "UPPER": str.isupper,
    "LOWER": str.islower,
    "PRINTABLE": str.isprintable,
    "START": str.isidentifier,
    "WORD": lambda c: re.fullmatch(r"\w", c) is not None,
    # A final sigma shows what stands before it.
    "CASED": lambda c: (c + "\u03a3").lower()[-1] == "\u03c2",
    "IGNORABLE": lambda c: ("A" + c + "\u03a3").lower()[-1] == "\u03c2" and (c + "\u03a3").lower()[-1] != "\u03c2",
    "TITLE": lambda c: c.istitle() and not c.isupper(),
}
MAPS = [str.upper, str.lower, str.title]


def main():
    assert sys.version_info[:2] == (3, 11), "the tables of other versions are of other ages"
    runs, special, previous = [], [], None
    for cp in range(0x110000):
        c = chr(cp)
        flags = sum(1 << i for i, f in enumerate(FLAGS.values()) if not 0xD800 <= cp < 0xE000 and f(c))
        mapped = [f(c) for f in MAPS]
        if any(len(m) > 1 for m in mapped):
            special.append((cp, mapped))
            fact = (flags | 1 << len(FLAGS), 0, 0, 0)
        else:
            fact = (flags, *(ord(m) - cp for m in mapped))
        if fact != previous:
            runs.append((cp, *fact))
            previous = fact
    print("/* unicode_table.c -- made by tools/python_unicode.py from Python 3.11. */")
    print('#include "frontends/jinja/text.h"\n')
    print("/* clang-format off */")
    print("const SnJiCodeRun sn_ji_code_runs[] = {")
    for i in range(0, len(runs), 4):
        print("    " + " ".join("{0x%X,0x%X,{%d,%d,%d}}," % r for r in runs[i : i + 4]))
    print(f"}};\nconst uint32_t sn_ji_ncode_runs = {len(runs)};\n")
    print("const SnJiCodeSpecial sn_ji_code_specials[] = {")
    for cp, mapped in special:
        cells = ", ".join("{" + ", ".join("0x%X" % ord(x) for x in m) + "}" for m in mapped)
        print("    {0x%X, {%s}}," % (cp, cells))
    print(f"}};\nconst uint32_t sn_ji_ncode_specials = {len(special)};")


main()
