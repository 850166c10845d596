/* wrap.c -- the filters wordwrap and pprint: lines of a given width, as textwrap and pprint of
 * Python 3.11 break them. */
#include "frontends/jinja/run.h"

#define PRINT_WIDTH 80

/* ---- words ---- */

/* A text by code points. */
typedef struct Codes {
    const uint32_t *at;
    const uint32_t *byte; /* [n + 1] */
    size_t n;
} Codes;

static SnStatus codes_of(SnJiRun *r, SnJiText s, Codes *out)
{
    uint32_t *at = sn_arena_array(&r->arena, (size_t)s.count + 1, sizeof *at);
    uint32_t *byte = sn_arena_array(&r->arena, (size_t)s.count + 1, sizeof *byte);
    if (!at || !byte)
        return sn_ji_no_memory(r);
    const char *p = s.at;
    size_t n = 0;
    for (; p < s.at + s.n && n < s.count; n++) {
        byte[n] = (uint32_t)(p - s.at);
        at[n] = sn_ji_next_code(&p);
    }
    byte[n] = s.n;
    *out = (Codes){at, byte, n};
    return sn_ji_spend(r, 1 + n);
}

static uint32_t code(const Codes *c, size_t i)
{
    return i < c->n ? c->at[i] : 0; /* i may have gone below 0 */
}

static bool is_blank(uint32_t cp)
{
    return cp == ' ' || (cp >= '\t' && cp <= '\r');
}

static bool is_letter(uint32_t cp)
{
    const uint32_t flags = sn_ji_code_flags(cp);
    return cp && (flags & SN_JI_WORD) && !(flags & SN_JI_DECIMAL);
}

static bool is_word(uint32_t cp)
{
    return cp && (sn_ji_code_flags(cp) & SN_JI_WORD);
}

static bool is_word_sign(uint32_t cp)
{
    return is_word(cp) || (cp && cp < 0x80 && strchr("!\"'&.,?", (int)cp));
}

/* Two dashes or more at i, and a word behind them: how many; 0: no. */
static size_t dashes(const Codes *c, size_t i)
{
    size_t n = 0;
    if (i == 0 || !is_word_sign(code(c, i - 1)))
        return 0;
    while (code(c, i + n) == '-')
        n++;
    return n >= 2 && is_word(code(c, i + n)) ? n : 0;
}

/* Is the hyphen before p inside of a word that may be broken there? */
static bool breaks_at(const Codes *c, size_t p)
{
    const bool after =
        (p >= 3 && is_letter(code(c, p - 3)) && is_letter(code(c, p - 2))) ||
        (p >= 4 && is_letter(code(c, p - 4)) && code(c, p - 3) == '-' && is_word_sign(code(c, p - 2)));
    return after && is_letter(code(c, p)) &&
           (is_letter(code(c, p + 1)) || (code(c, p + 1) == '-' && is_letter(code(c, p + 2))));
}

/* Where the chunk that begins at i ends: white space, dashes, a word or a part of one. */
static size_t chunk_end(const Codes *c, size_t i, bool on_hyphens)
{
    const bool blank = is_blank(c->at[i]);
    const size_t ndash = on_hyphens && !blank ? dashes(c, i) : 0;
    if (ndash)
        return i + ndash;
    size_t end = i + 1;
    for (; end < c->n && is_blank(c->at[end]) == blank; end++)
        if (!blank && on_hyphens) {
            if (code(c, end) == '-' && breaks_at(c, end + 1))
                return end + 1;
            if (dashes(c, end))
                return end;
        }
    return end;
}

/* ---- lines ---- */

typedef struct Wrap {
    SnJiRun *r;
    Codes c;
    SnJiText line, by;
    size_t width;
    bool breaks_words, on_hyphens, has_lines;
} Wrap;

/* str.strip() leaves nothing of it. */
static bool is_space(const Wrap *w, size_t from, size_t to)
{
    while (from < to && (sn_ji_code_flags(w->c.at[from]) & SN_JI_SPACE))
        from++;
    return from == to;
}

static void put_line(Wrap *w, size_t from, size_t to)
{
    if (from == to)
        return;
    if (w->has_lines)
        sn_ji_add(w->r, w->by.at, w->by.n);
    sn_ji_add(w->r, w->line.at + w->c.byte[from], w->c.byte[to] - w->c.byte[from]);
    w->has_lines = true;
}

/* How much of a chunk that is longer than a line goes into the rest of this one. */
static size_t part_of(const Wrap *w, size_t from, size_t to, size_t room)
{
    size_t hyphen = from + (room < to - from ? room : to - from);
    if (!w->on_hyphens || to - from <= room)
        return hyphen;
    while (hyphen > from && w->c.at[hyphen - 1] != '-')
        hyphen--;
    for (size_t i = from; i + 1 < hyphen; i++)
        if (w->c.at[i] != '-')
            return hyphen;
    return from + room;
}

/* A paragraph. Lines are [begin, end) of it, chunks follow each other. */
static SnStatus wrap_line(Wrap *w)
{
    size_t at = 0; /* the next chunk, or what is left of it */
    for (size_t next = 0; at < w->c.n;) {
        size_t begin = at, end = at, last = at;
        SN_TRY(sn_ji_spend(w->r, 1));
        next = next > at ? next : chunk_end(&w->c, at, w->on_hyphens);
        if (w->has_lines && is_space(w, at, next)) {
            begin = end = last = at = next;
            next = at < w->c.n ? chunk_end(&w->c, at, w->on_hyphens) : at;
        }
        while (at < w->c.n && next - begin <= w->width) {
            last = at;
            end = at = next;
            next = at < w->c.n ? chunk_end(&w->c, at, w->on_hyphens) : at;
        }
        if (at < w->c.n && next - at > w->width) {
            const size_t part = w->breaks_words ? part_of(w, at, next, w->width - (end - begin)) : next;
            if (w->breaks_words || end == begin) {
                last = at;
                end = at = part;
            }
            if (at == next && at < w->c.n)
                next = chunk_end(&w->c, at, w->on_hyphens);
        }
        put_line(w, begin, end > last && is_space(w, last, end) ? last : end);
    }
    return SN_OK;
}

static SnStatus wrap_lines(Wrap *w, const SnJiList *lines)
{
    for (size_t i = 0; i < lines->n; i++) {
        w->line = lines->at[i].u.text;
        w->has_lines = false;
        if (i)
            sn_ji_add(w->r, w->by.at, w->by.n);
        SN_TRY(codes_of(w->r, w->line, &w->c));
        SN_TRY(wrap_line(w));
    }
    return SN_OK;
}

SnStatus sn_ji_wordwrap(SnJiCall *c, SnJiValue *out)
{
    const SnJiValue by = c->v[2].kind == SN_JI_MISSING ? sn_ji_literal("\n") : c->v[2];
    const int64_t width = c->v[0].u.integer;
    SnJiValue lines;
    SN_TRY(sn_ji_defined(c->run, c->self));
    if (c->self.kind != SN_JI_STRING)
        return sn_ji_fail(c->run, "wordwrap: expected a string");
    SN_TRY(sn_ji_split_lines(c->run, c->self.u.text, false, &lines));
    if (width <= 0 && lines.u.list->n)
        return sn_ji_fail(c->run, "invalid width %lld (must be > 0)", (long long)width);
    Wrap w = {.r = c->run,
              .by = by.u.text,
              .width = (size_t)width,
              .breaks_words = c->v[1].kind == SN_JI_MISSING || sn_ji_truth(c->v[1]),
              .on_hyphens = c->v[3].kind == SN_JI_MISSING || sn_ji_truth(c->v[3])};
    const SnJiMark outer = sn_ji_begin(c->run);
    SN_TRY(wrap_lines(&w, lines.u.list));
    return sn_ji_take(c->run, outer, out);
}

/* ---- pprint ---- */

static SnStatus sorted(SnJiRun *r, SnJiValue v, SnJiValue *out);

static SnStatus sorted_list(SnJiRun *r, SnJiValue v, SnJiValue *out)
{
    SN_TRY(sn_ji_list(r, (SnJiKind)v.kind, v.u.list->n, out));
    for (size_t i = 0; i < v.u.list->n; i++) {
        SnJiValue item;
        SN_TRY(sorted(r, v.u.list->at[i], &item));
        SN_TRY(sn_ji_append(r, *out, item));
    }
    return SN_OK;
}

/* Keys of one type by their order, types by their names. */
static SnStatus sorted_dict(SnJiRun *r, SnJiValue v, SnJiValue *out)
{
    const size_t n = v.u.dict->n;
    SnJiValue *key = sn_arena_array(&r->arena, n + 1, sizeof *key);
    SnJiValue *item = sn_arena_array(&r->arena, n + 1, sizeof *item);
    SnJiValue *type = sn_arena_array(&r->arena, n + 1, sizeof *type);
    if (!key || !item || !type)
        return sn_ji_no_memory(r);
    for (size_t i = 0; i < n; i++) {
        item[i] = sn_ji_int((int64_t)i);
        type[i] =
            sn_ji_literal(sn_ji_is_number(v.u.dict->at[i].key) ? "int" : sn_ji_type(v.u.dict->at[i].key));
    }
    SN_TRY(sn_ji_sort(r, type, item, n, false));
    for (size_t i = 0; i < n; i++)
        key[i] = v.u.dict->at[sn_ji_integer(item[i])].key;
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && type[end].u.text.n == type[i].u.text.n &&
                          memcmp(type[end].u.text.at, type[i].u.text.at, type[i].u.text.n) == 0;)
            end++;
        if (key[i].kind != SN_JI_NONE && key[i].kind != SN_JI_UNDEFINED)
            SN_TRY(sn_ji_sort(r, key + i, item + i, end - i, false));
    }
    SN_TRY(sn_ji_dict(r, SN_JI_DICT, out));
    for (size_t i = 0; i < n; i++) {
        const SnJiPair *pair = &v.u.dict->at[sn_ji_integer(item[i])];
        SnJiValue value;
        SN_TRY(sorted(r, pair->value, &value));
        SN_TRY(sn_ji_dict_set(r, out->u.dict, pair->key, value));
    }
    return SN_OK;
}

/* The value with its dicts in the order of their keys. */
static SnStatus sorted(SnJiRun *r, SnJiValue v, SnJiValue *out)
{
    *out = v;
    if (v.kind != SN_JI_DICT && v.kind != SN_JI_LIST && v.kind != SN_JI_TUPLE)
        return SN_OK;
    SN_TRY(sn_ji_down(r));
    SN_TRY(v.kind == SN_JI_DICT ? sorted_dict(r, v, out) : sorted_list(r, v, out));
    r->depth--;
    return SN_OK;
}

static void put_break(SnJiRun *r, int64_t indent)
{
    sn_ji_say(r, "\n");
    sn_ji_fill(r, " ", 1, indent);
}

static SnStatus print(SnJiRun *r, SnJiValue v, int64_t indent, int64_t allowance, int level);

/* A list, tuple or dict, of which each item has a line. */
static SnStatus print_items(SnJiRun *r, SnJiValue v, int64_t indent, int64_t allowance, int level)
{
    const bool is_dict = v.kind == SN_JI_DICT, is_list = v.kind == SN_JI_LIST;
    const size_t n = is_dict ? v.u.dict->n : v.u.list->n;
    const char *const end = is_dict ? "}" : is_list ? "]" : n == 1 ? ",)" : ")";
    sn_ji_say(r, is_dict ? "{" : is_list ? "[" : "(");
    for (size_t i = 0; i < n; i++) {
        SnJiValue key = sn_ji_none;
        int64_t used = 1;
        if (i) {
            sn_ji_say(r, ",");
            put_break(r, indent + 1);
        }
        if (is_dict) {
            SN_TRY(sn_ji_repr(r, v.u.dict->at[i].key, &key));
            SN_TRY(sn_ji_put(r, key));
            sn_ji_say(r, ": ");
            used += key.u.text.count + 2;
        }
        SN_TRY(print(r, is_dict ? v.u.dict->at[i].value : v.u.list->at[i], indent + used,
                     i + 1 < n ? 1 : allowance + (int64_t)strlen(end), level));
    }
    sn_ji_say(r, end);
    return SN_OK;
}

/* ---- strings over lines ---- */

/* The repr of a part of a string. */
static SnStatus add_piece(SnJiRun *r, SnJiValue list, const char *at, const char *end)
{
    SnJiValue text;
    SN_TRY(sn_ji_repr(r, sn_ji_text_value(at, (size_t)(end - at)), &text));
    return sn_ji_append(r, list, text);
}

/* Behind a word and the white space after it. */
static const char *word_end(const char *at, const char *end)
{
    for (int spaces = 0; spaces < 2; spaces++)
        while (at < end) {
            const char *next = at;
            if (((sn_ji_code_flags(sn_ji_next_code(&next)) & SN_JI_SPACE) != 0) != (spaces != 0))
                break;
            at = next;
        }
    return at;
}

/* A line that is too long goes in words. */
static SnStatus add_words(SnJiRun *r, SnJiValue list, SnJiText line, int64_t width, int64_t last_width)
{
    const char *end = line.at + line.n, *begin = line.at;
    for (const char *at = line.at; at < end;) {
        const char *next = word_end(at, end);
        SnJiValue text;
        SN_TRY(sn_ji_repr(r, sn_ji_text_value(begin, (size_t)(next - begin)), &text));
        if (text.u.text.count > (next == end ? last_width : width)) {
            if (at > begin)
                SN_TRY(add_piece(r, list, begin, at));
            begin = at;
        }
        at = next;
    }
    return begin < end ? add_piece(r, list, begin, end) : SN_OK;
}

static SnStatus print_text(SnJiRun *r, SnJiValue v, int64_t indent, int64_t allowance, int level)
{
    SnJiValue pieces, lines, text;
    const bool is_alone = level == 1;
    indent += is_alone;
    allowance += is_alone;
    SN_TRY(sn_ji_list(r, SN_JI_LIST, 4, &pieces));
    SN_TRY(sn_ji_split_lines(r, v.u.text, true, &lines));
    for (size_t i = 0; i < lines.u.list->n; i++) {
        const SnJiValue line = lines.u.list->at[i];
        const int64_t width = PRINT_WIDTH - indent, room = width - (i + 1 == lines.u.list->n ? allowance : 0);
        SN_TRY(sn_ji_repr(r, line, &text));
        SN_TRY(text.u.text.count <= room ? sn_ji_append(r, pieces, text)
                                         : add_words(r, pieces, line.u.text, width, room));
    }
    const SnJiList *all = pieces.u.list;
    if (all->n == 0)
        return sn_ji_put_repr(r, v);
    sn_ji_say(r, is_alone && all->n > 1 ? "(" : "");
    for (size_t i = 0; i < all->n; i++) {
        if (i)
            put_break(r, indent);
        SN_TRY(sn_ji_put(r, all->at[i]));
    }
    sn_ji_say(r, is_alone && all->n > 1 ? ")" : "");
    return SN_OK;
}

static SnStatus print(SnJiRun *r, SnJiValue v, int64_t indent, int64_t allowance, int level)
{
    SnJiValue text;
    const bool is_text = v.kind == SN_JI_STRING && !v.is_safe;
    SN_TRY(sn_ji_repr(r, v, &text));
    if (text.u.text.count <= PRINT_WIDTH - indent - allowance ||
        (!is_text && v.kind != SN_JI_DICT && v.kind != SN_JI_LIST && v.kind != SN_JI_TUPLE))
        return sn_ji_put(r, text);
    SN_TRY(sn_ji_down(r));
    SN_TRY((is_text ? print_text : print_items)(r, v, indent, allowance, level + 1));
    r->depth--;
    return SN_OK;
}

SnStatus sn_ji_pprint(SnJiCall *c, SnJiValue *out)
{
    const SnJiMark outer = sn_ji_begin(c->run);
    SnJiValue v;
    SN_TRY(sorted(c->run, c->self, &v));
    SN_TRY(print(c->run, v, 0, 0, 0));
    return sn_ji_take(c->run, outer, out);
}
