/* pack_test.c -- what contracts become, what moves to the load program: text before and after. */
#include "compiler/compiler.h"
#include "compiler/pass.h"
#include "compiler/text.h"
#include "tests/unit/unit.h"

typedef struct Case {
    const char *name, *before, *after;
} Case;

typedef SnPassFn *Passes[3];

static void check_case(const Case *c, SnPassFn *const *passes)
{
    static const SnOp *const no_ops[] = {NULL};
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = no_ops};
    SnContext *ctx = NULL;
    SnCompiler *cc = NULL;
    SnGraph *g = NULL;
    SnArena arena;
    SnError err;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    assert_ok(sn_compiler_create(ctx, &desc, &cc, &err));
    assert_ok(sn_graph_create(cc, &g, &err));
    assert_ok(sn_graph_parse(g, c->name, sn_bytes_str(c->before), &err));
    sn_arena_init(&arena, sn_allocator(ctx));
    SnPass p = {.ctx = ctx, .cc = cc, .g = g, .s = sn_graph_store(g), .arena = &arena};
    SnText text = {.memory = sn_allocator(ctx)};
    SnRef root = sn_graph_root(g);
    for (int i = 0; passes[i]; i++) {
        assert_ok(passes[i](&p, root, &root, &err));
        assert_ok(sn_verify(&p, root, &err));
    }
    assert_ok(sn_root_print(cc, p.s, root, &text, &err));
    if (strcmp(text.at, c->after) != 0)
        fail_msg("%s: expected\n%s\nfound\n%s", c->name, c->after, text.at);
    sn_text_clear(&text);
    sn_arena_clear(&arena);
    sn_graph_destroy(g);
    sn_compiler_destroy(cc);
    sn_context_destroy(ctx);
}

/* ---- pack ---- */

/* clang-format off */
static const Case pack_cases[] = {
    {.name = "a parameter with rows of k",
     .before = "param w: f32[32,5]\n"
               "entry @main(x: f32[3,5]) {\n"
               "  ret y: (contract \"ri,oi->ro\" x w)\n"
               "}\n",
     .after = "param w: f32[32,5]\n"
              "entry @main(x: f32[3,5]) {\n"
              "  %1 = reshape w [2,16,5]\n"
              "  %2 = permute %1 perm=[0,2,1]\n"
              "  %3 = copy %2\n"
              "  %4 = contract \"ri,aib->rab\" x %3 acc=f32\n"
              "  %5 = reshape %4 [3,32]\n"
              "  ret y: %5\n"
              "}\n"},
    {.name = "a last panel that is not whole",
     .before = "param w: f32[9,5]\n"
               "entry @main(x: f32[3,5]) {\n"
               "  ret y: (contract \"ri,oi->ro\" x w)\n"
               "}\n",
     .after = "param w: f32[9,5]\n"
              "entry @main(x: f32[3,5]) {\n"
              "  %1 = pad w [0,0] [7,0] 0.0\n"
              "  %2 = reshape %1 [1,16,5]\n"
              "  %3 = permute %2 perm=[0,2,1]\n"
              "  %4 = copy %3\n"
              "  %5 = contract \"ri,aib->rab\" x %4 acc=f32\n"
              "  %6 = reshape %5 [3,16]\n"
              "  %7 = slice %6 [0,0] [3,9]\n"
              "  ret y: %7\n"
              "}\n"},
    {.name = "few outputs",
     .before = "param w: f32[7,5]\n"
               "entry @main(x: f32[3,5]) {\n"
               "  ret y: (contract \"ri,oi->ro\" x w)\n"
               "}\n",
     .after = "param w: f32[7,5]\n"
              "entry @main(x: f32[3,5]) {\n"
              "  %1 = contract \"ri,oi->ro\" x w\n"
              "  ret y: %1\n"
              "}\n"},
    {.name = "pairs of k",
     .before = "param w: bf16[16,6]\n"
               "entry @main(x: bf16[3,6]) {\n"
               "  ret y: (contract \"ri,oi->ro\" x w acc=f32)\n"
               "}\n",
     .after = "param w: bf16[16,6]\n"
              "entry @main(x: bf16[3,6]) {\n"
              "  %1 = reshape w [1,16,3,2]\n"
              "  %2 = permute %1 perm=[0,2,1,3]\n"
              "  %3 = copy %2\n"
              "  %4 = reshape x [3,3,2]\n"
              "  %5 = contract \"ric,aibc->rab\" %4 %3 acc=f32\n"
              "  %6 = reshape %5 [3,16]\n"
              "  ret y: %6\n"
              "}\n"},
    {.name = "lanes of the first operand, two labels",
     .before = "param w: f32[5,4,8]\n"
               "entry @main(x: f32[3,5]) {\n"
               "  ret y: (contract \"kab,mk->mab\" w x)\n"
               "}\n",
     .after = "param w: f32[5,4,8]\n"
              "entry @main(x: f32[3,5]) {\n"
              "  %1 = permute w perm=[1,2,0]\n"
              "  %2 = reshape %1 [32,5]\n"
              "  %3 = reshape %2 [2,16,5]\n"
              "  %4 = permute %3 perm=[0,2,1]\n"
              "  %5 = copy %4\n"
              "  %6 = contract \"ckd,mk->mcd\" %5 x acc=f32\n"
              "  %7 = reshape %6 [3,4,8]\n"
              "  ret y: %7\n"
              "}\n"},
    {.name = "a widening cast",
     .before = "param w: bf16[16,6]\n"
               "entry @main(x: f32[3,6]) {\n"
               "  ret y: (contract \"ri,oi->ro\" x (cast w f32))\n"
               "}\n",
     .after = "param w: bf16[16,6]\n"
              "entry @main(x: f32[3,6]) {\n"
              "  %1 = reshape w [1,16,6]\n"
              "  %2 = permute %1 perm=[0,2,1]\n"
              "  %3 = copy %2\n"
              "  %4 = cast %3 f32\n"
              "  %5 = contract \"ri,aib->rab\" x %4 acc=f32\n"
              "  %6 = reshape %5 [3,16]\n"
              "  ret y: %6\n"
              "}\n"},
    {.name = "arithmetic that would grow",
     .before = "param q: i8[16,6], s: f32[16,1]\n"
               "entry @main(x: f32[3,6]) {\n"
               "  ret y: (contract \"ri,oi->ro\" x (mul (cast q f32) (broadcast s [16,6])))\n"
               "}\n",
     .after = "param q: i8[16,6]\n"
              "param s: f32[16,1]\n"
              "entry @main(x: f32[3,6]) {\n"
              "  %1 = cast q f32\n"
              "  %2 = broadcast s [16,6]\n"
              "  %3 = mul %1 %2\n"
              "  %4 = contract \"ri,oi->ro\" x %3\n"
              "  ret y: %4\n"
              "}\n"},
    {.name = "activations",
     .before = "dims n in 1..99\n"
               "entry @main(q: f32[2,n,4], k: f32[2,n,4]) {\n"
               "  ret y: (contract \"bmk,bnk->bmn\" q (abs k))\n"
               "}\n",
     .after = "dims n in 1..99\n"
              "entry @main(q: f32[2,n,4], k: f32[2,n,4]) {\n"
              "  %1 = abs k\n"
              "  %2 = pad %1 [0,0,0] [0,-n+16*idiv(n+15, 16),0] 0.0\n"
              "  %3 = reshape %2 [2,idiv(n+15, 16),16,4]\n"
              "  %4 = permute %3 perm=[0,1,3,2]\n"
              "  %5 = copy %4\n"
              "  %6 = contract \"bmk,bakc->bmac\" q %5 acc=f32\n"
              "  %7 = reshape %6 [2,n,16*idiv(n+15, 16)]\n"
              "  %8 = slice %7 [0,0,0] [2,n,n]\n"
              "  ret y: %8\n"
              "}\n"},
    {.name = "a carry that has rows of k, and serves as many as a symbol says",
     .before = "dims n in 1..99\n"
               "carry w: f32[32,4] = 0.0\n"
               "entry @main(x: f32[n,4]) {\n"
               "  ret y: (contract \"ri,oi->ro\" x w)\n"
               "}\n",
     .after = "dims n in 1..99\n"
              "carry w: f32[32,4] = 0.0\n"
              "entry @main(x: f32[n,4]) {\n"
              "  %1 = reshape w [2,16,4]\n"
              "  %2 = permute %1 perm=[0,2,1]\n"
              "  %3 = copy %2\n"
              "  %4 = contract \"ri,aib->rab\" x %3 acc=f32\n"
              "  %5 = reshape %4 [n,32]\n"
              "  ret y: %5\n"
              "}\n"},
    {.name = "a cache serves few",
     .before = "dims n in 1..99\n"
               "carry k: f32[2,32,4] = 0.0\n"
               "entry @main(q: f32[2,n,4]) {\n"
               "  ret y: (contract \"brd,bkd->brk\" q k)\n"
               "}\n",
     .after = "dims n in 1..99\n"
              "carry k: f32[2,32,4] = 0.0\n"
              "entry @main(q: f32[2,n,4]) {\n"
              "  %1 = contract \"brd,bkd->brk\" q k\n"
              "  ret y: %1\n"
              "}\n"},
    {.name = "an input that lies across serves 64 rows",
     .before = "entry @main(x: f32[64,4], w: f32[16,4]) {\n"
               "  ret y: (contract \"ri,oi->ro\" x w)\n"
               "}\n",
     .after = "entry @main(x: f32[64,4], w: f32[16,4]) {\n"
              "  %1 = reshape w [1,16,4]\n"
              "  %2 = permute %1 perm=[0,2,1]\n"
              "  %3 = copy %2\n"
              "  %4 = contract \"ri,aib->rab\" x %3 acc=f32\n"
              "  %5 = reshape %4 [64,16]\n"
              "  ret y: %5\n"
              "}\n"},
    {.name = "what lies along the lanes serves 1024 rows",
     .before = "entry @main(x: f32[1024,4], w: f32[4,32]) {\n"
               "  ret y: (contract \"ri,io->ro\" x w)\n"
               "}\n",
     .after = "entry @main(x: f32[1024,4], w: f32[4,32]) {\n"
              "  %1 = permute w perm=[1,0]\n"
              "  %2 = reshape %1 [2,16,4]\n"
              "  %3 = permute %2 perm=[0,2,1]\n"
              "  %4 = copy %3\n"
              "  %5 = contract \"ri,aib->rab\" x %4 acc=f32\n"
              "  %6 = reshape %5 [1024,32]\n"
              "  ret y: %6\n"
              "}\n"},
    {.name = "what lies in panels stays",
     .before = "entry @main(x: f32[1024,4], w: f32[2,4,16]) {\n"
               "  ret y: (contract \"ri,jil->rjl\" x w)\n"
               "}\n",
     .after = "entry @main(x: f32[1024,4], w: f32[2,4,16]) {\n"
              "  %1 = contract \"ri,jil->rjl\" x w\n"
              "  ret y: %1\n"
              "}\n"},
    {.name = "activations as they lie",
     .before = "dims n in 1..99\n"
               "entry @main(q: f32[n,4], k: f32[4,n]) {\n"
               "  ret y: (contract \"mk,kn->mn\" q (abs k))\n"
               "}\n",
     .after = "dims n in 1..99\n"
              "entry @main(q: f32[n,4], k: f32[4,n]) {\n"
              "  %1 = abs k\n"
              "  %2 = contract \"mk,kn->mn\" q %1\n"
              "  ret y: %2\n"
              "}\n"},
    {.name = "few rows of activations",
     .before = "dims n in 1..99\n"
               "entry @main(q: f32[3,4], k: f32[n,4]) {\n"
               "  ret y: (contract \"mk,nk->mn\" q (abs k))\n"
               "}\n",
     .after = "dims n in 1..99\n"
              "entry @main(q: f32[3,4], k: f32[n,4]) {\n"
              "  %1 = abs k\n"
              "  %2 = contract \"mk,nk->mn\" q %1\n"
              "  ret y: %2\n"
              "}\n"},
};
/* clang-format on */

static void contracts_read_panels(void **state)
{
    (void)state;
    for (size_t i = 0; i < SN_COUNT(pack_cases); i++)
        check_case(&pack_cases[i], (Passes){sn_pass_pack});
}

/* ---- hoist ---- */

/* clang-format off */
static const Case hoist_cases[] = {
    {.name = "what makes rows that a gather takes",
     .before = "param w: f32[16,4]\n"
               "entry @main(x: f32[3,4], at: i64[2]) {\n"
               "  ret y: (gather (mul x (reduce add w axes=[0])) at axes=[0])\n"
               "}\n",
     .after = "param w: f32[16,4]\n"
              "param \"@load.0\": f32[3,4]\n"
              "entry @main(x: f32[3,4], \"at\": i64[2]) {\n"
              "  %1 = mul x (param \"@load.0\")\n"
              "  %2 = gather %1 (input \"at\") axes=[0] oob=clamp\n"
              "  ret y: %2\n"
              "}\n"
              "entry @@load() {\n"
              "  %1 = reduce add w axes=[0]\n"
              "  %2 = broadcast %1 [3,4]\n"
              "  ret \"@load.0\": %2\n"
              "}\n"},
    {.name = "arithmetic",
     .before = "dims n in 1..9\n"
               "param w: f32[4]\n"
               "entry @main(x: f32[n,4]) {\n"
               "  ret y: (mul x (broadcast (mul w 2.0) [n,4]))\n"
               "}\n",
     .after = "dims n in 1..9\n"
              "param w: f32[4]\n"
              "param \"@load.0\": f32[4]\n"
              "entry @main(x: f32[n,4]) {\n"
              "  %1 = broadcast (param \"@load.0\") [n,4]\n"
              "  %2 = mul x %1\n"
              "  ret y: %2\n"
              "}\n"
              "entry @@load() {\n"
              "  %1 = broadcast 2.0 [4]\n"
              "  %2 = mul w %1\n"
              "  ret \"@load.0\": %2\n"
              "}\n"},
    {.name = "panels",
     .before = "param w: f32[16,6]\n"
               "entry @main(x: f32[3,6]) {\n"
               "  ret y: (contract \"ri,aib->rab\" x (copy (permute (reshape w [1,16,6]) perm=[0,2,1])))\n"
               "}\n",
     .after = "param w: f32[16,6]\n"
              "param \"@load.0\": f32[1,6,16]\n"
              "entry @main(x: f32[3,6]) {\n"
              "  %1 = contract \"ri,aib->rab\" x (param \"@load.0\")\n"
              "  ret y: %1\n"
              "}\n"
              "entry @@load() {\n"
              "  %1 = reshape w [1,16,6]\n"
              "  %2 = permute %1 perm=[0,2,1]\n"
              "  %3 = copy %2\n"
              "  ret \"@load.0\": %3\n"
              "}\n"},
    {.name = "a narrowing cast moves, a widening one stays",
     .before = "param w: f32[4], v: bf16[4]\n"
               "entry @main(x: f32[4]) {\n"
               "  ret y: (mul (cast x bf16) (cast w bf16)), z: (mul x (cast v f32))\n"
               "}\n",
     .after = "param w: f32[4]\n"
              "param v: bf16[4]\n"
              "param \"@load.0\": bf16[4]\n"
              "entry @main(x: f32[4]) {\n"
              "  %1 = cast x bf16\n"
              "  %2 = cast v f32\n"
              "  %3 = mul x %2\n"
              "  %4 = mul %1 (param \"@load.0\")\n"
              "  ret y: %4, z: %3\n"
              "}\n"
              "entry @@load() {\n"
              "  %1 = cast w bf16\n"
              "  ret \"@load.0\": %1\n"
              "}\n"},
    {.name = "movement stays",
     .before = "param w: f32[4,2]\n"
               "entry @main(x: f32[2,4]) {\n"
               "  ret y: (mul x (permute w perm=[1,0]))\n"
               "}\n",
     .after = "param w: f32[4,2]\n"
              "entry @main(x: f32[2,4]) {\n"
              "  %1 = permute w perm=[1,0]\n"
              "  %2 = mul x %1\n"
              "  ret y: %2\n"
              "}\n"},
    {.name = "what grows wants its operands",
     .before = "param w: f32[4]\n"
               "entry @main(x: f32[3,4]) {\n"
               "  ret y: (add x (exp (add (broadcast (neg w) [3,4]) (cast (iota [3,4] axis=0) f32))))\n"
               "}\n",
     .after = "param w: f32[4]\n"
              "param \"@load.0\": f32[4]\n"
              "entry @main(x: f32[3,4]) {\n"
              "  %1 = iota [3,4] axis=0 i64\n"
              "  %2 = cast %1 f32\n"
              "  %3 = broadcast (param \"@load.0\") [3,4]\n"
              "  %4 = add %2 %3\n"
              "  %5 = exp %4\n"
              "  %6 = add x %5\n"
              "  ret y: %6\n"
              "}\n"
              "entry @@load() {\n"
              "  %1 = neg w\n"
              "  ret \"@load.0\": %1\n"
              "}\n"},
    {.name = "a table that is looked up stays",
     .before = "dims n in 1..9\n"
               "param w: f32[100,4]\n"
               "entry @main(i: i64[n]) {\n"
               "  ret y: (gather (cast w bf16) i axes=[0])\n"
               "}\n",
     .after = "dims n in 1..9\n"
              "param w: f32[100,4]\n"
              "entry @main(i: i64[n]) {\n"
              "  %1 = cast w bf16\n"
              "  %2 = gather %1 i axes=[0] oob=clamp\n"
              "  ret y: %2\n"
              "}\n"},
    {.name = "two entries share",
     .before = "param w: f32[4]\n"
               "entry @a(x: f32[4]) {\n"
               "  ret y: (mul x (exp w))\n"
               "}\n"
               "entry @b(x: f32[4]) {\n"
               "  ret z: (add x (exp w))\n"
               "}\n",
     .after = "param w: f32[4]\n"
              "param \"@load.0\": f32[4]\n"
              "entry @a(x: f32[4]) {\n"
              "  %1 = mul x (param \"@load.0\")\n"
              "  ret y: %1\n"
              "}\n"
              "entry @b(x: f32[4]) {\n"
              "  %1 = add x (param \"@load.0\")\n"
              "  ret z: %1\n"
              "}\n"
              "entry @@load() {\n"
              "  %1 = exp w\n"
              "  ret \"@load.0\": %1\n"
              "}\n"},
    {.name = "no parameters",
     .before = "entry @main(x: f32[4]) {\n"
               "  ret y: (mul x (exp (cast (iota [4]) f32)))\n"
               "}\n",
     .after = "entry @main(x: f32[4]) {\n"
              "  %1 = iota [4] axis=0 i64\n"
              "  %2 = cast %1 f32\n"
              "  %3 = exp %2\n"
              "  %4 = mul x %3\n"
              "  ret y: %4\n"
              "}\n"},
};
/* clang-format on */

static void work_on_parameters_moves(void **state)
{
    (void)state;
    for (size_t i = 0; i < SN_COUNT(hoist_cases); i++)
        check_case(&hoist_cases[i], (Passes){sn_pass_hoist});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contracts_read_panels),
        cmocka_unit_test(work_on_parameters_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
