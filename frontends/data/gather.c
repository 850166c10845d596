/* gather.c -- rows of a dataset copied together: one array a column. */
#include "frontends/data/table.h"

/* A builder of this type, and what stands inside of it. */
static bool prepare(SnBuilder *b, const SnFeature *type)
{
    b->type = *type;
    b->key = sn_bytes_str(type->name);
    for (uint32_t i = 0; i < type->nchild; i++) {
        SnBuilder *c = sn_builder_child(b, sn_bytes_str(type->child[i].name));
        if (!c || !prepare(c, &type->child[i]))
            return false;
    }
    return true;
}

static void add_cell(SnBuilder *b, SnCell c)
{
    const SnArray *a = c.array;
    SnCell item = c;
    const size_t at = (size_t)(a->offset + c.at);
    if (sn_cell_is_null(c)) {
        sn_builder_null(b);
        for (int64_t i = 0; b->type.kind == SN_DATA_LIST && i < b->type.length; i++)
            sn_builder_null(b->child.at[0]);
        return;
    }
    switch (b->type.kind) {
    case SN_DATA_TEXT:
    case SN_DATA_BINARY:
        sn_builder_text(b, sn_cell_bytes(c));
        break;
    case SN_DATA_LIST:
        for (int64_t n = sn_cell_list(c, &item); n > 0; n--, item.at++)
            add_cell(b->child.at[0], item);
        sn_builder_row(b);
        break;
    case SN_DATA_STRUCT:
        for (uint32_t i = 0; i < b->type.nchild; i++)
            add_cell(b->child.at[i], sn_cell_field(c, i));
        sn_builder_row(b);
        break;
    case SN_DATA_NUMBER:
    case SN_DATA_LABEL:
        if (b->type.dtype == SN_BOOL)
            sn_builder_raw(b, &(uint8_t){a->data[at >> 3] >> (at & 7) & 1});
        else
            sn_builder_raw(b, a->data + at * sn_dtype_size(b->type.dtype));
        break;
    case SN_DATA_NULL:
        break;
    }
}

SnStatus sn_table_gather(const SnDataset *d, int64_t first, int64_t n, SnDataset **out, SnError *err)
{
    const SnAllocator *memory = sn_allocator(d->ctx);
    SnBuilder root = {.memory = memory, .type = {.kind = SN_DATA_STRUCT}};
    SnStatus st = SN_OK;
    for (uint32_t i = 0; st == SN_OK && i < d->ncol; i++) {
        const SnColumn *c = &d->col[i];
        SnBuilder *b = sn_builder_child(&root, sn_bytes_str(c->type.name));
        if (!b || !prepare(b, &c->type))
            st = sn_fail(err, SN_ENOMEM, "dataset: no memory");
        for (int64_t k = 0; st == SN_OK && k < n; k++)
            add_cell(b, sn_column_at(c, first + k));
    }
    if (st == SN_OK)
        st = sn_builders_end(root.child.at, root.child.n, d->ctx, n, out, err);
    sn_builder_clear(&root);
    return st;
}
