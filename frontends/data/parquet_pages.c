/* parquet_pages.c -- the pages of a column chunk: their heads, what is compressed in them, levels and values.
 */
#include "frontends/data/parquet.h"

/* As many values as a chunk may have beyond what its bytes account for: those that one run repeats. */
enum { MOST_FREE = 1 << 24, MOST_PER_BYTE = 64, MOST_PAGE = INT32_MAX / 2 };

typedef struct Page {
    int64_t kind, size, packed_size; /* of the page, and as it lies in the file */
    int64_t nvalue, encoding, def_encoding, def_size, rep_size;
    bool is_packed;
} Page;

typedef struct Chunk {
    const SnAllocator *memory;
    const SnParquetLeaf *leaf;
    const SnParquetChunk *chunk;
    SnParquetColumn *out;
    SnParquetValues dictionary;
    SnThrift t;
    SN_VEC(uint8_t) room; /* of a page that was compressed */
    SnError *err;
} Chunk;

void sn_parquet_column_clear(SnParquetColumn *c)
{
    const SnAllocator *memory = c->value.memory;
    if (!memory)
        return;
    sn_parquet_values_clear(&c->value);
    sn_vec_clear(memory, &c->def);
    sn_vec_clear(memory, &c->rep);
}

static SnStatus wrong(const Chunk *c, const char *what)
{
    return sn_fail(c->err, strcmp(what, "no memory") == 0 ? SN_ENOMEM : SN_EFORMAT,
                   "column %s, behind value %zu: %s", c->leaf->name, c->out->nlevel, what);
}

/* ---- heads ---- */

/* Where a page header of each kind has what: the number of its field. */
static const struct {
    int field, nvalue, encoding, def_encoding, def_size, rep_size, is_packed;
} heads[] = {
    [SN_PARQUET_DATA_PAGE] = {5, 1, 2, 3, 0, 0, 0},
    [SN_PARQUET_DICTIONARY_PAGE] = {7, 1, 2, 0, 0, 0, 0},
    [SN_PARQUET_DATA_PAGE_V2] = {8, 1, 4, 0, 5, 6, 7},
};

static void read_inner(SnThrift *t, int64_t kind, Page *p)
{
    SnThriftField f = {0};
    while (sn_thrift_next(t, &f))
        if (f.id == heads[kind].is_packed)
            p->is_packed = sn_thrift_bool(t, &f);
        else if (f.id == heads[kind].nvalue)
            p->nvalue = sn_thrift_int(t, &f, -1);
        else if (f.id == heads[kind].encoding)
            p->encoding = sn_thrift_int(t, &f, -1);
        else if (f.id == heads[kind].def_encoding)
            p->def_encoding = sn_thrift_int(t, &f, -1);
        else if (f.id == heads[kind].def_size)
            p->def_size = sn_thrift_int(t, &f, -1);
        else if (f.id == heads[kind].rep_size)
            p->rep_size = sn_thrift_int(t, &f, -1);
        else
            sn_thrift_skip(t, f.type);
}

static SnStatus read_head(Chunk *c, Page *p)
{
    SnThriftField f = {0};
    *p = (Page){.kind = -1, .nvalue = -1, .size = -1, .packed_size = -1, .is_packed = true};
    p->def_encoding = SN_PARQUET_RLE;
    while (sn_thrift_next(&c->t, &f))
        if (f.id == 1)
            p->kind = sn_thrift_int(&c->t, &f, -1);
        else if (f.id == 2)
            p->size = sn_thrift_int(&c->t, &f, -1);
        else if (f.id == 3)
            p->packed_size = sn_thrift_int(&c->t, &f, -1);
        else if (p->kind >= 0 && (uint64_t)p->kind < SN_COUNT(heads) && f.id == heads[p->kind].field &&
                 f.type == SN_THRIFT_STRUCT)
            read_inner(&c->t, p->kind, p);
        else
            sn_thrift_skip(&c->t, f.type);
    if (c->t.r.bad || p->size < 0 || p->size > MOST_PAGE || p->packed_size < 0 ||
        (uint64_t)p->packed_size > c->t.r.left)
        return wrong(c, "a page has no head, or is cut off");
    return SN_OK;
}

/* ---- bytes ---- */

/* The page as it was before it was compressed; the first `plain` bytes never are. */
static SnStatus unpack(Chunk *c, const Page *p, size_t plain, SnBytes in, SnBytes *out)
{
    *out = in;
    if (c->chunk->codec == SN_CODEC_NONE || !p->is_packed)
        return SN_OK;
    const size_t size = (size_t)p->size;
    if (plain > in.n || plain > size)
        return wrong(c, "levels are longer than their page");
    c->room.n = 0;
    if (!sn_vec_reserve(c->memory, &c->room, size + 1))
        return wrong(c, "no memory");
    if (plain)
        memcpy(c->room.at, in.at, plain);
    *out = sn_bytes(c->room.at, size);
    if (size == plain)
        return SN_OK;
    const SnStatus st = sn_codec_unpack(c->memory, c->chunk->codec, sn_bytes(in.at + plain, in.n - plain),
                                        c->room.at + plain, size - plain, c->err);
    return st == SN_OK ? SN_OK : sn_fail_in(c->err, st, c->leaf->name);
}

/* ---- levels ---- */

/* The levels of a page, which lie in front of its values. */
static const char *read_levels(const Page *p, unsigned most, int64_t size, uint8_t *out, SnBytes *page)
{
    const size_t n = (size_t)p->nvalue;
    SnBytes runs;
    if (p->kind == SN_PARQUET_DATA_PAGE && p->def_encoding == SN_PARQUET_BIT_PACKED)
        return sn_parquet_old_levels(page, most, n, out);
    if (p->kind == SN_PARQUET_DATA_PAGE) {
        SnReader r = sn_reader(*page);
        const uint32_t length = sn_read_u32le(&r);
        runs = sn_take(&r, length);
        if (r.bad)
            return "levels are longer than their page";
        *page = sn_bytes(r.at, r.left);
    } else {
        if (size < 0 || (uint64_t)size > page->n)
            return "levels are longer than their page";
        runs = sn_bytes(page->at, (size_t)size);
        *page = sn_bytes(page->at + size, page->n - (size_t)size);
    }
    return sn_parquet_levels(runs, most, n, out);
}

/* Adds the levels of a page; *nthere: how many values are. */
static const char *add_levels(Chunk *c, const Page *p, SnBytes *page, size_t *nthere)
{
    const size_t n = (size_t)p->nvalue;
    SnParquetColumn *o = c->out;
    const char *bad = NULL;
    *nthere = n;
    if (c->leaf->max_rep) {
        if (!sn_vec_reserve(c->memory, &o->rep, n))
            return "no memory";
        bad = read_levels(p, c->leaf->max_rep, p->rep_size, o->rep.at + o->rep.n, page);
        o->rep.n += bad ? 0 : n;
    }
    if (bad || !c->leaf->max_def)
        return bad;
    if (!sn_vec_reserve(c->memory, &o->def, n))
        return "no memory";
    uint8_t *def = o->def.at + o->def.n;
    bad = read_levels(p, c->leaf->max_def, p->def_size, def, page);
    if (bad)
        return bad;
    o->def.n += n;
    *nthere = 0;
    for (size_t i = 0; i < n; i++)
        *nthere += def[i] == c->leaf->max_def;
    return NULL;
}

/* ---- pages ---- */

static SnStatus read_data(Chunk *c, const Page *p, SnBytes in)
{
    SnBytes page;
    size_t nthere = 0;
    const bool has_sizes = p->kind == SN_PARQUET_DATA_PAGE_V2;
    if (p->nvalue < 0 || (uint64_t)p->nvalue > (uint64_t)c->chunk->nvalue - c->out->nlevel)
        return wrong(c, "more values than the footer says");
    if (has_sizes && (p->def_size < 0 || p->rep_size < 0))
        return wrong(c, "levels of no size");
    SN_TRY(unpack(c, p, has_sizes ? (size_t)p->def_size + (size_t)p->rep_size : 0, in, &page));
    const char *bad = add_levels(c, p, &page, &nthere);
    if (!bad && (p->encoding == SN_PARQUET_DICTIONARY || p->encoding == SN_PARQUET_PLAIN_DICTIONARY))
        bad = sn_parquet_look_up(&c->dictionary, page, nthere, &c->out->value);
    else if (!bad)
        bad = sn_parquet_decode((SnParquetEncoding)p->encoding, c->leaf->physical, page, nthere,
                                &c->out->value);
    if (bad)
        return wrong(c, bad);
    c->out->nlevel += (size_t)p->nvalue;
    return SN_OK;
}

static SnStatus read_dictionary(Chunk *c, const Page *p, SnBytes in)
{
    SnBytes page;
    const bool is_plain = p->encoding == SN_PARQUET_PLAIN || p->encoding == SN_PARQUET_PLAIN_DICTIONARY;
    if (p->nvalue < 0 || !is_plain || c->dictionary.n)
        return wrong(c, "a dictionary is damaged, or there are two");
    SN_TRY(unpack(c, p, 0, in, &page));
    const char *bad =
        sn_parquet_decode(SN_PARQUET_PLAIN, c->leaf->physical, page, (size_t)p->nvalue, &c->dictionary);
    return bad ? wrong(c, bad) : SN_OK;
}

static SnStatus read_pages(Chunk *c)
{
    while (c->out->nlevel < (uint64_t)c->chunk->nvalue) {
        Page p;
        SN_TRY(read_head(c, &p));
        const SnBytes in = sn_take(&c->t.r, (size_t)p.packed_size);
        if (p.kind == SN_PARQUET_DICTIONARY_PAGE)
            SN_TRY(read_dictionary(c, &p, in));
        else if (p.kind == SN_PARQUET_DATA_PAGE || p.kind == SN_PARQUET_DATA_PAGE_V2)
            SN_TRY(read_data(c, &p, in));
    }
    return SN_OK;
}

SnStatus sn_parquet_column(const SnAllocator *memory, const SnParquetLeaf *leaf, const SnParquetChunk *chunk,
                           SnParquetColumn *out, SnError *err)
{
    Chunk c = {.memory = memory, .leaf = leaf, .chunk = chunk, .out = out, .err = err};
    const int64_t most = MOST_FREE + MOST_PER_BYTE * (int64_t)chunk->pages.n;
    SN_CHECK(chunk->nvalue <= most, err, SN_EUNSUPPORTED, "column %s: %lld values in %zu bytes", leaf->name,
             (long long)chunk->nvalue, chunk->pages.n);
    *out = (SnParquetColumn){.value = {.memory = memory, .width = leaf->width}};
    c.dictionary = out->value;
    c.t.r = sn_reader(chunk->pages);
    const SnStatus st = read_pages(&c);
    sn_parquet_values_clear(&c.dictionary);
    sn_vec_clear(memory, &c.room);
    return st;
}
