/* shape.c -- plans for shapes as text ("batch=8,seq=512"): now for an instance, or only their sizes. */
#include "runtime/instance.h"

#include <errno.h>
#include <stdlib.h>

int64_t sn_shape_value(const char *shape, const char *symbol)
{
    const size_t n = strlen(symbol);
    int64_t found = -1;
    for (const char *at = shape; *at;) {
        const char *eq = strchr(at, '=');
        char *end = NULL;
        if (!eq || eq == at)
            return -2;
        errno = 0;
        const long long v = strtoll(eq + 1, &end, 10);
        if (end == eq + 1 || errno || v < 0 || (*end != ',' && *end != 0))
            return -2;
        if ((size_t)(eq - at) == n && memcmp(at, symbol, n) == 0)
            found = v;
        at = *end ? end + 1 : end;
    }
    return found;
}

static SnStatus set_symbols(SnPlan *p, SnRange r, const char *shape, SnError *err)
{
    const SnSymbolRow *row = SN_ROWS(p->image, SnSymbolRow, symbol);
    for (uint32_t i = r.first; i < r.first + r.count; i++) {
        const char *name = sn_image_string(p->image, row[i].name);
        const int64_t v = sn_shape_value(shape, name);
        SN_CHECK(v != -2, err, SN_EINVAL, "shape: expected NAME=NUMBER,... found \"%s\"", shape);
        if (v == -1 && row[i].is_optional)
            continue;
        SN_CHECK(v >= row[i].lo && v <= row[i].hi, err, v < 0 ? SN_EINVAL : SN_ESHAPE,
                 "shape: %s is %lld, allowed %lld to %lld", name, (long long)v, (long long)row[i].lo,
                 (long long)row[i].hi);
        sn_plan_set(p, row[i].reg, v, row[i].at_create ? v : row[i].hi);
    }
    return SN_OK;
}

/* A dim that is measured is planned at its bound. */
static SnStatus plan_measures(SnPlan *p, const SnEntryRow *entry, SnError *err)
{
    const SnStepRow *row = SN_ROWS(p->image, SnStepRow, step);
    uint32_t segment = entry->segment.first;
    for (uint32_t i = entry->step.first; i < entry->step.first + entry->step.count; i++) {
        if (row[i].kind != SN_STEP_MEASURE)
            continue;
        SN_CHECK(row[i].b != SN_NONE, err, SN_EINVAL, "shape: %s has no bound",
                 sn_image_string(p->image, row[i].e));
        sn_plan_set(p, row[i].a, p->reg[row[i].b], p->bucket[row[i].b]);
        SN_TRY(sn_plan_point(p, row[i].c, err));
        if (row[i].begins_segment && segment + 1 < entry->segment.first + entry->segment.count)
            SN_TRY(sn_plan_segment(p, ++segment, err));
    }
    return SN_OK;
}

const SnEntryRow *sn_variant_of(const SnImage *m, const SnEntryRow *base, SnSymbolFn *value, const void *self)
{
    const SnVariantRow *v = SN_ROWS(m, SnVariantRow, variant);
    for (uint32_t i = 0; i < m->variant.count; i++) {
        bool fits = SN_ROWS(m, SnEntryRow, entry) + v[i].base == base;
        for (uint32_t d = 0; d < v[i].ndim && fits; d++)
            fits = value(self, base, v[i].dim[d].symbol) == v[i].dim[d].value;
        if (fits)
            return &v[i].entry;
    }
    return base;
}

typedef struct ShapeText {
    const SnImage *image;
    const char *text;
} ShapeText;

static int64_t value_in_text(const void *self, const SnEntryRow *base, uint32_t symbol)
{
    const ShapeText *t = self;
    (void)base;
    return sn_shape_value(t->text, sn_image_string(t->image, symbol));
}

static const SnEntryRow *entry_for(const SnImage *m, const SnEntryRow *base, const char *shape)
{
    return sn_variant_of(m, base, value_in_text, &(ShapeText){m, shape});
}

static SnStatus plan_shape(SnPlan *p, const SnEntryRow *entry, const char *shape, SnError *err)
{
    SN_TRY(set_symbols(p, entry->symbol, shape, err));
    SN_TRY(sn_plan_point(p, entry->point, err));
    if (entry->segment.count)
        SN_TRY(sn_plan_segment(p, entry->segment.first, err));
    return plan_measures(p, entry, err);
}

SnStatus sn_reserve(SnInstance *s, const char *shape, SnError *err)
{
    SN_CHECK(!s->running, err, SN_EINVAL, "reserve: a run is not done");
    s->has_result = false;
    s->entry = entry_for(s->image, s->base, shape);
    return plan_shape(&s->plan, s->entry, shape, err);
}

/* Carries as an instance places them: sizes from the symbols that are bound when it is made. */
static SnStatus state_size(SnPlan *p, const char *shape, uint64_t *out, SnError *err)
{
    SN_TRY(set_symbols(p, p->image->create_symbol, shape, err));
    SN_TRY(sn_plan_point(p, p->image->create_point, err));
    return sn_plan_carries(p, out, err);
}

SnStatus sn_program_plan(const SnProgram *program, const char *entry, const char *shape, SnMemoryUse *out,
                         SnError *err)
{
    SnPlan p = {0};
    SnMemoryUse use = {.weight_bytes = program->weight_bytes, .packed_bytes = program->packed_bytes};
    const SnEntryRow *e = sn_image_entry(program->image, entry);
    SN_CHECK(e, err, SN_EINVAL, "no entry %s", entry);
    e = entry_for(program->image, e, shape);
    SN_TRY(sn_plan_init(&p, program->ctx, program->image, err));
    p.is_dry = true;
    SnStatus st = state_size(&p, shape, &use.state_bytes, err);
    if (st == SN_OK)
        st = plan_shape(&p, e, shape, err);
    for (uint32_t i = 0; i < program->image->nsegment; i++)
        use.scratch_bytes += p.block[i].size;
    use.table_bytes = sn_instance_table_size(program->image, NULL) + sn_instance_memo_size(program->image) +
                      p.table_bytes + sizeof(SnInstance);
    use.steps = e->step.count;
    sn_plan_clear(&p);
    if (st == SN_OK)
        *out = use;
    return st;
}
