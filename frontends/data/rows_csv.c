/* rows_csv.c -- CSV and TSV: quotes, line ends in quotes, a header; types as pandas.read_csv infers them from
 * 10,000 rows after the other.
 *
 * Every column is read as texts. One whose values are all whole numbers, numbers or bools becomes that; what
 * pandas takes for missing is null, and whole numbers with some missing are floats. What a row
 * lacks is missing; one with more fields than the header is an error. */
#include "frontends/data/table.h"

#include <math.h>
#include <stdio.h>

enum { PART_ROWS = 10000 };

typedef struct Csv {
    const SnDataFile *f;
    SnRows *to;
    SnReader r;
    char delimiter;
    bool no_quotes;           /* a quote is a character like others */
    int64_t row, line, first; /* rows before this part */
    SN_VEC(SnBuilder *) col;
    SnText field;
    SnError *err;
} Csv;

/* ---- fields ---- */

/* One field; *last: the row ends with it. Lent until the next one. */
static SnStatus take_field(Csv *c, SnBytes *out, bool *last)
{
    const int64_t line = c->line;
    bool quoted = false;
    c->field.n = 0;
    for (*last = true; c->r.left > 0;) {
        const char at = (char)sn_read_u8(&c->r);
        if (quoted && at == '"' && !(c->r.left && c->r.at[0] == '"')) {
            quoted = false;
        } else if (quoted) {
            (void)(at == '"' && sn_skip(&c->r, 1));
            c->line += at == '\n';
            sn_text_add(&c->field, &at, 1);
        } else if (at == '"' && c->field.n == 0 && !c->no_quotes) {
            quoted = true;
        } else if (at == c->delimiter) {
            *last = false;
            break;
        } else if (at == '\n' || at == '\r') {
            (void)(at == '\r' && c->r.left && c->r.at[0] == '\n' && sn_skip(&c->r, 1));
            c->line++;
            break;
        } else {
            sn_text_add(&c->field, &at, 1);
        }
    }
    SN_CHECK(!quoted, c->err, SN_EFORMAT, "%s: row %lld (line %lld): a quote that is not closed", c->f->path,
             (long long)c->row, (long long)line);
    SN_CHECK(!c->field.failed, c->err, SN_ENOMEM, "%s: no memory", c->f->path);
    *out = sn_bytes(c->field.at, c->field.n);
    return SN_OK;
}

static bool skip_empty_lines(Csv *c)
{
    while (c->r.left && (c->r.at[0] == '\n' || c->r.at[0] == '\r')) {
        c->line += c->r.at[0] == '\n';
        (void)sn_skip(&c->r, 1);
    }
    return c->r.left > 0;
}

static SnStatus add_column(Csv *c, SnArena *names, SnBytes name)
{
    const SnAllocator *memory = sn_allocator(c->f->ctx);
    SnBuilder *b = sn_arena_alloc(names, sizeof *b);
    char *copy = sn_arena_strndup(names, (const char *)name.at, name.n);
    for (size_t i = 0, again = 1; b && copy && i < c->col.n; i++)
        if (sn_bytes_is(c->col.at[i]->key, copy)) {
            copy = sn_arena_printf(names, "%.*s.%zu", (int)name.n, (const char *)name.at, again++);
            i = (size_t)-1;
        }
    SN_CHECK(b && copy && sn_vec_push(memory, &c->col, b), c->err, SN_ENOMEM, "%s: no memory", c->f->path);
    *b = (SnBuilder){.memory = memory, .type = {.kind = SN_DATA_TEXT}, .key = sn_bytes_str(copy)};
    sn_map_init(&b->field, memory);
    return SN_OK;
}

/* Columns by the header, or by the names that were given. */
static SnStatus read_header(Csv *c, SnArena *names)
{
    const SnDataOptions *o = c->f->o;
    const Csv start = *c;
    bool last = !skip_empty_lines(c);
    for (size_t i = 0; !last; i++) {
        char number[32];
        SnBytes name;
        SN_TRY(take_field(c, &name, &last));
        (void)snprintf(number, sizeof number, name.n || o->no_header ? "%zu" : "Unnamed: %zu", i);
        if (o->nname || o->no_header || name.n == 0)
            name = sn_bytes_str(i < o->nname ? o->names[i] : number);
        SN_CHECK(sn_utf8_valid(name), c->err, SN_EFORMAT, "%s: the name of column %zu is no UTF-8",
                 c->f->path, i + 1);
        SN_TRY(add_column(c, names, name));
    }
    SN_CHECK(!o->nname || o->nname == c->col.n, c->err, SN_EINVAL, "%s: %zu names for %zu columns",
             c->f->path, o->nname, c->col.n);
    if (o->no_header) {
        c->r = start.r;
        c->line = start.line;
    }
    return SN_OK;
}

static SnStatus read_row(Csv *c)
{
    const int64_t line = c->line;
    size_t n = 0;
    c->row++;
    for (bool last = false; !last; n++) {
        SnBytes field;
        SN_TRY(take_field(c, &field, &last));
        if (n >= c->col.n)
            continue;
        SnBuilder *b = c->col.at[n];
        SN_CHECK(sn_utf8_valid(field), c->err, SN_EFORMAT, "%s: row %lld (line %lld), column %.*s: no UTF-8",
                 c->f->path, (long long)c->row, (long long)line, (int)b->key.n, (const char *)b->key.at);
        sn_builder_text(b, field);
    }
    for (size_t i = n; i < c->col.n; i++)
        sn_builder_text(c->col.at[i], sn_bytes("", 0));
    SN_CHECK(n <= c->col.n, c->err, SN_EFORMAT, "%s: row %lld (line %lld): %zu fields, expected %zu",
             c->f->path, (long long)c->row, (long long)line, n, c->col.n);
    return SN_OK;
}

/* ---- types ---- */

static bool is_missing(SnBytes s)
{
    static const char *const spelling[] = {
        "",     "#N/A", "#N/A N/A", "#NA",  "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
        "<NA>", "N/A",  "NA",       "NULL", "NaN",     "None",     "n/a",  "nan",  "null"};
    for (size_t i = 0; s.n <= 9 && i < SN_COUNT(spelling); i++)
        if (sn_bytes_is(s, spelling[i]))
            return true;
    return false;
}

static bool parse_truth(SnBytes s, uint8_t *out)
{
    *out = sn_is_one_of(s, "True TRUE true");
    return *out || sn_is_one_of(s, "False FALSE false");
}

static SnBytes strip(SnBytes s)
{
    while (s.n && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = sn_bytes(s.at + 1, s.n - 1);
    while (s.n && (s.at[s.n - 1] == ' ' || s.at[s.n - 1] == '\t'))
        s.n--;
    return s;
}

static bool parse_int(SnBytes s, int64_t *out)
{
    s = strip(s);
    const bool negative = s.n && s.at[0] == '-';
    size_t i = s.n && (s.at[0] == '-' || s.at[0] == '+');
    int64_t v = 0;
    bool ok = i < s.n;
    for (; ok && i < s.n; i++) {
        const int64_t digit = s.at[i] - '0';
        ok =
            digit >= 0 && digit <= 9 && sn_mul_i64(v, 10, &v) && sn_add_i64(v, negative ? -digit : digit, &v);
    }
    *out = v;
    return ok;
}

/* Only beyond what an int64 holds: pandas asks this where the other fails. */
static bool parse_unsigned(SnBytes s, uint64_t *out)
{
    uint64_t v = 0;
    s = strip(s);
    bool ok = s.n > 0;
    for (size_t i = 0; ok && i < s.n; i++) {
        const unsigned digit = (unsigned)s.at[i] - '0';
        ok = digit <= 9 && v <= (UINT64_MAX - digit) / 10;
        v = v * 10 + digit;
    }
    *out = v;
    return ok;
}

/* What sn_parse_f64 takes, and ".5", "5.", "+5", "1E5", "inf" as pandas does. */
static bool parse_number(SnBytes s, double *out)
{
    char text[64];
    size_t n = 0;
    s = strip(s);
    const bool negative = s.n && s.at[0] == '-';
    if (s.n && (s.at[0] == '-' || s.at[0] == '+'))
        s = sn_bytes(s.at + 1, s.n - 1);
    for (size_t i = 0; i < s.n && n + 3 < sizeof text; i++) {
        const bool digit = s.at[i] >= '0' && s.at[i] <= '9',
                   before = i && s.at[i - 1] >= '0' && s.at[i - 1] <= '9';
        const bool zero = i + 1 < s.n && s.at[i] == '0' && n == 0 && s.at[i + 1] >= '0' && s.at[i + 1] <= '9';
        if (zero)
            continue;
        if (s.at[i] == '.' && !before)
            text[n++] = '0';
        text[n++] = (char)(s.at[i] == 'E' ? 'e' : s.at[i]);
        if (s.at[i] == '.' && !digit && !(i + 1 < s.n && s.at[i + 1] >= '0' && s.at[i + 1] <= '9'))
            text[n++] = '0';
    }
    if (sn_is_one_of(s, "inf Inf INF infinity Infinity INFINITY")) {
        *out = negative ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    const bool ok = s.n + 3 < sizeof text && n && text[0] >= '0' && text[0] <= '9' &&
                    sn_parse_f64(sn_bytes(text, n), out);
    *out = ok && negative ? -*out : *out;
    return ok;
}

typedef enum Guess { WHOLE, UNSIGNED, NUMBER, TRUTH, TEXT } Guess;
static const SnFeature guessed[] = {[WHOLE] = {.kind = SN_DATA_NUMBER, .dtype = SN_I64},
                                    [UNSIGNED] = {.kind = SN_DATA_NUMBER, .dtype = SN_U64},
                                    [NUMBER] = {.kind = SN_DATA_NUMBER, .dtype = SN_F64},
                                    [TRUTH] = {.kind = SN_DATA_NUMBER, .dtype = SN_BOOL},
                                    [TEXT] = {.kind = SN_DATA_TEXT, .is_wide = true}};

typedef union Value {
    int64_t whole;
    uint64_t natural;
    double number;
    uint8_t truth;
} Value;

static bool fits(Guess g, SnBytes s, Value *v)
{
    return g == WHOLE      ? parse_int(s, &v->whole)
           : g == UNSIGNED ? parse_unsigned(s, &v->natural)
           : g == NUMBER   ? parse_number(s, &v->number)
                           : g == TEXT || parse_truth(s, &v->truth);
}

static SnBytes text_of(const SnBuilder *b, size_t i)
{
    const int64_t begin = i ? b->end.at[i - 1] : 0;
    return sn_bytes(b->data.at + begin, (size_t)(b->end.at[i] - begin));
}

static bool all_fit(Guess g, const SnBuilder *b, int64_t *nmissing)
{
    *nmissing = 0;
    for (size_t i = 0; i < b->end.n; i++) {
        Value v;
        const SnBytes s = text_of(b, i);
        if (is_missing(s))
            ++*nmissing;
        else if (!fits(g, s, &v))
            return false;
    }
    return true;
}

/* The first kind that all values fit. */
static Guess guess_type(const SnBuilder *b)
{
    int64_t nmissing = 0;
    Guess g = b->n ? WHOLE : TEXT;
    while (g < TEXT && !all_fit(g, b, &nmissing))
        g++;
    return g <= UNSIGNED && nmissing ? NUMBER : g;
}

/* Texts become what they spell. */
static void retype(SnBuilder *b)
{
    const Guess g = guess_type(b);
    SnBuilder to = {.memory = b->memory, .type = guessed[g], .key = b->key, .failed = b->failed};
    sn_map_init(&to.field, b->memory);
    for (size_t i = 0; !to.failed && i < b->end.n; i++) {
        Value v = {0};
        const SnBytes s = text_of(b, i);
        if (is_missing(s))
            sn_builder_null(&to);
        else if (g == TEXT)
            sn_builder_text(&to, s);
        else if (fits(g, s, &v))
            sn_builder_raw(&to, &v);
    }
    sn_builder_clear(b);
    *b = to;
}

static SnStatus end_part(Csv *c)
{
    SnDataset *part = NULL;
    for (size_t i = 0; i < c->col.n; i++)
        retype(c->col.at[i]);
    SN_TRY(sn_builders_end(c->col.at, c->col.n, c->f->ctx, c->row - c->first, &part, c->err));
    c->first = c->row;
    for (size_t i = 0; i < c->col.n; i++) {
        SnBuilder *b = c->col.at[i];
        const SnBytes key = b->key;
        sn_builder_clear(b);
        *b = (SnBuilder){.memory = b->memory, .type = {.kind = SN_DATA_TEXT}, .key = key};
        sn_map_init(&b->field, b->memory);
    }
    const size_t left = c->f->bytes.n - c->r.left;
    (void)sn_file_forget(c->f->file, sn_bytes(c->f->bytes.at, left));
    return sn_rows_add(c->to, part, c->err);
}

SnStatus sn_read_csv(const SnDataFile *f, SnRows *to, SnError *err)
{
    const SnAllocator *memory = sn_allocator(f->ctx);
    SnBytes text = f->bytes;
    if (text.n >= 3 && memcmp(text.at, "\xEF\xBB\xBF", 3) == 0)
        text = sn_bytes(text.at + 3, text.n - 3);
    const char delimiter = f->o->delimiter ? f->o->delimiter : ',';
    Csv c = {.f = f,
             .to = to,
             .r = sn_reader(text),
             .delimiter = delimiter,
             .line = 1,
             .field = {.memory = memory},
             .err = err};
    SnArena names;
    sn_arena_init(&names, memory);
    c.no_quotes = f->o->no_quotes;
    SnStatus st = read_header(&c, &names);
    if (st == SN_OK && c.col.n == 0)
        st = sn_fail(err, SN_EFORMAT, "%s: no columns", f->path);
    while (st == SN_OK && skip_empty_lines(&c)) {
        st = read_row(&c);
        if (st == SN_OK && !f->is_whole && c.row - c.first == PART_ROWS)
            st = end_part(&c);
    }
    if (st == SN_OK && (c.row > c.first || c.row == 0))
        st = end_part(&c);
    for (size_t i = 0; i < c.col.n; i++)
        sn_builder_clear(c.col.at[i]);
    sn_vec_clear(memory, &c.col);
    sn_text_clear(&c.field);
    sn_arena_clear(&names);
    return st;
}
