/* recast.c -- other columns: rename, keep, drop, cast, class labels, flatten. Casts are the safe ones of
 * pyarrow. */
#include "frontends/data/table.h"
#include "ops/host/unicode.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

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
    return sn_table_finish(r->col[at].type.name ? SN_OK : sn_fail(err, SN_ENOMEM, "rename: no memory"), r,
                           out);
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
    return sn_table_finish(st, r, out);
}

/* ---- cast ---- */

typedef struct Cast { /* of one cell of a column */
    const char *column;
    int64_t row;
    SnText text;
    SnError *err;
} Cast;

static SnStatus does_not_fit(const Cast *k, SnCell c, const SnFeature *to)
{
    SnText t = {.memory = k->text.memory};
    const char *name = sn_feature_name(to);
    (void)sn_cell_json(&t, c);
    const SnStatus st = sn_fail(k->err, SN_EINVAL, "column %s, row %lld: %.*s is no %s", k->column,
                                (long long)k->row, t.n < 60 ? (int)t.n : 60, t.n ? t.at : "",
                                name                         ? name
                                : to->kind == SN_DATA_LIST   ? "list"
                                : to->kind == SN_DATA_STRUCT ? "object of these fields"
                                                             : "value of this column");
    sn_text_clear(&t);
    return st;
}

/* A number as JSON spells it: without a plus, zeros before it and a point that nothing stands behind. */
static bool cast_float(SnBytes s, double *out)
{
    static const char *const words[] = {"nan", "inf", "infinity"};
    char plain[64];
    size_t n = 0, at = s.n && (s.at[0] == '-' || s.at[0] == '+');
    const bool is_negative = at && s.at[0] == '-';
    for (size_t i = 0; i < SN_COUNT(words); i++)
        if (sn_equal_in_lower_case(sn_bytes(s.at + at, s.n - at), sn_bytes_str(words[i]))) {
            const double v = i ? (double)INFINITY : (double)NAN;
            *out = is_negative ? -v : v;
            return true;
        }
    if (s.n + 1 > sizeof plain)
        return false;
    while (at + 1 < s.n && s.at[at] == '0' && s.at[at + 1] >= '0' && s.at[at + 1] <= '9')
        at++;
    if (at < s.n && s.at[at] == '.')
        plain[n++] = '0';
    for (; at < s.n; at++) {
        const bool is_last = at + 1 == s.n || s.at[at + 1] < '0' || s.at[at + 1] > '9';
        if (s.at[at] != '.' || !is_last || n == 0)
            plain[n++] = (char)s.at[at];
    }
    const bool ok = n && plain[0] >= '0' && plain[0] <= '9' && sn_parse_f64(sn_bytes(plain, n), out);
    *out = is_negative ? -*out : *out;
    return ok;
}

static bool cast_text(SnBytes text, SnDtype to, SnScalar *v)
{
    char copy[32] = "";
    if (to == SN_BOOL) {
        v->i = sn_bytes_is(text, "1") || sn_equal_in_lower_case(text, sn_bytes_str("true"));
        return v->i || sn_bytes_is(text, "0") || sn_equal_in_lower_case(text, sn_bytes_str("false"));
    }
    if (sn_dtype_is_float(to))
        return cast_float(text, &v->f);
    if (text.n == 0 || text.n >= sizeof copy)
        return false;
    memcpy(copy, text.at, text.n);
    const bool is_negative = copy[0] == '-';
    if (text.n == is_negative || strspn(copy + is_negative, "0123456789") != text.n - is_negative)
        return false;
    errno = 0;
    if (to == SN_U64)
        v->u = strtoull(copy + is_negative, NULL, 10);
    else
        v->i = strtoll(copy, NULL, 10);
    if (errno || to == SN_U64)
        return errno == 0 && !is_negative;
    const int64_t whole = v->i;
    *v = sn_scalar_cast(SN_I64, to, *v, true);
    return sn_scalar_cast(to, SN_I64, *v, true).i == whole;
}

static bool cast_number(SnCell c, const SnFeature *to, SnScalar *v)
{
    const SnDtype from = c.array->type->dtype;
    const SnDataKind kind = c.array->type->kind;
    if (kind == SN_DATA_TEXT && to->unit)
        return sn_date_of_text(sn_cell_bytes(c), to, &v->i);
    if (kind == SN_DATA_TEXT || kind == SN_DATA_BINARY)
        return !to->unit && cast_text(sn_cell_bytes(c), to->dtype, v);
    if (to->unit || c.array->type->unit)
        return sn_date_cast(c.array->type, to, sn_cell_int(c), &v->i);
    const bool was_float = sn_dtype_is_float(from), is_float = sn_dtype_is_float(to->dtype);
    const SnScalar old = was_float ? (SnScalar){.f = sn_cell_number(c)} : (SnScalar){.i = sn_cell_int(c)};
    *v = sn_scalar_cast(from, to->dtype, old, true);
    const SnScalar back = sn_scalar_cast(to->dtype, from, *v, true);
    const int64_t most = to->dtype == SN_F64 ? INT64_C(1) << 53 : to->dtype == SN_F32 ? 1 << 24 : 1 << 11;
    const bool was_large = from == SN_U64 && old.i < 0;
    const bool was_below = from != SN_U64 && old.i < 0, is_below = to->dtype != SN_U64 && v->i < 0;
    if (is_float)
        return was_float || (!was_large && old.i >= -most && old.i <= most);
    return to->dtype == SN_BOOL || (was_float ? back.f == old.f : back.i == old.i && was_below == is_below);
}

/* As pyarrow spells a number: "1", "0.001", "1e+15". */
static void spell_float(SnText *t, SnCell c)
{
    SnText json = {.memory = t->memory};
    char digit[32];
    int n = 0, point = 0, exponent = 0;
    (void)sn_cell_json(&json, c);
    sn_text_add(&json, "", 1);
    const char *at = json.failed ? "0" : json.at;
    if (*at == '-')
        sn_text_add(t, at++, 1);
    if (*at < '0' || *at > '9') {
        sn_text_printf(t, "%s", *at == 'N' ? "nan" : "inf");
        sn_text_clear(&json);
        return;
    }
    bool is_behind = false;
    for (; *at && *at != 'e' && *at != 'E'; at++) {
        is_behind = is_behind || *at == '.';
        if (*at == '.' || (*at == '0' && n == 0)) {
            point -= is_behind && *at == '0';
            continue;
        }
        point += !is_behind;
        if (n < (int)sizeof digit)
            digit[n++] = *at;
    }
    exponent = point - 1 + (*at ? (int)strtol(at + 1, NULL, 10) : 0);
    while (n > 1 && digit[n - 1] == '0')
        n--;
    sn_text_clear(&json);
    if (n == 0) {
        sn_text_add(t, "0", 1);
    } else if (exponent < -6 || exponent >= 15) {
        sn_text_printf(t, "%c%s%.*se%+d", digit[0], n > 1 ? "." : "", n - 1, digit + 1, exponent);
    } else if (exponent < 0) {
        sn_text_printf(t, "0.%.*s%.*s", -exponent - 1, "00000", n, digit);
    } else {
        const int whole = exponent + 1 < n ? exponent + 1 : n;
        sn_text_printf(t, "%.*s%.*s%s%.*s", whole, digit, exponent + 1 - whole, "00000000000000",
                       n > whole ? "." : "", n - whole, digit + whole);
    }
}

static SnStatus cast_to_text(Cast *k, SnBuilder *b, SnCell c)
{
    const SnFeature *from = c.array->type;
    k->text.n = 0;
    const SnBytes bytes = sn_cell_bytes(c);
    if (from->kind == b->type.kind || from->kind == SN_DATA_TEXT ||
        (from->kind == SN_DATA_BINARY && sn_utf8_valid(bytes))) {
        sn_builder_text(b, bytes);
        return SN_OK;
    }
    bool ok = (from->kind == SN_DATA_NUMBER || from->kind == SN_DATA_LABEL) && b->type.kind == SN_DATA_TEXT;
    if (ok && from->unit)
        ok = sn_date_spell(&k->text, from, sn_cell_int(c));
    else if (ok && sn_dtype_is_float(from->dtype))
        spell_float(&k->text, c);
    else if (ok)
        (void)sn_cell_json(&k->text, c);
    if (!ok)
        return does_not_fit(k, c, &b->type);
    SN_CHECK(!k->text.failed, k->err, SN_ENOMEM, "cast: no memory");
    sn_builder_text(b, sn_bytes(k->text.at, k->text.n));
    return SN_OK;
}

static SnStatus cast_cell(Cast *k, SnBuilder *b, SnCell c);

static SnStatus cast_list(Cast *k, SnBuilder *b, SnCell c)
{
    SnCell item = c;
    int64_t n = sn_cell_list(c, &item);
    if (b->type.length && n != b->type.length)
        return does_not_fit(k, c, &b->type);
    for (; n > 0; n--, item.at++)
        SN_TRY(cast_cell(k, b->child.at[0], item));
    sn_builder_row(b);
    return SN_OK;
}

/* Fields that it lacks are null; one more is wrong. */
static SnStatus cast_struct(Cast *k, SnBuilder *b, SnCell c)
{
    const SnFeature *from = c.array->type;
    uint32_t nused = 0;
    for (size_t i = 0; i < b->child.n; i++) {
        uint32_t at = 0;
        while (at < from->nchild && !sn_bytes_is(b->child.at[i]->key, from->child[at].name))
            at++;
        nused += at < from->nchild;
        if (at < from->nchild)
            SN_TRY(cast_cell(k, b->child.at[i], sn_cell_field(c, at)));
        else
            sn_builder_null(b->child.at[i]);
    }
    if (nused < from->nchild)
        return does_not_fit(k, c, &b->type);
    sn_builder_row(b);
    return SN_OK;
}

/* The number of a name, or a number below that of names. */
static SnStatus cast_label(Cast *k, SnBuilder *b, SnCell c)
{
    const SnFeature *to = &b->type, *from = c.array->type;
    const SnBytes s = sn_cell_bytes(c);
    SnScalar v = {.i = 0};
    uint32_t id = 0;
    for (uint32_t i = 0, n = b->field.n ? 0 : to->nlabel; i < n; i++)
        SN_CHECK(sn_map_put(&b->field, sn_bytes_str(to->label[i]), i), k->err, SN_ENOMEM, "cast: no memory");
    const bool is_name = from->kind == SN_DATA_TEXT && sn_map_get(&b->field, s, &id);
    if (is_name)
        v.i = id;
    const bool is_number = is_name || cast_number(c, to, &v);
    SN_CHECK(is_number || from->kind == SN_DATA_TEXT, k->err, SN_EINVAL, "column %s, row %lld: no label",
             k->column, (long long)k->row);
    SN_CHECK(is_number, k->err, SN_EINVAL, "column %s, row %lld: \"%.*s\" is none of the %u labels",
             k->column, (long long)k->row, (int)(s.n < 60 ? s.n : 60), (const char *)s.at, to->nlabel);
    SN_CHECK(v.i < (int64_t)to->nlabel, k->err, SN_EINVAL, "column %s, row %lld: label %lld, allowed 0 to %u",
             k->column, (long long)k->row, (long long)v.i, to->nlabel ? to->nlabel - 1 : 0);
    sn_builder_raw(b, &v.i);
    return SN_OK;
}

static SnStatus cast_cell(Cast *k, SnBuilder *b, SnCell c)
{
    SnScalar v = {.i = 0};
    uint8_t stored[8];
    const SnDataKind from = c.array->type->kind, to = b->type.kind;
    if (sn_cell_is_null(c)) {
        sn_builder_null(b);
        return SN_OK;
    }
    if (to == SN_DATA_TEXT || to == SN_DATA_BINARY)
        return cast_to_text(k, b, c);
    if (to == SN_DATA_LIST && from == SN_DATA_LIST)
        return cast_list(k, b, c);
    if (to == SN_DATA_STRUCT && from == SN_DATA_STRUCT)
        return cast_struct(k, b, c);
    if (to == SN_DATA_LABEL && from != SN_DATA_LIST && from != SN_DATA_STRUCT)
        return cast_label(k, b, c);
    const bool is_plain = from != SN_DATA_LIST && from != SN_DATA_STRUCT;
    if (to != SN_DATA_NUMBER || !is_plain || !cast_number(c, &b->type, &v))
        return does_not_fit(k, c, &b->type);
    sn_scalar_store(b->type.dtype, stored, v);
    sn_builder_raw(b, stored);
    return SN_OK;
}

/* The rows of the column `from` behind `first` as those of a type, at `to` of r; the first is called row0. */
static SnStatus cast_column(const SnColumn *from, int64_t first, int64_t nrow, int64_t row0,
                            const SnFeature *type, SnDataset *r, uint32_t to, SnError *err)
{
    SnBuilder b = {.memory = sn_allocator(r->ctx)};
    Cast k = {.column = type->name, .text = {.memory = b.memory}, .err = err};
    sn_map_init(&b.field, b.memory);
    SnStatus st = sn_builder_like(&b, type) ? SN_OK : sn_fail(err, SN_ENOMEM, "cast: no memory");
    for (int64_t i = 0; st == SN_OK && i < nrow; i++) {
        k.row = row0 + i;
        if (from)
            st = cast_cell(&k, &b, sn_column_at(from, first + i));
        else
            sn_builder_null(&b);
    }
    if (st == SN_OK)
        st = sn_table_put(r, to, &b, err);
    sn_builder_clear(&b);
    sn_text_clear(&k.text);
    return st;
}

typedef struct Recast { /* of a column of d */
    const SnDataset *d;
    uint32_t column;
    const SnFeature *type;
} Recast;

static SnStatus cast_part(void *self, int64_t first, int64_t n, SnDataset **out, SnError *err)
{
    const Recast *k = self;
    SnDataset *r = NULL;
    SN_TRY(sn_table_create(k->d->ctx, 1, &r, err));
    r->nrow = n;
    return sn_table_finish(cast_column(&k->d->col[k->column], first, n, first, k->type, r, 0, err), r, out);
}

SnStatus sn_dataset_cast(const SnDataset *d, const char *column, const char *type, SnDataset **out,
                         SnError *err)
{
    uint32_t at = 0;
    SnDataset *r = NULL;
    SnFeature to;
    SnJson name = {.kind = SN_JSON_STRING, .u.string = sn_bytes_str(type)}, *v = &name;
    SN_TRY(sn_dataset_find(d, column, &at, err));
    SN_TRY(sn_table_derive(d, 0, &r, err));
    SnStatus st = type[0] == '{' || type[0] == '['
                      ? sn_json_parse(&r->arena, "features", sn_bytes_str(type), &v, err)
                      : SN_OK;
    if (st == SN_OK)
        st = sn_feature_read(&r->arena, v, &to, err);
    sn_table_stamp(r, "cast", &at, sizeof at);
    sn_table_stamp(r, "to", type, strlen(type));
    if (st == SN_OK) {
        to.name = d->col[at].type.name;
        Recast k = {d, at, &to};
        st = sn_rows_make_columns(d, r, SN_TABLE_PART, cast_part, &k, err);
    }
    return sn_table_finish(st, r, out);
}

/* ---- parts ---- */

static bool is_same(const SnDataset *part, const SnFeature *type, uint32_t ncol)
{
    bool same = part->ncol == ncol;
    for (uint32_t i = 0; same && i < ncol; i++)
        same = strcmp(part->col[i].type.name, type[i].name) == 0 &&
               sn_feature_equal(&part->col[i].type, &type[i]);
    return same;
}

SnStatus sn_table_conform(SnDataset **part, const SnFeature *type, uint32_t ncol, int64_t row0, SnError *err)
{
    SnDataset *d = *part, *r = NULL;
    uint32_t nused = 0, at = 0;
    if (is_same(d, type, ncol))
        return SN_OK;
    SN_TRY(sn_table_create(d->ctx, ncol, &r, err));
    SnStatus st = sn_table_keep(r, d, err);
    r->nrow = d->nrow;
    for (uint32_t i = 0; st == SN_OK && i < ncol; i++) {
        const bool found = sn_dataset_find(d, type[i].name, &at, NULL) == SN_OK;
        nused += found;
        if (found && sn_feature_equal(&d->col[at].type, &type[i]))
            r->col[i] = d->col[at];
        else
            st = cast_column(found ? &d->col[at] : NULL, 0, d->nrow, row0 + 1, &type[i], r, i, err);
    }
    for (uint32_t i = 0; st == SN_OK && nused < d->ncol && i < d->ncol; i++) {
        at = 0;
        while (at < ncol && strcmp(type[at].name, d->col[i].type.name) != 0)
            at++;
        if (at == ncol)
            st = sn_fail(err, SN_EINVAL, "row %lld: a column %s, which rows before it do not have",
                         (long long)row0 + 1, d->col[i].type.name);
    }
    if (st != SN_OK) {
        sn_dataset_release(r);
        return st;
    }
    sn_dataset_release(d);
    *part = r;
    return SN_OK;
}

/* ---- labels ---- */

/* As Python's str spells a value: what class_encode_column sees of one that is no text. */
static void spell_value(SnText *t, SnCell c)
{
    const SnFeature *type = c.array->type;
    const double number = sn_cell_number(c);
    if (type->kind == SN_DATA_TEXT)
        sn_text_add(t, (const char *)sn_cell_bytes(c).at, sn_cell_bytes(c).n);
    else if (type->dtype == SN_BOOL)
        sn_text_printf(t, "%s", sn_cell_int(c) ? "True" : "False");
    else if (sn_dtype_is_float(type->dtype) && !isfinite(number))
        sn_text_printf(t, "%s", isnan(number) ? "nan" : number < 0 ? "-inf" : "inf");
    else if (sn_dtype_is_float(type->dtype))
        sn_json_put_f64(t, number);
    else
        (void)sn_cell_json(t, c);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The values of a column, each once, as texts in their order. */
static SnStatus find_names(const SnDataset *d, const char *column, SnArena *arena, const char *const **name,
                           size_t *n, SnError *err)
{
    SnDataset *values = NULL;
    SN_TRY(sn_dataset_unique(d, column, &values, err));
    const char **to = sn_arena_array(arena, (size_t)values->nrow + 1, sizeof *to);
    SnText text = {.memory = sn_allocator(d->ctx)};
    bool ok = to != NULL;
    *n = 0;
    for (int64_t i = 0; ok && i < values->nrow; i++) {
        const SnCell c = sn_column_at(&values->col[0], i);
        text.n = 0;
        if (sn_cell_is_null(c))
            continue;
        spell_value(&text, c);
        to[*n] = sn_arena_strndup(arena, text.n ? text.at : "", text.n);
        ok = !text.failed && to[*n] != NULL;
        ++*n;
    }
    if (ok && *n)
        qsort(to, *n, sizeof *to, compare_names);
    *name = to;
    sn_text_clear(&text);
    sn_dataset_release(values);
    return ok ? SN_OK : sn_fail(err, SN_ENOMEM, "labels: no memory");
}

/* by_value: what is no text is first spelled. */
static SnStatus encode(const SnDataset *d, SnDataset *r, uint32_t at, bool by_value, SnError *err)
{
    SnBuilder b = {.memory = sn_allocator(d->ctx), .type = r->col[at].type};
    Cast k = {.column = b.type.name, .text = {.memory = b.memory}, .err = err};
    const SnFeature text = {.kind = SN_DATA_TEXT, .is_wide = true};
    SnStatus st = SN_OK;
    b.key = sn_bytes_str(b.type.name);
    sn_map_init(&b.field, b.memory);
    for (; st == SN_OK && k.row < d->nrow; k.row++) {
        const SnCell c = sn_column_at(&d->col[at], k.row);
        k.text.n = 0;
        if (sn_cell_is_null(c)) {
            sn_builder_null(&b);
            continue;
        }
        if (by_value)
            spell_value(&k.text, c);
        const int64_t begin_end[] = {0, (int64_t)k.text.n};
        const SnArray spelled = {
            .type = &text, .n = 1, .offsets = begin_end, .data = (const uint8_t *)k.text.at};
        st = k.text.failed ? sn_fail(err, SN_ENOMEM, "labels: no memory")
                           : cast_label(&k, &b, by_value ? (SnCell){&spelled, 0} : c);
    }
    if (st == SN_OK)
        st = sn_table_put(r, at, &b, err);
    sn_builder_clear(&b);
    sn_text_clear(&k.text);
    return st;
}

SnStatus sn_dataset_labels(const SnDataset *d, const char *column, const char *const *name, size_t n,
                           SnDataset **out, SnError *err)
{
    SnDataset *r = NULL;
    uint32_t at = 0;
    const bool by_value = n == 0;
    SN_TRY(sn_dataset_find(d, column, &at, err));
    const SnDataKind kind = d->col[at].type.kind;
    SN_CHECK(kind < SN_DATA_LIST && kind != SN_DATA_BINARY, err, SN_EINVAL,
             "labels: column %s holds neither numbers nor texts", column);
    SN_TRY(sn_table_derive(d, 0, &r, err));
    SnStatus st = by_value ? find_names(d, column, &r->arena, &name, &n, err) : SN_OK;
    SnFeature type = {
        .name = column, .kind = SN_DATA_LABEL, .dtype = SN_I64, .nlabel = (uint32_t)n, .label = name};
    if (st == SN_OK && !sn_feature_copy(&r->arena, &type, &r->col[at].type))
        st = sn_fail(err, SN_ENOMEM, "labels: no memory");
    for (size_t i = 0; st == SN_OK && i < n; i++)
        sn_table_stamp(r, column, name[i], strlen(name[i]));
    if (st == SN_OK)
        st = encode(d, r, at, by_value, err);
    return sn_table_finish(st, r, out);
}

/* The label of each old one among the new names. */
static SnStatus align_names(const SnFeature *old, const char *const *name, size_t n, SnArena *arena,
                            int64_t **out, SnError *err)
{
    int64_t *to = sn_arena_array(arena, old->nlabel + 1u, sizeof *to);
    SN_CHECK(to, err, SN_ENOMEM, "labels: no memory");
    for (uint32_t i = 0; i < old->nlabel; i++) {
        to[i] = (int64_t)n - 1;
        while (to[i] >= 0 && !sn_equal_in_lower_case(sn_bytes_str(old->label[i]), sn_bytes_str(name[to[i]])))
            to[i]--;
    }
    *out = to;
    return SN_OK;
}

static SnStatus align_cell(Cast *k, SnBuilder *b, SnCell c, const SnFeature *old, const int64_t *to)
{
    if (sn_cell_is_null(c)) {
        sn_builder_null(b);
        return SN_OK;
    }
    if (b->type.kind == SN_DATA_LIST) {
        SnCell item = c;
        for (int64_t n = sn_cell_list(c, &item); n > 0; n--, item.at++)
            SN_TRY(align_cell(k, b->child.at[0], item, old, to));
        sn_builder_row(b);
        return SN_OK;
    }
    const int64_t label = sn_cell_int(c);
    SN_CHECK(label >= 0 && label < old->nlabel && to[label] >= 0, k->err, SN_EINVAL,
             "column %s, row %lld: label %lld (%s) is none of the names", k->column, (long long)k->row,
             (long long)label, label >= 0 && label < old->nlabel ? old->label[label] : "out of range");
    sn_builder_raw(b, &to[label]);
    return SN_OK;
}

SnStatus sn_dataset_align_labels(const SnDataset *d, const char *column, const char *const *name, size_t n,
                                 SnDataset **out, SnError *err)
{
    uint32_t at = 0;
    SnDataset *r = NULL;
    SN_TRY(sn_dataset_find(d, column, &at, err));
    const SnFeature *type = &d->col[at].type, *old = type->kind == SN_DATA_LIST ? type->child : type;
    SN_CHECK(old->kind == SN_DATA_LABEL && n > 0 && n <= UINT32_MAX, err, SN_EINVAL,
             "labels: column %s holds none, or no names are given", column);
    SN_TRY(sn_table_derive(d, 0, &r, err));
    SnFeature label = *old, to = *type;
    label.nlabel = (uint32_t)n;
    label.label = name;
    to.child = &label;
    int64_t *map = NULL;
    SnBuilder b = {.memory = sn_allocator(d->ctx)};
    Cast k = {.column = column, .err = err};
    SnStatus st = align_names(old, name, n, &r->arena, &map, err);
    if (st == SN_OK &&
        (!sn_feature_copy(&r->arena, type == old ? &label : &to, &to) || !sn_builder_like(&b, &to)))
        st = sn_fail(err, SN_ENOMEM, "labels: no memory");
    for (int64_t i = 0; st == SN_OK && i < d->nrow; i++) {
        k.row = i;
        st = align_cell(&k, &b, sn_column_at(&d->col[at], i), old, map);
    }
    if (st == SN_OK)
        st = sn_table_put(r, at, &b, err);
    sn_builder_clear(&b);
    sn_table_stamp(r, "align", &at, sizeof at);
    for (size_t i = 0; i < n; i++)
        sn_table_stamp(r, "name", name[i], strlen(name[i]));
    return sn_table_finish(st, r, out);
}

/* ---- flatten ---- */

static bool opens(const SnFeature *f, int depth)
{
    return f->kind == SN_DATA_STRUCT && !f->tag && depth > 0;
}

static uint32_t count_leaves(const SnFeature *f, int depth)
{
    uint32_t n = 0;
    if (!opens(f, depth))
        return 1;
    for (uint32_t i = 0; i < f->nchild; i++)
        n += count_leaves(&f->child[i], depth - 1);
    return n;
}

/* A field of the rows of an array: null where it or they are. */
static SnStatus field_array(SnDataset *d, const SnArray *a, uint32_t field, SnArray *out, SnError *err)
{
    uint8_t *bits = NULL;
    *out = a->child[field];
    out->offset += a->offset;
    out->n = a->n;
    if (!a->valid || out->type->kind == SN_DATA_NULL)
        return SN_OK;
    SN_TRY(sn_table_alloc(d, (size_t)(out->offset + out->n) / 8 + 1, 1, &bits, err));
    for (int64_t i = 0; i < out->n; i++)
        if (sn_array_valid(a, i) && sn_array_valid(out, i))
            bits[(out->offset + i) >> 3] |= (uint8_t)(1 << ((out->offset + i) & 7));
    out->valid = bits;
    return SN_OK;
}

static SnStatus flatten(SnDataset *d, const SnColumn *c, int depth, SnError *err)
{
    if (!opens(&c->type, depth)) {
        d->col[d->ncol++] = *c;
        return SN_OK;
    }
    for (uint32_t k = 0; k < c->type.nchild; k++) {
        SnColumn field = *c;
        SnArray *chunk = sn_arena_array(&d->arena, c->nchunk + 1u, sizeof *chunk);
        field.type = c->type.child[k];
        field.type.name = sn_arena_printf(&d->arena, "%s.%s", c->type.name, c->type.child[k].name);
        SN_CHECK(chunk && field.type.name, err, SN_ENOMEM, "flatten: no memory");
        for (uint32_t i = 0; i < c->nchunk; i++)
            SN_TRY(field_array(d, &c->chunk[i], k, &chunk[i], err));
        field.chunk = chunk;
        SN_TRY(flatten(d, &field, depth - 1, err));
    }
    return SN_OK;
}

SnStatus sn_dataset_flatten(const SnDataset *d, SnDataset **out, SnError *err)
{
    enum { MOST_DEPTH = 15 }; /* of datasets */
    uint32_t ncol = 0;
    SnDataset *r = NULL;
    for (uint32_t i = 0; i < d->ncol; i++)
        ncol += count_leaves(&d->col[i].type, MOST_DEPTH);
    SN_TRY(sn_table_create(d->ctx, ncol, &r, err));
    SnStatus st = sn_table_keep(r, d, err);
    r->nrow = d->nrow;
    r->ncol = 0;
    r->fingerprint = d->fingerprint;
    for (uint32_t i = 0; st == SN_OK && i < d->ncol; i++)
        st = flatten(r, &d->col[i], MOST_DEPTH, err);
    sn_table_stamp(r, "flatten", NULL, 0);
    return sn_table_finish(st, r, out);
}
