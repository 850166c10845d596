/* recast.c -- other columns: rename, keep, drop, cast, class labels. */
#include "frontends/data/table.h"

#include <stdlib.h>

static SnStatus finish(SnStatus st, SnDataset *d, SnDataset **out)
{
    if (st == SN_OK)
        *out = d;
    else
        sn_dataset_release(d);
    return st;
}

SnStatus sn_dataset_rename(const SnDataset *d, const char *from, const char *to, SnDataset **out,
                           SnError *err)
{
    uint32_t at = 0, other = 0;
    SnDataset *r = NULL;
    SN_TRY(sn_dataset_find(d, from, &at, err));
    SN_CHECK(sn_dataset_find(d, to, &other, NULL) != SN_OK, err, SN_EINVAL, "there is a column %s already",
             to);
    SN_TRY(sn_table_derive(d, 0, &r, err));
    r->col[at].type.name = sn_arena_strndup(&r->arena, to, strlen(to));
    sn_table_stamp(r, "rename", &at, sizeof at);
    sn_table_stamp(r, "to", to, strlen(to));
    return finish(r->col[at].type.name ? SN_OK : sn_fail(err, SN_ENOMEM, "rename: no memory"), r, out);
}

SnStatus sn_dataset_keep(const SnDataset *d, const char *const *name, size_t n, bool drop, SnDataset **out,
                         SnError *err)
{
    SnDataset *r = NULL;
    SN_TRY(sn_table_derive(d, drop ? 0 : (uint32_t)n, &r, err));
    SnStatus st = SN_OK;
    for (size_t i = 0; st == SN_OK && i < n; i++) {
        uint32_t at = 0;
        st = sn_dataset_find(drop ? r : d, name[i], &at, err);
        if (st != SN_OK)
            break;
        if (drop)
            memmove(r->col + at, r->col + at + 1, (--r->ncol - at) * sizeof *r->col);
        else
            r->col[i] = d->col[at];
        sn_table_stamp(r, drop ? "drop" : "keep", name[i], strlen(name[i]));
    }
    r->ncol = drop ? r->ncol : (uint32_t)n;
    return finish(st, r, out);
}

/* ---- cast ---- */

static SnStatus cast_number(const SnBuilder *b, SnCell c, int64_t row, SnScalar *v, SnError *err)
{
    const SnDtype to = b->type.dtype, from = c.array->type->dtype;
    const SnBytes text = sn_cell_bytes(c);
    char copy[64] = "";
    if (c.array->type->kind == SN_DATA_TEXT) {
        double number = 0;
        const bool ok = text.n < sizeof copy && sn_parse_f64(text, &number);
        memcpy(copy, text.at, ok ? text.n : 0);
        const bool whole = ok && strspn(copy, "-0123456789") == text.n;
        SN_CHECK(ok && (whole || sn_dtype_is_float(to)), err, SN_EINVAL,
                 "column %.*s, row %lld: \"%.*s\" is no %s", (int)b->key.n, (const char *)b->key.at,
                 (long long)row, (int)(text.n < 60 ? text.n : 60), (const char *)text.at,
                 sn_feature_name(&b->type));
        if (sn_dtype_is_float(to))
            v->f = number;
        else
            v->i = strtoll(copy, NULL, 10);
        return SN_OK;
    }
    const SnScalar old =
        sn_dtype_is_float(from) ? (SnScalar){.f = sn_cell_number(c)} : (SnScalar){.i = sn_cell_int(c)};
    *v = sn_scalar_cast(from, to, old, true);
    const SnScalar back = sn_scalar_cast(to, from, *v, true);
    const bool same =
        sn_dtype_is_float(to) || to == SN_BOOL ||
        (sn_dtype_is_float(from) ? back.f == old.f : back.i == old.i && (old.i < 0) == (v->i < 0));
    SN_CHECK(same, err, SN_EINVAL, "column %.*s, row %lld: %.17g does not fit %s", (int)b->key.n,
             (const char *)b->key.at, (long long)row, sn_cell_number(c), sn_feature_name(&b->type));
    return SN_OK;
}

static SnStatus cast_cell(SnBuilder *b, SnCell c, int64_t row, SnText *text, SnError *err)
{
    SnScalar v = {.i = 0};
    uint8_t stored[8];
    const SnDataKind from = c.array->type->kind;
    if (sn_cell_is_null(c)) {
        sn_builder_null(b);
        return SN_OK;
    }
    if (b->type.kind == SN_DATA_NUMBER) {
        SN_TRY(cast_number(b, c, row, &v, err));
        sn_scalar_store(b->type.dtype, stored, v);
        sn_builder_raw(b, stored);
        return SN_OK;
    }
    text->n = 0;
    if (from == SN_DATA_TEXT || from == SN_DATA_BINARY) {
        sn_builder_text(b, sn_cell_bytes(c));
        return SN_OK;
    }
    SN_CHECK(sn_cell_json(text, c), err, SN_ENOMEM, "cast: no memory");
    sn_builder_text(b, sn_bytes(text->at, text->n));
    return SN_OK;
}

SnStatus sn_dataset_cast(const SnDataset *d, const char *column, const char *type, SnDataset **out,
                         SnError *err)
{
    uint32_t at = 0;
    SnDataset *r = NULL;
    SnBuilder b = {.memory = sn_allocator(d->ctx)};
    SN_TRY(sn_dataset_find(d, column, &at, err));
    const SnDataKind kind = d->col[at].type.kind;
    SN_CHECK(sn_feature_named(sn_bytes_str(type), &b.type) && b.type.kind != SN_DATA_NULL, err, SN_EINVAL,
             "cast: no type %s", type);
    SN_CHECK(kind != SN_DATA_LIST && kind != SN_DATA_STRUCT, err, SN_EUNSUPPORTED,
             "cast: column %s is nested", column);
    SN_TRY(sn_table_derive(d, 0, &r, err));
    SnText text = {.memory = b.memory};
    b.key = sn_bytes_str(column);
    SnStatus st = SN_OK;
    for (int64_t i = 0; st == SN_OK && i < d->nrow; i++)
        st = cast_cell(&b, sn_column_at(&d->col[at], i), i, &text, err);
    if (st == SN_OK)
        st = sn_table_put(r, at, &b, err);
    sn_builder_clear(&b);
    sn_text_clear(&text);
    sn_table_stamp(r, "cast", &at, sizeof at);
    sn_table_stamp(r, "to", type, strlen(type));
    return finish(st, r, out);
}

/* ---- labels ---- */

/* The values of a column, each once, in its order: as texts. */
static SnStatus find_names(const SnDataset *d, const char *column, SnArena *arena, const char *const **name,
                           size_t *n, SnError *err)
{
    SnDataset *sorted = NULL;
    uint32_t at = 0;
    SN_TRY(sn_dataset_find(d, column, &at, err));
    SN_TRY(sn_dataset_sort(d, column, false, false, &sorted, err));
    SN_VEC(const char *) names = {0};
    SnText text = {.memory = sn_allocator(d->ctx)};
    SnStatus st = SN_OK;
    for (int64_t i = 0; st == SN_OK && i < sorted->nrow; i++) {
        const SnCell c = sn_column_at(&sorted->col[at], i);
        const bool is_text = c.array->type->kind == SN_DATA_TEXT;
        text.n = 0;
        if (sn_cell_is_null(c))
            continue;
        if (is_text)
            sn_text_add(&text, (const char *)sn_cell_bytes(c).at, sn_cell_bytes(c).n);
        else
            (void)sn_cell_json(&text, c);
        sn_text_add(&text, "", 0);
        if (names.n && sn_bytes_is(sn_bytes(text.at, text.n), names.at[names.n - 1]))
            continue;
        const char *copy = sn_arena_strndup(arena, text.n ? text.at : "", text.n);
        if (!copy || text.failed || !sn_vec_push(text.memory, &names, copy))
            st = sn_fail(err, SN_ENOMEM, "labels: no memory");
    }
    const char **to = sn_arena_array(arena, names.n + 1, sizeof *to);
    for (size_t i = 0; to && i < names.n; i++)
        to[i] = names.at[i];
    *name = to;
    *n = names.n;
    sn_vec_clear(text.memory, &names);
    sn_text_clear(&text);
    sn_dataset_release(sorted);
    return st == SN_OK && !to ? sn_fail(err, SN_ENOMEM, "labels: no memory") : st;
}

static SnStatus label_of(SnCell c, const SnMap *map, size_t n, const char *column, int64_t row, int64_t *out,
                         SnError *err)
{
    uint32_t id = 0;
    const SnFeature *type = c.array->type;
    const SnBytes s = sn_cell_bytes(c);
    if (type->kind == SN_DATA_TEXT) {
        SN_CHECK(sn_map_get(map, s, &id), err, SN_EINVAL,
                 "column %s, row %lld: \"%.*s\" is none of the %zu labels", column, (long long)row,
                 (int)(s.n < 60 ? s.n : 60), (const char *)s.at, n);
        *out = id;
        return SN_OK;
    }
    *out = sn_cell_int(c);
    SN_CHECK(sn_dtype_is_int(type->dtype) && *out >= -1 && *out < (int64_t)n, err, SN_EINVAL,
             "column %s, row %lld: label %lld, allowed 0 to %zu", column, (long long)row, (long long)*out,
             n ? n - 1 : 0);
    return SN_OK;
}

/* encode: numbers are values, whose names stand in the map too. */
static SnStatus encode(const SnDataset *d, SnDataset *r, uint32_t at, bool by_value, const SnMap *map,
                       SnError *err)
{
    const char *column = d->col[at].type.name;
    SnBuilder b = {.memory = sn_allocator(d->ctx), .type = r->col[at].type, .key = sn_bytes_str(column)};
    SnText text = {.memory = b.memory};
    SnStatus st = SN_OK;
    for (int64_t i = 0; st == SN_OK && i < d->nrow; i++) {
        const SnCell c = sn_column_at(&d->col[at], i);
        int64_t id = 0;
        uint32_t value = 0;
        text.n = 0;
        if (sn_cell_is_null(c)) {
            sn_builder_null(&b);
            continue;
        }
        if (by_value && c.array->type->kind != SN_DATA_TEXT) {
            const bool found = sn_cell_json(&text, c) && sn_map_get(map, sn_bytes(text.at, text.n), &value);
            id = found ? (int64_t)value : 0;
        } else {
            st = label_of(c, map, b.type.nlabel, column, i, &id, err);
        }
        sn_builder_raw(&b, &id);
    }
    if (st == SN_OK)
        st = sn_table_put(r, at, &b, err);
    sn_builder_clear(&b);
    sn_text_clear(&text);
    return st;
}

SnStatus sn_dataset_labels(const SnDataset *d, const char *column, const char *const *name, size_t n,
                           SnDataset **out, SnError *err)
{
    SnDataset *r = NULL;
    SnMap map;
    uint32_t at = 0;
    const bool by_value = n == 0;
    SN_TRY(sn_dataset_find(d, column, &at, err));
    const SnDataKind kind = d->col[at].type.kind;
    SN_CHECK(kind == SN_DATA_TEXT || kind == SN_DATA_NUMBER || kind == SN_DATA_LABEL, err, SN_EINVAL,
             "labels: column %s holds neither numbers nor texts", column);
    SN_TRY(sn_table_derive(d, 0, &r, err));
    sn_map_init(&map, sn_allocator(d->ctx));
    SnStatus st = by_value ? find_names(d, column, &r->arena, &name, &n, err) : SN_OK;
    SnFeature type = {
        .name = column, .kind = SN_DATA_LABEL, .dtype = SN_I64, .nlabel = (uint32_t)n, .label = name};
    if (st == SN_OK && !sn_feature_copy(&r->arena, &type, &r->col[at].type))
        st = sn_fail(err, SN_ENOMEM, "labels: no memory");
    for (size_t i = 0; st == SN_OK && i < n; i++) {
        if (!sn_map_put(&map, sn_bytes_str(r->col[at].type.label[i]), (uint32_t)i))
            st = sn_fail(err, SN_ENOMEM, "labels: no memory");
        sn_table_stamp(r, column, name[i], strlen(name[i]));
    }
    if (st == SN_OK)
        st = encode(d, r, at, by_value, &map, err);
    sn_map_clear(&map);
    return finish(st, r, out);
}
