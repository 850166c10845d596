/* Operations and bytes that a trace shows for a step: those that the graph asks for. */
#include "tests/unit/unit.h"

#include "ops/ops.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct Sums { /* of the kernels of a run */
    uint64_t flops, bytes;
    uint32_t nkernel;
} Sums;

static void add_event(void *self, const SnTraceEvent *e)
{
    Sums *s = self;
    s->flops += e->flops;
    s->bytes += e->bytes;
    s->nkernel += e->tiles > 0;
}

/* Runs an entry of text on inputs of zeros whose dims are numbers. */
static Sums run(const char *entry)
{
    char text[1024];
    SnError err;
    SnContext *ctx = NULL;
    SnCompiler *cc = NULL;
    SnGraph *g = NULL;
    SnProgram *p = NULL;
    SnInstance *s = NULL;
    Sums sums = {0};
    SnSlotInfo slot;
    void *data[4] = {NULL};
    const SnContextDesc desc = {.struct_size = sizeof desc, .trace = {&sums, add_event}};
    const SnCompilerDesc cd = {.struct_size = sizeof cd, .ops = sn_all_ops, .backends = sn_all_backends};
    const SnCompileOptions o = {.struct_size = sizeof o, .target = "interp"};
    (void)snprintf(text, sizeof text, "program @p\nentry @main%s\n", entry);
    assert_ok(sn_context_create(&desc, &ctx, &err));
    assert_ok(sn_compiler_create(ctx, &cd, &cc, &err));
    assert_ok(sn_graph_create(cc, &g, &err));
    assert_ok(sn_graph_parse(g, "count", sn_bytes_str(text), &err));
    assert_ok(sn_compile(cc, g, &o, &p, &err));
    assert_ok(sn_instance_create(p, NULL, &s, &err));
    for (uint32_t i = 0; sn_program_input(p, NULL, i, &slot); i++) {
        size_t n = sn_dtype_size(slot.dtype);
        for (int32_t d = 0; d < slot.ndim; d++)
            n *= (size_t)slot.dims[d];
        data[i] = calloc(n, 1);
        const SnView v = sn_view(slot.dtype, data[i], slot.ndim, slot.dims);
        assert_ok(sn_bind(s, slot.name, &v, &err));
    }
    assert_ok(sn_run(s, &err));
    sn_instance_destroy(s);
    sn_program_release(p);
    sn_graph_destroy(g);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
    for (size_t i = 0; i < SN_COUNT(data); i++)
        free(data[i]);
    return sums;
}

static void what_is_computed_and_moved_counts_once(void **state)
{
    (void)state;
    static const struct {
        const char *entry;
        uint64_t flops, bytes;
    } row[] = {
        {"(x: f32[5,7], y: f32[5,7]) { ret z: (add (mul x y) x) }", 5 * 7 * 2, 3 * 5 * 7 * 4},
        {"(x: f32[5,7], y: f32[5,7]) { ret z: (fma x y x) }", 5 * 7 * 2, 3 * 5 * 7 * 4},
        {"(x: i32[5,7], y: i32[5,7]) { ret z: (add x y) }", 0, 3 * 5 * 7 * 4},
        {"(x: f32[6]) { ret z: (exp x) }", 6 * 12, 2 * 6 * 4},
        {"(x: f32[5,40], y: f32[40,9]) { ret z: (contract \"mk,kn->mn\" x y acc=f32) }", 2 * 5 * 40 * 9,
         (5 * 40 + 40 * 9 + 5 * 9) * 4},
        {"(x: f32[5,40]) { ret z: (reduce add x axes=[1]) }", 5 * 40, (5 * 40 + 5) * 4},
        {"(x: f32[1000,8], i: i64[3]) { ret z: (gather x i axes=[0]) }", 0, 3 * 8 * 4 * 2 + 3 * 8},
        {"(x: f32[5,7]) { ret z: (permute x perm=[1,0]) }", 0, 2 * 5 * 7 * 4},
    };
    for (size_t i = 0; i < SN_COUNT(row); i++) {
        const Sums s = run(row[i].entry);
        if (s.flops != row[i].flops || s.bytes != row[i].bytes)
            fail_msg("%s: %llu operations, %llu bytes", row[i].entry, (unsigned long long)s.flops,
                     (unsigned long long)s.bytes);
        assert_int_equal(s.nkernel, 1);
    }
}

/* A sum of pieces is two kernels: the pieces lie in memory between them. */
static void operations_of_two_kernels_count_once(void **state)
{
    (void)state;
    const Sums s = run("(x: f32[200000]) { ret z: (reduce add x axes=[0]) }");
    assert_int_equal(s.nkernel, 2);
    assert_int_equal(s.flops, 200000);
    assert_true(s.bytes > 200000 * 4 && s.bytes < 200000 * 4 + 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_computed_and_moved_counts_once),
        cmocka_unit_test(operations_of_two_kernels_count_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
