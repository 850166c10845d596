/* dim.c -- symbolic dims: i64 scalar terms in a canonical form.
 *
 * A dim is read into a polynomial: a sum of monomials over atoms (symbols, measures, and what is left of
 * idiv, mod, min, max), computed with, and written back as one chain of terms in a fixed order. What does not
 * fit (too many monomials, overflow) stays a raw term: right, but equal only to itself. The store bounds the
 * size of every dim (SN_MAX_DIM_SIZE), so recursion here is bounded too. */
#include "compiler/store.h"

#include <inttypes.h>

#define MAX_FACTORS  16
#define MAX_MONOS    48
#define MAX_MUL_NEST 16 /* products of sums inside products of sums, each a frame of two polynomials */

typedef struct Mono {
    int64_t c;
    int n;
    SnRef f[MAX_FACTORS]; /* sorted */
} Mono;

/* Monomials in falling order: degree first, then factors. The order survives multiplication, which is what
 * division needs. `over`: did not fit; the rest is then meaningless. */
typedef struct Poly {
    int n;
    bool over;
    Mono m[MAX_MONOS];
} Poly;

/* ---- polynomials ---- */

/* > 0: a comes first. */
static int mono_order(const Mono *a, const Mono *b)
{
    if (a->n != b->n)
        return a->n - b->n;
    for (int i = 0; i < a->n; i++)
        if (a->f[i] != b->f[i])
            return a->f[i] < b->f[i] ? 1 : -1;
    return 0;
}

static void poly_add_mono(Poly *p, const Mono *m)
{
    int i = 0;
    if (m->c == 0 || p->over)
        return;
    while (i < p->n && mono_order(&p->m[i], m) > 0)
        i++;
    if (i < p->n && mono_order(&p->m[i], m) == 0) {
        p->over = !sn_add_i64(p->m[i].c, m->c, &p->m[i].c);
        if (p->m[i].c == 0) {
            p->n--;
            memmove(&p->m[i], &p->m[i + 1], (size_t)(p->n - i) * sizeof *p->m);
        }
        return;
    }
    if (p->n == MAX_MONOS) {
        p->over = true;
        return;
    }
    memmove(&p->m[i + 1], &p->m[i], (size_t)(p->n - i) * sizeof *p->m);
    p->m[i] = *m;
    p->n++;
}

static bool mono_mul(const Mono *a, const Mono *b, Mono *out)
{
    Mono r = {.n = 0};
    if (a->n + b->n > MAX_FACTORS || !sn_mul_i64(a->c, b->c, &r.c))
        return false;
    for (int i = 0, j = 0; i < a->n || j < b->n;)
        r.f[r.n++] = j == b->n || (i < a->n && a->f[i] <= b->f[j]) ? a->f[i++] : b->f[j++];
    *out = r;
    return true;
}

/* *p += c * a * m */
static void poly_add_scaled(Poly *p, const Poly *a, const Mono *m)
{
    p->over = p->over || a->over;
    for (int i = 0; i < a->n && !p->over; i++) {
        Mono t;
        if (mono_mul(&a->m[i], m, &t))
            poly_add_mono(p, &t);
        else
            p->over = true;
    }
}

static void poly_read(const SnStore *s, SnRef r, int64_t c, int nest, Poly *out);

static void read_product(const SnStore *s, const SnTerm *t, int64_t c, int nest, Poly *out)
{
    Poly a, b;
    a.n = b.n = 0;
    a.over = b.over = false;
    poly_read(s, t->arg[0], c, nest + 1, &a);
    poly_read(s, t->arg[1], 1, nest + 1, &b);
    out->over = out->over || a.over || b.over;
    for (int i = 0; i < b.n && !out->over; i++)
        poly_add_scaled(out, &a, &b.m[i]);
}

/* *out += c * r */
static void poly_read(const SnStore *s, SnRef r, int64_t c, int nest, Poly *out)
{
    const SnTerm *t = sn_term(s, r);
    int64_t v;
    if (sn_is_const_i64(s, r, &v)) {
        Mono m = {.n = 0};
        out->over = out->over || !sn_mul_i64(c, v, &m.c);
        poly_add_mono(out, &m);
        return;
    }
    if (sn_is_dim(s, r)) {
        if (t->op == SN_OP_ADD || (t->op == SN_OP_SUB && c != INT64_MIN)) {
            poly_read(s, t->arg[0], c, nest, out);
            poly_read(s, t->arg[1], t->op == SN_OP_ADD ? c : -c, nest, out);
            return;
        }
        if (t->op == SN_OP_MUL && nest < MAX_MUL_NEST) {
            read_product(s, t, c, nest, out);
            return;
        }
    }
    const Mono m = {.c = c, .n = 1, .f = {r}};
    poly_add_mono(out, &m);
}

static void poly_of(const SnStore *s, SnRef r, Poly *out)
{
    out->n = 0;
    out->over = false;
    poly_read(s, r, 1, 0, out);
}

static SnRef raw(SnStore *s, uint16_t op, SnRef a, SnRef b)
{
    const SnRef arg[2] = {a, b};
    return sn_term_make(s, op, sn_type_scalar(s, SN_I64), 0, arg, 2);
}

/* What does not fit a polynomial. */
static SnRef not_dim(SnStore *s, uint16_t op, SnRef a, SnRef b)
{
    const SnRef r = raw(s, op, a, b);
    s->dim_size.at[r] = 0;
    return r;
}

static SnRef mono_term(SnStore *s, const Mono *m)
{
    if (m->n == 0)
        return sn_const_i64(s, m->c);
    SnRef r = m->f[0];
    for (int i = 1; i < m->n; i++)
        r = raw(s, SN_OP_MUL, r, m->f[i]);
    return m->c == 1 ? r : raw(s, SN_OP_MUL, r, sn_const_i64(s, m->c));
}

static SnRef poly_term(SnStore *s, const Poly *p)
{
    if (p->n == 0)
        return sn_const_i64(s, 0);
    SnRef r = mono_term(s, &p->m[0]);
    for (int i = 1; i < p->n; i++)
        r = raw(s, SN_OP_ADD, r, mono_term(s, &p->m[i]));
    return r;
}

/* ---- ranges; INT64_MIN and INT64_MAX stand for "no bound" ---- */

static int64_t sat_add(int64_t a, int64_t b)
{
    int64_t v;
    if (sn_add_i64(a, b, &v))
        return a == INT64_MIN || b == INT64_MIN   ? INT64_MIN
               : a == INT64_MAX || b == INT64_MAX ? INT64_MAX
                                                  : v;
    return a < 0 ? INT64_MIN : INT64_MAX;
}

static int64_t sat_mul(int64_t a, int64_t b)
{
    int64_t v;
    const bool negative = (a < 0) != (b < 0);
    if (a == 0 || b == 0)
        return 0;
    if (a != INT64_MIN && a != INT64_MAX && b != INT64_MIN && b != INT64_MAX && sn_mul_i64(a, b, &v))
        return v;
    return negative ? INT64_MIN : INT64_MAX;
}

static int64_t sat_neg(int64_t a)
{
    return a == INT64_MIN ? INT64_MAX : a == INT64_MAX ? INT64_MIN : -a;
}

static int64_t floor_div(int64_t a, int64_t b) /* b > 0 */
{
    if (a == INT64_MIN || a == INT64_MAX)
        return a;
    return a / b - (a % b < 0);
}

typedef struct Range {
    int64_t lo, hi;
} Range;

static Range range_of(const SnStore *s, SnRef r);

static Range range_mul(Range a, Range b)
{
    const int64_t v[4] = {sat_mul(a.lo, b.lo), sat_mul(a.lo, b.hi), sat_mul(a.hi, b.lo), sat_mul(a.hi, b.hi)};
    Range r = {v[0], v[0]};
    for (int i = 1; i < 4; i++) {
        r.lo = v[i] < r.lo ? v[i] : r.lo;
        r.hi = v[i] > r.hi ? v[i] : r.hi;
    }
    return r;
}

static Range range_idiv(Range a, Range b)
{
    if (b.lo < 1)
        return a.lo >= 0 && b.lo >= 0 ? (Range){0, a.hi} : (Range){INT64_MIN, INT64_MAX};
    const int64_t lo = floor_div(a.lo, a.lo < 0 ? b.lo : b.hi);
    return (Range){lo, floor_div(a.hi, a.hi < 0 ? b.hi : b.lo)};
}

static Range range_mod(Range a, Range b)
{
    if (b.lo < 1)
        return a.lo >= 0 && b.lo >= 0 ? (Range){0, a.hi} : (Range){INT64_MIN, INT64_MAX};
    const int64_t most = b.hi == INT64_MAX ? INT64_MAX : b.hi - 1;
    return (Range){0, a.lo >= 0 && a.hi < most ? a.hi : most};
}

static Range range_binary(uint16_t op, Range a, Range b)
{
    switch (op) {
    case SN_OP_ADD:
        return (Range){sat_add(a.lo, b.lo), sat_add(a.hi, b.hi)};
    case SN_OP_SUB:
        return (Range){sat_add(a.lo, sat_neg(b.hi)), sat_add(a.hi, sat_neg(b.lo))};
    case SN_OP_MUL:
        return range_mul(a, b);
    case SN_OP_IDIV:
        return range_idiv(a, b);
    case SN_OP_MOD:
        return range_mod(a, b);
    case SN_OP_MIN:
        return (Range){a.lo < b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi};
    case SN_OP_MAX:
        return (Range){a.lo > b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
    default:
        return (Range){INT64_MIN, INT64_MAX};
    }
}

static Range range_of(const SnStore *s, SnRef r)
{
    const SnTerm *t = sn_term(s, r);
    int64_t v;
    if (sn_is_const_i64(s, r, &v))
        return (Range){v, v};
    if (t->op == SN_OP_DIM)
        return (Range){sn_attr_int(s, r, "lo", 0), sn_attr_int(s, r, "hi", INT64_MAX)};
    if (t->op == SN_OP_MEASURE && sn_is_dim(s, t->arg[1]))
        return (Range){0, range_of(s, t->arg[1]).hi};
    if (t->op == SN_OP_MEASURE)
        return (Range){0, INT64_MAX};
    if (!sn_is_dim(s, r))
        return (Range){INT64_MIN, INT64_MAX};
    return range_binary(t->op, range_of(s, t->arg[0]), range_of(s, t->arg[1]));
}

void sn_dim_range(const SnStore *s, SnRef dim, int64_t *lo, int64_t *hi)
{
    const Range r = range_of(s, dim);
    *lo = r.lo;
    *hi = r.hi;
}

static Range poly_range(const SnStore *s, const Poly *p)
{
    Range sum = {0, 0};
    for (int i = 0; i < p->n; i++) {
        Range m = {p->m[i].c, p->m[i].c};
        for (int k = 0; k < p->m[i].n; k++)
            m = range_mul(m, range_of(s, p->m[i].f[k]));
        sum = range_binary(SN_OP_ADD, sum, m);
    }
    return sum;
}

/* ---- makers ---- */

SnRef sn_dim_symbol(SnStore *s, const char *name, int64_t lo, int64_t hi, bool at_create)
{
    const SnAttr attr[4] = {SN_STRING("name", name), SN_INT("lo", lo), SN_INT("hi", hi), SN_INT("create", 1)};
    return sn_term_make(s, SN_OP_DIM, sn_type_scalar(s, SN_I64), sn_attrs_make(s, attr, at_create ? 4 : 3),
                        NULL, 0);
}

static SnRef add_scaled(SnStore *s, SnRef a, SnRef b, int64_t c)
{
    Poly p;
    if (a == 0 || b == 0)
        return 0;
    poly_of(s, a, &p);
    poly_read(s, b, c, 0, &p);
    return p.over ? not_dim(s, c < 0 ? SN_OP_SUB : SN_OP_ADD, a, b) : poly_term(s, &p);
}

SnRef sn_dim_add(SnStore *s, SnRef a, SnRef b)
{
    return add_scaled(s, a, b, 1);
}

SnRef sn_dim_sub(SnStore *s, SnRef a, SnRef b)
{
    return add_scaled(s, a, b, -1);
}

SnRef sn_dim_mul(SnStore *s, SnRef a, SnRef b)
{
    Poly p, q, r;
    if (a == 0 || b == 0)
        return 0;
    poly_of(s, a, &p);
    poly_of(s, b, &q);
    r.n = 0;
    r.over = q.over;
    for (int i = 0; i < q.n && !r.over; i++)
        poly_add_scaled(&r, &p, &q.m[i]);
    return r.over || p.over ? not_dim(s, SN_OP_MUL, a, b) : poly_term(s, &r);
}

/* ---- division ---- */

/* a / b as monomials, where it divides. */
static bool mono_div(const Mono *a, const Mono *b, Mono *out)
{
    Mono r = {.n = 0};
    if (a->c == INT64_MIN || a->c % b->c != 0)
        return false;
    r.c = a->c / b->c;
    int j = 0;
    for (int i = 0; i < a->n; i++) {
        if (j < b->n && a->f[i] == b->f[j])
            j++;
        else
            r.f[r.n++] = a->f[i];
    }
    *out = r;
    return j == b->n;
}

/* a = q * b + r, where no monomial of r is divisible by the leading one of b. Uses a up. */
static bool poly_divide(Poly *a, const Poly *b, Poly *q, Poly *r)
{
    q->n = r->n = 0;
    q->over = r->over = false;
    for (int step = 0; a->n > 0 && step < 4 * MAX_MONOS; step++) {
        Mono t;
        if (mono_div(&a->m[0], &b->m[0], &t)) {
            poly_add_mono(q, &t);
            t.c = -t.c;
            poly_add_scaled(a, b, &t);
        } else {
            const Mono lead = a->m[0];
            poly_add_mono(r, &lead);
            a->n--;
            memmove(&a->m[0], &a->m[1], (size_t)a->n * sizeof *a->m);
        }
        if (a->over || q->over || r->over)
            return false;
    }
    return a->n == 0;
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t t = a % b;
        a = b;
        b = t;
    }
    return a < 0 ? -a : a;
}

/* Moves whole multiples of the constant c out of the coefficients of r; what stays of the constant is in [0,
 * c). */
static void split_coefficients(Poly *q, Poly *r, int64_t c)
{
    Poly rest = {.n = 0};
    for (int i = 0; i < r->n; i++) {
        Mono whole = r->m[i], part = r->m[i];
        whole.c = r->m[i].n == 0 ? floor_div(r->m[i].c, c) : r->m[i].c / c;
        part.c -= whole.c * c;
        poly_add_mono(q, &whole);
        poly_add_mono(&rest, &part);
    }
    q->over = q->over || rest.over;
    *r = rest;
}

/* Divides r and the monomial b by what they have in common, which *g keeps. */
static void take_common(const SnStore *s, Poly *r, Mono *b, Mono *g)
{
    g->n = 0;
    g->c = b->c;
    for (int i = 0; i < r->n; i++)
        g->c = gcd(g->c, r->m[i].c);
    for (int k = 0; k < b->n; k++) {
        const Mono f = {.c = 1, .n = 1, .f = {b->f[k]}};
        bool common = range_of(s, b->f[k]).lo >= 1;
        for (int i = 0; i < r->n && common; i++) {
            Mono t;
            common = mono_div(&r->m[i], &f, &t);
        }
        if (common && (g->n == 0 || g->f[g->n - 1] != b->f[k]))
            g->f[g->n++] = b->f[k];
    }
    for (int i = 0; i < r->n; i++)
        (void)mono_div(&r->m[i], g, &r->m[i]);
    (void)mono_div(b, g, b);
}

/* a = q * b + g * r and b = g * b': idiv is q + idiv r b', mod is g * mod r b'. */
typedef struct Division {
    Poly q, r, b;
    Mono g;
} Division;

/* false: nothing can be said, or the divisor may be less than 1. */
static bool divide(const SnStore *s, SnRef a, SnRef b, Division *d)
{
    Poly p;
    if (range_of(s, b).lo < 1)
        return false;
    poly_of(s, a, &p);
    poly_of(s, b, &d->b);
    if (p.over || d->b.over || d->b.n == 0 || !poly_divide(&p, &d->b, &d->q, &d->r))
        return false;
    d->g = (Mono){.c = 1, .n = 0};
    if (d->b.n == 1) {
        Mono *lead = &d->b.m[0];
        if (lead->c < 1)
            return false;
        if (lead->n == 0)
            split_coefficients(&d->q, &d->r, lead->c);
        if (d->r.n > 0)
            take_common(s, &d->r, lead, &d->g);
    }
    if (d->q.over)
        return false;
    const Range r = poly_range(s, &d->r), divisor = poly_range(s, &d->b);
    if (r.lo >= 0 && r.hi < divisor.lo)
        return true;
    return d->b.n == 1;
}

static bool is_below_divisor(const SnStore *s, const Division *d)
{
    const Range r = poly_range(s, &d->r);
    return r.lo >= 0 && r.hi < poly_range(s, &d->b).lo;
}

static SnRef fold2(SnStore *s, uint16_t op, SnRef a, SnRef b)
{
    SnScalar v[2], r;
    if (!sn_is_const(s, a, &v[0]) || !sn_is_const(s, b, &v[1]) || !sn_scalar_apply(op, SN_I64, v, &r))
        return 0;
    return sn_const_i64(s, r.i);
}

/* (x / c) / d is x / (c * d); (x mod c) mod d is x mod d where d divides c. */
static SnRef join_nested(SnStore *s, uint16_t op, SnRef r, SnRef b)
{
    const SnTerm *t = sn_term(s, r);
    int64_t c, d, cd;
    if (t->op != op || !sn_is_dim(s, r) || !sn_is_const_i64(s, t->arg[1], &c) || !sn_is_const_i64(s, b, &d) ||
        c < 1 || d < 1)
        return 0;
    if (op == SN_OP_MOD)
        return c % d == 0 ? sn_dim_mod(s, t->arg[0], b) : 0;
    return sn_mul_i64(c, d, &cd) ? sn_dim_div(s, t->arg[0], sn_const_i64(s, cd)) : 0;
}

SnRef sn_dim_div(SnStore *s, SnRef a, SnRef b)
{
    Division d;
    if (a == 0 || b == 0)
        return 0;
    const SnRef folded = fold2(s, SN_OP_IDIV, a, b);
    if (folded != 0)
        return folded;
    if (!divide(s, a, b, &d))
        return raw(s, SN_OP_IDIV, a, b);
    const SnRef q = poly_term(s, &d.q);
    if (is_below_divisor(s, &d))
        return q;
    const SnRef r = poly_term(s, &d.r), divisor = poly_term(s, &d.b);
    const SnRef joined = join_nested(s, SN_OP_IDIV, r, divisor);
    return sn_dim_add(s, q, joined != 0 ? joined : raw(s, SN_OP_IDIV, r, divisor));
}

SnRef sn_dim_mod(SnStore *s, SnRef a, SnRef b)
{
    Division d;
    if (a == 0 || b == 0)
        return 0;
    const SnRef folded = fold2(s, SN_OP_MOD, a, b);
    if (folded != 0)
        return folded;
    if (!divide(s, a, b, &d))
        return raw(s, SN_OP_MOD, a, b);
    const SnRef r = poly_term(s, &d.r), g = mono_term(s, &d.g);
    if (is_below_divisor(s, &d))
        return sn_dim_mul(s, r, g);
    const SnRef divisor = poly_term(s, &d.b);
    const SnRef joined = join_nested(s, SN_OP_MOD, r, divisor);
    return sn_dim_mul(s, joined != 0 ? joined : raw(s, SN_OP_MOD, r, divisor), g);
}

/* ---- min and max ---- */

static SnRef dim_select(SnStore *s, uint16_t op, SnRef a, SnRef b)
{
    Poly p;
    if (a == 0 || b == 0 || a == b)
        return a == 0 ? 0 : b;
    poly_of(s, a, &p);
    poly_read(s, b, -1, 0, &p);
    if (!p.over) {
        const Range r = poly_range(s, &p);
        if (r.lo >= 0)
            return op == SN_OP_MAX ? a : b;
        if (r.hi <= 0)
            return op == SN_OP_MAX ? b : a;
    }
    const SnTerm *t = sn_term(s, a);
    if (t->op == op && (t->arg[0] == b || t->arg[1] == b))
        return a;
    if (t->op == op && sn_is_const_i64(s, b, NULL) && sn_is_const_i64(s, t->arg[1], NULL))
        return dim_select(s, op, t->arg[0], fold2(s, op, t->arg[1], b));
    return raw(s, op, a, b);
}

SnRef sn_dim_min(SnStore *s, SnRef a, SnRef b)
{
    return dim_select(s, SN_OP_MIN, a, b);
}

SnRef sn_dim_max(SnStore *s, SnRef a, SnRef b)
{
    return dim_select(s, SN_OP_MAX, a, b);
}

SnRef sn_dim_op(SnStore *s, uint16_t op, SnRef a, SnRef b)
{
    switch (op) {
    case SN_OP_ADD:
        return sn_dim_add(s, a, b);
    case SN_OP_SUB:
        return sn_dim_sub(s, a, b);
    case SN_OP_MUL:
        return sn_dim_mul(s, a, b);
    case SN_OP_IDIV:
        return sn_dim_div(s, a, b);
    case SN_OP_MOD:
        return sn_dim_mod(s, a, b);
    default:
        return dim_select(s, op, a, b);
    }
}

bool sn_dim_equal(const SnStore *s, SnRef a, SnRef b)
{
    Poly p;
    if (a == b)
        return true;
    poly_of(s, a, &p);
    poly_read(s, b, -1, 0, &p);
    return !p.over && p.n == 0;
}

/* ---- evaluation ---- */

bool sn_dim_eval(const SnStore *s, SnRef dim, bool (*leaf)(void *self, SnRef leaf, int64_t *value),
                 void *self, int64_t *out)
{
    const SnTerm *t = sn_term(s, dim);
    SnScalar v[2], r;
    if (sn_is_const_i64(s, dim, out))
        return true;
    if (t->op == SN_OP_DIM || t->op == SN_OP_MEASURE || !sn_is_dim(s, dim))
        return leaf(self, dim, out);
    if (!sn_dim_eval(s, t->arg[0], leaf, self, &v[0].i) || !sn_dim_eval(s, t->arg[1], leaf, self, &v[1].i) ||
        !sn_scalar_apply(t->op, SN_I64, v, &r))
        return false;
    *out = r.i;
    return true;
}

/* ---- binding symbols ---- */

static SnRef bound_value(const SnBindings *b, SnRef symbol)
{
    for (int i = 0; i < b->n; i++)
        if (b->symbol[i] == symbol)
            return b->value[i];
    return 0;
}

SnRef sn_dim_bind(SnStore *s, SnRef dim, const SnBindings *b)
{
    const SnTerm *t = sn_term(s, dim);
    const SnRef found = bound_value(b, dim);
    if (found != 0)
        return found;
    if (t->narg != 2 || t->op == SN_OP_MEASURE || !sn_is_dim(s, dim))
        return dim;
    const SnRef x = sn_dim_bind(s, t->arg[0], b), y = sn_dim_bind(s, t->arg[1], b);
    return x == t->arg[0] && y == t->arg[1] ? dim : sn_dim_op(s, t->op, x, y);
}

static bool binds_all(const SnStore *s, SnRef dim, const SnBindings *b)
{
    const SnTerm *t = sn_term(s, dim);
    if (t->op == SN_OP_DIM)
        return bound_value(b, dim) != 0;
    if (t->op == SN_OP_MEASURE || !sn_is_dim(s, dim))
        return true;
    for (int i = 0; i < t->narg; i++)
        if (!binds_all(s, t->arg[i], b))
            return false;
    return true;
}

static bool bind(SnBindings *b, SnRef symbol, SnRef value)
{
    if (b->n == SN_MAX_BINDINGS || value == 0)
        return false;
    b->symbol[b->n] = symbol;
    b->value[b->n++] = value;
    return true;
}

/* Splits p into factor * x + rest, where x is the one symbol that is not bound and stands alone. */
static bool isolate(const SnStore *s, const Poly *p, const SnBindings *b, SnRef *x, Poly *factor, Poly *rest)
{
    *x = 0;
    factor->n = rest->n = 0;
    factor->over = rest->over = false;
    for (int i = 0; i < p->n; i++) {
        Mono m = {.c = p->m[i].c, .n = 0};
        bool has_x = false;
        for (int k = 0; k < p->m[i].n; k++) {
            const SnRef f = p->m[i].f[k];
            if (binds_all(s, f, b)) {
                m.f[m.n++] = f;
                continue;
            }
            if (sn_term(s, f)->op != SN_OP_DIM || has_x || (*x != 0 && *x != f))
                return false;
            *x = f;
            has_x = true;
        }
        poly_add_mono(has_x ? factor : rest, &m);
    }
    return *x != 0;
}

bool sn_dim_unify(SnStore *s, SnRef pattern, SnRef actual, SnBindings *b)
{
    if (sn_term(s, pattern)->op == SN_OP_DIM) {
        const SnRef value = bound_value(b, pattern);
        return value != 0 ? sn_dim_equal(s, value, actual) : bind(b, pattern, actual);
    }
    if (binds_all(s, pattern, b))
        return sn_dim_equal(s, sn_dim_bind(s, pattern, b), actual);
    Poly p, factor, rest;
    SnRef x;
    poly_of(s, pattern, &p);
    if (p.over || !isolate(s, &p, b, &x, &factor, &rest))
        return pattern == actual;
    const SnRef f = sn_dim_bind(s, poly_term(s, &factor), b), r = sn_dim_bind(s, poly_term(s, &rest), b);
    const SnRef value = sn_dim_div(s, sn_dim_sub(s, actual, r), f);
    /* Within one program symbols often stand for themselves: there n*m is n*m even where n may be 0. */
    if (sn_dim_equal(s, sn_dim_add(s, sn_dim_mul(s, x, f), r), actual))
        return bind(b, x, x);
    return value != 0 && sn_dim_equal(s, sn_dim_add(s, sn_dim_mul(s, value, f), r), actual) &&
           bind(b, x, value);
}

/* ---- printing ---- */

static void write_atom(const SnStore *s, SnRef r, SnDimNamer *namer, void *self, SnText *out)
{
    const SnTerm *t = sn_term(s, r);
    if (namer != NULL && (t->op == SN_OP_DIM || t->op == SN_OP_MEASURE || !sn_is_dim(s, r))) {
        namer(self, r, out);
        return;
    }
    if (t->op == SN_OP_DIM) {
        sn_text_printf(out, "%s", sn_attr_string(s, r, "name"));
        return;
    }
    if (t->op == SN_OP_MEASURE || !sn_is_dim(s, r)) {
        sn_text_printf(out, "%%%" PRIu32, r);
        return;
    }
    sn_text_printf(out, "%s(", sn_prim(t->op)->name);
    sn_dim_write(s, t->arg[0], namer, self, out);
    sn_text_add(out, ", ", 2);
    sn_dim_write(s, t->arg[1], namer, self, out);
    sn_text_add(out, ")", 1);
}

static void write_mono(const SnStore *s, const Mono *m, bool first, SnDimNamer *namer, void *self,
                       SnText *out)
{
    const bool minus = m->c < 0;
    if (minus || !first)
        sn_text_add(out, minus ? "-" : "+", 1);
    /* The magnitude as unsigned: INT64_MIN has none as signed. */
    const uint64_t c = minus ? 0 - (uint64_t)m->c : (uint64_t)m->c;
    if (c != 1 || m->n == 0)
        sn_text_printf(out, "%" PRIu64 "%s", c, m->n > 0 ? "*" : "");
    for (int k = 0; k < m->n; k++) {
        if (k > 0)
            sn_text_add(out, "*", 1);
        write_atom(s, m->f[k], namer, self, out);
    }
}

void sn_dim_write(const SnStore *s, SnRef dim, SnDimNamer *namer, void *self, SnText *out)
{
    Poly p;
    poly_of(s, dim, &p);
    if (p.n == 0)
        sn_text_add(out, "0", 1);
    for (int i = 0; i < p.n; i++)
        write_mono(s, &p.m[i], i == 0, namer, self, out);
}

void sn_dim_print(const SnStore *s, SnRef dim, SnText *out)
{
    sn_dim_write(s, dim, NULL, NULL, out);
}
