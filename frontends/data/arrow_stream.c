/* arrow_stream.c -- datasets from Arrow C streams and as Arrow C streams: arrays are handed over where they
 * lie.
 *
 * What comes in is kept until the dataset goes; what goes out keeps the dataset. */
#include "frontends/data/arrow.h"
#include "runtime/hostcall.h"

#include <errno.h>
#include <stdio.h>

/* ---- formats ---- */

static const struct {
    const char *format;
    SnDataKind kind;
    SnDtype dtype;
    bool is_wide;
} formats[] = {
    {"n", SN_DATA_NULL, SN_NODTYPE, false},  {"b", SN_DATA_NUMBER, SN_BOOL, false},
    {"c", SN_DATA_NUMBER, SN_I8, false},     {"C", SN_DATA_NUMBER, SN_U8, false},
    {"s", SN_DATA_NUMBER, SN_I16, false},    {"S", SN_DATA_NUMBER, SN_U16, false},
    {"i", SN_DATA_NUMBER, SN_I32, false},    {"I", SN_DATA_NUMBER, SN_U32, false},
    {"l", SN_DATA_NUMBER, SN_I64, false},    {"L", SN_DATA_NUMBER, SN_U64, false},
    {"e", SN_DATA_NUMBER, SN_F16, false},    {"f", SN_DATA_NUMBER, SN_F32, false},
    {"g", SN_DATA_NUMBER, SN_F64, false},    {"u", SN_DATA_TEXT, SN_NODTYPE, false},
    {"U", SN_DATA_TEXT, SN_NODTYPE, true},   {"z", SN_DATA_BINARY, SN_NODTYPE, false},
    {"Z", SN_DATA_BINARY, SN_NODTYPE, true}, {"+l", SN_DATA_LIST, SN_NODTYPE, false},
    {"+L", SN_DATA_LIST, SN_NODTYPE, true},  {"+s", SN_DATA_STRUCT, SN_NODTYPE, false},
};
/* In the order of sn_arrow_units. */
static const char *const unit_formats[] = {
    "tdD", "tdm", "tts", "ttm", "ttu", "ttn", "tss:", "tsm:", "tsu:", "tsn:", "tDs", "tDm", "tDu", "tDn"};

static bool read_format(SnArena *arena, const char *format, SnFeature *out)
{
    long long length = 0;
    for (size_t i = 0; i < SN_COUNT(formats); i++)
        if (strcmp(format, formats[i].format) == 0) {
            out->kind = formats[i].kind;
            out->dtype = formats[i].dtype;
            out->is_wide = formats[i].is_wide;
            return true;
        }
    if (sscanf(format, "+w:%lld", &length) == 1 && length > 0) {
        out->kind = SN_DATA_LIST;
        out->length = length;
        return true;
    }
    for (size_t i = 0; i < SN_COUNT(unit_formats); i++) {
        const SnArrowUnit *u = &sn_arrow_units[i];
        const size_t n = strlen(unit_formats[i]);
        if (strncmp(format, unit_formats[i], n) != 0 || (format[n] && u->type != SN_ARROW_TIMESTAMP))
            continue;
        out->kind = SN_DATA_NUMBER;
        out->dtype = u->dtype;
        out->unit = !format[n] ? u->name
                               : sn_arena_printf(arena, "%.*s, tz=%s]", (int)strlen(u->name) - 1, u->name,
                                                 format + n);
        return out->unit != NULL;
    }
    return false;
}

/* In the arena; NULL: no memory. */
static const char *format_of(SnArena *arena, const SnFeature *f)
{
    if (f->kind == SN_DATA_LIST && f->length)
        return sn_arena_printf(arena, "+w:%lld", (long long)f->length);
    for (size_t i = 0; f->unit && i < SN_COUNT(unit_formats); i++) {
        const size_t n = strlen(sn_arrow_units[i].name) - 1;
        const char *behind = strncmp(f->unit, sn_arrow_units[i].name, n) == 0 ? f->unit + n : "?";
        if (strcmp(f->unit, sn_arrow_units[i].name) == 0)
            return unit_formats[i];
        if (*behind == ',')
            return sn_arena_printf(arena, "%s%.*s", unit_formats[i], (int)strlen(behind) - 6, behind + 5);
    }
    const SnDataKind kind = f->kind == SN_DATA_LABEL ? SN_DATA_NUMBER : f->kind;
    for (size_t i = 0; i < SN_COUNT(formats); i++)
        if (formats[i].kind == kind && formats[i].is_wide == f->is_wide &&
            (kind != SN_DATA_NUMBER || formats[i].dtype == f->dtype))
            return formats[i].format;
    return NULL;
}

/* ---- in ---- */

typedef struct Held { /* what a stream gave, until the dataset goes */
    SN_VEC(struct ArrowArray) array;
    const SnAllocator *memory;
} Held;

static void release_held(void *self)
{
    Held *h = self;
    for (size_t i = 0; i < h->array.n; i++)
        h->array.at[i].release(&h->array.at[i]);
    sn_vec_clear(h->memory, &h->array);
    sn_free(h->memory, h, sizeof *h, _Alignof(max_align_t));
}

static SnStatus read_schema(SnDataset *d, const struct ArrowSchema *s, int depth, SnFeature *out,
                            SnError *err)
{
    const char *name = s->name ? s->name : "";
    *out = (SnFeature){.name = sn_arena_strndup(&d->arena, name, strlen(name))};
    SN_CHECK(out->name, err, SN_ENOMEM, "dataset: no memory");
    SN_CHECK(!s->dictionary && s->format && depth < SN_ARROW_DEPTH && read_format(&d->arena, s->format, out),
             err, SN_EUNSUPPORTED, "column %s: format %s of Arrow is not read", name,
             s->format ? s->format : "");
    const bool is_list = out->kind == SN_DATA_LIST, is_nested = is_list || out->kind == SN_DATA_STRUCT;
    SN_CHECK(s->n_children >= 0 && s->n_children < UINT32_MAX &&
                 (is_nested ? !is_list || s->n_children == 1 : s->n_children == 0),
             err, SN_EINVAL, "column %s: %lld children", name, (long long)s->n_children);
    SnFeature *child = sn_arena_array(&d->arena, (size_t)s->n_children + 1, sizeof *child);
    SN_CHECK(child, err, SN_ENOMEM, "dataset: no memory");
    out->child = child;
    out->nchild = (uint32_t)s->n_children;
    for (int64_t i = 0; i < s->n_children; i++)
        SN_TRY(read_schema(d, s->children[i], depth + 1, &child[i], err));
    return SN_OK;
}

static int64_t buffers_of(const SnFeature *f)
{
    const bool is_bytes = f->kind == SN_DATA_TEXT || f->kind == SN_DATA_BINARY;
    const bool has_one = f->kind == SN_DATA_STRUCT || (f->kind == SN_DATA_LIST && f->length);
    return f->kind == SN_DATA_NULL ? 0 : is_bytes ? 3 : has_one ? 1 : 2;
}

/* The array as the host gives it; what it says of its own buffers is believed. */
static SnStatus take_array(SnDataset *d, const struct ArrowArray *a, const SnFeature *type, SnArray *out,
                           SnError *err)
{
    const int64_t nbuffer = buffers_of(type);
    SN_CHECK(a->length >= 0 && a->offset >= 0 && a->n_buffers == nbuffer && a->n_children == type->nchild &&
                 !a->dictionary,
             err, SN_EINVAL, "column %s: an array of %lld buffers and %lld children, expected %lld and %u",
             type->name, (long long)a->n_buffers, (long long)a->n_children, (long long)nbuffer, type->nchild);
    *out = (SnArray){.type = type, .n = a->length, .offset = a->offset};
    out->valid = nbuffer && a->null_count != 0 ? a->buffers[0] : NULL;
    const bool is_bytes = nbuffer == 3,
               has_offsets = is_bytes || (type->kind == SN_DATA_LIST && !type->length);
    if (has_offsets) {
        static const int64_t none;
        out->offsets = a->buffers[1] ? a->buffers[1] : &none;
        SN_CHECK(a->buffers[1] || a->length == 0, err, SN_EINVAL, "column %s: no offsets", type->name);
    } else if (nbuffer == 2) {
        out->data = a->buffers[1];
    }
    if (is_bytes) {
        static const uint8_t empty[1];
        out->data = a->buffers[2] ? a->buffers[2] : empty;
        out->data_size = (size_t)sn_array_offset(out, out->n);
    }
    SnArray *child = sn_arena_array(&d->arena, (size_t)type->nchild + 1, sizeof *child);
    SN_CHECK(child, err, SN_ENOMEM, "dataset: no memory");
    out->child = child;
    for (uint32_t i = 0; i < type->nchild; i++)
        SN_TRY(take_array(d, a->children[i], &type->child[i], &child[i], err));
    return SN_OK;
}

static SnStatus stream_failed(struct ArrowArrayStream *s, int code, SnError *err)
{
    const char *why = s->get_last_error ? s->get_last_error(s) : NULL;
    return sn_fail(err, code == ENOMEM ? SN_ENOMEM : SN_EIO, "the Arrow stream failed: %s",
                   why ? why : strerror(code));
}

static SnStatus read_arrays(SnDataset *d, struct ArrowArrayStream *s, Held *held, SnError *err)
{
    for (;;) {
        struct ArrowArray a = {.length = 0};
        const int code = s->get_next(s, &a);
        if (code)
            return stream_failed(s, code, err);
        if (!a.release)
            return SN_OK;
        if (!sn_vec_push(held->memory, &held->array, a)) {
            a.release(&a);
            return sn_fail(err, SN_ENOMEM, "dataset: no memory");
        }
        SN_CHECK(a.n_children == d->ncol && a.offset == 0 &&
                     (a.n_buffers == 0 || !a.buffers[0] || a.null_count == 0),
                 err, SN_EUNSUPPORTED,
                 "an Arrow batch of %lld columns, expected %u; or one with null rows, or an offset",
                 (long long)a.n_children, d->ncol);
    }
}

static SnStatus make_columns(SnDataset *d, const SnFeature *column, const Held *held, SnError *err)
{
    const size_t n = held->array.n;
    d->nrow = 0;
    for (uint32_t i = 0; i < d->ncol; i++) {
        SnArray *chunk = sn_arena_array(&d->arena, n + 1, sizeof *chunk);
        SN_CHECK(chunk && n < UINT32_MAX, err, SN_ENOMEM, "dataset: no memory");
        for (size_t k = 0; k < n; k++) {
            SN_TRY(take_array(d, held->array.at[k].children[i], &column[i], &chunk[k], err));
            SN_CHECK(chunk[k].n >= held->array.at[k].length, err, SN_EINVAL,
                     "column %s: fewer rows than its batch", column[i].name);
            chunk[k].n = held->array.at[k].length;
        }
        SN_TRY(sn_table_chunks(d, i, chunk, (uint32_t)n, &d->nrow, err));
        d->col[i].type = column[i];
    }
    /* Nothing says what it was made of: its own place in memory and time does. */
    const uint64_t own[] = {(uint64_t)(uintptr_t)d, sn_now_ns()};
    sn_table_stamp(d, "stream", own, sizeof own);
    return SN_OK;
}

static SnStatus import(SnContext *ctx, struct ArrowArrayStream *s, const struct ArrowSchema *schema,
                       SnDataset **out, SnError *err)
{
    const SnAllocator *memory = sn_allocator(ctx);
    SnDataset *d = NULL;
    SN_CHECK(schema->format && strcmp(schema->format, "+s") == 0 && schema->n_children >= 0 &&
                 schema->n_children < UINT32_MAX,
             err, SN_EINVAL, "an Arrow stream of %s, expected structs",
             schema->format ? schema->format : "nothing");
    SN_TRY(sn_table_create(ctx, (uint32_t)schema->n_children, &d, err));
    Held *held = sn_alloc_zero(memory, sizeof *held, _Alignof(max_align_t));
    SnFeature *column = sn_arena_array(&d->arena, d->ncol + 1u, sizeof *column);
    SnStatus st = held && column ? SN_OK : sn_fail(err, SN_ENOMEM, "dataset: no memory");
    if (held) {
        held->memory = memory;
        d->held = held;
        d->release_held = release_held;
    }
    for (uint32_t i = 0; st == SN_OK && i < d->ncol; i++)
        st = read_schema(d, schema->children[i], 0, &column[i], err);
    if (st == SN_OK)
        st = read_arrays(d, s, held, err);
    if (st == SN_OK)
        st = make_columns(d, column, held, err);
    return sn_table_finish(st, d, out);
}

SnStatus sn_dataset_from_arrow(SnContext *ctx, struct ArrowArrayStream *stream, SnDataset **out, SnError *err)
{
    struct ArrowSchema schema = {.format = NULL};
    const int code = stream->get_schema(stream, &schema);
    const SnStatus st = code ? stream_failed(stream, code, err) : import(ctx, stream, &schema, out, err);
    if (schema.release)
        schema.release(&schema);
    stream->release(stream);
    return st;
}

/* ---- out ---- */

enum { BATCH_ROWS = 65536 };

typedef struct Out { /* of a schema, an array or a stream: all of it, and what it stands on */
    SnArena arena;
    SnDataset *d;
    size_t refs; /* structs of it that were not released: those inside may be moved away */
    int64_t at;  /* of a stream */
    SnError err;
} Out;

static Out *begin_out(SnDataset *d)
{
    const SnAllocator *memory = sn_allocator(d->ctx);
    Out *o = sn_alloc_zero(memory, sizeof *o, _Alignof(max_align_t));
    if (!o)
        return NULL;
    sn_arena_init(&o->arena, memory);
    o->d = sn_dataset_retain(d);
    return o;
}

static void end_out(void *self)
{
    Out *o = self;
    const SnAllocator *memory = o->arena.memory;
    sn_arena_clear(&o->arena);
    sn_dataset_release(o->d);
    sn_free(memory, o, sizeof *o, _Alignof(max_align_t));
}

static void drop_out(Out *o)
{
    if (--o->refs == 0)
        end_out(o);
}

static void release_schema(struct ArrowSchema *s)
{
    for (int64_t i = 0; i < s->n_children; i++)
        if (s->children[i]->release)
            s->children[i]->release(s->children[i]);
    s->release = NULL;
    drop_out(s->private_data);
}

static bool put_schema(Out *o, const SnFeature *f, uint32_t nchild, struct ArrowSchema *out)
{
    *out = (struct ArrowSchema){.format = f ? format_of(&o->arena, f) : "+s",
                                .name = f ? f->name : "",
                                .flags = f ? ARROW_FLAG_NULLABLE : 0,
                                .n_children = nchild,
                                .release = release_schema,
                                .private_data = o};
    o->refs++;
    out->children = sn_arena_array(&o->arena, (size_t)nchild + 1, sizeof *out->children);
    for (uint32_t i = 0; out->children && i < nchild; i++) {
        const SnFeature *child = f ? &f->child[i] : &o->d->col[i].type;
        out->children[i] = sn_arena_alloc(&o->arena, sizeof **out->children);
        if (!out->children[i] || !put_schema(o, child, child->nchild, out->children[i]))
            return false;
    }
    return out->format && out->children;
}

static int get_schema(struct ArrowArrayStream *s, struct ArrowSchema *out)
{
    const Out *stream = s->private_data;
    Out *o = begin_out(stream->d);
    if (!o || !put_schema(o, NULL, o->d->ncol, out)) {
        if (o)
            end_out(o);
        return ENOMEM;
    }
    return 0;
}

static void release_array(struct ArrowArray *a)
{
    for (int64_t i = 0; i < a->n_children; i++)
        if (a->children[i]->release)
            a->children[i]->release(a->children[i]);
    a->release = NULL;
    drop_out(a->private_data);
}

static bool put_array(Out *o, const SnArray *a, int64_t offset, int64_t n, struct ArrowArray *out)
{
    const SnFeature *f = a->type;
    *out = (struct ArrowArray){.length = n,
                               .null_count = f->kind == SN_DATA_NULL ? n
                                             : a->valid              ? -1
                                                                     : 0,
                               .offset = a->offset + offset,
                               .n_buffers = buffers_of(f),
                               .n_children = f->nchild,
                               .release = release_array,
                               .private_data = o};
    o->refs++;
    out->buffers = sn_arena_array(&o->arena, 3, sizeof *out->buffers);
    out->children = sn_arena_array(&o->arena, (size_t)f->nchild + 1, sizeof *out->children);
    if (!out->buffers || !out->children)
        return false;
    out->buffers[0] = a->valid;
    if (out->n_buffers > 1)
        out->buffers[1] = a->offsets ? a->offsets : a->data;
    if (out->n_buffers > 2)
        out->buffers[2] = a->data;
    for (uint32_t i = 0; i < f->nchild; i++) {
        const SnArray *child = &a->child[i];
        out->children[i] = sn_arena_alloc(&o->arena, sizeof **out->children);
        if (!out->children[i] || !put_array(o, child, 0, child->n, out->children[i]))
            return false;
    }
    return true;
}

/* The rows where they lie, if they do so in one array of every column; else copied together. */
static SnStatus get_rows(const Out *stream, Out **out, int64_t *n, SnError *err)
{
    SnDataset *d = stream->d, *rows = NULL;
    bool together = true;
    *n = d->nrow - stream->at < BATCH_ROWS ? d->nrow - stream->at : BATCH_ROWS;
    for (uint32_t i = 0; i < d->ncol; i++) {
        const SnColumn *c = &d->col[i];
        const SnCell first = sn_column_at(c, stream->at);
        together = together && !c->order;
        *n = first.array->n - first.at < *n && !c->order ? first.array->n - first.at : *n;
    }
    if (together)
        rows = sn_dataset_retain(d);
    else
        SN_TRY(sn_table_gather(d, stream->at, *n, &rows, err));
    *out = begin_out(rows);
    sn_dataset_release(rows);
    SN_CHECK(*out, err, SN_ENOMEM, "dataset: no memory");
    (*out)->at = together ? stream->at : 0;
    return SN_OK;
}

static bool put_rows(Out *o, int64_t n, struct ArrowArray *out)
{
    const uint32_t ncol = o->d->ncol;
    *out = (struct ArrowArray){
        .length = n, .n_buffers = 1, .n_children = ncol, .release = release_array, .private_data = o};
    o->refs++;
    out->buffers = sn_arena_array(&o->arena, 1, sizeof *out->buffers);
    out->children = sn_arena_array(&o->arena, (size_t)ncol + 1, sizeof *out->children);
    for (uint32_t i = 0; out->children && i < ncol; i++) {
        const SnCell first = sn_column_at(&o->d->col[i], o->at);
        out->children[i] = sn_arena_alloc(&o->arena, sizeof **out->children);
        if (!out->children[i] || !put_array(o, first.array, first.at, n, out->children[i]))
            return false;
    }
    return out->buffers && out->children;
}

static int get_next(struct ArrowArrayStream *s, struct ArrowArray *out)
{
    Out *stream = s->private_data, *o = NULL;
    int64_t n = 0;
    *out = (struct ArrowArray){.length = 0};
    if (stream->at >= stream->d->nrow)
        return 0;
    const SnStatus st = get_rows(stream, &o, &n, &stream->err);
    if (st != SN_OK)
        return st == SN_ENOMEM ? ENOMEM : EIO;
    if (!put_rows(o, n, out)) {
        end_out(o);
        *out = (struct ArrowArray){.length = 0};
        return ENOMEM;
    }
    stream->at += n;
    return 0;
}

static const char *get_last_error(struct ArrowArrayStream *s)
{
    const Out *stream = s->private_data;
    return stream->err.message[0] ? stream->err.message : NULL;
}

static void release_stream(struct ArrowArrayStream *s)
{
    s->release = NULL;
    end_out(s->private_data);
}

SnStatus sn_dataset_to_arrow(SnDataset *d, struct ArrowArrayStream *out, SnError *err)
{
    Out *o = begin_out(d);
    SN_CHECK(o, err, SN_ENOMEM, "dataset: no memory");
    *out = (struct ArrowArrayStream){get_schema, get_next, get_last_error, release_stream, o};
    return SN_OK;
}
