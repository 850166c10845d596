/* conv.c -- convolution and pooling over images whose channels lie last, as padding, windows and a product.
 *
 * Sums run over rows of the kernel, its columns, then channels; narrow floats are summed wide and rounded
 * once. */
#include "ops/help.h"

#include <math.h>

/* Rows and columns of a padded image [b, h, w, c] as a kernel of rows x cols sees them:
 * [b, y, x, rows, cols, c]. */
static SnValue windows(SnGraph *g, SnValue x, int64_t rows, int64_t cols, int64_t stride)
{
    const SnValue y = sn_window(g, sn_window(g, x, 1, rows, stride, 1), 2, cols, stride, 1);
    return sn_permute(g, y, (const int[]){0, 1, 2, 4, 5, 3});
}

/* x with so many values before and behind on axes 1 and 2, and `interior` between two of its own. */
static SnValue framed(SnGraph *g, SnValue x, const SnValue lo[2], const SnValue hi[2], int64_t interior,
                      double value)
{
    const SnValue none = sn_size(g, 0), first[] = {none, lo[0], lo[1], none},
                  last[] = {none, hi[0], hi[1], none};
    return sn_pad(g, x, first, last, sn_const(g, sn_value_dtype(g, x), value),
                  (const int64_t[]){0, interior, interior, 0});
}

static SnValue padded(SnGraph *g, SnValue x, int64_t by, double value)
{
    const SnValue n = sn_size(g, by), side[] = {n, n};
    return by ? framed(g, x, side, side, 0, value) : x;
}

/* ---- convolution ---- */

/* Rows and columns of the kernel, which shape windows: they are numbers. */
static bool kernel_of(SnGraph *g, const SnCall *c, int64_t k[2])
{
    const SnStore *s = sn_graph_store(g);
    for (int i = 0; i < 2; i++)
        if (!sn_is_const_i64(s, sn_dim(g, c->in[1], 2 + i).ref, &k[i])) {
            sn_graph_fail(g, SN_ESHAPE, "conv2d: a kernel whose size is not known");
            return false;
        }
    return true;
}

static SnValue conv2d(SnGraph *g, const SnCall *c)
{
    int64_t k[2];
    if (!kernel_of(g, c, k))
        return sn_none();
    const SnValue x = padded(g, c->in[0], sn_call_int(c, "padding"), 0);
    SnValue y = sn_contract(g, "byxijc,ocij->byxo", windows(g, x, k[0], k[1], sn_call_int(c, "stride")),
                            c->in[1], sn_wide_dtype(sn_value_dtype(g, x)));
    if (sn_call_has(c, 2))
        y = sn_add(g, y, sn_wide(g, c->in[2]));
    return sn_like(g, y, x);
}

/* What is needed around d, spread by the stride, so that windows of it have the dims of x and `more`. */
static SnValue spread(SnGraph *g, SnValue x, SnValue d, int64_t stride, const int64_t lo[2],
                      const int64_t more[2])
{
    SnValue before[2], behind[2];
    for (int i = 0; i < 2; i++) {
        const SnValue gaps = sn_mul(g, sn_sub(g, sn_dim(g, d, 1 + i), sn_size(g, 1)), sn_size(g, stride));
        const SnValue reach = sn_add(g, gaps, sn_size(g, 1 + lo[i]));
        before[i] = sn_size(g, lo[i]);
        behind[i] = sn_sub(g, sn_add(g, sn_dim(g, x, 1 + i), sn_size(g, more[i])), reach);
    }
    return framed(g, d, before, behind, stride - 1, 0);
}

/* Of x: a convolution of d, spread by the stride, with the kernel turned round; of the kernel: a product over
 * the places where it was. */
static SnValue conv2d_grad(SnGraph *g, const SnCall *c, SnValue y, SnValue d, int i)
{
    int64_t k[2];
    const int64_t stride = sn_call_int(c, "stride"), padding = sn_call_int(c, "padding");
    const SnValue x = c->in[0], w = c->in[1];
    const SnDtype wide = sn_wide_dtype(sn_value_dtype(g, x));
    (void)y;
    if (!kernel_of(g, c, k))
        return sn_none();
    if (i == 2)
        return sn_like(g, sn_reduce(g, "add", sn_wide(g, d), 3, (const int[]){0, 1, 2}, false), c->in[2]);
    if (i == 1) {
        const SnValue seen = windows(g, padded(g, x, padding, 0), k[0], k[1], stride);
        const SnValue dw = sn_contract(g, "byxijc,byxo->ijco", seen, d, wide);
        return sn_like(g, sn_permute(g, dw, (const int[]){3, 2, 0, 1}), w);
    }
    const int64_t lo[] = {k[0] - 1 - padding, k[1] - 1 - padding}, more[] = {k[0] - 1, k[1] - 1};
    const SnValue seen = windows(g, spread(g, x, d, stride, lo, more), k[0], k[1], 1);
    return sn_like(g, sn_contract(g, "byxijo,ocij->byxc", seen, sn_flip(g, w, 2, (const int[]){2, 3}), wide),
                   x);
}

/* ---- pooling ---- */

static SnValue max_windows(SnGraph *g, const SnCall *c)
{
    const int64_t size = sn_call_int(c, "size");
    const SnValue x = padded(g, c->in[0], sn_call_int(c, "padding"), -HUGE_VAL);
    return windows(g, x, size, size, sn_call_int(c, "stride"));
}

static SnValue max_pool2d(SnGraph *g, const SnCall *c)
{
    return sn_reduce(g, "max", max_windows(g, c), 2, (const int[]){3, 4}, false);
}

/* The first of the largest has it all. */
static SnValue max_pool2d_grad(SnGraph *g, const SnCall *c, SnValue y, SnValue d, int i)
{
    const int64_t size = sn_call_int(c, "size"), padding = sn_call_int(c, "padding"),
                  stride = sn_call_int(c, "stride");
    const SnValue seen = max_windows(g, c), none = sn_const(g, sn_value_dtype(g, d), 0);
    SnValue dims[SN_MAX_RANK], sum = sn_none();
    sn_dims(g, seen, dims);
    const SnValue flat[] = {dims[0], dims[1], dims[2], sn_size(g, size * size), dims[5]};
    const SnValue first = sn_argmax(g, sn_reshape(g, seen, 5, flat), 3, false);
    (void)y, (void)i;
    for (int64_t k = 0; k < size * size; k++) {
        const int64_t lo[] = {k / size - padding, k % size - padding}, more[] = {0, 0};
        const SnValue part = sn_where(g, sn_eq(g, first, sn_size(g, k)), d, none);
        const SnValue back = spread(g, c->in[0], part, stride, lo, more);
        sum = sum.ref ? sn_add(g, sum, back) : back;
    }
    return sum;
}

const SnOp sn_conv_ops[] = {
    {.sig = "conv2d(x: F[b, h, w, c], weight: F[o, c, i, j], bias: F[o]?; stride: int = 1, padding: int = 0) "
            "-> ?",
     .expand = conv2d,
     .grad = conv2d_grad,
     .doc = "y[b, y, x, o] = sum of x[b, y s + i - p, x s + j - p, c] * weight[o, c, i, j] + bias[o]"},
    {.sig = "max_pool2d(x: F[b, h, w, c]; size: int, stride: int, padding: int = 0) -> ?",
     .expand = max_pool2d,
     .grad = max_pool2d_grad,
     .doc = "the largest of size x size places, every stride, of x with padding that never wins"},
    {0},
};
