/* rows_text.c -- texts by line, paragraph or document; and the idx files of MNIST, mapped where they lie. */
#include "frontends/data/table.h"

static bool ends_line(const SnBytes t, size_t at, size_t *skip)
{
    *skip = t.at[at] == '\r' && at + 1 < t.n && t.at[at + 1] == '\n' ? 2 : 1;
    return t.at[at] == '\n' || t.at[at] == '\r';
}

static void add_lines(SnBuilder *b, SnBytes t)
{
    for (size_t begin = 0, at = 0, skip = 1; at < t.n; at += skip) {
        const bool is_end = ends_line(t, at, &skip);
        if (is_end || at + 1 == t.n)
            sn_builder_text(b, sn_bytes(t.at + begin, is_end ? at - begin : t.n - begin));
        if (is_end)
            begin = at + skip;
        else
            skip = 1;
    }
}

/* Between empty lines; empty ones are none, but the last may begin with line ends. */
static void add_paragraphs(SnBuilder *b, SnBytes t)
{
    size_t begin = 0;
    for (size_t at = 0; at + 1 < t.n; at++) {
        if (t.at[at] != '\n' || t.at[at + 1] != '\n')
            continue;
        if (at > begin)
            sn_builder_text(b, sn_bytes(t.at + begin, at - begin));
        begin = at + 2;
        at++;
    }
    if (begin < t.n)
        sn_builder_text(b, sn_bytes(t.at + begin, t.n - begin));
}

/* As files are read in text mode: every kind of line end is one. */
static bool plain_lines(SnText *out, SnBytes t)
{
    for (size_t at = 0; at < t.n;) {
        const uint8_t *cr = memchr(t.at + at, '\r', t.n - at);
        const size_t n = cr ? (size_t)(cr - t.at) - at : t.n - at;
        sn_text_add(out, (const char *)t.at + at, n);
        at += n + 1 + (cr && at + n + 1 < t.n && t.at[at + n + 1] == '\n');
        sn_text_add(out, "\n", cr != NULL);
    }
    return !out->failed;
}

static void add_document(SnBuilder *b, SnBytes t)
{
    sn_builder_text(b, t);
}

typedef struct Sample {
    const char *name;
    void (*add)(SnBuilder *b, SnBytes t);
    bool is_cut; /* behind a line; behind an empty one where has_gap */
    bool has_gap;
} Sample;

/* Where a part ends that begins at `at`: no row goes on behind it. */
static size_t part_end(const Sample *by, SnBytes t, size_t at)
{
    if (!by->is_cut || t.n - at <= SN_PART_BYTES)
        return t.n;
    for (size_t i = at + SN_PART_BYTES; i < t.n; i++) {
        const uint8_t *end = memchr(t.at + i, '\n', t.n - i);
        if (!end)
            break;
        i = (size_t)(end - t.at);
        size_t next = i + 1, before = i - 1;
        before -= t.at[before] == '\r';
        next += next < t.n && t.at[next] == '\r';
        if (!by->has_gap)
            return i + 1;
        if (t.at[before] != '\n' && t.at[before] != '\r' && next < t.n && t.at[next] == '\n')
            return next + 1;
    }
    return t.n;
}

static SnStatus read_part(const SnDataFile *f, const Sample *by, SnBytes t, SnRows *to, SnError *err)
{
    const SnAllocator *memory = sn_allocator(f->ctx);
    const size_t good = sn_utf8_prefix(t);
    SN_CHECK(good == t.n, err, SN_EFORMAT, "%s: byte %zu is no UTF-8", f->path,
             (size_t)(t.at - f->bytes.at) + good);
    SnDataset *part = NULL;
    SnText text = {.memory = memory};
    SnBuilder b = {.memory = memory, .type = {.kind = SN_DATA_TEXT}, .key = sn_bytes_str("text")}, *one = &b;
    sn_map_init(&b.field, memory);
    SnStatus st = plain_lines(&text, t) ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", f->path);
    if (st == SN_OK) {
        by->add(&b, sn_bytes(text.at, text.n));
        st = sn_builders_end(&one, 1, f->ctx, b.n, &part, err);
    }
    sn_builder_clear(&b);
    sn_text_clear(&text);
    (void)sn_file_forget(f->file, t);
    return st == SN_OK ? sn_rows_add(to, part, err) : st;
}

SnStatus sn_read_text(const SnDataFile *f, SnRows *to, SnError *err)
{
    static const Sample by[] = {{"line", add_lines, true, false},
                                {"paragraph", add_paragraphs, true, true},
                                {"document", add_document, false, false}};
    const char *name = f->o->sample_by ? f->o->sample_by : "line";
    const size_t i = SN_FIND_ROW(by, name, sn_bytes_str(name));
    size_t at = 0;
    SN_CHECK(i < SN_COUNT(by), err, SN_EINVAL, "sample_by: expected line, paragraph or document, found %s",
             name);
    do {
        const size_t end = part_end(&by[i], f->bytes, at);
        SN_TRY(read_part(f, &by[i], sn_bytes(f->bytes.at + at, end - at), to, err));
        at = end;
    } while (at < f->bytes.n);
    return SN_OK;
}

/* ---- idx ---- */

enum { IDX_BYTES = 8, IDX_RANK = 4 };

/* A list of `length` of what stands at `item`, as a chain of one array each. */
static SnStatus nest(SnDataset *d, const int64_t *dims, int ndim, SnArray *leaf, SnArray **out, SnError *err)
{
    SnArray *inner = leaf;
    for (int k = ndim - 1; k > 0; k--) {
        SnFeature *type = sn_arena_alloc(&d->arena, sizeof *type);
        SnArray *a = sn_arena_alloc(&d->arena, sizeof *a);
        SN_CHECK(type && a, err, SN_ENOMEM, "dataset: no memory");
        *type = (SnFeature){
            .name = "item", .kind = SN_DATA_LIST, .length = dims[k], .nchild = 1, .child = inner->type};
        *a = (SnArray){.type = type, .n = inner->n / dims[k], .child = inner};
        inner = a;
    }
    *out = inner;
    return SN_OK;
}

/* "train-images-idx3-ubyte.gz" is the column image, "..labels.." label. */
static SnStatus idx_column(SnDataset *d, const SnDataFile *f, const int64_t *dims, int ndim, SnBytes data,
                           SnError *err)
{
    SnArray *leaf = sn_arena_alloc(&d->arena, sizeof *leaf), *top = NULL;
    SnFeature *type = sn_arena_alloc(&d->arena, sizeof *type);
    SN_CHECK(leaf && type, err, SN_ENOMEM, "%s: no memory", f->path);
    *type = (SnFeature){.name = "item", .kind = SN_DATA_NUMBER, .dtype = SN_U8};
    *leaf = (SnArray){.type = type, .n = (int64_t)data.n, .data = data.at, .data_size = data.n};
    SN_TRY(nest(d, dims, ndim, leaf, &top, err));
    SN_TRY(sn_table_chunks(d, 0, top, 1, &d->nrow, err));
    d->col[0].type = *top->type;
    d->col[0].type.name = strstr(f->path, "label") ? "label" : strstr(f->path, "image") ? "image" : "data";
    return SN_OK;
}

SnStatus sn_read_idx(const SnDataFile *f, SnDataset **out, SnError *err)
{
    SnReader r = sn_reader(f->bytes);
    int64_t dims[IDX_RANK], count = 1;
    const uint16_t zero = sn_read_u16le(&r);
    const uint8_t type = sn_read_u8(&r), ndim = sn_read_u8(&r);
    SN_CHECK(!r.bad && zero == 0 && type == IDX_BYTES && ndim > 0 && ndim <= IDX_RANK, err, SN_EFORMAT,
             "%s: no idx file of bytes", f->path);
    for (int k = 0; k < ndim; k++) {
        const SnBytes b = sn_take(&r, 4);
        SN_CHECK(b.at, err, SN_EFORMAT, "%s: cut off", f->path);
        dims[k] = (int64_t)b.at[0] << 24 | (int64_t)b.at[1] << 16 | (int64_t)b.at[2] << 8 | b.at[3];
        SN_CHECK((dims[k] > 0 || k == 0) && sn_mul_i64(count, dims[k], &count), err, SN_EFORMAT,
                 "%s: dim %d is %lld", f->path, k, (long long)dims[k]);
    }
    SN_CHECK((uint64_t)count == r.left, err, SN_EFORMAT, "%s: %lld values are expected, %zu are there",
             f->path, (long long)count, r.left);
    SnDataset *d = NULL;
    SN_TRY(sn_table_create(f->ctx, 1, &d, err));
    SnStatus st = idx_column(d, f, dims, ndim, sn_bytes(r.at, r.left), err);
    return sn_table_finish(st, d, out);
}
