/* sig.c -- parses op signatures. One pass over the text, no look-ahead beyond a character; the first mistake
 * sticks and is reported with its column. */
#include "compiler/sig.h"

#include <stdlib.h>

typedef struct Parser {
    SnArena *arena;
    const char *text, *at;
    const char *expected; /* what was missing at `at`; NULL: all is well */
    bool has_no_memory;
} Parser;

static bool miss(Parser *p, const char *expected)
{
    if (p->expected == NULL)
        p->expected = expected;
    return false;
}

static void miss_memory(Parser *p)
{
    p->has_no_memory = true;
    miss(p, "memory");
}

static void skip_space(Parser *p)
{
    while (*p->at == ' ' || *p->at == '\n')
        p->at++;
}

static bool accept(Parser *p, const char *token)
{
    skip_space(p);
    const size_t n = strlen(token);
    if (p->expected != NULL || strncmp(p->at, token, n) != 0)
        return false;
    p->at += n;
    return true;
}

static bool want(Parser *p, const char *token)
{
    return accept(p, token) || miss(p, token);
}

static bool is_word(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static const char *copy(Parser *p, const char *from, size_t n)
{
    const char *const text = sn_arena_strndup(p->arena, from, n);
    if (text == NULL)
        miss_memory(p);
    return text;
}

static const char *word(Parser *p)
{
    skip_space(p);
    const char *const from = p->at;
    while (is_word(*p->at, p->at == from))
        p->at++;
    if (p->at == from)
        miss(p, "a name");
    return p->expected != NULL ? NULL : copy(p, from, (size_t)(p->at - from));
}

static int64_t integer(Parser *p)
{
    skip_space(p);
    char *end = NULL;
    const int64_t v = strtoll(p->at, &end, 10);
    if (end == p->at)
        miss(p, "an integer");
    else
        p->at = end;
    return v;
}

static void dim(Parser *p, SnSigDim *d)
{
    if (accept(p, "..")) {
        d->kind = SN_SIG_REST;
    } else if (accept(p, "*")) {
        d->kind = SN_SIG_FREE;
    } else if (accept(p, "?")) {
        d->kind = SN_SIG_WILD;
    } else if (is_word(*p->at, true)) {
        d->name = word(p);
    } else {
        d->kind = SN_SIG_NUMBER;
        d->number = integer(p);
    }
}

static void dims(Parser *p, SnSigType *t)
{
    int nrest = 0, nalone = 0;
    if (!want(p, "[") || accept(p, "]"))
        return;
    do {
        if (t->ndim == SN_MAX_RANK) {
            miss(p, "fewer dims");
            return;
        }
        SnSigDim *const d = &t->dim[t->ndim++];
        dim(p, d);
        nrest += d->kind == SN_SIG_REST;
        nalone += d->kind == SN_SIG_FREE || d->kind == SN_SIG_WILD;
        if (nrest > 1 || (nalone > 0 && t->ndim > 1))
            miss(p, nrest > 1 ? "one .. only" : "* or ? alone");
    } while (accept(p, ","));
    want(p, "]");
}

static void dtype(Parser *p, SnSigType *t)
{
    t->dtype = word(p);
    if (t->dtype != NULL)
        t->fixed = sn_dtype_find(t->dtype, strlen(t->dtype));
}

static void type(Parser *p, SnSigType *t)
{
    skip_space(p);
    const char *const from = p->at;
    if (accept(p, "list<")) {
        t->kind = SN_SIG_LIST;
        dtype(p, t);
        want(p, ">");
        dims(p, t);
    } else if (accept(p, "object<")) {
        t->kind = SN_SIG_OBJECT;
        t->class_name = word(p);
        want(p, ">");
    } else if (accept(p, "any")) {
        t->kind = SN_SIG_ANY;
    } else {
        dtype(p, t);
        dims(p, t);
    }
    t->text = p->expected != NULL ? NULL : copy(p, from, (size_t)(p->at - from));
}

static void operands(Parser *p, SnSig *sig)
{
    if (*p->at == ';' || *p->at == ')')
        return;
    do {
        if (sig->noperand == SN_SIG_OPERANDS ||
            (sig->noperand > 0 && sig->operand[sig->noperand - 1].is_variadic)) {
            miss(p, "no further operand");
            return;
        }
        SnSigOperand *const o = &sig->operand[sig->noperand++];
        o->name = word(p);
        want(p, ":");
        type(p, &o->type);
        o->is_optional = accept(p, "?");
        o->is_variadic = !o->is_optional && accept(p, "*");
    } while (accept(p, ","));
}

static const char *const attr_kind_names[SN_SIG_ATTR_KINDS] = {
    [SN_SIG_INT] = "int", [SN_SIG_BOOL] = "bool",   [SN_SIG_F64] = "f64",
    [SN_SIG_STR] = "str", [SN_SIG_DTYPE] = "dtype", [SN_SIG_INTS] = "ints",
};

const char *sn_sig_attr_kind(SnSigAttrKind kind)
{
    return attr_kind_names[kind];
}

static void ints(Parser *p, SnAttr *a)
{
    int64_t v[SN_MAX_RANK];
    int n = 0;
    if (!want(p, "["))
        return;
    while (!accept(p, "]") && p->expected == NULL) {
        if (n == SN_MAX_RANK || (n > 0 && !accept(p, ",")))
            miss(p, "]");
        else
            v[n++] = integer(p);
    }
    int64_t *const at = sn_arena_array(p->arena, (size_t)n + 1, sizeof *at);
    if (at == NULL) {
        miss_memory(p);
        return;
    }
    memcpy(at, v, (size_t)n * sizeof *at);
    a->u.ints.at = at;
    a->u.ints.n = n;
}

static void attr_default(Parser *p, SnSigAttrKind kind, SnAttr *a)
{
    char *end = NULL;
    skip_space(p);
    switch (kind) {
    case SN_SIG_INT:
        a->u.i = integer(p);
        break;
    case SN_SIG_BOOL:
        a->u.i = accept(p, "true");
        if (a->u.i == 0)
            want(p, "false");
        break;
    case SN_SIG_F64:
        a->u.f = strtod(p->at, &end);
        if (end == p->at)
            miss(p, "a number");
        p->at = end;
        break;
    case SN_SIG_STR:
        if (want(p, "\"")) {
            const size_t n = strcspn(p->at, "\"");
            a->u.s = copy(p, p->at, n);
            p->at += n;
            want(p, "\"");
        }
        break;
    case SN_SIG_DTYPE: {
        const char *const name = word(p);
        a->u.d = name == NULL ? SN_NODTYPE : sn_dtype_find(name, strlen(name));
        if (a->u.d == SN_NODTYPE && (name == NULL || strcmp(name, "none") != 0))
            miss(p, "a dtype");
        break;
    }
    case SN_SIG_INTS:
        ints(p, a);
        break;
    case SN_SIG_ATTR_KINDS:
        break;
    }
}

static void attrs(Parser *p, SnSig *sig)
{
    static const SnAttrKind stored_kind[SN_SIG_ATTR_KINDS] = {
        [SN_SIG_INT] = SN_ATTR_INT,    [SN_SIG_BOOL] = SN_ATTR_INT,    [SN_SIG_F64] = SN_ATTR_FLOAT,
        [SN_SIG_STR] = SN_ATTR_STRING, [SN_SIG_DTYPE] = SN_ATTR_DTYPE, [SN_SIG_INTS] = SN_ATTR_INTS,
    };
    do {
        if (sig->nattr == SN_SIG_ATTRS) {
            miss(p, "fewer attributes");
            return;
        }
        SnSigAttr *const a = &sig->attr[sig->nattr++];
        a->value.name = word(p);
        want(p, ":");
        const char *const kind = word(p);
        for (a->kind = SN_SIG_INT; a->kind < SN_SIG_ATTR_KINDS; a->kind++)
            if (kind != NULL && strcmp(kind, attr_kind_names[a->kind]) == 0)
                break;
        if (a->kind == SN_SIG_ATTR_KINDS) {
            miss(p, "int, bool, f64, str, dtype or ints");
            return;
        }
        a->value.kind = stored_kind[a->kind];
        a->is_required = !accept(p, "=");
        if (!a->is_required)
            attr_default(p, a->kind, &a->value);
    } while (accept(p, ","));
}

static void results(Parser *p, SnSig *sig)
{
    sig->is_open = accept(p, "?");
    if (sig->is_open)
        return;
    sig->is_tuple = accept(p, "(");
    do {
        if (sig->nresult == SN_SIG_RESULTS) {
            miss(p, "fewer results");
            return;
        }
        SnSigOperand *const r = &sig->result[sig->nresult++];
        skip_space(p);
        const char *colon = p->at;
        while (is_word(*colon, false))
            colon++;
        if (*colon == ':') {
            r->name = word(p);
            want(p, ":");
        }
        type(p, &r->type);
    } while (sig->is_tuple && accept(p, ","));
    if (sig->is_tuple)
        want(p, ")");
}

SnStatus sn_sig_parse(SnArena *arena, const char *text, SnSig *out, SnError *err)
{
    Parser p = {.arena = arena, .text = text, .at = text};
    *out = (SnSig){0};
    out->name = word(&p);
    want(&p, "(");
    skip_space(&p);
    operands(&p, out);
    if (accept(&p, ";"))
        attrs(&p, out);
    want(&p, ")");
    want(&p, "->");
    results(&p, out);
    skip_space(&p);
    if (*p.at != '\0')
        miss(&p, "the end");
    SN_CHECK(!p.has_no_memory, err, SN_ENOMEM, "no memory for a signature");
    SN_CHECK(p.expected == NULL, err, SN_EINVAL, "signature \"%s\": expected %s at column %d", text,
             p.expected, (int)(p.at - text) + 1);
    return SN_OK;
}
