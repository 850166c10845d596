/* hostcall.h -- calling convention of host ops: what is not a kernel (tokenising, parsing, decoding).
 *
 * A host op is a pure function of its operands. It sees host views, writes results whose storage the planner
 * has laid out at the capacity its op row states, and has no allocator: work memory is `scratch`, whose size
 * the row states too, and `memo`, whose size is the attribute of that name. What it reads from an object
 * table was validated when the table was built or opened. */
#ifndef SN_HOSTCALL_H
#define SN_HOSTCALL_H

#include "runtime/dtype.h"

/* What a host op returns when its deadline has passed: it is called again with the same scratch, and goes on.
 */
#define SN_AGAIN ((SnStatus)100)

/* So many bytes of scratch are zeros at the first call of a run, the others are anything. */
#define SN_HOST_STATE 4096u

typedef struct SnHostCall {
    const SnView *in; /* operands, flattened: tuples as their leaves. Objects are u8[n]: the table's bytes */
    uint32_t nin;
    /* Results, flattened. dims, data, and of lists start, len (writable through cast below) and child_count
     * (capacity) are set; the op fills data and, of lists, start and len. */
    const SnView *out;
    uint32_t nout;
    /* The row's attributes in the order of the signature: ints and bools .i, floats .f */
    const SnScalar *attr;
    uint32_t nattr;
    void *scratch; /* 64-byte aligned */
    size_t scratch_size;
    /* What a host step keeps from run to run, 64-byte aligned and zeros when the instance is made: it may
     * make a run faster, never change its results. NULL: none. */
    void *memo;
    size_t memo_size;
    uint64_t deadline_ns; /* sn_now_ns() beyond this: return SN_AGAIN soon; 0: no deadline */
    bool has_v3;          /* code of that CPU level may run, see SN_V3 */
} SnHostCall;

typedef SnStatus SnHostFn(const SnHostCall *h, SnError *err);

/* The storage of a list result's starts and lengths. */
static inline int64_t *sn_out_start(const SnView *v)
{
    return (int64_t *)(uintptr_t)v->start;
}
static inline int64_t *sn_out_len(const SnView *v)
{
    return (int64_t *)(uintptr_t)v->len;
}

uint64_t sn_now_ns(void); /* monotonic */

#endif
