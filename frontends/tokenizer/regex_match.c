/* regex_match.c -- matches of regular expressions, with groups: what a parse of an answer needs
 * (chat_parse.c). A tree becomes a program; a machine runs it by backtracking, and goes nowhere twice, so a
 * search takes time and bits by program and text alone.
 *
 * Cox, "Regular Expression Matching: the Virtual Machine Approach" (2009), and RE2's BitState. */
#include "frontends/tokenizer/regex.h"

#define MOST_STEPS 20000u              /* of a program */
#define MOST_BITS  ((size_t)1 << 31)   /* program times text */
#define MOST_WORK  ((uint64_t)1 << 30) /* of a search */

typedef enum Code { SET, SPLIT, JUMP, MARK, LOOK, AHEAD, BEGIN, MATCH } Code;

typedef struct Step {
    Code code;
    uint32_t x, y; /* SPLIT: where to go first, and then; JUMP, AHEAD: then; MARK: slot */
    const SnRegexNode *node;
} Step;

struct SnRegex {
    SN_VEC(Step) step;
    SnBytes name[SN_RE_GROUPS];
    uint32_t nname;
};

/* ---- programs ---- */

typedef struct Maker {
    SnArena *a;
    SnRegex *r;
    SnError *err;
} Maker;

static SnStatus emit(const Maker *k, const SnRegexNode *n);

static SnStatus add(const Maker *k, Code code, const SnRegexNode *n, uint32_t *at)
{
    Step *all = k->r->step.at;
    *at = (uint32_t)k->r->step.n;
    SN_CHECK(*at < MOST_STEPS, k->err, SN_EUNSUPPORTED, "pattern: more than %u steps", MOST_STEPS);
    if (k->r->step.n == k->r->step.cap) {
        const size_t cap = k->r->step.cap ? 2 * k->r->step.cap : 32;
        Step *more = sn_arena_array(k->a, cap, sizeof *more);
        SN_CHECK(more, k->err, SN_ENOMEM, "no memory for a pattern");
        if (all)
            memcpy(more, all, k->r->step.n * sizeof *more);
        k->r->step.at = more;
        k->r->step.cap = cap;
    }
    k->r->step.at[k->r->step.n++] = (Step){.code = code, .node = n};
    return SN_OK;
}

static uint32_t here(const Maker *k)
{
    return (uint32_t)k->r->step.n;
}

/* The child once more or not: where that is decided. */
static SnStatus emit_split(const Maker *k, const SnRegexNode *n, uint32_t *at)
{
    SN_TRY(add(k, SPLIT, n, at));
    k->r->step.at[*at].x = *at + 1;
    return emit(k, n->child);
}

static void end_split(const Maker *k, const SnRegexNode *n, uint32_t at)
{
    Step *s = &k->r->step.at[at];
    s->y = here(k);
    if (n->is_lazy) {
        s->y = s->x;
        s->x = here(k);
    }
}

static SnStatus emit_repeat(const Maker *k, const SnRegexNode *n)
{
    uint32_t at, back;
    SN_CHECK(!n->is_possessive, k->err, SN_EUNSUPPORTED, "pattern: a possessive repeat is not supported");
    for (uint32_t i = 0; i < n->min; i++)
        SN_TRY(emit(k, n->child));
    if (n->max == SN_RE_MORE) {
        SN_TRY(emit_split(k, n, &at));
        SN_TRY(add(k, JUMP, n, &back));
        k->r->step.at[back].x = at;
        end_split(k, n, at);
        return SN_OK;
    }
    const uint32_t first = here(k);
    for (uint32_t i = n->min; i < n->max; i++)
        SN_TRY(emit_split(k, n, &at));
    for (uint32_t i = first; i < here(k); i++)
        if (k->r->step.at[i].node == n && k->r->step.at[i].code == SPLIT)
            end_split(k, n, i);
    return SN_OK;
}

static SnStatus emit_any(const Maker *k, const SnRegexNode *n)
{
    uint32_t last = 0, first = 0; /* jumps to the end, in a list by x */
    for (const SnRegexNode *c = n->child; c; c = c->next) {
        uint32_t split = 0;
        if (c->next)
            SN_TRY(add(k, SPLIT, n, &split));
        const uint32_t begin = here(k);
        SN_TRY(emit(k, c));
        if (!c->next)
            break;
        SN_TRY(add(k, JUMP, n, &last));
        k->r->step.at[last].x = first;
        first = last;
        k->r->step.at[split].x = begin;
        k->r->step.at[split].y = here(k);
    }
    for (uint32_t at = first, next; at; at = next) {
        next = k->r->step.at[at].x;
        k->r->step.at[at].x = here(k);
    }
    return SN_OK;
}

static SnStatus emit_group(const Maker *k, const SnRegexNode *n)
{
    uint32_t i = 0, at;
    while (i < k->r->nname && !sn_bytes_equal(k->r->name[i], n->name))
        i++;
    SN_CHECK(i < SN_RE_GROUPS, k->err, SN_EUNSUPPORTED, "pattern: more than %d groups", SN_RE_GROUPS);
    k->r->name[i] = n->name;
    k->r->nname += i == k->r->nname;
    SN_TRY(add(k, MARK, n, &at));
    k->r->step.at[at].x = 2 * i;
    SN_TRY(emit(k, n->child));
    SN_TRY(add(k, MARK, n, &at));
    k->r->step.at[at].x = 2 * i + 1;
    return SN_OK;
}

static SnStatus emit_ahead(const Maker *k, const SnRegexNode *n)
{
    uint32_t at, end;
    SN_TRY(add(k, AHEAD, n, &at));
    SN_TRY(emit(k, n->child));
    SN_TRY(add(k, MATCH, n, &end));
    k->r->step.at[at].x = here(k);
    return SN_OK;
}

static SnStatus emit(const Maker *k, const SnRegexNode *n)
{
    uint32_t at;
    SN_CHECK(!n->set.failed, k->err, SN_ENOMEM, "no memory for a pattern");
    switch (n->kind) {
    case SN_RE_SET:
        return add(k, SET, n, &at);
    case SN_RE_LOOK:
        return add(k, LOOK, n, &at);
    case SN_RE_BEGIN:
        return add(k, BEGIN, n, &at);
    case SN_RE_ALL:
        for (const SnRegexNode *c = n->child; c; c = c->next)
            SN_TRY(emit(k, c));
        return SN_OK;
    case SN_RE_ANY:
        return emit_any(k, n);
    case SN_RE_REPEAT:
        return emit_repeat(k, n);
    case SN_RE_GROUP:
        return emit_group(k, n);
    case SN_RE_AHEAD:
        return emit_ahead(k, n);
    case SN_RE_BEHIND: /* not of Python */
        break;
    }
    return SN_OK;
}

SnStatus sn_regex_compile(SnArena *a, SnBytes pattern, SnRegex **out, SnError *err)
{
    SnRegexNode *tree = NULL;
    uint32_t at;
    SN_TRY(sn_regex_parse_python(a, pattern, &tree, err));
    SnRegex *r = sn_arena_alloc(a, sizeof *r);
    SN_CHECK(r, err, SN_ENOMEM, "no memory for a pattern");
    *r = (SnRegex){.nname = 0};
    const Maker k = {a, r, err};
    SN_TRY(emit(&k, tree));
    SN_TRY(add(&k, MATCH, tree, &at));
    *out = r;
    return SN_OK;
}

uint32_t sn_regex_names(const SnRegex *r, const SnBytes **out)
{
    *out = r->name;
    return r->nname;
}

/* ---- the machine ---- */

typedef struct Back { /* a place to go on from; or, step NONE, a mark to set again */
    uint32_t step, slot;
    size_t at;
} Back;
#define NONE 0xFFFFFFFFu

typedef struct Machine {
    const SnRegex *r;
    SnBytes text;
    const SnAllocator *memory;
    uint8_t *seen; /* a bit of each step and place */
    size_t mark[2 * SN_RE_GROUPS];
    SN_VEC(Back) back;
    uint64_t work;
    bool failed; /* no memory */
} Machine;

static void push(Machine *m, Back b)
{
    m->failed = !sn_vec_push(m->memory, &m->back, b) || m->failed;
}

static bool is_in(const SnCodeSet *s, uint32_t c)
{
    uint32_t lo = 0, hi = s->n;
    while (lo < hi) {
        const uint32_t mid = (lo + hi) / 2;
        if (c > s->at[2 * mid + 1])
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->n && c >= s->at[2 * lo];
}

/* One character of the set at *at: goes behind it. */
static bool eats(const Machine *m, const SnCodeSet *set, size_t *at)
{
    SnReader r = sn_reader(sn_bytes(m->text.at + *at, m->text.n - *at));
    if (r.left == 0 || !is_in(set, sn_read_utf8(&r)))
        return false;
    *at = m->text.n - r.left;
    return true;
}

static bool is_new(Machine *m, uint32_t step, size_t at)
{
    const size_t bit = (size_t)step * (m->text.n + 1) + at;
    const bool was = m->seen[bit / 8] >> bit % 8 & 1;
    m->seen[bit / 8] = (uint8_t)(m->seen[bit / 8] | 1u << bit % 8);
    m->work++;
    return !was;
}

static bool run(Machine *m, uint32_t step, size_t at, size_t *end);

/* What was seen on the way to a match leads there again. */
static bool looks_ahead(Machine *m, uint32_t step, size_t at)
{
    const Step *s = &m->r->step.at[step];
    size_t mark[2 * SN_RE_GROUPS], end;
    memcpy(mark, m->mark, sizeof mark);
    const bool is_there = run(m, step + 1, at, &end);
    memcpy(m->mark, mark, sizeof mark);
    if (is_there) {
        const size_t width = m->text.n + 1, first = (step + 1) * width / 8, last = s->x * width / 8;
        memset(m->seen + first, 0, last - first + 1);
        m->work += (last - first) / 64;
    }
    return is_there != s->node->inverts;
}

/* The step and place that follow; false: it leads no further. */
static bool go(Machine *m, uint32_t *step, size_t *at)
{
    const Step *s = &m->r->step.at[*step];
    size_t look = *at;
    switch (s->code) {
    case SET:
        ++*step;
        return eats(m, &s->node->set, at);
    case LOOK:
        ++*step;
        return *at == m->text.n ? s->node->ends : eats(m, &s->node->set, &look);
    case BEGIN:
        ++*step;
        return *at == 0;
    case AHEAD:
        if (!looks_ahead(m, *step, *at))
            return false;
        *step = s->x;
        return true;
    case MARK:
        push(m, (Back){NONE, s->x, m->mark[s->x]});
        m->mark[s->x] = *at;
        ++*step;
        return true;
    case SPLIT:
        push(m, (Back){s->y, 0, *at});
        *step = s->x;
        return true;
    case JUMP:
        *step = s->x;
        return true;
    case MATCH:
        break;
    }
    return false;
}

static bool run(Machine *m, uint32_t step, size_t at, size_t *end)
{
    const size_t base = m->back.n;
    push(m, (Back){step, 0, at});
    while (m->back.n > base && !m->failed && m->work < MOST_WORK) {
        const Back b = m->back.at[--m->back.n];
        if (b.step == NONE) {
            m->mark[b.slot] = b.at;
            continue;
        }
        step = b.step;
        at = b.at;
        while (is_new(m, step, at)) {
            if (m->r->step.at[step].code == MATCH) {
                *end = at;
                m->back.n = base;
                return true;
            }
            if (!go(m, &step, &at))
                break;
        }
    }
    return false;
}

static bool find(Machine *m, size_t from, SnRegexMatch *out)
{
    for (size_t at = from; at <= m->text.n && !m->failed && m->work < MOST_WORK; at++) {
        if (at < m->text.n && (m->text.at[at] & 0xC0) == 0x80)
            continue;
        memset(m->mark, 0xFF, sizeof m->mark);
        if (!run(m, 0, at, &out->end))
            continue;
        out->begin = at;
        for (uint32_t i = 0; i < m->r->nname; i++) {
            const bool is_set = m->mark[2 * i] != SIZE_MAX && m->mark[2 * i + 1] != SIZE_MAX;
            out->group[i].begin = is_set ? m->mark[2 * i] : 1;
            out->group[i].end = is_set ? m->mark[2 * i + 1] : 0;
        }
        return true;
    }
    return false;
}

SnStatus sn_regex_search(SnArena *a, const SnRegex *r, SnBytes text, size_t from, SnRegexMatch *out,
                         bool *found, SnError *err)
{
    size_t bits = 0;
    SN_CHECK(sn_mul_size(r->step.n, text.n + 1, &bits) && bits < MOST_BITS, err, SN_ESHAPE,
             "pattern: a text of %zu bytes is too long for it", text.n);
    Machine m = {.r = r, .text = text, .memory = a->memory};
    m.seen = sn_alloc_zero(m.memory, bits / 8 + 1, 1);
    SN_CHECK(m.seen, err, SN_ENOMEM, "no memory to match a pattern");
    *found = find(&m, from, out);
    sn_free(m.memory, m.seen, bits / 8 + 1, 1);
    sn_vec_clear(m.memory, &m.back);
    SN_CHECK(!m.failed, err, SN_ENOMEM, "no memory to match a pattern");
    SN_CHECK(m.work < MOST_WORK, err, SN_ESHAPE, "pattern: it takes too long");
    return SN_OK;
}
