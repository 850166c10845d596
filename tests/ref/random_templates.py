#!/usr/bin/env python3
"""random_templates.py CONFORM [SEED [COUNT]]

Random templates (statements, expressions, filters, tests, methods) over random variables, through `conform` as rows of
kind chat, against jinja2 as transformers sets it up: the same text and the same spans of {% generation %}, or an
error from both; what a template raises itself word for word. Exit 1: something differs.
"""

import html
import json
import os
import random
import subprocess
import sys
import tempfile

from transformers.utils.chat_template_utils import _compile_jinja_template, _render_with_assistant_indices

NAMES = ["s", "t", "n", "f", "b", "none", "l", "d", "nested", "missing", "messages", "x", "loop"]
FILTERS = ["upper", "lower", "title", "capitalize", "trim", "length", "first", "last", "list", "string", "int", "float",
           "sort", "unique", "reverse", "join", "join(', ')", "tojson", "tojson(indent=2)", "default('z')", "d(1, true)",
           "abs", "round", "round(1, 'floor')", "replace('a', 'b')", "indent", "indent(2, true)", "items", "dictsort",
           "map('string')", "map('upper')", "map(attribute='role')", "select", "select('odd')", "reject('none')",
           "selectattr('role')", "selectattr('role', 'equalto', 'user')", "rejectattr('k')", "sum", "max", "min",
           "batch(2)", "slice(2)", "groupby('role')", "truncate(7)", "truncate(5, true, '')", "wordcount", "wordwrap(6)",
           "pprint", "center(12)", "escape", "safe", "striptags", "urlencode", "filesizeformat", "xmlattr", "format(1, 2)",
           "count", "attr('role')", "forceescape", "urlize", "urlize(9, true)", "urlize(target='_top', rel='a b')", "batch(0)",
           "round(-2)", "round(-20)", "random|default('none')|string|truncate(0, true, '')"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence",
         "iterable", "odd", "even", "divisibleby(3)", "in [1, 's', 2.5]", "eq(1)", "gt(0)", "sameas(none)", "lower",
         "upper", "callable", "true", "false", "escaped"]
METHODS = [".strip()", ".upper()", ".split()", ".split('a')", ".startswith('a')", ".items()", ".keys()", ".get('k')",
           ".get('zz', 3)", ".replace('a', '')", ".title()", ".find('b')", ".rstrip('x')", ".splitlines()", ".join(['q', 'r'])",
           ".count('a')", ".zfill(5)", ".isdigit()", ".lstrip()", ".format(1, k=2)", ".capitalize()", ".values()",
           ".index('a')", ".rsplit('b', 1)", ".partition('a')", ".casefold()", ".bit_length()", ".as_integer_ratio()", ".format_map({'k': 1})", ".swapcase()", ".removeprefix('a')"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "~", "and", "or", "==", "!=", "<", ">=", "in", "not in", "**"]


class Maker:
    def __init__(self, rng):
        self.rng = rng

    def pick(self, *of):
        return self.rng.choice(of)

    def literal(self):
        return self.pick("'abc'", "'a-b c'", "1", "0", "-3", "2.5", "true", "false", "none", "[1, 2, 3]", "['b', 'a']", "[]",
                         "{'k': 1}", "{}", "(1, 'a')", "'\u00e9\\n'", "''", "range(4)", "dict(a=1)", "10**3",
                         "2**64", "-12345678901234567890123", "0xfffffffffffffffffff", "1e23", "9223372036854775807",
                         "'see (www.x.org) <me@x.org>, http://1.2.3.4:8/a(b).'",
                         f"'{self.entities()}'")

    def entities(self):
        """Names that HTML knows or not, numbers, and either cut off; none that ends a literal."""
        parts = [self.pick(*html.entities.html5), f"#{self.rng.randrange(300)}", f"#x{self.rng.randrange(1 << 21):x};",
                 f"#X{self.rng.randrange(0xFD00, 0x10010):X}", "#", "#x;", "amp;lt;", "nosuch;", "notit;", "\u00e9;", " x", "copy1"]
        return "".join("&" + self.pick(*parts) for _ in range(self.rng.randrange(1, 6)))

    def expr(self, depth=0):
        kind = self.rng.randrange(12) if depth < 4 else self.rng.randrange(2)
        inner = lambda: self.expr(depth + 1)  # noqa: E731
        if kind == 0:
            return self.literal()
        if kind < 4:
            return self.rng.choice(NAMES)
        if kind == 4:
            return f"({inner()} {self.rng.choice(OPERATORS)} {inner()})"
        if kind == 5:
            return f"({inner()} if {inner()} else {inner()})"
        if kind == 6:
            return f"{inner()}[{self.pick('0', '-1', chr(39) + 'k' + chr(39), '1:', ':2', '::-1', inner())}]"
        if kind == 7:
            return f"({inner()}){self.rng.choice(METHODS)}"
        if kind == 8:
            return f"({inner()} is {self.pick('', 'not ')}{self.rng.choice(TESTS)})"
        if kind == 9:
            return f"(not {inner()})"
        return f"({inner()}) | {self.rng.choice(FILTERS)}"

    def body(self, depth):
        return "".join(self.statement(depth) for _ in range(self.rng.randrange(1, 4)))

    def statement(self, depth=0):
        kind = self.rng.randrange(16) if depth < 3 else self.rng.randrange(6)
        dash = lambda: self.pick("", "", "-")  # noqa: E731
        tag = lambda text: f"{{%{dash()} {text} {dash()}%}}"  # noqa: E731
        inner = lambda: self.body(depth + 1)  # noqa: E731
        if kind < 2:
            return self.pick("text", " ", "\n", "  \n", "a\n b", "\u00e9", "{# note #}", "\n{#- note -#} ")
        if kind < 6:
            return f"{{{{{dash()} {self.expr()} {dash()}}}}}"
        if kind == 6:
            return tag(f"set x = {self.expr()}")
        if kind == 7:
            return tag(f"if {self.expr()}") + inner() + self.pick("", tag(f"elif {self.expr()}") + inner(),
                                                                 tag("else") + inner()) + tag("endif")
        if kind < 11:
            jump = self.pick("", "", tag("break"), tag("if loop.index > 2") + tag("continue") + tag("endif"))
            show = self.pick("", "{{ loop.index0 }}", "{{ loop.last }}", "{{ loop.cycle('a', 'b') }}", "{{ x }}")
            where = self.pick("", "", f" if {self.expr(2)}")
            return tag(f"for x in {self.pick('l', 'd', 's', 'messages', 'range(3)', 'nested', self.expr(1))}{where}") + show + \
                inner() + jump + self.pick("", tag("else") + "none") + tag("endfor")
        if kind == 11:
            return tag("set ns = namespace(v=0)") + tag("for i in range(3)") + tag("set ns.v = ns.v + i") + tag("endfor") + \
                "{{ ns.v }}"
        if kind > 13:
            return tag("generation") + inner() + tag("endgeneration")
        if kind == 12:
            return tag(f"macro m(a, b={self.literal()})") + "{{ a }}" + inner() + tag("endmacro") + f"{{{{ m({self.expr(2)}) }}}}"
        return self.pick(tag(f"filter {self.rng.choice(['upper', 'trim', 'indent', 'title'])}") + inner() + tag("endfilter"),
                         tag("set x") + inner() + tag("endset") + "{{ x }}",
                         f"{{{{ raise_exception({self.pick(chr(39) + 'no!' + chr(39), self.expr(3))}) }}}}")

    def value(self, depth=0):
        kind = self.rng.randrange(9 if depth < 2 else 6)
        if kind < 6:
            return self.pick("abc", "a b\nc", "", "\u00e9\u4e2d <b>", 1, 0, -7, 2.5, 1e20, True, None, "12", "0x1f", "  x ")
        if kind == 6:
            return [self.value(depth + 1) for _ in range(self.rng.randrange(5))]
        return {self.pick("k", "a", "role", "b c"): self.value(depth + 1) for _ in range(self.rng.randrange(4))}


def reference(template, messages, kwargs):
    try:
        compiled = _compile_jinja_template(template)
        text, spans = _render_with_assistant_indices(compiled, messages, None, None, False, **kwargs)
        return {"expected": text, "spans": [list(span) for span in spans]}
    except Exception as error:  # whatever the template, or Python, says
        name = type(error).__name__
        return {"expected_error": str(error) if name == "TemplateError" else None, "why": f"{name}: {error}"}


def main():
    seed, count = int(sys.argv[2]) if len(sys.argv) > 2 else 1, int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    make = Maker(random.Random(seed))
    rows = []
    for _ in range(count):
        variables = {name: make.value() for name in ("s", "t", "n", "f", "b", "d", "nested")}
        variables.update(s="a bc\n<i>", l=[3, 1, 2], d={"k": "v", "a": [1]}, n=5, f=-2.75)
        rows.append({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " a\nb"}],
                     "kwargs": dict(variables, chat_template=make.body(0))})
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(os.path.join(folder, "model"))
        for path, value in (("case.json", {"name": "random", "kind": "chat", "model": "model", "data": "data.json"}),
                            ("data.json", {"rows": [dict(row, expected=None, expected_spans=None) for row in rows]}),
                            ("model/tokenizer_config.json", {})):
            with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
                json.dump(value, file)
        with open(os.path.join(folder, "model/vocab.txt"), "w", encoding="utf-8") as file:
            file.write("[UNK]\n")
        out = os.path.join(folder, "out.json")
        subprocess.run([sys.argv[1], folder, out], check=True, timeout=900)
        with open(out, encoding="utf-8") as file:
            mine = json.load(file)["rows"]
    differ = errors = 0
    for row, got in zip(rows, mine, strict=True):
        kwargs = dict(row["kwargs"])
        template = kwargs.pop("chat_template")
        want = reference(template, row["messages"], kwargs)
        error = got.get("expected_error")
        errors += "expected_error" in want
        if "expected" in want:
            same = got.get("expected") == want["expected"] and got["expected_spans"] == want["spans"]
        else:
            same = error is not None and want["expected_error"] in (None, error.removeprefix("TemplateError: "))
        if not same and " at 0x" not in (want.get("expected") or want.get("expected_error") or ""):
            differ += 1
            print(f"{template!r} with {json.dumps(kwargs)}\n  want {want}\n  got  {got.get('expected')!r} {got.get('expected_spans')} {error!r}")
    print(f"seed {seed}: {count} templates, {errors} errors, {differ} differ")
    sys.exit(differ > 0)


if __name__ == "__main__":
    main()
