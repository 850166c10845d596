/* specialise.c -- copies of entries with some symbols fixed: "seq=1; batch=1,8".
 *
 * Every entry that has one of the symbols gets a copy for each choice of values, one of each symbol's; "*" is
 * any. A run whose inputs have these dims takes the first copy that fits, which has the bits of the entry and
 * the shapes of its kernels made for them. Nobody sees a copy by name. */
#include "compiler/pass.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_VALUES 8
#define MAX_COPIES 16
#define MAX_NAME   256
#define ANY        (-1) /* the symbol stays one */

typedef struct Symbol {
    const char *name;
    int64_t value[MAX_VALUES];
    int nvalue;
} Symbol;

typedef struct Choice {
    Symbol symbol[SN_VARIANT_DIMS];
    int nsymbol, ncopy;
} Choice;

static const char *skip_spaces(const char *at)
{
    return at + strspn(at, " \t");
}

/* "NAME=1,8", up to a semicolon. */
static SnStatus read_symbol(SnPass *p, const char **text, Symbol *out, SnError *err)
{
    const char *at = skip_spaces(*text), *const eq = strchr(at, '=');
    const size_t n = eq != NULL ? (size_t)(eq - at) : 0;
    SN_CHECK(n > 0 && memchr(at, ';', n) == NULL, err, SN_EINVAL,
             "specialise: expected NAME=NUMBER,..; found \"%s\"", *text);
    out->name = sn_intern(p->s, at, n);
    SN_CHECK(out->name != NULL, err, SN_ENOMEM, "specialise: no memory");
    at = eq;
    do {
        const bool is_any = *skip_spaces(at + 1) == '*';
        char *end = is_any ? (char *)(uintptr_t)(skip_spaces(at + 1) + 1) : NULL;
        const long long v = is_any ? ANY : strtoll(at + 1, &end, 10);
        SN_CHECK(end != at + 1 && (v >= 0 || is_any) && out->nvalue < MAX_VALUES, err, SN_EINVAL,
                 "specialise: %s: expected up to %d sizes, found \"%s\"", out->name, MAX_VALUES, at + 1);
        out->value[out->nvalue++] = v;
        at = skip_spaces(end);
    } while (*at == ',');
    SN_CHECK(*at == ';' || *at == '\0', err, SN_EINVAL, "specialise: %s: found \"%s\" behind its sizes",
             out->name, at);
    *text = *at == ';' ? skip_spaces(at + 1) : at;
    return SN_OK;
}

static SnStatus read_choice(SnPass *p, const char *text, Choice *out, SnError *err)
{
    *out = (Choice){.ncopy = 1};
    for (text = skip_spaces(text); *text != '\0';) {
        SN_CHECK(out->nsymbol < SN_VARIANT_DIMS, err, SN_EINVAL, "specialise: more than %d dims",
                 SN_VARIANT_DIMS);
        Symbol *const y = &out->symbol[out->nsymbol++];
        SN_TRY(read_symbol(p, &text, y, err));
        out->ncopy *= y->nvalue;
        SN_CHECK(out->ncopy <= MAX_COPIES, err, SN_EINVAL, "specialise: more than %d copies of an entry",
                 MAX_COPIES);
    }
    return SN_OK;
}

/* The dim of a symbol that inputs bind; 0: there is none below root. */
static SnRef find_symbol(const SnPass *p, const bool *reached, SnRef root, const char *name)
{
    for (SnRef r = 1; r < root; r++) {
        if (reached[r] && sn_term(p->s, r)->op == SN_OP_DIM && sn_attr_int(p->s, r, "create", 0) == 0 &&
            strcmp(sn_attr_string(p->s, r, "name"), name) == 0)
            return r;
    }
    return 0;
}

/* Which symbols an entry has, and their sizes in copy `nth`. */
typedef struct Fixed {
    const char *symbol[SN_VARIANT_DIMS];
    int64_t value[SN_VARIANT_DIMS];
    int n;
} Fixed;

static SnStatus fix_symbols(SnPass *p, const Choice *c, int nth, SnRef entry, SnSubst *sub, Fixed *out,
                            SnError *err)
{
    const bool *const reached = sn_reach(p, entry, false);
    SN_CHECK(reached != NULL, err, SN_ENOMEM, "specialise: no memory");
    *out = (Fixed){.n = 0};
    for (int i = 0; i < c->nsymbol; i++) {
        const Symbol *const y = &c->symbol[i];
        const int64_t value = y->value[nth % y->nvalue];
        const SnRef dim = find_symbol(p, reached, entry, y->name);
        int64_t lo, hi;
        nth /= y->nvalue;
        if (dim == 0 || value == ANY)
            continue;
        sn_dim_range(p->s, dim, &lo, &hi);
        SN_CHECK(value >= lo && value <= hi, err, SN_ESHAPE, "specialise: %s is %lld, allowed %lld to %lld",
                 y->name, (long long)value, (long long)lo, (long long)hi);
        sub->map[dim] = sn_const_i64(p->s, value);
        out->symbol[out->n] = y->name;
        out->value[out->n++] = value;
    }
    return SN_OK;
}

/* 0: the entry has none of the symbols. */
static SnStatus copy_entry(SnPass *p, const Choice *c, int nth, SnRef entry, SnRef *out, SnError *err)
{
    SnSubst sub;
    SnAttr attr[5];
    Fixed fixed;
    char name[MAX_NAME];
    const char *const base = sn_attr_string(p->s, entry, "name");
    const SnAttr *const streams = sn_attr(p->s, entry, "streams");
    SnRef made = 0;
    *out = 0;
    SN_TRY(sn_subst_begin(&sub, p->s, p->arena, err));
    SN_TRY(fix_symbols(p, c, nth, entry, &sub, &fixed, err));
    if (fixed.n == 0)
        return SN_OK;
    SN_TRY(sn_subst(&sub, entry, &made, err));
    (void)snprintf(name, sizeof name, "%.200s|%d", base, nth);
    int nattr = 0;
    attr[nattr++] = SN_STRING("base", base);
    attr[nattr++] = SN_STRING("name", name);
    attr[nattr++] = SN_NAMES("symbols", fixed.symbol, fixed.n);
    attr[nattr++] = SN_INTS("values", fixed.value, fixed.n);
    if (streams != NULL)
        attr[nattr++] = *streams;
    const SnTerm *const t = sn_term(p->s, made);
    return sn_term_build(p->s, SN_OP_ENTRY, sn_attrs_make(p->s, attr, nattr), t->arg, t->narg, out, err);
}

SnStatus sn_specialise(SnPass *p, const char *text, SnRef root, SnRef *out, SnError *err)
{
    Choice c;
    *out = root;
    if (text == NULL)
        return SN_OK;
    SN_TRY(read_choice(p, text, &c, err));
    const int n = sn_term(p->s, root)->narg;
    SnRef *const entry = sn_arena_array(p->arena, (size_t)n * (size_t)(1 + c.ncopy), sizeof *entry);
    SN_CHECK(entry != NULL, err, SN_ENOMEM, "specialise: no memory");
    int count = n;
    memcpy(entry, sn_term(p->s, root)->arg, (size_t)n * sizeof *entry);
    for (int i = 0; i < n * c.ncopy && c.nsymbol > 0; i++) {
        SnRef made = 0;
        SN_TRY(copy_entry(p, &c, i % c.ncopy, entry[i / c.ncopy], &made, err));
        if (made != 0)
            entry[count++] = made;
    }
    return sn_term_build(p->s, SN_OP_PROGRAM, 0, entry, count, out, err);
}
