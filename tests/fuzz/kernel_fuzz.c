/* kernel_fuzz.c -- the kernel text form: what parses prints, parses back to the same key, assembles and
 * prints as C and OpenCL C. */
#include "tests/fuzz/fuzz.h"

#include "backends/clike/clike.h"
#include "backends/interp/interp.h"

static void use(SnContext *ctx, SnStore *s, SnArena *arena, const SnKernel *k)
{
    SnText text = {.memory = sn_allocator(ctx)}, code = {.memory = sn_allocator(ctx)};
    SnKernel *again = NULL;
    SnError err = {0};
    sn_kernel_print(k, &text);
    fuzz_require(sn_kernel_parse(s, arena, "again", sn_bytes(text.at, text.n), &again, &err) == SN_OK);
    fuzz_require(again->key.lo == k->key.lo && again->key.hi == k->key.hi);
    if (sn_kernel_expand(again, arena, &err) == SN_OK) {
        SnCodeKernel out;
        uint32_t lanes;
        (void)!sn_interp_assemble(again, arena, &out, &err);
        (void)!sn_clike_print(&sn_dialect_c, again, "f", &code, &lanes, &err);
        (void)!sn_clike_print(&sn_dialect_opencl, again, "f", &code, &lanes, &err);
    }
    sn_text_clear(&text);
    sn_text_clear(&code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnStore *s = NULL;
    SnKernel *k = NULL;
    SnError err = {0};
    SnArena arena;
    fuzz_require(sn_context_create(NULL, &ctx, &err) == SN_OK && sn_store_create(ctx, &s, &err) == SN_OK);
    sn_arena_init(&arena, sn_allocator(ctx));
    if (sn_kernel_parse(s, &arena, "fuzz", sn_bytes(data, size), &k, &err) == SN_OK)
        use(ctx, s, &arena, k);
    sn_arena_clear(&arena);
    sn_store_destroy(s);
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/kernel");
