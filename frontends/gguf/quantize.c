/* quantize.c -- the searches of Q4_K, Q5_K and Q6_K, with the bits of ggml's reference: every sum in f32, in
 * order, without fused multiplications.
 *
 * https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c says what is searched: the scale (and
 * offset) of a group that has the least weighted square error among a few steps, each with the best scale for
 * its codes. */
#include "frontends/gguf/quantize.h"

#include "runtime/dtype.h"

#include <math.h>

#define GROUP  32 /* of Q4_K and Q5_K */
#define NGROUP 8
#define FINE   16 /* of Q6_K */
#define NFINE  16
#define TINY   1e-15f

/* Half to even, as adding and taking away 1.5 * 2^23 does it. */
static int nearest(float x)
{
    const float shifted = x + 12582912.0f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (bits & 0x007FFFFF) - 0x00400000;
}

static int clamped(int v, int lo, int hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static void put_half(uint8_t *at, float x)
{
    const uint16_t h = sn_f32_to_f16(x);
    at[0] = (uint8_t)h;
    at[1] = (uint8_t)(h >> 8);
}

static float half(const uint8_t *at)
{
    return sn_f16_to_f32((uint16_t)(at[0] | at[1] << 8));
}

/* ---- Q4_K, Q5_K: x is about scale * code - low, low >= 0 ---- */

typedef struct Fit {
    float scale, low; /* low is negative or zero here */
    float error;
    uint8_t code[GROUP];
} Fit;

typedef struct Group {
    const float *x;
    float weight[GROUP], sum_w, sum_x;
    float least, most;
} Group;

static void open_group(Group *g, const float *x)
{
    float squares = 0;
    g->x = x;
    for (int i = 0; i < GROUP; i++)
        squares += x[i] * x[i];
    const float mean = sqrtf(squares / GROUP);
    g->least = g->most = x[0];
    for (int i = 0; i < GROUP; i++) {
        g->weight[i] = mean + fabsf(x[i]);
        g->least = x[i] < g->least ? x[i] : g->least;
        g->most = x[i] > g->most ? x[i] : g->most;
    }
    g->sum_w = g->weight[0];
    g->sum_x = g->sum_w * x[0];
    for (int i = 1; i < GROUP; i++) {
        g->sum_w += g->weight[i];
        g->sum_x += g->weight[i] * x[i];
    }
    if (g->least > 0)
        g->least = 0;
}

static float error_of(const Group *g, const uint8_t *code, float scale, float low)
{
    float error = 0;
    for (int i = 0; i < GROUP; i++) {
        const float d = scale * (float)code[i] + low - g->x[i];
        error += g->weight[i] * (d * d);
    }
    return error;
}

/* Codes for a step, and the scale and offset of least squares for them; false: there are none. */
static bool fit_step(const Group *g, float step, float low, int top, Fit *out)
{
    uint8_t *code = out->code;
    float l1 = 0, l2 = 0, lx = 0;
    for (int i = 0; i < GROUP; i++) {
        code[i] = (uint8_t)clamped(nearest(step * (g->x[i] - low)), 0, top);
        const float w = g->weight[i], l = (float)code[i];
        l1 += w * l;
        l2 += w * l * l;
        lx += w * l * g->x[i];
    }
    const float d = g->sum_w * l2 - l1 * l1;
    if (!(d > 0))
        return false;
    out->scale = (g->sum_w * lx - g->sum_x * l1) / d;
    out->low = (l2 * g->sum_x - l1 * lx) / d;
    if (out->low > 0) {
        out->low = 0;
        out->scale = lx / l2;
    }
    out->error = error_of(g, code, out->scale, out->low);
    return true;
}

/* The offset that was found so far is what the next step begins from. */
static Fit fit_group(const float *x, int top, float first, int nstep)
{
    Group g;
    open_group(&g, x);
    Fit best = {.low = g.least}, fit;
    if (g.most == g.least)
        return best;
    const float step = (float)top / (g.most - g.least);
    best.scale = 1 / step;
    for (int i = 0; i < GROUP; i++)
        best.code[i] = (uint8_t)clamped(nearest(step * (x[i] - g.least)), 0, top);
    best.error = error_of(&g, best.code, best.scale, best.low);
    for (int i = 0; i <= nstep; i++) {
        const float by = (first + 0.1f * (float)i + (float)top) / (g.most - best.low);
        if (fit_step(&g, by, best.low, top, &fit) && fit.error < best.error)
            best = fit;
    }
    return best;
}

/* Eight numbers of 6 bits each for scales and lows, in 12 bytes. */
static void put_levels(uint8_t *to, const uint8_t scale[NGROUP], const uint8_t low[NGROUP])
{
    for (int j = 0; j < 4; j++) {
        to[j] = (uint8_t)(scale[j] | scale[j + 4] >> 4 << 6);
        to[j + 4] = (uint8_t)(low[j] | low[j + 4] >> 4 << 6);
        to[j + 8] = (uint8_t)((scale[j + 4] & 15) | (low[j + 4] & 15) << 4);
    }
}

/* d and dmin, levels, and the codes for them; where a level is 0 the codes of the search stay. */
static void quantize_groups(const float *x, int top, float first, int nstep, uint8_t *head,
                            uint8_t code[SN_K_BLOCK])
{
    Fit fit[NGROUP];
    uint8_t scale[NGROUP], low[NGROUP];
    float most_scale = 0, most_low = 0;
    for (int j = 0; j < NGROUP; j++) {
        fit[j] = fit_group(x + j * GROUP, top, first, nstep);
        most_scale = fit[j].scale > most_scale ? fit[j].scale : most_scale;
        most_low = -fit[j].low > most_low ? -fit[j].low : most_low;
    }
    const float by_scale = most_scale > 0 ? 63.0f / most_scale : 0,
                by_low = most_low > 0 ? 63.0f / most_low : 0;
    for (int j = 0; j < NGROUP; j++) {
        const uint8_t s = (uint8_t)nearest(by_scale * fit[j].scale),
                      m = (uint8_t)nearest(by_low * -fit[j].low);
        scale[j] = s < 63 ? s : 63;
        low[j] = m < 63 ? m : 63;
    }
    put_half(head, most_scale / 63.0f);
    put_half(head + 2, most_low / 63.0f);
    put_levels(head + 4, scale, low);
    for (int j = 0; j < NGROUP; j++) {
        const float d = half(head) * (float)scale[j], m = half(head + 2) * (float)low[j];
        for (int i = j * GROUP; i < (j + 1) * GROUP; i++)
            code[i] = d != 0 ? (uint8_t)clamped(nearest((x[i] + m) / d), 0, top) : fit[j].code[i % GROUP];
    }
}

static void put_nibbles(uint8_t *to, const uint8_t code[SN_K_BLOCK])
{
    for (int j = 0; j < SN_K_BLOCK; j += 2 * GROUP)
        for (int i = 0; i < GROUP; i++)
            *to++ = (uint8_t)((code[j + i] & 15) | (code[j + GROUP + i] & 15) << 4);
}

static void quantize_q4_k(const float *x, uint8_t *block)
{
    uint8_t code[SN_K_BLOCK];
    quantize_groups(x, 15, -1, 20, block, code);
    put_nibbles(block + 16, code);
}

static void quantize_q5_k(const float *x, uint8_t *block)
{
    uint8_t code[SN_K_BLOCK];
    quantize_groups(x, 31, -0.5f, 15, block, code);
    for (int i = 0; i < GROUP; i++) {
        block[16 + i] = 0;
        for (int j = 0; j < NGROUP; j++)
            block[16 + i] |= (uint8_t)(code[j * GROUP + i] >> 4 << j);
    }
    put_nibbles(block + 48, code);
}

/* ---- Q6_K: x is about scale * (code - 32) ---- */

static int fine_code(float x, float step)
{
    return clamped(nearest(step * x), -32, 31);
}

static float least_squares(const float *x, float step, float *fit)
{
    float lx = 0, l2 = 0;
    for (int i = 0; i < FINE; i++) {
        const float l = (float)fine_code(x[i], step), w = x[i] * x[i];
        lx += w * x[i] * l;
        l2 += w * l * l;
    }
    *fit = lx;
    return l2;
}

static float fit_fine(const float *x, uint8_t code[FINE])
{
    float top = 0, extreme = 0;
    for (int i = 0; i < FINE; i++)
        if (fabsf(x[i]) > top) {
            top = fabsf(x[i]);
            extreme = x[i];
        }
    memset(code, 0, FINE);
    if (top < TINY)
        return 0;
    float step = -32.0f / extreme, lx, l2 = least_squares(x, step, &lx);
    float scale = l2 != 0 ? lx / l2 : 0, best = scale * lx;
    for (int i = -9; i <= 9; i++) {
        if (i == 0)
            continue;
        const float by = -(32.0f + 0.1f * (float)i) / extreme;
        l2 = least_squares(x, by, &lx);
        if (l2 > 0 && lx * lx > best * l2) {
            scale = lx / l2;
            best = scale * lx;
            step = by;
        }
    }
    for (int i = 0; i < FINE; i++)
        code[i] = (uint8_t)(fine_code(x[i], step) + 32);
    return scale;
}

static void put_sixes(uint8_t *block, const uint8_t code[SN_K_BLOCK])
{
    for (int half_at = 0; half_at < 2; half_at++) {
        const uint8_t *c = code + 128 * half_at;
        uint8_t *low = block + 64 * half_at, *high = block + 128 + 32 * half_at;
        for (int i = 0; i < 32; i++) {
            low[i] = (uint8_t)((c[i] & 15) | (c[i + 64] & 15) << 4);
            low[i + 32] = (uint8_t)((c[i + 32] & 15) | (c[i + 96] & 15) << 4);
            high[i] = (uint8_t)(c[i] >> 4 | c[i + 32] >> 4 << 2 | c[i + 64] >> 4 << 4 | c[i + 96] >> 4 << 6);
        }
    }
}

static void quantize_q6_k(const float *x, uint8_t *block)
{
    float scale[NFINE], most = 0;
    uint8_t code[SN_K_BLOCK];
    for (int j = 0; j < NFINE; j++) {
        scale[j] = fit_fine(x + j * FINE, code + j * FINE);
        most = fabsf(scale[j]) > fabsf(most) ? scale[j] : most;
    }
    memset(block, 0, 210);
    if (fabsf(most) < TINY)
        return;
    const float by = -128.0f / most;
    put_half(block + 208, 1 / by);
    for (int j = 0; j < NFINE; j++) {
        const int level = nearest(by * scale[j]);
        const int8_t s = (int8_t)(level < 127 ? level : 127);
        const float d = half(block + 208) * (float)s;
        block[192 + j] = (uint8_t)s;
        for (int i = j * FINE; d != 0 && i < (j + 1) * FINE; i++)
            code[i] = (uint8_t)(clamped(nearest(x[i] / d), -32, 31) + 32);
    }
    put_sixes(block, code);
}

SnQuantizeFn *sn_gguf_quantizer(const SnGgmlType *type)
{
    static const struct {
        const char *name;
        SnQuantizeFn *fn;
    } row[] = {{"Q4_K", quantize_q4_k}, {"Q5_K", quantize_q5_k}, {"Q6_K", quantize_q6_k}};
    const size_t i = SN_FIND_ROW(row, name, sn_bytes_str(type->name));
    return i < SN_COUNT(row) ? row[i].fn : NULL;
}
