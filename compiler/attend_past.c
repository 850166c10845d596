/* attend_past.c -- attention over keys and values in pages, and how these are written.
 *
 * A page has the positions of one chunk of attend.c, and its keys lie in the panels that are read there: so
 * nothing is packed, a chunk costs one load of its page's number, and a query adds up what it sees in the
 * same order whether its row was fed at once or token by token. The tile knows from the positions of its
 * rows, at run time, which chunks there are: those behind the last query and, with a window, those in front
 * of the first are not walked at all. Pages that a table does not have are clamped: whatever a host binds,
 * what is read exists. Where keys and values are whole numbers, each position has a scale: a score is
 * multiplied by that of its key, and p, once it has been added up, by that of its value. */
#include "compiler/attend.h"

#define PAGE        256
#define AHEAD_BYTES 4096

static SnRef wide(SnLower *l, SnRef r, const SnRef *index)
{
    return sn_s_cast(l->s, SN_F32, sn_lower_scalar(l, r, index, 0));
}

static SnRef integer(SnLower *l, SnRef r, const SnRef *index)
{
    return sn_s_cast(l->s, SN_I64, sn_lower_scalar(l, r, index, 0));
}

/* ---- what lies where ---- */

static SnRef page_of(SnLower *l, const SnAttend *a)
{
    const SnRef index[] = {a->batch, a->chunk}, zero = i_const(l, 0), one = i_const(l, 1);
    const SnRef pages = sn_lower_dim(l, sn_type_of(l->s, a->of[SN_ATTEND_K])->dims[0]);
    const SnRef page = integer(l, a->of[SN_ATTEND_PAGE], index);
    return i_max(l, i_min(l, page, i_sub(l, pages, one)), zero);
}

SnRef sn_past_key(SnLower *l, const SnAttend *a, SnRef panel, SnRef lane, SnRef c)
{
    const SnRef index[] = {page_of(l, a), a->head, panel, c, lane}, k = a->of[SN_ATTEND_K];
    const int64_t block = a->body_panels * a->dim * SN_LANES * (int64_t)sn_dtype_size(sn_dtype_of(l->s, k));
    return sn_lower_ahead(l, wide(l, k, index), block);
}

SnRef sn_past_value(SnLower *l, const SnAttend *a, SnRef j, SnRef c)
{
    const SnRef index[] = {page_of(l, a), a->head, j, c};
    return sn_lower_ahead(l, wide(l, a->of[SN_ATTEND_V], index), AHEAD_BYTES);
}

SnRef sn_past_scaled(SnLower *l, const SnAttend *a, SnAttendOperand scale, SnRef j, SnRef x)
{
    if (a->of[scale] == 0)
        return x;
    const SnRef index[] = {page_of(l, a), a->head, j, i_const(l, 0)};
    return sn_s2(l->s, SN_OP_MUL, x, wide(l, a->of[scale], index));
}

/* ---- who sees what ---- */

SnRef sn_past_position(SnLower *l, const SnAttend *a, SnRef row)
{
    SnRef head, index[] = {a->batch, 0};
    (void)sn_attend_row(l, a, row, &head, &index[1]);
    return integer(l, a->of[SN_ATTEND_POS], index);
}

void sn_past_range(SnLower *l, SnAttend *a)
{
    const SnRef zero = i_const(l, 0), never = i_const(l, INT64_MAX);
    SnRef last = 0, first = 0;
    for (int64_t i = 0; i < a->nrow; i++) {
        const SnRef pos = sn_past_position(l, a, i_const(l, i));
        const SnRef from = i_add(l, pos, i_const(l, 1 - a->window));
        const SnRef here = sn_s3(l->s, SN_OP_WHERE, i_lt(l, pos, zero), never, i_max(l, from, zero));
        last = last == 0 ? pos : i_max(l, last, pos);
        first = first == 0 ? here : i_min(l, first, here);
    }
    const SnRef end =
        i_add(l, i_min(l, last, i_add(l, sn_lower_dim(l, a->keys), i_const(l, -1))), i_const(l, 1));
    a->end = i_max(l, end, zero);
    a->first_chunk = a->window == 0 ? zero : i_div(l, first, i_const(l, PAGE));
}

void sn_past_seen(SnLower *l, const SnAttend *a, SnRef row, SnRef *lo, SnRef *hi)
{
    const SnRef pos = i_sub(l, sn_past_position(l, a, row), base_of(l, a));
    *lo = a->window == 0 ? 0 : i_add(l, pos, i_const(l, 1 - a->window));
    *hi = i_add(l, pos, i_const(l, 1));
}

SnRef sn_past_slope(SnLower *l, const SnAttend *a, SnRef head, SnRef row, SnRef t)
{
    const SnRef away = i_sub(l, t, sn_past_position(l, a, row));
    const SnRef slope = wide(l, a->of[SN_ATTEND_SLOPES], &head);
    return sn_s2(l->s, SN_OP_MUL, slope, sn_s_cast(l->s, SN_F32, away));
}

SnRef sn_past_sink(SnLower *l, const SnAttend *a, SnRef row)
{
    SnRef head, pos;
    (void)sn_attend_row(l, a, row, &head, &pos);
    return wide(l, a->of[SN_ATTEND_SINKS], &head);
}
