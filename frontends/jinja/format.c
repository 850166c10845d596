/* format.c -- "..." % values, and str.format with its fields and format specs. */
#include "frontends/jinja/run.h"

#include <math.h>
#include <stdio.h>

#define MAX_WIDTH 100000

typedef struct Spec {
    char fill[5];
    char align, sign, kind; /* 0: not given */
    bool alternate, zero;
    char group;               /* , or _ */
    int64_t width, precision; /* -1: not given */
} Spec;

SnStatus sn_ji_format_number(SnJiRun *r, double v, char kind, int precision, bool alternate)
{
    char text[1024];
    if (precision > 400)
        return sn_ji_fail(r, "a precision of %d digits", precision);
    const int n = snprintf(text, sizeof text,
                           kind == 'e'   ? (alternate ? "%#.*e" : "%.*e")
                           : kind == 'g' ? (alternate ? "%#.*g" : "%.*g")
                                         : (alternate ? "%#.*f" : "%.*f"),
                           precision, v);
    /* Whatever the locale has for a point. */
    for (int i = 0; i < n; i++)
        if (!strchr("0123456789+-.einfa", text[i]))
            text[i] = '.';
    sn_ji_add(r, text, (size_t)n);
    return SN_OK;
}

/* ---- padding ---- */

static void put_padded(SnJiRun *r, const Spec *s, const char *sign, SnJiText digits, char align)
{
    const int64_t have = (int64_t)strlen(sign) + sn_ji_count_codes(digits.at, digits.n);
    const int64_t more = s->width > have ? s->width - have : 0;
    const int64_t left = align == '<' ? 0 : align == '^' ? more / 2 : align == '>' ? more : 0;
    const char *fill = s->fill[0] ? s->fill : " ";
    sn_ji_fill(r, fill, strlen(fill), left);
    sn_ji_add(r, sign, strlen(sign));
    sn_ji_fill(r, fill, strlen(fill), align == '=' ? more : 0);
    sn_ji_add(r, digits.at, digits.n);
    sn_ji_fill(r, fill, strlen(fill), align == '=' ? 0 : more - left);
}

/* ---- numbers by a spec ---- */

static const char *sign_of(const Spec *s, bool is_negative)
{
    return is_negative ? "-" : s->sign == '+' ? "+" : s->sign == ' ' ? " " : "";
}

/* digits: with a point, an exponent or a sign of percent behind those of the whole part, which are grouped.
 */
static SnStatus put_number(SnJiRun *r, const Spec *s, bool is_negative, const char *prefix, SnJiText digits,
                           size_t every)
{
    char sign[8];
    size_t whole = 0, zeros = 0;
    Spec spec = *s;
    (void)snprintf(sign, sizeof sign, "%s%s", sign_of(s, is_negative), prefix);
    while (whole < digits.n && strchr("0123456789abcdefABCDEF", digits.at[whole]) &&
           !(every == 3 && strchr("eE", digits.at[whole])))
        whole++;
    const char align = s->align ? s->align : s->zero ? '=' : '>';
    if (s->zero && !s->fill[0])
        spec.fill[0] = '0';
    /* With groups, zeros are grouped too. */
    if (s->group && align == '=' && spec.fill[0] == '0') {
        const size_t fixed = strlen(sign) + digits.n;
        for (size_t all = whole; (int64_t)(fixed + zeros + (all ? (all - 1) / every : 0)) < s->width; all++)
            zeros++;
        whole += zeros;
        spec.width = 0;
    }
    SnJiValue grouped;
    const SnJiMark outer = sn_ji_begin(r);
    for (size_t i = 0; i < zeros + digits.n; i++) {
        if (s->group && i && i < whole && (whole - i) % every == 0)
            sn_ji_add(r, &s->group, 1);
        sn_ji_add(r, i < zeros ? "0" : &digits.at[i - zeros], 1);
    }
    SN_TRY(sn_ji_take(r, outer, &grouped));
    put_padded(r, &spec, sign, grouped.u.text, align);
    return SN_OK;
}

/* What was written since the last sn_ji_begin. */
static void upper_ascii(SnJiRun *r)
{
    for (size_t i = r->at.begin; i < r->text->n; i++)
        if (r->text->at[i] >= 'a' && r->text->at[i] <= 'z')
            r->text->at[i] = (char)(r->text->at[i] - 32);
}

static bool is_below_zero(SnJiValue v)
{
    return sn_ji_compare_wholes(v, sn_ji_int(0)) < 0;
}

static SnStatus format_int(SnJiRun *r, const Spec *s, SnJiValue v)
{
    const char kind = s->kind ? s->kind : 'd', prefix[] = {'0', kind, 0};
    const unsigned base = kind == 'x' || kind == 'X' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    SnJiValue digits;
    const SnJiMark outer = sn_ji_begin(r);
    SN_TRY(sn_ji_put_digits(r, v, base));
    if (kind == 'X')
        upper_ascii(r);
    SN_TRY(sn_ji_take(r, outer, &digits));
    return put_number(r, s, is_below_zero(v), s->alternate && base != 10 ? prefix : "", digits.u.text,
                      base == 10 ? 3 : 4);
}

static SnStatus format_float(SnJiRun *r, const Spec *s, double v)
{
    const bool is_percent = s->kind == '%';
    const char kind = is_percent ? 'f' : !s->kind || (s->kind | 32) == 'n' ? 'g' : (char)(s->kind | 32);
    int64_t precision = s->precision >= 0 ? s->precision : 6;
    if (kind == 'g' && precision == 0)
        precision = 1;
    const double magnitude = fabs(is_percent ? v * 100 : v);
    SnJiValue digits;
    const SnJiMark outer = sn_ji_begin(r);
    if (!s->kind && s->precision < 0)
        sn_ji_put_float(r, magnitude);
    else
        SN_TRY(sn_ji_format_number(r, magnitude, kind, (int)(precision > 1000 ? 1000 : precision),
                                   s->alternate));
    /* Without a kind there is a digit after the point. */
    const size_t n = r->text->n - r->at.begin;
    if (!s->kind && s->precision >= 0 && isfinite(v) && (int64_t)n < precision && !r->text->failed &&
        strcspn(r->text->at + r->at.begin, ".e") == n)
        sn_ji_say(r, ".0");
    if (is_percent)
        sn_ji_say(r, "%");
    if (s->kind >= 'E' && s->kind <= 'G')
        upper_ascii(r);
    SN_TRY(sn_ji_take(r, outer, &digits));
    return put_number(r, s, signbit(v) && !isnan(v), "", digits.u.text, 3);
}

/* ---- format specs ---- */

static SnStatus take_number(SnJiRun *r, const char **p, const char *end, int64_t *out)
{
    *out = 0;
    for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
        *out = *out * 10 + (**p - '0');
        if (*out > MAX_WIDTH)
            return sn_ji_fail(r, "Too many decimal digits in format string");
    }
    return SN_OK;
}

static SnStatus parse_spec(SnJiRun *r, SnJiText text, Spec *s)
{
    const char *p = text.at, *end = p + text.n, *next = p;
    *s = (Spec){.width = -1, .precision = -1};
    if (p < end) {
        (void)sn_ji_next_code(&next);
        if (next < end && strchr("<>=^", *next)) {
            memcpy(s->fill, p, (size_t)(next - p));
            s->align = *next;
            p = next + 1;
        } else if (strchr("<>=^", *p)) {
            s->align = *p++;
        }
    }
    if (p < end && strchr("+- ", *p))
        s->sign = *p++;
    if (p < end && *p == '#') {
        s->alternate = true;
        p++;
    }
    if (p < end && *p == '0') {
        s->zero = true;
        p++;
    }
    if (p < end && *p >= '0' && *p <= '9')
        SN_TRY(take_number(r, &p, end, &s->width));
    if (p < end && (*p == ',' || *p == '_'))
        s->group = *p++;
    if (p < end && *p == '.') {
        p++;
        if (p == end || *p < '0' || *p > '9')
            return sn_ji_fail(r, "Format specifier missing precision");
        SN_TRY(take_number(r, &p, end, &s->precision));
    }
    if (p < end)
        s->kind = *p++;
    return p == end ? SN_OK : sn_ji_fail(r, "Invalid format specifier");
}

static SnStatus bad_kind(SnJiRun *r, const Spec *s, SnJiValue v)
{
    return sn_ji_fail(r, "Unknown format code '%c' for object of type '%s'", s->kind, sn_ji_type(v));
}

static SnStatus format_text(SnJiRun *r, const Spec *s, SnJiText text)
{
    if (s->precision >= 0 && text.count > s->precision)
        text = sn_ji_text_value(text.at, sn_ji_byte_of(text, (size_t)s->precision)).u.text;
    Spec spec = *s;
    if (s->zero && !s->fill[0])
        spec.fill[0] = '0';
    put_padded(r, &spec, "", text, s->align ? s->align : '<');
    return SN_OK;
}

static SnStatus format_value(SnJiRun *r, SnJiText text, SnJiValue v)
{
    Spec s;
    SN_TRY(parse_spec(r, text, &s));
    if (text.n == 0)
        return sn_ji_put(r, v);
    if (v.kind == SN_JI_STRING) {
        if ((s.kind && s.kind != 's') || s.align == '=' || s.sign || s.alternate || s.group)
            return bad_kind(r, &s, v);
        return format_text(r, &s, v.u.text);
    }
    if (sn_ji_is_whole(v) && (s.kind == 0 || strchr("dnxXob", s.kind))) {
        if (s.precision >= 0)
            return sn_ji_fail(r, "Precision not allowed in integer format specifier");
        return format_int(r, &s, v);
    }
    if (sn_ji_is_int(v) && s.kind == 'c') {
        const int64_t cp = sn_ji_integer(v);
        char utf8[4];
        if (cp < 0 || cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF))
            return sn_ji_fail(r, "%%c arg not in range");
        return format_text(r, &s, sn_ji_text_value(utf8, (size_t)sn_utf8_put((uint32_t)cp, utf8)).u.text);
    }
    if (sn_ji_is_number(v) && s.kind && !strchr("eEfFgGn%", s.kind))
        return bad_kind(r, &s, v);
    if (sn_ji_is_number(v)) {
        double number = 0;
        SN_TRY(sn_ji_to_float(r, v, &number));
        return format_float(r, &s, number);
    }
    return sn_ji_fail(r, "unsupported format string passed to %s.__format__", sn_ji_type(v));
}

/* ---- str.format ---- */

typedef struct Fields {
    SnJiRun *r;
    const SnJiArgs *args;
    int64_t next; /* automatic number; -1: numbers are given */
    uint32_t depth;
} Fields;

static SnStatus put_fields(Fields *f, SnJiText s);

static SnStatus first_field(Fields *f, SnJiText name, SnJiValue *out)
{
    SnJiValue index = sn_ji_int(0);
    bool is_number = true;
    for (uint32_t i = 0; i < name.n; i++)
        is_number = is_number && name.at[i] >= '0' && name.at[i] <= '9';
    if (is_number) {
        if (name.n == 0 ? f->next < 0 : f->next > 0)
            return sn_ji_fail(f->r, "cannot switch between manual and automatic field numbering");
        if (name.n == 0) {
            index = sn_ji_int(f->next++);
        } else {
            f->next = -1;
            SN_TRY(sn_ji_parse_int(f->r, name, 10, &index));
        }
        if (index.kind != SN_JI_INT || (uint64_t)index.u.integer >= f->args->n)
            return sn_ji_fail(f->r, "Replacement index %.*s out of range for positional args tuple",
                              (int)(name.n < 80 ? name.n : 80), name.at);
        *out = f->args->at[index.u.integer];
        return SN_OK;
    }
    for (size_t i = 0; i < f->args->nkw; i++)
        if (sn_bytes_equal(f->args->kw[i].name, sn_bytes(name.at, name.n))) {
            *out = f->args->kw[i].value;
            return SN_OK;
        }
    return sn_ji_fail(f->r, "format: no argument '%.*s'", (int)(name.n < 80 ? name.n : 80), name.at);
}

/* name(.attr | [item])* */
static SnStatus get_field(Fields *f, SnJiText path, SnJiValue *out)
{
    const char *p = path.at, *end = p + path.n, *begin = p;
    while (p < end && *p != '.' && *p != '[')
        p++;
    SN_TRY(first_field(f, sn_ji_text_value(begin, (size_t)(p - begin)).u.text, out));
    while (p < end) {
        const bool is_attr = *p == '.';
        begin = ++p;
        while (p < end && (is_attr ? *p != '.' && *p != '[' : *p != ']'))
            p++;
        SnJiValue key = sn_ji_text_value(begin, (size_t)(p - begin)), index = {0};
        if (begin == p || (!is_attr && p == end))
            return sn_ji_fail(f->r, "Empty attribute in format string");
        if (is_attr) {
            SN_TRY(sn_ji_attr(f->r, *out, sn_ji_bytes(key), out));
            continue;
        }
        if (*begin >= '0' && *begin <= '9')
            SN_TRY(sn_ji_parse_int(f->r, key.u.text, 10, &index));
        SN_TRY(sn_ji_item(f->r, *out, index.kind == SN_JI_MISSING ? key : index, out));
        p++;
        if (p < end && *p != '.' && *p != '[')
            return sn_ji_fail(f->r, "Only '.' or '[' may follow ']' in format field specifier");
    }
    return SN_OK;
}

static SnStatus put_field(Fields *f, SnJiText field)
{
    const char *end = field.at + field.n, *p = field.at, *name_end;
    char conversion = 0;
    int brackets = 0;
    while (p < end && (brackets || (*p != '!' && *p != ':'))) {
        brackets += *p == '[' ? 1 : *p == ']' ? -brackets : 0;
        p++;
    }
    name_end = p;
    if (p < end && *p == '!') {
        conversion = p + 1 < end ? p[1] : 0;
        p += 2;
        if (p > end || (p < end && *p != ':') || !conversion || !strchr("rs", conversion))
            return sn_ji_fail(f->r, "expected ':' after conversion specifier");
    }
    SnJiValue v, spec;
    SN_TRY(get_field(f, sn_ji_text_value(field.at, (size_t)(name_end - field.at)).u.text, &v));
    if (conversion)
        SN_TRY(conversion == 'r' ? sn_ji_repr(f->r, v, &v) : sn_ji_str(f->r, v, &v));
    p += p < end;
    const SnJiMark outer = sn_ji_begin(f->r);
    SN_TRY(put_fields(f, sn_ji_text_value(p, (size_t)(end - p)).u.text));
    SN_TRY(sn_ji_take(f->r, outer, &spec));
    return format_value(f->r, spec.u.text, v);
}

static SnStatus put_fields(Fields *f, SnJiText s)
{
    if (f->depth++ == 2)
        return sn_ji_fail(f->r, "Max string recursion exceeded");
    for (const char *p = s.at, *end = p + s.n; p < end;) {
        const char *begin = p;
        while (p < end && *p != '{' && *p != '}')
            p++;
        sn_ji_add(f->r, begin, (size_t)(p - begin));
        if (p == end)
            break;
        if (end - p > 1 && p[1] == *p) {
            sn_ji_add(f->r, p, 1);
            p += 2;
            continue;
        }
        if (*p == '}')
            return sn_ji_fail(f->r, "Single '}' encountered in format string");
        int level = 1;
        for (begin = ++p; p < end && level; p++)
            level += *p == '{' ? 1 : *p == '}' ? -1 : 0;
        if (level)
            return sn_ji_fail(f->r, "expected '}' before end of string");
        SN_TRY(put_field(f, sn_ji_text_value(begin, (size_t)(p - 1 - begin)).u.text));
    }
    f->depth--;
    return sn_ji_spend(f->r, 1 + s.n / 16);
}

SnStatus sn_ji_format(SnJiRun *r, SnJiValue format, const SnJiArgs *a, SnJiValue *out)
{
    Fields f = {.r = r, .args = a};
    const SnJiMark outer = sn_ji_begin(r);
    SN_TRY(put_fields(&f, format.u.text));
    return sn_ji_take(r, outer, out);
}

/* ---- % ---- */

typedef struct Percent {
    SnJiRun *r;
    SnJiValue values;
    const SnJiValue *at;
    size_t n, used;
    bool is_safe, is_mapping;
} Percent;

static SnStatus next_value(Percent *q, SnJiValue *out)
{
    if (q->used >= q->n)
        return sn_ji_fail(q->r, "not enough arguments for format string");
    *out = q->at[q->used++];
    return SN_OK;
}

/* A number, or * for the next value. */
static SnStatus take_width(Percent *q, const char **p, const char *end, int64_t *out)
{
    SnJiValue v;
    if (*p == end || **p != '*')
        return take_number(q->r, p, end, out);
    ++*p;
    SN_TRY(next_value(q, &v));
    if (!sn_ji_is_int(v) || sn_ji_integer(v) > MAX_WIDTH || sn_ji_integer(v) < -MAX_WIDTH)
        return sn_ji_fail(q->r, "* wants int");
    *out = sn_ji_integer(v);
    return SN_OK;
}

static SnStatus put_percent_number(Percent *q, Spec *s, SnJiValue v)
{
    if (!sn_ji_is_number(v)) {
        SN_TRY(sn_ji_defined(q->r, v));
        return sn_ji_fail(q->r, "%%%c format: a real number is required, not %s", s->kind, sn_ji_type(v));
    }
    if (s->align == '<')
        s->zero = false;
    if (strchr("eEfFgG", s->kind)) {
        double number = 0;
        SN_TRY(sn_ji_to_float(q->r, v, &number));
        return format_float(q->r, s, number);
    }
    if (v.kind == SN_JI_FLOAT && (strchr("xXo", s->kind) || !isfinite(v.u.number)))
        return sn_ji_fail(q->r, "%%%c format: an integer is required, not float", s->kind);
    SnJiValue whole = v;
    if (v.kind == SN_JI_FLOAT)
        SN_TRY(sn_ji_from_float(q->r, v.u.number, &whole));
    s->kind = s->kind == 'i' || s->kind == 'u' ? 'd' : s->kind;
    if (s->precision >= 0) {
        /* Digits, with zeros in front. */
        Spec digits = {.kind = s->kind, .width = s->precision, .precision = -1, .zero = true};
        digits.width += is_below_zero(whole);
        SnJiValue text;
        const SnJiMark outer = sn_ji_begin(q->r);
        SN_TRY(format_int(q->r, &digits, whole));
        SN_TRY(sn_ji_take(q->r, outer, &text));
        put_padded(q->r, s, is_below_zero(whole) ? "" : sign_of(s, false), text.u.text,
                   s->align ? s->align : '>');
        return SN_OK;
    }
    return format_int(q->r, s, whole);
}

static SnStatus put_percent_value(Percent *q, Spec *s, SnJiValue v)
{
    SnJiValue text = v;
    if (strchr("diuxXoeEfFgG", s->kind))
        return put_percent_number(q, s, v);
    if (s->kind == 'c' && sn_ji_is_int(v) && sn_ji_integer(v) >= 0 && sn_ji_integer(v) < 0xD800) {
        const SnJiMark outer = sn_ji_begin(q->r);
        sn_ji_add_code(q->r, (uint32_t)sn_ji_integer(v));
        SN_TRY(sn_ji_take(q->r, outer, &text));
    } else if (s->kind == 'r') {
        SN_TRY(sn_ji_repr(q->r, v, &text));
    } else if (s->kind == 's') {
        SN_TRY(q->is_safe ? sn_ji_escape(q->r, v, &text) : sn_ji_str(q->r, v, &text));
    } else if (s->kind != 'c' || v.kind != SN_JI_STRING || v.u.text.count != 1) {
        return sn_ji_fail(q->r, "unsupported format character '%c'", s->kind);
    }
    s->zero = false;
    s->align = s->align == '<' ? '<' : '>';
    return format_text(q->r, s, text.u.text);
}

/* (name)flags width .precision kind, after the %. */
static SnStatus put_percent(Percent *q, const char **p, const char *end)
{
    Spec s = {.width = -1, .precision = -1};
    SnJiValue v = sn_ji_none;
    bool has_name = false;
    if (*p < end && **p == '(') {
        const bool is_dict = q->values.kind == SN_JI_DICT;
        const char *close = memchr(*p, ')', (size_t)(end - *p));
        if (!is_dict || !close)
            return sn_ji_fail(q->r, close ? "format requires a mapping" : "incomplete format key");
        SnJiPair *pair = sn_ji_dict_get(q->values.u.dict, sn_bytes(*p + 1, (size_t)(close - *p - 1)));
        if (!pair)
            return sn_ji_fail(q->r, "format: no key '%.*s'", (int)(close - *p - 1 < 80 ? close - *p - 1 : 80),
                              *p + 1);
        v = pair->value;
        has_name = true;
        *p = close + 1;
    }
    for (; *p < end && strchr("-+ 0#", **p); ++*p) {
        s.align = **p == '-' ? '<' : s.align;
        s.sign = **p == '+' ? '+' : **p == ' ' && !s.sign ? ' ' : s.sign;
        s.zero = s.zero || **p == '0';
        s.alternate = s.alternate || **p == '#';
    }
    SN_TRY(take_width(q, p, end, &s.width));
    if (s.width < 0) {
        s.align = '<';
        s.width = -s.width;
    }
    if (*p < end && **p == '.') {
        ++*p;
        SN_TRY(take_width(q, p, end, &s.precision));
        s.precision = s.precision < 0 ? 0 : s.precision;
    }
    while (*p < end && strchr("hlL", **p))
        ++*p;
    if (*p == end)
        return sn_ji_fail(q->r, "incomplete format");
    s.kind = *(*p)++;
    if (s.kind == '%') {
        sn_ji_add(q->r, "%", 1);
        return SN_OK;
    }
    if (!has_name)
        SN_TRY(next_value(q, &v));
    return put_percent_value(q, &s, v);
}

static SnStatus put_all(Percent *q, SnJiText s)
{
    for (const char *p = s.at, *end = p + s.n; p < end;) {
        const char *begin = p;
        while (p < end && *p != '%')
            p++;
        sn_ji_add(q->r, begin, (size_t)(p - begin));
        if (p == end)
            break;
        p++;
        SN_TRY(put_percent(q, &p, end));
    }
    if (q->used < q->n && !q->is_mapping)
        return sn_ji_fail(q->r, "not all arguments converted during string formatting");
    return sn_ji_spend(q->r, s.n / 16);
}

SnStatus sn_ji_percent(SnJiRun *r, SnJiValue format, SnJiValue values, SnJiValue *out)
{
    const bool is_tuple = values.kind == SN_JI_TUPLE;
    Percent q = {
        .r = r, .values = values, .at = is_tuple ? values.u.list->at : &values, .is_safe = format.is_safe};
    q.n = is_tuple ? values.u.list->n : 1;
    /* What has items, but no tuple or text, may be left over. */
    q.is_mapping = values.kind == SN_JI_DICT || values.kind == SN_JI_LIST || values.kind == SN_JI_RANGE ||
                   values.kind == SN_JI_UNDEFINED;
    const SnJiMark outer = sn_ji_begin(r);
    SN_TRY(put_all(&q, format.u.text));
    SN_TRY(sn_ji_take(r, outer, out));
    out->is_safe = format.is_safe;
    return SN_OK;
}
