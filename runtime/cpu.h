/* cpu.h -- what this CPU can do, by feature and never by name, and the floating-point environment of jobs. */
#ifndef SN_CPU_H
#define SN_CPU_H

#include "runtime/memory.h"

/* Each level has everything of those before it.
 *   base  x86-64
 *   v3    AVX2, FMA, F16C, BMI1, BMI2
 *   v4    AVX-512 F, BW, DQ, VL
 *   v4d   AVX-512 VNNI, BF16
 *   amx   AMX TILE, BF16, and the kernel's permission, which is asked for with SN_USE_AMX only */
typedef enum SnCpuLevel {
    SN_CPU_BASE,
    SN_CPU_V3,
    SN_CPU_V4,
    SN_CPU_V4D,
    SN_CPU_AMX,
    SN_CPU_LEVEL_COUNT
} SnCpuLevel;

const char *sn_cpu_level_name(SnCpuLevel level);

/* The level to use: the best, or the wanted one (NULL: the best). A level that is unknown or that this
 * machine lacks is SN_EUNSUPPORTED, naming it and the best. *refused is set where the kernel refused
 * matrix-unit permission. */
SN_MUST_CHECK SnStatus sn_cpu_choose(const char *want, uint32_t flags, SnCpuLevel *out, bool *refused,
                                     SnError *err);

/* Made by AMD: its bf16 dot product is twice as fast as f32; elsewhere it is half. */
bool sn_cpu_is_amd(void);
/* Tells the CPU that this is a spin loop. */
void sn_cpu_pause(void);
/* The CPU that this thread is on just now; -1: not known. */
int sn_cpu_current(void);
/* This thread goes on on another CPU that it may use; false: there is none. */
bool sn_cpu_leave(int cpu);

/* Each job runs in the default floating-point environment (round to nearest, subnormals kept): hosts change
 * it, and that would change bits. begin returns what end puts back. */
uint32_t sn_fpenv_begin(void);
void sn_fpenv_end(uint32_t saved);

#endif
