/* trace.h -- step timings as a file for chrome://tracing and Perfetto.
 *
 * The writer is a host of the SnTrace hook: init it, hand sn_trace_hook to SnContextDesc.trace, run, write,
 * clear. One thread at a time, as a context. */
#ifndef SN_TRACE_H
#define SN_TRACE_H

#include "runtime/bytes.h"

typedef struct SnTraceWriter {
    SnText text;
    uint64_t origin_ns; /* when the first event began */
} SnTraceWriter;

void sn_trace_init(SnTraceWriter *w, const SnAllocator *memory);
SnTrace sn_trace_hook(SnTraceWriter *w); /* w must stay where it is */
SN_MUST_CHECK SnStatus sn_trace_write(SnContext *ctx, const SnTraceWriter *w, const char *path, SnError *err);
void sn_trace_clear(SnTraceWriter *w);

#endif
