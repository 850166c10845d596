/* split.c -- "train[:10%]+test[-5:]": parts of splits, as ReadInstruction of datasets has them. */
#include "frontends/data/table.h"

#include <math.h>

typedef struct Part {
    SnBytes name;
    int64_t from, to; /* of rows, or of percents */
    bool has_from, has_to, is_percent, drops_rest;
} Part;

/* ---- what is written ---- */

static void skip_space(SnBytes *s)
{
    while (s->n && (*s->at == ' ' || *s->at == '\t'))
        *s = sn_bytes(s->at + 1, s->n - 1);
}

static bool take_char(SnBytes *s, char c)
{
    if (!s->n || *s->at != (uint8_t)c)
        return false;
    *s = sn_bytes(s->at + 1, s->n - 1);
    return true;
}

static bool is_name_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '.' || c >= 0x80;
}

static SnBytes take_name(SnBytes *s)
{
    size_t n = 0;
    while (n < s->n && is_name_char(s->at[n]))
        n++;
    const SnBytes name = sn_bytes(s->at, n);
    *s = sn_bytes(s->at + n, s->n - n);
    return name;
}

/* A number, which may be missing; false: it is too large, or a sign without one. */
static bool take_number(SnBytes *s, int64_t *out, bool *has, bool *is_percent)
{
    const bool is_negative = take_char(s, '-');
    *out = 0;
    *has = false;
    for (; s->n && ((*s->at >= '0' && *s->at <= '9') || *s->at == '_'); *s = sn_bytes(s->at + 1, s->n - 1)) {
        if (*s->at == '_')
            continue;
        *has = true;
        if (*out > INT64_MAX / 100)
            return false;
        *out = *out * 10 + (*s->at - '0');
    }
    *out = is_negative ? -*out : *out;
    *is_percent = (*has && take_char(s, '%')) || *is_percent;
    return *has || !is_negative;
}

static bool take_part(SnBytes *s, Part *p)
{
    *p = (Part){.name = take_name(s)};
    if (!p->name.n)
        return false;
    if (take_char(s, '[') && (!take_number(s, &p->from, &p->has_from, &p->is_percent) || !take_char(s, ':') ||
                              !take_number(s, &p->to, &p->has_to, &p->is_percent) || !take_char(s, ']')))
        return false;
    if (take_char(s, '(')) {
        const SnBytes rounding = take_name(s);
        p->drops_rest = sn_bytes_is(rounding, "pct1_dropremainder");
        if (!take_char(s, ')') || !p->is_percent || (!p->drops_rest && !sn_bytes_is(rounding, "closest")))
            return false;
    }
    const bool is_far = p->from < -100 || p->from > 100 || p->to < -100 || p->to > 100;
    return !p->is_percent || !is_far;
}

/* ---- which rows ---- */

static int64_t place(const Part *p, int64_t at, int64_t n)
{
    if (p->is_percent)
        at = p->drops_rest ? at * (n / 100) : (int64_t)rint((double)(at * n) / 100.0);
    if (at < 0)
        at = at + n > 0 ? at + n : 0;
    return at < n ? at : n;
}

/* *is_any: it asks for rows, perhaps for some that end before they begin. */
static SnStatus cut(const Part *p, SnDataset **d, bool *is_any, SnError *err)
{
    SnDataset *part = NULL;
    const int64_t n = sn_dataset_rows(*d);
    SN_CHECK(!p->drops_rest || n >= 100, err, SN_EINVAL,
             "split %.*s: pct1_dropremainder leaves nothing of %lld rows", (int)p->name.n,
             (const char *)p->name.at, (long long)n);
    const int64_t from = p->has_from ? place(p, p->from, n) : 0, to = p->has_to ? place(p, p->to, n) : n;
    *is_any = *is_any || from != to;
    if (!p->has_from && !p->has_to)
        return SN_OK;
    SN_TRY(sn_dataset_slice(*d, from, to > from ? to - from : 0, &part, err));
    sn_dataset_release(*d);
    *d = part;
    return SN_OK;
}

SnStatus sn_split_open(const char *spec, SnSplitFn *open, void *self, SnDataset **out, SnError *err)
{
    enum { MOST_PARTS = 64 };
    SnDataset *part[MOST_PARTS] = {NULL};
    size_t n = 0;
    bool is_any = false;
    SnBytes s = sn_bytes_str(spec);
    SnStatus st = SN_OK;
    for (bool more = true; st == SN_OK && more; n++) {
        Part p;
        skip_space(&s);
        const bool ok = n < MOST_PARTS && take_part(&s, &p);
        skip_space(&s);
        more = take_char(&s, '+');
        if (!ok || (!more && s.n))
            st = sn_fail(err, SN_EINVAL,
                         "split %s: expected NAME, NAME[FROM:TO] of rows or of percents, with + "
                         "between them",
                         spec);
        if (st == SN_OK)
            st = open(self, p.name, &part[n], err);
        if (st == SN_OK)
            st = cut(&p, &part[n], &is_any, err);
    }
    if (st == SN_OK && !is_any)
        st = sn_fail(err, SN_EINVAL, "split %s: it has no rows", spec);
    if (st == SN_OK && n == 1)
        *out = sn_dataset_retain(part[0]);
    else if (st == SN_OK)
        st = sn_dataset_concatenate(part, n, out, err);
    for (size_t i = 0; i < SN_COUNT(part); i++)
        sn_dataset_release(part[i]);
    return st;
}
