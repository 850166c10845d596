/* run.h -- a template being rendered, and what the files of the engine do for each other.
 *
 * Functions that can fail set the run's error. Values are passed by value; what they point to is never
 * written again, but for namespaces, cyclers, joiners, iterators and loops. */
#ifndef SN_JINJA_RUN_H
#define SN_JINJA_RUN_H

#include "frontends/jinja/node.h"
#include "frontends/jinja/text.h"

#define SN_JI_MAX_NAMES 4096
#define SN_JI_MAX_DEPTH 600
#define SN_JI_MAX_RANGE 100000
#define SN_JI_MAX_BITS  32768 /* of an integer */

typedef struct SnJiMark {
    size_t begin;
    uint32_t level; /* 0: what the caller gets */
} SnJiMark;

struct SnJiRun {
    const SnJinja *t;
    const SnJinjaRender *o;
    SnArena arena;
    const SnAllocator *memory;
    SnText *text; /* all that is being written: what the caller gets, and behind it texts that are not done */
    SnJiMark at;  /* where the one begins that is written now */
    SnJiValue *global; /* by name: what the caller and the language define */
    SnJiScope *top;
    uint64_t steps, random; /* left; the state of what is random */
    size_t max_memory, max_size;
    size_t root_end, root_seen; /* of what the caller gets */
    uint64_t root_codes;        /* code points up to root_seen */
    uint32_t depth, line;
    bool folds;   /* in a constant, where a slice of what has none is undefined */
    bool is_late; /* the error may be kept for later: it is not about limits */
    SnError *err;
};

/* ---- errors and limits (value.c) ---- */
SnStatus sn_ji_fail(SnJiRun *r, const char *format, ...) SN_PRINTF(2, 3);
SnStatus sn_ji_stop(SnJiRun *r, SnStatus code, const char *what); /* a limit */
SnStatus sn_ji_no_memory(SnJiRun *r);
SN_MUST_CHECK SnStatus sn_ji_spend(SnJiRun *r, uint64_t steps);
SN_MUST_CHECK SnStatus sn_ji_down(SnJiRun *r); /* one level of recursion; r->depth-- goes back */

/* ---- making values ---- */
static const SnJiValue sn_ji_none = {.kind = SN_JI_NONE};
static inline SnJiValue sn_ji_bool(bool v)
{
    return (SnJiValue){.kind = SN_JI_BOOL, .u = {.boolean = v}};
}
static inline SnJiValue sn_ji_int(int64_t v)
{
    return (SnJiValue){.kind = SN_JI_INT, .u = {.integer = v}};
}
static inline SnJiValue sn_ji_float(double v)
{
    return (SnJiValue){.kind = SN_JI_FLOAT, .u = {.number = v}};
}
SnJiValue sn_ji_text_value(const char *at, size_t n); /* borrows; n is below 2^32 */
static inline SnJiValue sn_ji_literal(const char *s)
{
    return sn_ji_text_value(s, strlen(s));
}
SN_MUST_CHECK SnStatus sn_ji_copy(SnJiRun *r, const char *at, size_t n, SnJiValue *out);
/* What is written goes behind the last text that was begun, and the last one is taken first. After an error
 * nothing need be taken: it ends the run, or sn_ji_late goes back. */
SnJiMark sn_ji_begin(SnJiRun *r);
SN_MUST_CHECK SnStatus sn_ji_take(SnJiRun *r, SnJiMark outer, SnJiValue *out);
void sn_ji_add(SnJiRun *r, const char *at, size_t n); /* within the limits; sticky */
void sn_ji_say(SnJiRun *r, const char *s);
void sn_ji_fill(SnJiRun *r, const char *at, size_t n, int64_t count); /* count times */
void sn_ji_add_code(SnJiRun *r, uint32_t cp);
/* Errors that are met when a generator is gone through. sn_ji_late keeps st as one, if it is an error that
 * may be kept, and goes back to a state; sn_ji_meet is the error again. */
typedef struct SnJiState {
    SnJiMark at;
    size_t n;
    uint32_t depth;
    bool failed;
} SnJiState;
SnJiState sn_ji_state(SnJiRun *r);
SN_MUST_CHECK SnStatus sn_ji_late(SnJiRun *r, SnStatus st, const SnJiState *from, SnError **late);
SnStatus sn_ji_meet(SnJiRun *r, const SnError *late);
SN_MUST_CHECK SnStatus sn_ji_undefined(SnJiRun *r, SnJiValue *out, const char *format, ...) SN_PRINTF(3, 4);
SN_MUST_CHECK SnStatus sn_ji_list(SnJiRun *r, SnJiKind kind, size_t cap, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_append(SnJiRun *r, SnJiValue list, SnJiValue item);
SN_MUST_CHECK SnStatus sn_ji_pair(SnJiRun *r, SnJiValue a, SnJiValue b, SnJiValue *out); /* a tuple */
SN_MUST_CHECK SnStatus sn_ji_iter(SnJiRun *r, const char *type, SnJiValue list, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_dict(SnJiRun *r, SnJiKind kind, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_dict_set(SnJiRun *r, SnJiDict *d, SnJiValue key, SnJiValue value);
SN_MUST_CHECK SnStatus sn_ji_dict_find(SnJiRun *r, const SnJiDict *d, SnJiValue key, SnJiPair **out);
SN_MUST_CHECK SnStatus sn_ji_hashable(SnJiRun *r, SnJiValue v); /* fails where it cannot be a key */
SnJiPair *sn_ji_dict_get(const SnJiDict *d, SnBytes key);
SN_MUST_CHECK SnStatus sn_ji_from_json(SnJiRun *r, const SnJson *v, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_function(SnJiRun *r, const SnJiRow *row, SnJiValue self, SnJiValue *out);

/* ---- looking at values ---- */
const char *sn_ji_type(SnJiValue v); /* as Python calls it */
bool sn_ji_truth(SnJiValue v);
static inline SnBytes sn_ji_bytes(SnJiValue v)
{
    return sn_bytes(v.u.text.at, v.u.text.n);
}
static inline bool sn_ji_is_int(SnJiValue v) /* of 64 bits; or bool, which is one */
{
    return v.kind == SN_JI_INT || v.kind == SN_JI_BOOL;
}
static inline int64_t sn_ji_integer(SnJiValue v)
{
    return v.kind == SN_JI_BOOL ? v.u.boolean : v.u.integer;
}
static inline bool sn_ji_is_whole(SnJiValue v) /* int of Python */
{
    return sn_ji_is_int(v) || v.kind == SN_JI_BIG;
}
static inline bool sn_ji_is_number(SnJiValue v)
{
    return sn_ji_is_whole(v) || v.kind == SN_JI_FLOAT;
}
static inline double sn_ji_number(SnJiValue v) /* not BIG */
{
    return v.kind == SN_JI_FLOAT ? v.u.number : (double)sn_ji_integer(v);
}
static inline bool sn_ji_is_text(SnJiValue v, const char *s)
{
    return v.kind == SN_JI_STRING && sn_bytes_is(sn_ji_bytes(v), s);
}
SN_MUST_CHECK SnStatus sn_ji_defined(SnJiRun *r, SnJiValue v); /* fails as using it would */
SN_MUST_CHECK SnStatus sn_ji_equal(SnJiRun *r, SnJiValue a, SnJiValue b, bool *out);
SN_MUST_CHECK SnStatus sn_ji_order(SnJiRun *r, SnJiOp op, SnJiValue a, SnJiValue b, bool *out);
SN_MUST_CHECK SnStatus sn_ji_contains(SnJiRun *r, SnJiValue item, SnJiValue in, bool *out);
SN_MUST_CHECK SnStatus sn_ji_length(SnJiRun *r, SnJiValue v, size_t *out);
typedef struct SnJiItems {
    const SnJiValue *at;
    size_t n;
} SnJiItems;
/* All that iterating gives, lent. Iterators are used up. */
SN_MUST_CHECK SnStatus sn_ji_items(SnJiRun *r, SnJiValue v, SnJiItems *out);
bool sn_ji_is_iterable(SnJiValue v);
static inline SnJiValue sn_ji_range_at(const SnJiRange *g, size_t i)
{
    return sn_ji_int(g->start + (int64_t)i * g->step);
}
/* str() and repr() */
SN_MUST_CHECK SnStatus sn_ji_put(SnJiRun *r, SnJiValue v);
SN_MUST_CHECK SnStatus sn_ji_put_repr(SnJiRun *r, SnJiValue v);
SN_MUST_CHECK SnStatus sn_ji_repr(SnJiRun *r, SnJiValue v, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_str(SnJiRun *r, SnJiValue v, SnJiValue *out); /* a STRING; keeps Markup */
void sn_ji_reverse(SnJiValue *at, size_t n);
/* Sorts item (n of them) by key, stably, as sorted() of Python; both are permuted. */
SN_MUST_CHECK SnStatus sn_ji_sort(SnJiRun *r, SnJiValue *key, SnJiValue *item, size_t n, bool reverse);

/* ---- numbers (number.c) ---- */
SN_MUST_CHECK SnStatus sn_ji_math(SnJiRun *r, SnJiOp op, SnJiValue a, SnJiValue b, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_sign(SnJiRun *r, bool negates, SnJiValue v, SnJiValue *out);
void sn_ji_put_float(SnJiRun *r, double v);
/* -1, 0, 1; 2: a NaN, or no memory. */
int sn_ji_compare_numbers(SnJiRun *r, SnJiValue a, SnJiValue b);
SN_MUST_CHECK SnStatus sn_ji_parse_int(SnJiRun *r, SnJiText s, int base, SnJiValue *out); /* MISSING: none */
bool sn_ji_parse_float(SnJiText s, double *out);

/* ---- whole numbers of any size (big.c) ---- */
SN_MUST_CHECK SnStatus sn_ji_whole_math(SnJiRun *r, SnJiOp op, SnJiValue a, SnJiValue b, SnJiValue *out);
int sn_ji_compare_wholes(SnJiValue a, SnJiValue b);
int64_t sn_ji_whole_bits(SnJiValue v, int64_t *ones); /* of its size; ones: those that are set */
double sn_ji_big_float(SnArena *arena, SnJiValue v);  /* the nearest, perhaps infinite; NaN: no memory */
SN_MUST_CHECK SnStatus sn_ji_to_float(SnJiRun *r, SnJiValue v, double *out);   /* of a number */
SN_MUST_CHECK SnStatus sn_ji_from_float(SnJiRun *r, double v, SnJiValue *out); /* finite; cut to whole */
/* Without a sign. */
SN_MUST_CHECK SnStatus sn_ji_put_digits(SnJiRun *r, SnJiValue v, unsigned base);
/* Digits of the base, and _. NULL: done, or what was wrong. */
const char *sn_ji_parse_digits(SnArena *arena, SnBytes text, unsigned base, bool is_negative, SnJiValue *out);

/* ---- texts (string.c, format.c, json.c) ---- */
const SnJiRow *sn_ji_method(SnJiKind kind, SnBytes name);
SN_MUST_CHECK SnStatus sn_ji_case(SnJiRun *r, SnJiText s, SnJiCase to, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_fold(SnJiRun *r, SnJiText s, SnJiValue *out); /* casefold() */
typedef enum SnJiMixedCase { SN_JI_TITLE_CASE, SN_JI_CAPITALIZE, SN_JI_SWAP_CASE } SnJiMixedCase;
SN_MUST_CHECK SnStatus sn_ji_mixed_case(SnJiRun *r, SnJiText s, SnJiMixedCase form, SnJiValue *out);
/* Bytes; SIZE_MAX: nowhere, or there are no steps left. */
size_t sn_ji_find_text(SnJiRun *r, SnJiText s, SnJiText what, size_t from, size_t to);
size_t sn_ji_find_last(SnJiRun *r, SnJiText s, SnJiText what, size_t from, size_t to);
size_t sn_ji_byte_of(SnJiText s, size_t index); /* where a code point begins */
SN_MUST_CHECK SnStatus sn_ji_slice_text(SnJiRun *r, SnJiValue s, int64_t begin, int64_t n, int64_t step,
                                        SnJiValue *out);
SnJiText sn_ji_strip(SnJiText s, const SnJiText *chars, int sides); /* 1: left, 2: right */
SN_MUST_CHECK SnStatus sn_ji_split_lines(SnJiRun *r, SnJiText s, bool keeps_ends, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_replace(SnJiRun *r, SnJiText s, SnJiText from, SnJiText to, int64_t most,
                                     SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_escape(SnJiRun *r, SnJiValue v, SnJiValue *out); /* to Markup */
SN_MUST_CHECK SnStatus sn_ji_percent(SnJiRun *r, SnJiValue format, SnJiValue values, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_format(SnJiRun *r, SnJiValue format, const SnJiArgs *a, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_format_number(SnJiRun *r, double v, char kind, int precision, bool alternate);
SN_MUST_CHECK SnStatus sn_ji_to_json(SnJiCall *c, SnJiValue *out);

/* ---- links, and what is random (urlize.c, random.c) ---- */
SN_MUST_CHECK SnStatus sn_ji_urlize(SnJiCall *c, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_random(SnJiCall *c, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_lipsum(SnJiCall *c, SnJiValue *out);

/* ---- filters over lines (wrap.c) ---- */
SN_MUST_CHECK SnStatus sn_ji_wordwrap(SnJiCall *c, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_pprint(SnJiCall *c, SnJiValue *out);

/* ---- tables ---- */
const SnJiRow *sn_ji_filter(SnBytes name); /* NULL: none */
const SnJiRow *sn_ji_test(SnBytes name);
extern const SnJiRow sn_ji_globals[], sn_ji_filters[], sn_ji_text_filters[], sn_ji_tests[];
const SnJiRow *sn_ji_find(const SnJiRow *rows, SnBytes name);

/* ---- expressions (eval.c) ---- */
SN_MUST_CHECK SnStatus sn_ji_eval(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_attr(SnJiRun *r, SnJiValue v, SnBytes name, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_item(SnJiRun *r, SnJiValue v, SnJiValue key, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_call(SnJiRun *r, SnJiValue callee, const SnJiArgs *a, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_call_row(SnJiRun *r, const SnJiRow *row, SnJiValue self, const SnJiArgs *a,
                                      SnJiValue *out);
/* piped: what a filter without an operand filters. */
SN_MUST_CHECK SnStatus sn_ji_eval_filters(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiValue piped,
                                          SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_eval_args(SnJiRun *r, SnJiScope *s, const SnJiNode *call, SnJiArgs *out);

/* ---- scopes, macros, loops (render.c, loop.c) ---- */
struct SnJiScope {
    SnJiScope *parent; /* NULL: the top */
    SnJiValue *at;     /* top: by name; else n of them */
    uint32_t *name;
    uint32_t n, cap;
    bool is_kept; /* a macro was defined here */
};
SN_MUST_CHECK SnStatus sn_ji_scope(SnJiRun *r, SnJiScope *parent, SnJiScope **out);
SN_MUST_CHECK SnStatus sn_ji_set(SnJiRun *r, SnJiScope *s, uint32_t name, SnJiValue v);
SnJiValue sn_ji_get(const SnJiRun *r, const SnJiScope *s, uint32_t name); /* MISSING: nowhere */

struct SnJiMacro {
    const SnJiNode *node, *body;
    SnJiScope *scope;
    const char *name; /* NULL: caller */
};
SN_MUST_CHECK SnStatus sn_ji_call_macro(SnJiRun *r, const SnJiMacro *m, const SnJiArgs *a, SnJiValue *out);

struct SnJiLoop {
    const SnJiNode *node;
    SnJiScope *outer;
    const SnJiValue *at; /* NULL: a range, or an iterator */
    SnJiRange range;
    SnJiIter *iter;
    size_t n, pos;                    /* taken */
    bool is_sized, is_tested;         /* len() of what is iterated is n; the loop has a test */
    SnJiValue after, current, before; /* after: looked at, not reached */
    SnJiValue changed;                /* the last arguments of changed() */
    int64_t index0;
    int64_t length; /* -1: not counted */
    int64_t depth0;
};
SN_MUST_CHECK SnStatus sn_ji_loop_attr(SnJiRun *r, SnJiLoop *l, SnBytes name, SnJiValue *out);
SN_MUST_CHECK SnStatus sn_ji_call_loop(SnJiRun *r, const SnJiLoop *l, const SnJiArgs *a, SnJiValue *out);

/* ---- statements (render.c) ---- */
typedef enum SnJiJump { SN_JI_GO_ON, SN_JI_BREAK, SN_JI_CONTINUE } SnJiJump;
SN_MUST_CHECK SnStatus sn_ji_exec(SnJiRun *r, SnJiScope *s, const SnJiNode *body, SnJiJump *jump);
SN_MUST_CHECK SnStatus sn_ji_exec_for(SnJiRun *r, SnJiScope *s, const SnJiNode *e, SnJiJump *jump);
SN_MUST_CHECK SnStatus sn_ji_assign(SnJiRun *r, SnJiScope *s, const SnJiNode *target, SnJiValue v);

#endif
