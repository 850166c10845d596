/* plan.h -- dims and memory of an instance: evaluates dim programs, sizes buffers, lays them out in one block
 * a segment.
 *
 * A plan fits every shape whose buffers are no larger than planned, so it is never looked up: sizes are
 * computed from the exact dims (a few hundred additions), compared with what is planned, and only a buffer
 * that does not fit leads to a new layout, made for the bucket: every symbol and measured dim rounded up to a
 * power of two or its limit. */
#ifndef SN_PLAN_H
#define SN_PLAN_H

#include "runtime/program.h"

typedef struct SnPlanBuffer {
    void *at;
    uint64_t size, planned; /* bytes: now; capacity */
    uint64_t offset;        /* SCRATCH: in the block of its segment */
} SnPlanBuffer;

typedef struct SnPlan {
    const SnAllocator *memory;
    const SnImage *image;
    int64_t *reg;    /* exact dims */
    int64_t *bucket; /* the same registers, rounded up */
    SnPlanBuffer *buffer;
    uint32_t *order; /* work area: buffers of a segment, then those already placed */
    struct {
        void *at;
        uint64_t size;
    } * block; /* one a segment */
    uint64_t table_bytes;
    bool is_dry; /* sizes only: blocks are laid out, not allocated */
} SnPlan;

SN_MUST_CHECK SnStatus sn_plan_init(SnPlan *p, SnContext *ctx, const SnImage *image, SnError *err);
void sn_plan_clear(SnPlan *p);

/* Sets a register that the host or a measure decided; limit is the largest value it may have. */
void sn_plan_set(SnPlan *p, uint32_t reg, int64_t value, int64_t limit);
/* Evaluates the instrs and checks of a point. */
SN_MUST_CHECK SnStatus sn_plan_point(SnPlan *p, uint32_t point, SnError *err);
/* Places carries one after the other from the exact dims; *size is what they take, never 0. */
SN_MUST_CHECK SnStatus sn_plan_carries(SnPlan *p, uint64_t *size, SnError *err);
/* Gives every buffer of a segment its place; allocates only when the block must grow. */
SN_MUST_CHECK SnStatus sn_plan_segment(SnPlan *p, uint32_t segment, SnError *err);

#endif
