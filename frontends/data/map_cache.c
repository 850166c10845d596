/* map_cache.c -- what maps and filters made, kept on disk: a second run finds the columns where the first
 * left them.
 *
 * The key is the fingerprint of the result, which goes over the operation, all its arguments and the
 * fingerprint of what it was made from, down to the files: change one, and it is another. A blob is an Arrow
 * stream; the cache writes it beside, renames it, and keeps its own bounds. */
#include "frontends/data/arrow.h"
#include "runtime/cache.h"

/* Less is made again as fast. */
enum { LEAST_ROWS = 1000 };

static SnHash128 key_of(const SnDataset *d)
{
    static const char kind[] = "dataset columns 1";
    return sn_hash128(kind, sizeof kind, d->fingerprint);
}

SnStatus sn_columns_find(const SnDataset *result, SnDataset **out, bool *found, SnError *err)
{
    SnFile *file = NULL;
    SnBytes blob;
    SnDataset *d = NULL;
    *found = false;
    if (result->nrow < LEAST_ROWS || !sn_cache_get(result->ctx, key_of(result), &file, &blob))
        return SN_OK;
    const SnDataFile f = {.ctx = result->ctx, .file = file, .path = sn_file_path(file), .bytes = blob};
    SnStatus st = sn_read_arrow(&f, &d, err);
    if (st == SN_OK)
        st = sn_table_keep_file(d, file, err);
    sn_file_release(file);
    if (st == SN_OK) {
        *out = d;
        *found = true;
    } else {
        sn_dataset_release(d);
    }
    return st;
}

void sn_columns_put(const SnDataset *result, const SnDataset *columns)
{
    SnText text = {.memory = sn_allocator(result->ctx)};
    SnError ignored;
    if (result->nrow < LEAST_ROWS)
        return;
    if (sn_arrow_text(columns, &text, &ignored) == SN_OK &&
        sn_cache_put(result->ctx, key_of(result), sn_bytes(text.at, text.n)))
        sn_cache_prune(result->ctx, SN_CACHE_BYTES);
    sn_text_clear(&text);
}

SnStatus sn_table_add_columns(SnDataset *d, const SnDataset *from, SnError *err)
{
    SN_TRY(sn_table_keep(d, from, err));
    for (uint32_t i = 0; i < from->ncol; i++) {
        uint32_t at = 0;
        while (at < d->ncol && strcmp(d->col[at].type.name, from->col[i].type.name) != 0)
            at++;
        d->col[at] = from->col[i];
        d->ncol += at == d->ncol;
    }
    return SN_OK;
}
