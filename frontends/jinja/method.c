/* method.c -- methods of values: str, dict, list, tuple; cyclers and macros. */
#include "frontends/jinja/run.h"

#include <math.h>

static SnJiText self_text(const SnJiCall *c)
{
    return c->self.u.text;
}

/* A piece of the text of self. */
static SnJiValue piece(const SnJiCall *c, const char *begin, const char *end)
{
    SnJiValue v = sn_ji_text_value(begin, (size_t)(end - begin));
    v.is_safe = c->self.is_safe;
    return v;
}

static SnStatus keep_safe(const SnJiCall *c, SnStatus st, SnJiValue *out)
{
    if (st == SN_OK)
        out->is_safe = c->self.is_safe;
    return st;
}

/* ---- case ---- */

static SnStatus change_case(SnJiCall *c, SnJiValue *out)
{
    return keep_safe(c, sn_ji_case(c->run, self_text(c), (SnJiCase)c->row->how, out), out);
}

static SnStatus mix_case(SnJiCall *c, SnJiValue *out)
{
    return keep_safe(c, sn_ji_mixed_case(c->run, self_text(c), (SnJiMixedCase)c->row->how, out), out);
}

static SnStatus casefold(SnJiCall *c, SnJiValue *out)
{
    return keep_safe(c, sn_ji_fold(c->run, self_text(c), out), out);
}

/* ---- questions ---- */

/* Have all code points one of the flags? */
static bool all_have(SnJiText s, uint32_t flags)
{
    for (const char *p = s.at; p < s.at + s.n;)
        if (!(sn_ji_code_flags(sn_ji_next_code(&p)) & flags))
            return false;
    return true;
}

static SnStatus answer(SnJiCall *c, bool v, SnJiValue *out)
{
    *out = sn_ji_bool(v);
    return sn_ji_spend(c->run, self_text(c).n / 8);
}

static SnStatus is_all(SnJiCall *c, SnJiValue *out)
{
    const SnJiText s = self_text(c);
    return answer(c, (s.n || c->row->how == SN_JI_PRINTABLE) && all_have(s, c->row->how), out);
}

/* Some of the wanted case, and none of another. */
static SnStatus is_of_case(SnJiCall *c, SnJiValue *out)
{
    const SnJiText s = self_text(c);
    const uint32_t wanted = c->row->how, forbidden = (SN_JI_UPPER | SN_JI_LOWER | SN_JI_TITLE) & ~wanted;
    uint32_t met = 0;
    for (const char *p = s.at; p < s.at + s.n;)
        met |= sn_ji_code_flags(sn_ji_next_code(&p));
    return answer(c, met & wanted && !(met & forbidden), out);
}

static SnStatus is_title(SnJiCall *c, SnJiValue *out)
{
    const SnJiText s = self_text(c);
    bool was_cased = false, is_met = false, is_wrong = false;
    for (const char *p = s.at; p < s.at + s.n && !is_wrong;) {
        const uint32_t flags = sn_ji_code_flags(sn_ji_next_code(&p));
        is_wrong = (flags & (was_cased ? SN_JI_UPPER | SN_JI_TITLE : SN_JI_LOWER)) != 0;
        was_cased = (flags & (SN_JI_UPPER | SN_JI_TITLE | SN_JI_LOWER)) != 0;
        is_met = is_met || was_cased;
    }
    return answer(c, is_met && !is_wrong, out);
}

static SnStatus is_identifier(SnJiCall *c, SnJiValue *out)
{
    const SnJiText s = self_text(c);
    const char *p = s.at;
    const bool begins = s.n && sn_ji_code_flags(sn_ji_next_code(&p)) & SN_JI_START;
    const SnJiText rest = {p, (uint32_t)(s.at + s.n - p), 0};
    return answer(c, begins && all_have(rest, SN_JI_START | SN_JI_WORD), out);
}

static SnStatus is_ascii(SnJiCall *c, SnJiValue *out)
{
    return answer(c, self_text(c).n == self_text(c).count, out);
}

/* ---- strip, pad ---- */

static SnStatus strip(SnJiCall *c, SnJiValue *out)
{
    const bool has_chars = c->v[0].kind != SN_JI_MISSING;
    const SnJiText s = sn_ji_strip(self_text(c), has_chars ? &c->v[0].u.text : NULL, (int)c->row->how);
    *out = (SnJiValue){.kind = SN_JI_STRING, .is_safe = c->self.is_safe, .u = {.text = s}};
    return sn_ji_spend(c->run, self_text(c).n / 16);
}

static SnStatus justify(SnJiCall *c, SnJiValue *out)
{
    const SnJiText s = self_text(c);
    const SnJiText fill = (c->v[1].kind == SN_JI_MISSING ? sn_ji_literal(" ") : c->v[1]).u.text;
    const int64_t width = c->v[0].u.integer, more = width > s.count ? width - s.count : 0;
    if (fill.count != 1)
        return sn_ji_fail(c->run, "the fill character must be exactly one character long");
    /* An odd blank goes left of texts for odd widths, right of them for even ones. */
    const char kind = c->row->name[0];
    const int64_t left = kind == 'l' ? 0 : kind == 'r' ? more : more / 2 + (more & width & 1);
    const SnJiMark outer = sn_ji_begin(c->run);
    sn_ji_fill(c->run, fill.at, fill.n, left);
    sn_ji_add(c->run, s.at, s.n);
    sn_ji_fill(c->run, fill.at, fill.n, more - left);
    return keep_safe(c, sn_ji_take(c->run, outer, out), out);
}

static SnStatus zfill(SnJiCall *c, SnJiValue *out)
{
    const SnJiText s = self_text(c);
    const int64_t width = c->v[0].u.integer;
    const uint32_t sign = s.n && (*s.at == '-' || *s.at == '+');
    const SnJiMark outer = sn_ji_begin(c->run);
    sn_ji_add(c->run, s.at, sign);
    sn_ji_fill(c->run, "0", 1, width > s.count ? width - s.count : 0);
    sn_ji_add(c->run, s.at + sign, s.n - sign);
    return keep_safe(c, sn_ji_take(c->run, outer, out), out);
}

static SnStatus expandtabs(SnJiCall *c, SnJiValue *out)
{
    const SnJiText s = self_text(c);
    const int64_t size = c->v[0].u.integer;
    int64_t column = 0;
    const SnJiMark outer = sn_ji_begin(c->run);
    for (uint32_t i = 0; i < s.n && !c->run->text->failed; i++) {
        const int64_t blanks = s.at[i] != '\t' || size <= 0 ? 0 : size - column % size;
        sn_ji_fill(c->run, " ", 1, blanks);
        column += blanks;
        if (s.at[i] == '\t')
            continue;
        sn_ji_add(c->run, &s.at[i], 1);
        column = s.at[i] == '\n' || s.at[i] == '\r' ? 0 : column + (((uint8_t)s.at[i] & 0xC0) != 0x80);
    }
    return keep_safe(c, sn_ji_take(c->run, outer, out), out);
}

/* ---- split, join, replace ---- */

static SnStatus split_space(SnJiCall *c, int64_t most, SnJiValue list)
{
    SnJiText s = sn_ji_strip(self_text(c), NULL, 1);
    const char *end = s.at + s.n;
    for (int64_t i = 0; s.n > 0; i++) {
        const char *p = s.at, *at = p;
        while (p < end && !(sn_ji_code_flags(sn_ji_next_code(&p)) & SN_JI_SPACE))
            at = p;
        if (most >= 0 && i == most)
            at = end;
        SN_TRY(sn_ji_append(c->run, list, piece(c, s.at, at)));
        s = sn_ji_strip((SnJiText){at, (uint32_t)(end - at), 0}, NULL, 1);
    }
    return SN_OK;
}

static SnStatus rsplit_space(SnJiCall *c, int64_t most, SnJiValue list)
{
    SnJiText s = sn_ji_strip(self_text(c), NULL, 2);
    for (int64_t i = 0; s.n > 0; i++) {
        const char *end = s.at + s.n, *p = end, *at = p;
        while (p > s.at && !(sn_ji_code_flags(sn_ji_code_before(&p)) & SN_JI_SPACE))
            at = p;
        if (most >= 0 && i == most)
            at = s.at;
        SN_TRY(sn_ji_append(c->run, list, piece(c, at, end)));
        s = sn_ji_strip((SnJiText){s.at, (uint32_t)(at - s.at), 0}, NULL, 2);
    }
    return SN_OK;
}

static SnStatus split_by(SnJiCall *c, SnJiText by, int64_t most, bool is_right, SnJiValue list)
{
    const SnJiText s = self_text(c);
    size_t begin = 0, end = s.n;
    for (int64_t i = 0; most < 0 || i < most; i++) {
        const size_t at = is_right ? sn_ji_find_last(c->run, s, by, begin, end)
                                   : sn_ji_find_text(c->run, s, by, begin, end);
        if (at == SIZE_MAX)
            break;
        if (is_right) {
            SN_TRY(sn_ji_append(c->run, list, piece(c, s.at + at + by.n, s.at + end)));
            end = at;
        } else {
            SN_TRY(sn_ji_append(c->run, list, piece(c, s.at + begin, s.at + at)));
            begin = at + by.n;
        }
    }
    SN_TRY(sn_ji_spend(c->run, 1));
    return sn_ji_append(c->run, list, piece(c, s.at + begin, s.at + end));
}

static SnStatus split(SnJiCall *c, SnJiValue *out)
{
    const bool is_right = c->row->name[0] == 'r', by_space = c->v[0].kind == SN_JI_MISSING;
    const int64_t most = c->v[1].u.integer;
    if (!by_space && c->v[0].u.text.n == 0)
        return sn_ji_fail(c->run, "empty separator");
    SN_TRY(sn_ji_list(c->run, SN_JI_LIST, 0, out));
    SN_TRY(by_space ? (is_right ? rsplit_space : split_space)(c, most, *out)
                    : split_by(c, c->v[0].u.text, most, is_right, *out));
    if (is_right)
        sn_ji_reverse(out->u.list->at, out->u.list->n);
    return sn_ji_spend(c->run, self_text(c).n / 8);
}

static SnStatus splitlines(SnJiCall *c, SnJiValue *out)
{
    SN_TRY(sn_ji_split_lines(c->run, self_text(c), sn_ji_truth(c->v[0]), out));
    for (size_t i = 0; i < out->u.list->n; i++)
        out->u.list->at[i].is_safe = c->self.is_safe;
    return sn_ji_spend(c->run, self_text(c).n / 8);
}

static SnStatus partition(SnJiCall *c, SnJiValue *out)
{
    const SnJiText s = self_text(c);
    const bool is_right = c->row->name[0] == 'r';
    const SnJiText by = c->v[0].u.text;
    if (by.n == 0)
        return sn_ji_fail(c->run, "empty separator");
    size_t at = is_right ? sn_ji_find_last(c->run, s, by, 0, s.n) : sn_ji_find_text(c->run, s, by, 0, s.n);
    size_t after = at + by.n;
    SN_TRY(sn_ji_spend(c->run, 1));
    if (at == SIZE_MAX)
        at = after = is_right ? 0 : s.n;
    SN_TRY(sn_ji_list(c->run, SN_JI_TUPLE, 3, out));
    SN_TRY(sn_ji_append(c->run, *out, piece(c, s.at, s.at + at)));
    SN_TRY(sn_ji_append(c->run, *out, piece(c, s.at + at, s.at + after)));
    return sn_ji_append(c->run, *out, piece(c, s.at + after, s.at + s.n));
}

static SnStatus join(SnJiCall *c, SnJiValue *out)
{
    SnJiItems items;
    SN_TRY(sn_ji_items(c->run, c->v[0], &items));
    const SnJiMark outer = sn_ji_begin(c->run);
    for (size_t i = 0; i < items.n; i++) {
        SnJiValue item = items.at[i];
        if (c->self.is_safe)
            SN_TRY(sn_ji_escape(c->run, item, &item));
        else if (item.kind != SN_JI_STRING)
            return sn_ji_fail(c->run, "sequence item %zu: expected str instance, %s found", i,
                              sn_ji_type(item));
        if (i)
            SN_TRY(sn_ji_put(c->run, c->self));
        SN_TRY(sn_ji_put(c->run, item));
    }
    SN_TRY(sn_ji_spend(c->run, items.n));
    return keep_safe(c, sn_ji_take(c->run, outer, out), out);
}

static SnStatus replace(SnJiCall *c, SnJiValue *out)
{
    const SnJiText old = c->v[0].u.text;
    if (c->self.is_safe)
        SN_TRY(sn_ji_escape(c->run, c->v[1], &c->v[1]));
    return keep_safe(c, sn_ji_replace(c->run, self_text(c), old, c->v[1].u.text, c->v[2].u.integer, out),
                     out);
}

static SnStatus remove_affix(SnJiCall *c, SnJiValue *out)
{
    const SnJiText s = self_text(c);
    const bool is_prefix = c->row->name[6] == 'p';
    const SnJiText a = c->v[0].u.text;
    *out = c->self;
    if (a.n > s.n || memcmp(is_prefix ? s.at : s.at + s.n - a.n, a.at, a.n) != 0)
        return SN_OK;
    *out = is_prefix ? piece(c, s.at + a.n, s.at + s.n) : piece(c, s.at, s.at + s.n - a.n);
    return SN_OK;
}

/* ---- find, count, startswith: with start and end, in code points ---- */

/* Bytes from..to of self between arguments 1 and 2; false: start lies behind the end. */
static SnStatus range_args(SnJiCall *c, size_t *from, size_t *to, bool *is_valid)
{
    const SnJiText s = self_text(c);
    const int64_t n = s.count;
    int64_t part[] = {c->v[1].u.integer, c->v[2].kind == SN_JI_MISSING ? n : c->v[2].u.integer};
    for (int k = 0; k < 2; k++)
        if (part[k] < 0)
            part[k] = part[k] + n < 0 ? 0 : part[k] + n;
    part[1] = part[1] > n ? n : part[1];
    *is_valid = part[0] <= part[1];
    *from = sn_ji_byte_of(s, (size_t)part[0]);
    *to = sn_ji_byte_of(s, (size_t)part[1]);
    return sn_ji_spend(c->run, s.n / 8);
}

static SnStatus find(SnJiCall *c, SnJiValue *out)
{
    const SnJiText s = self_text(c);
    const char *name = c->row->name;
    size_t from = 0, to = 0;
    bool is_valid = false;
    SN_TRY(range_args(c, &from, &to, &is_valid));
    size_t at = SIZE_MAX;
    if (is_valid)
        at = (name[0] == 'r' ? sn_ji_find_last : sn_ji_find_text)(c->run, s, c->v[0].u.text, from, to);
    if (at == SIZE_MAX && strstr(name, "index"))
        return sn_ji_fail(c->run, "substring not found");
    *out = sn_ji_int(at == SIZE_MAX ? -1 : (int64_t)sn_ji_count_codes(s.at, at));
    return sn_ji_spend(c->run, 1);
}

static SnStatus count(SnJiCall *c, SnJiValue *out)
{
    const SnJiText s = self_text(c);
    size_t from = 0, to = 0;
    bool is_valid = false;
    int64_t n = 0;
    SN_TRY(range_args(c, &from, &to, &is_valid));
    const SnJiText what = c->v[0].u.text;
    if (is_valid && what.n == 0)
        n = (int64_t)sn_ji_count_codes(s.at + from, to - from) + 1;
    while (is_valid && what.n && (from = sn_ji_find_text(c->run, s, what, from, to)) != SIZE_MAX) {
        from += what.n;
        n++;
    }
    *out = sn_ji_int(n);
    return sn_ji_spend(c->run, 1);
}

static bool has_affix(SnJiText s, SnJiText a, size_t from, size_t to, bool is_end)
{
    return a.n <= to - from && memcmp(s.at + (is_end ? to - a.n : from), a.at, a.n) == 0;
}

static SnStatus starts_or_ends(SnJiCall *c, SnJiValue *out)
{
    const SnJiValue a = c->v[0];
    const bool is_end = c->row->name[0] == 'e', is_tuple = a.kind == SN_JI_TUPLE;
    size_t from = 0, to = 0;
    bool is_valid = false, is_met = false;
    SN_TRY(range_args(c, &from, &to, &is_valid));
    for (size_t i = 0; i < (is_tuple ? a.u.list->n : 1); i++) {
        const SnJiValue v = is_tuple ? a.u.list->at[i] : a;
        SN_TRY(sn_ji_defined(c->run, v));
        if (v.kind != SN_JI_STRING)
            return sn_ji_fail(c->run, "%s() argument must be %s, not %s", c->row->name,
                              is_tuple ? "a tuple of str" : "str or a tuple of str", sn_ji_type(v));
        is_met = is_met || (is_valid && has_affix(self_text(c), v.u.text, from, to, is_end));
    }
    *out = sn_ji_bool(is_met);
    return SN_OK;
}

static SnStatus format(SnJiCall *c, SnJiValue *out)
{
    return sn_ji_format(c->run, c->self, &c->args, out);
}

static SnStatus format_map(SnJiCall *c, SnJiValue *out)
{
    if (c->v[0].kind != SN_JI_DICT)
        return sn_ji_fail(c->run, "format_map() takes a mapping here, not %s", sn_ji_type(c->v[0]));
    const SnJiDict *d = c->v[0].u.dict;
    SnJiKeyword *kw = sn_arena_array(&c->run->arena, d->n + 1, sizeof *kw);
    SnJiArgs args = {.kw = kw};
    if (!kw)
        return sn_ji_no_memory(c->run);
    for (size_t i = 0; i < d->n; i++)
        if (d->at[i].key.kind == SN_JI_STRING)
            kw[args.nkw++] = (SnJiKeyword){sn_ji_bytes(d->at[i].key), d->at[i].value};
    return sn_ji_format(c->run, c->self, &args, out);
}

/* ---- dict ---- */

static SnStatus view(SnJiCall *c, SnJiValue *out)
{
    static const char *const types[] = {"dict_keys", "dict_values", "dict_items"};
    const SnJiDict *d = c->self.u.dict;
    SN_TRY(sn_ji_list(c->run, SN_JI_VIEW, d->n, out));
    out->u.list->type = types[c->row->how];
    for (size_t i = 0; i < d->n; i++) {
        SnJiValue item = c->row->how == 0 ? d->at[i].key : d->at[i].value;
        if (c->row->how == 2)
            SN_TRY(sn_ji_pair(c->run, d->at[i].key, d->at[i].value, &item));
        SN_TRY(sn_ji_append(c->run, *out, item));
    }
    return SN_OK;
}

static SnStatus get(SnJiCall *c, SnJiValue *out)
{
    SnJiPair *pair = NULL;
    SN_TRY(sn_ji_dict_find(c->run, c->self.u.dict, c->v[0], &pair));
    *out = pair ? pair->value : c->v[1].kind != SN_JI_MISSING ? c->v[1] : sn_ji_none;
    return SN_OK;
}

/* What is never written again is its own copy. */
static SnStatus copy(SnJiCall *c, SnJiValue *out)
{
    *out = c->self;
    return SN_OK;
}

/* ---- list, tuple ---- */

static SnStatus list_find(SnJiCall *c, SnJiValue *out)
{
    const SnJiList *list = c->self.u.list;
    const bool is_count = c->row->name[0] == 'c';
    const int64_t n = (int64_t)list->n;
    int64_t found = 0, begin = is_count ? 0 : c->v[1].u.integer;
    int64_t end = c->v[2].kind == SN_JI_MISSING ? n : c->v[2].u.integer;
    begin += begin < 0 ? n : 0;
    end += end < 0 ? n : 0;
    for (int64_t i = begin < 0 ? 0 : begin; i < end && i < n; i++) {
        bool is_equal = false;
        SN_TRY(sn_ji_equal(c->run, list->at[i], c->v[0], &is_equal));
        if (is_equal && !is_count) {
            *out = sn_ji_int(i);
            return SN_OK;
        }
        found += is_equal;
    }
    *out = sn_ji_int(found);
    return is_count ? SN_OK : sn_ji_fail(c->run, "the value is not in the %s", sn_ji_type(c->self));
}

/* ---- others ---- */

static SnStatus range_fact(SnJiCall *c, SnJiValue *out)
{
    const SnJiRange *g = c->self.u.range;
    const int64_t facts[] = {g->start, g->stop, g->step};
    *out = sn_ji_int(facts[c->row->how]);
    return SN_OK;
}

static SnStatus real(SnJiCall *c, SnJiValue *out)
{
    return sn_ji_sign(c->run, false, c->self, out);
}

/* The imaginary part, or the denominator. */
static SnStatus other_part(SnJiCall *c, SnJiValue *out)
{
    *out = c->self.kind == SN_JI_FLOAT ? sn_ji_float(0) : sn_ji_int(c->row->how);
    return SN_OK;
}

static SnStatus count_bits(SnJiCall *c, SnJiValue *out)
{
    int64_t ones = 0;
    const int64_t bits = sn_ji_whole_bits(c->self, &ones);
    *out = sn_ji_int(c->row->how ? ones : bits);
    return SN_OK;
}

static SnStatus is_integer(SnJiCall *c, SnJiValue *out)
{
    const double v = c->self.u.number;
    *out = sn_ji_bool(v - v == 0 && trunc(v) == v);
    return SN_OK;
}

/* The fraction in its lowest terms: of a float one with a power of two. */
static SnStatus as_integer_ratio(SnJiCall *c, SnJiValue *out)
{
    SnJiValue over, under = sn_ji_int(1);
    if (c->self.kind != SN_JI_FLOAT) {
        SN_TRY(sn_ji_sign(c->run, false, c->self, &over));
        return sn_ji_pair(c->run, over, under, out);
    }
    const double v = c->self.u.number;
    if (!isfinite(v))
        return sn_ji_fail(c->run, "cannot convert %s to integer ratio", isnan(v) ? "NaN" : "Infinity");
    int exponent = 0, twos = 0;
    double part = frexp(v, &exponent);
    while (part != trunc(part)) {
        part *= 2;
        twos++;
    }
    if (exponent > twos)
        SN_TRY(sn_ji_from_float(c->run, v, &over));
    else
        SN_TRY(sn_ji_from_float(c->run, part, &over));
    if (twos > exponent)
        SN_TRY(sn_ji_math(c->run, SN_JI_OP_POW, sn_ji_int(2), sn_ji_int(twos - exponent), &under));
    return sn_ji_pair(c->run, over, under, out);
}

static SnStatus current(SnJiCall *c, SnJiValue *out)
{
    *out = c->self.u.cycler->item[c->self.u.cycler->pos];
    return SN_OK;
}

static SnStatus next(SnJiCall *c, SnJiValue *out)
{
    SnJiCycler *cycler = c->self.u.cycler;
    *out = cycler->item[cycler->pos];
    cycler->pos = (cycler->pos + 1) % cycler->n;
    return SN_OK;
}

static SnStatus reset(SnJiCall *c, SnJiValue *out)
{
    c->self.u.cycler->pos = 0;
    *out = sn_ji_none;
    return SN_OK;
}

static SnStatus macro_name(SnJiCall *c, SnJiValue *out)
{
    *out = c->self.u.macro->name ? sn_ji_literal(c->self.u.macro->name) : sn_ji_none;
    return SN_OK;
}

static SnStatus range_find(SnJiCall *c, SnJiValue *out)
{
    const SnJiRange *g = c->self.u.range;
    const bool counts = strcmp(c->row->name, "count") == 0;
    bool is_there = false;
    size_t at = 0;
    for (; at < g->n && !is_there; at++)
        SN_TRY(sn_ji_equal(c->run, sn_ji_range_at(g, at), c->v[0], &is_there));
    if (!counts && !is_there)
        return sn_ji_fail(c->run, "the value is not in range");
    *out = sn_ji_int(counts ? is_there : (int64_t)at - 1);
    return SN_OK;
}

static const SnJiRow str_methods[] = {
    {"upper", change_case, "", SN_JI_TO_UPPER},
    {"lower", change_case, "", SN_JI_TO_LOWER},
    {"title", mix_case, "", SN_JI_TITLE_CASE},
    {"capitalize", mix_case, "", SN_JI_CAPITALIZE},
    {"swapcase", mix_case, "", SN_JI_SWAP_CASE},
    {"casefold", casefold, ""},
    {"strip", strip, "chars:t?", 3},
    {"lstrip", strip, "chars:t?", 1},
    {"rstrip", strip, "chars:t?", 2},
    {"split", split, "sep:t? maxsplit:n=-1"},
    {"rsplit", split, "sep:t? maxsplit:n=-1"},
    {"splitlines", splitlines, "keepends?"},
    {"partition", partition, "sep:s"},
    {"rpartition", partition, "sep:s"},
    {"join", join, "iterable"},
    {"replace", replace, "old:s new:s count:n=-1"},
    {"removeprefix", remove_affix, "prefix:s"},
    {"removesuffix", remove_affix, "suffix:s"},
    {"startswith", starts_or_ends, "prefix start:n=0 end:n?"},
    {"endswith", starts_or_ends, "suffix start:n=0 end:n?"},
    {"find", find, "sub:s start:n=0 end:n?"},
    {"rfind", find, "sub:s start:n=0 end:n?"},
    {"index", find, "sub:s start:n=0 end:n?"},
    {"rindex", find, "sub:s start:n=0 end:n?"},
    {"count", count, "sub:s start:n=0 end:n?"},
    {"center", justify, "width:i fillchar:s?"},
    {"ljust", justify, "width:i fillchar:s?"},
    {"rjust", justify, "width:i fillchar:s?"},
    {"zfill", zfill, "width:i"},
    {"expandtabs", expandtabs, "tabsize:i=8"},
    {"format", format, "*"},
    {"format_map", format_map, "mapping"},
    {"isalpha", is_all, "", SN_JI_ALPHA},
    {"isdigit", is_all, "", SN_JI_DIGIT},
    {"isdecimal", is_all, "", SN_JI_DECIMAL},
    {"isnumeric", is_all, "", SN_JI_NUMERIC},
    {"isspace", is_all, "", SN_JI_SPACE},
    {"isalnum", is_all, "", SN_JI_ALPHA | SN_JI_DECIMAL | SN_JI_DIGIT | SN_JI_NUMERIC},
    {"isprintable", is_all, "", SN_JI_PRINTABLE},
    {"isupper", is_of_case, "", SN_JI_UPPER},
    {"islower", is_of_case, "", SN_JI_LOWER},
    {"istitle", is_title, ""},
    {"isidentifier", is_identifier, ""},
    {"isascii", is_ascii, ""},
    {"encode", NULL, "*"},
    {"maketrans", NULL, "*"},
    {"translate", NULL, "*"},
    {0},
};
static const SnJiRow dict_methods[] = {
    {"items", view, "", 2},       {"keys", view, "", 0},  {"values", view, "", 1},
    {"get", get, "key default?"}, {"copy", copy, ""},     {"fromkeys", NULL, "*"},
    {"clear", NULL, NULL},        {"pop", NULL, NULL},    {"popitem", NULL, NULL},
    {"setdefault", NULL, NULL},   {"update", NULL, NULL}, {0},
};
static const SnJiRow list_methods[] = {
    {"index", list_find, "value start:i=0 stop:i?"},
    {"count", list_find, "value"},
    {"copy", copy, ""},
    {"append", NULL, NULL},
    {"clear", NULL, NULL},
    {"extend", NULL, NULL},
    {"insert", NULL, NULL},
    {"pop", NULL, NULL},
    {"remove", NULL, NULL},
    {"reverse", NULL, NULL},
    {"sort", NULL, NULL},
    {0},
};
static const SnJiRow tuple_methods[] = {
    {"index", list_find, "value start:i=0 stop:i?"}, {"count", list_find, "value"}, {0}};
static const SnJiRow range_methods[] = {{"start", range_fact, "=", 0},  {"stop", range_fact, "=", 1},
                                        {"step", range_fact, "=", 2},   {"count", range_find, "value"},
                                        {"index", range_find, "value"}, {0}};
static const SnJiRow int_methods[] = {{"real", real, "="},
                                      {"imag", other_part, "=", 0},
                                      {"numerator", real, "="},
                                      {"denominator", other_part, "=", 1},
                                      {"bit_length", count_bits, "", 0},
                                      {"bit_count", count_bits, "", 1},
                                      {"conjugate", real, ""},
                                      {"as_integer_ratio", as_integer_ratio, ""},
                                      {0}};
static const SnJiRow float_methods[] = {{"real", real, "="},
                                        {"imag", other_part, "="},
                                        {"conjugate", real, ""},
                                        {"is_integer", is_integer, ""},
                                        {"as_integer_ratio", as_integer_ratio, ""},
                                        {0}};
static const SnJiRow cycler_methods[] = {
    {"current", current, "="}, {"next", next, ""}, {"reset", reset, ""}, {0}};
static const SnJiRow macro_methods[] = {{"name", macro_name, "="}, {0}};

const SnJiRow *sn_ji_method(SnJiKind kind, SnBytes name)
{
    static const SnJiRow *const tables[SN_JI_JOINER + 1] = {
        [SN_JI_STRING] = str_methods,    [SN_JI_DICT] = dict_methods,   [SN_JI_LIST] = list_methods,
        [SN_JI_TUPLE] = tuple_methods,   [SN_JI_RANGE] = range_methods, [SN_JI_INT] = int_methods,
        [SN_JI_BOOL] = int_methods,      [SN_JI_BIG] = int_methods,     [SN_JI_FLOAT] = float_methods,
        [SN_JI_CYCLER] = cycler_methods, [SN_JI_MACRO] = macro_methods,
    };
    return tables[kind] ? sn_ji_find(tables[kind], name) : NULL;
}
