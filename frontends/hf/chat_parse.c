/* chat_parse.c -- what an assistant wrote, as a message: thoughts, tool calls and content, as parse_response
 * of Transformers 5.23 (utils/chat_parsing) finds them by a response template.
 *
 * Fields are regions of the text that begin and end at marks; one of them may take what is in none. The text
 * is the end of the prompt, from where the assistant's message begins, and what was generated. */
#include "frontends/hf/chat_parse.h"

#include "frontends/tokenizer/regex.h"

#define MOST_FIELDS   64
#define MOST_LITERALS 64

typedef struct Field {
    const char *name;
    const SnRegex *open, *close; /* or NULL */
    const SnJson *content, *args, *join, *transform;
    bool repeats, is_required, is_each;
} Field;

typedef struct Parse {
    SnArena *a;
    SnError *err;
    const SnJson *spec, *tools;
    Field field[MOST_FIELDS];
    uint32_t nfield, implicit; /* implicit MOST_FIELDS: none */
    SnBytes text;
    uint32_t current; /* the field whose region this is, or MOST_FIELDS */
    bool is_open;
    size_t at, begin;               /* up to where the text is read; where the region begins */
    SnJson scope[2 * SN_RE_GROUPS]; /* what its marks captured */
    uint32_t nscope;
    SnJson *out; /* an object with room for all */
} Parse;

static SnStatus no_memory(const Parse *p)
{
    return sn_fail(p->err, SN_ENOMEM, "no memory for a message");
}

static const char *shown(const Parse *p, SnBytes s)
{
    const char *own = sn_arena_strndup(p->a, s.n ? (const char *)s.at : "", s.n < 80 ? s.n : 80);
    return own ? own : "";
}

static const SnJson *given(const SnJson *object, const char *key)
{
    const SnJson *v = sn_json_get(object, key);
    return sn_json_is_null(v) ? NULL : v;
}

/* ---- templates ---- */

static void put_literal(SnText *t, SnBytes s)
{
    for (size_t i = 0; i < s.n; i++) {
        sn_text_add(t, "\\", s.at[i] && strchr("\\^$.|?*+()[]{}", s.at[i]) != NULL);
        sn_text_add(t, (const char *)s.at + i, 1);
    }
}

/* A string, or some of them: the longest that stands there. */
static SnStatus read_literals(Parse *p, const char *scope, const SnJson *v, const char *key, SnText *out)
{
    SnBytes all[MOST_LITERALS];
    const uint32_t n = v->kind == SN_JSON_ARRAY ? v->n : 1;
    SN_CHECK(v->kind == SN_JSON_STRING || v->kind == SN_JSON_ARRAY, p->err, SN_EFORMAT,
             "%s: '%s' must be a string or list of strings", scope, key);
    SN_CHECK(n >= 1 && n <= MOST_LITERALS, p->err, SN_EFORMAT,
             "%s: '%s' list must contain at least one literal, and at most %d", scope, key, MOST_LITERALS);
    for (uint32_t i = 0; i < n; i++) {
        SnBytes s;
        SN_CHECK(sn_json_string(v->kind == SN_JSON_ARRAY ? &v->u.child[i] : v, &s), p->err, SN_EFORMAT,
                 "%s: '%s' list must contain only strings", scope, key);
        SN_CHECK(s.n, p->err, SN_EFORMAT, "%s: '%s' literals cannot be empty strings", scope, key);
        uint32_t k = i;
        for (; k > 0 && all[k - 1].n < s.n; k--)
            all[k] = all[k - 1];
        all[k] = s;
    }
    for (uint32_t i = 0; i < n; i++) {
        sn_text_add(out, "|", i > 0);
        put_literal(out, all[i]);
    }
    return out->failed ? no_memory(p) : SN_OK;
}

static SnStatus read_mark(Parse *p, const char *scope, const SnJson *spec, const char *literal,
                          const char *pattern, const SnRegex **out)
{
    const SnJson *as_text = sn_json_get(spec, literal), *as_pattern = sn_json_get(spec, pattern);
    SnText t = {.memory = p->a->memory};
    SnBytes s = {0};
    SN_CHECK(!as_text || !as_pattern, p->err, SN_EFORMAT, "%s: cannot specify both '%s' and '%s'", scope,
             literal, pattern);
    if (!as_text && !as_pattern)
        return SN_OK;
    SnStatus st = as_text ? read_literals(p, scope, as_text, literal, &t) : SN_OK;
    if (as_text && st == SN_OK) {
        const char *own = sn_arena_strndup(p->a, t.at, t.n);
        s = sn_bytes(own, own ? t.n : 0);
        st = own ? SN_OK : no_memory(p);
    } else if (as_pattern && !sn_json_string(as_pattern, &s)) {
        st = sn_fail(p->err, SN_EFORMAT, "%s: %s is no string", scope, pattern);
    }
    sn_text_clear(&t);
    SnRegex *r = NULL;
    SnError err = {0};
    if (st == SN_OK && (st = sn_regex_compile(p->a, s, &r, &err)) != SN_OK)
        st = sn_fail(p->err, st, "%s: invalid %s regex: %s", scope, pattern, err.message);
    *out = r;
    return st;
}

static SnStatus check_keys(const Parse *p, const SnJson *object, const char *const *known, size_t n,
                           const char *message)
{
    for (uint32_t i = 0; i < object->n; i++) {
        bool is_known = false;
        for (size_t k = 0; k < n; k++)
            is_known = is_known || sn_bytes_is(object->u.child[i].key, known[k]);
        SN_CHECK(is_known, p->err, SN_EFORMAT, "%s ['%s']", message, shown(p, object->u.child[i].key));
    }
    return SN_OK;
}

static SnStatus check_captures(const Parse *p, const char *scope, const Field *f)
{
    const SnBytes *name;
    const SnRegex *mark[] = {f->open, f->close};
    for (size_t i = 0; i < SN_COUNT(mark); i++)
        SN_CHECK(f->transform || !mark[i] || !sn_regex_names(mark[i], &name), p->err, SN_EFORMAT,
                 "%s: open_pattern/close_pattern declares named group(s), but the field has no 'transform'",
                 scope);
    return SN_OK;
}

static SnStatus read_field(Parse *p, const SnJson *spec, Field *f)
{
    static const char *const known[] = {"open",     "open_pattern", "close",         "close_pattern",
                                        "content",  "content_args", "repeats",       "join",
                                        "optional", "transform",    "transform_each"};
    const char *scope = sn_arena_printf(p->a, "Field '%.*s'", (int)spec->key.n, (const char *)spec->key.at);
    f->name = sn_arena_strndup(p->a, (const char *)spec->key.at, spec->key.n);
    if (!scope || !f->name)
        return no_memory(p);
    SN_CHECK(spec->kind == SN_JSON_OBJECT, p->err, SN_EFORMAT, "%s must be a dict", scope);
    SN_TRY(check_keys(p, spec, known, SN_COUNT(known), sn_arena_printf(p->a, "%s: unknown keys", scope)));
    const SnJson *each = sn_json_get(spec, "transform_each");
    f->content = sn_json_get(spec, "content");
    SN_CHECK(!f->content || sn_chat_content(f->content), p->err, SN_EFORMAT, "%s: unknown content parser",
             scope);
    SN_TRY(read_mark(p, scope, spec, "open", "open_pattern", &f->open));
    SN_TRY(read_mark(p, scope, spec, "close", "close_pattern", &f->close));
    f->args = sn_json_get(spec, "content_args");
    f->repeats = sn_json_bool_of(spec, "repeats", false);
    f->is_required = !sn_json_bool_of(spec, "optional", true);
    f->join = given(spec, "join");
    f->transform = given(spec, "transform");
    f->is_each = sn_json_bool_of(spec, "transform_each", false);
    SN_CHECK(!f->join || f->join->kind == SN_JSON_STRING, p->err, SN_EFORMAT, "%s: 'join' must be a string",
             scope);
    SN_CHECK(!f->join || f->repeats, p->err, SN_EFORMAT, "%s: 'join' requires 'repeats': true", scope);
    SN_CHECK(!each || each->kind == SN_JSON_BOOL, p->err, SN_EFORMAT, "%s: transform_each must be a bool",
             scope);
    SN_CHECK(!f->is_each || f->transform, p->err, SN_EFORMAT,
             "%s: transform_each is set but no transform was provided", scope);
    SN_TRY(f->transform ? sn_chat_check_transform(p->a, f->name, f->transform, p->err) : SN_OK);
    return check_captures(p, scope, f);
}

static SnStatus read_template(Parse *p, const SnRegex **anchor)
{
    static const char *const known[] = {"version", "defaults", "fields", "start_anchor",
                                        "start_anchor_pattern"};
    const SnJson *fields = sn_json_get(p->spec, "fields"), *defaults = sn_json_get(p->spec, "defaults");
    int64_t version = 1;
    SN_CHECK(p->spec->kind == SN_JSON_OBJECT, p->err, SN_EFORMAT, "response_template must be a dict");
    (void)sn_json_int(sn_json_get(p->spec, "version"), &version);
    SN_CHECK(version == 1, p->err, SN_EFORMAT, "Unsupported response_template version: %lld",
             (long long)version);
    SN_TRY(check_keys(p, p->spec, known, SN_COUNT(known), "Unknown keys in response_template:"));
    SN_CHECK(!defaults || defaults->kind == SN_JSON_OBJECT, p->err, SN_EFORMAT,
             "response_template.defaults must be a dict");
    SN_CHECK(fields && fields->kind == SN_JSON_OBJECT && fields->n && fields->n <= MOST_FIELDS, p->err,
             SN_EFORMAT, "response_template.fields must be a non-empty dict");
    p->implicit = MOST_FIELDS;
    for (uint32_t i = 0; i < fields->n; i++) {
        SN_TRY(read_field(p, &fields->u.child[i], &p->field[i]));
        if (p->field[i].open)
            continue;
        SN_CHECK(p->implicit == MOST_FIELDS, p->err, SN_EFORMAT,
                 "At most one field may omit 'open'/'open_pattern' (that field becomes the implicit-open / "
                 "leftover "
                 "sink). Found: %s, %s",
                 p->field[p->implicit].name, p->field[i].name);
        p->implicit = i;
    }
    p->nfield = fields->n;
    SN_TRY(read_mark(p, "response_template", p->spec, "start_anchor", "start_anchor_pattern", anchor));
    SN_CHECK(*anchor, p->err, SN_EFORMAT,
             "response_template must define 'start_anchor' or 'start_anchor_pattern'.");
    return SN_OK;
}

/* ---- the message ---- */

static bool is_empty(const SnJson *v)
{
    return v->kind == SN_JSON_NULL || (v->kind == SN_JSON_STRING && !v->u.string.n) ||
           ((v->kind == SN_JSON_ARRAY || v->kind == SN_JSON_OBJECT) && !v->n);
}

static SnJson *find_output(const Parse *p, const char *name)
{
    for (uint32_t i = 0; i < p->out->n; i++)
        if (sn_bytes_is(p->out->u.child[i].key, name))
            return &p->out->u.child[i];
    return NULL;
}

/* Arrays grow when their number of elements is a power of two. */
static SnStatus append(const Parse *p, SnJson *list, const SnJson *v)
{
    SnJson *child = list->u.child;
    if ((list->n & (list->n - 1)) == 0) {
        child = sn_arena_array(p->a, list->n ? 2 * (size_t)list->n : 1, sizeof *child);
        if (!child)
            return no_memory(p);
        if (list->n)
            memcpy(child, list->u.child, list->n * sizeof *child);
        list->u.child = child;
    }
    child[list->n++] = *v;
    return SN_OK;
}

static SnStatus join(const Parse *p, const Field *f, SnJson *to, const SnJson *v, bool is_first)
{
    SnBytes old, more, by = f->join->u.string;
    SN_CHECK(sn_json_string(v, &more), p->err, SN_EINVAL,
             "Field '%s': 'join' requires each match to parse to a string", f->name);
    if (is_first || !sn_json_string(to, &old)) {
        to->kind = SN_JSON_STRING;
        to->u.string = more;
        return SN_OK;
    }
    uint8_t *all = sn_arena_alloc(p->a, old.n + by.n + more.n + 1);
    if (!all)
        return no_memory(p);
    memcpy(all, old.at, old.n);
    memcpy(all + old.n, by.at, by.n);
    memcpy(all + old.n + by.n, more.at, more.n);
    to->u.string = sn_bytes(all, old.n + by.n + more.n);
    return SN_OK;
}

/* What a region gives goes to its field. */
static SnStatus put_value(const Parse *p, const Field *f, SnJson *v)
{
    SnJson *to = find_output(p, f->name);
    const bool is_first = !to;
    if (!to) {
        to = &p->out->u.child[p->out->n++];
        *to = (SnJson){.kind = SN_JSON_NULL, .key = sn_bytes_str(f->name)};
    }
    if (f->join)
        return join(p, f, to, v, is_first);
    if (!f->repeats) {
        v->key = to->key;
        *to = *v;
        return SN_OK;
    }
    if (is_first)
        *to = (SnJson){.kind = SN_JSON_ARRAY, .key = to->key};
    SN_CHECK(to->kind == SN_JSON_ARRAY, p->err, SN_EINVAL, "Field '%s' repeats, and is no list", f->name);
    return append(p, to, v);
}

/* ---- regions ---- */

static SnStatus close_region(Parse *p, size_t end)
{
    SnJson v;
    if (p->current < MOST_FIELDS && p->is_open) {
        const Field *f = &p->field[p->current];
        const SnChatRegion r = {.field = f->name,
                                .content = f->content,
                                .args = f->args,
                                .transform = f->transform,
                                .is_each = f->is_each,
                                .scope = p->scope,
                                .nscope = p->nscope,
                                .tools = p->tools};
        SN_TRY(sn_chat_value(p->a, &r, sn_bytes(p->text.at + p->begin, end - p->begin), &v, p->err));
        SN_TRY(put_value(p, f, &v));
    }
    p->current = p->implicit;
    p->is_open = false;
    p->nscope = 0;
    return SN_OK;
}

/* Text up to `end` is the region's; that of no field is nobody's. */
static void read_to(Parse *p, size_t end)
{
    if (end > p->at && !p->is_open) {
        p->is_open = p->current < MOST_FIELDS;
        p->begin = p->at;
    }
}

typedef struct Found {
    uint32_t field; /* MOST_FIELDS: nothing */
    bool closes;
    SnRegexMatch match;
} Found;

/* The first one; of those that begin there the longest, opening ones first, by name. */
static bool is_before(const Parse *p, const SnRegexMatch *m, uint32_t field, bool closes, const Found *best)
{
    if (best->field == MOST_FIELDS || m->begin != best->match.begin)
        return best->field == MOST_FIELDS || m->begin < best->match.begin;
    if (m->end != best->match.end || closes != best->closes)
        return m->end != best->match.end ? m->end > best->match.end : best->closes;
    return strcmp(p->field[field].name, p->field[best->field].name) < 0;
}

static SnStatus look_for(Parse *p, uint32_t field, bool closes, Found *best)
{
    const SnRegex *mark = closes ? p->field[field].close : p->field[field].open;
    SnRegexMatch m;
    bool found = false;
    if (!mark)
        return SN_OK;
    SN_TRY(sn_regex_search(p->a, mark, p->text, p->at, &m, &found, p->err));
    if (found && is_before(p, &m, field, closes, best))
        *best = (Found){field, closes, m};
    return SN_OK;
}

/* In the region of a field its end alone counts. */
static SnStatus find_mark(Parse *p, Found *best)
{
    *best = (Found){.field = MOST_FIELDS};
    if (p->current != p->implicit)
        return look_for(p, p->current, true, best);
    for (uint32_t i = 0; i < p->nfield; i++)
        SN_TRY(look_for(p, i, false, best));
    return p->implicit < MOST_FIELDS ? look_for(p, p->implicit, true, best) : SN_OK;
}

static void open_region(Parse *p, const Found *at)
{
    const SnBytes *name;
    const uint32_t n = sn_regex_names(p->field[at->field].open, &name);
    p->current = at->field;
    p->is_open = true;
    p->begin = at->match.end;
    for (uint32_t i = 0; i < n; i++) {
        const size_t begin = at->match.group[i].begin, end = at->match.group[i].end;
        if (end >= begin)
            p->scope[p->nscope++] = (SnJson){.kind = SN_JSON_STRING,
                                             .key = name[i],
                                             .u.string = sn_bytes(p->text.at + begin, end - begin)};
    }
}

static SnStatus read_regions(Parse *p)
{
    for (;;) {
        Found at;
        SN_TRY(find_mark(p, &at));
        const bool is_end = at.field == MOST_FIELDS;
        const size_t end = is_end ? p->text.n : at.match.begin;
        read_to(p, end);
        const bool had_content = p->is_open;
        SN_TRY(close_region(p, end));
        p->at = is_end ? end : at.match.end;
        if (is_end || (at.closes && !had_content && at.match.begin == at.match.end))
            return SN_OK;
        if (!at.closes)
            open_region(p, &at);
    }
}

/* ---- all of it ---- */

/* From where the assistant's message begins in the prompt. */
static SnStatus set_text(Parse *p, const SnRegex *anchor, SnBytes prefix, SnBytes text)
{
    SnRegexMatch m;
    bool found = true;
    size_t from = 0, begin = 0;
    while (found && from <= prefix.n) {
        SN_TRY(sn_regex_search(p->a, anchor, prefix, from, &m, &found, p->err));
        if (found) {
            begin = m.end;
            from = m.end > m.begin ? m.end : m.end + 1;
        }
    }
    uint8_t *all = sn_arena_alloc(p->a, prefix.n - begin + text.n + 1);
    if (!all)
        return no_memory(p);
    if (prefix.n > begin)
        memcpy(all, prefix.at + begin, prefix.n - begin);
    if (text.n)
        memcpy(all + prefix.n - begin, text.at, text.n);
    p->text = sn_bytes(all, prefix.n - begin + text.n);
    return SN_OK;
}

static SnStatus begin_output(Parse *p)
{
    const SnJson *defaults = sn_json_get(p->spec, "defaults");
    const uint32_t n = defaults ? defaults->n : 0;
    *p->out = (SnJson){.kind = SN_JSON_OBJECT, .n = n};
    p->out->u.child = sn_arena_array(p->a, (size_t)n + p->nfield, sizeof *p->out->u.child);
    if (!p->out->u.child)
        return no_memory(p);
    for (uint32_t i = 0; i < n; i++)
        p->out->u.child[i] = defaults->u.child[i];
    return SN_OK;
}

/* What is empty is left out, unless it has a default. */
static SnStatus end_output(Parse *p)
{
    const SnJson *defaults = sn_json_get(p->spec, "defaults");
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->nfield; i++)
        SN_CHECK(!p->field[i].is_required || find_output(p, p->field[i].name), p->err, SN_EINVAL,
                 "Required response_template fields missing from parsed output: ['%s']", p->field[i].name);
    for (uint32_t i = 0; i < p->out->n; i++)
        if (i < (defaults ? defaults->n : 0) || !is_empty(&p->out->u.child[i]))
            p->out->u.child[n++] = p->out->u.child[i];
    p->out->n = n;
    return SN_OK;
}

SnStatus sn_chat_parse(SnArena *a, const SnJson *schema, SnBytes prefix, SnBytes text, const SnJson *tools,
                       SnJson *out, SnError *err)
{
    const SnRegex *anchor = NULL;
    Parse *p = sn_arena_alloc(a, sizeof *p);
    SN_CHECK(p, err, SN_ENOMEM, "no memory for a message");
    *p = (Parse){.a = a, .err = err, .spec = schema, .tools = tools, .out = out};
    SN_TRY(read_template(p, &anchor));
    SN_TRY(begin_output(p));
    SN_TRY(set_text(p, anchor, prefix, text));
    p->current = p->implicit;
    SN_TRY(read_regions(p));
    return end_output(p);
}
