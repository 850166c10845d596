/* fuse_tail_test.c -- which products are computed in the kernel of what uses them. */
#include "compiler/pass.h"
#include "tests/unit/unit.h"

#include <stdio.h>

/* One entry over x: f32[n,20], w: f32[20,48], b: f32[48], r: f32[n,48]; %y is their product. */
typedef struct Row {
    const char *name, *body;
    int kernels;  /* of the whole entry */
    int products; /* that are stored */
} Row;

static const Row rows[] = {
    {"bias", "ret y: (add %y (broadcast b [n,48]))", 1, 0},
    {"bias_gelu", "%h = add %y (broadcast b [n,48]) ret y: (mul (mul %h 0.5) (add (erf (mul %h 0.7)) 1.0))",
     1, 0},
    {"bias_residual", "ret y: (add r (add %y (broadcast b [n,48])))", 1, 0},
    {"heads", "ret y: (permute (reshape (add %y r) [n,4,12]) perm=[1,0,2])", 1, 0},
    {"slice", "ret y: (neg (slice %y [0,0] [n,40]))", 1, 0},
    {"narrow", "ret y: (cast (mul %y 2.0) bf16)", 1, 0},
    {"again_in_another_product", "ret y: (contract \"ij,kj->ik\" (max %y 0.0) r acc=f32)", 2, 1},
    {"one_of_two", "ret y: (mul %y (contract \"ik,kj->ij\" (neg x) w acc=f32))", 3, 1},
    {"alone", "ret y: %y", 1, 1},
    {"result_too", "ret y: %y, z: (neg %y)", 2, 1},
    {"two_kernels", "ret y: (neg %y), z: (reduce add (mul %y r))", 3, 1},
    {"other_point", "ret y: (flip %y axes=[1])", 2, 1},
    {"two_points", "ret y: (add (slice %y [0,0] [n,24]) (slice %y [0,24] [n,24]))", 2, 1},
    {"not_from_the_start", "ret y: (neg (slice %y [0,8] [n,40]))", 2, 1},
    {"repeated", "ret y: (neg (broadcast (reshape %y [n,1,48]) [n,3,48]))", 2, 1},
    {"row", "ret y: (sub %y (broadcast (reduce max r axes=[1] keep) [n,48]))", 2, 1},
};

static void count(void **state)
{
    const Row *row = *state;
    static const SnTarget target = {.name = "interp", .vector_bytes = 64, .vector_count = 32};
    static const SnOp *const no_ops[] = {NULL};
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = no_ops};
    SnContext *ctx;
    SnCompiler *cc;
    SnGraph *g;
    SnArena arena;
    SnError err = {0};
    bool *is_stored;
    char text[1000];
    assert_ok(sn_context_create(NULL, &ctx, &err));
    assert_ok(sn_compiler_create(ctx, &desc, &cc, &err));
    assert_ok(sn_graph_create(cc, &g, &err));
    sn_arena_init(&arena, sn_allocator(ctx));
    (void)snprintf(text, sizeof text,
                   "program @p\ndims n in 1..99\n"
                   "entry @main(x: f32[n,20], w: f32[20,48], b: f32[48], r: f32[n,48]) {\n"
                   "%%y = contract \"ik,kj->ij\" x w acc=f32\n%s\n}\n",
                   row->body);
    if (sn_graph_parse(g, row->name, sn_bytes_str(text), &err) != SN_OK)
        fail_msg("%s", err.message);
    SnStore *s = sn_graph_store(g);
    const SnRef root = sn_graph_root(g);
    SnPass p = {.ctx = ctx, .cc = cc, .g = g, .s = s, .target = &target, .arena = &arena};
    assert_ok(sn_fuse(&p, root, &is_stored, &err));
    int kernels = 0, products = 0;
    for (SnRef r = 1; r <= root; r++) {
        const uint16_t op = sn_term(s, r)->op;
        SnLowered low;
        if (!is_stored[r] || op == SN_OP_INPUT)
            continue;
        assert_ok(sn_lower(&p, r, is_stored, &low, &err));
        kernels += (int)low.nkernel;
        products += op == SN_OP_CONTRACT;
    }
    assert_int_equal(kernels, row->kernels);
    assert_int_equal(products, row->products);
    sn_arena_clear(&arena);
    sn_graph_destroy(g);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
}

int main(void)
{
    struct CMUnitTest tests[SN_COUNT(rows)];
    for (size_t i = 0; i < SN_COUNT(rows); i++)
        tests[i] = (struct CMUnitTest){
            .name = rows[i].name, .test_func = count, .initial_state = (void *)(uintptr_t)&rows[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
