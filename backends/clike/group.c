/* group.c -- how a tile maps to a work group: where LOCALs live, and where barriers are needed.
 *
 * Lanes are items. What stands outside of a LANES loop is the same for all: every item computes it, and
 * stores of it that others can see are done by the first item. Between two barriers no item may touch what
 * another one writes; the planner walks the kernel with the sets of buffers that were read and written since
 * the last one. */
#include "backends/clike/clike.h"

#define SETS 64 /* buffers that are told apart; the rest share the last bit */

typedef struct Access { /* since the last barrier, bit per buffer */
    uint64_t read, written;
} Access;

typedef struct Planner {
    const SnKernel *k;
    const SnStore *s;
    const SnRef *term;
    uint32_t nterm;
    const bool *is_lane;
    uint64_t *touches; /* of each term: buffers that its value is read from */
    SnGroup *group;
    uint64_t shared;       /* buffers that more than one item sees and some item writes */
    uint64_t loaded;       /* of these, those that are read */
    const SnStmt **writer; /* of each bit: the only statement that stores there; NULL: none, or many */
    uint64_t many;         /* bits with several */
    uint32_t nstmt;
} Planner;

static uint32_t at(const Planner *p, SnRef r)
{
    return sn_kernel_term_find(p->term, p->nterm, r);
}

static uint64_t bit(int64_t buf)
{
    return UINT64_C(1) << (buf < SETS - 1 ? buf : SETS - 1);
}

static SnLocalPlace *place_of(const Planner *p, int64_t buf)
{
    return buf >= p->k->nbuf ? &p->group->place[buf - p->k->nbuf] : NULL;
}

/* ---- where LOCALs live ---- */

/* Is index = lane + lanes * e, e the same for all? */
static bool is_per_lane(const Planner *p, const SnStmt *lanes, SnRef index)
{
    int64_t width = 0;
    const SnLanes l = {p->s, p->term, p->nterm, p->is_lane, lanes->var};
    SnAffine x = {.is_known = true};
    (void)sn_is_const_i64(p->s, lanes->a, &width);
    sn_affine_add(&l, &x, index, 1);
    if (!x.is_known || x.lane != 1 || width != (int64_t)p->group->lanes || x.constant % width != 0)
        return false;
    for (int i = 0; i < x.n; i++)
        if (x.scale[i] % width != 0)
            return false;
    return true;
}

typedef struct Use { /* what all accesses of a LOCAL have in common */
    bool is_used, is_per_lane, is_uniform;
} Use;

static void use(const Planner *p, Use *u, int64_t buf, SnRef index, const SnStmt *lanes, bool is_store,
                bool is_fold)
{
    if (buf < p->k->nbuf)
        return;
    Use *x = &u[buf - p->k->nbuf];
    if (!x->is_used)
        *x = (Use){true, true, true};
    const bool is_lane = p->is_lane[at(p, index)];
    x->is_per_lane = x->is_per_lane && lanes != NULL && !is_fold && is_lane && is_per_lane(p, lanes, index);
    x->is_uniform = x->is_uniform && !is_lane && !(is_store && lanes != NULL);
}

/* Loads and folds anywhere in the operands of a statement; lanes: the loop around. */
static void use_terms(const Planner *p, Use *u, const SnStmt *s, const SnStmt *lanes, bool *seen)
{
    const SnRef root[] = {s->a, s->b, s->g};
    memset(seen, 0, p->nterm * sizeof *seen);
    for (size_t i = 0; i < SN_COUNT(root); i++)
        if (root[i] != 0)
            seen[at(p, root[i])] = true;
    for (uint32_t i = p->nterm; i-- > 0;) {
        if (!seen[i])
            continue;
        const SnTerm *t = sn_term(p->s, p->term[i]);
        for (int j = 0; j < t->narg; j++)
            seen[at(p, t->arg[j])] = true;
        if (t->op == SN_OP_LOAD || t->op == SN_OP_FOLD)
            use(p, u, sn_attr_int(p->s, p->term[i], "buf", 0), t->arg[0], lanes, false, t->op == SN_OP_FOLD);
    }
}

static void find_uses(const Planner *p, Use *u, const SnStmt *body, const SnStmt *lanes, bool *seen)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        use_terms(p, u, s, lanes, seen);
        if (s->kind == SN_STMT_STORE)
            use(p, u, s->buf, s->a, lanes, true, false);
        find_uses(p, u, s->body, s->kind == SN_STMT_LOOP && s->loop == SN_LOOP_LANES ? s : lanes, seen);
    }
}

static void find_width(Planner *p, const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        int64_t n = 1;
        if (s->kind == SN_STMT_LOOP && s->loop == SN_LOOP_LANES && sn_is_const_i64(p->s, s->a, &n) &&
            n > (int64_t)p->group->lanes)
            p->group->lanes = (uint32_t)n;
        p->nstmt++;
        find_width(p, s->body);
    }
}

/* ---- barriers ---- */

static void find_writers(Planner *p, const SnStmt *body)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        if (s->kind == SN_STMT_STORE) {
            const SnLocalPlace *place = place_of(p, s->buf);
            const size_t i = s->buf < SETS - 1 ? s->buf : SETS - 1;
            if (p->writer[i] != NULL)
                p->many |= bit(s->buf);
            p->writer[i] = s;
            if (place == NULL || *place == SN_LOCAL_SHARED)
                p->shared |= bit(s->buf);
        }
        find_writers(p, s->body);
    }
}

static void find_touches(Planner *p)
{
    for (uint32_t i = 0; i < p->nterm; i++) {
        const SnTerm *t = sn_term(p->s, p->term[i]);
        if (t->op == SN_OP_LOAD || t->op == SN_OP_FOLD)
            p->touches[i] = bit(sn_attr_int(p->s, p->term[i], "buf", 0)) & p->shared;
        for (int j = 0; j < t->narg; j++)
            p->touches[i] |= p->touches[at(p, t->arg[j])];
        p->loaded |= p->touches[i];
    }
}

static Access access_of(const Planner *p, const SnStmt *s)
{
    const SnRef root[] = {s->a, s->b, s->g};
    Access x = {0};
    for (size_t i = 0; i < SN_COUNT(root); i++)
        if (root[i] != 0)
            x.read |= p->touches[at(p, root[i])];
    if (s->kind == SN_STMT_STORE)
        x.written = bit(s->buf) & p->shared;
    return x;
}

static Access access_of_body(const Planner *p, const SnStmt *body)
{
    Access x = {0};
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        const Access own = access_of(p, s), inner = access_of_body(p, s->body);
        x.read |= own.read | inner.read;
        x.written |= own.written | inner.written;
    }
    return x;
}

/* May two accesses by different items meet? What a single statement writes and nothing reads is left alone:
 * it writes an element twice from one lane only. */
static bool conflict(const Planner *p, Access a, Access b)
{
    const uint64_t alone = ~p->many & ~p->loaded;
    return ((a.written & (b.read | b.written)) | (a.read & b.written)) & ~alone ? true : false;
}

static void join(Access *to, Access x)
{
    to->read |= x.read;
    to->written |= x.written;
}

static void plan_body(Planner *p, const SnStmt *body, Access *since);

/* A statement whose parts have no barrier between them. */
static void plan_whole(Planner *p, Access x, Access *since, uint32_t number)
{
    if (conflict(p, *since, x)) {
        p->group->before[number] = true;
        *since = (Access){0};
    }
    join(since, x);
}

static uint32_t count_statements(const SnStmt *body)
{
    uint32_t n = 0;
    for (const SnStmt *s = body; s != NULL; s = s->next)
        n += 1 + count_statements(s->body);
    return n;
}

static void plan_loop(Planner *p, const SnStmt *s, Access *since, uint32_t number)
{
    const Access all = access_of_body(p, s->body);
    if (s->loop == SN_LOOP_LANES) {
        Access x = access_of(p, s);
        join(&x, all);
        plan_whole(p, x, since, number);
        p->nstmt += count_statements(s->body);
        return;
    }
    plan_whole(p, access_of(p, s), since, number);
    Access inside = *since;
    plan_body(p, s->body, &inside);
    if (conflict(p, all, all)) {
        p->group->after[number] = true;
        return; /* without an iteration nothing has happened since */
    }
    join(since, inside);
}

static void plan_body(Planner *p, const SnStmt *body, Access *since)
{
    for (const SnStmt *s = body; s != NULL; s = s->next) {
        const uint32_t number = p->nstmt++;
        if (s->kind == SN_STMT_LOOP) {
            plan_loop(p, s, since, number);
            continue;
        }
        plan_whole(p, access_of(p, s), since, number);
        if (s->kind == SN_STMT_LOCAL) {
            plan_body(p, s->body, since);
        } else if (s->kind == SN_STMT_IF) {
            Access inside = *since;
            plan_body(p, s->body, &inside);
            join(since, inside);
        }
    }
}

/* ---- all together ---- */

static SnStatus plan(Planner *p, SnArena *arena, SnError *err)
{
    SnGroup *g = p->group;
    const size_t nlocal = (size_t)p->k->nlocal;
    find_width(p, p->k->body);
    g->place = (SnLocalPlace *)sn_arena_array(arena, nlocal, sizeof *g->place);
    g->before = (bool *)sn_arena_array(arena, p->nstmt, sizeof *g->before);
    g->after = (bool *)sn_arena_array(arena, p->nstmt, sizeof *g->after);
    p->touches = (uint64_t *)sn_arena_array(arena, p->nterm, sizeof *p->touches);
    p->writer = (const SnStmt **)sn_arena_array(arena, SETS, sizeof *p->writer);
    Use *u = (Use *)sn_arena_array(arena, nlocal, sizeof *u);
    bool *seen = (bool *)sn_arena_array(arena, p->nterm, sizeof *seen);
    SN_CHECK(g->place != NULL && g->before != NULL && g->after != NULL && p->touches != NULL &&
                 p->writer != NULL && u != NULL && seen != NULL,
             err, SN_ENOMEM, "kernel %s: no memory", p->k->name);
    find_uses(p, u, p->k->body, NULL, seen);
    for (size_t i = 0; i < nlocal; i++)
        g->place[i] = u[i].is_per_lane  ? SN_LOCAL_PER_LANE
                      : u[i].is_uniform ? SN_LOCAL_COPIED
                                        : SN_LOCAL_SHARED;
    find_writers(p, p->k->body);
    find_touches(p);
    p->nstmt = 0;
    Access since = {0};
    plan_body(p, p->k->body, &since);
    return SN_OK;
}

SnStatus sn_group_plan(const SnKernel *k, const SnRef *term, uint32_t nterm, const bool *is_lane,
                       SnArena *arena, SnGroup *out, SnError *err)
{
    *out = (SnGroup){.lanes = 1};
    Planner p = {.k = k, .s = k->store, .term = term, .nterm = nterm, .is_lane = is_lane, .group = out};
    return plan(&p, arena, err);
}
