/* parquet_values.c -- the encodings of pages: levels, and values one behind the other.
 *
 * Every count comes from the file: room is taken for it only where as many values can be in the page. What
 * repeats one value (runs, constant differences) can be far longer than the page; who asks limits how many
 * there are. */
#include "frontends/data/parquet.h"

enum { MOST_BYTES = INT32_MAX }; /* of the texts of one column chunk */

static const char no_memory[] = "no memory", cut_off[] = "a page is cut off";

void sn_parquet_values_clear(SnParquetValues *v)
{
    sn_vec_clear(v->memory, &v->data);
    sn_vec_clear(v->memory, &v->end);
    v->n = 0;
}

/* Room for n more values of the width; NULL: no memory. */
static uint8_t *more_room(SnParquetValues *v, size_t n)
{
    size_t size = 0;
    if (!sn_mul_size(n, v->width, &size) || !sn_vec_reserve(v->memory, &v->data, size + 8))
        return NULL;
    uint8_t *at = v->data.at + v->data.n;
    v->data.n += size;
    v->n += n;
    return at;
}

static const char *add_bytes(SnParquetValues *v, const uint8_t *at, size_t n)
{
    if (n > MOST_BYTES - v->data.n)
        return "more than 2 GiB of texts in a row group";
    if (!sn_vec_reserve(v->memory, &v->data, n + 1))
        return no_memory;
    if (n)
        memcpy(v->data.at + v->data.n, at, n);
    v->data.n += n;
    return NULL;
}

static const char *end_bytes(SnParquetValues *v)
{
    v->n++;
    return sn_vec_push(v->memory, &v->end, (int64_t)v->data.n) ? NULL : no_memory;
}

/* ---- bits ---- */

/* `bits` bits (at most 64) from bit `at` on, low bits first; beyond the end there are zeros. */
static uint64_t load_bits(SnBytes b, size_t at, unsigned bits)
{
    const size_t byte = at >> 3;
    const unsigned shift = (unsigned)(at & 7);
    uint64_t low = 0;
    if (byte >= b.n || bits == 0)
        return 0;
    memcpy(&low, b.at + byte, b.n - byte < 8 ? b.n - byte : 8);
    low >>= shift;
    if (shift + bits > 64 && byte + 8 < b.n)
        low |= (uint64_t)b.at[byte + 8] << (64 - shift);
    return bits < 64 ? low & (((uint64_t)1 << bits) - 1) : low;
}

static unsigned width_of(unsigned most)
{
    unsigned bits = 0;
    for (; most; most >>= 1)
        bits++;
    return bits;
}

/* Runs of one value, and groups of eight packed ones. */
typedef struct Runs {
    SnThrift t;
    unsigned bits;
    uint64_t left; /* values of the run */
    bool is_packed;
    uint32_t value;
    SnBytes packed;
    size_t at; /* the next bit of them */
} Runs;

static bool next_run(Runs *r)
{
    const uint64_t head = sn_thrift_varint(&r->t), n = head >> 1;
    r->is_packed = head & 1;
    if (r->t.r.bad || n == 0 || n > UINT32_MAX)
        return false;
    if (!r->is_packed) {
        r->left = n;
        r->value = 0;
        for (unsigned i = 0; i < (r->bits + 7) / 8; i++)
            r->value |= (uint32_t)sn_read_u8(&r->t.r) << (8 * i);
        return !r->t.r.bad && (r->bits == 32 || r->value >> r->bits == 0);
    }
    const size_t want = (size_t)n * r->bits;
    const bool is_short = want > r->t.r.left; /* the last group of some writers is */
    r->left = is_short ? 8 * (uint64_t)r->t.r.left / r->bits : 8 * n;
    r->packed = sn_take(&r->t.r, is_short ? r->t.r.left : want);
    r->at = 0;
    return r->left > 0;
}

/* The next n values to `out`, of one byte or four. */
static const char *take_runs(Runs *r, size_t n, size_t each, void *out)
{
    for (size_t i = 0; i < n;) {
        if (r->left == 0 && !next_run(r))
            return cut_off;
        const size_t take = n - i < r->left ? n - i : (size_t)r->left;
        uint8_t *byte = (uint8_t *)out + i;
        uint32_t *word = (uint32_t *)out + i;
        if (!r->is_packed && each == 1)
            memset(byte, (int)r->value, take);
        for (size_t k = 0; !r->is_packed && each == 4 && k < take; k++)
            word[k] = r->value;
        for (size_t k = 0; r->is_packed && k < take; k++, r->at += r->bits)
            if (each == 1)
                byte[k] = (uint8_t)load_bits(r->packed, r->at, r->bits);
            else
                word[k] = (uint32_t)load_bits(r->packed, r->at, r->bits);
        r->left -= take;
        i += take;
    }
    return NULL;
}

static const char *check_levels(const uint8_t *level, unsigned most, size_t n)
{
    uint8_t high = 0;
    for (size_t i = 0; i < n; i++)
        high = level[i] > high ? level[i] : high;
    return high > most ? "a level is too high" : NULL;
}

const char *sn_parquet_levels(SnBytes runs, unsigned most, size_t n, uint8_t *out)
{
    Runs r = {.t.r = sn_reader(runs), .bits = width_of(most)};
    const char *bad = take_runs(&r, n, 1, out);
    return bad ? bad : check_levels(out, most, n);
}

const char *sn_parquet_old_levels(SnBytes *page, unsigned most, size_t n, uint8_t *out)
{
    const unsigned bits = width_of(most);
    const size_t size = n / 8 * bits + (n % 8 * bits + 7) / 8;
    if (size > page->n)
        return cut_off;
    for (size_t i = 0; i < n; i++) {
        unsigned v = 0;
        for (unsigned k = 0; k < bits; k++) {
            const size_t at = i * bits + k;
            v = v << 1 | (unsigned)(page->at[at >> 3] >> (7 - (at & 7)) & 1);
        }
        out[i] = (uint8_t)v;
    }
    *page = sn_bytes(page->at + size, page->n - size);
    return check_levels(out, most, n);
}

/* ---- plain ---- */

static const char *decode_plain(SnParquetPhysical p, SnBytes page, size_t n, SnParquetValues *v)
{
    SnReader r = sn_reader(page);
    if (p == SN_PARQUET_BOOLEAN) {
        if (n / 8 + (n % 8 != 0) > page.n)
            return cut_off;
        uint8_t *to = more_room(v, n);
        for (size_t i = 0; to && i < n; i++)
            to[i] = page.at[i >> 3] >> (i & 7) & 1;
        return to ? NULL : no_memory;
    }
    if (v->width) {
        if (n > page.n / v->width)
            return cut_off;
        uint8_t *to = more_room(v, n);
        if (to && n)
            memcpy(to, page.at, n * v->width);
        return to ? NULL : no_memory;
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t size = sn_read_u32le(&r);
        const SnBytes s = sn_take(&r, size);
        if (r.bad)
            return cut_off;
        const char *bad = add_bytes(v, s.at, s.n);
        if (!bad)
            bad = end_bytes(v);
        if (bad)
            return bad;
    }
    return NULL;
}

/* ---- differences ---- */

/* DELTA_BINARY_PACKED: blocks of miniblocks, each of differences above the least of its block. */
typedef struct Delta {
    SnThrift t;
    uint64_t size, nmini, left; /* values of a block, miniblocks of it, values that are not read */
    uint64_t value, least;
    SnBytes bits; /* a width each miniblock */
    uint64_t mini, in_mini;
    SnBytes packed;
    bool is_first;
} Delta;

static const char *begin_delta(Delta *d, SnBytes page, size_t n)
{
    enum { MOST_BLOCK = 1 << 20 };
    *d = (Delta){.t.r = sn_reader(page), .is_first = true};
    d->size = sn_thrift_varint(&d->t);
    d->nmini = sn_thrift_varint(&d->t);
    d->left = sn_thrift_varint(&d->t);
    d->value = (uint64_t)sn_thrift_zigzag(&d->t);
    if (d->t.r.bad || d->size == 0 || d->size > MOST_BLOCK || d->nmini == 0 || d->size % d->nmini ||
        d->size / d->nmini % 8 || d->left != n)
        return "differences have no head";
    d->mini = d->nmini;
    d->in_mini = d->size / d->nmini;
    return NULL;
}

static bool next_mini(Delta *d)
{
    const uint64_t each = d->size / d->nmini;
    if (++d->mini >= d->nmini) {
        d->least = (uint64_t)sn_thrift_zigzag(&d->t);
        d->bits = sn_take(&d->t.r, (size_t)d->nmini);
        d->mini = 0;
    }
    if (d->t.r.bad || d->bits.at[d->mini] > 64)
        return false;
    const size_t size = (size_t)each / 8 * d->bits.at[d->mini];
    d->packed = sn_take(&d->t.r, size < d->t.r.left ? size : d->t.r.left);
    d->in_mini = 0;
    return d->packed.n == size || d->packed.n >= (d->left * d->bits.at[d->mini] + 7) / 8;
}

static const char *take_deltas(Delta *d, size_t n, size_t each, uint8_t *out)
{
    const uint64_t per = d->size / d->nmini;
    for (size_t i = 0; i < n; i++, d->left--) {
        if (!d->is_first) {
            if (d->in_mini == per && !next_mini(d))
                return cut_off;
            const unsigned bits = d->bits.at[d->mini];
            d->value += d->least + load_bits(d->packed, (size_t)d->in_mini++ * bits, bits);
        }
        d->is_first = false;
        memcpy(out + i * each, &d->value, each);
    }
    return NULL;
}

/* n lengths, none below 0, to *out; *page moves past them. */
static const char *take_lengths(const SnAllocator *memory, SnBytes *page, size_t n, uint32_t **out)
{
    enum { MOST_LENGTHS = 1 << 26 };
    Delta d;
    const char *bad = n > MOST_LENGTHS ? "too many texts in a page" : begin_delta(&d, *page, n);
    if (bad)
        return bad;
    *out = sn_alloc(memory, n * sizeof **out + 1, _Alignof(max_align_t));
    if (!*out)
        return no_memory;
    bad = take_deltas(&d, n, sizeof **out, (uint8_t *)*out);
    for (size_t i = 0; !bad && i < n; i++)
        if ((*out)[i] > INT32_MAX)
            bad = "a length is below 0";
    *page = sn_bytes(d.t.r.at, d.t.r.left);
    return bad;
}

static const char *decode_delta_length(SnBytes page, size_t n, SnParquetValues *v)
{
    uint32_t *length = NULL;
    const char *bad = take_lengths(v->memory, &page, n, &length);
    for (size_t i = 0; !bad && i < n; i++) {
        if (length[i] > page.n)
            bad = cut_off;
        else
            bad = add_bytes(v, page.at, length[i]);
        if (bad)
            break;
        page = sn_bytes(page.at + length[i], page.n - length[i]);
        bad = end_bytes(v);
    }
    sn_free(v->memory, length, n * sizeof *length + 1, _Alignof(max_align_t));
    return bad;
}

/* Each begins with as much of the one before as its first number says. */
static const char *decode_delta_bytes(SnBytes page, size_t n, SnParquetValues *v)
{
    uint32_t *prefix = NULL, *suffix = NULL;
    size_t before = 0, size = 0;
    const char *bad = take_lengths(v->memory, &page, n, &prefix);
    if (!bad)
        bad = take_lengths(v->memory, &page, n, &suffix);
    for (size_t i = 0; !bad && i < n; i++) {
        const size_t at = v->data.n, own = (size_t)prefix[i] + suffix[i];
        if (prefix[i] > size || suffix[i] > page.n || (v->width && own != v->width))
            bad = cut_off;
        else if (own > MOST_BYTES - at || !sn_vec_reserve(v->memory, &v->data, own + 1))
            bad = no_memory;
        if (bad)
            break;
        memmove(v->data.at + at, v->data.at + before, prefix[i]);
        if (suffix[i])
            memcpy(v->data.at + at + prefix[i], page.at, suffix[i]);
        page = sn_bytes(page.at + suffix[i], page.n - suffix[i]);
        v->data.n += own;
        before = at;
        size = own;
        if (v->width)
            v->n++;
        else
            bad = end_bytes(v);
    }
    sn_free(v->memory, prefix, n * sizeof *prefix + 1, _Alignof(max_align_t));
    sn_free(v->memory, suffix, n * sizeof *suffix + 1, _Alignof(max_align_t));
    return bad;
}

/* ---- others ---- */

/* The first bytes of all values, then the second ones .. */
static const char *decode_split(SnBytes page, size_t n, SnParquetValues *v)
{
    const size_t width = v->width;
    if (!width || n > page.n / width)
        return cut_off;
    uint8_t *to = more_room(v, n);
    for (size_t k = 0; to && k < width; k++)
        for (size_t i = 0; i < n; i++)
            to[i * width + k] = page.at[k * n + i];
    return to ? NULL : no_memory;
}

static const char *decode_runs(SnBytes page, size_t n, SnParquetValues *v)
{
    SnReader r = sn_reader(page);
    const uint32_t size = sn_read_u32le(&r);
    uint8_t *to = r.bad || size > r.left ? NULL : more_room(v, n);
    return to ? sn_parquet_levels(sn_bytes(r.at, size), 1, n, to) : cut_off;
}

static const char *decode_delta(SnParquetPhysical p, SnBytes page, size_t n, SnParquetValues *v)
{
    Delta d;
    if (p != SN_PARQUET_INT32 && p != SN_PARQUET_INT64)
        return "differences of what are no whole numbers";
    const char *bad = begin_delta(&d, page, n);
    uint8_t *to = bad ? NULL : more_room(v, n);
    return bad ? bad : to ? take_deltas(&d, n, v->width, to) : no_memory;
}

const char *sn_parquet_decode(SnParquetEncoding e, SnParquetPhysical p, SnBytes page, size_t n,
                              SnParquetValues *out)
{
    const bool is_bytes = p == SN_PARQUET_BYTES, is_fixed = p == SN_PARQUET_FIXED;
    if (n == 0)
        return NULL;
    if (e == SN_PARQUET_PLAIN)
        return decode_plain(p, page, n, out);
    if (e == SN_PARQUET_DELTA)
        return decode_delta(p, page, n, out);
    if (e == SN_PARQUET_SPLIT && !is_bytes)
        return decode_split(page, n, out);
    if (e == SN_PARQUET_DELTA_LENGTH && is_bytes)
        return decode_delta_length(page, n, out);
    if (e == SN_PARQUET_DELTA_BYTES && (is_bytes || is_fixed))
        return decode_delta_bytes(page, n, out);
    if (e == SN_PARQUET_RLE && p == SN_PARQUET_BOOLEAN)
        return decode_runs(page, n, out);
    return "an encoding that does not fit its values";
}

/* ---- dictionaries ---- */

static const char *look_up_part(const SnParquetValues *from, const uint32_t *index, size_t n,
                                SnParquetValues *v)
{
    for (size_t i = 0; i < n; i++)
        if (index[i] >= from->n)
            return "an index beyond the dictionary";
    if (!v->width) {
        for (size_t i = 0; i < n; i++) {
            const int64_t begin = index[i] ? from->end.at[index[i] - 1] : 0;
            const char *bad = add_bytes(v, from->data.at + begin, (size_t)(from->end.at[index[i]] - begin));
            if (!bad)
                bad = end_bytes(v);
            if (bad)
                return bad;
        }
        return NULL;
    }
    uint8_t *to = more_room(v, n);
    if (!to)
        return no_memory;
    const size_t width = v->width;
    for (size_t i = 0; i < n; i++)
        if (width == 8)
            memcpy(to + i * 8, from->data.at + index[i] * (size_t)8, 8);
        else if (width == 4)
            memcpy(to + i * 4, from->data.at + index[i] * (size_t)4, 4);
        else
            memcpy(to + i * width, from->data.at + index[i] * width, width);
    return NULL;
}

const char *sn_parquet_look_up(const SnParquetValues *dictionary, SnBytes page, size_t n,
                               SnParquetValues *out)
{
    enum { PART = 1024 };
    uint32_t index[PART];
    if (n == 0)
        return NULL;
    if (page.n == 0 || page.at[0] > 32)
        return cut_off;
    Runs r = {.t.r = sn_reader(sn_bytes(page.at + 1, page.n - 1)), .bits = page.at[0]};
    for (size_t i = 0; i < n; i += PART) {
        const size_t take = n - i < PART ? n - i : PART;
        const char *bad = take_runs(&r, take, sizeof *index, index);
        if (!bad)
            bad = look_up_part(dictionary, index, take, out);
        if (bad)
            return bad;
    }
    return NULL;
}
