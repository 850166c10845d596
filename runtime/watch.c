/* watch.c -- runs an instance and looks at what each kernel leaves: which one makes the first number that is
 * not finite.
 *
 * Steps run one by one then. A buffer is zeroed before its first step, so that what no kernel has written yet
 * is not mistaken for numbers. */
#include "runtime/watch.h"

#include "runtime/instance.h"

#include <math.h>

static bool is_finite(const SnPlanBuffer *b, SnDtype dtype)
{
    const size_t size = sn_dtype_is_float(dtype) ? sn_dtype_size(dtype) : 0;
    const uint8_t *at = b->at;
    for (uint64_t i = 0; size > 0 && i + size <= b->size; i += size)
        if (!isfinite(sn_scalar_load(dtype, at + i).f))
            return false;
    return true;
}

/* The name of what a buffer holds, if the host gave it. */
static const char *name_of(const SnInstance *s, const SnBufferRow *row)
{
    const SnSlotRow *slot = SN_ROWS(s->image, SnSlotRow, slot) + s->image->carry.first;
    if (row->kind == SN_BUFFER_PARAM)
        return sn_instance_text(s, SN_ROWS(s->image, SnParamRow, param)[row->index].name);
    return row->kind == SN_BUFFER_CARRY ? sn_instance_text(s, slot[row->index].name) : NULL;
}

void sn_watch_before(SnInstance *s, uint32_t pc)
{
    const SnBufferRow *row = SN_ROWS(s->image, SnBufferRow, buffer);
    for (size_t i = 0; i < s->image->buffer.count; i++)
        if (row[i].kind == SN_BUFFER_SCRATCH && row[i].first == pc && s->plan.buffer[i].at)
            memset(s->plan.buffer[i].at, 0, s->plan.buffer[i].size);
}

void sn_watch_after(SnInstance *s, const SnStepRow *step, uint32_t pc)
{
    SnWatch *w = s->watch;
    const uint32_t *operand = SN_ROWS(s->image, uint32_t, operand) + step->buffer.first;
    const SnBufferRow *row = SN_ROWS(s->image, SnBufferRow, buffer);
    if (step->kind != SN_STEP_KERNEL || w->found)
        return;
    const SnKernelRow *kernel = SN_ROWS(s->image, SnKernelRow, kernel) + step->a;
    for (uint32_t i = 0; i < step->buffer.count; i++) {
        const char *name = name_of(s, &row[operand[i]]);
        if (name)
            w->near = name;
        if (kernel->written >> i & 1)
            w->found = w->found || !is_finite(&s->plan.buffer[operand[i]], (SnDtype)row[operand[i]].dtype);
    }
    if (!w->found)
        return;
    w->step = pc;
    w->kernel = sn_instance_text(s, kernel->name);
}

SnStatus sn_run_watched(SnInstance *s, SnWatch *out, SnError *err)
{
    *out = (SnWatch){.near = NULL};
    s->watch = out;
    const SnStatus st = sn_run(s, err);
    s->watch = NULL;
    return st;
}
