"""What the scripts that write tables of code points share: the reference, all characters, and C arrays."""

import sys

import tokenizers

WANTED = "0.23.3"
HANGUL, NHANGUL = 0xAC00, 11172
CODES = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
CHARS = [chr(c) for c in CODES]


def check_version():
    if tokenizers.__version__ != WANTED:
        sys.exit(f"needs tokenizers {WANTED}, found {tokenizers.__version__}")


def two_stages(values, size):
    blocks, first = {}, []
    for at in range(0, len(values), size):
        first.append(blocks.setdefault(tuple(values[at:at + size]), len(blocks)))
    return first, [v for block in blocks for v in block]


def lines_of(values):
    line = "   "
    for v in values:
        if len(line) + len(str(v)) + 2 > 110:
            yield line
            line = "   "
        line += f" {v},"
    yield line


def put(name, ctype, values, storage=""):
    print(f"{storage}const {ctype} {name}[{len(values)}] = {{\n" + "\n".join(lines_of(values)) + "\n};\n")


def put_names(name, values):
    quoted = [f'"{v}"' for v in values]
    print(f"const char *const {name}[{len(values) + 1}] = {{\n" + "\n".join(lines_of(quoted)) + "\n\n    NULL,\n};\n")
