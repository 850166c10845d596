/* llvm_test.c -- native code against the interpreter, bit for bit, at every level that this machine has.
 *
 * Buffers end where a page ends that may not be touched: code that reads or writes too far is killed. */
#include "backends/backends.h"
#include "backends/llvm/llvm.h"
#include "compiler/scalar.h"
#include "runtime/bytes.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- memory ---- */

typedef struct Guarded {
    unsigned char *map, *at; /* at + size is the end of the usable pages */
    size_t map_size, size;
} Guarded;

static Guarded guarded(size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    Guarded g = {.size = size, .map_size = (size / page + 2) * page};
    g.map =
        (unsigned char *)mmap(NULL, g.map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect(g.map + g.map_size - page, page, PROT_NONE), 0);
    g.at = g.map + g.map_size - page - size;
    return g;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

typedef enum Fill { ZERO, SMALL, BITS, NASTY, INDEX } Fill;

static const double nasty_floats[] = {0.0,   -0.0, 0.5,   1.0,     -1.5,  2.5,   1e30,
                                      -1e30, 3e9,  1e-42, 65504.0, 448.0, 0.0625};
static const uint64_t nasty_ints[] = {0,
                                      1,
                                      2,
                                      7,
                                      31,
                                      32,
                                      63,
                                      64,
                                      127,
                                      128,
                                      0x7FFF,
                                      0x8000,
                                      0x7FFFFFFF,
                                      0x80000000u,
                                      INT64_MAX,
                                      (uint64_t)1 << 63,
                                      UINT64_MAX,
                                      UINT64_MAX - 6,
                                      0x3FFFFFFFFFFFFFFF,
                                      0x7F800000,
                                      0xFF800000u,
                                      0x7FC00000,
                                      0x7FF0000000000000u,
                                      0x7FF8000000000000u};

static void fill(SnDtype d, Fill how, unsigned char *at, size_t count, uint64_t *seed)
{
    const size_t size = sn_dtype_size(d);
    for (size_t i = 0; i < count; i++) {
        const uint64_t r = next_random(seed);
        SnScalar v = {.u = r};
        if (how == SMALL && sn_dtype_is_float(d))
            v.f = ((double)(r >> 40) / (1 << 23) - 1.0) * 4.0;
        else if (how == NASTY && sn_dtype_is_float(d) && r % 2 == 0)
            v.f = nasty_floats[r / 2 % SN_COUNT(nasty_floats)];
        else if (how == NASTY)
            v.u = nasty_ints[r / 2 % SN_COUNT(nasty_ints)];
        else if (how == INDEX)
            v.u = r % 64;
        const bool as_bits = how == BITS || (how == NASTY && sn_dtype_is_float(d) && r % 2 != 0);
        if (how == ZERO)
            memset(at + i * size, 0, size);
        else if (as_bits)
            memcpy(at + i * size, &v.u, size);
        else
            sn_scalar_store(d, at + i * size, v);
    }
}

/* ---- running ---- */

#define MAX_BUFFERS 6

typedef struct Buffer {
    SnDtype dtype;
    uint32_t count;
    Fill fill;
} Buffer;

typedef struct Case {
    const char *name, *text;
    Buffer buf[MAX_BUFFERS];
    int64_t dims[4];
    int64_t grid;
} Case;

typedef struct Fixture {
    SnContext *ctx;
    SnStore *s;
    SnArena arena;
} Fixture;

static int setup(void **state)
{
    static Fixture f;
    SnError err = {0};
    f = (Fixture){0};
    assert_ok(sn_context_create(NULL, &f.ctx, &err));
    assert_ok(sn_store_create(f.ctx, &f.s, &err));
    sn_arena_init(&f.arena, sn_allocator(f.ctx));
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = (Fixture *)*state;
    sn_arena_clear(&f->arena);
    sn_store_destroy(f->s);
    sn_context_destroy(f->ctx);
    return 0;
}

static SnKernel *parse(Fixture *f, const char *name, const char *text)
{
    SnError err = {0};
    SnKernel *k = NULL;
    assert_ok(sn_kernel_parse(f->s, &f->arena, name, sn_bytes_str(text), &k, &err));
    assert_ok(sn_kernel_expand(k, &f->arena, &err));
    assert_ok(sn_kernel_verify(k, &err));
    return k;
}

static SnModule *build(Fixture *f, const SnBackend *b, const char *level, SnKernel **k, uint32_t n)
{
    SnError err = {0};
    SnTarget t = {0};
    SnModule *m = NULL;
    assert_ok(b->probe(f->ctx, 0, &t, &err));
    if (level != NULL)
        t.level = level;
    assert_ok(b->build(f->ctx, &t, (const SnKernel *const *)k, n, &m, &err));
    return m;
}

static bool has_level(SnCpuLevel level)
{
    SnCpuLevel best;
    bool refused;
    SnError err = {0};
    assert_ok(sn_cpu_choose(NULL, 0, &best, &refused, &err));
    return level <= best;
}

static void run(SnModule *m, uint32_t i, const Case *c, const SnKernel *k, Guarded *memory)
{
    SnError err = {0};
    void *at[MAX_BUFFERS];
    uint64_t size[MAX_BUFFERS];
    uint64_t seed = 7;
    for (int b = 0; b < k->nbuf; b++) {
        memory[b] = guarded(c->buf[b].count * sn_dtype_size(c->buf[b].dtype));
        fill(c->buf[b].dtype, c->buf[b].fill, memory[b].at, c->buf[b].count, &seed);
        at[b] = memory[b].at;
        size[b] = memory[b].size;
    }
    /* In parts and out of order, as jobs do. */
    const int64_t middle = c->grid / 2;
    assert_ok(m->run(m, i, at, size, c->dims, middle, c->grid, &err));
    assert_ok(m->run(m, i, at, size, c->dims, 0, middle, &err));
}

static bool is_nan(SnDtype d, const unsigned char *at)
{
    const double v = sn_dtype_is_float(d) ? sn_scalar_load(d, at).f : 0;
    return v != v;
}

static void compare(const Case *c, const SnKernel *k, const char *level, const Guarded *want,
                    const Guarded *got)
{
    for (int b = 0; b < k->nbuf; b++) {
        const SnDtype d = c->buf[b].dtype;
        const size_t size = sn_dtype_size(d);
        for (size_t i = 0; i < c->buf[b].count; i++) {
            const unsigned char *x = want[b].at + i * size, *y = got[b].at + i * size;
            if (memcmp(x, y, size) == 0 || (is_nan(d, x) && is_nan(d, y)))
                continue;
            uint64_t bits[2] = {0, 0};
            memcpy(&bits[0], x, size);
            memcpy(&bits[1], y, size);
            fail_msg("%s at %s: buffer %d[%zu] is %llx, expected %llx\n%s", c->name, level, b, i,
                     (unsigned long long)bits[1], (unsigned long long)bits[0], c->text);
        }
    }
}

static void release(const SnKernel *k, Guarded *memory)
{
    for (int b = 0; b < k->nbuf; b++)
        (void)munmap(memory[b].map, memory[b].map_size);
}

/* All cases as one module for each level; the interpreter says what is right. */
static void check(Fixture *f, const Case *cases, uint32_t n)
{
    SnKernel **k = (SnKernel **)sn_arena_array(&f->arena, n, sizeof(SnKernel *));
    Guarded(*want)[MAX_BUFFERS] = (Guarded(*)[MAX_BUFFERS])sn_arena_array(&f->arena, n, sizeof *want);
    assert_true(k != NULL && want != NULL);
    for (uint32_t i = 0; i < n; i++)
        k[i] = parse(f, cases[i].name, cases[i].text);
    SnModule *oracle = build(f, &sn_backend_interp, NULL, k, n);
    for (uint32_t i = 0; i < n; i++)
        run(oracle, i, &cases[i], k[i], want[i]);
    oracle->destroy(oracle);
    for (SnCpuLevel level = SN_CPU_V3; level < SN_CPU_AMX; level++) {
        if (!has_level(level))
            continue;
        SnModule *m = build(f, &sn_backend_llvm, sn_cpu_level_name(level), k, n);
        for (uint32_t i = 0; i < n; i++) {
            Guarded got[MAX_BUFFERS];
            run(m, i, &cases[i], k[i], got);
            compare(&cases[i], k[i], sn_cpu_level_name(level), want[i], got);
            release(k[i], got);
        }
        m->destroy(m);
    }
    for (uint32_t i = 0; i < n; i++)
        release(k[i], want[i]);
}

/* ---- every op ---- */

#define OP_COUNT 1024 /* elements */

static const char *op_text(Fixture *f, const char *name, int narg, SnDtype from, SnDtype to, int width)
{
    char load[3][64] = {""};
    const bool is_where = strcmp(name, "where") == 0;
    for (int i = 0; i < narg; i++)
        (void)snprintf(load[i], sizeof load[i], " (load.%s b%d %%i)",
                       is_where && i == 0 ? "bool" : sn_dtype(from)->name, i);
    return sn_arena_printf(&f->arena,
                           "kernel r r r w dims 0 { grid %d %s i1 %d { %%i = (add (mul t %d) i1)"
                           " store.%s b3 %%i (%s%s%s%s) } }",
                           OP_COUNT / width, width == 8 ? "serial" : "lanes", width, width,
                           sn_dtype(to)->name, name, load[0], load[1], load[2]);
}

typedef struct Cases {
    Case at[800];
    uint32_t n;
} Cases;

static void add_op(Fixture *f, Cases *c, const char *name, int narg, SnDtype from, SnDtype to)
{
    static const int widths[] = {8, 16, 64};
    const SnDtype first = strcmp(name, "where") == 0 ? SN_BOOL : from;
    const Fill second = strcmp(name, "shl") == 0 || strcmp(name, "shr") == 0 ? INDEX : NASTY;
    for (size_t w = 0; w < SN_COUNT(widths); w++) {
        assert_true(c->n < SN_COUNT(c->at));
        c->at[c->n++] = (Case){.name = sn_arena_printf(&f->arena, "%s_%s", name, sn_dtype(from)->name),
                               .text = op_text(f, name, narg, from, to, widths[w]),
                               .buf = {{first, OP_COUNT, NASTY},
                                       {from, OP_COUNT, second},
                                       {from, OP_COUNT, NASTY},
                                       {to, OP_COUNT, ZERO}},
                               .grid = OP_COUNT / widths[w]};
    }
}

static bool is_defined(SnStore *s, uint16_t op, SnDtype d)
{
    const SnRef x = sn_const_scalar(s, d, (SnScalar){0});
    const SnRef arg[3] = {op == SN_OP_WHERE ? sn_const_bool(s, true) : x, x, x};
    const bool is_computed = op != SN_OP_WHERE && op != SN_OP_LT && op != SN_OP_EQ;
    if (sn_op_expands(op) || op == SN_OP_CAST || op == SN_OP_BITCAST ||
        (is_computed && sn_kernel_is_narrow(d)))
        return false;
    return sn_kernel_result(s, op, arg, sn_prim(op)->min_arg, SN_NODTYPE) != SN_NODTYPE;
}

static void ops_match_interp(void **state)
{
    Fixture *f = (Fixture *)*state;
    static Cases c;
    c.n = 0;
    for (uint16_t op = SN_OP_NEG; op <= SN_OP_FMA; op++) {
        for (SnDtype d = SN_BOOL; d < SN_DTYPE_COUNT; d++) {
            if (is_defined(f->s, op, d))
                add_op(f, &c, sn_prim(op)->name, sn_prim(op)->min_arg, d,
                       op == SN_OP_LT || op == SN_OP_EQ ? SN_BOOL : d);
        }
    }
    assert_true(c.n > 300);
    check(f, c.at, c.n);
}

static void casts_match_interp(void **state)
{
    Fixture *f = (Fixture *)*state;
    static Cases c;
    c.n = 0;
    for (SnDtype from = SN_BOOL; from < SN_DTYPE_COUNT; from++) {
        for (SnDtype to = SN_BOOL; to < SN_DTYPE_COUNT; to++) {
            const char *name = sn_arena_printf(&f->arena, "cast.%s%s", sn_dtype(to)->name,
                                               sn_dtype_size(to) == 1 && sn_dtype_is_float(to) ? ".sat" : "");
            assert_true(c.n < SN_COUNT(c.at));
            c.at[c.n++] = (Case){
                .name = name,
                .text = op_text(f, name, 1, from, to, 16),
                .buf = {{from, OP_COUNT, NASTY}, {from, 1, ZERO}, {from, 1, ZERO}, {to, OP_COUNT, ZERO}},
                .grid = OP_COUNT / 16};
            if (sn_dtype_size(to) == 1 && sn_dtype_is_float(to)) {
                c.at[c.n] = c.at[c.n - 1];
                c.at[c.n].name = sn_arena_printf(&f->arena, "cast.%s", sn_dtype(to)->name);
                c.at[c.n].text = op_text(f, c.at[c.n].name, 1, from, to, 8);
                c.at[c.n++].grid = OP_COUNT / 8;
            }
        }
    }
    check(f, c.at, c.n);
}

/* ---- kernels ---- */

static const Case kernels[] = {
    {"guarded_tail",
     "kernel r r w dims 1 { grid (idiv (add d0 63) 64) unroll i1 4 { lanes i2 16 {"
     " %i = (add (add (mul t 64) (mul i1 16)) i2) %g = (lt %i d0)"
     " store.f32 b2 %i (fma (load.f32 b0 %i %g) (load.f32 b1 %i %g) 1:f32) when %g } } }",
     {{SN_F32, 203, SMALL}, {SN_F32, 203, SMALL}, {SN_F32, 203, ZERO}},
     {203},
     4},
    {"guarded_tail_narrow",
     "kernel r r w w dims 1 { grid (idiv (add d0 63) 64) lanes i2 64 {"
     " %i = (add (mul t 64) i2) %g = (lt %i d0) store.u8 b2 %i (add (load.u8 b0 %i %g) 3:u8) when %g"
     " %i = (add (mul t 64) i2) %g = (lt %i d0)"
     " store.f16 b3 %i (cast.f16 (cast.f32 (load.bf16 b1 %i %g))) when %g } }",
     {{SN_U8, 203, BITS}, {SN_BF16, 203, SMALL}, {SN_U8, 203, ZERO}, {SN_F16, 203, ZERO}},
     {203},
     4},
    {"reversed_and_strided",
     "kernel r w w w dims 0 { grid 2 lanes i1 16 {"
     " %i = (add (mul t 16) i1) store.f32 b1 (sub 31 %i) (load.f32 b0 %i)"
     " %i = (add (mul t 16) i1) store.f32 b2 %i (load.f32 b0 (sub 95 (mul %i 3)))"
     " %i = (add (mul t 16) i1) store.f32 b3 (mul %i 3) (load.f32 b0 (sub 40 %i) (lt 20 %i)) } }",
     {{SN_F32, 96, SMALL}, {SN_F32, 32, ZERO}, {SN_F32, 32, ZERO}, {SN_F32, 94, ZERO}},
     {0},
     2},
    {"gathered_and_scattered",
     "kernel r r w w r dims 0 { grid 2 lanes i1 32 {"
     " %i = (add (mul t 32) i1) store.f32 b2 (mod (mul %i 7) 64) (load.f32 b0 (cast.i64 (load.i32 b1 %i)))"
     " %i = (add (mul t 32) i1) %j = (cast.i64 (load.i32 b1 %i))"
     " store.u8 b3 %i (load.u8 b4 (mul %j 2) (lt %j 40)) } }",
     {{SN_F32, 64, SMALL}, {SN_I32, 64, INDEX}, {SN_F32, 64, ZERO}, {SN_U8, 64, ZERO}, {SN_U8, 79, BITS}},
     {0},
     2},
    {"lanes_in_any_number",
     "kernel r w w w dims 0 { grid 1 lanes i1 48 { store.f32 b1 i1 (mul (load.f32 b0 i1) 3:f32) }"
     " lanes i2 7 { store.f32 b2 i2 (load.f32 b0 (add i2 9)) }"
     " lanes i3 256 { store.f32 b3 i3 (load.f32 b0 (mod i3 48) (lt i3 200)) } }",
     {{SN_F32, 48, SMALL}, {SN_F32, 48, ZERO}, {SN_F32, 7, ZERO}, {SN_F32, 256, ZERO}},
     {0},
     1},
    {"contract_8x16",
     "kernel r r w dims 3 { grid (idiv (add d0 7) 8) local.f32 b3 128 {"
     " unroll i1 8 { lanes i2 16 { store.f32 b3 (add (mul i1 16) i2) 0:f32 } }"
     " serial i3 d1 { unroll i4 8 { lanes i5 16 { %e = (add (mul i4 16) i5)"
     " store.f32 b3 %e (fma (load.f32 b0 (add (mul (min (add (mul t 8) i4) (sub d0 1)) d1) i3))"
     " (load.f32 b1 (add (mul i3 16) i5)) (load.f32 b3 %e)) } } }"
     " unroll i6 8 { lanes i7 16 { store.f32 b2 (add (mul (add (mul t 8) i6) 16) i7)"
     " (load.f32 b3 (add (mul i6 16) i7)) when (lt (add (mul t 8) i6) d0) } } } }",
     {{SN_F32, 21 * 37, SMALL}, {SN_F32, 37 * 16, SMALL}, {SN_F32, 21 * 16, ZERO}},
     {21, 37, 0},
     3},
    {"tiles_bf16", /* 2 x 2 tiles of 16 x 16, and rows that are not aligned */
     "kernel r r w dims 1 { grid 2 tile.zero 0 tile.zero 1 tile.zero 2 tile.zero 3 serial i1 d0 {"
     " %a = (add (mul i1 64) 2) tile.load 4 b0 %a 194 %a = (add (mul i1 64) 3106) tile.load 5 b0 %a 194"
     " tile.load 6 b1 (mul i1 1024) 64 tile.load 7 b1 (add (mul i1 1024) 3072) 64"
     " tile.dot.bf16 0 4 6 tile.dot.bf16 1 4 7 tile.dot.bf16 2 5 6 tile.dot.bf16 3 5 7 }"
     " tile.store 0 b2 (mul t 4096) 128 tile.store 1 b2 (add (mul t 4096) 64) 128"
     " tile.store 2 b2 (add (mul t 4096) 2048) 128 tile.store 3 b2 (add (mul t 4096) 2112) 128 }",
     {{SN_BF16, 32 * 97, SMALL}, {SN_BF16, 3 * 32 * 32, SMALL}, {SN_F32, 2 * 32 * 32, ZERO}},
     {3},
     2},
    {"tiles_u8", /* what is stored is loaded again, from a LOCAL */
     "kernel r r w dims 0 { grid 3 local.i32 b3 256 { tile.load 1 b0 (mul t 1024) 64 tile.load 2 b1 0 64"
     " tile.zero 0 tile.dot.u8 0 1 2 tile.store 0 b3 0 64"
     " lanes i1 256 { store.i32 b3 i1 (add (load.i32 b3 i1) (cast.i32 i1)) }"
     " tile.load 7 b3 0 64 tile.dot.u8 7 1 2 tile.store 7 b2 (mul t 1024) 64 } }",
     {{SN_U8, 3 * 1024, BITS}, {SN_I8, 1024, BITS}, {SN_I32, 3 * 256, ZERO}},
     {0},
     3},
    {"softmax_rows",
     "kernel r w dims 1 { grid 5 local.f32 b2 64 { local.f32 b3 2 { lanes i1 64 { store.f32 b2 i1 "
     "#ff800000:f32 }"
     " serial i2 (idiv (add d0 63) 64) { lanes i3 64 { %c = (add (mul i2 64) i3)"
     " store.f32 b2 i3 (max (load.f32 b2 i3) (where (lt %c d0) (load.f32 b0 (add (mul t d0) %c) (lt %c d0))"
     " #ff800000:f32)) } }"
     " store.f32 b3 0 (fold.f32.max.64 b2 0) lanes i4 64 { store.f32 b2 i4 0:f32 }"
     " serial i5 (idiv (add d0 63) 64) { lanes i6 64 { %c = (add (mul i5 64) i6)"
     " store.f32 b2 i6 (add (load.f32 b2 i6) (where (lt %c d0)"
     " (exp (sub (load.f32 b0 (add (mul t d0) %c) (lt %c d0)) (load.f32 b3 0))) 0:f32)) } }"
     " store.f32 b3 1 (div 1:f32 (fold.f32.add.64 b2 0))"
     " serial i7 (idiv (add d0 15) 16) { lanes i8 16 { %c = (add (mul i7 16) i8)"
     " store.f32 b1 (add (mul t d0) %c) (mul (exp (sub (load.f32 b0 (add (mul t d0) %c) (lt %c d0)) "
     "(load.f32 b3 0)))"
     " (load.f32 b3 1)) when (lt %c d0) } } } } }",
     {{SN_F32, 5 * 77, SMALL}, {SN_F32, 5 * 77, ZERO}},
     {77},
     5},
    {"expansions",
     "kernel r w w w w w dims 0 { grid 4 lanes i1 16 {"
     " %i = (add (mul t 16) i1) store.f32 b1 %i (tanh (load.f32 b0 %i))"
     " %i = (add (mul t 16) i1) store.f32 b2 %i (erf (load.f32 b0 %i))"
     " %i = (add (mul t 16) i1) store.f32 b3 %i (log (abs (load.f32 b0 %i)))"
     " %i = (add (mul t 16) i1) store.f32 b4 %i (sin (load.f32 b0 %i))"
     " %i = (add (mul t 16) i1) store.f64 b5 %i (exp (cast.f64 (load.f32 b0 %i))) } }",
     {{SN_F32, 64, SMALL},
      {SN_F32, 64, ZERO},
      {SN_F32, 64, ZERO},
      {SN_F32, 64, ZERO},
      {SN_F32, 64, ZERO},
      {SN_F64, 64, ZERO}},
     {0},
     4},
    {"conditions_and_extents",
     "kernel r w w dims 2 { grid 6 if (lt t d0) { serial i1 (load.i64 b0 t) { if (eq (mod i1 2) 0) {"
     " store.i64 b1 t (add (load.i64 b1 t) (mul i1 d1)) } unroll i2 3 { if (lt i2 2) {"
     " store.i64 b2 (add (mul t 3) i2) (add (load.i64 b2 (add (mul t 3) i2)) (add i1 i2)) } } } } }",
     {{SN_I64, 6, INDEX}, {SN_I64, 6, ZERO}, {SN_I64, 18, ZERO}},
     {5, 11},
     6},
    {"guards_that_all_share",
     "kernel r w w dims 1 { grid 8 lanes i1 16 {"
     " %i = (add (mul t 16) i1) store.f32 b1 %i (load.f32 b0 %i (lt t d0))"
     " %g = (lt t d0) store.f32 b2 t (load.f32 b0 t %g) when %g"
     " %i = (add (mul t 16) i1) store.f32 b1 %i (neg (load.f32 b1 %i)) when (not (lt t d0)) } }",
     {{SN_F32, 80, SMALL}, {SN_F32, 128, ZERO}, {SN_F32, 5, ZERO}},
     {5},
     8},
    {"folds",
     "kernel r w w w dims 0 { grid 3 local.f32 b4 64 { local.i32 b5 64 { lanes i1 64 {"
     " store.f32 b4 i1 (load.f32 b0 (add (mul t 64) i1)) store.i32 b5 i1 (bitcast.i32 (load.f32 b0 (add (mul "
     "t 64) i1)))"
     " } store.f32 b1 t (add (fold.f32.add.64 b4 0) (fold.f32.mul.4 b4 8))"
     " store.i32 b2 t (xor (fold.i32.xor.32 b5 32) (fold.i32.min.2 b5 3))"
     " lanes i2 8 { store.f32 b3 (add (mul t 8) i2) (fold.f32.max.8 b4 (mul i2 8)) } } } }",
     {{SN_F32, 192, SMALL}, {SN_F32, 3, ZERO}, {SN_I32, 3, ZERO}, {SN_F32, 24, ZERO}},
     {0},
     3},
    {"local_in_memory",
     "kernel r w dims 1 { grid 2 local.f32 b2 64 { serial i1 4 { lanes i2 16 {"
     " store.f32 b2 (add (mul i1 16) i2) (load.f32 b0 (add (mul i1 16) i2)) } }"
     " serial i3 64 { store.f32 b1 (add (mul t 64) i3) (load.f32 b2 (mod (mul i3 d0) 64)"
     " (lt i3 60)) } } }",
     {{SN_F32, 64, SMALL}, {SN_F32, 128, ZERO}},
     {5},
     2},
    {"dots", /* dot2 of values from 1 to 2: exact, however the instruction rounds */
     "kernel r r r w w w dims 0 { grid 4 lanes i1 16 {"
     " %i = (add (mul t 16) i1) store.i32 b3 %i (dot4 (load.i32 b2 %i) (load.u32 b0 %i) (load.u32 b1 %i))"
     " %i = (add (mul t 16) i1) store.f32 b4 %i (dot2 1:f32"
     "   (or (and (load.u32 b0 %i) 8323199:u32) 1065369472:u32) (or (and (load.u32 b1 %i) 8323199:u32) "
     "1065369472:u32)) }"
     " lanes i2 32 { store.i32 b5 (add (mul t 32) i2) (dot4 7:i32 (load.u32 b0 (add i2 32)) (load.u32 b1 "
     "i2)) } }",
     {{SN_U32, 64, BITS},
      {SN_U32, 64, BITS},
      {SN_I32, 64, BITS},
      {SN_I32, 64, ZERO},
      {SN_F32, 64, ZERO},
      {SN_I32, 128, ZERO}},
     {0},
     4},
    {"causal_guard",
     "kernel r w w dims 1 { grid 7 lanes i1 32 {"
     " store.f32 b1 (add (mul t 32) i1) (where (lt d0 i1) #ff800000:f32 (load.f32 b0 i1))"
     " %i = (add (mul t 32) i1) store.i64 b2 %i (where (lt (mul t 5) (add i1 2)) %i d0) } }",
     {{SN_F32, 32, SMALL}, {SN_F32, 224, ZERO}, {SN_I64, 224, ZERO}},
     {11},
     7},
    {"one_element_for_all_lanes",
     "kernel r w w dims 1 { grid 4 lanes i1 16 {"
     " %i = (add (mul t 16) i1) store.f32 b1 %i (load.f32 b0 (add t 100) (lt %i d0))"
     " store.f32 b2 t (load.f32 b0 (add t 100)) } }",
     {{SN_F32, 104, SMALL}, {SN_F32, 64, ZERO}, {SN_F32, 4, ZERO}},
     {40},
     4},
};

/* idiv and mod of what moves with the lane, alone and in chains, by constants and by what is only known
 * later. */
static const char *const divisors[] = {"1",       "2",  "3",  "7",  "16", "32",         "48",         "100",
                                       "1000003", "d0", "d1", "d2", "d3", "(sub d0 5)", "(mul d0 d1)"};
static const char *const forms[] = {"(idiv %i %d)",
                                    "(mod %i %d)",
                                    "(mod (idiv %i 3) %d)",
                                    "(idiv (idiv %i d1) %d)",
                                    "(idiv (sub 40 %i) %d)",
                                    "(mod (mul %i 5) %d)",
                                    "(add (mul (idiv %i %d) 7) (mod %i 4))"};

static void lane_divisions_match_interp(void **state)
{
    static const int widths[] = {16, 64, 48};
    Fixture *f = (Fixture *)*state;
    static Cases c;
    c.n = 0;
    for (size_t i = 0; i < SN_COUNT(forms) * SN_COUNT(divisors) * SN_COUNT(widths); i++) {
        const int width = widths[i % SN_COUNT(widths)];
        const char *divisor = divisors[i / SN_COUNT(widths) % SN_COUNT(divisors)];
        const char *form = forms[i / SN_COUNT(widths) / SN_COUNT(divisors)];
        const char *names = sn_arena_printf(&f->arena, "%%i = (add (mul t %d) i1) %%d = %s", width, divisor);
        assert_true(names != NULL && c.n < SN_COUNT(c.at));
        c.at[c.n++] =
            (Case){.name = form,
                   .text = sn_arena_printf(&f->arena,
                                           "kernel w r dims 4 { grid 6 lanes i1 %d {"
                                           " %s store.i64 b0 %%i %s"
                                           " %s store.i32 b0 (add %%i 1000) (load.i32 b1 (mod %s 50)) } }",
                                           width, names, form, names, form),
                   .buf = {{SN_I64, 1000, ZERO}, {SN_I32, 50, BITS}},
                   .dims = {5, 3, 61, -7},
                   .grid = 6};
    }
    check(f, c.at, c.n);
}

static void kernels_match_interp(void **state)
{
    check((Fixture *)*state, kernels, SN_COUNT(kernels));
}

/* ---- the backend ---- */

static void equal_kernels_share_one_function(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnKernel *k[] = {parse(f, "a", kernels[0].text), parse(f, "b", kernels[2].text),
                     parse(f, "c", kernels[0].text)};
    SnModule *m = build(f, &sn_backend_llvm, "v3", k, 3);
    assert_int_equal(m->nkernel, 3);
    assert_int_equal(m->ncached, 0);
    assert_true(m->fn[0] == m->fn[2]);
    assert_true(m->fn[0] != m->fn[1]);
    m->destroy(m);
}

static void build_of_nothing_needs_no_code(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnModule *m = build(f, &sn_backend_llvm, "v3", NULL, 0);
    assert_int_equal(m->nkernel, 0);
    m->destroy(m);
}

static void build_unsupported_says_which_kernel(void **state)
{
    Fixture *f = (Fixture *)*state;
    SnError err = {0};
    SnTarget t = {.name = "cpu", .level = "v4"};
    SnModule *m = NULL;
    const SnKernel *k = parse(
        f, "large", "kernel w dims 0 { grid 1 unroll i1 512 { unroll i2 512 { store.f32 b0 i2 1:f32 } } }");
    assert_fails(SN_EUNSUPPORTED, sn_backend_llvm.build(f->ctx, &t, &k, 1, &m, &err));
    assert_non_null(strstr(err.message, "large"));
    t.level = "v9";
    assert_fails(SN_EUNSUPPORTED, sn_backend_llvm.build(f->ctx, &t, &k, 1, &m, &err));
    assert_null(m);
}

/* ---- the matrix unit: its code, which most machines cannot run ---- */

/* VEX.128.0F38.W0 with a prefix (1: 66, 2: F3, 3: F2), an opcode, and operands that are registers alone or
 * not.
 */
typedef struct TileCode {
    const char *name;
    unsigned prefix, opcode;
    bool is_register;
    int expected;
} TileCode;

static int count_code(SnBytes b, const TileCode *c)
{
    int count = 0;
    for (size_t i = 0; i + 4 < b.n; i++) {
        const bool is_map = b.at[i] == 0xC4 && (b.at[i + 1] & 0x1F) == 2 && (b.at[i + 2] & 0x84) == 0;
        count += is_map && (b.at[i + 2] & 3) == c->prefix && b.at[i + 3] == c->opcode &&
                 (b.at[i + 4] >= 0xC0) == c->is_register;
    }
    return count;
}

/* 2 x 2 tiles: configured before the tiles of a call, released behind them; other levels have no such code.
 */
static void amx_kernel_is_compiled(void **state)
{
    Fixture *f = (Fixture *)*state;
    static const TileCode code[] = {{"ldtilecfg", 0, 0x49, false, 1},  {"tilerelease", 0, 0x49, true, 1},
                                    {"tilezero", 3, 0x49, true, 4},    {"tileloadd", 3, 0x4B, false, 4},
                                    {"tilestored", 2, 0x4B, false, 4}, {"tdpbf16ps", 2, 0x5C, true, 4}};
    static const char *const level[] = {"amx", "v4d", "v3"}, *const symbol[] = {"k_amx", "k_v4d", "k_v3"};
    SnError err = {0};
    const Case *c = kernels;
    while (strcmp(c->name, "tiles_bf16") != 0)
        c++;
    SnKernel *k = parse(f, c->name, c->text);
    const SnKernel *const kernel[] = {k, k, k};
    const SnTarget t = {.name = "cpu", .level = "amx"};
    for (int with = 0; with < 2; with++) {
        const SnObjectParts parts = {.level = level + 1 - with,
                                     .nlevel = (uint32_t)(2 + with),
                                     .kernel = kernel,
                                     .symbol = symbol + 1 - with,
                                     .nkernel = 1};
        uint8_t *at = NULL;
        size_t n = 0;
        assert_ok(sn_backend_llvm.emit(f->ctx, &t, &parts, &at, &n, &err));
        for (size_t i = 0; i < SN_COUNT(code); i++) {
            const int found = count_code(sn_bytes(at, n), &code[i]);
            if (found != with * code[i].expected)
                fail_msg("%d times %s, expected %d", found, code[i].name, with * code[i].expected);
        }
        sn_free(sn_allocator(f->ctx), at, n, 1);
    }
    SnModule *m = build(f, &sn_backend_llvm, "amx", &k, 1);
    assert_non_null(m->fn[0]);
    m->destroy(m);
}

typedef struct Failing {
    uint32_t count, fail_at; /* the fail_at-th allocation fails, and those behind it; 0: none */
    size_t used;
} Failing;

static void *failing_resize(void *self, void *ptr, size_t old_size, size_t new_size, size_t align)
{
    Failing *f = (Failing *)self;
    (void)align;
    if (new_size == 0) {
        f->used -= old_size;
        free(ptr);
        return NULL;
    }
    if (f->fail_at != 0 && ++f->count >= f->fail_at)
        return NULL;
    void *at = realloc(ptr, new_size);
    if (at != NULL)
        f->used += new_size - old_size;
    return at;
}

/* Of the build, and of what it makes in the store. */
static SnStatus build_failing_at(Failing *memory, uint32_t at, SnError *e)
{
    SnError err = {0};
    const SnContextDesc desc = {.struct_size = sizeof desc, .memory = {memory, failing_resize}};
    SnContext *ctx;
    SnStore *s;
    SnArena arena;
    SnKernel *k[2];
    SnModule *m = NULL;
    const SnTarget t = {.name = "cpu", .level = "v3"};
    assert_ok(sn_context_create(&desc, &ctx, &err));
    assert_ok(sn_store_create(ctx, &s, &err));
    sn_arena_init(&arena, sn_allocator(ctx));
    assert_ok(sn_kernel_parse(s, &arena, "contract", sn_bytes_str(kernels[5].text), &k[0], &err));
    assert_ok(sn_kernel_parse(s, &arena, "wide", sn_bytes_str(kernels[4].text), &k[1], &err));
    memory->count = 0;
    memory->fail_at = at;
    const SnStatus st = sn_backend_llvm.build(ctx, &t, (const SnKernel *const *)k, 2, &m, e);
    memory->fail_at = 0;
    if (st == SN_OK)
        m->destroy(m);
    sn_arena_clear(&arena);
    sn_store_destroy(s);
    sn_context_destroy(ctx);
    return st;
}

static void build_without_memory_fails_and_leaks_nothing(void **state)
{
    (void)state;
    Failing memory = {0};
    SnStatus st = SN_ENOMEM;
    uint32_t at = 0;
    while (st == SN_ENOMEM) {
        SnError err = {0};
        st = build_failing_at(&memory, ++at, &err);
        assert_true(st == SN_OK || err.message[0] != '\0');
        assert_int_equal(memory.used, 0);
    }
    assert_int_equal(st, SN_OK);
    assert_true(at > 10);
}

int main(void)
{
    if (!has_level(SN_CPU_V3))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(kernels_match_interp, setup, teardown),
        cmocka_unit_test_setup_teardown(lane_divisions_match_interp, setup, teardown),
        cmocka_unit_test_setup_teardown(ops_match_interp, setup, teardown),
        cmocka_unit_test_setup_teardown(casts_match_interp, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_kernels_share_one_function, setup, teardown),
        cmocka_unit_test_setup_teardown(build_of_nothing_needs_no_code, setup, teardown),
        cmocka_unit_test_setup_teardown(build_unsupported_says_which_kernel, setup, teardown),
        cmocka_unit_test_setup_teardown(amx_kernel_is_compiled, setup, teardown),
        cmocka_unit_test(build_without_memory_fails_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
