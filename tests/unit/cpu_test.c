/* cpu_test.c -- CPU levels against what the kernel reports; the floating-point environment. */
#include "runtime/cpu.h"

#include "tests/unit/unit.h"

#include <stdio.h>

static bool kernel_reports(const char *cpuinfo, const char *flag)
{
    const size_t n = strlen(flag);
    for (const char *at = strstr(cpuinfo, flag); at != NULL; at = strstr(at + n, flag)) {
        if (at[-1] == ' ' && (at[n] == ' ' || at[n] == '\n'))
            return true;
    }
    return false;
}

static bool has_flags(const char *cpuinfo, const char *const *flags)
{
    for (; *flags != NULL; flags++) {
        if (!kernel_reports(cpuinfo, *flags))
            return false;
    }
    return true;
}

static void level_matches_proc_cpuinfo(void **state)
{
    (void)state;
    static const char *const flags[SN_CPU_LEVEL_COUNT][7] = {
        [SN_CPU_V3] = {"avx2", "fma", "f16c", "bmi1", "bmi2"},
        [SN_CPU_V4] = {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
        [SN_CPU_V4D] = {"avx512_vnni", "avx512_bf16"},
    };
    static char text[16384];
    SnError err;
    SnCpuLevel level, want = SN_CPU_BASE;
    bool refused;
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (f == NULL)
        skip();
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    while (want + 1 < SN_CPU_AMX && has_flags(text, flags[want + 1]))
        want++;
    assert_ok(sn_cpu_choose(NULL, 0, &level, &refused, &err));
    assert_int_equal(level, want);
    assert_false(refused);
}

static void level_forced_lower_or_refused(void **state)
{
    (void)state;
    SnError err;
    SnCpuLevel best, level;
    bool refused;
    assert_ok(sn_cpu_choose(NULL, 0, &best, &refused, &err));
    for (SnCpuLevel i = SN_CPU_BASE; i <= best; i++) {
        assert_ok(sn_cpu_choose(sn_cpu_level_name(i), 0, &level, &refused, &err));
        assert_int_equal(level, i);
    }
    /* Without SN_USE_AMX no machine has it. */
    assert_fails(SN_EUNSUPPORTED, sn_cpu_choose("amx", 0, &level, &refused, &err));
    assert_non_null(strstr(err.message, "amx"));
    assert_fails(SN_EUNSUPPORTED, sn_cpu_choose("zen5", 0, &level, &refused, &err));
    assert_non_null(strstr(err.message, "zen5"));
    assert_non_null(strstr(err.message, sn_cpu_level_name(best)));

    SnContext *ctx = NULL;
    const SnContextDesc desc = {.struct_size = sizeof desc, .cpu_level = "base", .flags = SN_USE_AMX};
    assert_ok(sn_context_create(&desc, &ctx, &err));
    assert_string_equal(sn_context_cpu_level(ctx), "base");
    sn_context_destroy(ctx);
}

/* volatile: computed here and now, neither at build time nor after a change of the environment. */
static bool rounds_up(void)
{
    volatile float one = 1.0f, tiny = 0x1p-30f, sum = one + tiny;
    return sum > 1.0f;
}

static bool keeps_subnormals(void)
{
    volatile float least = 0x1p-126f, half = least / 2;
    return half > 0.0f;
}

static void fpenv_default_inside_restored_after(void **state)
{
    (void)state;
#if defined(__x86_64__)
    const uint32_t before = sn_fpenv_begin();
    sn_fpenv_end(0xDFC0); /* as engines do: flush to zero, subnormals are zero; and round up */
    const uint32_t host = sn_fpenv_begin();
    const bool inside[2] = {rounds_up(), keeps_subnormals()};
    sn_fpenv_end(host);
    const bool after[2] = {rounds_up(), keeps_subnormals()};
    sn_fpenv_end(before);
    assert_int_equal(host, 0xDFC0);
    assert_true(!inside[0] && inside[1]);
    assert_true(after[0] && !after[1]);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(level_matches_proc_cpuinfo),
        cmocka_unit_test(level_forced_lower_or_refused),
        cmocka_unit_test(fpenv_default_inside_restored_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
