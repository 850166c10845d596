#!/usr/bin/env python3
"""Writes frontends/tokenizer/normal_table.c: decompositions, compositions and grapheme breaks of every code point.

Like unicode_table.py it observes the reference tokenizer. Grapheme breaks show through a Precompiled normalizer whose
map writes X for whatever it looks up: a cluster of less than six bytes becomes one X, the characters of a longer one an
X each. What cannot show there (which Hangul syllables, controls of four bytes, regional indicators) is taken from the
package regex. Needs the Python packages tokenizers, version 0.23.3, and regex:

    python3 tools/normal_table.py > frontends/tokenizer/normal_table.c
"""

import struct

import regex
from tokenizers import normalizers

from tables import CHARS, HANGUL, NHANGUL, WANTED, check_version, two_stages
from tables import put as put_array

BREAKS = ["OTHER", "CR", "LF", "CONTROL", "EXTEND", "LINKER", "CONJUNCT", "ZWJ", "INDICATOR", "PREPEND", "SPACING", "L",
          "V", "T", "LV", "LVT", "PICTO", "CONSONANT"]
COMPAT, SECOND, KEPT = 32, 64, 128
NFD, NFC = normalizers.NFD().normalize_str, normalizers.NFC().normalize_str
NFKD = normalizers.NFKD().normalize_str


def cluster_counter():
    """A character map in which every byte is a key with the value X: units of a double array, then the strings."""
    units = [256 << 10] + [0] * 1023
    for c in range(1, 256):
        at = 256 ^ c
        units[at] = c | 1 << 8 | (at ^ (512 + c)) << 10
        units[512 + c] = 1 << 31
    precompiled = normalizers.Precompiled(struct.pack("<I1024I", 4096, *units) + b"X\0")
    return lambda s: len(precompiled.normalize_str(s))


def break_classes(chars):
    count = cluster_counter()
    mark, smile, ka, ta, virama = "\u0308", "\u263A", "\u0915", "\u0924", "\u094D"
    known = {"\r": "CR", "\n": "LF", "\u200D": "ZWJ"}
    text = "".join(chars)
    for name, pattern in [("CONTROL", "Control"), ("INDICATOR", "Regional_Indicator"), ("L", "L"), ("V", "V"), ("T", "T"),
                          ("LV", "LV"), ("LVT", "LVT")]:
        for c in regex.findall(r"\p{GCB=" + pattern + "}", text):
            known.setdefault(c, name)

    def one(c):
        if c in known:
            return known[c]
        if count("a" + c) == 1:  # belongs to the cluster before it
            if count("\u00A9" + c + "\u200D" + smile + mark) == 4:
                return "SPACING"
            if count(ka + c + ta + mark) == 4:
                return "LINKER"
            return "CONJUNCT" if count(ka + c + virama + ta + mark) == 5 else "EXTEND"
        if count(c + "a") == 1:
            return "PREPEND"
        if count(c + "\u200D" + smile + mark) == 4 or (len(c.encode()) == 2 and count(c + "\u200D" + smile) == 3):
            return "PICTO"
        return "CONSONANT" if count(c + virama + ta + mark) == 4 else "OTHER"

    return {c: one(c) for c in chars}


def compositions(chars):
    """(first, second) -> composed, for all pairs but those of Hangul."""
    pairs = {}
    for c in chars:
        d = NFD(c)
        if d == c or NFC(c) != c or HANGUL <= ord(c) < HANGUL + NHANGUL:
            continue
        first = NFC(d[:-1])
        assert len(first) == 1 and NFC(first + d[-1]) == c, hex(ord(c))
        pairs[first, d[-1]] = c
    return dict(sorted(pairs.items()))


def is_kept(c, seconds, brk):
    """Does NFC leave any text as it is that has only such characters? Marks that move show behind U+345, of class 240."""
    return NFC(c) == c and c not in seconds and brk not in ("V", "T") and NFD("q\u0345" + c) == "q\u0345" + NFD(c)


def put(parts, name, group, ctype, values):
    parts.append((name, group, len(values)))
    put_array(name.lower(), ctype, values, "static ")


def put_decompositions(parts, form, chars, decompose):
    pool, at = [], [0]
    for c in chars:
        pool += [ord(d) for d in decompose(c)]
        at.append(len(pool))
    block = [sum(1 for c in chars if ord(c) >> 8 < b) for b in range((ord(chars[-1]) >> 8) + 2)]
    put(parts, form + "_BLOCK", form, "uint16_t", block)
    put(parts, form + "_LOW", form, "uint8_t", [ord(c) & 0xFF for c in chars])
    put(parts, form + "_AT", form, "uint16_t", at)
    put(parts, form + "_POOL", form, "uint32_t", pool)


def main():
    check_version()
    chars = CHARS[1:]
    breaks = break_classes(chars)
    pairs = compositions(chars)
    seconds = {b for _, b in pairs}
    compat = [c for c in chars if NFKD(c) != NFD(c)]
    of = [0] * 0x110000
    of[0] = BREAKS.index("CONTROL") | KEPT
    for c in chars:
        of[ord(c)] = (BREAKS.index(breaks[c]) | COMPAT * (NFKD(c) != NFD(c)) | SECOND * (c in seconds)
                      | KEPT * is_kept(c, seconds, breaks[c]))
    first, second = two_stages(of, 128)
    apart = [c for c in chars if NFD(c) != c and not HANGUL <= ord(c) < HANGUL + NHANGUL]
    assert max(ord(c) for p in pairs for c in p) < 1 << 21

    print(f"""/* normal_table.c -- normalisation forms and grapheme breaks of each code point. Generated: do not edit.
 *
 * Made by tools/normal_table.py from tokenizers {WANTED}. */
#include "frontends/tokenizer/draft.h"
#include "ops/host/normal.h"

/* clang-format off */
""")
    print(f"_Static_assert(SN_BREAK_CONSONANT == {BREAKS.index('CONSONANT')} && SN_FORM_COMPAT == {COMPAT} && "
          f"SN_FORM_SECOND == {SECOND} && SN_FORM_KEPT == {KEPT}, \"table and header agree\");\n")
    parts = []
    put(parts, "FORM_FIRST", "FORM", "uint8_t", first)
    put(parts, "FORM_SECOND", "FORM", "uint8_t", second)
    put_decompositions(parts, "NFD", apart, NFD)
    put_decompositions(parts, "NFKD", compat, NFKD)
    put(parts, "COMPOSE_PAIR", "COMPOSE", "uint64_t", [f"{ord(a) << 21 | ord(b)}u" for a, b in pairs])
    put(parts, "COMPOSE_TO", "COMPOSE", "uint32_t", [ord(c) for c in pairs.values()])
    print("const SnNormalPart sn_normal_parts[SN_NORMAL_PARTS] = {")
    for name, group, count in parts:
        print(f"    {{SN_TOK_{name}, SN_READS_{group}, {count}, {name.lower()}}},")
    print("};")


if __name__ == "__main__":
    main()
