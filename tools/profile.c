/* profile.c -- collects trace events into rows, and prints how far each is from the limits of the machine. */
#include "tools/profile.h"

#include <stdlib.h>

static void take_event(void *self, const SnTraceEvent *e)
{
    Profile *p = self;
    if (!p->is_on)
        return;
    ProfileRow *r = NULL;
    for (size_t i = 0; i < p->row.n && !r; i++) {
        ProfileRow *x = &p->row.at[i];
        if (x->tiles == e->tiles && x->bytes == e->bytes && x->flops == e->flops &&
            strcmp(x->name, e->name) == 0)
            r = x;
    }
    if (!r) {
        const ProfileRow row = {.name = e->name, .tiles = e->tiles, .bytes = e->bytes, .flops = e->flops};
        if (!sn_vec_push(p->memory, &p->row, row)) {
            p->failed = true;
            return;
        }
        r = &p->row.at[p->row.n - 1];
    }
    r->now_ns += e->end_ns - e->begin_ns;
    r->calls += p->nrun == 0;
}

void profile_init(Profile *p, const SnAllocator *memory)
{
    *p = (Profile){.memory = memory};
}

void profile_clear(Profile *p)
{
    sn_vec_clear(p->memory, &p->row);
}

SnTrace profile_hook(Profile *p)
{
    return (SnTrace){p, take_event};
}

void profile_begin(Profile *p)
{
    p->is_on = true;
    for (size_t i = 0; i < p->row.n; i++)
        p->row.at[i].now_ns = 0;
}

void profile_end(Profile *p, bool counts)
{
    p->is_on = false;
    for (size_t i = 0; counts && i < p->row.n; i++) {
        ProfileRow *r = &p->row.at[i];
        if (p->nrun == 0 || r->now_ns < r->ns)
            r->ns = r->now_ns;
    }
    if (counts)
        p->nrun++;
    else if (p->nrun == 0)
        profile_clear(p);
}

uint64_t profile_flops(const Profile *p)
{
    uint64_t n = 0;
    for (size_t i = 0; i < p->row.n; i++)
        n += p->row.at[i].flops * p->row.at[i].calls;
    return n;
}

uint64_t profile_bytes(const Profile *p)
{
    uint64_t n = 0;
    for (size_t i = 0; i < p->row.n; i++)
        n += p->row.at[i].bytes * p->row.at[i].calls;
    return n;
}

/* ---- against the limits ---- */

double profile_roof(const ProfileRow *r, const SnLimits *l, SnDtype dtype)
{
    const double peak = dtype == SN_BF16 ? l->bf16_gflops : l->f32_gflops;
    const double bandwidth = sn_limits_copy(l, (double)r->bytes);
    const double arithmetic = peak > 0 ? (double)r->flops / peak : 0;
    const double memory = bandwidth > 0 ? (double)r->bytes / bandwidth : 0;
    return arithmetic > memory ? arithmetic : memory;
}

static double gap(const ProfileRow *r, const SnLimits *l, SnDtype dtype)
{
    return (double)r->ns - profile_roof(r, l, dtype) * r->calls;
}

void profile_sort(Profile *p, const SnLimits *l, SnDtype dtype)
{
    for (size_t i = 1; i < p->row.n; i++) {
        const ProfileRow r = p->row.at[i];
        size_t at = i;
        for (; at > 0 && gap(&p->row.at[at - 1], l, dtype) < gap(&r, l, dtype); at--)
            p->row.at[at] = p->row.at[at - 1];
        p->row.at[at] = r;
    }
}

static double share(const ProfileRow *r, const SnLimits *l, SnDtype dtype)
{
    return r->ns ? profile_roof(r, l, dtype) * r->calls / (double)r->ns : 0;
}

/* What is left once every kernel is a row: nothing here is counted twice. */
void profile_print(const Profile *p, const SnLimits *l, SnDtype dtype)
{
    uint64_t total = 0;
    for (size_t i = 0; i < p->row.n; i++)
        total += p->row.at[i].ns;
    (void)printf("\n%-44s %5s %8s %9s %6s %9s %9s %8s %8s %6s %9s\n", "kernel", "calls", "tiles", "us", "%",
                 "KB", "kflop", "GB/s", "GF/s", "share", "gap us");
    for (size_t i = 0; i < p->row.n; i++) {
        const ProfileRow *r = &p->row.at[i];
        if (r->calls == 0)
            continue;
        const double ns = r->ns ? (double)r->ns : 1, calls = r->calls;
        (void)printf("%-44.44s %5u %8lld %9.1f %6.1f %9.1f %9.1f %8.1f %8.1f %6.2f %9.1f\n", r->name,
                     r->calls, (long long)r->tiles, ns / 1e3, 100 * ns / (total ? (double)total : 1),
                     (double)r->bytes / 1e3, (double)r->flops / 1e3, (double)r->bytes * calls / ns,
                     (double)r->flops * calls / ns, share(r, l, dtype), gap(r, l, dtype) / 1e3);
    }
}

void profile_json(const Profile *p, const SnLimits *l, SnDtype dtype, SnText *out)
{
    sn_text_printf(out, "[");
    for (size_t i = 0; i < p->row.n; i++) {
        const ProfileRow *r = &p->row.at[i];
        sn_text_printf(out, "%s{\"name\": ", i ? ", " : "");
        sn_json_put_string(out, sn_bytes_str(r->name));
        sn_text_printf(out,
                       ", \"calls\": %u, \"tiles\": %lld, \"us\": %.2f, \"bytes\": %llu, \"flops\": %llu, "
                       "\"share\": %.4f, \"gap_us\": %.2f}",
                       r->calls, (long long)r->tiles, (double)r->ns / 1e3, (unsigned long long)r->bytes,
                       (unsigned long long)r->flops, share(r, l, dtype), gap(r, l, dtype) / 1e3);
    }
    sn_text_printf(out, "]");
}
