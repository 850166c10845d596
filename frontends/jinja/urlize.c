/* urlize.c -- the filter urlize: what looks like an address in a text becomes a link.
 *
 * The rules are those of the patterns of jinja2.utils, each of which one pass decides here: what may follow a
 * part can never be part of it. */
#include "frontends/jinja/run.h"

typedef struct Span {
    const char *at, *end;
} Span;

/* What Python's patterns without case take for one letter. */
static uint32_t fold(uint32_t cp)
{
    return cp >= 'A' && cp <= 'Z'          ? cp + 32
           : cp == 0x130 || cp == 0x131    ? 'i'
           : cp == 0x17F                   ? 's'
           : cp == 0x212A /* the kelvin */ ? 'k'
                                           : cp;
}

static bool eat(Span *s, const char *word)
{
    const char *p = s->at;
    for (; *word; word++)
        if (p == s->end || fold(sn_ji_next_code(&p)) != (uint8_t)*word)
            return false;
    s->at = p;
    return true;
}

static bool is_letter(uint32_t cp)
{
    return fold(cp) >= 'a' && fold(cp) <= 'z';
}

static bool is_digit(uint32_t cp)
{
    return (sn_ji_code_flags(cp) & SN_JI_DECIMAL) != 0;
}

static bool is_hex(uint32_t cp)
{
    return is_digit(cp) || (fold(cp) >= 'a' && fold(cp) <= 'f' && cp < 0x80);
}

static bool is_word(uint32_t cp)
{
    return (sn_ji_code_flags(cp) & SN_JI_WORD) != 0;
}

static bool is_word_or_percent(uint32_t cp)
{
    return is_word(cp) || cp == '%';
}

static bool is_label(uint32_t cp)
{
    return is_word_or_percent(cp) || cp == '-';
}

static bool is_mail_host(uint32_t cp)
{
    return is_word(cp) || cp == '.' || cp == '-';
}

/* How many of a kind come next; goes past them. */
static size_t run(Span *s, bool (*is_one)(uint32_t cp))
{
    for (size_t n = 0;; n++) {
        const char *p = s->at;
        if (p == s->end || !is_one(sn_ji_next_code(&p)))
            return n;
        s->at = p;
    }
}

/* (:port)?([/?#].*)? to the end */
static bool ends_address(Span s)
{
    if (s.at < s.end && *s.at == ':') {
        s.at++;
        const size_t n = run(&s, is_digit);
        if (n < 1 || n > 5)
            return false;
    }
    return s.at == s.end || strchr("/?#", *s.at);
}

static bool is_any_top(Span s)
{
    Span coded = s;
    size_t n = run(&s, is_letter);
    if (n >= 2 && n <= 63 && ends_address(s))
        return true;
    n = eat(&coded, "xn--") ? run(&coded, is_word_or_percent) : 0;
    return n >= 2 && n <= 59 && ends_address(coded);
}

static bool is_known_top(Span s)
{
    static const char *const tops[] = {"com", "net", "int", "edu", "gov", "org", "info", "mil"};
    for (size_t i = 0; i < SN_COUNT(tops); i++) {
        Span rest = s;
        if (eat(&rest, tops[i]) && ends_address(rest))
            return true;
    }
    return false;
}

/* Labels with points behind them, then a top; tops alone do where no label is needed. */
static bool is_host(Span s, size_t least, size_t most, bool needs_label, bool (*is_top)(Span s))
{
    while (needs_label || !is_top(s)) {
        const size_t n = run(&s, is_label);
        if (n < least || n > most || !eat(&s, "."))
            return false;
        needs_label = false;
    }
    return true;
}

static bool is_ipv4(Span s)
{
    for (int i = 0; i < 4; i++) {
        if (i && !eat(&s, "."))
            return false;
        const size_t n = run(&s, is_digit);
        if (n < 1 || n > 3)
            return false;
    }
    return ends_address(s);
}

/* Groups of up to four digits: two with a colon, then one to six that may lack it. */
static bool is_ipv6(Span s)
{
    int groups = 0;
    if (!eat(&s, "["))
        return false;
    for (int i = 0; i < 2; i++)
        if (run(&s, is_hex) > 4 || !eat(&s, ":"))
            return false;
    while (s.at < s.end && *s.at != ']') {
        const size_t n = run(&s, is_hex);
        const bool has_colon = eat(&s, ":");
        groups += (int)(n < 32 ? (n + 3) / 4 : 8) + (n == 0);
        if ((n == 0 && !has_colon) || groups > 6)
            return false;
    }
    return eat(&s, "]") && ends_address(s);
}

static bool is_address(Span s)
{
    Span rest = s;
    const bool has_scheme = eat(&rest, "http://") || eat(&rest, "https://");
    if (has_scheme && (is_ipv4(rest) || is_ipv6(rest)))
        return true;
    if ((has_scheme || eat(&rest, "www.")) && is_host(rest, 1, SIZE_MAX, false, is_any_top))
        return true;
    return is_host(s, 2, 63, true, is_known_top);
}

static bool is_mail(Span s)
{
    const char *at = s.end, *dot = s.end;
    while (at > s.at && at[-1] != '@')
        at--;
    if (at <= s.at + 1)
        return false;
    Span host = {at, s.end};
    if (run(&host, is_mail_host) == 0 || host.at != s.end || *at == '.' || *at == '-')
        return false;
    while (dot > at && dot[-1] != '.')
        dot--;
    Span top = {dot, s.end};
    return dot > at && run(&top, is_word) > 0 && top.at == s.end;
}

/* ---- one word ---- */

static bool begins(Span s, const char *with)
{
    const size_t n = strlen(with);
    return (size_t)(s.end - s.at) >= n && memcmp(s.at, with, n) == 0;
}

static size_t count(Span s, const char *what)
{
    size_t n = 0;
    for (; s.at < s.end; s.at++)
        if (begins(s, what)) {
            n++;
            s.at += strlen(what) - 1;
        }
    return n;
}

/* Cuts brackets and stops off both sides; what closes a bracket inside stays. */
static Span middle_of(Span word)
{
    static const char *const pairs[][2] = {{"(", ")"}, {"<", ">"}, {"&lt;", "&gt;"}};
    Span s = word;
    for (bool goes_on = true; goes_on;) {
        goes_on = s.at < s.end && (*s.at == '(' || *s.at == '<' || begins(s, "&lt;"));
        s.at += goes_on ? (*s.at == '&' ? 4 : 1) : 0;
    }
    for (bool goes_on = true; goes_on;) {
        const bool is_entity = s.end - s.at >= 4 && memcmp(s.end - 4, "&gt;", 4) == 0;
        goes_on = is_entity || (s.at < s.end && strchr(")>.,", s.end[-1]));
        s.end -= is_entity ? 4 : goes_on;
    }
    for (size_t i = 0; i < SN_COUNT(pairs); i++) {
        const char *const close = pairs[i][1];
        const size_t open = count(s, pairs[i][0]);
        if (open <= count(s, close))
            continue;
        Span tail = {s.end, word.end};
        for (size_t n = 0; n < open && tail.at < tail.end; tail.at++)
            if (begins(tail, close)) {
                n++;
                s.end = tail.at + strlen(close);
            }
    }
    return s;
}

typedef struct Links {
    SnJiRun *r;
    SnJiText attrs; /* rel and target */
    SnJiItems scheme;
    int64_t limit;
    bool is_limited;
} Links;

static void put_span(Links *l, Span s)
{
    sn_ji_add(l->r, s.at, (size_t)(s.end - s.at));
}

static void put_link(Links *l, const char *scheme, Span s, bool has_attrs, Span shown)
{
    sn_ji_say(l->r, "<a href=\"");
    sn_ji_say(l->r, scheme);
    put_span(l, s);
    sn_ji_say(l->r, "\"");
    if (has_attrs)
        sn_ji_add(l->r, l->attrs.at, l->attrs.n);
    sn_ji_say(l->r, ">");
    put_span(l, shown);
}

static void put_address(Links *l, Span s)
{
    const SnJiText text = sn_ji_text_value(s.at, (size_t)(s.end - s.at)).u.text;
    const bool has_scheme = begins(s, "https://") || begins(s, "http://");
    const bool is_cut = l->is_limited && (int64_t)text.count > l->limit;
    /* Less than none counts from the end. */
    const int64_t n = l->limit < 0 ? (int64_t)text.count + l->limit : l->limit;
    Span shown = s;
    if (is_cut)
        shown.end = s.at + (n > 0 ? sn_ji_byte_of(text, (size_t)n) : 0);
    put_link(l, has_scheme ? "" : "https://", s, true, shown);
    sn_ji_say(l->r, is_cut ? "...</a>" : "</a>");
}

static void put_other(Links *l, Span s)
{
    for (size_t i = 0; i < l->scheme.n; i++) {
        const SnJiText scheme = l->scheme.at[i].u.text;
        if ((size_t)(s.end - s.at) > scheme.n && memcmp(s.at, scheme.at, scheme.n) == 0) {
            put_link(l, "", s, true, s);
            sn_ji_say(l->r, "</a>");
            return;
        }
    }
    put_span(l, s);
}

static void put_word(Links *l, Span word)
{
    const Span s = middle_of(word);
    const bool is_mailto = begins(s, "mailto:");
    const Span mail = {s.at + (is_mailto ? 7 : 0), s.end};
    const size_t n = (size_t)(s.end - s.at);
    put_span(l, (Span){word.at, s.at});
    if (is_address(s)) {
        put_address(l, s);
    } else if (is_mail(mail) &&
               (is_mailto || (!begins(s, "www.") && *s.at != '@' && !memchr(s.at, ':', n)))) {
        put_link(l, is_mailto ? "" : "mailto:", s, false, mail);
        sn_ji_say(l->r, "</a>");
    } else {
        put_other(l, s);
    }
    put_span(l, (Span){s.end, word.end});
}

/* ---- the filter ---- */

/* [\w.+-]{2,}:/{0,2} */
static bool is_scheme(SnJiValue v)
{
    Span s = {v.u.text.at, v.u.text.at + v.u.text.n};
    size_t n = 0;
    while (s.at < s.end && *s.at != ':') {
        const uint32_t cp = sn_ji_next_code(&s.at);
        if (!is_mail_host(cp) && cp != '+')
            return false;
        n++;
    }
    return n >= 2 && eat(&s, ":") && (s.at == s.end || begins(s, "/")) && s.end - s.at <= 2 &&
           s.end[-1] == (s.at == s.end ? ':' : '/');
}

/* The words of rel and those that are always there, in order and once each. */
static SnStatus put_rel(SnJiCall *c)
{
    const SnJiArgs none = {0};
    SnJiValue words, rel = c->v[3].kind > SN_JI_NONE && sn_ji_truth(c->v[3]) ? c->v[3] : sn_ji_literal("");
    if (rel.kind != SN_JI_STRING)
        return sn_ji_fail(c->run, "'%s' object has no attribute 'split'", sn_ji_type(rel));
    rel.is_safe = false;
    SN_TRY(sn_ji_call_row(c->run, sn_ji_method(SN_JI_STRING, sn_bytes_str("split")), rel, &none, &words));
    SN_TRY(sn_ji_append(c->run, words, sn_ji_literal("noopener")));
    if (sn_ji_truth(c->v[1]))
        SN_TRY(sn_ji_append(c->run, words, sn_ji_literal("nofollow")));
    const SnJiList *list = words.u.list;
    SN_TRY(sn_ji_sort(c->run, list->at, list->at, list->n, false));
    for (size_t i = 0; i < list->n; i++) {
        SnJiValue word;
        if (i && sn_bytes_equal(sn_ji_bytes(list->at[i]), sn_ji_bytes(list->at[i - 1])))
            continue;
        SN_TRY(sn_ji_escape(c->run, list->at[i], &word));
        sn_ji_add(c->run, i ? " " : " rel=\"", i ? 1 : 6);
        SN_TRY(sn_ji_put(c->run, word));
    }
    sn_ji_add(c->run, "\"", 1);
    return SN_OK;
}

static SnStatus put_target(SnJiCall *c)
{
    SnJiValue target;
    if (c->v[2].kind <= SN_JI_NONE || !sn_ji_truth(c->v[2]))
        return SN_OK;
    SN_TRY(sn_ji_escape(c->run, c->v[2], &target));
    sn_ji_add(c->run, " target=\"", 9);
    SN_TRY(sn_ji_put(c->run, target));
    sn_ji_add(c->run, "\"", 1);
    return SN_OK;
}

static SnStatus read_options(SnJiCall *c, Links *l)
{
    SnJiValue text;
    l->is_limited = c->v[0].kind != SN_JI_MISSING;
    l->limit = c->v[0].u.integer;
    if (c->v[4].kind > SN_JI_NONE)
        SN_TRY(sn_ji_items(c->run, c->v[4], &l->scheme));
    for (size_t i = 0; i < l->scheme.n; i++)
        if (l->scheme.at[i].kind != SN_JI_STRING || !is_scheme(l->scheme.at[i]))
            return sn_ji_fail(c->run, "urlize: not a valid URI scheme prefix");
    const SnJiMark outer = sn_ji_begin(c->run);
    SN_TRY(put_rel(c));
    SN_TRY(put_target(c));
    SN_TRY(sn_ji_take(c->run, outer, &text));
    l->attrs = text.u.text;
    return SN_OK;
}

static bool is_blank(uint32_t cp)
{
    return (sn_ji_code_flags(cp) & SN_JI_SPACE) != 0;
}

static bool is_no_blank(uint32_t cp)
{
    return !is_blank(cp);
}

SnStatus sn_ji_urlize(SnJiCall *c, SnJiValue *out)
{
    Links l = {.r = c->run};
    SnJiValue text;
    SN_TRY(read_options(c, &l));
    SN_TRY(sn_ji_escape(c->run, c->self, &text));
    SN_TRY(sn_ji_spend(c->run, 1 + text.u.text.n / 4 * (1 + l.scheme.n)));
    Span s = {text.u.text.at, text.u.text.at + text.u.text.n};
    const SnJiMark outer = sn_ji_begin(c->run);
    while (s.at < s.end) {
        Span word = s;
        (void)run(&s, is_blank);
        put_span(&l, (Span){word.at, s.at});
        word.at = s.at;
        (void)run(&s, is_no_blank);
        word.end = s.at;
        put_word(&l, word);
    }
    return sn_ji_take(c->run, outer, out);
}
