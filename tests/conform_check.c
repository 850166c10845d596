/* conform_check.c -- compares the results of a case with its expected.safetensors. */
#include "tests/conform.h"

#include "runtime/dtype.h"

#include <math.h>
#include <stdio.h>

typedef struct Tolerance {
    double atol, rtol, mean_abs;
} Tolerance;

/* `tolerance` of the call or else of the case; tensors named NAME@bf16 go by tolerance_low. */
static Tolerance tolerance_of(const Conform *c, const SnJson *call, const char *tensor)
{
    Tolerance t = {.mean_abs = HUGE_VAL};
    const SnJson *j = strchr(tensor, '@') ? sn_json_get(c->spec, "tolerance_low") : NULL;
    j = j ? j : sn_json_get(call, "tolerance");
    j = j ? j : sn_json_get(c->spec, "tolerance");
    (void)sn_json_number(sn_json_get(j, "atol"), &t.atol);
    (void)sn_json_number(sn_json_get(j, "rtol"), &t.rtol);
    (void)sn_json_number(sn_json_get(j, "mean_abs"), &t.mean_abs);
    (void)sn_json_number(sn_json_get(sn_json_get(j, "atol_by_tensor"), tensor), &t.atol);
    return t;
}

static double value_at(SnDtype d, const void *data, size_t i)
{
    const SnScalar v = sn_scalar_load(d, (const uint8_t *)data + i * sn_dtype_size(d));
    return sn_dtype_is_float(d) ? v.f : (double)v.i;
}

typedef struct Difference {
    double max_abs, max_rel, sum_abs;
    size_t n;
    bool exceeds;
} Difference;

static void compare_value(Difference *d, const Tolerance *t, double x, double e)
{
    const bool equal = x == e || (isnan(x) && isnan(e));
    const double abs_diff = equal ? 0 : isfinite(x) && isfinite(e) ? fabs(x - e) : HUGE_VAL;
    const double rel_diff = abs_diff == 0 ? 0 : e != 0 ? abs_diff / fabs(e) : HUGE_VAL;
    d->max_abs = fmax(d->max_abs, abs_diff);
    d->max_rel = fmax(d->max_rel, rel_diff);
    d->sum_abs += abs_diff;
    d->n++;
    d->exceeds = d->exceeds || !(abs_diff <= t->atol + t->rtol * fabs(e));
}

static const SnStWrite *find_result(const Conform *c, const char *name)
{
    for (size_t i = 0; i < c->result.n; i++)
        if (strcmp(c->result.at[i].name, name) == 0)
            return &c->result.at[i];
    return NULL;
}

/* Steps behind the end of a row are 0 in ours: whether it ended there, `sequences` tells. */
static bool is_behind_end(const SnStWrite *r, size_t i)
{
    const size_t width = (size_t)r->view.dims[r->view.ndim - 1];
    bool any = false;
    for (size_t k = i / width * width; k < i / width * width + width; k++)
        any = any || value_at(r->view.dtype, r->view.data, k) != 0;
    return !any;
}

/* One expected tensor; mask [batch, length] or NULL: compare only its rows of 1. by_step: of generated
 * tokens, up to the end of each row. */
static SnStatus compare_tensor(Conform *c, const SnJson *call, const SnStTensor *e, const SnStTensor *mask,
                               bool by_step, bool *passed, SnError *err)
{
    const char *name = sn_arena_strndup(&c->arena, (const char *)e->name.at, e->name.n);
    const SnStWrite *r = name ? find_result(c, name) : NULL;
    SN_CHECK(r, err, SN_EFORMAT, "%s: %.*s was not computed", c->dir, (int)e->name.n,
             (const char *)e->name.at);
    size_t count = 1, rows = 1;
    bool same = r->view.ndim == e->ndim;
    for (int i = 0; i < e->ndim; i++) {
        same = same && r->view.dims[i] == e->dims[i];
        count *= (size_t)e->dims[i];
    }
    if (!same) {
        (void)printf("inf inf %s (another shape)\n", name);
        *passed = false;
        return SN_OK;
    }
    for (int i = 0; mask && i < mask->ndim; i++)
        rows *= (size_t)mask->dims[i];
    const Tolerance t = tolerance_of(c, call, name);
    Difference d = {0};
    for (size_t i = 0; i < count; i++)
        if (by_step && is_behind_end(r, i))
            continue;
        else if (!mask || count % rows != 0 || value_at(mask->dtype, mask->bytes.at, i / (count / rows)) != 0)
            compare_value(&d, &t, value_at(r->view.dtype, r->view.data, i),
                          value_at(e->dtype, e->bytes.at, i));
    d.exceeds = d.exceeds || (d.n && d.sum_abs / (double)d.n > t.mean_abs);
    (void)printf("%.3g %.3g %s%s\n", d.max_abs, d.max_rel, name, d.exceeds ? " EXCEEDS" : "");
    *passed = *passed && !d.exceeds;
    return SN_OK;
}

static SnStatus compare_output(Conform *c, const SnSafetensors *expected, const SnJson *call,
                               const SnJson *output, bool *passed, SnError *err)
{
    static const char *const suffixes[] = {"", "@bf16", "@f16"};
    const char *plain = conform_string(c, sn_json_get(output, "tensor"));
    const char *rows = conform_string(c, sn_json_get(output, "rows"));
    const char *layout = conform_string(c, sn_json_get(output, "layout"));
    const bool by_step = layout && strstr(layout, "end-of-sequence");
    const SnStTensor *mask = rows ? sn_safetensors_find(&c->input, rows) : NULL;
    SN_CHECK(plain, err, SN_EFORMAT, "%s: an output without a tensor", c->dir);
    SN_CHECK(sn_safetensors_find(expected, plain), err, SN_EFORMAT, "%s: %s is not expected", c->dir, plain);
    for (size_t i = 0; i < SN_COUNT(suffixes); i++) {
        const char *name = sn_arena_printf(&c->arena, "%s%s", plain, suffixes[i]);
        const SnStTensor *e = name ? sn_safetensors_find(expected, name) : NULL;
        if (e)
            SN_TRY(compare_tensor(c, call, e, mask, by_step, passed, err));
    }
    return SN_OK;
}

SnStatus conform_compare(Conform *c, bool *passed, SnError *err)
{
    const char *path = NULL;
    SnSafetensors expected = {0};
    const SnJson *calls = sn_json_get(c->spec, "calls");
    SN_TRY(conform_path(c, "expected.safetensors", &path, err));
    SN_TRY(sn_safetensors_open(c->ctx, path, &expected, err));
    SnStatus st = SN_OK;
    for (uint32_t i = 0; st == SN_OK && calls && i < calls->n; i++) {
        const SnJson *call = &calls->u.child[i], *outputs = sn_json_get(call, "outputs");
        for (uint32_t k = 0; st == SN_OK && outputs && k < outputs->n; k++)
            st = compare_output(c, &expected, call, &outputs->u.child[k], passed, err);
    }
    for (size_t i = 0; st == SN_OK && !calls && i < expected.ntensor; i++)
        st = compare_tensor(c, c->spec, &expected.tensor[i], NULL, false, passed, err);
    sn_safetensors_close(&expected);
    return st;
}
