"""Writes minilm.json: what sentence-transformers 6.2.0 makes of some texts. minilm.py MODEL >minilm.json"""

import json
import sys

import numpy
import sentence_transformers

TEXTS = [
    "A man is eating food.",
    "Ein Mann isst etwas, während es draußen regnet.",
    "Le café était fermé, alors nous sommes rentrés à l'hôtel.",
    "我们明天去北京看朋友。",
    "東京は今日も雨です。",
    "Быстрая коричневая лиса прыгает через ленивую собаку.",
    "القطة تنام على السرير",
    "यह एक छोटा वाक्य है।",
    "",
    " \t ",
    "e\u0301\u200d naïve CAFÉ \u00a0 3.14159 🙂 http://example.org/?q=1&r=[x]",
    "unbelievablyhyperextraordinarilylongwordthatnovocabularyholds" * 3,
    " ".join(f"Line {i} of a long report speaks of weather, trade and ships number {i * i}." for i in range(9)),
    " ".join(f"word{i}" for i in range(300)),
]


def main():
    assert sentence_transformers.__version__ == "6.2.0"
    model = sentence_transformers.SentenceTransformer(sys.argv[1], device="cpu")
    vectors = numpy.asarray(model.encode(TEXTS), dtype=numpy.float32)
    rows = [f'{{"text": {json.dumps(t)},\n "vector": [{", ".join(numpy.format_float_positional(x, unique=True, trim="-") for x in v)}]}}'
            for t, v in zip(TEXTS, vectors)]
    print("[" + ",\n".join(rows) + "]")


main()
