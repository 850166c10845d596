/* optim.c -- optimizers: what a parameter and what is kept of it become after a step; and learning rates.
 *
 * As torch.optim computes them, and Adafactor as Transformers does: numbers of the step in f64, tensors in
 * the dtype of the parameter. `step` counts from 1. Each gives tuple(w, kept..). */
#include "ops/help.h"

#include <math.h>
#include <stdlib.h>

static SnValue attr(SnGraph *g, const SnCall *c, const char *name)
{
    return sn_num(g, sn_call_float(c, name));
}

/* A scalar of a step, as tensors take it. */
static SnValue as(SnGraph *g, SnValue scalar, SnValue w)
{
    return sn_like(g, scalar, w);
}

/* a x + (1 - a) y */
static SnValue blend(SnGraph *g, double a, SnValue x, SnValue y)
{
    return sn_add(g, sn_mul(g, x, sn_num(g, a)), sn_mul(g, y, sn_num(g, 1 - a)));
}

static SnValue decayed(SnGraph *g, const SnCall *c, SnValue w, SnValue lr)
{
    const double decay = sn_call_float(c, "weight_decay");
    return decay == 0 ? w : sn_mul(g, w, as(g, sn_sub(g, sn_num(g, 1), sn_mul(g, lr, sn_num(g, decay))), w));
}

/* 1 - beta^step */
static SnValue correction(SnGraph *g, double beta, SnValue step)
{
    return sn_sub(g, sn_num(g, 1), sn_pow(g, sn_const(g, SN_F64, beta), step));
}

static SnValue tuple(SnGraph *g, int n, const SnValue *v)
{
    return sn_tuple(g, n, v, NULL);
}

/* ---- Adam; Kingma & Ba 2014, arXiv:1412.6980; decoupled decay: Loshchilov & Hutter 2017, arXiv:1711.05101
 * ---- */

static SnValue adamw(SnGraph *g, const SnCall *c)
{
    const SnValue d = c->in[1], step = c->in[4], lr = c->in[5];
    const double beta1 = sn_call_float(c, "beta1"), beta2 = sn_call_float(c, "beta2");
    const SnValue w = decayed(g, c, c->in[0], lr);
    const SnValue m = blend(g, beta1, c->in[2], d), v = blend(g, beta2, c->in[3], sn_square(g, d));
    const SnValue size = sn_div(g, lr, correction(g, beta1, step));
    const SnValue root = sn_sqrt(g, correction(g, beta2, step));
    const SnValue below = sn_add(g, sn_div(g, sn_sqrt(g, v), as(g, root, w)), attr(g, c, "eps"));
    const SnValue next = sn_sub(g, w, sn_mul(g, as(g, size, w), sn_div(g, m, below)));
    return tuple(g, 3, (const SnValue[]){next, m, v});
}

/* ---- AdEMAMix; Pagliardini et al. 2024, arXiv:2409.03137 ---- */

/* beta3 as it rises from beta1 over t_beta3 steps: linear in its half-life. */
static SnValue slow_beta(SnGraph *g, const SnCall *c, SnValue step)
{
    const double beta3 = sn_call_float(c, "beta3"), steps = sn_call_float(c, "t_beta3");
    const double ln1 = log(sn_call_float(c, "beta1")), ln3 = log(beta3);
    if (steps == 0)
        return sn_const(g, SN_F64, beta3);
    const SnValue part = sn_div(g, step, sn_num(g, steps));
    const SnValue rest = sn_mul(g, sn_sub(g, sn_num(g, 1), part), sn_num(g, ln3));
    const SnValue below = sn_add(g, rest, sn_mul(g, part, sn_num(g, ln1)));
    return sn_min(g, sn_exp(g, sn_div(g, sn_num(g, ln1 * ln3), below)), sn_num(g, beta3));
}

static SnValue ademamix(SnGraph *g, const SnCall *c)
{
    const SnValue d = c->in[1], step = c->in[5], lr = c->in[6], w = decayed(g, c, c->in[0], lr);
    const double beta1 = sn_call_float(c, "beta1"), beta2 = sn_call_float(c, "beta2");
    const double alpha = sn_call_float(c, "alpha"), steps = sn_call_float(c, "t_alpha");
    const SnValue beta3 = slow_beta(g, c, step), rest = as(g, sn_sub(g, sn_num(g, 1), beta3), w);
    SnValue share = sn_const(g, SN_F64, alpha);
    if (steps != 0)
        share = sn_min(g, sn_mul(g, step, sn_num(g, alpha / steps)), share);
    const SnValue m = blend(g, beta1, c->in[2], d), v = blend(g, beta2, c->in[3], sn_square(g, d));
    const SnValue slow = sn_add(g, sn_mul(g, c->in[4], as(g, beta3, w)), sn_mul(g, d, rest));
    const SnValue fast = sn_div(g, m, as(g, correction(g, beta1, step), w));
    const SnValue both = sn_add(g, fast, sn_mul(g, slow, as(g, share, w)));
    const SnValue root = as(g, sn_sqrt(g, correction(g, beta2, step)), w);
    const SnValue below = sn_add(g, sn_div(g, sn_sqrt(g, v), root), attr(g, c, "eps"));
    const SnValue next = sn_sub(g, w, sn_mul(g, as(g, lr, w), sn_div(g, both, below)));
    return tuple(g, 4, (const SnValue[]){next, m, v, slow});
}

/* ---- 8-bit numbers of what is kept; Dettmers et al. 2021, arXiv:2110.02861 ---- */

#define BLOCK_8BIT 256

static int ascending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The 256 numbers that there are: seven powers of ten, each cut twice as fine as the one below; 0 and 1. */
static void dynamic_map(bool is_signed, float *map)
{
    int n = 0;
    for (int i = 0; i < 7; i++) {
        const int parts = is_signed ? 1 << i : 2 << i;
        const double power = pow(10, i - 6);
        for (int k = 0; k < parts; k++) {
            const float step = 0.9f / (float)parts, low = 0.1f + step * (float)k;
            const float mean = (low + (k + 1 == parts ? 1.0f : 0.1f + step * (float)(k + 1))) / 2;
            map[n++] = (float)(power * (double)mean);
            if (is_signed)
                map[n++] = (float)(-power * (double)mean);
        }
    }
    map[n++] = 0;
    map[n++] = 1;
    qsort(map, (size_t)n, sizeof *map, ascending);
}

/* Where bitsandbytes on a CPU looks for the number that is nearest to x: a table of [-1, 1] in 65536 parts.
 */
static float part_of(float x)
{
    const float half = (x + 1) * 0.5f;
    return floorf((float)((double)half * 65535 + 0.5)) / 65535 * 2 - 1;
}

/* The greatest x for which the number there is at most the i-th. */
static float last_of(const float *map, int i)
{
    const float middle = (map[i] + map[i + 1]) / 2;
    float low = -1, high = 1;
    for (float mid = 0; low < mid && mid < high; mid = low + (high - low) / 2)
        *(part_of(mid) <= middle ? &low : &high) = mid;
    return low;
}

/* The number for each: a search among where they end. */
static SnValue quantize_dynamic(SnGraph *g, const SnCall *c)
{
    float map[BLOCK_8BIT], last[BLOCK_8BIT - 1];
    dynamic_map(sn_call_int(c, "has_sign") != 0, map);
    for (int i = 0; i + 1 < BLOCK_8BIT; i++)
        last[i] = last_of(map, i);
    const SnValue x = sn_flat_blocks(g, c->in[0], BLOCK_8BIT);
    const SnValue most = sn_reduce(g, "max", sn_abs(g, x), 1, (const int[]){1}, false);
    const SnValue part = sn_mul(g, x, sn_insert_axis(g, sn_div(g, sn_num(g, 1), most), 1));
    const SnValue table = sn_const_data(g, SN_F32, 1, &(int64_t){BLOCK_8BIT - 1}, last);
    const SnValue dims[] = {sn_dim(g, part, 0), sn_dim(g, part, 1)};
    SnValue at = sn_broadcast(g, sn_const_int(g, SN_I32, 0), 2, dims);
    for (int64_t bit = BLOCK_8BIT / 2; bit > 0; bit /= 2) {
        const SnValue next = sn_add(g, at, sn_const_int(g, SN_I32, bit));
        const SnValue below = sn_sub(g, next, sn_const_int(g, SN_I32, 1));
        const SnValue edge = sn_gather(g, table, 1, (const int[]){0}, &below, NULL);
        at = sn_where(g, sn_lt(g, edge, part), next, at);
    }
    return tuple(g, 2, (const SnValue[]){sn_cast(g, at, SN_U8), most});
}

static SnValue dequantize_dynamic(SnGraph *g, const SnCall *c)
{
    float map[BLOCK_8BIT];
    SnValue dims[SN_MAX_RANK];
    dynamic_map(sn_call_int(c, "has_sign") != 0, map);
    const SnValue table = sn_const_data(g, SN_F32, 1, &(int64_t){BLOCK_8BIT}, map);
    const SnValue at = sn_cast(g, c->in[0], SN_I32);
    const SnValue x =
        sn_mul(g, sn_gather(g, table, 1, (const int[]){0}, &at, NULL), sn_insert_axis(g, c->in[1], 1));
    return sn_like(g, sn_flat_back(g, x, sn_dims(g, c->in[2], dims), dims), c->in[2]);
}

/* ---- SGD ---- */

static SnValue sgd(SnGraph *g, const SnCall *c)
{
    const SnValue w = c->in[0], step = c->in[3], lr = as(g, c->in[4], w);
    const double momentum = sn_call_float(c, "momentum"), decay = sn_call_float(c, "weight_decay");
    const bool nesterov = sn_call_int(c, "nesterov") != 0;
    SnValue d = c->in[1], kept = c->in[2];
    if (decay != 0)
        d = sn_add(g, d, sn_mul(g, w, sn_num(g, decay)));
    if (momentum != 0) {
        const SnValue share = sn_sub(g, sn_num(g, 1), attr(g, c, "dampening"));
        const SnValue is_first = sn_eq(g, step, sn_num(g, 1));
        const SnValue some = sn_where(g, is_first, d, sn_mul(g, d, as(g, share, w)));
        kept = sn_add(g, sn_mul(g, kept, sn_num(g, momentum)), some);
        d = nesterov ? sn_add(g, d, sn_mul(g, kept, sn_num(g, momentum))) : kept;
    }
    return tuple(g, 2, (const SnValue[]){sn_sub(g, w, sn_mul(g, d, lr)), kept});
}

/* ---- Adagrad; Duchi et al. 2011. RMSprop; Tieleman & Hinton 2012. Lion; Chen et al. 2023, arXiv:2302.06675
 * ---- */

static SnValue l2(SnGraph *g, const SnCall *c)
{
    const double decay = sn_call_float(c, "weight_decay");
    return decay == 0 ? c->in[1] : sn_add(g, c->in[1], sn_mul(g, c->in[0], sn_num(g, decay)));
}

static SnValue adagrad(SnGraph *g, const SnCall *c)
{
    const SnValue w = c->in[0], d = l2(g, c), step = c->in[3], one = sn_num(g, 1);
    const SnValue slower = sn_mul(g, sn_sub(g, step, one), attr(g, c, "lr_decay"));
    const SnValue lr = as(g, sn_div(g, c->in[4], sn_add(g, slower, one)), w);
    const SnValue sum = sn_add(g, c->in[2], sn_square(g, d));
    const SnValue below = sn_add(g, sn_sqrt(g, sum), attr(g, c, "eps"));
    return tuple(g, 2, (const SnValue[]){sn_sub(g, w, sn_mul(g, lr, sn_div(g, d, below))), sum});
}

static SnValue rmsprop(SnGraph *g, const SnCall *c)
{
    const SnValue w = c->in[0], d = l2(g, c), lr = as(g, c->in[5], w);
    const double alpha = sn_call_float(c, "alpha"), momentum = sn_call_float(c, "momentum");
    const bool centered = sn_call_int(c, "centered") != 0;
    const SnValue square = blend(g, alpha, c->in[2], sn_square(g, d));
    const SnValue mean = centered ? blend(g, alpha, c->in[4], d) : c->in[4];
    const SnValue spread = centered ? sn_sub(g, square, sn_square(g, mean)) : square;
    const SnValue move = sn_div(g, d, sn_add(g, sn_sqrt(g, spread), attr(g, c, "eps")));
    const SnValue kept = momentum != 0 ? sn_add(g, sn_mul(g, c->in[3], sn_num(g, momentum)), move) : c->in[3];
    const SnValue next = sn_sub(g, w, sn_mul(g, lr, momentum != 0 ? kept : move));
    return tuple(g, 4, (const SnValue[]){next, square, kept, mean});
}

static SnValue lion(SnGraph *g, const SnCall *c)
{
    const SnValue d = c->in[1], lr = c->in[3], w = decayed(g, c, c->in[0], lr), zero = sn_num(g, 0);
    const SnValue way = blend(g, sn_call_float(c, "beta1"), c->in[2], d);
    const SnValue step = as(g, lr, w), back = sn_neg(g, step);
    const SnValue move = sn_where(g, sn_lt(g, zero, way), step, sn_where(g, sn_lt(g, way, zero), back, zero));
    const SnValue m = blend(g, sn_call_float(c, "beta2"), c->in[2], d);
    return tuple(g, 2, (const SnValue[]){sn_sub(g, w, move), m});
}

/* ---- Adafactor; Shazeer & Stern 2018, arXiv:1804.04235 ---- */

static SnValue mean_of(SnGraph *g, SnValue x, int axis)
{
    return sn_mean(g, x, (const int64_t[]){axis}, 1, false);
}

static SnValue rms(SnGraph *g, SnValue x)
{
    SnValue n = sn_size(g, 1);
    for (int i = 0; i < sn_rank(g, x); i++)
        n = sn_mul(g, n, sn_dim(g, x, i));
    return sn_sqrt(g, sn_div(g, sn_reduce(g, "add", sn_square(g, x), 0, NULL, false), n));
}

/* The rate of Adafactor's own: 1 / sqrt(step), at most 1e-2, or 1e-6 step. */
static SnValue relative(SnGraph *g, const SnCall *c, SnValue step, SnValue lr)
{
    if (!sn_call_int(c, "relative_step"))
        return lr;
    const SnValue most = sn_call_int(c, "warmup_init") ? sn_mul(g, step, sn_num(g, 1e-6)) : sn_num(g, 1e-2);
    return sn_min(g, sn_div(g, sn_num(g, 1), sn_sqrt(g, step)), most);
}

/* row, col: means over the last axis and the one before; of vectors and scalars row is all of it. */
static SnValue adafactor(SnGraph *g, const SnCall *c)
{
    const SnValue d = c->in[1], step = c->in[5];
    const int rank = sn_rank(g, d);
    const double beta1 = sn_call_float(c, "beta1"), eps = sn_call_float(c, "eps"), one = 1;
    const SnValue size = rms(g, c->in[0]), least = attr(g, c, "eps_scale");
    SnValue lr = as(g, relative(g, c, step, c->in[6]), d), w = c->in[0], row = c->in[2], col = c->in[3],
            move = d;
    if (sn_call_int(c, "scale_parameter"))
        lr = sn_mul(g, lr, sn_max(g, size, least));
    const SnValue keep =
        as(g, sn_sub(g, sn_num(g, one), sn_pow(g, step, sn_const(g, SN_F64, sn_call_float(c, "decay_rate")))),
           d);
    const SnValue share = sn_sub(g, sn_num(g, one), keep);
    const SnValue square = sn_add(g, sn_square(g, d), sn_num(g, eps));
    if (rank >= 2) {
        row = sn_add(g, sn_mul(g, row, keep), sn_mul(g, mean_of(g, square, -1), share));
        col = sn_add(g, sn_mul(g, col, keep), sn_mul(g, mean_of(g, square, -2), share));
        const SnValue whole = sn_mean(g, row, (const int64_t[]){-1}, 1, true);
        const SnValue r = sn_insert_axis(g, sn_rsqrt(g, sn_div(g, row, whole)), rank - 1);
        move = sn_mul(g, sn_mul(g, r, sn_insert_axis(g, sn_rsqrt(g, col), rank - 2)), d);
    } else {
        row = sn_add(g, sn_mul(g, row, keep), sn_mul(g, square, share));
        move = sn_mul(g, sn_rsqrt(g, row), d);
    }
    const SnValue over = sn_div(g, rms(g, move), attr(g, c, "clip_threshold"));
    move = sn_mul(g, sn_div(g, move, sn_max(g, over, sn_num(g, one))), lr);
    SnValue kept = c->in[4];
    if (beta1 != 0)
        move = kept = blend(g, beta1, kept, move);
    if (sn_call_float(c, "weight_decay") != 0)
        w = sn_sub(g, w, sn_mul(g, w, sn_mul(g, lr, attr(g, c, "weight_decay"))));
    return tuple(g, 4, (const SnValue[]){sn_sub(g, w, move), row, col, kept});
}

/* ---- learning rates: what the base rate is multiplied with, as get_scheduler of Transformers does ---- */

typedef struct Rate {
    SnGraph *g;
    const SnCall *c;
    SnValue step, warmup, total; /* f64; step counts from 0 */
    SnValue progress;            /* 0..1 behind the warmup */
} Rate;
typedef SnValue RateFn(const Rate *r);

static SnValue clamp0(const Rate *r, SnValue x)
{
    return sn_max(r->g, x, sn_num(r->g, 0));
}

static SnValue constant(const Rate *r)
{
    return sn_const(r->g, SN_F64, 1);
}

static SnValue linear(const Rate *r)
{
    return clamp0(r, sn_sub(r->g, sn_num(r->g, 1), r->progress));
}

/* (1 + cos(pi x)) / 2 */
static SnValue half_wave(const Rate *r, SnValue x)
{
    const SnValue y = sn_cos(r->g, sn_mul(r->g, x, sn_const(r->g, SN_F64, 3.14159265358979323846)));
    return clamp0(r, sn_mul(r->g, sn_add(r->g, y, sn_num(r->g, 1)), sn_num(r->g, 0.5)));
}

static SnValue cosine(const Rate *r)
{
    const SnValue twice = sn_num(r->g, 2 * sn_call_float(r->c, "num_cycles"));
    const SnValue y = half_wave(r, sn_mul(r->g, r->progress, twice));
    const double least = sn_call_float(r->c, "min_lr_rate");
    return least == 0 ? y : sn_add(r->g, sn_mul(r->g, y, sn_num(r->g, 1 - least)), sn_num(r->g, least));
}

static SnValue restarts(const Rate *r)
{
    const SnValue x = sn_mul(r->g, r->progress, sn_num(r->g, sn_call_float(r->c, "num_cycles")));
    const SnValue y = half_wave(r, sn_sub(r->g, x, sn_floor(r->g, x)));
    return sn_where(r->g, sn_lt(r->g, r->progress, sn_num(r->g, 1)), y, sn_num(r->g, 0));
}

static SnValue polynomial(const Rate *r)
{
    SnGraph *g = r->g;
    const double end = sn_call_float(r->c, "lr_end"), power = sn_call_float(r->c, "power");
    const SnValue left = linear(r);
    const SnValue y = sn_mul(g, sn_pow(g, left, sn_const(g, SN_F64, power)), sn_num(g, 1 - end));
    return sn_add(g, y, sn_num(g, end));
}

static SnValue inverse_root(const Rate *r)
{
    SnGraph *g = r->g;
    const double scale = sn_call_float(r->c, "timescale");
    const double warmup = sn_call_float(r->c, "warmup");
    const SnValue long_ = sn_const(g, SN_F64, scale != 0 ? scale : warmup != 0 ? warmup : 1e4);
    const SnValue shift = sn_sub(g, long_, r->warmup);
    return sn_div(g, sn_num(g, 1), sn_sqrt(g, sn_div(g, sn_add(g, r->step, shift), long_)));
}

/* cosine a step ahead, which rises from (step + 1) / warmup or from a rate of its own */
static SnValue cosine_warmup(const Rate *r)
{
    SnGraph *g = r->g;
    const SnValue one = sn_num(g, 1), twice = sn_num(g, 2 * sn_call_float(r->c, "num_cycles"));
    const SnValue behind = sn_add(g, sn_sub(g, r->step, r->warmup), one);
    const SnValue part = sn_div(g, behind, sn_max(g, sn_sub(g, r->total, r->warmup), one));
    const double least = sn_call_float(r->c, "min_lr_rate");
    return sn_add(g, sn_mul(g, half_wave(r, sn_mul(g, part, twice)), sn_num(g, 1 - least)), sn_num(g, least));
}

static SnValue rise(const Rate *r)
{
    SnGraph *g = r->g;
    const double first = sn_call_float(r->c, "warmup_lr_rate");
    const SnValue one = sn_num(g, 1);
    if (first < 0)
        return sn_div(g, sn_add(g, r->step, one), sn_max(g, r->warmup, one));
    const SnValue steps = sn_max(g, sn_sub(g, r->warmup, one), one);
    return sn_add(g, sn_num(g, first), sn_div(g, sn_mul(g, r->step, sn_num(g, 1 - first)), steps));
}

/* From 0 to 1 as x does: linear, cosine or 1-sqrt; `back`: from 1 to 0. */
static SnValue ramp(const Rate *r, const char *attr, SnValue x, bool back)
{
    SnGraph *g = r->g;
    const char *kind = sn_call_string(r->c, attr);
    const SnValue one = sn_num(g, 1), rest = sn_sub(g, one, x);
    const double least = sn_call_float(r->c, "min_lr_rate"), cycles = sn_call_float(r->c, "num_cycles");
    SnValue y = sn_none();
    if (strcmp(kind, "linear") == 0)
        y = back ? rest : x;
    else if (strcmp(kind, "cosine") == 0)
        y = back ? half_wave(r, sn_mul(g, x, sn_num(g, 2 * cycles))) : half_wave(r, rest);
    else if (strcmp(kind, "1-sqrt") == 0)
        y = sn_sub(g, one, sn_sqrt(g, clamp0(r, back ? x : rest)));
    else
        return sn_graph_fail(g, SN_EINVAL, "lr_factor: %s %s: expected linear, cosine or 1-sqrt", attr, kind);
    return clamp0(r, sn_add(g, sn_mul(g, y, sn_num(g, 1 - least)), sn_num(g, least)));
}

static SnValue stable_rise(const Rate *r)
{
    return ramp(r, "warmup_type", sn_div(r->g, r->step, sn_max(r->g, r->warmup, sn_num(r->g, 1))), false);
}

static SnValue stable(const Rate *r)
{
    SnGraph *g = r->g;
    const double steps = sn_call_float(r->c, "stable_steps"), decay = sn_call_float(r->c, "decay_steps");
    const SnValue down = sn_const(g, SN_F64, decay), one = sn_num(g, 1);
    const SnValue begin = steps < 0 ? sn_sub(g, r->total, down) : sn_add(g, r->warmup, sn_num(g, steps));
    const SnValue past = sn_sub(g, r->step, begin), x = sn_div(g, past, sn_max(g, down, one));
    const SnValue least = attr(g, r->c, "min_lr_rate");
    const SnValue end = sn_where(g, sn_lt(g, past, down), ramp(r, "decay_type", x, true), least);
    return sn_where(g, sn_lt(g, past, sn_num(g, 0)), one, end);
}

static SnValue lr_factor(SnGraph *g, const SnCall *c)
{
    static const struct {
        const char *kind;
        RateFn *fn, *rise; /* rise: before the warmup ends; NULL: step / warmup */
    } rows[] = {{"constant", constant, NULL},
                {"linear", linear, NULL},
                {"cosine", cosine, NULL},
                {"cosine_warmup", cosine_warmup, rise},
                {"restarts", restarts, NULL},
                {"polynomial", polynomial, NULL},
                {"inverse_sqrt", inverse_root, NULL},
                {"stable", stable, stable_rise}};
    const char *kind = sn_call_string(c, "kind");
    Rate r = {.g = g, .c = c, .step = sn_cast(g, c->in[0], SN_F64)};
    const SnValue one = sn_num(g, 1);
    r.warmup = sn_const(g, SN_F64, sn_call_float(c, "warmup"));
    r.total = sn_const(g, SN_F64, sn_call_float(c, "total"));
    r.progress = sn_div(g, sn_sub(g, r.step, r.warmup), sn_max(g, sn_sub(g, r.total, r.warmup), one));
    const SnValue rising = sn_div(g, r.step, sn_max(g, r.warmup, one));
    for (size_t i = 0; i < SN_COUNT(rows); i++)
        if (strcmp(rows[i].kind, kind) == 0)
            return sn_where(g, sn_lt(g, r.step, r.warmup), rows[i].rise ? rows[i].rise(&r) : rising,
                            rows[i].fn(&r));
    return sn_graph_fail(g, SN_EINVAL, "lr_factor: unknown kind %s", kind);
}

const SnOp sn_optim_ops[] = {
    {.sig = "adamw(w: F[..], d: F[..], m: F[..], v: F[..], step: f64[], lr: f64[]; beta1: f64 = 0.9, beta2: "
            "f64 = "
            "0.999, eps: f64 = 1e-8, weight_decay: f64 = 0) -> ?",
     .expand = adamw,
     .doc = "Adam with decoupled decay: tuple(w, m, v); Loshchilov & Hutter 2017"},
    {.sig =
         "ademamix(w: F[..], d: F[..], m: F[..], v: F[..], slow: F[..], step: f64[], lr: f64[]; beta1: f64 = "
         "0.9, beta2: f64 = 0.999, beta3: f64 = 0.9999, alpha: f64 = 5, t_alpha: f64 = 0, t_beta3: f64 = 0, "
         "eps: f64 = 1e-8, weight_decay: f64 = 0) -> ?",
     .expand = ademamix,
     .doc = "Adam with a second, slow mean: tuple(w, m, v, slow); Pagliardini et al. 2024"},
    {.sig = "quantize_dynamic(x: F[..]; has_sign: bool = true) -> ?",
     .expand = quantize_dynamic,
     .doc = "tuple(u8[n, 256], f32[n]): the nearest of 256 numbers, and a scale for each 256; Dettmers et "
            "al. 2021"},
    {.sig = "dequantize_dynamic(q: u8[n, k], scale: f32[n], like: F[..]; has_sign: bool = true) -> ?",
     .expand = dequantize_dynamic,
     .doc = "the way back, with the dims of like"},
    {.sig =
         "sgd(w: F[..], d: F[..], m: F[..], step: f64[], lr: f64[]; momentum: f64 = 0, dampening: f64 = 0, "
         "weight_decay: f64 = 0, nesterov: bool = false) -> ?",
     .expand = sgd,
     .doc = "tuple(w, m); torch.optim.SGD"},
    {.sig = "adagrad(w: F[..], d: F[..], sum: F[..], step: f64[], lr: f64[]; lr_decay: f64 = 0, eps: f64 = "
            "1e-10, "
            "weight_decay: f64 = 0) -> ?",
     .expand = adagrad,
     .doc = "tuple(w, sum); Duchi et al. 2011"},
    {.sig = "rmsprop(w: F[..], d: F[..], square: F[..], m: F[..], mean: F[..], lr: f64[]; alpha: f64 = 0.99, "
            "eps: "
            "f64 = 1e-8, momentum: f64 = 0, centered: bool = false, weight_decay: f64 = 0) -> ?",
     .expand = rmsprop,
     .doc = "tuple(w, square, m, mean); Tieleman & Hinton 2012"},
    {.sig =
         "lion(w: F[..], d: F[..], m: F[..], lr: f64[]; beta1: f64 = 0.9, beta2: f64 = 0.99, weight_decay: "
         "f64 = "
         "0) -> ?",
     .expand = lion,
     .doc = "tuple(w, m); Chen et al. 2023"},
    {.sig = "adafactor(w: F[..], d: F[..], row: F[?], col: F[?], m: F[?], step: f64[], lr: f64[]; eps: f64 = "
            "1e-30, "
            "eps_scale: f64 = 1e-3, clip_threshold: f64 = 1, decay_rate: f64 = -0.8, beta1: f64 = 0, "
            "weight_decay: f64 = 0, scale_parameter: bool = true, relative_step: bool = false, warmup_init: "
            "bool = false) "
            "-> ?",
     .expand = adafactor,
     .doc = "tuple(w, row, col, m), row and col the means of squares; Shazeer & Stern 2018"},
    {.sig = "lr_factor(step: I[]; kind: str = \"linear\", warmup: f64 = 0, total: f64 = 1, num_cycles: f64 = "
            "0.5, "
            "min_lr_rate: f64 = 0, power: f64 = 1, lr_end: f64 = 0, timescale: f64 = 0, warmup_lr_rate: f64 "
            "= -1, "
            "decay_steps: f64 = 0, stable_steps: f64 = -1, warmup_type: str = \"linear\", decay_type: str = "
            "\"cosine\") -> f64[]",
     .expand = lr_factor,
     .doc =
         "what a learning rate is multiplied with after `step` steps: rises over warmup, then as kind says"},
    {0},
};
