/* aot_test.c -- two programs that were compiled ahead of time, in one executable that has the runtime and no
 * compiler: the bits of the same programs just in time. Its argument is what aot_emit expects. */
#include "aot_beside.h"
#include "aot_small.h"
#include "aot_text.h"
#include "runtime/program.h"
#include "tests/embed/aot.h"
#include "tests/unit/unit.h"

#include <stdio.h>

static AotExpected expected;

static void check_bits(const SnProgramDesc *desc)
{
    static EmbedInput in;
    SnError err;
    SnContext *ctx = NULL;
    SnProgram *p = NULL;
    SnInstance *s = NULL;
    SnProgramInfo info;
    EmbedOutput got;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    assert_ok(sn_program_link(ctx, desc, &p, &err));
    sn_program_info(p, &info);
    assert_int_equal(info.packed_bytes, sizeof(float) * EMBED_WIDTH * EMBED_WIDTH);
    assert_false(info.packed_is_cached);
    assert_ok(sn_instance_create(p, NULL, &s, &err));
    embed_fill(&in, AOT_SEED);
    for (int i = 0; i < 2; i++) {
        assert_ok(sn_reset(s, &err));
        assert_ok(embed_bind(s, &in, &err));
        assert_ok(sn_run(s, &err));
        assert_ok(embed_output(s, &got, &err));
        assert_memory_equal(&got, &expected.small, sizeof got);
    }
    sn_instance_destroy(s);
    sn_program_release(p);
    sn_context_destroy(ctx);
}

static void linked_program_gives_bits_of_jit(void **state)
{
    (void)state;
    check_bits(&aot_small_program);
}

static void weights_beside_give_bits_of_jit(void **state)
{
    (void)state;
    check_bits(&aot_beside_program);
}

static void linked_program_streams_rows_between_slices(void **state)
{
    (void)state;
    static EmbedInput in;
    SnError err;
    SnContext *ctx = NULL;
    SnProgram *p = NULL;
    SnInstance *s = NULL;
    float energy[EMBED_LAYERS];
    uint64_t n = 0, before_the_end = 0;
    bool done = false;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    assert_ok(sn_program_link(ctx, &aot_small_program, &p, &err));
    assert_ok(sn_instance_create(p, NULL, &s, &err));
    embed_fill(&in, AOT_SEED);
    assert_ok(embed_bind(s, &in, &err));
    while (!done) {
        SnView rows;
        assert_ok(sn_run_some(s, 1, &done, &err));
        assert_ok(sn_rows(s, "energy", n, &rows, &err));
        if (rows.dims[0] > 0)
            memcpy(energy + n, rows.data, (size_t)rows.dims[0] * sizeof *energy);
        n += (uint64_t)rows.dims[0];
        before_the_end += !done && n == 1;
    }
    assert_int_equal(n, EMBED_LAYERS);
    assert_true(before_the_end > 0);
    assert_memory_equal(energy, expected.small.energy, sizeof energy);
    sn_instance_destroy(s);
    sn_program_release(p);
    sn_context_destroy(ctx);
}

static void linked_tokenizer_gives_ids_of_jit(void **state)
{
    (void)state;
    SnError err;
    SnContext *ctx = NULL;
    SnProgram *p = NULL;
    SnInstance *s = NULL;
    AotTokens got;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    assert_ok(sn_program_link(ctx, &aot_text_program, &p, &err));
    assert_ok(sn_instance_create(p, NULL, &s, &err));
    assert_ok(aot_tokens(s, &got, &err));
    assert_memory_equal(&got, &expected.tokens, sizeof got);
    assert_int_equal(got.ids[0], 2); /* [CLS] */
    assert_int_equal(got.ids[1], 5); /* hello */
    sn_instance_destroy(s);
    sn_program_release(p);
    sn_context_destroy(ctx);
}

static void foreign_abi_is_refused(void **state)
{
    (void)state;
    SnError err;
    SnContext *ctx = NULL;
    SnProgram *p = NULL;
    SnProgramDesc d = aot_small_program;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    d.abi++;
    assert_fails(SN_EUNSUPPORTED, sn_program_link(ctx, &d, &p, &err));
    d = aot_small_program;
    d.image_size--;
    assert_fails(SN_EFORMAT, sn_program_link(ctx, &d, &p, &err));
    sn_context_destroy(ctx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linked_program_gives_bits_of_jit),
        cmocka_unit_test(weights_beside_give_bits_of_jit),
        cmocka_unit_test(linked_program_streams_rows_between_slices),
        cmocka_unit_test(linked_tokenizer_gives_ids_of_jit),
        cmocka_unit_test(foreign_abi_is_refused),
    };
    FILE *f = argc > 1 ? fopen(argv[1], "rb") : NULL;
    const bool read = f && fread(&expected, sizeof expected, 1, f) == 1;
    if (f)
        (void)fclose(f);
    return read ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
