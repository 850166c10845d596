/* lower_cache.c -- cache_keys and cache_values: tokens ▶ the pages of their rows.
 *
 * A tile is one head of k and walks all tokens in order, so that the last of two at one place wins on every
 * number of threads. Only what is new is written: the base becomes the result where it dies here. */
#include "compiler/lower.h"

#define PAGE 256

typedef struct Cache {
    const SnTerm *t;
    const SnType *to, *from;
    int buf;
    SnRef point[3];      /* batch, head and number of the token at hand */
    SnRef page, in_page; /* where it goes */
} Cache;

bool sn_cache_accepts(const SnStore *s, SnRef r)
{
    int64_t v;
    return sn_is_const_i64(s, sn_type_of(s, r)->dims[3], &v) && v > 0;
}

static SnRef integer(SnLower *l, SnRef r, const SnRef *index, SnRef guard)
{
    return sn_s_cast(l->s, SN_I64, sn_lower_scalar(l, r, index, guard));
}

static void emit_columns(SnLower *l, const Cache *c, SnRef first, int64_t width)
{
    SnStmt **mark;
    const SnRef lane = sn_kernel_loop(&l->kb, SN_LOOP_LANES, i_const(l, width), &mark);
    const SnRef col = i_add(l, first, lane), lanes = i_const(l, SN_LANES);
    const SnRef from[] = {c->point[0], c->point[1], c->point[2], col};
    const SnRef key[] = {c->page, c->point[1], i_div(l, c->in_page, lanes), col, i_mod(l, c->in_page, lanes)};
    const SnRef value[] = {c->page, c->point[1], c->in_page, col};
    const SnRef x = sn_s_cast(l->s, c->to->dtype, sn_lower_scalar(l, c->t->arg[1], from, 0));
    const SnRef *const to = c->to->ndim == 5 ? key : value;
    sn_lower_store(l, c->buf, c->to->dtype, sn_lower_join(l, c->to->ndim, c->to->dims, to), x, 0);
    sn_lower_close(l, mark);
}

static void emit_token(SnLower *l, Cache *c)
{
    const SnRef zero = i_const(l, 0), size = i_const(l, PAGE), pos_at[] = {c->point[0], c->point[2]};
    const SnRef pos = integer(l, c->t->arg[3], pos_at, 0), chunk = i_div(l, pos, size);
    const SnRef chunks = sn_lower_dim(l, sn_type_of(l->s, c->t->arg[2])->dims[1]);
    const SnRef has_chunk = sn_lower_inside(l, chunk, zero, chunks), page_at[] = {c->point[0], chunk};
    SnStmt **inside, **has_page, **mark;
    int64_t width = 0;
    sn_kernel_if(&l->kb, has_chunk, &inside);
    c->page = integer(l, c->t->arg[2], page_at, 0);
    c->in_page = i_mod(l, pos, size);
    sn_kernel_if(&l->kb, sn_lower_inside(l, c->page, zero, sn_lower_dim(l, c->to->dims[0])), &has_page);
    (void)sn_is_const_i64(l->s, c->to->dims[3], &width);
    const int64_t rest = width % SN_LANES;
    const SnRef block = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, i_const(l, width / SN_LANES), &mark);
    emit_columns(l, c, i_mul(l, block, i_const(l, SN_LANES)), SN_LANES);
    sn_lower_close(l, mark);
    if (rest > 0)
        emit_columns(l, c, i_const(l, width - rest), rest);
    sn_lower_close(l, has_page);
    sn_lower_close(l, inside);
}

void sn_lower_cache(SnLower *l, SnRef r)
{
    SnStmt **rows, **tokens;
    Cache c = {.t = sn_term(l->s, r), .to = sn_type_of(l->s, r)};
    c.from = sn_type_of(l->s, c.t->arg[1]);
    sn_lower_copy_base(l, c.t->arg[0]);
    sn_lower_begin(l, c.to->ndim == 5 ? "cache_keys" : "cache_values");
    for (int i = 1; i < c.t->narg; i++)
        sn_lower_read(l, c.t->arg[i]);
    c.buf = sn_lower_result(l, 0);
    c.point[1] = l->kb.k->tile;
    c.point[0] = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, sn_lower_dim(l, c.from->dims[0]), &rows);
    c.point[2] = sn_kernel_loop(&l->kb, SN_LOOP_SERIAL, sn_lower_dim(l, c.from->dims[2]), &tokens);
    emit_token(l, &c);
    sn_lower_close(l, tokens);
    sn_lower_close(l, rows);
    sn_lower_end(l, c.to->dims[1]);
    sn_lower_mark_in_place(l, c.t->arg[0]);
}
