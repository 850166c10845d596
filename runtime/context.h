/* context.h -- what a context is made of. Internal: runtime/ looks inside, others ask it. */
#ifndef SN_CONTEXT_H
#define SN_CONTEXT_H

#include "runtime/cpu.h"

#include <stdatomic.h>

struct SnContext {
    SnAllocator memory;
    SnJobs jobs; /* width is at least 1 */
    void (*beside)(void *arg);
    void *beside_arg;
    atomic_flag is_beside; /* a job is in there */
    SnLog log;
    SnTrace trace;
    char *cache_dir; /* NULL: no cache on disk */
    size_t cache_dir_size;
    bool has_no_cache; /* it cannot be used, as was said once */
    SnCpuLevel cpu_level;
    uint32_t flags;
};

/* malloc: for what is made without a context. */
extern const SnAllocator sn_default_allocator;

#endif
