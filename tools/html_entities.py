#!/usr/bin/env python3
"""Writes frontends/jinja/entity_table.c: the characters that HTML has names for, asked of Python's html, and those that it
takes some numbers for.

    python3.11 tools/html_entities.py > frontends/jinja/entity_table.c
"""
import html


def quoted(text):
    return "".join(c if c.isascii() and c.isalnum() or c in ";#" else "".join(f"\\{b:03o}" for b in c.encode()) for c in text)


def main():
    known = {f"#{n}": c for n, c in html._invalid_charrefs.items()} | html.entities.html5
    print("/* entity_table.c -- made by tools/html_entities.py from Python 3.11. */\n#include \"frontends/jinja/text.h\"\n")
    print("/* clang-format off */\nconst char sn_ji_entities[] = \"\\001\"")
    for name in sorted(known):
        print(f'    "{name}\\001{quoted(known[name])}\\001"')
    print("    ;")


main()
