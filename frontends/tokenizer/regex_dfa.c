/* regex_dfa.c -- patterns of tokenizers to the tables that ops/host/split.c walks.
 *
 * tree ▶ program of threads in order of preference ▶ DFA over classes of code points. A state of the DFA is
 * the list of threads that are alive after a character, in their order. Threads are followed up to the next
 * character only when the class of that character is known, so that a look-ahead of one character is
 * decided, like the end of a match, on the edge that reads it. What comes after a match in the order is
 * dropped: so the last match that was seen is the one that a backtracking search finds.
 *
 * Look-behind, and look-ahead of more than a character, is decided before: two passes over the text, one
 * forward and one backward, make of each class another one that says as well what looks find there, so that
 * the DFA reads classes as ever. The state of the first is the threads of all look-behinds, begun anywhere;
 * that of the second is from which places in the programs of look-aheads the text that was read matches.
 *
 * Thompson, "Regular expression search algorithm" (1968); Pike's ordered threads; Cox, "Regular expression
 * matching: the virtual machine approach" (2009). */
#include "frontends/tokenizer/draft.h"
#include "frontends/tokenizer/regex.h"
#include "frontends/tokenizer/regex_table.h"

#include <inttypes.h>
#include <stdlib.h>

enum { MAX_CODE = 20000, MAX_SETS = 64, MAX_CLASSES = 250, MAX_STATES = 20000, BLOCK = 128, LAST = 0x10FFFF };
enum { MAX_LOOKS = 32, MAX_WORK = 1 << 28 }; /* WORK: places that the passes ask */

typedef enum Op { READ, LOOK, FORK, GOTO, FAR, MATCH } Op;

typedef struct Code {
    Op op;
    bool ends;      /* LOOK: true at the end of the text */
    uint8_t within; /* the look that it is part of, + 1; 0: none */
    uint32_t set;   /* READ, LOOK */
    uint32_t x, y;  /* FORK: first, second; GOTO: x; FAR: the look; others go on with the next */
} Code;

typedef struct Look { /* its program is code[begin .. end), less those of looks within it, which come later */
    const SnRegexNode *node;
    uint32_t begin, end;
} Look;

typedef struct Class { /* of characters; the end of a text is one */
    bool is_end;
    uint32_t looks; /* bits: that find what they look for before such a character */
    uint64_t sets;  /* bits: that it is in */
} Class;

typedef struct SnDraftRegex {
    struct SnDraftRegex *next;
    SnBytes pattern;
    SnPatternKind kind;
    uint32_t index, nclass, nblock, nstate;
    uint16_t block[SN_TOK_BLOCKS];
    uint8_t *class; /* BLOCK nblock */
    uint32_t *edge; /* nclass (1 + nstate) */
    uint32_t *walk; /* nclass nwalk, and behind that npair nwalk */
    uint32_t nwalk, npair;
    struct {
        uint32_t *edge, nclass, nstate; /* nclass nstate; 0: no pass is needed */
    } pass[2];
} SnDraftRegex;

typedef struct Compiler {
    const SnAllocator *memory;
    SnArena *a;    /* dies with the compiler */
    SnArena *keep; /* what the tables lie in */
    SnError *err;
    SN_VEC(Code) code;
    const SnCodeSet *set[MAX_SETS];
    uint32_t nset, nclass;
    Class class[MAX_CLASSES]; /* that are read; 0 is an end */
    Look look[MAX_LOOKS];
    uint32_t nlook, within;  /* within: of the code that comes */
    Class made[MAX_CLASSES]; /* by a pass */
    uint32_t nmade;
    SnMap states;         /* lists of threads to states */
    SN_VEC(SnBytes) list; /* the other way */
    uint32_t *visited, stamp;
    uint16_t *thread;
    uint32_t nthread;
    bool *is_true; /* the second pass: from each place */
    uint32_t work; /* of the passes so far */
} Compiler;

/* ---- program ------------------------------------------------------------------------------------------ */

static SnStatus put(Compiler *c, Code code, uint32_t *at)
{
    *at = (uint32_t)c->code.n;
    SN_CHECK(*at < MAX_CODE, c->err, SN_EUNSUPPORTED, "pattern: too large");
    code.within = (uint8_t)c->within;
    SN_CHECK(sn_vec_push(c->memory, &c->code, code), c->err, SN_ENOMEM, "no memory for a pattern");
    return SN_OK;
}

static SnStatus put_set(Compiler *c, Op op, const SnCodeSet *set, bool ends)
{
    uint32_t i = 0, at;
    while (i < c->nset && !sn_set_equal(c->set[i], set))
        i++;
    SN_CHECK(!set->failed, c->err, SN_ENOMEM, "no memory for a pattern");
    SN_CHECK(i < MAX_SETS, c->err, SN_EUNSUPPORTED, "pattern: more than %d kinds of characters", MAX_SETS);
    c->nset += i == c->nset;
    c->set[i] = set;
    return put(c, (Code){.op = op, .set = i, .ends = ends}, &at);
}

static SnStatus put_node(Compiler *c, const SnRegexNode *n);

/* child | nothing, preferring the child unless is_lazy; *skip is where nothing's place is to be written. */
static SnStatus put_fork(Compiler *c, const SnRegexNode *n, uint32_t *fork)
{
    SN_TRY(put(c, (Code){.op = FORK}, fork));
    *(n->is_lazy ? &c->code.at[*fork].y : &c->code.at[*fork].x) = *fork + 1;
    return SN_OK;
}

static void end_fork(Compiler *c, const SnRegexNode *n, uint32_t fork)
{
    *(n->is_lazy ? &c->code.at[fork].x : &c->code.at[fork].y) = (uint32_t)c->code.n;
}

/* A possessive repeat of one character may not stop before another one of these, unless it has its most. */
static SnStatus put_guard(Compiler *c, const SnRegexNode *n)
{
    const SnRegexNode *one = n->child;
    while (one->kind != SN_RE_SET)
        one = one->child;
    SnCodeSet *rest = sn_arena_alloc(c->a, sizeof *rest);
    SN_CHECK(rest != NULL, c->err, SN_ENOMEM, "no memory for a pattern");
    *rest = sn_set_not(c->a, &one->set);
    return put_set(c, LOOK, rest, true);
}

static SnStatus put_repeat(Compiler *c, const SnRegexNode *n)
{
    uint32_t fork, back, skip;
    for (uint32_t i = 0; i < n->min; i++)
        SN_TRY(put_node(c, n->child));
    if (n->max == SN_RE_MORE) {
        SN_TRY(put_fork(c, n, &fork));
        SN_TRY(put_node(c, n->child));
        SN_TRY(put(c, (Code){.op = GOTO, .x = fork}, &back));
        end_fork(c, n, fork);
        return n->is_possessive ? put_guard(c, n) : SN_OK;
    }
    uint32_t *forks = sn_arena_array(c->a, n->max - n->min + 1, sizeof *forks);
    SN_CHECK(forks != NULL, c->err, SN_ENOMEM, "no memory for a pattern");
    for (uint32_t i = 0; i < n->max - n->min; i++) {
        SN_TRY(put_fork(c, n, &forks[i]));
        SN_TRY(put_node(c, n->child));
    }
    if (n->is_possessive) { /* of one at most: over the guard */
        SN_TRY(put(c, (Code){.op = GOTO}, &skip));
        end_fork(c, n, forks[0]);
        SN_TRY(put_guard(c, n));
        c->code.at[skip].x = (uint32_t)c->code.n;
        return SN_OK;
    }
    for (uint32_t i = 0; i < n->max - n->min; i++)
        end_fork(c, n, forks[i]);
    return SN_OK;
}

static SnStatus put_any(Compiler *c, const SnRegexNode *n)
{
    uint32_t fork = 0, last = SN_RE_MORE, at;
    for (const SnRegexNode *x = n->child; x != NULL; x = x->next) {
        if (x->next != NULL)
            SN_TRY(put(c, (Code){.op = FORK}, &fork));
        if (x->next != NULL)
            c->code.at[fork].x = fork + 1;
        SN_TRY(put_node(c, x));
        if (x->next == NULL)
            break;
        SN_TRY(put(c, (Code){.op = GOTO, .x = last}, &at)); /* a chain of those that go to the end */
        last = at;
        c->code.at[fork].y = (uint32_t)c->code.n;
    }
    while (last != SN_RE_MORE) {
        const uint32_t next = c->code.at[last].x;
        c->code.at[last].x = (uint32_t)c->code.n;
        last = next;
    }
    return SN_OK;
}

/* The program of a look comes where the look is first put, and is jumped over. */
static SnStatus put_far(Compiler *c, const SnRegexNode *n)
{
    uint32_t i = 0, at, within = c->within;
    while (i < c->nlook && c->look[i].node != n)
        i++;
    SN_CHECK(i < MAX_LOOKS, c->err, SN_EUNSUPPORTED, "pattern: more than %d look-aheads and look-behinds",
             MAX_LOOKS);
    if (i == c->nlook) {
        const bool is_behind = within > 0 && c->look[within - 1].node->kind == SN_RE_BEHIND;
        SN_CHECK(!is_behind || n->kind == SN_RE_BEHIND, c->err, SN_EUNSUPPORTED,
                 "pattern: a look-ahead of more than one character in a look-behind is not supported");
        SN_TRY(put(c, (Code){.op = GOTO}, &at));
        c->within = ++c->nlook;
        c->look[i] = (Look){n, at + 1, 0};
        SN_TRY(put_node(c, n->child));
        SN_TRY(put(c, (Code){.op = MATCH}, &c->look[i].end));
        c->code.at[at].x = ++c->look[i].end;
        c->within = within;
    }
    return put(c, (Code){.op = FAR, .x = i}, &at);
}

static SnStatus put_node(Compiler *c, const SnRegexNode *n)
{
    switch (n->kind) {
    case SN_RE_SET:
        return put_set(c, READ, &n->set, false);
    case SN_RE_LOOK:
        return put_set(c, LOOK, &n->set, n->ends);
    case SN_RE_ALL:
        for (const SnRegexNode *x = n->child; x != NULL; x = x->next)
            SN_TRY(put_node(c, x));
        return SN_OK;
    case SN_RE_ANY:
        return put_any(c, n);
    case SN_RE_REPEAT:
        return put_repeat(c, n);
    case SN_RE_AHEAD:
    case SN_RE_BEHIND:
        return put_far(c, n);
    case SN_RE_GROUP: /* of Python alone */
    case SN_RE_BEGIN:
        break;
    }
    return SN_EINTERNAL;
}

/* ---- classes ------------------------------------------------------------------------------------------ */

typedef struct Border { /* a set begins or ends here */
    uint32_t at, set;
} Border;

static int by_place(const void *x, const void *y)
{
    const Border *a = x, *b = y;
    return a->at < b->at ? -1 : a->at > b->at;
}

static SnStatus class_of(Compiler *c, uint64_t sets, uint8_t *out)
{
    uint32_t i = 1;
    while (i < c->nclass && c->class[i].sets != sets)
        i++;
    SN_CHECK(i < MAX_CLASSES, c->err, SN_EUNSUPPORTED, "pattern: more than %d classes of characters",
             MAX_CLASSES);
    c->nclass += i == c->nclass;
    c->class[i] = (Class){.sets = sets};
    *out = (uint8_t)i;
    return SN_OK;
}

/* The block of these classes, shared with an equal one. */
static void put_block(SnDraftRegex *r, uint32_t place, const uint8_t class[BLOCK])
{
    uint32_t i = r->nblock;
    while (i > 0 && memcmp(r->class + (size_t)BLOCK * (i - 1), class, BLOCK) != 0)
        i--;
    if (i == 0) {
        memcpy(r->class + (size_t)BLOCK * r->nblock, class, BLOCK);
        i = ++r->nblock;
    }
    r->block[place] = (uint16_t)(i - 1);
}

static SnStatus make_borders(Compiler *c, Border **out, size_t *n)
{
    size_t most = 1;
    for (uint32_t i = 0; i < c->nset; i++)
        most += 2 * (size_t)c->set[i]->n;
    Border *b = *out = sn_arena_array(c->a, most, sizeof *b);
    SN_CHECK(b != NULL, c->err, SN_ENOMEM, "no memory for a pattern");
    for (uint32_t i = 0; i < c->nset; i++) {
        for (uint32_t k = 0; k < c->set[i]->n; k++) {
            *b++ = (Border){c->set[i]->at[2 * k], i};
            *b++ = (Border){c->set[i]->at[2 * k + 1] + 1, i};
        }
    }
    *n = (size_t)(b - *out);
    qsort(*out, *n, sizeof *b, by_place);
    return SN_OK;
}

/* Keeps only the blocks that there are. */
static SnStatus keep_classes(Compiler *c, SnDraftRegex *r)
{
    const uint8_t *bytes = r->class;
    r->class = sn_arena_alloc(c->keep, (size_t)BLOCK * r->nblock);
    SN_CHECK(r->class != NULL, c->err, SN_ENOMEM, "no memory for a pattern");
    memcpy(r->class, bytes, (size_t)BLOCK * r->nblock);
    return SN_OK;
}

static SnStatus make_classes(Compiler *c, SnDraftRegex *r)
{
    Border *border = NULL;
    size_t n = 0, next = 0;
    uint64_t sets = 0;
    uint8_t class[BLOCK], now = 0;
    c->class[0].is_end = true;
    c->nclass = 1;
    r->class = sn_arena_alloc(c->a, (size_t)BLOCK * SN_TOK_BLOCKS);
    SN_CHECK(r->class != NULL, c->err, SN_ENOMEM, "no memory for a pattern");
    SN_TRY(make_borders(c, &border, &n));
    SN_TRY(class_of(c, 0, &now));
    for (uint32_t place = 0; place < SN_TOK_BLOCKS; place++) {
        const bool is_whole = next == n || border[next].at >= (place + 1) * BLOCK;
        if (is_whole && place > 0 && class[0] == now && memcmp(class, class + 1, BLOCK - 1) == 0) {
            r->block[place] = r->block[place - 1];
            continue;
        }
        for (uint32_t i = 0; i < BLOCK; i++) {
            bool is_new = false;
            for (; next < n && border[next].at <= place * BLOCK + i; next++, is_new = true)
                sets ^= (uint64_t)1 << border[next].set;
            if (is_new)
                SN_TRY(class_of(c, sets, &now));
            class[i] = now;
        }
        put_block(r, place, class);
    }
    return keep_classes(c, r);
}

/* ---- states ------------------------------------------------------------------------------------------- */

/* What is met on the way to the next character, of class `next`, lets a thread pass. */
static bool passes(const Compiler *c, const Code *k, const Class *next)
{
    if (k->op == FAR)
        return (next->looks >> k->x & 1) != c->look[k->x].node->inverts;
    return k->op != LOOK || (next->is_end ? k->ends : next->sets >> k->set & 1);
}

/* Where a GOTO from `at` leads: where that repeats what has read nothing, out of the loop. */
static uint32_t next_of_loop(const Compiler *c, uint32_t at, uint32_t to)
{
    if (to > at || c->visited[to] != c->stamp)
        return to;
    return c->code.at[to].x == to + 1 ? c->code.at[to].y : c->code.at[to].x;
}

/* Follows a thread up to the character that comes next; true: it matches. The threads that read that
 * character are added to the list; outside of looks those that a match is preferred to are not. */
static bool follow(Compiler *c, uint32_t at, const Class *next)
{
    bool matches = false;
    for (;; at++) {
        const Code *k = &c->code.at[at];
        if ((k->op != GOTO && c->visited[at] == c->stamp) || !passes(c, k, next))
            return matches;
        c->visited[at] = c->stamp;
        if (k->op == MATCH)
            return true;
        if (k->op == READ) {
            if (next->sets >> k->set & 1)
                c->thread[c->nthread++] = (uint16_t)(at + 1);
            return matches;
        }
        if (k->op == FORK)
            matches |= follow(c, k->x, next);
        if (matches && k->within == 0)
            return true;
        if (k->op == FORK || k->op == GOTO)
            at = (k->op == FORK ? k->y : next_of_loop(c, at, k->x)) - 1;
    }
}

static SnStatus state_of(Compiler *c, uint32_t *state)
{
    const SnBytes key = sn_bytes(c->thread, c->nthread * sizeof *c->thread);
    if (sn_map_get(&c->states, key, state))
        return SN_OK;
    uint16_t *copy = sn_arena_array(c->a, c->nthread, sizeof *copy);
    *state = (uint32_t)c->list.n;
    SN_CHECK(*state < MAX_STATES, c->err, SN_EUNSUPPORTED, "pattern: too large");
    SN_CHECK(copy != NULL, c->err, SN_ENOMEM, "no memory for a pattern");
    memcpy(copy, c->thread, key.n);
    SN_CHECK(sn_map_put(&c->states, sn_bytes(copy, key.n), *state) &&
                 sn_vec_push(c->memory, &c->list, sn_bytes(copy, key.n)),
             c->err, SN_ENOMEM, "no memory for a pattern");
    return SN_OK;
}

/* The threads that are alive after a character: some may have been reached twice, the first one counts. */
static void drop_twins(Compiler *c)
{
    uint32_t n = 0;
    c->stamp++;
    for (uint32_t i = 0; i < c->nthread; i++) {
        if (c->visited[c->thread[i]] == c->stamp)
            continue;
        c->visited[c->thread[i]] = c->stamp;
        c->thread[n++] = c->thread[i];
    }
    c->nthread = n;
}

static uint16_t thread_of(SnBytes list, size_t i)
{
    uint16_t at;
    memcpy(&at, list.at + i * sizeof at, sizeof at);
    return at;
}

typedef SnStatus EdgeFn(Compiler *c, uint32_t state, uint32_t class, uint32_t *out);

static SnStatus match_edge(Compiler *c, uint32_t state, uint32_t class, uint32_t *out)
{
    const SnBytes list = c->list.at[state];
    bool matches = false;
    uint32_t next = 0;
    c->stamp++;
    c->nthread = 0;
    for (size_t i = 0; i < list.n / sizeof(uint16_t) && !matches; i++)
        matches = follow(c, thread_of(list, i), &c->class[class]);
    drop_twins(c);
    if (c->nthread > 0) {
        SN_TRY(state_of(c, &next));
        next = (next + 1) * c->nclass;
    }
    *out = 2 * next + matches;
    return SN_OK;
}

/* Makes all states from the one of the threads that there are, and their edges; nclass zeros before these
 * where has_dead. */
static SnStatus make_states(Compiler *c, EdgeFn *make, bool has_dead, uint32_t **out, uint32_t *nstate)
{
    SN_VEC(uint32_t) edge = {0};
    uint32_t first;
    sn_map_clear(&c->states);
    sn_map_init(&c->states, c->memory);
    c->list.n = 0;
    SnStatus st = state_of(c, &first);
    for (uint32_t i = 0; i < c->nclass && has_dead && st == SN_OK; i++)
        st = sn_vec_push(c->memory, &edge, 0u) ? SN_OK : SN_ENOMEM;
    for (uint32_t s = 0; s < c->list.n && st == SN_OK; s++) {
        for (uint32_t class = 0; class < c->nclass && st == SN_OK; class ++) {
            uint32_t e = 0;
            st = make(c, s, class, &e);
            if (st == SN_OK && !sn_vec_push(c->memory, &edge, e))
                st = sn_fail(c->err, SN_ENOMEM, "no memory for a pattern");
        }
    }
    *out = sn_arena_array(c->keep, edge.n + 1, sizeof **out);
    if (st == SN_OK && *out == NULL)
        st = sn_fail(c->err, SN_ENOMEM, "no memory for a pattern");
    if (st == SN_OK)
        memcpy(*out, edge.at, edge.n * sizeof **out);
    sn_vec_clear(c->memory, &edge);
    *nstate = (uint32_t)c->list.n;
    return st;
}

/* ---- passes ------------------------------------------------------------------------------------------- */

/* To the state of the threads that there are, writing a class. */
static SnStatus pass_edge(Compiler *c, const Class *now, uint32_t *out)
{
    uint32_t i = 0, next;
    while (i < c->nmade && (c->made[i].sets != now->sets || c->made[i].looks != now->looks ||
                            c->made[i].is_end != now->is_end))
        i++;
    SN_CHECK(i < MAX_CLASSES, c->err, SN_EUNSUPPORTED, "pattern: more than %d classes of characters",
             MAX_CLASSES);
    c->made[i] = *now;
    c->nmade += i == c->nmade;
    SN_TRY(state_of(c, &next));
    *out = next * c->nclass << SN_TOK_PASS_BITS | i;
    return SN_OK;
}

static bool is_kind(const Compiler *c, uint32_t look, SnRegexKind kind)
{
    return c->look[look].node->kind == kind;
}

static int by_number(const void *x, const void *y)
{
    const uint16_t *a = x, *b = y;
    return *a - *b;
}

static SnStatus add_work(Compiler *c, uint32_t n)
{
    c->work += n;
    SN_CHECK(c->work < MAX_WORK, c->err, SN_EUNSUPPORTED, "pattern: too large");
    return SN_OK;
}

static SnStatus behind_edge(Compiler *c, uint32_t state, uint32_t class, uint32_t *out)
{
    const SnBytes list = c->list.at[state];
    Class now = c->class[class];
    c->stamp++;
    c->nthread = 0;
    for (uint32_t i = c->nlook; i-- > 0;) {
        if (!is_kind(c, i, SN_RE_BEHIND))
            continue;
        bool finds = follow(c, c->look[i].begin, &now);
        for (size_t k = 0; k < list.n / sizeof(uint16_t); k++)
            if (c->code.at[thread_of(list, k)].within == i + 1)
                finds |= follow(c, thread_of(list, k), &now);
        now.looks |= (uint32_t)finds << i;
    }
    SN_TRY(add_work(c, 32 * c->nthread));
    drop_twins(c);
    qsort(c->thread, c->nthread, sizeof *c->thread, by_number);
    return pass_edge(c, &now, out);
}

/* Does the text match from a place on, its next character being of class `next`? */
static bool matches_from(const Compiler *c, uint32_t at, const Class *next)
{
    const Code *k = &c->code.at[at];
    switch (k->op) {
    case READ:
        return (next->sets >> k->set & 1) && c->visited[at + 1] == c->stamp;
    case FORK:
        return c->is_true[k->x] || c->is_true[k->y];
    case GOTO:
        return c->is_true[k->x];
    case LOOK:
    case FAR:
        return passes(c, k, next) && c->is_true[at + 1];
    case MATCH:
        break;
    }
    return true;
}

static SnStatus ahead_edge(Compiler *c, uint32_t state, uint32_t class, uint32_t *out)
{
    const SnBytes list = c->list.at[state];
    Class now = c->class[class];
    c->stamp++;
    c->nthread = 0;
    for (size_t i = 0; i < list.n / sizeof(uint16_t); i++)
        c->visited[thread_of(list, i)] = c->stamp;
    memset(c->is_true, 0, c->code.n * sizeof *c->is_true);
    for (uint32_t i = c->nlook; i-- > 0;) {
        const Look *k = &c->look[i];
        for (bool changes = is_kind(c, i, SN_RE_AHEAD); changes;) {
            changes = false;
            SN_TRY(add_work(c, k->end - k->begin));
            for (uint32_t at = k->end; at-- > k->begin;)
                if (c->code.at[at].within == i + 1 && !c->is_true[at] && matches_from(c, at, &now))
                    c->is_true[at] = changes = true;
        }
        now.looks |= (uint32_t)c->is_true[k->begin] << i;
    }
    for (uint32_t at = 1; at < c->code.n; at++)
        if (c->is_true[at] && c->code.at[at - 1].op == READ)
            c->thread[c->nthread++] = (uint16_t)at;
    return pass_edge(c, &now, out);
}

/* From now on classes are those that a pass makes. */
static SnStatus make_pass(Compiler *c, SnDraftRegex *r, int i, EdgeFn *make)
{
    c->nthread = c->nmade = 0;
    SN_TRY(make_states(c, make, false, &r->pass[i].edge, &r->pass[i].nstate));
    r->pass[i].nclass = c->nclass;
    memcpy(c->class, c->made, sizeof c->made);
    c->nclass = c->nmade;
    return SN_OK;
}

/* ---- scripts ------------------------------------------------------------------------------------------ */

/* A class and a state for each script: a match is of one script, and of what has none behind it. */
static SnStatus make_scripts(Compiler *c, SnDraftRegex *r)
{
    const uint32_t nkind = sn_regex_split_kinds, n = nkind + 1;
    uint8_t class[BLOCK];
    r->nclass = n;
    r->nstate = nkind;
    r->edge = sn_arena_array(c->keep, (size_t)n * (1 + nkind), sizeof *r->edge);
    r->class = sn_arena_alloc(c->a, (size_t)BLOCK * SN_TOK_BLOCKS);
    SN_CHECK(r->edge != NULL && r->class != NULL, c->err, SN_ENOMEM, "no memory for a pattern");
    for (uint32_t cp = 0, i = 0; cp <= LAST; cp++) {
        while (i + 1 < sn_regex_nsplit_script && cp >= sn_regex_split_scripts[i + 1] >> 8)
            i++;
        class[cp % BLOCK] = (uint8_t)(1 + (sn_regex_split_scripts[i] & 0xFF));
        if (cp % BLOCK == BLOCK - 1)
            put_block(r, cp / BLOCK, class);
    }
    for (uint32_t state = 0; state < nkind; state++) { /* of script `state`; 0: the first one */
        uint32_t *edge = r->edge + (size_t)n * (1 + state);
        for (uint32_t k = 0; k < n; k++) {
            const bool stays = state > 0 && (k == 1 || k == state + 1), begins = state == 0 && k > 1;
            edge[k] = stays ? 2 * n * (1 + state) : begins ? 2 * n * k : state > 0;
        }
    }
    return keep_classes(c, r);
}

/* ---- patterns ----------------------------------------------------------------------------------------- */

/* The characters of a text, one after the other. */
static SnStatus literal(SnArena *a, SnBytes text, SnRegexNode **out, SnError *err)
{
    SnReader r = sn_reader(text);
    SnRegexNode *all = sn_arena_alloc(a, sizeof *all), **end = all != NULL ? &all->child : NULL;
    SN_CHECK(sn_utf8_valid(text), err, SN_EFORMAT, "pattern: not UTF-8");
    while (r.left > 0 && end != NULL) {
        *end = sn_arena_alloc(a, sizeof **end);
        const uint32_t cp = sn_read_utf8(&r);
        if (*end != NULL)
            sn_set_add(a, &(*end)->set, cp, cp);
        end = *end != NULL ? &(*end)->next : NULL;
    }
    SN_CHECK(end != NULL, err, SN_ENOMEM, "no memory for a pattern");
    all->kind = SN_RE_ALL;
    *out = all;
    return SN_OK;
}

static SnStatus compile(Compiler *c, SnDraftRegex *r)
{
    SnRegexNode *tree;
    uint32_t at;
    if (r->kind == SN_PATTERN_SCRIPTS)
        return make_scripts(c, r);
    if (r->kind == SN_PATTERN_TEXT)
        SN_TRY(literal(c->a, r->pattern, &tree, c->err));
    else
        SN_TRY(sn_regex_parse(c->a, r->pattern, &tree, c->err));
    SN_TRY(put_node(c, tree));
    SN_TRY(put(c, (Code){.op = MATCH}, &at));
    SN_CHECK(
        c->nlook == 0 || r->kind == SN_PATTERN_SPLIT, c->err, SN_EUNSUPPORTED,
        "pattern: look-behind, and look-ahead of more than one character, where no text is split, is not "
        "supported");
    SN_TRY(make_classes(c, r));
    c->visited = sn_arena_array(c->a, c->code.n + 1, sizeof *c->visited);
    c->thread = sn_arena_array(c->a, c->code.n + 1, sizeof *c->thread);
    c->is_true = sn_arena_array(c->a, c->code.n, sizeof *c->is_true);
    SN_CHECK(c->visited != NULL && c->thread != NULL && c->is_true != NULL, c->err, SN_ENOMEM,
             "no memory for a pattern");
    if (c->nlook > 0) {
        SN_TRY(make_pass(c, r, 0, behind_edge));
        SN_TRY(make_pass(c, r, 1, ahead_edge));
    }
    c->thread[0] = 0;
    c->nthread = 1;
    SN_TRY(make_states(c, match_edge, true, &r->edge, &r->nstate));
    r->nclass = c->nclass;
    if (c->nlook > 0)
        return SN_OK;
    const SnRegexDfa dfa = {r->edge, r->class, (size_t)BLOCK * r->nblock, r->nclass, r->nstate};
    return sn_regex_walk(c->a, c->keep, &dfa, &r->walk, &r->nwalk, &r->npair, c->err);
}

SnStatus sn_draft_add_regex(SnTokDraft *d, SnBytes pattern, SnPatternKind kind, uint32_t *index, SnError *err)
{
    SnDraftRegex **end = &d->regexes, *r;
    SnArena work;
    for (; (r = *end) != NULL; end = &r->next) {
        *index = r->index;
        if (r->kind == kind && sn_bytes_equal(r->pattern, pattern))
            return SN_OK;
    }
    SN_CHECK(d->nregex < SN_TOK_REGEXES, err, SN_EUNSUPPORTED, "more than %u patterns", SN_TOK_REGEXES);
    SN_CHECK(pattern.n < 1 << 13, err, SN_EUNSUPPORTED, "a pattern of %zu bytes", pattern.n);
    r = sn_arena_alloc(d->arena, sizeof *r);
    SN_CHECK(r != NULL, err, SN_ENOMEM, "no memory for a pattern");
    *r = (SnDraftRegex){.pattern = pattern, .kind = kind, .index = d->nregex};
    sn_arena_init(&work, d->arena->memory);
    Compiler c = {.memory = work.memory, .a = &work, .keep = d->arena, .err = err};
    sn_map_init(&c.states, c.memory);
    const SnStatus st = compile(&c, r);
    sn_vec_clear(c.memory, &c.code);
    sn_vec_clear(c.memory, &c.list);
    sn_map_clear(&c.states);
    sn_arena_clear(&work);
    *index = d->nregex;
    if (st == SN_OK) {
        d->nregex++;
        *end = r;
    }
    return st;
}

/* ---- writing ------------------------------------------------------------------------------------------ */

void sn_draft_regex_sizes(const SnTokDraft *d, size_t count[SN_TOK_NSECTION])
{
    for (const SnDraftRegex *r = d->regexes; r != NULL; r = r->next) {
        for (int i = 0; i < 2; i++)
            count[SN_TOK_EDGE] += (size_t)r->pass[i].nclass * r->pass[i].nstate;
        count[SN_TOK_REGEX]++;
        count[SN_TOK_BLOCK] += SN_TOK_BLOCKS;
        count[SN_TOK_CLASS] += (size_t)BLOCK * r->nblock;
        count[SN_TOK_EDGE] += (size_t)r->nclass * (1 + r->nstate + r->nwalk) + (size_t)r->npair * r->nwalk;
    }
}

void sn_draft_put_regexes(const SnTokDraft *d, SnTokRegex *regex, uint16_t *block, uint8_t *class,
                          uint32_t *edge)
{
    uint32_t blocks = 0, classes = 0, edges = 0;
    for (const SnDraftRegex *r = d->regexes; r != NULL; r = r->next) {
        const struct {
            const uint32_t *at;
            uint32_t n;
        } part[] = {{r->edge, r->nclass * (1 + r->nstate)},
                    {r->walk, (r->nclass + r->npair) * r->nwalk},
                    {r->pass[0].edge, r->pass[0].nclass * r->pass[0].nstate},
                    {r->pass[1].edge, r->pass[1].nclass * r->pass[1].nstate}};
        const uint32_t walks = edges + part[0].n, passes = walks + part[1].n;
        *regex++ = (SnTokRegex){.blocks = blocks,
                                .classes = classes,
                                .nblock = r->nblock,
                                .edges = edges,
                                .nstate = r->nstate,
                                .walks = walks,
                                .nwalk = r->nwalk,
                                .pairs = walks + r->nclass * r->nwalk,
                                .npair = r->npair,
                                .nclass = r->nclass,
                                .passes = passes,
                                .nbehind = r->pass[0].nstate,
                                .nread = r->pass[0].nclass,
                                .nahead = r->pass[1].nstate,
                                .nmiddle = r->pass[1].nclass};
        memcpy(block + blocks, r->block, sizeof r->block);
        memcpy(class + classes, r->class, (size_t)BLOCK * r->nblock);
        for (size_t i = 0; i < SN_COUNT(part); edges += part[i++].n)
            if (part[i].n > 0)
                memcpy(edge + edges, part[i].at, part[i].n * sizeof *edge);
        blocks += SN_TOK_BLOCKS;
        classes += BLOCK * r->nblock;
    }
}
