/* stream.c -- rows of a loop, read while it runs.
 *
 * A stream lies where its loop stacks rows: in the buffer of the result. The loop's counter says how many
 * rows there are; those never change, so a reader needs no copy and the run does not know of it. */
#include "runtime/instance.h"

/* Rows [first, ready) of a stream. Rows of a list share one child, which has a capacity for each row. */
static SnView rows_view(const SnInstance *s, const SnSlotRow *slot, uint64_t first)
{
    SnView v;
    const int64_t ready = s->plan.reg[slot->stream_reg];
    sn_instance_view(s, slot, &v);
    uint64_t row = 1;
    for (int32_t i = 1; i < v.ndim; i++)
        row *= (uint64_t)v.dims[i];
    if (slot->is_list) {
        v.start += first * row;
        v.len += first * row;
        v.child_count = v.dims[0] > 0 ? v.child_count / v.dims[0] * ready : 0;
    } else {
        v.data = (uint8_t *)v.data + first * row * sn_dtype_size(v.dtype);
    }
    v.dims[0] = ready - (int64_t)first;
    return v;
}

static SnStatus find_stream(const SnInstance *s, const char *output, const SnSlotRow **out, SnError *err)
{
    const SnSlotRow *slot = sn_instance_slot(s, s->entry->output, output);
    SN_CHECK(slot && slot->stream_reg != SN_NONE, err, SN_EINVAL, "%s is no stream of entry %s", output,
             sn_instance_text(s, s->entry->name));
    *out = slot;
    return SN_OK;
}

SnStatus sn_rows(SnInstance *s, const char *output, uint64_t first, SnView *out, SnError *err)
{
    const SnSlotRow *slot = NULL;
    SN_TRY(find_stream(s, output, &slot, err));
    SN_CHECK(s->running || s->has_result, err, SN_EINVAL, "stream %s: nothing has run", output);
    const int64_t ready = s->plan.reg[slot->stream_reg];
    SN_CHECK(first <= (uint64_t)ready, err, SN_EINVAL, "stream %s: row %llu of %lld", output,
             (unsigned long long)first, (long long)ready);
    /* Before the first row its loop may not even have a place. */
    *out = (SnView){.dtype = (SnDtype)slot->dtype, .ndim = (int32_t)slot->ndim};
    if (ready > 0)
        *out = rows_view(s, slot, first);
    return SN_OK;
}

SnStatus sn_on_rows(SnInstance *s, const char *output, SnRowsFn *fn, void *user, SnError *err)
{
    const SnSlotRow *slot = NULL;
    SN_TRY(find_stream(s, output, &slot, err));
    const SnRowsReader reader = {fn, user, (uint32_t)(slot - SN_ROWS(s->image, SnSlotRow, slot)), 0};
    size_t i = 0;
    while (i < s->reader.n && s->reader.at[i].slot != reader.slot)
        i++;
    SN_CHECK(i < s->reader.n || sn_vec_push(&s->ctx->memory, &s->reader, reader), err, SN_ENOMEM,
             "stream %s: no memory for a reader", output);
    s->reader.at[i] = reader;
    return SN_OK;
}

void sn_instance_show_rows(SnInstance *s, uint32_t reg)
{
    const SnSlotRow *slot = SN_ROWS(s->image, SnSlotRow, slot);
    for (size_t i = 0; i < s->reader.n; i++) {
        SnRowsReader *r = &s->reader.at[i];
        if (!r->fn || slot[r->slot].stream_reg != reg)
            continue;
        const SnView v = rows_view(s, &slot[r->slot], r->seen);
        const uint64_t first = r->seen;
        r->seen += (uint64_t)v.dims[0];
        if (v.dims[0] > 0)
            r->fn(r->user, first, &v);
    }
}

void sn_instance_restart_streams(SnInstance *s)
{
    const SnSlotRow *slot = SN_ROWS(s->image, SnSlotRow, slot);
    const SnRange r = s->entry->output;
    for (uint32_t i = r.first; i < r.first + r.count; i++)
        if (slot[i].stream_reg != SN_NONE)
            s->plan.reg[slot[i].stream_reg] = 0;
    for (size_t i = 0; i < s->reader.n; i++)
        s->reader.at[i].seen = 0;
}
