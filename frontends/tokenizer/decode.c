/* decode.c -- the decoder of tokenizer.json: 10 types to the steps of a table.
 *
 * As the reference does, a part without a type is told by its fields. */
#include "frontends/tokenizer/draft.h"

static SnStatus add(SnTokDraft *d, SnDraftDecode s, SnError *err)
{
    SN_CHECK(d->ndecode < SN_COUNT(d->decode), err, SN_EUNSUPPORTED,
             "decoder of more than %zu steps is not supported", SN_COUNT(d->decode));
    SN_CHECK(s.text.n < 1 << 16 &&
                     s.to.n<1 << 16, err, SN_EFORMAT, "decoder: a text of %zu bytes", s.text.n> s.to.n
                 ? s.text.n
                 : s.to.n);
    d->decode[d->ndecode++] = s;
    return SN_OK;
}

static SnStatus read_flag(const SnJson *v, const char *key, bool *out, SnError *err)
{
    SN_CHECK(sn_json_bool(sn_json_get(v, key), out), err, SN_EFORMAT, "decoder: %s is not true or false",
             key);
    return SN_OK;
}

static SnStatus read_text(const SnJson *v, const char *key, SnBytes *out, SnError *err)
{
    SN_CHECK(sn_json_string(sn_json_get(v, key), out), err, SN_EFORMAT, "decoder: %s is not a string", key);
    return SN_OK;
}

static SnStatus read_char(const SnJson *v, const char *key, SnBytes *out, SnError *err)
{
    SN_TRY(read_text(v, key, out, err));
    SN_CHECK(out->n > 0 && sn_utf8_size(*out) == out->n, err, SN_EFORMAT, "decoder: %s is not one character",
             key);
    return SN_OK;
}

static SnStatus read_count(const SnJson *v, const char *key, uint32_t *out, SnError *err)
{
    int64_t i;
    SN_CHECK(sn_json_int(sn_json_get(v, key), &i) && i >= 0 && i < UINT32_MAX, err, SN_EFORMAT,
             "decoder: %s is not a number", key);
    *out = (uint32_t)i;
    return SN_OK;
}

/* ---- types -------------------------------------------------------------------------------------------- */

static SnStatus read_bpe(SnTokDraft *d, const SnJson *v, SnError *err)
{
    SnDraftDecode s = {.step.kind = SN_TOK_DECODE_BPE};
    SN_TRY(read_text(v, "suffix", &s.text, err));
    return add(d, s, err);
}

static SnStatus read_bytes(SnTokDraft *d, const SnJson *v, SnError *err)
{
    (void)v;
    return add(d, (SnDraftDecode){.step.kind = SN_TOK_DECODE_BYTES}, err);
}

static SnStatus read_fuse(SnTokDraft *d, const SnJson *v, SnError *err)
{
    (void)v;
    return add(d, (SnDraftDecode){.step.kind = SN_TOK_DECODE_FUSE}, err);
}

static SnStatus read_fallback(SnTokDraft *d, const SnJson *v, SnError *err)
{
    (void)v;
    return add(d, (SnDraftDecode){.step.kind = SN_TOK_DECODE_FALLBACK}, err);
}

static SnStatus read_wordpiece(SnTokDraft *d, const SnJson *v, SnError *err)
{
    SnDraftDecode s = {.step.kind = SN_TOK_DECODE_WORDPIECE};
    bool cleanup;
    SN_TRY(read_text(v, "prefix", &s.text, err));
    SN_TRY(read_flag(v, "cleanup", &cleanup, err));
    s.step.flags = cleanup ? SN_TOK_DECODE_CLEANUP : 0;
    return add(d, s, err);
}

static SnStatus read_metaspace(SnTokDraft *d, const SnJson *v, SnError *err)
{
    SnDraftDecode s = {.step = {.kind = SN_TOK_DECODE_METASPACE, .flags = SN_TOK_DECODE_PREFIXED}};
    bool adds = true;
    SN_TRY(read_char(v, "replacement", &s.text, err));
    if (sn_json_is(sn_json_get(v, "prepend_scheme"), "never") ||
        (sn_json_bool(sn_json_get(v, "add_prefix_space"), &adds) && !adds))
        s.step.flags = 0;
    return add(d, s, err);
}

static SnStatus read_ctc(SnTokDraft *d, const SnJson *v, SnError *err)
{
    SnDraftDecode s = {.step.kind = SN_TOK_DECODE_CTC};
    bool cleanup;
    SN_TRY(read_text(v, "pad_token", &s.text, err));
    SN_TRY(read_text(v, "word_delimiter_token", &s.to, err));
    SN_TRY(read_flag(v, "cleanup", &cleanup, err));
    s.step.flags = cleanup ? SN_TOK_DECODE_CLEANUP : 0;
    return add(d, s, err);
}

static SnStatus read_replace(SnTokDraft *d, const SnJson *v, SnError *err)
{
    SnDraftDecode s = {.step.kind = SN_TOK_DECODE_REPLACE};
    const SnJson *pattern = sn_json_get(v, "pattern");
    SN_TRY(read_text(v, "content", &s.to, err));
    if (sn_json_get(pattern, "Regex") != NULL) {
        s.step.kind = SN_TOK_DECODE_REPLACE_REGEX;
        SN_TRY(read_text(pattern, "Regex", &s.text, err));
        SN_TRY(sn_draft_add_regex(d, s.text, SN_PATTERN_REGEX, &s.step.at, err));
    } else {
        SN_TRY(read_text(pattern, "String", &s.text, err));
    }
    return add(d, s, err);
}

static SnStatus read_strip(SnTokDraft *d, const SnJson *v, SnError *err)
{
    SnDraftDecode s = {.step.kind = SN_TOK_DECODE_STRIP};
    SN_TRY(read_char(v, "content", &s.text, err));
    SN_TRY(read_count(v, "start", &s.step.begin, err));
    SN_TRY(read_count(v, "stop", &s.step.end, err));
    return add(d, s, err);
}

static SnStatus read_sequence(SnTokDraft *d, const SnJson *v, SnError *err)
{
    const SnJson *part, *all = sn_json_get(v, "decoders");
    SN_CHECK(all != NULL && all->kind == SN_JSON_ARRAY, err, SN_EFORMAT, "decoders is not an array");
    for (uint32_t i = 0; (part = sn_json_at(all, i)) != NULL; i++) {
        SN_CHECK(!sn_json_is_null(part), err, SN_EFORMAT, "decoders: %u is null", i);
        SN_TRY(sn_draft_read_decoder(d, part, err));
    }
    return SN_OK;
}

SnStatus sn_draft_read_decoder(SnTokDraft *d, const SnJson *v, SnError *err)
{
    static const struct {
        const char *type, *field; /* that a part without a type has */
        SnStatus (*read)(SnTokDraft *, const SnJson *, SnError *);
    } types[] = {{"BPEDecoder", "suffix", read_bpe},      {"ByteLevel", NULL, read_bytes},
                 {"WordPiece", "prefix", read_wordpiece}, {"Metaspace", NULL, read_metaspace},
                 {"CTC", "pad_token", read_ctc},          {"Sequence", NULL, read_sequence},
                 {"Replace", "pattern", read_replace},    {"Fuse", NULL, read_fuse},
                 {"Strip", "start", read_strip},          {"ByteFallback", NULL, read_fallback}};
    if (sn_json_is_null(v))
        return add(d, (SnDraftDecode){.step.kind = SN_TOK_DECODE_JOIN}, err);
    const SnJson *type = sn_json_get(v, "type");
    SnBytes name = sn_bytes_str("without a type");
    (void)sn_json_string(type, &name);
    for (size_t i = 0; i < SN_COUNT(types); i++)
        if (sn_json_is(type, types[i].type) ||
            (type == NULL && types[i].field != NULL && sn_json_get(v, types[i].field) != NULL))
            return types[i].read(d, v, err);
    return sn_fail(err, SN_EUNSUPPORTED, "decoder %.*s is not supported", name.n < 100 ? (int)name.n : 100,
                   (const char *)name.at);
}

/* ---- growth ------------------------------------------------------------------------------------------- */

double sn_draft_decode_growth(const SnTokDraft *d)
{
    double all = 1;
    for (uint32_t i = 0; i < d->ndecode; i++) {
        const SnDraftDecode *s = &d->decode[i];
        const double from = (double)s->text.n, to = (double)s->to.n;
        if (s->step.kind == SN_TOK_DECODE_BYTES)
            all *= 1.5; /* two bytes that are no character become three */
        else if (s->step.kind == SN_TOK_DECODE_CTC)
            all *= 4; /* work room, and spaces where the delimiter is empty */
        else if (s->step.kind == SN_TOK_DECODE_BPE && from == 0)
            all *= 3;
        else if (s->step.kind == SN_TOK_DECODE_REPLACE_REGEX)
            all *= 1 + 2 * to;
        else if (s->step.kind == SN_TOK_DECODE_REPLACE)
            all *= from == 0 ? 1 + 2 * to : to > from ? to / from : 1;
    }
    return all;
}
