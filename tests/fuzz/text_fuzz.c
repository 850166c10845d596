/* text_fuzz.c -- any bytes as a program in text form: refused with a message, or what is printed parses to
 * the same program. */
#include "tests/fuzz/fuzz.h"

#include "compiler/graph.h"

static SnValue expand_half(SnGraph *g, const SnCall *c)
{
    return sn_mul(g, c->in[0], sn_const(g, SN_F32, 0.5));
}

static SnGraph *parse(SnCompiler *cc, SnBytes text, bool must)
{
    SnGraph *g = NULL;
    SnError err = {0};
    fuzz_require(sn_graph_create(cc, &g, &err) == SN_OK);
    if (sn_graph_parse(g, "fuzz", text, &err) == SN_OK)
        return g;
    fuzz_require(!must && err.message[0] != '\0' && sn_graph_check(g, NULL) != SN_OK);
    sn_graph_destroy(g);
    return NULL;
}

static SnText print_and_destroy(SnGraph *g)
{
    SnText t = {.memory = sn_allocator(sn_compiler_context(sn_graph_compiler(g)))};
    SnError err = {0};
    if (sn_graph_print(g, &t, &err) != SN_OK) /* a program without results does not print */
        sn_text_clear(&t);
    sn_graph_destroy(g);
    return t;
}

/* The first print may turn operands that commute around, since declarations then stand in another order. */
static void round_trip(SnCompiler *cc, SnGraph *g)
{
    SnText once = print_and_destroy(g);
    if (once.at != NULL) {
        SnText twice = print_and_destroy(parse(cc, sn_bytes(once.at, once.n), true));
        SnText thrice = print_and_destroy(parse(cc, sn_bytes(twice.at, twice.n), true));
        fuzz_require(twice.n == thrice.n && memcmp(twice.at, thrice.at, twice.n) == 0);
        sn_text_clear(&twice);
        sn_text_clear(&thrice);
    }
    sn_text_clear(&once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const SnOp ops[] = {{.sig = "half(x: F[..], b: F[..]?; by: f64 = 1, name: str = \"a\", on: bool = "
                                       "false, at: ints = [0]) -> F[..]",
                                .expand = expand_half},
                               {0}};
    static const SnOp *const tables[] = {ops, NULL};
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = tables};
    SnContext *ctx = NULL;
    SnCompiler *cc = NULL;
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    fuzz_require(sn_compiler_create(ctx, &desc, &cc, NULL) == SN_OK);
    SnGraph *g = parse(cc, sn_bytes(data, size), false);
    if (g != NULL)
        round_trip(cc, g);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/text");
