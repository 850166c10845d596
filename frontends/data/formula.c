/* formula.c -- Python's expressions over the columns of a row, parsed to a graph.
 *
 * or, and, not; < <= > >= == != in not in is (not) None, chained; + - * / // % and signs; numbers, texts,
 * True, False, lists behind `in`; len(X), X.startswith(T), X.endswith(T); columns by name, or col["any
 * name"]. What is compared with a null is false, what is computed from one is null. */
#include "frontends/data/formula.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_DEPTH = 64, MOST_CHAIN = 256 };

typedef enum TermKind { NUMBER, COLUMN, STRING, NONE } TermKind;
typedef struct Term {
    TermKind kind;
    SnValue v;  /* NUMBER: also truth */
    SnValue ok; /* is it not null? {0}: it never is */
    uint32_t column;
    SnBytes text;
} Term;

typedef struct Parse {
    const SnDataset *d;
    SnGraph *g;
    SnFormula *f;
    SnValue rows;
    const char *all, *at;
    int depth;
    SnStatus st;
    SnError *err;
} Parse;

static Term fail(Parse *p, const char *what)
{
    if (p->st == SN_OK)
        p->st = sn_fail(p->err, SN_EINVAL, "%s: at character %zu: %s", p->all, (size_t)(p->at - p->all) + 1,
                        what);
    return (Term){.kind = NUMBER};
}

static void skip_space(Parse *p)
{
    while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n')
        p->at++;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (c & 0x80);
}

/* Takes a sign or a word if it comes next. */
static bool take(Parse *p, const char *s)
{
    const size_t n = strlen(s);
    skip_space(p);
    if (p->st != SN_OK || strncmp(p->at, s, n) != 0 || (is_word(s[0]) && is_word(p->at[n])))
        return false;
    p->at += n;
    return true;
}

/* ---- values ---- */

static Term input(Parse *p, SnFormulaKind kind, uint32_t column, SnBytes text, SnDtype dtype)
{
    SnFormula *f = p->f;
    for (size_t i = 0; i < f->in.n; i++)
        if (f->in.at[i].kind == kind && f->in.at[i].column == column &&
            sn_bytes_equal(f->in.at[i].text, text))
            return (Term){.kind = NUMBER, .v = f->in.at[i].value};
    const char *name = sn_arena_printf(&f->arena, "in%zu", f->in.n);
    const SnFormulaInput in = {
        kind, column, text, dtype, name, name ? sn_input(p->g, name, dtype, 1, &p->rows) : (SnValue){0, 0}};
    if (!name || !sn_vec_push(f->arena.memory, &f->in, in))
        p->st = sn_fail(p->err, SN_ENOMEM, "%s: no memory", p->all);
    return (Term){.kind = NUMBER, .v = in.value};
}

static bool may_be_null(const SnColumn *c)
{
    for (uint32_t i = 0; i < c->nchunk; i++)
        if (c->chunk[i].valid || c->type.kind == SN_DATA_NULL)
            return true;
    return false;
}

static SnValue valid_of(Parse *p, uint32_t column)
{
    if (!may_be_null(&p->d->col[column]))
        return sn_none();
    return input(p, SN_FORMULA_VALID, column, (SnBytes){NULL, 0}, SN_BOOL).v;
}

static Term of_column(Parse *p, SnFormulaKind kind, uint32_t column, SnBytes text, SnDtype dtype)
{
    Term t = input(p, kind, column, text, dtype);
    t.ok = valid_of(p, column);
    return t;
}

/* A column of numbers as I64, F64 or BOOL; others stay what they are. */
static Term number(Parse *p, Term t)
{
    if (t.kind == NUMBER || p->st != SN_OK)
        return t;
    if (t.kind != COLUMN)
        return fail(p, "a number was expected");
    const SnFeature *type = &p->d->col[t.column].type;
    if (type->kind == SN_DATA_NULL)
        return (Term){.kind = NUMBER, .v = sn_const(p->g, SN_F64, 0), .ok = valid_of(p, t.column)};
    if ((type->kind != SN_DATA_NUMBER && type->kind != SN_DATA_LABEL) || type->dtype == SN_U64)
        return fail(p, "the column holds no numbers");
    Term v = of_column(p, SN_FORMULA_VALUE, t.column, (SnBytes){NULL, 0}, type->dtype);
    if (type->dtype != SN_BOOL)
        v.v = sn_cast(p->g, v.v, sn_dtype_is_float(type->dtype) ? SN_F64 : SN_I64);
    return v;
}

static SnDtype dtype_of(Parse *p, Term t)
{
    return sn_value_dtype(p->g, t.v);
}

/* Bools count as numbers. */
static Term counted(Parse *p, Term t)
{
    t = number(p, t);
    if (p->st == SN_OK && dtype_of(p, t) == SN_BOOL)
        t.v = sn_cast(p->g, t.v, SN_I64);
    return t;
}

static SnValue both(SnGraph *g, SnValue a, SnValue b)
{
    return a.ref == 0 ? b : b.ref == 0 ? a : sn_and(g, a, b);
}

/* A truth that is never null: what is null is false. */
static Term truth(Parse *p, Term t)
{
    t = number(p, t);
    if (p->st != SN_OK)
        return t;
    SnValue v = t.v;
    if (dtype_of(p, t) != SN_BOOL)
        v = sn_not(p->g, sn_eq(p->g, v, sn_const_int(p->g, SN_I64, 0)));
    return (Term){.kind = NUMBER, .v = both(p->g, v, t.ok)};
}

/* ---- what expressions are made of ---- */

static Term parse_or(Parse *p);

static Term parse_string(Parse *p)
{
    const char quote = *p->at++;
    SnText t = {.memory = p->f->arena.memory};
    while (*p->at && *p->at != quote) {
        p->at += *p->at == '\\' && p->at[1];
        const char c = *p->at++;
        sn_text_add(&t, p->at[-2] == '\\' && c == 'n' ? "\n" : p->at[-2] == '\\' && c == 't' ? "\t" : &c, 1);
    }
    const char *copy = sn_arena_strndup(&p->f->arena, t.n ? t.at : "", t.n);
    const Term out = {.kind = STRING, .text = sn_bytes(copy, copy ? t.n : 0)};
    sn_text_clear(&t);
    if (*p->at != quote)
        return fail(p, "a quote that is not closed");
    p->at++;
    return copy ? out : fail(p, "no memory");
}

static Term parse_number(Parse *p)
{
    const size_t n = strspn(p->at, "0123456789."), e = p->at[n] == 'e' || p->at[n] == 'E';
    const size_t sign = e && (p->at[n + 1] == '-' || p->at[n + 1] == '+');
    const size_t size = n + (e ? 1 + sign + strspn(p->at + n + 1 + sign, "0123456789") : 0);
    double x = 0;
    const bool whole = strspn(p->at, "0123456789") == size && size < 19;
    if (!sn_parse_f64(sn_bytes(p->at, size), &x))
        return fail(p, "no number");
    const SnValue v =
        whole ? sn_const_int(p->g, SN_I64, strtoll(p->at, NULL, 10)) : sn_const(p->g, SN_F64, x);
    p->at += size;
    return (Term){.kind = NUMBER, .v = v};
}

static Term parse_name(Parse *p)
{
    size_t n = 0;
    while (is_word(p->at[n]))
        n++;
    SnBytes name = sn_bytes(p->at, n);
    const char *begin = p->at;
    p->at += n;
    if (sn_bytes_is(name, "col") && take(p, "[")) {
        skip_space(p);
        if (*p->at != '"' && *p->at != '\'')
            return fail(p, "the name of a column in quotes was expected");
        name = parse_string(p).text;
        if (!take(p, "]"))
            return fail(p, "] was expected");
    }
    for (uint32_t i = 0; i < p->d->ncol; i++)
        if (sn_bytes_is(name, p->d->col[i].type.name))
            return (Term){.kind = COLUMN, .column = i};
    uint32_t none;
    char copy[128];
    (void)snprintf(copy, sizeof copy, "%.*s", (int)(name.n < 100 ? name.n : 100), (const char *)name.at);
    p->at = begin;
    if (p->st == SN_OK) {
        p->st = sn_dataset_find(p->d, copy, &none, p->err);
        if (p->st != SN_OK)
            return (Term){.kind = NUMBER};
    }
    return fail(p, "no such column");
}

static Term length(Parse *p)
{
    Term t = {0};
    if (!take(p, "("))
        return fail(p, "( was expected");
    t = parse_or(p);
    if (!take(p, ")"))
        return fail(p, ") was expected");
    const SnDataKind kind = t.kind == COLUMN ? p->d->col[t.column].type.kind : SN_DATA_NULL;
    if (kind != SN_DATA_TEXT && kind != SN_DATA_BINARY && kind != SN_DATA_LIST)
        return fail(p, "len is of columns of texts or lists");
    return of_column(p, SN_FORMULA_LENGTH, t.column, (SnBytes){NULL, 0}, SN_I64);
}

/* "x" == text and the like: a test of the texts of a column. */
static Term text_test(Parse *p, SnFormulaKind kind, Term column, Term string)
{
    if (p->st != SN_OK)
        return column;
    if (column.kind != COLUMN || string.kind != STRING || p->d->col[column.column].type.kind != SN_DATA_TEXT)
        return fail(p, "a column of texts and a text in quotes were expected");
    return of_column(p, kind, column.column, string.text, SN_BOOL);
}

static Term parse_atom(Parse *p)
{
    Term t = {.kind = NUMBER};
    skip_space(p);
    if (take(p, "(")) {
        t = parse_or(p);
        return take(p, ")") ? t : fail(p, ") was expected");
    }
    if (take(p, "None"))
        return (Term){.kind = NONE};
    const bool is_true = take(p, "True");
    if (is_true || take(p, "False")) {
        t.v = sn_const_int(p->g, SN_BOOL, is_true);
        return t;
    }
    if (take(p, "len"))
        return length(p);
    if (*p->at == '"' || *p->at == '\'')
        return parse_string(p);
    if ((*p->at >= '0' && *p->at <= '9') || *p->at == '.')
        return parse_number(p);
    if (!is_word(*p->at))
        return fail(p, *p->at ? "a value was expected" : "the expression ends too early");
    t = parse_name(p);
    const bool begins = take(p, ".startswith");
    if (!begins && !take(p, ".endswith"))
        return t;
    if (!take(p, "("))
        return fail(p, "( was expected");
    t = text_test(p, begins ? SN_FORMULA_BEGINS : SN_FORMULA_ENDS, t, parse_or(p));
    return take(p, ")") ? t : fail(p, ") was expected");
}

/* ---- arithmetic ---- */

static Term arithmetic(Parse *p, Term a, Term b, SnValue (*fn)(SnGraph *g, SnValue a, SnValue b))
{
    a = counted(p, a);
    b = counted(p, b);
    if (p->st != SN_OK)
        return a;
    return (Term){.kind = NUMBER, .v = fn(p->g, a.v, b.v), .ok = both(p->g, a.ok, b.ok)};
}

static SnValue true_div(SnGraph *g, SnValue a, SnValue b)
{
    return sn_div(g, sn_cast(g, a, SN_F64), sn_cast(g, b, SN_F64));
}

/* As Python rounds: down. A whole number divided by 0 gives 0, as there is nobody to tell. */
static SnValue floor_div(SnGraph *g, SnValue a, SnValue b)
{
    const bool is_float = sn_dtype_is_float(sn_value_dtype(g, a)) || sn_dtype_is_float(sn_value_dtype(g, b));
    return is_float ? sn_floor(g, true_div(g, a, b)) : sn_idiv(g, a, b);
}

static Term parse_sign(Parse *p)
{
    bool negative = false;
    for (int n = 0; n < MOST_CHAIN; n++) {
        if (take(p, "-"))
            negative = !negative;
        else if (!take(p, "+"))
            break;
    }
    Term t = parse_atom(p);
    if (!negative)
        return t;
    t = counted(p, t);
    if (p->st == SN_OK)
        t.v = sn_neg(p->g, t.v);
    return t;
}

static Term parse_product(Parse *p)
{
    Term t = parse_sign(p);
    while (p->st == SN_OK)
        if (take(p, "*"))
            t = arithmetic(p, t, parse_sign(p), sn_mul);
        else if (take(p, "//"))
            t = arithmetic(p, t, parse_sign(p), floor_div);
        else if (take(p, "/"))
            t = arithmetic(p, t, parse_sign(p), true_div);
        else if (take(p, "%"))
            t = arithmetic(p, t, parse_sign(p), sn_mod);
        else
            break;
    return t;
}

static Term parse_sum(Parse *p)
{
    Term t = parse_product(p);
    while (p->st == SN_OK)
        if (take(p, "+"))
            t = arithmetic(p, t, parse_product(p), sn_add);
        else if (take(p, "-"))
            t = arithmetic(p, t, parse_product(p), sn_sub);
        else
            break;
    return t;
}

/* ---- comparisons ---- */

static SnValue less_equal(SnGraph *g, SnValue a, SnValue b)
{
    return sn_or(g, sn_lt(g, a, b), sn_eq(g, a, b));
}

static SnValue greater(SnGraph *g, SnValue a, SnValue b)
{
    return sn_lt(g, b, a);
}

static SnValue greater_equal(SnGraph *g, SnValue a, SnValue b)
{
    return less_equal(g, b, a);
}

static Term equal(Parse *p, Term a, Term b)
{
    if (a.kind == STRING || b.kind == STRING)
        return truth(p, a.kind == STRING ? text_test(p, SN_FORMULA_EQUAL, b, a)
                                         : text_test(p, SN_FORMULA_EQUAL, a, b));
    return truth(p, arithmetic(p, a, b, sn_eq));
}

static Term negated(Parse *p, Term t)
{
    if (p->st == SN_OK)
        t.v = sn_not(p->g, t.v);
    return t;
}

static Term contained(Parse *p, Term a)
{
    Term t = {.kind = NUMBER};
    const bool paren = !take(p, "[") && take(p, "(");
    if (!paren && p->at[-1] != '[')
        return truth(p, text_test(p, SN_FORMULA_HAS, parse_sum(p), a));
    const char *end = paren ? ")" : "]";
    while (p->st == SN_OK && !take(p, end)) {
        const Term one = equal(p, a, parse_sum(p));
        if (p->st == SN_OK)
            t.v = t.v.ref ? sn_or(p->g, t.v, one.v) : one.v;
        if (!take(p, ",") && !take(p, end))
            return fail(p, "a comma or the end of the list was expected");
        else if (p->at[-1] == end[0])
            break;
    }
    if (!t.v.ref && p->st == SN_OK)
        return fail(p, "the list is empty");
    return t;
}

static Term is_none(Parse *p, Term a, bool is_not)
{
    if (!take(p, "None") || a.kind != COLUMN)
        return fail(p, "a column is None, or is not None");
    const SnValue valid = input(p, SN_FORMULA_VALID, a.column, (SnBytes){NULL, 0}, SN_BOOL).v;
    return (Term){.kind = NUMBER, .v = is_not ? valid : sn_not(p->g, valid)};
}

/* One comparison of a chain with a on its left; false: none comes. */
static bool compare(Parse *p, Term *a, Term *out)
{
    static const struct {
        const char *sign;
        SnValue (*fn)(SnGraph *g, SnValue a, SnValue b);
    } row[] = {{"<=", less_equal}, {">=", greater_equal}, {"<", sn_lt}, {">", greater}};
    const bool is_equal = take(p, "==");
    if (is_equal || take(p, "!=")) {
        const Term b = parse_sum(p);
        *out = equal(p, *a, b);
        *out = is_equal ? *out : negated(p, *out);
        *a = b;
        return true;
    }
    for (size_t i = 0; i < SN_COUNT(row); i++)
        if (take(p, row[i].sign)) {
            const Term b = parse_sum(p);
            *out = truth(p, arithmetic(p, *a, b, row[i].fn));
            *a = b;
            return true;
        }
    if (take(p, "in")) {
        *out = contained(p, *a);
    } else if (take(p, "is")) {
        const bool is_not = take(p, "not");
        *out = is_none(p, *a, is_not);
    } else if (take(p, "not")) {
        *out = take(p, "in") ? negated(p, contained(p, *a)) : fail(p, "in was expected");
    } else {
        return false;
    }
    return true;
}

static Term parse_comparison(Parse *p)
{
    Term a = parse_sum(p), one = {.kind = NUMBER}, all = a;
    for (int n = 0; p->st == SN_OK && compare(p, &a, &one); n++)
        all = n == 0 || p->st != SN_OK ? one : (Term){.kind = NUMBER, .v = sn_and(p->g, all.v, one.v)};
    return all;
}

static Term parse_not(Parse *p)
{
    bool is_not = false, any = false;
    for (; take(p, "not"); any = true)
        is_not = !is_not;
    const Term t = parse_comparison(p);
    if (!any)
        return t;
    return is_not ? negated(p, truth(p, t)) : truth(p, t);
}

static Term parse_and(Parse *p)
{
    Term t = parse_not(p);
    while (take(p, "and")) {
        const Term a = truth(p, t), b = truth(p, parse_not(p));
        if (p->st == SN_OK)
            t = (Term){.kind = NUMBER, .v = sn_and(p->g, a.v, b.v)};
    }
    return t;
}

static Term parse_or(Parse *p)
{
    if (++p->depth > MOST_DEPTH)
        return fail(p, "nested too deeply");
    Term t = parse_and(p);
    while (take(p, "or")) {
        const Term a = truth(p, t), b = truth(p, parse_and(p));
        if (p->st == SN_OK)
            t = (Term){.kind = NUMBER, .v = sn_or(p->g, a.v, b.v)};
    }
    p->depth--;
    return t;
}

/* ---- programs ---- */

static SnStatus finish(Parse *p, Term t, bool is_test)
{
    t = is_test ? truth(p, t) : number(p, t);
    skip_space(p);
    if (p->st == SN_OK && *p->at)
        (void)fail(p, "the expression goes on behind its end");
    if (p->st == SN_OK && p->f->in.n == 0)
        p->st = sn_fail(p->err, SN_EINVAL, "%s: no column is named", p->all);
    SN_TRY(p->st);
    p->f->dtype = dtype_of(p, t);
    p->f->has_null = t.ok.ref != 0;
    sn_output(p->g, "result", sn_broadcast(p->g, t.v, 1, &p->rows));
    if (t.ok.ref)
        sn_output(p->g, "valid", t.ok);
    return SN_OK;
}

SnStatus sn_formula_open(SnCompiler *cc, const SnDataset *d, const char *text, bool is_test, SnFormula *f,
                         SnError *err)
{
    *f = (SnFormula){.dtype = SN_NODTYPE};
    sn_arena_init(&f->arena, sn_allocator(sn_compiler_context(cc)));
    SnGraph *g = NULL;
    SN_TRY(sn_graph_create(cc, &g, err));
    Parse p = {.d = d, .g = g, .f = f, .all = text, .at = text, .err = err};
    p.rows = sn_symbol(g, "rows", 1, SN_FORMULA_ROWS);
    const SnCompileOptions o = {.struct_size = sizeof o};
    SnStatus st = finish(&p, parse_or(&p), is_test);
    if (st == SN_OK)
        st = sn_compile(cc, g, &o, &f->program, err);
    sn_graph_destroy(g);
    return st;
}

void sn_formula_close(SnFormula *f, SnContext *ctx)
{
    sn_program_release(f->program);
    sn_vec_clear(sn_allocator(ctx), &f->in);
    sn_arena_clear(&f->arena);
}
