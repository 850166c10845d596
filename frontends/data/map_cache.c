/* map_cache.c -- rows that come a part after the other become one dataset: written to the context's cache as
 * they come, and mapped. What readers decode and what maps, filters and tokenizing make is so never in memory
 * as a whole, and a second run finds it where the first left it.
 *
 * The key is the fingerprint of the result, which goes over files and their times, readers' options,
 * operations and all their arguments: change one, and it is another. A blob is an Arrow stream of a batch a
 * part. Where there is no cache the parts stay in memory; where its disk is full, those that come then. */
#include "frontends/data/arrow.h"

static SnHash128 key_of(uint64_t fingerprint)
{
    static const char kind[] = "dataset rows 2";
    return sn_hash128(kind, sizeof kind, fingerprint);
}

/* Takes the file. */
static SnStatus open_blob(SnContext *ctx, SnFile *file, SnBytes blob, SnDataset **out, SnError *err)
{
    const SnDataFile f = {.ctx = ctx, .file = file, .path = sn_file_path(file), .bytes = blob};
    SnDataset *d = NULL;
    SnStatus st = sn_read_arrow(&f, &d, err);
    if (st == SN_OK)
        st = sn_table_keep_file(d, file, err);
    sn_file_release(file);
    return sn_table_finish(st, d, out);
}

SnStatus sn_rows_find(SnContext *ctx, uint64_t fingerprint, SnDataset **out, bool *found, SnError *err)
{
    SnFile *file = NULL;
    SnBytes blob;
    *found = sn_cache_get(ctx, key_of(fingerprint), &file, &blob);
    if (!*found)
        return SN_OK;
    SN_TRY(open_blob(ctx, file, blob, out, err));
    (*out)->fingerprint = fingerprint;
    return SN_OK;
}

void sn_rows_begin(SnRows *r, SnContext *ctx, uint64_t fingerprint, SnRowsPlace place)
{
    *r = (SnRows){.ctx = ctx, .fingerprint = fingerprint};
    sn_arena_init(&r->arena, sn_allocator(ctx));
    r->is_writing = place != SN_ROWS_MEMORY && sn_cache_begin_growing(ctx, key_of(fingerprint), &r->draft);
    r->draft.is_lent = place == SN_ROWS_LENT;
}

static SnStatus put_draft(void *self, SnBytes part, SnError *err)
{
    SnCacheDraft *d = self;
    SN_CHECK(sn_cache_grow(d, part), err, SN_EIO, "%s: no room", d->path.at);
    return SN_OK;
}

static SnStatus add_part(SnRows *r, SnDataset *part, SnError *err)
{
    if (sn_vec_push(sn_allocator(r->ctx), &r->part, part))
        return SN_OK;
    sn_dataset_release(part);
    return sn_fail(err, SN_ENOMEM, "dataset: no memory");
}

/* What was written so far is a part like those that follow. */
static SnStatus stop_writing(SnRows *r, SnError *err)
{
    SnFile *file = NULL;
    SnBytes blob;
    SnDataset *d = NULL;
    r->is_writing = false;
    SN_CHECK(sn_cache_commit(r->ctx, &r->draft, &file, &blob), err, SN_EIO,
             "dataset: the cache lost its rows");
    SN_TRY(open_blob(r->ctx, file, blob, &d, err));
    return add_part(r, d, err);
}

/* The types of the first part are those of all. */
static SnStatus learn_types(SnRows *r, const SnDataset *part, SnError *err)
{
    r->ncol = part->ncol;
    r->type = sn_arena_array(&r->arena, (size_t)part->ncol + 1, sizeof *r->type);
    for (uint32_t i = 0; r->type && i < part->ncol; i++)
        if (!sn_feature_copy(&r->arena, &part->col[i].type, &r->type[i]))
            r->type = NULL;
    SN_CHECK(r->type, err, SN_ENOMEM, "dataset: no memory");
    return SN_OK;
}

static bool write_part(SnRows *r, const SnDataset *part)
{
    const SnArrowOut to = {put_draft, &r->draft};
    const size_t before = r->draft.size;
    SnError ignored;
    if ((before || sn_arrow_begin(part, to, &ignored) == SN_OK) && sn_arrow_rows(part, to, &ignored) == SN_OK)
        return true;
    r->draft.size = before;
    r->draft.is_lent = true;
    return false;
}

SnStatus sn_rows_add(SnRows *r, SnDataset *part, SnError *err)
{
    SnStatus st = r->type ? SN_OK : learn_types(r, part, err);
    if (st == SN_OK && !r->is_free) {
        st = sn_table_conform(&part, r->type, r->ncol, r->nrow, err);
        r->is_other = st == SN_EINVAL;
    }
    if (st != SN_OK) {
        sn_dataset_release(part);
        return st;
    }
    r->nrow += part->nrow;
    if (r->is_writing && write_part(r, part)) {
        sn_dataset_release(part);
        return SN_OK;
    }
    if (r->is_writing && r->draft.size)
        st = stop_writing(r, err);
    if (st == SN_OK)
        return add_part(r, part, err);
    sn_dataset_release(part);
    return st;
}

SnStatus sn_rows_end(SnRows *r, SnDataset **out, SnError *err)
{
    SN_CHECK(r->type, err, SN_EINTERNAL, "dataset: no rows came");
    if (r->is_writing) {
        r->draft.is_lent |= sn_arrow_end((SnArrowOut){put_draft, &r->draft}, NULL) != SN_OK;
        SN_TRY(stop_writing(r, err));
    }
    if (r->part.n == 1)
        *out = sn_dataset_retain(r->part.at[0]);
    else
        SN_TRY(sn_dataset_concatenate(r->part.at, r->part.n, out, err));
    (*out)->fingerprint = r->fingerprint;
    return SN_OK;
}

void sn_rows_clear(SnRows *r)
{
    if (r->is_writing)
        sn_cache_give_up(&r->draft);
    for (size_t i = 0; i < r->part.n; i++)
        sn_dataset_release(r->part.at[i]);
    sn_vec_clear(sn_allocator(r->ctx), &r->part);
    sn_arena_clear(&r->arena);
}

SnStatus sn_rows_make(const SnDataset *d, uint64_t fingerprint, int64_t each, SnPartFn *fn, void *self,
                      SnDataset **out, SnError *err)
{
    const bool is_kept = d->nrow >= SN_ROWS_LEAST;
    bool found = false;
    if (is_kept)
        SN_TRY(sn_rows_find(d->ctx, fingerprint, out, &found, err));
    if (found)
        return SN_OK;
    SnRows rows;
    SnStatus st = SN_OK;
    int64_t first = 0;
    sn_rows_begin(&rows, d->ctx, fingerprint, is_kept ? SN_ROWS_KEPT : SN_ROWS_MEMORY);
    do {
        const int64_t n = d->nrow - first < each ? d->nrow - first : each;
        SnDataset *part = NULL;
        st = fn(self, first, n, &part, err);
        if (st == SN_OK)
            st = sn_rows_add(&rows, part, err);
        sn_table_forget(d);
        first += n;
    } while (st == SN_OK && first < d->nrow);
    if (st == SN_OK)
        st = sn_rows_end(&rows, out, err);
    sn_rows_clear(&rows);
    return st;
}

/* The columns of `from` in the place of those of their names, or as more. */
static SnStatus add_columns(SnDataset *d, const SnDataset *from, SnError *err)
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

SnStatus sn_rows_make_columns(const SnDataset *d, SnDataset *to, int64_t each, SnPartFn *fn, void *self,
                              SnError *err)
{
    SnDataset *made = NULL;
    SN_TRY(sn_rows_make(d, to->fingerprint, each, fn, self, &made, err));
    const SnStatus st = add_columns(to, made, err);
    sn_dataset_release(made);
    return st;
}
