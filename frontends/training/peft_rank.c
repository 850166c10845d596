/* peft_rank.c -- matrices of a low rank that are near others: the best ones, and those that pissa and olora
 * begin as.
 *
 * PiSSA: Meng et al. 2024, arXiv:2404.02948. OLoRA: Buyukakyuz 2024, arXiv:2406.01775. */
#include "frontends/training/peft_state.h"

#include "runtime/hash.h"

#include <math.h>

#define SWEEPS 60

/* ---- the best product of a rank ---- */

/* Columns of q [rows, n], stored by column, become orthonormal; r [n, n]: q = new q times r. */
static void orthogonalise(double *q, double *r, int64_t rows, int64_t n)
{
    for (int64_t j = 0; j < n; j++) {
        double *c = q + j * rows, norm = 0, before = 0;
        for (int64_t i = 0; i < rows; i++)
            before += c[i] * c[i];
        for (int pass = 0; pass < 2; pass++)
            for (int64_t k = 0; k < j; k++) {
                double dot = 0;
                for (int64_t i = 0; i < rows; i++)
                    dot += q[k * rows + i] * c[i];
                for (int64_t i = 0; i < rows; i++)
                    c[i] -= dot * q[k * rows + i];
                r[k * n + j] += dot;
            }
        for (int64_t i = 0; i < rows; i++)
            norm += c[i] * c[i];
        const bool is_none = norm <= 1e-24 * before;
        r[j * n + j] = is_none ? 0 : sqrt(norm);
        for (int64_t i = 0; i < rows; i++)
            c[i] = is_none ? 0 : c[i] / r[j * n + j];
    }
}

/* m [n, n] by columns becomes u s, v [n, n] turns it there: m_before v = u s. Hestenes 1958. */
static void jacobi(double *m, double *v, int64_t n)
{
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        bool turned = false;
        for (int64_t p = 0; p < n; p++)
            for (int64_t q = p + 1; q < n; q++) {
                double a = 0, b = 0, c = 0;
                for (int64_t i = 0; i < n; i++) {
                    a += m[p * n + i] * m[p * n + i];
                    b += m[q * n + i] * m[q * n + i];
                    c += m[p * n + i] * m[q * n + i];
                }
                if (fabs(c) <= 1e-15 * sqrt(a * b) || c == 0)
                    continue;
                const double z = (b - a) / (2 * c), t = (z >= 0 ? 1 : -1) / (fabs(z) + sqrt(1 + z * z));
                const double cos = 1 / sqrt(1 + t * t), sin = cos * t;
                turned = true;
                for (int64_t i = 0; i < 2 * n; i++) {
                    double *x = i < n ? &m[p * n + i] : &v[p * n + i - n],
                           *y = i < n ? &m[q * n + i] : &v[q * n + i - n];
                    const double old = *x;
                    *x = cos * old - sin * *y;
                    *y = sin * old + cos * *y;
                }
            }
        if (!turned)
            return;
    }
}

bool sn_peft_best(SnArena *work, const SnPeftPart *part, size_t n, int64_t in, int64_t out, int64_t rank,
                  float *a, float *b)
{
    int64_t all = 0, at = 0;
    for (size_t k = 0; k < n; k++)
        all += part[k].rank;
    const size_t square = (size_t)(all * all);
    double *u = sn_arena_array(work, (size_t)(out * all), sizeof *u),
           *w = sn_arena_array(work, (size_t)(in * all), sizeof *w),
           *ru = sn_arena_array(work, square, sizeof *ru), *rw = sn_arena_array(work, square, sizeof *rw),
           *core = sn_arena_array(work, square, sizeof *core), *v = sn_arena_array(work, square, sizeof *v),
           *s = sn_arena_array(work, (size_t)all, sizeof *s);
    if (!u || !w || !ru || !rw || !core || !v || !s)
        return false;
    for (size_t k = 0; k < n; k++)
        for (int64_t r = 0; r < part[k].rank; r++, at++) {
            for (int64_t i = 0; i < out; i++)
                u[at * out + i] = part[k].weight * (double)part[k].b[i * part[k].rank + r];
            for (int64_t i = 0; i < in; i++)
                w[at * in + i] = (double)part[k].a[r * in + i];
        }
    orthogonalise(u, ru, out, all);
    orthogonalise(w, rw, in, all);
    for (int64_t i = 0; i < all; i++)
        for (int64_t j = 0; j < all; j++) {
            v[j * all + i] = i == j;
            for (int64_t k = 0; k < all; k++)
                core[j * all + i] += ru[i * all + k] * rw[j * all + k];
        }
    jacobi(core, v, all);
    for (int64_t j = 0; j < all; j++)
        for (int64_t i = 0; i < all; i++)
            s[j] += core[j * all + i] * core[j * all + i];
    for (int64_t r = 0; r < rank && r < all; r++) {
        int64_t top = 0;
        for (int64_t j = 1; j < all; j++)
            top = s[j] > s[top] ? j : top;
        s[top] = -1;
        for (int64_t i = 0; i < out; i++) {
            double sum = 0;
            for (int64_t k = 0; k < all; k++)
                sum += u[k * out + i] * core[top * all + k];
            b[i * rank + r] = (float)sum;
        }
        for (int64_t i = 0; i < in; i++) {
            double sum = 0;
            for (int64_t k = 0; k < all; k++)
                sum += w[k * in + i] * v[top * all + k];
            a[r * in + i] = (float)sum;
        }
    }
    return true;
}

/* ---- parts of a matrix ---- */

typedef struct Matrix {
    const float *at; /* [out, in] */
    int64_t out, in;
} Matrix;

/* y = w x */
static void times(Matrix w, const double *x, double *y)
{
    for (int64_t i = 0; i < w.out; i++) {
        double sum = 0;
        for (int64_t k = 0; k < w.in; k++)
            sum += (double)w.at[i * w.in + k] * x[k];
        y[i] = sum;
    }
}

/* y = x w */
static void times_left(Matrix w, const double *x, double *y)
{
    for (int64_t k = 0; k < w.in; k++)
        y[k] = 0;
    for (int64_t i = 0; i < w.out; i++)
        for (int64_t k = 0; k < w.in; k++)
            y[k] += (double)w.at[i * w.in + k] * x[i];
}

static double dot(const double *x, const double *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* v becomes of length 1 and square to those before it; false: nothing is left of it. */
static bool square_to(const double *before, int64_t n, double *v, int64_t size)
{
    const double all = dot(v, v, size);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < n; j++) {
            const double *u = before + j * size, share = dot(u, v, size);
            for (int64_t i = 0; i < size; i++)
                v[i] -= share * u[i];
        }
    const double left = sqrt(dot(v, v, size));
    for (int64_t i = 0; i < size; i++)
        v[i] = left > 0 ? v[i] / left : 0;
    return left > 1e-10 * sqrt(all);
}

/* v [n, in]: directions in which w is large, one from the other (Lanczos 1950); p [n, out] = w v. Those that
 * are there already, *n of them, stay; fewer than most: there are no others. */
static void explore(Matrix w, double *v, double *p, int64_t *n, int64_t most, double *any, uint64_t *state)
{
    for (; *n < most; (*n)++) {
        double *own = v + *n * w.in;
        bool is_new = false;
        if (*n) {
            times_left(w, p + (*n - 1) * w.out, own);
            is_new = square_to(v, *n, own, w.in);
        }
        if (!is_new) {
            for (int64_t i = 0; i < w.out; i++)
                any[i] = (double)sn_nn_normal(state);
            times_left(w, any, own);
            if (!square_to(v, *n, own, w.in))
                return;
        }
        times(w, own, p + *n * w.out);
    }
}

/* p [n, out] and q [n, in] as the product that best takes. */
static bool as_part(SnArena *work, Matrix w, const double *p, const double *q, int64_t n, SnPeftPart *out)
{
    *out = (SnPeftPart){.a = sn_arena_array(work, (size_t)(n * w.in) + 1, sizeof(float)),
                        .b = sn_arena_array(work, (size_t)(n * w.out) + 1, sizeof(float)),
                        .rank = n,
                        .weight = 1};
    for (int64_t i = 0; out->a && i < n * w.in; i++)
        out->a[i] = (float)q[i];
    for (int64_t i = 0; out->b && i < n * w.out; i++)
        out->b[i % w.out * n + i / w.out] = (float)p[i];
    return out->a && out->b;
}

/* Is w' b = s s a, for every column of b, whose length is s, to what an f32 can say? */
static bool is_settled(SnArena *work, Matrix w, const SnPeftPart *p)
{
    double *u = sn_arena_array(work, (size_t)w.out, sizeof *u),
           *y = sn_arena_array(work, (size_t)w.in, sizeof *y);
    double most = 0;
    for (int64_t r = 0; u && y && r < p->rank; r++) {
        for (int64_t i = 0; i < w.out; i++)
            u[i] = (double)p->b[i * p->rank + r];
        const double squares = dot(u, u, w.out), s = sqrt(squares);
        most = r ? most : s;
        times_left(w, u, y);
        for (int64_t i = 0; i < w.in; i++)
            y[i] -= squares * (double)p->a[r * w.in + i];
        if (sqrt(dot(y, y, w.in)) > 1e-6 * most * s)
            return false;
    }
    return u && y;
}

/* The first singular vectors of w; b has their values. */
static bool principal(SnArena *work, Matrix w, uint64_t state, SnPeftPart *p)
{
    const int64_t all = w.in < w.out ? w.in : w.out, first = 4 * p->rank + 32;
    double *any = sn_arena_array(work, (size_t)w.out, sizeof *any), *v = NULL, *u = NULL;
    for (int64_t n = 0, most = first < all ? first : all;; most = 2 * most < all ? 2 * most : all) {
        double *more_v = sn_arena_array(work, (size_t)(most * w.in), sizeof *v),
               *more_u = sn_arena_array(work, (size_t)(most * w.out), sizeof *u);
        SnPeftPart found;
        if (!any || !more_v || !more_u)
            return false;
        if (n) {
            memcpy(more_v, v, (size_t)(n * w.in) * sizeof *v);
            memcpy(more_u, u, (size_t)(n * w.out) * sizeof *u);
        }
        v = more_v;
        u = more_u;
        explore(w, v, u, &n, most, any, &state);
        if (!as_part(work, w, u, v, n, &found) ||
            !sn_peft_best(work, &found, 1, w.in, w.out, p->rank, p->a, p->b))
            return false;
        if (n < most || most == all || is_settled(work, w, p))
            return true;
    }
}

bool sn_peft_nearest(SnArena *work, const float *w, int64_t out, int64_t in, int64_t rank, float *a, float *b)
{
    SnPeftPart p = {.a = a, .b = b, .rank = rank};
    return principal(work, (Matrix){w, out, in}, sn_hash64("nearest", 7, 0), &p);
}

/* The same from directions at random, which w turns towards its own: `rounds` times. Halko et al. 2011,
 * arXiv:0909.4061. */
static bool sampled(SnArena *work, Matrix w, int64_t rounds, uint64_t state, SnPeftPart *p)
{
    const int64_t r = p->rank;
    double *q = sn_arena_array(work, (size_t)(r * w.out), sizeof *q),
           *x = sn_arena_array(work, (size_t)(r * w.in), sizeof *x),
           *rest = sn_arena_array(work, (size_t)(r * r), sizeof *rest);
    SnPeftPart found;
    if (!q || !x || !rest)
        return false;
    for (int64_t i = 0; i < r * w.in; i++)
        x[i] = (double)sn_nn_normal(&state);
    for (int64_t round = 0; round <= rounds; round++) {
        for (int64_t k = 0; k < r; k++)
            times(w, x + k * w.in, q + k * w.out);
        orthogonalise(q, rest, w.out, r);
        for (int64_t k = 0; k < r; k++)
            times_left(w, q + k * w.out, x + k * w.in);
        if (round < rounds)
            orthogonalise(x, rest, w.in, r);
    }
    return as_part(work, w, q, x, r, &found) && sn_peft_best(work, &found, 1, w.in, w.out, r, p->a, p->b);
}

/* The first columns of q and rows of r, where w = q r. */
static bool first_rows(SnArena *work, Matrix w, SnPeftPart *p)
{
    const int64_t r = p->rank;
    double *q = sn_arena_array(work, (size_t)(r * w.out), sizeof *q),
           *x = sn_arena_array(work, (size_t)w.in, sizeof *x),
           *rest = sn_arena_array(work, (size_t)(r * r), sizeof *rest);
    if (!q || !x || !rest)
        return false;
    for (int64_t i = 0; i < r * w.out; i++)
        q[i] = (double)w.at[i % w.out * w.in + i / w.out];
    orthogonalise(q, rest, w.out, r);
    for (int64_t k = 0; k < r; k++) {
        times_left(w, q + k * w.out, x);
        for (int64_t i = 0; i < w.in; i++)
            p->a[k * w.in + i] = (float)x[i];
        for (int64_t i = 0; i < w.out; i++)
            p->b[i * r + k] = (float)q[k * w.out + i];
    }
    return true;
}

bool sn_peft_part(SnArena *work, const SnAdapter *adapter, const float *w, int64_t out, int64_t in,
                  SnPeftPart *p)
{
    const Matrix m = {w, out, in};
    const int64_t r = p->rank;
    const uint64_t state = sn_hash64("pissa", 5, adapter->seed);
    p->a = sn_arena_array(work, (size_t)(r * in) + 1, sizeof *p->a);
    p->b = sn_arena_array(work, (size_t)(out * r) + 1, sizeof *p->b);
    if (!p->a || !p->b)
        return false;
    if (adapter->taken == SN_PEFT_OLORA)
        return first_rows(work, m, p);
    if (!(adapter->taken == SN_PEFT_PISSA ? principal(work, m, state, p)
                                          : sampled(work, m, adapter->rounds, state, p)))
        return false;
    for (int64_t k = 0; k < r; k++) {
        double squares = 0;
        for (int64_t i = 0; i < out; i++)
            squares += (double)p->b[i * r + k] * (double)p->b[i * r + k];
        const double s = sqrt(squares), root = sqrt(s / p->weight);
        for (int64_t i = 0; i < in; i++)
            p->a[k * in + i] = (float)((double)p->a[k * in + i] * root);
        for (int64_t i = 0; i < out; i++)
            p->b[i * r + k] = s > 0 ? (float)((double)p->b[i * r + k] / s * root) : 0;
    }
    return true;
}
