/* tests.c -- tests (`is`), and the functions that every template has. */
#include "frontends/jinja/run.h"

#include <time.h>

/* ---- tests ---- */

static SnStatus parity(SnJiCall *c, SnJiValue *out)
{
    bool is_equal = false;
    SnJiValue rest;
    const bool divides = c->v[0].kind != SN_JI_MISSING;
    SN_TRY(sn_ji_math(c->run, SN_JI_OP_MOD, c->self, divides ? c->v[0] : sn_ji_int(2), &rest));
    SN_TRY(sn_ji_equal(c->run, rest, sn_ji_int(c->row->how), &is_equal));
    *out = sn_ji_bool(is_equal);
    return SN_OK;
}

/* Is it of one of the kinds? */
static SnStatus kind_test(SnJiCall *c, SnJiValue *out)
{
    *out = sn_ji_bool(c->row->how >> c->self.kind & 1);
    return SN_OK;
}

static SnStatus bool_test(SnJiCall *c, SnJiValue *out)
{
    *out = sn_ji_bool(c->self.kind == SN_JI_BOOL && c->self.u.boolean == c->row->how);
    return SN_OK;
}

static SnStatus escaped_test(SnJiCall *c, SnJiValue *out)
{
    *out = sn_ji_bool(c->self.is_safe);
    return SN_OK;
}

static SnStatus row_test(SnJiCall *c, SnJiValue *out)
{
    const SnJiValue v = c->self;
    SN_TRY(sn_ji_hashable(c->run, v));
    *out = sn_ji_bool(v.kind == SN_JI_STRING &&
                      (c->row->how ? sn_ji_test : sn_ji_filter)(sn_ji_bytes(v)) != NULL);
    return SN_OK;
}

static SnStatus case_test(SnJiCall *c, SnJiValue *out)
{
    SnJiValue text;
    const SnJiArgs none = {0};
    const SnBytes method = sn_bytes_str(c->row->how ? "islower" : "isupper");
    SN_TRY(sn_ji_str(c->run, c->self, &text));
    return sn_ji_call_row(c->run, sn_ji_method(SN_JI_STRING, method), text, &none, out);
}

static SnStatus in_test(SnJiCall *c, SnJiValue *out)
{
    bool is_in = false;
    SN_TRY(sn_ji_contains(c->run, c->self, c->v[0], &is_in));
    *out = sn_ji_bool(is_in);
    return SN_OK;
}

/* Small integers and single characters are the same object wherever they come from. */
static SnStatus same_test(SnJiCall *c, SnJiValue *out)
{
    const SnJiValue a = c->self, b = c->v[0];
    bool is_same = a.kind == b.kind;
    if (is_same && a.kind == SN_JI_STRING)
        is_same = a.u.text.n == b.u.text.n &&
                  (a.u.text.at == b.u.text.at ||
                   (a.u.text.n < 2 && memcmp(a.u.text.at, b.u.text.at, a.u.text.n) == 0));
    else if (is_same && a.kind == SN_JI_BOOL)
        is_same = a.u.boolean == b.u.boolean;
    else if (is_same && a.kind == SN_JI_INT)
        is_same = a.u.integer == b.u.integer;
    else if (is_same && a.kind == SN_JI_FLOAT)
        is_same = memcmp(&a.u.number, &b.u.number, sizeof a.u.number) == 0;
    else if (is_same && a.kind > SN_JI_STRING)
        is_same = a.u.list == b.u.list;
    *out = sn_ji_bool(is_same);
    return SN_OK;
}

static SnStatus order_test(SnJiCall *c, SnJiValue *out)
{
    bool v = false;
    SN_TRY(sn_ji_order(c->run, (SnJiOp)c->row->how, c->self, c->v[0], &v));
    *out = sn_ji_bool(v);
    return SN_OK;
}

static SnStatus equal_test(SnJiCall *c, SnJiValue *out)
{
    bool is_equal = false;
    SN_TRY(sn_ji_equal(c->run, c->self, c->v[0], &is_equal));
    *out = sn_ji_bool(is_equal == (c->row->how == SN_JI_OP_EQ));
    return SN_OK;
}

#define KIND(k) (1u << SN_JI_##k)
#define WHOLES  (KIND(INT) | KIND(BIG))
#define NUMBERS (WHOLES | KIND(BOOL) | KIND(FLOAT))
/* What is undefined is an empty sequence, and may be called: that fails. */
#define SEQUENCES (KIND(UNDEFINED) | KIND(STRING) | KIND(LIST) | KIND(TUPLE) | KIND(DICT) | KIND(RANGE))
#define ITERABLES (SEQUENCES | KIND(VIEW) | KIND(ITER) | KIND(LOOP))
#define CALLABLES (KIND(UNDEFINED) | KIND(LOOP) | KIND(MACRO) | KIND(FUNCTION) | KIND(JOINER))

const SnJiRow sn_ji_tests[] = {
    {"odd", parity, "", 1},
    {"even", parity, "", 0},
    {"divisibleby", parity, "num", 0},
    {"defined", kind_test, "", ~KIND(UNDEFINED)},
    {"undefined", kind_test, "", KIND(UNDEFINED)},
    {"none", kind_test, "", KIND(NONE)},
    {"boolean", kind_test, "", KIND(BOOL)},
    {"true", bool_test, "", true},
    {"false", bool_test, "", false},
    {"integer", kind_test, "", WHOLES},
    {"float", kind_test, "", KIND(FLOAT)},
    {"number", kind_test, "", NUMBERS},
    {"string", kind_test, "", KIND(STRING)},
    {"mapping", kind_test, "", KIND(DICT)},
    {"sequence", kind_test, "", SEQUENCES},
    {"iterable", kind_test, "", ITERABLES},
    {"callable", kind_test, "", CALLABLES},
    {"escaped", escaped_test, ""},
    {"filter", row_test, "", false},
    {"test", row_test, "", true},
    {"lower", case_test, "", true},
    {"upper", case_test, "", false},
    {"in", in_test, "seq"},
    {"sameas", same_test, "other"},
    {"==", equal_test, "other", SN_JI_OP_EQ},
    {"eq", equal_test, "other", SN_JI_OP_EQ},
    {"equalto", equal_test, "other", SN_JI_OP_EQ},
    {"!=", equal_test, "other", SN_JI_OP_NE},
    {"ne", equal_test, "other", SN_JI_OP_NE},
    {">", order_test, "other", SN_JI_OP_GT},
    {"gt", order_test, "other", SN_JI_OP_GT},
    {"greaterthan", order_test, "other", SN_JI_OP_GT},
    {">=", order_test, "other", SN_JI_OP_GE},
    {"ge", order_test, "other", SN_JI_OP_GE},
    {"<", order_test, "other", SN_JI_OP_LT},
    {"lt", order_test, "other", SN_JI_OP_LT},
    {"lessthan", order_test, "other", SN_JI_OP_LT},
    {"<=", order_test, "other", SN_JI_OP_LE},
    {"le", order_test, "other", SN_JI_OP_LE},
    {0},
};

const SnJiRow *sn_ji_test(SnBytes name)
{
    return sn_ji_find(sn_ji_tests, name);
}

/* ---- functions ---- */

static SnStatus range(SnJiCall *c, SnJiValue *out)
{
    int64_t part[] = {c->v[0].u.integer, c->v[1].u.integer, c->v[2].u.integer};
    if (c->v[1].kind == SN_JI_MISSING) {
        part[1] = part[0];
        part[0] = 0;
    }
    if (part[2] == 0)
        return sn_ji_fail(c->run, "range() arg 3 must not be zero");
    const bool is_back = part[2] < 0;
    const uint64_t step = is_back ? (uint64_t)0 - (uint64_t)part[2] : (uint64_t)part[2];
    const bool is_empty = is_back ? part[0] <= part[1] : part[0] >= part[1];
    const uint64_t span =
        is_back ? (uint64_t)part[0] - (uint64_t)part[1] : (uint64_t)part[1] - (uint64_t)part[0];
    const uint64_t n = is_empty ? 0 : (span - 1) / step + 1;
    if (n > SN_JI_MAX_RANGE)
        return sn_ji_fail(c->run, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                          SN_JI_MAX_RANGE);
    SnJiRange *g = sn_arena_alloc(&c->run->arena, sizeof *g);
    if (!g)
        return sn_ji_no_memory(c->run);
    *g = (SnJiRange){part[0], part[1], part[2], (size_t)n};
    *out = (SnJiValue){.kind = SN_JI_RANGE, .u = {.range = g}};
    return SN_OK;
}

/* dict(mapping or pairs, name=value ...); namespace() is the same but for its names. */
static SnStatus dict(SnJiCall *c, SnJiValue *out)
{
    const bool is_namespace = c->row->how == SN_JI_NAMESPACE;
    SnJiItems all = {0}, pair;
    SN_TRY(sn_ji_dict(c->run, (SnJiKind)c->row->how, out));
    if (c->args.n > 1)
        return sn_ji_fail(c->run, "dict expected at most 1 argument, got %zu", c->args.n);
    const bool is_mapping = c->args.n && c->args.at[0].kind == SN_JI_DICT;
    for (size_t i = 0; is_mapping && i < c->args.at[0].u.dict->n; i++)
        SN_TRY(sn_ji_dict_set(c->run, out->u.dict, c->args.at[0].u.dict->at[i].key,
                              c->args.at[0].u.dict->at[i].value));
    if (c->args.n && !is_mapping)
        SN_TRY(sn_ji_items(c->run, c->args.at[0], &all));
    for (size_t i = 0; i < all.n; i++) {
        SN_TRY(sn_ji_items(c->run, all.at[i], &pair));
        if (pair.n != 2)
            return sn_ji_fail(c->run, "dictionary update sequence element #%zu has length %zu; 2 is required",
                              i, pair.n);
        SN_TRY(sn_ji_dict_set(c->run, out->u.dict, pair.at[0], pair.at[1]));
    }
    for (size_t i = 0; i < c->args.nkw; i++) {
        const SnBytes name = c->args.kw[i].name;
        SN_TRY(sn_ji_dict_set(c->run, out->u.dict, sn_ji_text_value((const char *)name.at, name.n),
                              c->args.kw[i].value));
    }
    for (size_t i = 0; is_namespace && i < out->u.dict->n; i++) {
        const SnJiValue key = out->u.dict->at[i].key;
        if (key.kind == SN_JI_STRING && key.u.text.n && key.u.text.at[0] == '_')
            return sn_ji_fail(c->run, "names of attributes of a namespace cannot begin with an underscore");
    }
    return SN_OK;
}

static SnStatus cycler(SnJiCall *c, SnJiValue *out)
{
    const bool is_joiner = c->row->how == SN_JI_JOINER;
    const size_t n = is_joiner ? 1 : c->args.n;
    SnJiCycler *cycle = sn_arena_alloc(&c->run->arena, sizeof *cycle);
    SnJiValue *item = sn_arena_array(&c->run->arena, n + 1, sizeof *item);
    if (!cycle || !item)
        return sn_ji_no_memory(c->run);
    if (n == 0)
        return sn_ji_fail(c->run, "at least one item has to be provided");
    if (is_joiner)
        item[0] = c->v[0].kind != SN_JI_MISSING ? c->v[0] : sn_ji_literal(", ");
    else
        memcpy(item, c->args.at, n * sizeof *item);
    *cycle = (SnJiCycler){item, n, 0};
    *out = (SnJiValue){.kind = (uint8_t)c->row->how, .u = {.cycler = cycle}};
    return SN_OK;
}

static SnStatus raise_exception(SnJiCall *c, SnJiValue *out)
{
    SN_TRY(sn_ji_str(c->run, c->v[0], out));
    c->run->is_late = true;
    return sn_fail(c->run->err, SN_EINVAL, "%.*s", (int)(out->u.text.n < 480 ? out->u.text.n : 480),
                   out->u.text.at);
}

/* One directive of strftime, with English names; false: another one. */
static bool say_time(SnJiRun *r, char what, const struct tm *at)
{
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    const char *const day = days[at->tm_wday % 7], *const month = months[at->tm_mon % 12];
    const int hour = at->tm_hour % 12 ? at->tm_hour % 12 : 12;
    const struct {
        char what;
        int width, value;
    } numbers[] = {{'Y', 4, at->tm_year + 1900},
                   {'m', 2, at->tm_mon + 1},
                   {'d', 2, at->tm_mday},
                   {'H', 2, at->tm_hour},
                   {'M', 2, at->tm_min},
                   {'S', 2, at->tm_sec},
                   {'I', 2, hour},
                   {'j', 3, at->tm_yday + 1},
                   {'y', 2, at->tm_year % 100},
                   {'w', 1, at->tm_wday},
                   {'u', 1, at->tm_wday ? at->tm_wday : 7}};
    for (size_t i = 0; i < SN_COUNT(numbers); i++)
        if (numbers[i].what == what) {
            sn_text_printf(r->text, "%0*d", numbers[i].width, numbers[i].value);
            return true;
        }
    if (what == 'A' || what == 'a')
        sn_ji_add(r, day, what == 'A' ? strlen(day) : 3);
    else if (what == 'B' || what == 'b' || what == 'h')
        sn_ji_add(r, month, what == 'B' ? strlen(month) : 3);
    else if (what == 'p')
        sn_ji_say(r, at->tm_hour < 12 ? "AM" : "PM");
    else if (what == 'e')
        sn_text_printf(r->text, "%2d", at->tm_mday);
    else if (what == '%')
        sn_ji_say(r, "%");
    else
        return false;
    return true;
}

/* Directives that stand for others. */
static const char *time_form(char what)
{
    return what == 'F'                  ? "%Y-%m-%d"
           : what == 'T' || what == 'X' ? "%H:%M:%S"
           : what == 'D' || what == 'x' ? "%m/%d/%y"
           : what == 'R'                ? "%H:%M"
           : what == 'c'                ? "%a %b %e %H:%M:%S %Y"
                                        : NULL;
}

static bool say_times(SnJiRun *r, const char *p, const char *end, const struct tm *at)
{
    SnText *t = r->text;
    for (; p < end; p++) {
        const char *form = *p == '%' && p + 1 < end ? time_form(p[1]) : NULL;
        /* A - takes away what fills a number. */
        const bool is_bare = *p == '%' && end - p > 2 && p[1] == '-';
        const size_t from = t->n;
        if (*p != '%' || p + 1 == end)
            sn_ji_add(r, p, 1);
        else if (form ? !say_times(r, form, form + strlen(form), at) : !say_time(r, p[1 + is_bare], at))
            return false;
        while (is_bare && !t->failed && t->n > from + 1 && strchr("0 ", t->at[from])) {
            memmove(t->at + from, t->at + from + 1, t->n - from);
            t->n--;
        }
        p += *p == '%' && p + 1 < end ? 1 + is_bare : 0;
    }
    return true;
}

static SnStatus strftime_now(SnJiCall *c, SnJiValue *out)
{
    struct tm local;
    const SnJiText form = c->v[0].u.text;
    const time_t now = c->run->o->now ? (time_t)c->run->o->now : time(NULL);
    if (!localtime_r(&now, &local))
        return sn_ji_fail(c->run, "the time is out of range");
    const SnJiMark outer = sn_ji_begin(c->run);
    if (!say_times(c->run, form.at, form.at + form.n, &local))
        return sn_ji_fail(c->run, "strftime_now(): an unknown directive");
    return sn_ji_take(c->run, outer, out);
}

const SnJiRow sn_ji_globals[] = {
    {"range", range, "start:i stop:i? step:i=1"},
    {"dict", dict, "*", SN_JI_DICT},
    {"namespace", dict, "*", SN_JI_NAMESPACE},
    {"cycler", cycler, "*", SN_JI_CYCLER},
    {"joiner", cycler, "sep?", SN_JI_JOINER},
    {"lipsum", sn_ji_lipsum, "n:i=5 html? min:i=20 max:i=100"},
    {"raise_exception", raise_exception, "message"},
    {"strftime_now", strftime_now, "format:s"},
    {0},
};
