/* rows_json.c -- JSON lines, and JSON files with a list of rows: types as pyarrow infers them, from one part
 * of a file of lines after the other.
 *
 * A column is null until it has a value. Whole numbers become floats where one is; strings that are all dates
 * become timestamps; other mixtures are kept as JSON (json_shape.c), which the first part tells. */
#include "frontends/data/json_shape.h"
#include "frontends/data/table.h"

#include <stdio.h>

typedef struct Rows {
    const SnDataFile *f;
    SnRows *to;
    SnArena arena; /* of one row */
    SnArena keys;  /* of one part */
    SnArena shapes;
    SnJsonShape *shape; /* of the rows of the first part */
    SnBuilder *root;    /* a STRUCT: the columns */
    bool is_list;       /* the shape is that of all rows */
    SnError *err;
} Rows;

static const SnFeature types[] = {
    [SN_JSON_BOOL] = {.kind = SN_DATA_NUMBER, .dtype = SN_BOOL},
    [SN_JSON_INT] = {.kind = SN_DATA_NUMBER, .dtype = SN_I64},
    [SN_JSON_FLOAT] = {.kind = SN_DATA_NUMBER, .dtype = SN_F64},
    [SN_JSON_STRING] = {.kind = SN_DATA_TEXT},
    [SN_JSON_ARRAY] = {.kind = SN_DATA_LIST},
    [SN_JSON_OBJECT] = {.kind = SN_DATA_STRUCT},
};
static const SnFeature json_type = {.kind = SN_DATA_TEXT, .tag = "{\"_type\": \"Json\"}"};
static const char *const kinds[] = {
    [SN_JSON_NULL] = "null",       [SN_JSON_BOOL] = "a bool",   [SN_JSON_INT] = "a number",
    [SN_JSON_FLOAT] = "a number",  [SN_JSON_STRING] = "a text", [SN_JSON_ARRAY] = "a list",
    [SN_JSON_OBJECT] = "an object"};

static const char *kind_of(const SnFeature *type)
{
    for (size_t i = 1; i < SN_COUNT(types); i++)
        if (types[i].kind == type->kind && (types[i].dtype == type->dtype))
            return kinds[i];
    return "null";
}

/* Whole numbers so far become floats. */
static void widen(SnBuilder *b)
{
    for (size_t i = 0; i + 8 <= b->data.n; i += 8) {
        int64_t v;
        memcpy(&v, b->data.at + i, sizeof v);
        const double x = (double)v;
        memcpy(b->data.at + i, &x, sizeof x);
    }
    b->type.dtype = SN_F64;
}

static SnBuilder *field(Rows *r, SnBuilder *b, SnBytes key)
{
    uint32_t at = 0;
    if (sn_map_get(&b->field, key, &at))
        return b->child.at[at];
    const char *copy = sn_arena_strndup(&r->keys, (const char *)key.at, key.n);
    SnBuilder *c = copy ? sn_builder_child(b, sn_bytes(copy, key.n)) : NULL;
    if (!c || !sn_map_put(&b->field, c->key, (uint32_t)b->child.n - 1)) {
        b->failed = true;
        return NULL;
    }
    for (int64_t i = 0; i < b->n; i++)
        sn_builder_null(c);
    return c;
}

static bool add(Rows *r, SnBuilder *b, const SnJson *v, const SnJsonShape *s);

/* A text that is JSON stays as it is. */
static bool add_json(Rows *r, SnBuilder *b, const SnJson *v)
{
    SnArena scratch;
    SnText text = {.memory = b->memory};
    SnJson *parsed = NULL;
    if (b->type.kind == SN_DATA_NULL)
        sn_builder_become(b, &json_type);
    sn_arena_init(&scratch, b->memory);
    if (v->kind == SN_JSON_STRING && sn_json_parse(&scratch, r->f->path, v->u.string, &parsed, NULL) == SN_OK)
        sn_builder_text(b, v->u.string);
    else {
        sn_json_put(&text, v);
        sn_builder_text(b, sn_bytes(text.at, text.n));
    }
    b->failed = b->failed || text.failed;
    sn_text_clear(&text);
    sn_arena_clear(&scratch);
    return true;
}

static bool add_container(Rows *r, SnBuilder *b, const SnJson *v, const SnJsonShape *s)
{
    if (v->kind == SN_JSON_ARRAY && b->child.n == 0 && !sn_builder_child(b, sn_bytes_str("item")))
        return false;
    for (uint32_t i = 0; i < v->n; i++) {
        const SnJson *item = &v->u.child[i];
        SnBuilder *c = v->kind == SN_JSON_ARRAY ? b->child.at[0] : field(r, b, item->key);
        if (!c)
            return false;
        if (v->kind == SN_JSON_OBJECT && c->n > b->n)
            return sn_fail(r->err, SN_EFORMAT, "column %.*s is there twice", (int)item->key.n,
                           (const char *)item->key.at) == SN_OK;
        if (!add(r, c, item, sn_json_shape_field(s, v->kind == SN_JSON_ARRAY ? sn_bytes_str("") : item->key)))
            return false;
    }
    sn_builder_row(b);
    return true;
}

static bool add(Rows *r, SnBuilder *b, const SnJson *v, const SnJsonShape *s)
{
    if (v->kind == SN_JSON_NULL) {
        sn_builder_null(b);
        return true;
    }
    if (sn_json_shape_is_json(s))
        return add_json(r, b, v);
    if (b->type.kind == SN_DATA_NULL)
        sn_builder_become(b, &types[v->kind]);
    const bool is_int = v->kind == SN_JSON_INT;
    if (v->kind == SN_JSON_FLOAT && b->type.kind == SN_DATA_NUMBER && b->type.dtype == SN_I64)
        widen(b);
    const bool is_widened = is_int && b->type.dtype == SN_F64;
    if (b->type.kind != types[v->kind].kind || (b->type.dtype != types[v->kind].dtype && !is_widened))
        return sn_fail(r->err, SN_EFORMAT, "column %.*s: %s, where %s stood before", (int)b->key.n,
                       (const char *)b->key.at, kinds[v->kind], kind_of(&b->type)) == SN_OK;
    const double number = is_int ? (double)v->u.integer : v->u.number;
    const uint8_t truth = v->kind == SN_JSON_BOOL && v->u.boolean;
    switch (v->kind) {
    case SN_JSON_ARRAY:
    case SN_JSON_OBJECT:
        return add_container(r, b, v, s);
    case SN_JSON_STRING:
        sn_builder_text(b, v->u.string);
        break;
    case SN_JSON_BOOL:
        sn_builder_raw(b, &truth);
        break;
    default:
        sn_builder_raw(b, b->type.dtype == SN_I64 ? (const void *)&v->u.integer : &number);
    }
    return true;
}

/* A text alone is a row of the column "text". */
static const SnJson *row_of(const SnJson *v, SnJson pair[2])
{
    if (v->kind != SN_JSON_STRING)
        return v;
    pair[1] = *v;
    pair[1].key = sn_bytes_str("text");
    pair[0] = (SnJson){.kind = SN_JSON_OBJECT, .n = 1, .u.child = &pair[1]};
    return pair;
}

/* Adds the row at v. */
static SnStatus add_value(Rows *r, const SnJson *v, int64_t row)
{
    SnJson pair[2];
    char where[64];
    v = row_of(v, pair);
    (void)snprintf(where, sizeof where, "row %lld", (long long)row);
    SN_CHECK(v->kind == SN_JSON_OBJECT, r->err, SN_EFORMAT, "%s: %s: %s, where an object was expected",
             r->f->path, where, kinds[v->kind]);
    if (r->err)
        r->err->message[0] = '\0';
    if (add_container(r, r->root, v, r->shape) && !r->root->failed)
        return SN_OK;
    if (r->root->failed || !r->err || !r->err->message[0])
        return sn_fail(r->err, SN_ENOMEM, "%s: no memory", r->f->path);
    (void)sn_fail_in(r->err, SN_EFORMAT, where);
    return sn_fail_in(r->err, SN_EFORMAT, r->f->path);
}

static SnBytes trim(SnBytes s)
{
    while (s.n && (s.at[0] == ' ' || s.at[0] == '\t' || s.at[0] == '\n' || s.at[0] == '\r'))
        s = sn_bytes(s.at + 1, s.n - 1);
    while (s.n &&
           (s.at[s.n - 1] == ' ' || s.at[s.n - 1] == '\t' || s.at[s.n - 1] == '\r' || s.at[s.n - 1] == '\n'))
        s.n--;
    return s;
}

/* The types that values of a shape have. */
static void preset(Rows *r, SnBuilder *b, const SnJsonShape *s)
{
    const SnJsonKind kind = sn_json_shape_kind(s);
    SnBytes key;
    if (b != r->root && sn_json_shape_is_json(s)) {
        sn_builder_become(b, &json_type);
        return;
    }
    if (b != r->root && kind != SN_JSON_NULL)
        sn_builder_become(b, &types[kind]);
    for (size_t i = 0; kind >= SN_JSON_ARRAY && sn_json_shape_at(s, i, &key); i++) {
        SnBuilder *c = kind == SN_JSON_ARRAY ? sn_builder_child(b, sn_bytes_str("item")) : field(r, b, key);
        if (c)
            preset(r, c, sn_json_shape_at(s, i, &key));
    }
}

static void begin_part(Rows *r)
{
    sn_builder_clear(r->root);
    *r->root = (SnBuilder){.memory = sn_allocator(r->f->ctx), .type = {.kind = SN_DATA_STRUCT}};
    sn_map_init(&r->root->field, r->root->memory);
    sn_arena_clear(&r->keys);
    if (r->is_list)
        preset(r, r->root, r->shape);
}

static void find_dates(SnBuilder *b, const SnJsonShape *s);

static SnStatus end_part(Rows *r)
{
    SnDataset *part = NULL;
    find_dates(r->root, r->is_list ? r->shape : NULL);
    SN_TRY(sn_builders_end(r->root->child.at, r->root->child.n, r->f->ctx, r->root->n, &part, r->err));
    begin_part(r);
    return sn_rows_add(r->to, part, r->err);
}

/* What rows of the first part look like. What is wrong there is said when they are read. */
static SnStatus see_lines(Rows *r, SnBytes text)
{
    for (size_t at = 0; at < text.n && (r->f->is_whole || at <= SN_PART_BYTES);) {
        const uint8_t *end = memchr(text.at + at, '\n', text.n - at);
        const size_t n = end ? (size_t)(end - text.at) - at : text.n - at;
        const SnBytes line = trim(sn_bytes(text.at + at, n));
        SnJson *v = NULL;
        at += n + 1;
        sn_arena_clear(&r->arena);
        if (line.n == 0)
            continue;
        if (sn_json_parse(&r->arena, r->f->path, line, &v, NULL) != SN_OK)
            return SN_OK;
        SN_CHECK(sn_json_shape_see(r->shape, &r->shapes, v), r->err, SN_ENOMEM, "%s: no memory", r->f->path);
    }
    return SN_OK;
}

static SnStatus read_lines(Rows *r, SnBytes text)
{
    int64_t row = 0, line_number = 0;
    const uint8_t *part = r->f->bytes.at;
    SN_TRY(see_lines(r, text));
    for (size_t at = 0; at < text.n;) {
        const uint8_t *end = memchr(text.at + at, '\n', text.n - at);
        const size_t n = end ? (size_t)(end - text.at) - at : text.n - at;
        const SnBytes line = trim(sn_bytes(text.at + at, n));
        at += n + 1;
        line_number++;
        if (line.n == 0)
            continue;
        char name[600];
        (void)snprintf(name, sizeof name, "%s: row %lld (line %lld)", r->f->path, (long long)row + 1,
                       (long long)line_number);
        SnJson *v = NULL;
        sn_arena_clear(&r->arena);
        SN_TRY(sn_json_parse(&r->arena, name, line, &v, r->err));
        SN_TRY(add_value(r, v, ++row));
        const size_t size = (size_t)(text.at - part) + at;
        if (size > SN_PART_BYTES && at < text.n && !r->f->is_whole) {
            SN_TRY(end_part(r));
            (void)sn_file_forget(r->f->file, sn_bytes(part, size));
            part += size;
        }
    }
    return SN_OK;
}

/* {"a": [1, 2], "b": [..]}: columns of one length. */
static bool is_columns(const SnJson *v)
{
    for (uint32_t i = 0; i < v->n; i++)
        if (v->u.child[i].kind != SN_JSON_ARRAY || v->u.child[i].n != v->u.child[0].n)
            return false;
    return v->n > 0;
}

static SnStatus read_columns(Rows *r, const SnJson *v)
{
    SnJson row = {.kind = SN_JSON_OBJECT, .n = v->n};
    row.u.child = sn_arena_array(&r->keys, v->n, sizeof *row.u.child);
    SN_CHECK(row.u.child, r->err, SN_ENOMEM, "%s: no memory", r->f->path);
    for (uint32_t i = 0; i < v->u.child[0].n; i++) {
        for (uint32_t k = 0; k < v->n; k++) {
            row.u.child[k] = v->u.child[k].u.child[i];
            row.u.child[k].key = v->u.child[k].key;
        }
        SN_TRY(add_value(r, &row, (int64_t)i + 1));
    }
    return SN_OK;
}

/* Goes past the value that comes next, of which nothing stays. */
static SnBytes pass(const Rows *r, SnJsonWalk *w)
{
    const uint8_t *begin = w->r.at, *part = begin;
    const uint32_t depth = w->depth;
    bool goes_on = true;
    while (goes_on) {
        SnJson v;
        SnBytes key;
        goes_on = false;
        sn_arena_clear(w->arena);
        if (w->r.at - part > SN_PART_BYTES) {
            (void)sn_file_forget(r->f->file, r->f->bytes);
            part = w->r.at;
        }
        if (!sn_json_open(w) && !sn_json_take(w, &v))
            break;
        while (w->st == SN_OK && w->depth > depth && !goes_on)
            goes_on = sn_json_more(w, &key);
    }
    return trim(sn_bytes(begin, (size_t)(w->r.at - begin)));
}

static void begin_walk(Rows *r, SnJsonWalk *w, SnBytes text)
{
    const SnJson all = {.kind = SN_JSON_LATER, .u.string = text};
    sn_json_walk(w, &r->arena, r->f->path, r->f->bytes, &all, r->err);
}

static SnStatus end_walk(const Rows *r, SnJsonWalk *w)
{
    const size_t left = trim(sn_bytes(w->r.at, w->r.left)).n;
    SN_TRY(sn_json_walk_end(w));
    SN_CHECK(left == 0, r->err, SN_EFORMAT, "%s: %zu bytes before its end: expected the end", r->f->path,
             left);
    return SN_OK;
}

/* The last value of a key of the object. */
static SnStatus find_field(Rows *r, SnBytes text, const char *name, SnBytes *out)
{
    SnJsonWalk w;
    SnBytes key;
    bool found = false;
    begin_walk(r, &w, text);
    if (sn_json_open(&w))
        while (sn_json_more(&w, &key)) {
            const bool is_it = sn_bytes_is(key, name);
            const SnBytes value = pass(r, &w);
            *out = is_it ? value : *out;
            found = found || is_it;
        }
    SN_TRY(end_walk(r, &w));
    SN_CHECK(found, r->err, SN_EFORMAT, "%s: there is no field %s", r->f->path, name);
    return SN_OK;
}

/* Sees the rows of a list, or adds them. */
static SnStatus read_list(Rows *r, SnBytes text, bool is_seen)
{
    SnJsonWalk w;
    SnBytes key;
    SnJson v, pair[2];
    SnStatus st = SN_OK;
    size_t left = text.n;
    begin_walk(r, &w, text);
    (void)sn_json_open(&w);
    for (int64_t row = 1; st == SN_OK && sn_json_more(&w, &key); row++) {
        sn_arena_clear(&r->arena);
        if (!sn_json_take(&w, &v))
            break;
        if (is_seen)
            st = add_value(r, &v, row);
        else if (!sn_json_shape_see(r->shape, &r->shapes, row_of(&v, pair)))
            st = sn_fail(r->err, SN_ENOMEM, "%s: no memory", r->f->path);
        if (st != SN_OK || left - w.r.left <= SN_PART_BYTES)
            continue;
        st = is_seen ? end_part(r) : SN_OK;
        (void)sn_file_forget(r->f->file, r->f->bytes);
        left = w.r.left;
    }
    w.st = w.st == SN_OK ? st : w.st;
    return end_walk(r, &w);
}

static SnStatus read_whole(Rows *r, SnBytes text)
{
    SnJson *v = NULL;
    const char *key = r->f->o->field;
    for (size_t at = 0, n = 0; at < text.n;
         at += n) { /* a part after the other, which ends where a character does */
        n = text.n - at < SN_PART_BYTES ? text.n - at : SN_PART_BYTES;
        for (int i = 0; i < 3 && at + n < text.n && (text.at[at + n] & 0xC0) == 0x80; i++)
            n--;
        SN_CHECK(sn_utf8_valid(sn_bytes(text.at + at, n)), r->err, SN_EFORMAT, "%s: is not UTF-8",
                 r->f->path);
        (void)sn_file_forget(r->f->file, r->f->bytes);
    }
    if (key)
        SN_TRY(find_field(r, text, key, &text));
    if (text.n && text.at[0] == '[') {
        SN_TRY(read_list(r, text, false));
        r->is_list = true;
        begin_part(r);
        return read_list(r, text, true);
    }
    SN_TRY(sn_json_parse(&r->arena, r->f->path, text, &v, r->err));
    if (v->kind == SN_JSON_OBJECT && key && is_columns(v))
        return read_columns(r, v);
    SN_CHECK(v->kind == SN_JSON_OBJECT, r->err, SN_EFORMAT, "%s: expected a list of rows, found %s",
             r->f->path, kinds[v->kind]);
    SN_CHECK(sn_json_shape_see(r->shape, &r->shapes, v), r->err, SN_ENOMEM, "%s: no memory", r->f->path);
    return add_value(r, v, 1);
}

/* One value over several lines: no line but the last ends one. */
static bool is_whole(const Rows *r, SnBytes text)
{
    if (r->f->o->field || (text.n && text.at[0] == '['))
        return true;
    const uint8_t *end = text.n ? memchr(text.at, '\n', text.n) : NULL;
    return end && trim(sn_bytes(text.at, (size_t)(end - text.at))).n == 1;
}

/* ---- dates ---- */

/* A column of texts that are all dates, these or those of the shape of all, becomes one of timestamps; so
 * inside of lists and objects. */
static void find_dates(SnBuilder *b, const SnJsonShape *s)
{
    SnBytes key;
    for (size_t i = 0; i < b->child.n; i++)
        find_dates(b->child.at[i], sn_json_shape_at(s, i, &key));
    if (b->type.kind != SN_DATA_TEXT || b->type.tag || b->failed ||
        (s ? !sn_json_shape_is_date(s) : b->nnull == b->n))
        return;
    SN_VEC(uint8_t) data = {0};
    int64_t begin = 0;
    bool ok = true, has_zone = false;
    for (size_t i = 0; ok && i < b->end.n; begin = b->end.at[i++]) {
        int64_t second = 0;
        ok = !b->valid.at[i] || sn_date_parse(sn_bytes(b->data.at + begin, (size_t)(b->end.at[i] - begin)), 0,
                                              &second, &has_zone);
        if (ok && !sn_vec_reserve(b->memory, &data, sizeof second)) {
            b->failed = true;
            ok = false;
        }
        if (ok)
            memcpy(data.at + data.n, &second, sizeof second);
        data.n += ok ? sizeof second : 0;
    }
    if (!ok) {
        sn_vec_clear(b->memory, &data);
        return;
    }
    sn_vec_clear(b->memory, &b->data);
    sn_vec_clear(b->memory, &b->end);
    b->data.at = data.at;
    b->data.n = data.n;
    b->data.cap = data.cap;
    b->type = (SnFeature){.kind = SN_DATA_NUMBER, .dtype = SN_I64, .unit = "timestamp[s]"};
}

SnStatus sn_read_json_rows(const SnDataFile *f, SnRows *to, SnError *err)
{
    const SnAllocator *memory = sn_allocator(f->ctx);
    SnError local = {0};
    SnBuilder root = {.memory = memory};
    Rows r = {.f = f, .to = to, .root = &root, .err = err ? err : &local};
    sn_arena_init(&r.arena, memory);
    sn_arena_init(&r.keys, memory);
    sn_arena_init(&r.shapes, memory);
    sn_map_init(&root.field, memory);
    begin_part(&r);
    r.shape = sn_json_shape_create(&r.shapes, sn_bytes_str(""));
    SnBytes text = trim(f->bytes);
    if (text.n >= 3 && memcmp(text.at, "\xEF\xBB\xBF", 3) == 0)
        text = trim(sn_bytes(text.at + 3, text.n - 3));
    SnStatus st = !r.shape             ? sn_fail(r.err, SN_ENOMEM, "%s: no memory", f->path)
                  : is_whole(&r, text) ? read_whole(&r, text)
                                       : read_lines(&r, text);
    if (st == SN_OK)
        st = end_part(&r);
    sn_json_shape_clear(r.shape, &r.shapes);
    sn_arena_clear(&r.shapes);
    sn_builder_clear(&root);
    sn_arena_clear(&r.arena);
    sn_arena_clear(&r.keys);
    return st;
}
