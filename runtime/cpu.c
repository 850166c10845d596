/* cpu.c -- feature detection by CPUID and XCR0; floating-point environment.
 *
 * A level counts only if the kernel also saves its registers (XCR0). AMX tiles need a permission besides,
 * which holds for the process and is asked for here on the host's request only.
 *
 * Intel SDM vol. 2A "CPUID", vol. 1 chapters 13 (XSAVE), 18 (AMX); Linux Documentation/arch/x86/xstate.rst.
 */
#define _GNU_SOURCE /* sched_getcpu, sched_setaffinity */
#include "runtime/cpu.h"

#if defined(__linux__)
#include <sched.h>
#endif

static const char *const level_name[SN_CPU_LEVEL_COUNT] = {
    [SN_CPU_BASE] = "base", [SN_CPU_V3] = "v3",   [SN_CPU_V4] = "v4",
    [SN_CPU_V4D] = "v4d",   [SN_CPU_AMX] = "amx",
};

const char *sn_cpu_level_name(SnCpuLevel level)
{
    return level_name[level];
}

#if defined(__x86_64__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xmmintrin.h>

enum { EAX, EBX, ECX, EDX };

/* All bits of the rows of a level are required. v3 and v4 are the psABI's x86-64-v3 and -v4. */
static const struct {
    SnCpuLevel level;
    uint32_t leaf, subleaf;
    int reg;
    uint32_t bits;
} feature[] = {
    /* clang-format off */
    {SN_CPU_V3,  1, 0, ECX, 1u << 12 | 1u << 22 | 1u << 23 | 1u << 28 | 1u << 29}, /* FMA MOVBE POPCNT AVX F16C */
    {SN_CPU_V3,  7, 0, EBX, 1u << 3 | 1u << 5 | 1u << 8},                          /* BMI1 AVX2 BMI2 */
    {SN_CPU_V3,  0x80000001u, 0, ECX, 1u << 5},                                    /* LZCNT */
    {SN_CPU_V4,  7, 0, EBX, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31}, /* F DQ CD BW VL */
    {SN_CPU_V4D, 7, 0, ECX, 1u << 11},                                             /* VNNI */
    {SN_CPU_V4D, 7, 1, EAX, 1u << 5},                                              /* BF16 */
    {SN_CPU_AMX, 7, 0, EDX, 1u << 22 | 1u << 24},                                  /* AMX-BF16 AMX-TILE */
    /* clang-format on */
};

static const uint32_t xcr0_bits[SN_CPU_LEVEL_COUNT] = {
    [SN_CPU_V3] = 0x6, [SN_CPU_V4] = 0xE6, [SN_CPU_V4D] = 0xE6, [SN_CPU_AMX] = 0x600E6};

static uint32_t xcr0_read(void)
{
    uint32_t reg[4] = {0};
    if (!__get_cpuid(1, &reg[EAX], &reg[EBX], &reg[ECX], &reg[EDX]) || (reg[ECX] & 1u << 27) == 0)
        return 0; /* the kernel does not use XSAVE */
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo;
}

static bool has_level(SnCpuLevel level, uint32_t xcr0)
{
    if ((xcr0 & xcr0_bits[level]) != xcr0_bits[level])
        return false;
    for (size_t i = 0; i < SN_COUNT(feature); i++) {
        uint32_t reg[4] = {0};
        if (feature[i].level != level)
            continue;
        if (!__get_cpuid_count(feature[i].leaf, feature[i].subleaf, &reg[EAX], &reg[EBX], &reg[ECX],
                               &reg[EDX]) ||
            (reg[feature[i].reg] & feature[i].bits) != feature[i].bits)
            return false;
    }
    return true;
}

static SnCpuLevel best_level(void)
{
    const uint32_t xcr0 = xcr0_read();
    SnCpuLevel best = SN_CPU_BASE;
    while (best + 1 < SN_CPU_LEVEL_COUNT && has_level(best + 1, xcr0))
        best++;
    return best;
}

/* ARCH_REQ_XCOMP_PERM for XFEATURE_XTILEDATA. */
static bool tile_permission_request(void)
{
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
}

bool sn_cpu_is_amd(void)
{
    uint32_t reg[4] = {0};
    return __get_cpuid(0, &reg[EAX], &reg[EBX], &reg[ECX], &reg[EDX]) && memcmp(&reg[EBX], "Auth", 4) == 0 &&
           memcmp(&reg[EDX], "enti", 4) == 0 && memcmp(&reg[ECX], "cAMD", 4) == 0;
}

void sn_cpu_pause(void)
{
    _mm_pause();
}

uint32_t sn_fpenv_begin(void)
{
    const uint32_t saved = _mm_getcsr();
    _mm_setcsr(0x1F80); /* all exceptions masked, to nearest, no flush to zero */
    return saved;
}

void sn_fpenv_end(uint32_t saved)
{
    _mm_setcsr(saved);
}

#else /* Other machines run ahead-of-time C kernels: one level, and the environment that C programs start    \
         with. */

static SnCpuLevel best_level(void)
{
    return SN_CPU_BASE;
}

static bool tile_permission_request(void)
{
    return false;
}

bool sn_cpu_is_amd(void)
{
    return false;
}

void sn_cpu_pause(void) {}

uint32_t sn_fpenv_begin(void)
{
    return 0;
}

void sn_fpenv_end(uint32_t saved)
{
    (void)saved;
}

#endif

int sn_cpu_current(void)
{
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

bool sn_cpu_leave(int cpu)
{
#if defined(__linux__)
    cpu_set_t all, others;
    if (cpu < 0 || cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof all, &all) != 0)
        return false;
    others = all;
    CPU_CLR((size_t)cpu, &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0)
        return false;
    return sched_setaffinity(0, sizeof all, &all) == 0;
#else
    (void)cpu;
    return false;
#endif
}

SnStatus sn_cpu_choose(const char *want, uint32_t flags, SnCpuLevel *out, bool *refused, SnError *err)
{
    SnCpuLevel best = best_level();
    SnCpuLevel level = best;
    if (want != NULL) {
        level = 0;
        while (level < SN_CPU_LEVEL_COUNT && strcmp(level_name[level], want) != 0)
            level++;
        SN_CHECK(level <= best, err, SN_EUNSUPPORTED,
                 "CPU level \"%s\" is %s; the best of this machine is \"%s\"", want,
                 level < SN_CPU_LEVEL_COUNT ? "not available" : "unknown", level_name[best]);
    }
    *refused = false;
    if (level == SN_CPU_AMX) {
        const bool ask = (flags & SN_USE_AMX) != 0;
        const bool granted = ask && tile_permission_request();
        SN_CHECK(granted || want == NULL, err, SN_EUNSUPPORTED,
                 "CPU level \"amx\" %s; the best without it is \"v4d\"",
                 ask ? "was refused by the kernel" : "needs SN_USE_AMX");
        *refused = ask && !granted;
        if (!granted)
            level = SN_CPU_V4D;
    }
    *out = level;
    return SN_OK;
}
