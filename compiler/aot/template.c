/* template.c -- reads and prints templates. */
#include "compiler/aot/template.h"
#include "compiler/aot/link.h"

static const char *const row_name[SN_ROW_COUNT] = {
    [SN_FACE_NONE] = "none",
    [SN_FACE_STATUS] = "status",
    [SN_FACE_STRING] = "string",
    [SN_FACE_HOST] = "host",
    [SN_FACE_CONTEXT] = "context",
    [SN_FACE_NEW] = "new",
    [SN_FACE_TEXT] = "text",
    [SN_FACE_NAME] = "name",
    [SN_FACE_SIZE] = "size",
    [SN_FACE_SIZE_OUT] = "size_out",
    [SN_FACE_SIZE_INOUT] = "size_inout",
    [SN_FACE_INDEX] = "index",
    [SN_FACE_TIME] = "time",
    [SN_FACE_NUMBERS] = "numbers",
    [SN_FACE_SPANS] = "spans",
    [SN_FACE_SPAN] = "span",
    [SN_FACE_WORDS] = "words",
    [SN_FACE_VIEW] = "view",
    [SN_FACE_VIEW_OUT] = "view_out",
    [SN_FACE_BYTES] = "bytes",
    [SN_FACE_BYTES_OUT] = "bytes_out",
    [SN_FACE_LENT] = "lent",
    [SN_FACE_SINK] = "sink",
    [SN_FACE_USER] = "user",
    [SN_ROW_COMMENT] = "comment",
    [SN_ROW_DESC] = "desc",
};

static const struct {
    const char *name;
    uint32_t when;
} conditions[] = {
    {"TENSORS", SN_FOR(TENSORS)}, {"EMBED", SN_FOR(EMBED)},   {"CLASSIFY", SN_FOR(CLASSIFY)},
    {"TAG", SN_FOR(TAG)},         {"ANSWER", SN_FOR(ANSWER)}, {"FILL", SN_FOR(FILL)},
    {"CHAT", SN_FOR(CHAT)},       {"TRAIN", SN_FOR(TRAIN)},   {"DATA", SN_FOR_DATA},
    {"TEXT", SN_FOR_TEXT},        {"SINGLE", SN_IF_SINGLE},   {"PAIR", SN_IF_PAIR},
    {"LABELS", SN_IF_LABELS},     {"BLOCK", SN_IF_BLOCK},     {"FEW", SN_IF_FEW},
    {"FUNCTIONS", SN_FOR_EACH},
};

/* ---- reading ---- */

typedef struct Reader {
    SnTemplate *t;
    uint32_t line, when;
    uint32_t rows; /* that were read, as a set */
    SnError *err;
} Reader;

static SnStatus wrong(const Reader *r, const char *what, SnBytes at)
{
    return sn_fail(r->err, SN_EINTERNAL, "%s, line %u: %s \"%.*s\"", r->t->name, r->line, what, (int)at.n,
                   (const char *)at.at);
}

/* Takes what comes before a space off a line, and the spaces. */
static SnBytes take_word(SnBytes *line)
{
    const uint8_t *at = line->at;
    size_t n = 0;
    while (n < line->n && at[n] != ' ')
        n++;
    size_t next = n;
    while (next < line->n && at[next] == ' ')
        next++;
    *line = sn_bytes(at + next, line->n - next);
    return sn_bytes(at, n);
}

static SnStatus check_facts(const Reader *r, SnBytes text, bool is_of_function)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.at[i] != '$')
            continue;
        const SnBytes at = sn_bytes(text.at + i, i + 1 < text.n ? 2 : 1);
        const SnFact *f = at.n == 2 ? sn_fact((char)at.at[1]) : NULL;
        if (!f)
            return wrong(r, "no fact", at);
        if (f->is_of_function && !is_of_function)
            return wrong(r, "not for each function:", at);
        if (f->rows & ~r->rows)
            return wrong(r, "no row yet for", at);
        i++;
    }
    return SN_OK;
}

static SnStatus read_row(Reader *r, SnBytes word, SnBytes rest)
{
    const uint32_t name = (uint32_t)SN_FIND_WORD(row_name, word);
    if (name == SN_ROW_COUNT)
        return wrong(r, "no type", word);
    if (rest.n < 2 || rest.at[0] != '"' || rest.at[rest.n - 1] != '"')
        return wrong(r, "expected text in quotes:", rest);
    const SnBytes text = sn_bytes(rest.at + 1, rest.n - 2);
    SN_TRY(check_facts(r, text, false));
    r->rows |= 1u << name;
    r->t->row[r->t->nrow++] = (SnTemplateRow){name, text};
    return SN_OK;
}

static SnStatus read_conditions(Reader *r, SnBytes line)
{
    r->when = 0;
    while (line.n) {
        const SnBytes word = take_word(&line);
        const size_t i = SN_FIND_ROW(conditions, name, word);
        if (i == SN_COUNT(conditions))
            return wrong(r, "no condition", word);
        r->when |= conditions[i].when;
    }
    return SN_OK;
}

static SnStatus read_ours(Reader *r, SnBytes line)
{
    if (line.n && line.at[0] != ' ')
        return wrong(r, "expected a space after @@:", line);
    (void)take_word(&line);
    SnBytes rest = line;
    const SnBytes word = take_word(&rest);
    if (sn_bytes_is(word, "--"))
        return SN_OK;
    return word.n && word.at[0] >= 'a' && word.at[0] <= 'z' ? read_row(r, word, rest)
                                                            : read_conditions(r, line);
}

static SnStatus read_text(Reader *r, SnBytes line)
{
    SnTemplate *t = r->t;
    SnTemplatePiece *last = t->npiece ? &t->piece[t->npiece - 1] : NULL;
    SN_TRY(check_facts(r, line, r->when & SN_FOR_EACH));
    if (last && last->text.at + last->text.n == line.at)
        last->text.n += line.n;
    else
        t->piece[t->npiece++] = (SnTemplatePiece){.when = r->when, .nrow = t->nrow, .text = line};
    return SN_OK;
}

SnStatus sn_template_read(SnArena *arena, const char *name, SnBytes text, SnTemplate *out, SnError *err)
{
    Reader r = {.t = out, .err = err};
    size_t nline = 1, n;
    for (size_t i = 0; i < text.n; i++)
        nline += text.at[i] == '\n';
    *out = (SnTemplate){.name = name,
                        .row = sn_arena_array(arena, nline, sizeof *out->row),
                        .piece = sn_arena_array(arena, nline, sizeof *out->piece)};
    SN_CHECK(out->row && out->piece, err, SN_ENOMEM, "emit: no memory for %s", name);
    for (size_t at = 0; at < text.n; at += n) {
        const uint8_t *line = text.at + at, *end = memchr(line, '\n', text.n - at);
        n = end ? (size_t)(end - line) + 1 : text.n - at;
        r.line++;
        SN_TRY(n >= 2 && memcmp(line, "@@", 2) == 0 ? read_ours(&r, sn_bytes(line + 2, n - 2 - (end != NULL)))
                                                    : read_text(&r, sn_bytes(line, n)));
    }
    return SN_OK;
}

/* ---- printing ---- */

SnBytes sn_printer_row(const SnPrinter *p, uint32_t name)
{
    uint32_t i = p->piece->nrow;
    while (i > 0 && p->t->row[i - 1].name != name)
        i--;
    return i > 0 ? p->t->row[i - 1].text : sn_bytes(NULL, 0);
}

void sn_printer_put(const SnPrinter *p, SnBytes text)
{
    const char *s = (const char *)text.at;
    for (size_t i = 0, from = 0; i < text.n; from = i) {
        while (i < text.n && s[i] != '$' && !(s[i] == '@' && p->parameter))
            i++;
        sn_text_add(p->out, s + from, i - from);
        if (i < text.n && s[i] == '@') {
            sn_text_add(p->out, p->parameter, strlen(p->parameter));
            i++;
        } else if (i < text.n) {
            sn_fact(s[i + 1])->put(p);
            i += 2;
        }
    }
}

static void put_functions(SnPrinter *p)
{
    for (p->face = sn_faces; p->face->suffix; p->face++)
        if (sn_face_applies(p->a, p->face->when))
            sn_printer_put(p, p->piece->text);
}

void sn_template_put(const SnTemplate *t, const SnAot *a, SnText *out)
{
    SnPrinter p = {.a = a, .t = t, .piece = t->piece, .out = out};
    for (; p.piece < t->piece + t->npiece; p.piece++) {
        if (!sn_face_applies(a, p.piece->when))
            continue;
        if (p.piece->when & SN_FOR_EACH)
            put_functions(&p);
        else
            sn_printer_put(&p, p.piece->text);
    }
}

SnStatus sn_template_print(const SnAot *a, const char *name, SnText *out, SnError *err)
{
    SnTemplate t;
    const SnEmbedded *f = sn_embedded_template;
    while (f->name && strcmp(f->name, name) != 0)
        f++;
    SN_CHECK(f->name, err, SN_EINTERNAL, "emit: there is no template %s", name);
    SN_TRY(sn_template_read(a->arena, name, sn_bytes(f->at, (size_t)f->size), &t, err));
    sn_template_put(&t, a, out);
    SN_CHECK(!out->failed, err, SN_ENOMEM, "emit: no memory for text by %s", name);
    return SN_OK;
}
