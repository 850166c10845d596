/* parquet_put.c -- a column chunk as pages: levels in runs, values plain or by a dictionary where few differ,
 * and the least and greatest of them. */
#include "frontends/data/parquet.h"

#include <math.h>

enum { PAGE_LEVELS = 20000, MOST_DICTIONARY = 1 << 20, MOST_STATISTIC = 256 };

typedef struct Put {
    const SnParquetOut *o;
    const SnAllocator *memory;
    const SnArray *leaf;      /* where the values lie */
    SN_VEC(uint8_t) def, rep; /* a level each */
    SN_VEC(int64_t) row;      /* of the leaf: values that are there */
    SN_VEC(uint32_t) index;   /* of the dictionary, a value each */
    SnText dictionary, page, packed;
    uint32_t ndictionary; /* 0: none */
    SnOutFile *f;
    uint64_t *at, plain_size, packed_size, dictionary_at, data_at;
    bool failed;
    SnError *err;
} Put;

/* ---- levels ---- */

static void push(Put *p, unsigned rep, unsigned def)
{
    if ((p->o->leaf.max_rep && !sn_vec_push(p->memory, &p->rep, (uint8_t)rep)) ||
        !sn_vec_push(p->memory, &p->def, (uint8_t)def))
        p->failed = true;
}

/* The levels of row `at` of an array; items: lists that stand around. */
static void walk(Put *p, const SnArray *a, int64_t at, uint32_t depth, unsigned rep, unsigned def,
                 unsigned items)
{
    const SnCell c = {a, at};
    if (sn_cell_is_null(c)) {
        push(p, rep, def);
    } else if (a->type->kind == SN_DATA_STRUCT) {
        walk(p, &a->child[p->o->down[depth]], a->offset + at, depth + 1, rep, def + 1, items);
    } else if (a->type->kind == SN_DATA_LIST) {
        SnCell item = c;
        const int64_t n = sn_cell_list(c, &item);
        if (n == 0)
            push(p, rep, def + 1);
        for (int64_t i = 0; i < n; i++)
            walk(p, item.array, item.at + i, depth + 1, i ? items + 1 : rep, def + 2, items + 1);
    } else {
        push(p, rep, def + 1);
        p->leaf = a;
        if (!sn_vec_push(p->memory, &p->row, at))
            p->failed = true;
    }
}

/* ---- runs ---- */

static unsigned bits_of(uint32_t most)
{
    unsigned bits = 0;
    for (; most; most >>= 1)
        bits++;
    return bits;
}

typedef struct Numbers { /* bytes or words */
    const uint8_t *byte;
    const uint32_t *word;
    size_t n;
} Numbers;

static uint32_t number_at(const Numbers *v, size_t i)
{
    return v->byte ? v->byte[i] : v->word[i];
}

static size_t run_at(const Numbers *v, size_t at)
{
    size_t n = 1;
    while (at + n < v->n && number_at(v, at + n) == number_at(v, at))
        n++;
    return n;
}

static void put_packed(SnText *t, const Numbers *v, size_t at, size_t ngroup, unsigned bits)
{
    uint64_t held = 0;
    unsigned nheld = 0;
    sn_thrift_put_varint(t, (uint64_t)ngroup << 1 | 1);
    for (size_t i = at; i < at + 8 * ngroup; i++) {
        held |= (uint64_t)(i < v->n ? number_at(v, i) : 0) << nheld;
        for (nheld += bits; nheld >= 8; nheld -= 8, held >>= 8)
            sn_text_add(t, (const char[]){(char)(uint8_t)held}, 1);
    }
}

/* Runs of eight and more as such, others packed. */
static void put_runs(SnText *t, Numbers v, unsigned bits)
{
    for (size_t at = 0; at < v.n;) {
        const size_t run = run_at(&v, at);
        if (run >= 8 || at + run == v.n) {
            sn_thrift_put_varint(t, (uint64_t)run << 1);
            for (unsigned i = 0; i < (bits + 7) / 8; i++)
                sn_text_add(t, (const char[]){(char)(uint8_t)(number_at(&v, at) >> (8 * i))}, 1);
            at += run;
            continue;
        }
        size_t ngroup = 1;
        while (at + 8 * ngroup < v.n && run_at(&v, at + 8 * ngroup) < 8)
            ngroup++;
        put_packed(t, &v, at, ngroup, bits);
        at += 8 * ngroup;
    }
}

static void put_u32(SnText *t, uint32_t v)
{
    const uint8_t b[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    sn_text_add(t, (const char *)b, sizeof b);
}

static void put_levels(SnText *t, const uint8_t *level, size_t n, unsigned most)
{
    const size_t head = t->n;
    if (!most)
        return;
    put_u32(t, 0);
    put_runs(t, (Numbers){.byte = level, .n = n}, bits_of(most));
    const uint32_t size = (uint32_t)(t->n - head - 4);
    for (unsigned i = 0; i < 4 && !t->failed; i++)
        t->at[head + i] = (char)(uint8_t)(size >> (8 * i));
}

/* ---- values ---- */

/* The value of a row as it is stored, in `to` or where it lies. */
static SnBytes value_at(const Put *p, int64_t row, uint8_t to[8])
{
    const SnCell c = {p->leaf, row};
    const SnFeature *type = p->leaf->type;
    const size_t at = (size_t)(p->leaf->offset + row), each = sn_dtype_size(type->dtype);
    int64_t v = 0;
    if (type->kind == SN_DATA_TEXT || type->kind == SN_DATA_BINARY)
        return sn_cell_bytes(c);
    if (type->dtype != SN_BOOL && each == p->o->leaf.width && !type->unit)
        return sn_bytes(p->leaf->data + at * each, each);
    v = sn_cell_int(c);
    if (type->unit && strncmp(type->unit, "timestamp[s", 11) == 0)
        v = (int64_t)((uint64_t)v * 1000);
    else if (type->unit && strcmp(type->unit, "time32[s]") == 0)
        v = (int32_t)((uint32_t)v * 1000u);
    else if (type->unit && strcmp(type->unit, "date64") == 0)
        v = (v - (v % 86400000 < 0 ? 86400000 : 0)) / 86400000;
    memcpy(to, &v, sizeof v);
    return sn_bytes(to, p->o->leaf.width);
}

static void put_plain(Put *p, SnText *t, const int64_t *row, size_t n)
{
    uint8_t room[8];
    unsigned held = 0;
    const bool is_bits = p->o->leaf.physical == SN_PARQUET_BOOLEAN;
    for (size_t i = 0; i < n; i++) {
        const SnBytes v = value_at(p, row[i], room);
        if (is_bits) {
            held |= (unsigned)(v.at[0] & 1) << (i & 7);
            if ((i & 7) == 7 || i + 1 == n) {
                sn_text_add(t, (const char[]){(char)(uint8_t)held}, 1);
                held = 0;
            }
            continue;
        }
        if (!p->o->leaf.width)
            put_u32(t, (uint32_t)v.n);
        sn_text_add(t, (const char *)v.at, v.n);
    }
}

/* A dictionary, where it is short and values come twice and more. */
static void make_dictionary(Put *p)
{
    SnArena keys;
    SnMap map;
    uint8_t room[8];
    bool pays = p->o->leaf.physical != SN_PARQUET_BOOLEAN && p->row.n > 1;
    sn_arena_init(&keys, p->memory);
    sn_map_init(&map, p->memory);
    for (size_t i = 0; pays && i < p->row.n; i++) {
        uint32_t at = p->ndictionary;
        SnBytes v = value_at(p, p->row.at[i], room);
        if (!sn_map_get(&map, v, &at)) {
            const char *own = sn_arena_strndup(&keys, (const char *)v.at, v.n);
            v.at = (const uint8_t *)own;
            p->failed = p->failed || !own || !sn_map_put(&map, v, at);
            p->ndictionary++;
            if (!p->o->leaf.width)
                put_u32(&p->dictionary, (uint32_t)v.n);
            sn_text_add(&p->dictionary, own, own ? v.n : 0);
        }
        p->failed = p->failed || !sn_vec_push(p->memory, &p->index, at);
        pays = !p->failed && p->dictionary.n < MOST_DICTIONARY && (i < 1000 || p->ndictionary <= (i + 1) / 2);
    }
    pays = pays && p->ndictionary <= p->row.n / 2;
    p->ndictionary = pays ? p->ndictionary : 0;
    sn_map_clear(&map);
    sn_arena_clear(&keys);
}

/* ---- the least and the greatest ---- */

static int compare(const Put *p, SnBytes a, SnBytes b)
{
    const SnDtype dtype = p->leaf->type->dtype;
    if (!p->o->leaf.width) {
        const size_t n = a.n < b.n ? a.n : b.n;
        const int c = n ? memcmp(a.at, b.at, n) : 0;
        return c ? c : a.n < b.n ? -1 : a.n > b.n;
    }
    if (sn_dtype_is_float(dtype)) {
        const double x = sn_scalar_load(dtype, a.at).f, y = sn_scalar_load(dtype, b.at).f;
        return x < y ? -1 : x > y;
    }
    const bool is_wide = p->o->leaf.width == 8;
    if (dtype == SN_U32 || dtype == SN_U64) {
        const uint64_t x = sn_scalar_load(is_wide ? SN_U64 : SN_U32, a.at).u,
                       y = sn_scalar_load(is_wide ? SN_U64 : SN_U32, b.at).u;
        return x < y ? -1 : x > y;
    }
    const SnDtype stored = p->o->leaf.width == 1 ? SN_I8 : is_wide ? SN_I64 : SN_I32;
    const int64_t x = sn_scalar_load(stored, a.at).i, y = sn_scalar_load(stored, b.at).i;
    return x < y ? -1 : x > y;
}

static bool is_nan(const Put *p, SnBytes v)
{
    const SnDtype dtype = p->leaf->type->dtype;
    return p->o->leaf.width && sn_dtype_is_float(dtype) && isnan(sn_scalar_load(dtype, v.at).f);
}

/* A zero is both: the least is -0.0, the greatest 0.0. */
static SnBytes bound(const Put *p, int64_t row, bool is_least, uint8_t room[8])
{
    SnBytes v = value_at(p, row, room);
    const SnDtype dtype = p->leaf->type->dtype;
    if (!p->o->leaf.width || !sn_dtype_is_float(dtype) || sn_scalar_load(dtype, v.at).f != 0)
        return v;
    memset(room, 0, 8);
    room[v.n - 1] = is_least ? 0x80 : 0;
    return sn_bytes(room, v.n);
}

static void put_statistics(const Put *p, SnThriftOut *t, int id)
{
    uint8_t room[2][8];
    int64_t least = -1, most = -1;
    const size_t nnull = p->def.n - p->row.n;
    for (size_t i = 0; i < p->row.n; i++) {
        const SnBytes v = value_at(p, p->row.at[i], room[0]);
        if (is_nan(p, v))
            continue;
        if (least < 0 || compare(p, v, value_at(p, least, room[1])) < 0)
            least = p->row.at[i];
        if (most < 0 || compare(p, v, value_at(p, most, room[1])) > 0)
            most = p->row.at[i];
    }
    sn_thrift_begin(t, id);
    sn_thrift_put_i64(t, 3, (int64_t)nnull);
    if (least >= 0) {
        const SnBytes low = bound(p, least, true, room[0]), high = bound(p, most, false, room[1]);
        if (low.n <= MOST_STATISTIC && high.n <= MOST_STATISTIC) {
            sn_thrift_put_binary(t, 5, high);
            sn_thrift_put_binary(t, 6, low);
        }
    }
    sn_thrift_end(t);
}

/* ---- pages ---- */

static SnCodec codec(void)
{
    return sn_codec_writes(SN_CODEC_ZSTD) ? SN_CODEC_ZSTD : SN_CODEC_NONE;
}

/* What is in p->page, with the head that `kind` says. */
static SnStatus write_page(Put *p, int kind, size_t nvalue, SnParquetEncoding e)
{
    static const int fields[] = {[SN_PARQUET_DATA_PAGE] = 5, [SN_PARQUET_DICTIONARY_PAGE] = 7};
    SnText head = {.memory = p->memory};
    SnThriftOut t = {.to = &head};
    p->packed.n = 0;
    SN_CHECK(!p->page.failed, p->err, SN_ENOMEM, "dataset: no memory for a page");
    SN_TRY(sn_codec_pack(codec(), sn_bytes(p->page.at, p->page.n), &p->packed, p->err));
    sn_thrift_begin(&t, 0);
    sn_thrift_put_i32(&t, 1, kind);
    sn_thrift_put_i32(&t, 2, (int64_t)p->page.n);
    sn_thrift_put_i32(&t, 3, (int64_t)p->packed.n);
    sn_thrift_begin(&t, fields[kind]);
    sn_thrift_put_i32(&t, 1, (int64_t)nvalue);
    sn_thrift_put_i32(&t, 2, (int64_t)e);
    if (kind == SN_PARQUET_DATA_PAGE) {
        sn_thrift_put_i32(&t, 3, SN_PARQUET_RLE);
        sn_thrift_put_i32(&t, 4, SN_PARQUET_RLE);
    }
    sn_thrift_end(&t);
    sn_thrift_end(&t);
    SnStatus st = head.failed ? sn_fail(p->err, SN_ENOMEM, "dataset: no memory for a page")
                              : sn_out_add(p->f, sn_bytes(head.at, head.n), p->err);
    if (st == SN_OK)
        st = sn_out_add(p->f, sn_bytes(p->packed.at, p->packed.n), p->err);
    p->plain_size += head.n + p->page.n;
    p->packed_size += head.n + p->packed.n;
    *p->at += head.n + p->packed.n;
    sn_text_clear(&head);
    return st;
}

/* Levels [first, end), and the values that they have from `value` on. */
static SnStatus write_levels(Put *p, size_t first, size_t end, size_t value, size_t nvalue)
{
    SnText *t = &p->page;
    const size_t n = end - first;
    t->n = 0;
    put_levels(t, p->rep.at ? p->rep.at + first : NULL, n, p->o->leaf.max_rep);
    put_levels(t, p->def.at + first, n, p->o->leaf.max_def);
    if (!p->ndictionary) {
        put_plain(p, t, p->row.at + value, nvalue);
        return write_page(p, SN_PARQUET_DATA_PAGE, n, SN_PARQUET_PLAIN);
    }
    const unsigned bits = p->ndictionary > 1 ? bits_of(p->ndictionary - 1) : 1;
    sn_text_add(t, (const char[]){(char)bits}, 1);
    put_runs(t, (Numbers){.word = p->index.at + value, .n = nvalue}, bits);
    return write_page(p, SN_PARQUET_DATA_PAGE, n, SN_PARQUET_DICTIONARY);
}

static SnStatus write_pages(Put *p)
{
    if (p->ndictionary) {
        p->dictionary_at = *p->at;
        sn_text_add(&p->page, p->dictionary.at, p->dictionary.n);
        p->page.failed = p->page.failed || p->dictionary.failed;
        SN_TRY(write_page(p, SN_PARQUET_DICTIONARY_PAGE, p->ndictionary, SN_PARQUET_PLAIN));
    }
    p->data_at = *p->at;
    for (size_t first = 0, value = 0, end; first < p->def.n; first = end) {
        size_t nvalue = 0;
        for (end = first; end < p->def.n; end++) {
            if (end - first >= PAGE_LEVELS && (!p->rep.n || p->rep.at[end] == 0))
                break;
            nvalue += p->def.at[end] == p->o->leaf.max_def;
        }
        SN_TRY(write_levels(p, first, end, value, nvalue));
        value += nvalue;
    }
    return SN_OK;
}

static void put_meta(const Put *p, SnThriftOut *t)
{
    const SnParquetOut *o = p->o;
    sn_thrift_begin(t, 0);
    sn_thrift_put_i64(t, 2, (int64_t)(p->dictionary_at ? p->dictionary_at : p->data_at));
    sn_thrift_begin(t, 3);
    sn_thrift_put_i32(t, 1, (int64_t)o->leaf.physical);
    sn_thrift_put_list(t, 2, SN_THRIFT_I32, p->ndictionary ? 3 : 2);
    sn_thrift_put_item(t, SN_PARQUET_PLAIN);
    sn_thrift_put_item(t, SN_PARQUET_RLE);
    if (p->ndictionary)
        sn_thrift_put_item(t, SN_PARQUET_DICTIONARY);
    sn_thrift_put_list(t, 3, SN_THRIFT_BINARY, o->npath);
    for (uint32_t i = 0; i < o->npath; i++)
        sn_thrift_put_binary(t, 0, o->path[i]);
    sn_thrift_put_i32(t, 4, (int64_t)codec());
    sn_thrift_put_i64(t, 5, (int64_t)p->def.n);
    sn_thrift_put_i64(t, 6, (int64_t)p->plain_size);
    sn_thrift_put_i64(t, 7, (int64_t)p->packed_size);
    sn_thrift_put_i64(t, 9, (int64_t)p->data_at);
    if (p->ndictionary)
        sn_thrift_put_i64(t, 11, (int64_t)p->dictionary_at);
    put_statistics(p, t, 12);
    sn_thrift_end(t);
    sn_thrift_end(t);
}

SnStatus sn_parquet_put(const SnParquetOut *o, const SnArray *a, SnOutFile *f, uint64_t *at, uint64_t *total,
                        SnThriftOut *meta, SnError *err)
{
    const SnAllocator *memory = meta->to->memory;
    Put p = {.o = o, .memory = memory, .f = f, .at = at, .err = err};
    p.dictionary.memory = p.page.memory = p.packed.memory = memory;
    for (int64_t i = 0; i < a->n && !p.failed; i++)
        walk(&p, a, i, 0, 0, 0, 0);
    if (!p.failed)
        make_dictionary(&p);
    SnStatus st = p.failed ? sn_fail(err, SN_ENOMEM, "column %s: no memory", o->leaf.name) : write_pages(&p);
    if (st == SN_OK)
        put_meta(&p, meta);
    *total += p.plain_size;
    sn_vec_clear(memory, &p.def);
    sn_vec_clear(memory, &p.rep);
    sn_vec_clear(memory, &p.row);
    sn_vec_clear(memory, &p.index);
    sn_text_clear(&p.dictionary);
    sn_text_clear(&p.page);
    sn_text_clear(&p.packed);
    return st;
}
