/* tests.c -- tests (`is`), and the functions that every template has. */
#include "frontends/jinja/run.h"

#include <time.h>

/* ---- tests ---- */

static SnStatus parity(SnJiCall *c, SnJiValue *out)
{
    bool is_equal = false;
    SnJiValue rest;
    const bool is_odd = c->row->name[0] == 'o', divides = c->row->name[0] == 'd';
    SN_TRY(sn_ji_math(c->run, SN_JI_OP_MOD, c->self, divides ? c->v[0] : sn_ji_int(2), &rest));
    SN_TRY(sn_ji_equal(c->run, rest, sn_ji_int(is_odd), &is_equal));
    *out = sn_ji_bool(is_equal);
    return SN_OK;
}

static bool is_sequence(SnJiValue v)
{
    return v.kind == SN_JI_UNDEFINED || (v.kind >= SN_JI_STRING && v.kind <= SN_JI_RANGE);
}

static bool is_callable(SnJiValue v)
{
    return v.kind == SN_JI_UNDEFINED || v.kind == SN_JI_LOOP || v.kind == SN_JI_MACRO ||
           v.kind == SN_JI_FUNCTION || v.kind == SN_JI_JOINER;
}

static SnStatus kind_test(SnJiCall *c, SnJiValue *out)
{
    const SnJiValue v = c->self;
    const char *name = c->row->name;
    const struct {
        const char *name;
        bool is_true;
    } facts[] = {
        {"defined", v.kind != SN_JI_UNDEFINED},
        {"undefined", v.kind == SN_JI_UNDEFINED},
        {"none", v.kind == SN_JI_NONE},
        {"boolean", v.kind == SN_JI_BOOL},
        {"true", v.kind == SN_JI_BOOL && v.u.boolean},
        {"false", v.kind == SN_JI_BOOL && !v.u.boolean},
        {"integer", v.kind == SN_JI_INT || v.kind == SN_JI_BIG},
        {"float", v.kind == SN_JI_FLOAT},
        {"number", sn_ji_is_number(v)},
        {"string", v.kind == SN_JI_STRING},
        {"mapping", v.kind == SN_JI_DICT},
        {"sequence", is_sequence(v)},
        {"iterable", sn_ji_is_iterable(v)},
        {"callable", is_callable(v)},
        {"escaped", v.kind == SN_JI_STRING && v.is_safe},
        {"filter", v.kind == SN_JI_STRING && sn_ji_filter(sn_ji_bytes(v))},
        {"test", v.kind == SN_JI_STRING && sn_ji_test(sn_ji_bytes(v))},
    };
    if (strcmp(name, "filter") == 0 || strcmp(name, "test") == 0)
        SN_TRY(sn_ji_hashable(c->run, v));
    for (size_t i = 0; i < SN_COUNT(facts); i++)
        if (strcmp(name, facts[i].name) == 0)
            *out = sn_ji_bool(facts[i].is_true);
    return SN_OK;
}

static SnStatus case_test(SnJiCall *c, SnJiValue *out)
{
    SnJiValue text;
    const SnJiArgs none = {0};
    const SnBytes method = sn_bytes_str(c->row->name[0] == 'l' ? "islower" : "isupper");
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
    const char *name = c->row->name;
    const bool is_less = name[0] == 'l' || name[0] == '<';
    const bool may_equal = name[1] == 'e' || name[1] == '=';
    bool v = false;
    if (strcmp(name, "lessthan") == 0 || strcmp(name, "greaterthan") == 0)
        SN_TRY(sn_ji_order(c->run, is_less ? SN_JI_OP_LT : SN_JI_OP_GT, c->self, c->v[0], &v));
    else
        SN_TRY(sn_ji_order(c->run,
                           is_less ? (may_equal ? SN_JI_OP_LE : SN_JI_OP_LT)
                                   : (may_equal ? SN_JI_OP_GE : SN_JI_OP_GT),
                           c->self, c->v[0], &v));
    *out = sn_ji_bool(v);
    return SN_OK;
}

static SnStatus equal_test(SnJiCall *c, SnJiValue *out)
{
    bool is_equal = false;
    SN_TRY(sn_ji_equal(c->run, c->self, c->v[0], &is_equal));
    *out = sn_ji_bool(is_equal != (c->row->name[0] == 'n' || c->row->name[0] == '!'));
    return SN_OK;
}

const SnJiRow sn_ji_tests[] = {
    {"odd", parity, ""},
    {"even", parity, ""},
    {"divisibleby", parity, "num"},
    {"defined", kind_test, ""},
    {"undefined", kind_test, ""},
    {"none", kind_test, ""},
    {"boolean", kind_test, ""},
    {"true", kind_test, ""},
    {"false", kind_test, ""},
    {"integer", kind_test, ""},
    {"float", kind_test, ""},
    {"number", kind_test, ""},
    {"string", kind_test, ""},
    {"mapping", kind_test, ""},
    {"sequence", kind_test, ""},
    {"iterable", kind_test, ""},
    {"callable", kind_test, ""},
    {"escaped", kind_test, ""},
    {"filter", kind_test, ""},
    {"test", kind_test, ""},
    {"lower", case_test, ""},
    {"upper", case_test, ""},
    {"in", in_test, "seq"},
    {"sameas", same_test, "other"},
    {"==", equal_test, "other"},
    {"eq", equal_test, "other"},
    {"equalto", equal_test, "other"},
    {"!=", equal_test, "other"},
    {"ne", equal_test, "other"},
    {">", order_test, "other"},
    {"gt", order_test, "other"},
    {"greaterthan", order_test, "other"},
    {">=", order_test, "other"},
    {"ge", order_test, "other"},
    {"<", order_test, "other"},
    {"lt", order_test, "other"},
    {"lessthan", order_test, "other"},
    {"<=", order_test, "other"},
    {"le", order_test, "other"},
    {0},
};

const SnJiRow *sn_ji_test(SnBytes name)
{
    return sn_ji_find(sn_ji_tests, name);
}

/* ---- functions ---- */

static SnStatus range(SnJiCall *c, SnJiValue *out)
{
    int64_t part[3] = {0, 0, 1};
    for (int i = 0; i < 3; i++)
        if (c->v[i].kind != SN_JI_MISSING) {
            SN_TRY(sn_ji_defined(c->run, c->v[i]));
            if (!sn_ji_is_int(c->v[i]))
                return sn_ji_fail(c->run, "'%s' object cannot be interpreted as an integer",
                                  sn_ji_type(c->v[i]));
            part[i] = sn_ji_integer(c->v[i]);
        }
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
        return sn_ji_stop(c->run, SN_ENOMEM, "no memory");
    *g = (SnJiRange){part[0], part[1], part[2], (size_t)n};
    *out = (SnJiValue){.kind = SN_JI_RANGE, .u = {.range = g}};
    return SN_OK;
}

/* dict(mapping or pairs, name=value ...); namespace() is the same but for its names. */
static SnStatus dict(SnJiCall *c, SnJiValue *out)
{
    const bool is_namespace = c->row->name[0] == 'n';
    const SnJiValue *at = NULL, *pair = NULL;
    size_t n = 0, npair = 0;
    SN_TRY(sn_ji_dict(c->run, is_namespace ? SN_JI_NAMESPACE : SN_JI_DICT, out));
    if (c->args.n > 1)
        return sn_ji_fail(c->run, "dict expected at most 1 argument, got %zu", c->args.n);
    const bool is_mapping = c->args.n && c->args.at[0].kind == SN_JI_DICT;
    for (size_t i = 0; is_mapping && i < c->args.at[0].u.dict->n; i++)
        SN_TRY(sn_ji_dict_set(c->run, out->u.dict, c->args.at[0].u.dict->at[i].key,
                              c->args.at[0].u.dict->at[i].value));
    if (c->args.n && !is_mapping)
        SN_TRY(sn_ji_items(c->run, c->args.at[0], &at, &n));
    for (size_t i = 0; i < n; i++) {
        SN_TRY(sn_ji_items(c->run, at[i], &pair, &npair));
        if (npair != 2)
            return sn_ji_fail(c->run, "dictionary update sequence element #%zu has length %zu; 2 is required",
                              i, npair);
        SN_TRY(sn_ji_dict_set(c->run, out->u.dict, pair[0], pair[1]));
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
    const bool is_joiner = c->row->name[0] == 'j';
    const size_t n = is_joiner ? 1 : c->args.n;
    SnJiCycler *cycle = sn_arena_alloc(&c->run->arena, sizeof *cycle);
    SnJiValue *item = sn_arena_array(&c->run->arena, n + 1, sizeof *item);
    if (!cycle || !item)
        return sn_ji_stop(c->run, SN_ENOMEM, "no memory");
    if (n == 0)
        return sn_ji_fail(c->run, "at least one item has to be provided");
    if (is_joiner)
        item[0] = c->v[0].kind != SN_JI_MISSING ? c->v[0] : sn_ji_literal(", ");
    else
        memcpy(item, c->args.at, n * sizeof *item);
    *cycle = (SnJiCycler){item, n, 0};
    *out = (SnJiValue){.kind = is_joiner ? SN_JI_JOINER : SN_JI_CYCLER, .u = {.cycler = cycle}};
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
static bool put_time(SnText *t, char what, const struct tm *at)
{
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    const char *day = days[at->tm_wday % 7], *month = months[at->tm_mon % 12];
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
            sn_text_printf(t, "%0*d", numbers[i].width, numbers[i].value);
            return true;
        }
    if (what == 'A' || what == 'a')
        sn_text_add(t, day, what == 'A' ? strlen(day) : 3);
    else if (what == 'B' || what == 'b' || what == 'h')
        sn_text_add(t, month, what == 'B' ? strlen(month) : 3);
    else if (what == 'p')
        sn_text_add(t, at->tm_hour < 12 ? "AM" : "PM", 2);
    else if (what == 'e')
        sn_text_printf(t, "%2d", at->tm_mday);
    else if (what == '%')
        sn_text_add(t, "%", 1);
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

static bool put_times(SnText *t, const char *p, const char *end, const struct tm *at)
{
    for (; p < end; p++) {
        const char *form = *p == '%' && p + 1 < end ? time_form(p[1]) : NULL;
        /* A - takes away what fills a number. */
        const bool is_bare = *p == '%' && end - p > 2 && p[1] == '-';
        const size_t from = t->n;
        if (*p != '%' || p + 1 == end)
            sn_text_add(t, p, 1);
        else if (form ? !put_times(t, form, form + strlen(form), at) : !put_time(t, p[1 + is_bare], at))
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
    SnText t = {.memory = c->run->memory};
    const time_t now = c->run->o->now ? (time_t)c->run->o->now : time(NULL);
    if (c->v[0].kind != SN_JI_STRING)
        return sn_ji_fail(c->run, "strftime_now() takes a string");
    if (!localtime_r(&now, &local))
        return sn_ji_fail(c->run, "the time is out of range");
    if (put_times(&t, c->v[0].u.text.at, c->v[0].u.text.at + c->v[0].u.text.n, &local))
        return sn_ji_take(c->run, &t, out);
    sn_text_clear(&t);
    return sn_ji_fail(c->run, "strftime_now(): an unknown directive");
}

const SnJiRow sn_ji_globals[] = {
    {"range", range, "start stop? step?"},
    {"dict", dict, "*"},
    {"namespace", dict, "*"},
    {"cycler", cycler, "*"},
    {"joiner", cycler, "sep?"},
    {"lipsum", sn_ji_lipsum, "n? html? min? max?"},
    {"raise_exception", raise_exception, "message"},
    {"strftime_now", strftime_now, "format"},
    {0},
};
