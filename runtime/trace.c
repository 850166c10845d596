/* trace.c -- collects SnTraceEvents as JSON in the Trace Event Format ("complete" events, times in us). */
#include "runtime/trace.h"

#include "runtime/json.h"

#include <inttypes.h>

static void put_us(SnText *t, uint64_t ns)
{
    sn_text_printf(t, "%" PRIu64 ".%03u", ns / 1000, (unsigned)(ns % 1000));
}

static void write_event(void *self, const SnTraceEvent *e)
{
    SnTraceWriter *w = (SnTraceWriter *)self;
    SnText *t = &w->text;
    if (t->n == 0)
        w->origin_ns = e->begin_ns;
    sn_text_printf(t, "%s{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"name\":", t->n == 0 ? "[\n" : ",\n");
    sn_json_put_string(t, sn_bytes_str(e->name));
    sn_text_printf(t, ",\"ts\":");
    put_us(t, e->begin_ns - w->origin_ns);
    sn_text_printf(t, ",\"dur\":");
    put_us(t, e->end_ns - e->begin_ns);
    sn_text_printf(t, ",\"args\":{\"step\":%" PRIu32 ",\"tiles\":%" PRId64 ",\"bytes\":%" PRIu64 "}}",
                   e->step, e->tiles, e->bytes);
}

void sn_trace_init(SnTraceWriter *w, const SnAllocator *memory)
{
    *w = (SnTraceWriter){.text = {.memory = memory}};
}

SnTrace sn_trace_hook(SnTraceWriter *w)
{
    return (SnTrace){w, write_event};
}

SnStatus sn_trace_write(SnContext *ctx, const SnTraceWriter *w, const char *path, SnError *err)
{
    SN_CHECK(!w->text.failed, err, SN_ENOMEM, "%s: no memory for the trace", path);
    const SnBytes parts[] = {sn_bytes(w->text.at, w->text.n),
                             sn_bytes_str(w->text.n == 0 ? "[]\n" : "\n]\n")};
    return sn_file_write(ctx, path, parts, SN_COUNT(parts), err);
}

void sn_trace_clear(SnTraceWriter *w)
{
    sn_text_clear(&w->text);
}
