#!/usr/bin/env python3
"""Writes frontends/tokenizer/regex_table.c by asking the regular expressions of the reference about every code point.

Needs the Python package tokenizers, version 0.23.3:

    python3 tools/regex_table.py > frontends/tokenizer/regex_table.c
"""

from tokenizers import Regex, pre_tokenizers

from tables import CHARS, CODES, WANTED, check_version, put, put_names

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn".split()
ESCAPES = "swdh"
POSIX = "blank cntrl digit graph print punct space xdigit word ascii".split()
SCRIPTS = """Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki
Bopomofo Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian
Common Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan
Egyptian_Hieroglyphs Elbasan Elymaic Ethiopic Garay Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi
Gurmukhi Gurung_Khema Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited
Inscriptional_Pahlavi Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi
Khitan_Small_Script Khmer Khojki Khudawadi Kirat_Rai Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian
Mahajani Makasar Malayalam Mandaic Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui
Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mongolian Mro Multani Myanmar Nabataean Nag_Mundari Nandinagari
New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Ol_Onal Old_Hungarian Old_Italic Old_North_Arabian
Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene
Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham SignWriting
Sinhala Sogdian Sora_Sompeng Soyombo Sundanese Sunuwar Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet
Takri Tamil Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Todhri Toto Tulu_Tigalari Ugaritic Unknown Vai
Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square""".split()

TEXT = "".join(CHARS)


def code(place):
    return CODES[place]


def ranges(pattern, text=TEXT, of=code):
    """Code points that a pattern of one character matches, as (first, last)."""
    out = []
    split = pre_tokenizers.Split(Regex(f"(?:{pattern})+"), "removed", invert=True)
    for _, (begin, end) in split.pre_tokenize_str(text):
        for at in range(begin, end):
            if out and out[-1][1] + 1 == of(at):
                out[-1][1] = of(at)
            else:
                out.append([of(at), of(at)])
    return out


def partition(names, other=None):
    """Each code point's name, as sorted (first code point, index) rows of runs."""
    kind = [len(names) if other is None else names.index(other)] * 0x110000
    for i, name in enumerate(names):
        for first, last in ranges(rf"\p{{{name}}}"):
            kind[first:last + 1] = [i] * (last + 1 - first)
    return [(c, kind[c]) for c in range(0x110000) if c == 0 or kind[c] != kind[c - 1]]


def fold_pairs():
    """(a, b) where (?i:b) matches a and b is the lowest of those that match each other."""
    near = {}
    for c in CODES:
        ch = chr(c)
        for f in {ch.lower(), ch.upper(), ch.casefold(), ch.title()}:
            if len(f) == 1 and f != ch:
                near.setdefault(c, set()).add(ord(f))
                near.setdefault(ord(f), set()).add(c)
    out, seen = [], set()
    for c in sorted(near):
        if c in seen:
            continue
        group, todo = {c}, [c]
        while todo:
            for n in near[todo.pop()] - group:
                group.add(n)
                todo.append(n)
        seen |= group
        text = "".join(map(chr, sorted(group)))
        matching = {ord(text[p]) for r in ranges(rf"(?i:\x{{{c:x}}})", text, lambda p: p) for p in range(r[0], r[1] + 1)}
        matching.add(c)
        out += [(m, c) for m in sorted(matching) if m != c]
    return sorted(out)


def split_scripts():
    """The reference's own scripts, which UnicodeScripts splits at: as partition(), 0 is what it gives no heed to."""
    pieces = pre_tokenizers.UnicodeScripts().pre_tokenize_str
    first, kind = [], [0] * 0x110000
    for c, ch in zip(CODES, CHARS):
        if not pieces(ch):
            continue
        same = [kind[c - 1] - 1] if c and kind[c - 1] else []
        found = next((k for k in [*same, *range(len(first))] if len(pieces(first[k] + ch)) == 1), len(first))
        if found == len(first):
            first.append(ch)
        kind[c] = found + 1
    return [(c, kind[c]) for c in range(0x110000) if c == 0 or kind[c] != kind[c - 1]], len(first) + 1


def main():
    check_version()
    categories = partition(CATEGORIES, "Cn")
    cs = CATEGORIES.index("Cs")
    at = next(i for i, (c, _) in enumerate(categories) if c > 0xD800)
    categories[at:at] = [] if any(c == 0xD800 for c, _ in categories) else [(0xD800, cs)]
    print(f'''/* regex_table.c -- what the regular expressions of the reference know of each code point. Generated: do not edit.
 *
 * Made by tools/regex_table.py from tokenizers {WANTED} (Unicode 16.0). */
#include "frontends/tokenizer/regex_table.h"

#include <stddef.h>

/* clang-format off */
''')
    put_names("sn_regex_category_names", CATEGORIES)
    put("sn_regex_categories", "uint32_t", [c << 8 | k for c, k in categories])
    print(f"const uint32_t sn_regex_ncategory = {len(categories)};\n")
    scripts = partition(SCRIPTS, "Unknown")
    put_names("sn_regex_script_names", SCRIPTS)
    put("sn_regex_scripts", "uint32_t", [c << 8 | k for c, k in scripts])
    print(f"const uint32_t sn_regex_nscript = {len(scripts)};\n")
    scripts, n = split_scripts()
    put("sn_regex_split_scripts", "uint32_t", [c << 8 | k for c, k in scripts])
    print(f"const uint32_t sn_regex_nsplit_script = {len(scripts)}, sn_regex_split_kinds = {n};\n")
    kind = [k for (c, k), (end, _) in zip(categories, categories[1:] + [(0x110000, 0)]) for _ in range(end - c)]
    size = [kind.count(k) for k in range(len(CATEGORIES))]
    flat, first, keys, masks = [], [0], [], []
    for key, pattern in [(e, "\\" + e) for e in ESCAPES] + [(p, f"[[:{p}:]]") for p in POSIX]:
        chars = [c for begin, end in ranges(pattern) for c in range(begin, end + 1)]
        found = [0] * len(CATEGORIES)
        for c in chars:
            found[kind[c]] += 1
        whole = [k for k, n in enumerate(found) if n and n == size[k]]
        runs = []
        for c in chars:
            if kind[c] in whole:
                continue
            if runs and runs[-1] == c - 1:
                runs[-1] = c
            else:
                runs += [c, c]
        keys.append(key)
        masks.append(sum(1 << k for k in whole))
        flat += runs
        first.append(len(flat))
    put_names("sn_regex_set_names", keys)
    put("sn_regex_set_categories", "uint32_t", masks)
    put("sn_regex_set_first", "uint32_t", first)
    put("sn_regex_set_rest", "uint32_t", flat)
    folds = fold_pairs()
    put("sn_regex_folds", "uint32_t", [v for pair in folds for v in pair])
    print(f"const uint32_t sn_regex_nfold = {len(folds)};")


main()
