#!/usr/bin/env python3
"""Writes ops/host/unicode_table.c by asking the reference tokenizer about every code point.

The parts of the reference draw on Unicode data of different ages (its punctuation is older than its lower case), so
no version of the Unicode files gives its answers: each fact is observed through the normalizer or pre-tokenizer that
uses it. Needs the Python package tokenizers, version 0.23.3:

    python3 tools/unicode_table.py > ops/host/unicode_table.c
"""

import functools

from tokenizers import normalizers, pre_tokenizers

from tables import CHARS, HANGUL, NHANGUL, WANTED, check_version, put, two_stages

FLAGS = ["SPACE", "DROP", "NONSPACING", "MARK", "PUNCT", "NUMERIC", "WORD", "CJK", "DECOMPOSES"]
HIGHEST_ORDER, LOWEST_ORDER = chr(0x345), chr(0x334)  # combining classes 240 and 1


def bert(**on):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**off, **on}).normalize_str


CLEAN, CJK, STRIP = bert(clean_text=True), bert(handle_chinese_chars=True), bert(strip_accents=True)
NFD = normalizers.NFD().normalize_str
LOWER = normalizers.Lowercase().normalize_str
STRIP_MARKS = normalizers.StripAccents().normalize_str
SPLIT_SPACE = pre_tokenizers.WhitespaceSplit().pre_tokenize_str
SPLIT_PUNCT = pre_tokenizers.Punctuation().pre_tokenize_str
SPLIT_DIGIT = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str
SPLIT_WORD = pre_tokenizers.Whitespace().pre_tokenize_str


def flags_of(c):
    facts = {
        "SPACE": len(SPLIT_SPACE("a" + c + "b")) == 2,
        "DROP": CLEAN(c) == "",
        "NONSPACING": STRIP(c) == "" and NFD(c) == c,
        "MARK": STRIP_MARKS(c) == "",
        "PUNCT": len(SPLIT_PUNCT("a" + c + "b")) == 3,
        "NUMERIC": len(SPLIT_DIGIT("a" + c + "b")) == 3,
        "WORD": len(SPLIT_WORD("a" + c)) == 1 and not SPLIT_SPACE(c) == [],
        "CJK": CJK(c) == " " + c + " ",
        "DECOMPOSES": NFD(c) != c,
    }
    if CLEAN(c) not in ("", c):
        assert CLEAN(c) == " " and facts["SPACE"]
    return sum(1 << i for i, name in enumerate(FLAGS) if facts[name])


def comes_before(a, b):
    """Canonical ordering puts a before b where b stands first: the combining class of a is lower, and not 0."""
    return NFD(b + a) == a + b


def combining_orders(chars):
    """Ranks of combining classes: 0 for starters, 1 for the lowest class."""
    marks = [c for c in chars if NFD(c) == c and c not in (HIGHEST_ORDER, LOWEST_ORDER)
             and (comes_before(c, HIGHEST_ORDER) or comes_before(LOWEST_ORDER, c))]
    marks += [HIGHEST_ORDER, LOWEST_ORDER]
    groups = []
    for c in marks:
        for g in groups:
            if c == g[0] or not (comes_before(c, g[0]) or comes_before(g[0], c)):
                g.append(c)
                break
        else:
            groups.append([c])
    groups.sort(key=functools.cmp_to_key(lambda g, h: -1 if comes_before(g[0], h[0]) else 1))
    return {c: i + 1 for i, g in enumerate(groups) for c in g}


def lower_delta(c):
    low = LOWER(c)
    assert len(low) == 1 or (c == "\u0130" and low == "i\u0307"), hex(ord(c))
    return ord(low[0]) - ord(c)


def check_hangul():
    for i in range(NHANGUL):
        t = i % 28
        want = chr(0x1100 + i // 588) + chr(0x1161 + i % 588 // 28) + (chr(0x11A7 + t) if t else "")
        assert NFD(chr(HANGUL + i)) == want


def check_growth(chars):
    """The bound that ops/host/tokenize.h states: 3 bytes and 2 characters out for each byte in."""
    for c in chars:
        for step in (lambda s: LOWER(NFD(CJK(s))), lambda s: NFD(LOWER(CJK(s))), lambda s: CJK(LOWER(NFD(s)))):
            out = step(c)
            assert len(out.encode()) <= 3 * len(c.encode()) and len(out) <= 2 * len(c.encode()), hex(ord(c))


def main():
    check_version()
    check_hangul()
    check_growth(CHARS)
    order = combining_orders(CHARS)
    classes, of = {(0, 0, 0): 0}, [0] * 0x110000
    for c in CHARS:
        key = (flags_of(c), order.get(NFD(c)[0], 0), lower_delta(c))
        of[ord(c)] = classes.setdefault(key, len(classes))
    assert len(classes) <= 256
    stages = {size: two_stages(of, size) for size in (64, 128, 256)}
    size = min((s for s in stages if len(stages[s][1]) // s <= 256), key=lambda s: sum(map(len, stages[s])))
    first, second = stages[size]

    print(f"""/* unicode_table.c -- what the reference tokenizer knows of each code point. Generated: do not edit.
 *
 * Made by tools/unicode_table.py from tokenizers {WANTED} (Unicode 16.0 for letters, digits and lower case; older
 * data for punctuation, marks and decompositions, as in the reference). */
#include "ops/host/unicode.h"

/* clang-format off */
""")
    print(f"_Static_assert(SN_CP_BLOCK_BITS == {size.bit_length() - 1} && SN_CP_DECOMPOSES == {1 << 8}, "
          "\"table and header agree\");\n")
    print(f"const SnCodeClass sn_code_classes[{len(classes)}] = {{")
    for f, o, d in classes:
        print(f"    {{{d}, {f}, {o}}},")
    print("};\n")
    put("sn_code_first", "uint8_t", first)
    put("sn_code_second", "uint8_t", second)


if __name__ == "__main__":
    main()
