/* levels_test.c -- objects with code for several CPU levels: at each level that this machine has, the bits of
 * the same program just in time; code that levels share exists once, and v3 has no wide registers. */
#include "runtime/cpu.h"
#include "runtime/program.h"
#include "tests/unit/rig.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

enum { K = 64, N_WIDE = 70, N_NARROW = 96, HEADS = 2, MOST = 40 };

/* A product of f32 whose last panel is not whole, one of bf16 over pairs, rows, and attention of both. */
static const char all[] = "dims m in 1..512\n"
                          "param f: f32[70,64]\n"
                          "param w: bf16[96,64]\n"
                          "entry @main(x: f32[m,64], q: f32[1,2,m,16]) {\n"
                          "  %y = contract \"mk,nk->mn\" x f acc=f32\n"
                          "  %z = contract \"mk,nk->mn\" (cast x bf16) w acc=f32\n"
                          "  %p = cast q bf16\n"
                          "  ret y: (mul %y (erf %y)), z: %z, s: (softmax %z), "
                          "a: (attention q q q scale=0.2), b: (attention %p %p %p scale=0.2)\n"
                          "}\n";
static const char plain[] = "dims m in 1..512\n"
                            "param f: f32[70,64]\n"
                            "entry @main(x: f32[m,64]) { ret y: (contract \"mk,nk->mn\" x f acc=f32) }\n";

/* ---- weights and inputs ---- */

static float noise(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(int32_t)*seed / 2147483648.0f;
}

static bool find_weight(void *self, const char *name, SnSourceTensor *out)
{
    (void)self;
    static float wide[N_WIDE * K];
    static uint16_t narrow[N_NARROW * K];
    uint32_t seed = 5;
    for (size_t i = 0; i < SN_COUNT(wide); i++)
        wide[i] = noise(&seed);
    for (size_t i = 0; i < SN_COUNT(narrow); i++)
        sn_scalar_store(SN_BF16, &narrow[i], (SnScalar){.f = (double)noise(&seed)});
    const bool is_wide = strcmp(name, "f") == 0;
    *out = (SnSourceTensor){
        .dtype = is_wide ? SN_F32 : SN_BF16, .ndim = 2, .dims = {is_wide ? N_WIDE : N_NARROW, K}};
    out->bytes = is_wide ? sn_bytes(wide, sizeof wide) : sn_bytes(narrow, sizeof narrow);
    return true;
}

/* ---- running ---- */

typedef struct Results {
    uint8_t at[1 << 17];
    size_t n;
} Results;

static void append(Results *r, SnInstance *s, const char *name)
{
    SnView v;
    SnError err;
    assert_ok(sn_result(s, name, &v, &err));
    size_t size = sn_dtype_size(v.dtype);
    for (int i = 0; i < v.ndim; i++)
        size *= (size_t)v.dims[i];
    assert_true(r->n + size <= sizeof r->at);
    memcpy(r->at + r->n, v.data, size);
    r->n += size;
}

/* Results for few rows and many, one after the other. */
static void run(SnProgram *p, Results *out)
{
    static const char *const names[] = {"y", "z", "s", "a", "b"};
    static float x[MOST * K], q[HEADS * MOST * 16];
    static const int64_t rows[] = {1, 7, MOST};
    SnInstance *s = NULL;
    SnError err;
    uint32_t seed = 3;
    for (size_t i = 0; i < SN_COUNT(x); i++)
        x[i] = noise(&seed);
    for (size_t i = 0; i < SN_COUNT(q); i++)
        q[i] = noise(&seed);
    out->n = 0;
    assert_ok(sn_instance_create(p, NULL, &s, &err));
    for (size_t i = 0; i < SN_COUNT(rows); i++) {
        const SnView vx = sn_view(SN_F32, x, 2, (const int64_t[]){rows[i], K});
        const SnView vq = sn_view(SN_F32, q, 4, (const int64_t[]){1, HEADS, rows[i], 16});
        assert_ok(sn_bind(s, "x", &vx, &err));
        assert_ok(sn_bind(s, "q", &vq, &err));
        assert_ok(sn_run(s, &err));
        for (size_t k = 0; k < SN_COUNT(names); k++)
            append(out, s, names[k]);
    }
    sn_instance_destroy(s);
}

/* ---- one program in both ways ---- */

static SnStatus emit(const char *text, const char *levels, uint32_t flags, const char *path, SnError *err)
{
    static const SnSource source = {.find = find_weight};
    const SnCompileOptions o = {.struct_size = sizeof o, .levels = levels, .flags = flags};
    Rig r = {0};
    rig_open(&r, "cpu", NULL);
    sn_graph_source(r.g, &source);
    SnStatus st = sn_graph_parse(r.g, "levels", sn_bytes_str(text), err);
    if (st == SN_OK)
        st = sn_emit(r.cc, r.g, &o, path, err);
    rig_close(&r);
    return st;
}

static void run_compiled(const char *level, uint32_t flags, Results *out)
{
    static const SnSource source = {.find = find_weight};
    const SnContextDesc d = {.struct_size = sizeof d, .cpu_level = level};
    const SnCompileOptions o = {.struct_size = sizeof o, .flags = flags};
    SnError err;
    Rig r = {0};
    rig_open(&r, "cpu", &d);
    sn_graph_source(r.g, &source);
    assert_ok(sn_graph_parse(r.g, "levels", sn_bytes_str(all), &err));
    assert_ok(sn_compile(r.cc, r.g, &o, &r.p, &err));
    run(r.p, out);
    rig_close(&r);
}

static void run_opened(const char *level, const char *path, Results *out)
{
    const SnContextDesc d = {.struct_size = sizeof d, .cpu_level = level};
    SnContext *ctx = NULL;
    SnProgram *p = NULL;
    SnError err;
    assert_ok(sn_context_create(&d, &ctx, &err));
    assert_ok(sn_program_open(ctx, path, &p, &err));
    run(p, out);
    sn_program_release(p);
    sn_context_destroy(ctx);
}

static const char *const levels[] = {"v3", "v4", "v4d"};

static bool has_level(const char *level)
{
    SnCpuLevel unused;
    bool refused;
    return sn_cpu_choose(level, 0, &unused, &refused, NULL) == SN_OK;
}

static void check_levels(const char *emitted, uint32_t flags)
{
    static Results want, got;
    Scratch folder;
    char path[256];
    SnError err = {0};
    scratch_open(&folder);
    scratch_path(&folder, "all.so", path);
    assert_ok(emit(all, emitted, flags, path, &err));
    for (size_t i = 0; i < SN_COUNT(levels) && has_level(levels[i]); i++) {
        run_compiled(levels[i], flags, &want);
        run_opened(levels[i], path, &got);
        assert_int_equal(want.n, got.n);
        assert_memory_equal(want.at, got.at, got.n);
    }
    scratch_close(&folder);
}

/* Without `amx` grids are those of sn_compile, with it they are shaped for tiles. */
static void each_level_gives_bits_of_jit(void **state)
{
    (void)state;
    check_levels(NULL, 0);
    check_levels("v4d,v3,v4", 0);
    check_levels(NULL, SN_EXACT);
}

/* Sums of bf16 by pairs round otherwise; exact ones do not. */
static void levels_differ_where_not_exact(void **state)
{
    (void)state;
    static Results low, high;
    if (!has_level("v4d"))
        skip();
    for (uint32_t flags = 0; flags <= SN_EXACT; flags += SN_EXACT) {
        run_compiled("v3", flags, &low);
        run_compiled("v4d", flags, &high);
        assert_int_equal(low.n, high.n);
        const bool is_equal = memcmp(low.at, high.at, low.n) == 0;
        assert_true(is_equal == (flags == SN_EXACT || !sn_cpu_is_amd()));
    }
}

/* ---- the object ---- */

static bool contains(const char *path, const char *text)
{
    SnContext *ctx = NULL;
    SnFile *f = NULL;
    SnError err;
    bool found = false;
    assert_ok(sn_context_create(NULL, &ctx, &err));
    assert_ok(sn_file_open(ctx, path, &f, &err));
    const SnBytes b = sn_file_bytes(f);
    const size_t n = strlen(text) + 1;
    for (size_t i = 0; i + n <= b.n && !found; i++)
        found = memcmp(b.at + i, text, n) == 0;
    sn_file_release(f);
    sn_context_destroy(ctx);
    return found;
}

static void code_that_levels_share_exists_once(void **state)
{
    (void)state;
    Scratch folder;
    char path[256];
    SnError err = {0};
    scratch_open(&folder);
    scratch_path(&folder, "plain.o", path);
    assert_ok(emit(plain, NULL, 0, path, &err));
    assert_true(contains(path, "plain_k0_v3") && contains(path, "plain_k0_v4"));
    assert_false(contains(path, "plain_k0_v4d") || contains(path, "plain_k0_amx"));
    scratch_close(&folder);
}

static bool has_code(const char *path, const char *pattern)
{
    char command[400];
    (void)snprintf(command, sizeof command, "objdump -d %s | grep -Eq '%s'", path, pattern);
    return system(command) == 0;
}

static void v3_has_no_wide_registers(void **state)
{
    (void)state;
    static const char wide[] = "%zmm|%[xy]mm(1[6-9]|2[0-9]|3[01])";
    Scratch folder;
    char path[256];
    SnError err = {0};
    scratch_open(&folder);
    scratch_path(&folder, "all.o", path);
    assert_ok(emit(all, "v3", 0, path, &err));
    assert_true(has_code(path, "%ymm15"));
    assert_false(has_code(path, wide));
    assert_ok(emit(all, "v3,v4", 0, path, &err));
    assert_true(has_code(path, wide));
    scratch_close(&folder);
}

static void wrong_levels_leave_nothing(void **state)
{
    (void)state;
    Scratch folder;
    char path[256], missing[256];
    SnError err = {0};
    scratch_open(&folder);
    scratch_path(&folder, "plain.o", path);
    scratch_path(&folder, "no/plain.o", missing);
    assert_fails(SN_EUNSUPPORTED, emit(plain, "v3,v5", 0, path, &err));
    assert_non_null(strstr(err.message, "v5"));
    assert_fails(SN_EINVAL, emit(plain, "", 0, path, &err));
    assert_fails(SN_EIO, emit(plain, "v3", 0, missing, &err));
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(rmdir(folder.dir), 0);
}

int main(void)
{
    if (!has_level("v3"))
        return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_level_gives_bits_of_jit),       cmocka_unit_test(levels_differ_where_not_exact),
        cmocka_unit_test(code_that_levels_share_exists_once), cmocka_unit_test(v3_has_no_wide_registers),
        cmocka_unit_test(wrong_levels_leave_nothing),
    };
    return cmocka_run_group_tests_name("levels", tests, NULL, NULL);
}
