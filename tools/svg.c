/* svg.c -- the roofline: operations a second over operations a byte, both in powers of ten; a dot a kernel,
 * its area the share of the time. Below it the plan: buffers as rectangles, steps to the right, offsets in
 * the block upwards.
 *
 * Williams, Waterman & Patterson, "Roofline" (2009). */
#include "tools/svg.h"

#include <math.h>

#define WIDTH    960.0
#define LEFT     70.0
#define RIGHT    940.0
#define ROOF_TOP 50.0
#define ROOF_LOW 430.0
#define PLAN_TOP 500.0
#define PLAN_LOW 780.0
#define LABELS   8 /* kernels that are named */

/* What a log axis shows. */
typedef struct Axis {
    double lo, hi;        /* powers of ten */
    double first, beyond; /* where they are drawn */
} Axis;

static double place(const Axis *a, double v)
{
    const double t = (log10(v > 0 ? v : 1e-9) - a->lo) / (a->hi - a->lo);
    return a->first + (t < 0 ? 0 : t > 1 ? 1 : t) * (a->beyond - a->first);
}

static void text(SnText *t, double x, double y, const char *anchor, const char *format, ...) SN_PRINTF(5, 6);
static void text(SnText *t, double x, double y, const char *anchor, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    sn_text_printf(t, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    for (const char *c = line; *c; c++)
        sn_text_printf(t, *c == '<' ? "&lt;" : *c == '&' ? "&amp;" : "%c", *c);
    sn_text_printf(t, "</text>\n");
}

static void line(SnText *t, double x0, double y0, double x1, double y1, const char *kind)
{
    sn_text_printf(t, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" class=\"%s\"/>\n", x0, y0, x1,
                   y1, kind);
}

/* ---- roofline ---- */

static double intensity(const ProfileRow *r)
{
    return (double)r->flops / (double)(r->bytes ? r->bytes : 1);
}

static double rate(const ProfileRow *r)
{
    return (double)r->flops * r->calls / (double)(r->ns ? r->ns : 1);
}

static void grid(SnText *t, const Axis *x, const Axis *y)
{
    for (double e = x->lo; e <= x->hi; e++) {
        const double at = place(x, pow(10, e));
        line(t, at, y->first, at, y->beyond, "grid");
        text(t, at, y->first + 16, "middle", "%g", pow(10, e));
    }
    for (double e = y->lo; e <= y->hi; e++) {
        const double at = place(y, pow(10, e));
        line(t, x->first, at, x->beyond, at, "grid");
        text(t, x->first - 6, at + 4, "end", "%g", pow(10, e));
    }
    text(t, (x->first + x->beyond) / 2, y->first + 34, "middle", "operations a byte");
    text(t, x->first, y->beyond - 8, "start", "GF/s");
}

/* A bandwidth is a line of slope one, up to the peak. */
static void roof(SnText *t, const Axis *x, const Axis *y, double gbps, double peak, const char *name)
{
    const double lo = pow(10, x->lo), knee = peak / gbps;
    const double from = lo * gbps < pow(10, y->lo) ? pow(10, y->lo) / gbps : lo;
    line(t, place(x, from), place(y, from * gbps), place(x, knee), place(y, peak), "roof");
    line(t, place(x, knee), place(y, peak), x->beyond, place(y, peak), "roof");
    text(t, place(x, from) + 24, place(y, from * gbps) + 6, "start", "%s %.0f GB/s", name, gbps);
}

static void dot(SnText *t, const Axis *x, const Axis *y, const ProfileRow *r, uint64_t total, size_t rank)
{
    const double share = (double)r->ns / (double)(total ? total : 1);
    const double cx = place(x, intensity(r)), cy = place(y, rate(r)), radius = 3 + 28 * sqrt(share);
    sn_text_printf(t, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"><title>", cx, cy, radius);
    sn_text_printf(t, "%s: %u calls, %.1f us, %.1f %%, %.1f GF/s</title></circle>\n", r->name, r->calls,
                   (double)r->ns / 1e3, 100 * share, rate(r));
    if (rank < LABELS)
        text(t, cx, rank % 2 == 0 ? cy - radius - 3 : cy + radius + 12, "middle", "%s %.0f %%", r->name,
             100 * share);
}

static void draw_roofline(SnText *t, const Picture *p)
{
    const Axis x = {-2, 3, LEFT, RIGHT}, y = {-1, p->limits->bf16_gflops > 1000 ? 4 : 3, ROOF_LOW, ROOF_TOP};
    const double peak = p->dtype == SN_BF16 ? p->limits->bf16_gflops : p->limits->f32_gflops;
    uint64_t total = 0;
    grid(t, &x, &y);
    if (peak > 0) {
        roof(t, &x, &y, p->limits->memory[0].copy_gbps, peak, "cache");
        roof(t, &x, &y, p->limits->memory[SN_LIMIT_SETS - 1].copy_gbps, peak, "memory");
        text(t, RIGHT - 4, place(&y, peak) - 6, "end", "peak %.0f GF/s, %u threads", peak,
             p->limits->threads);
    }
    for (size_t i = 0; i < p->profile->row.n; i++)
        total += p->profile->row.at[i].ns;
    for (size_t i = 0; i < p->profile->row.n; i++)
        if (p->profile->row.at[i].flops)
            dot(t, &x, &y, &p->profile->row.at[i], total, i);
}

/* ---- plan ---- */

static void draw_plan(SnText *t, const SnInstance *s)
{
    SnPlannedBuffer b;
    uint64_t size = 1;
    uint32_t first = UINT32_MAX, last = 0;
    for (uint32_t i = 0; sn_instance_buffer(s, i, &b); i++) {
        size = b.offset + b.size > size ? b.offset + b.size : size;
        first = b.first < first ? b.first : first;
        last = b.last > last ? b.last : last;
    }
    if (last < first)
        return;
    const double step = (RIGHT - LEFT) / (last - first + 1.0), byte = (PLAN_LOW - PLAN_TOP) / (double)size;
    for (uint32_t i = 0; sn_instance_buffer(s, i, &b); i++) {
        sn_text_printf(
            t, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"hsl(%u 60%% 70%%)\">",
            LEFT + step * (b.first - first), PLAN_LOW - byte * (double)(b.offset + b.size),
            step * (b.last - b.first + 1.0), byte * (double)b.size, i * 47 % 360);
        sn_text_printf(t, "<title>%llu bytes at %llu, steps %u to %u</title></rect>\n",
                       (unsigned long long)b.size, (unsigned long long)b.offset, b.first, b.last);
    }
    line(t, LEFT, PLAN_LOW, RIGHT, PLAN_LOW, "grid");
    text(t, LEFT, PLAN_TOP - 8, "start", "plan: %.1f MB over %u steps", (double)size / 1e6, last - first + 1);
    text(t, LEFT, PLAN_LOW + 16, "start", "step %u", first);
    text(t, RIGHT, PLAN_LOW + 16, "end", "step %u", last);
}

/* ---- the loss of a training ---- */

static const struct Series {
    const char *key, *name, *kind;
} series[] = {{"loss", "train", "train"}, {"eval_loss", "eval", "eval"}};

/* The largest values of all that is drawn; false: nothing is. */
static bool find_range(const SnJson *log, double *steps, double *loss)
{
    double x = 0, y = 0;
    for (uint32_t i = 0; i < log->n; i++)
        for (size_t k = 0; k < SN_COUNT(series); k++)
            if (sn_json_number(sn_json_get(&log->u.child[i], "step"), &x) &&
                sn_json_number(sn_json_get(&log->u.child[i], series[k].key), &y)) {
                *steps = x > *steps ? x : *steps;
                *loss = y > *loss ? y : *loss;
            }
    return *steps > 0 && *loss > 0;
}

static void draw_series(SnText *t, const SnJson *log, const struct Series *s, double steps, double loss)
{
    double x = 0, y = 0, left = 0, top = 0;
    bool is_first = true;
    for (uint32_t i = 0; i < log->n; i++) {
        if (!sn_json_number(sn_json_get(&log->u.child[i], "step"), &x) ||
            !sn_json_number(sn_json_get(&log->u.child[i], s->key), &y))
            continue;
        const double at = LEFT + (RIGHT - LEFT) * x / steps,
                     height = ROOF_LOW - (ROOF_LOW - ROOF_TOP) * y / loss;
        if (!is_first)
            line(t, left, top, at, height, s->kind);
        left = at;
        top = height;
        is_first = false;
    }
    if (!is_first)
        text(t, left - 4, top - 6, "end", "%s %.4g", s->name, y);
}

static void draw_curve(SnText *t, const SnJson *log)
{
    double steps = 0, loss = 0;
    if (!find_range(log, &steps, &loss))
        return;
    for (int i = 0; i <= 4; i++) {
        const double y = ROOF_LOW - (ROOF_LOW - ROOF_TOP) * i / 4, x = LEFT + (RIGHT - LEFT) * i / 4;
        line(t, LEFT, y, RIGHT, y, "grid");
        text(t, LEFT - 6, y + 4, "end", "%.3g", loss * i / 4);
        text(t, x, ROOF_LOW + 16, "middle", "%.0f", steps * i / 4);
    }
    text(t, (LEFT + RIGHT) / 2, ROOF_LOW + 34, "middle", "steps");
    for (size_t k = 0; k < SN_COUNT(series); k++)
        draw_series(t, log, &series[k], steps, loss);
}

/* ---- pictures ---- */

static SnText begin(SnContext *ctx, double height, const char *title)
{
    SnText t = {.memory = sn_allocator(ctx)};
    sn_text_printf(
        &t,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" font-size=\"12\" "
        "font-family=\"sans-serif\">\n",
        WIDTH, height);
    sn_text_printf(
        &t, "<style>.grid{stroke:#ddd}.roof{stroke:#333;stroke-width:2}circle{fill:#27c;fill-opacity:.5}"
            ".train{stroke:#27c;stroke-width:1.5}.eval{stroke:#c52;stroke-width:2}"
            "rect{stroke:#fff;stroke-width:.5}</style>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n");
    text(&t, LEFT, 22, "start", "%s", title);
    return t;
}

static SnStatus end(SnContext *ctx, SnText *t, const char *path, SnError *err)
{
    sn_text_printf(t, "</svg>\n");
    const SnBytes all = sn_bytes(t->at, t->n);
    const SnStatus st =
        t->failed ? sn_fail(err, SN_ENOMEM, "%s: no memory", path) : sn_file_write(ctx, path, &all, 1, err);
    sn_text_clear(t);
    return st;
}

SnStatus svg_write(SnContext *ctx, const Picture *p, const char *path, SnError *err)
{
    SnText t = begin(ctx, p->instance ? PLAN_LOW + 30 : PLAN_TOP - 30, p->title);
    draw_roofline(&t, p);
    if (p->instance)
        draw_plan(&t, p->instance);
    return end(ctx, &t, path, err);
}

SnStatus svg_curve(SnContext *ctx, const SnJson *log, const char *title, const char *path, SnError *err)
{
    SnText t = begin(ctx, PLAN_TOP - 30, title);
    draw_curve(&t, log);
    return end(ctx, &t, path, err);
}
