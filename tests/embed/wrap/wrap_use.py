"""Prints what wrap_use.c prints, through the wrappers for Python."""
import array
import shutil

import wrap_answer_model
import wrap_class_model
import wrap_embed_model
import wrap_fill_model
import wrap_pair_model
import wrap_state_model
import wrap_tag_model

TEXT = "  Naïve café — 東京 😀 x"

with wrap_embed_model.Context() as ctx:
    vector = ctx.embed("hello world")
    print("embed", *("%.5f" % x for x in vector))
    ctx.begin("hello world")
    n = 0
    while not ctx.step(1):
        n += 1
    print("slices", int(n > 1), int(ctx.vector() == vector))
    assert ctx.embed(b"hello world") == vector
    ctx.bind("text", ["a", "hello world"])
    ctx.run()
    both = ctx.result("embeddings")
    assert both.shape == (2, 4) and both.tolist()[1] == list(vector)

with wrap_embed_model.Context(block_bytes=1 << 20, threads=2) as ctx:
    assert ctx.embed("hello world") == vector
try:
    wrap_embed_model.Context(block_bytes=100)
    assert False
except wrap_embed_model.Error as e:
    assert e.status == 2 and "block" in str(e)

with wrap_class_model.Context() as ctx:
    for name, score in zip(wrap_class_model.labels(), ctx.classify("paris is big")):
        print("class", name, "%.5f" % score)

with wrap_pair_model.Context() as ctx:
    print("pair", *("%.5f" % x for x in ctx.classify_pair("fox", "a dog")[:2]))

with wrap_tag_model.Context() as ctx:
    for span in ctx.tag(TEXT):
        assert TEXT[span.begin:span.end] == span.text
        print("tag", span.name, "%.5f" % span.score, span.label, "[%s]" % span.text)

with wrap_answer_model.Context() as ctx:
    span = ctx.answer("who ?", "  Naïve café 東京 😀 don't state")
    print("answer", "%.5f" % span.score, "[%s]" % span.text)

with wrap_fill_model.Context() as ctx:
    for word in ctx.fill("the [MASK] fox"):
        print("fill", word.id, "%.5f" % word.score, "[%s]" % word.text)
    try:
        ctx.fill("no")
    except wrap_fill_model.Error as e:
        print("error", e.status)

with wrap_state_model.Context() as ctx:
    x = array.array("f", [i / 32 for i in range(32)])
    ctx.bind("x", memoryview(x).cast("B").cast("f", (2, 16)))
    for i in range(3):
        ctx.run()
        y = ctx.result("y")
        print("total", "%.5f" % ctx.result("total").tolist(), "%.5f" % y[1, 15], "%dx%d" % y.shape)
        if i == 0:
            state = ctx.save()
        if i == 1:
            ctx.load(state)

# A new file of the model takes over the state of the old one.
shutil.copy("wrap_state.so", "newer.so")
with wrap_state_model.Context() as old, wrap_state_model.Context(path="./newer.so") as new:
    old.bind("x", memoryview(x).cast("B").cast("f", (2, 16)))
    old.run()
    new.load(old.save())
    old.close()
    new.bind("x", memoryview(x).cast("B").cast("f", (2, 16)))
    new.run()
    assert new.result("total").tolist() == 31
    new.trace_begin()
    new.run()
    new.trace_end("trace.json")
    with open("trace.json") as trace:
        assert len(trace.read()) > 100
