/* split.c -- the pre-tokenizer of tokenizer.json to steps that cut text. */
#include "frontends/tokenizer/read.h"
#include "ops/host/unicode.h"

static const char behaviors[] = "Removed Isolated MergedWithPrevious MergedWithNext Contiguous";
static const char gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static SnStatus add(SnTokDraft *d, SnTokSplit step, SnError *err)
{
    SN_CHECK(!(d->model_flags & SN_TOK_BYTE_LEVEL), err, SN_EUNSUPPORTED,
             "pre-tokenizer behind ByteLevel is not supported");
    SN_CHECK(d->nsplit < SN_TOK_STEPS, err, SN_EUNSUPPORTED,
             "pre-tokenizer of more than %u steps is not supported", SN_TOK_STEPS);
    d->split[d->nsplit++] = step;
    return SN_OK;
}

static SnStatus add_split(SnTokDraft *d, uint32_t flags, uint32_t code_point, uint32_t behavior, SnError *err)
{
    return add(d, (SnTokSplit){.flags = flags, .code_point = code_point, .behavior = behavior}, err);
}

static SnStatus add_regex(SnTokDraft *d, SnBytes pattern, SnPatternKind kind, uint32_t behavior, bool inverts,
                          SnError *err)
{
    SnTokSplit s = {
        .kind = SN_SPLIT_REGEX, .code_point = SN_TOK_NONE, .behavior = behavior, .inverts = inverts};
    SN_TRY(sn_draft_add_regex(d, pattern, kind, &s.arg, err));
    return add(d, s, err);
}

/* The sign that parts get: one character. */
static SnStatus add_sign(SnTokDraft *d, SnBytes sign, uint32_t how, SnError *err)
{
    SN_CHECK(d->sign.n == 0, err, SN_EUNSUPPORTED,
             "pre-tokenizer that puts in spaces twice is not supported");
    SN_CHECK(sign.n > 0 && sn_utf8_valid(sign) && sn_utf8_size(sign) == sign.n, err, SN_EFORMAT,
             "replacement is not one character");
    d->sign = sign;
    return add(d, (SnTokSplit){.kind = SN_SPLIT_SIGN, .code_point = SN_TOK_NONE, .arg = how}, err);
}

static SnStatus read_punctuation(SnTokDraft *d, const SnJson *v, SnError *err)
{
    uint32_t behavior = SN_SPLIT_ISOLATED;
    if (sn_json_get(v, "behavior") != NULL)
        SN_TRY(read_choice(v, "behavior", behaviors, &behavior, err));
    return add_split(d, SN_CP_PUNCT, SN_TOK_NONE, behavior, err);
}

static SnStatus read_digits(SnTokDraft *d, const SnJson *v, SnError *err)
{
    bool single;
    SN_TRY(read_bool(v, "individual_digits", &single, err));
    return add_split(d, SN_CP_NUMERIC, SN_TOK_NONE, single ? SN_SPLIT_ISOLATED : SN_SPLIT_CONTIGUOUS, err);
}

static SnStatus read_delimiter(SnTokDraft *d, const SnJson *v, SnError *err)
{
    SnBytes s;
    SN_TRY(read_string(v, "delimiter", &s, err));
    SnReader r = sn_reader(s);
    const uint32_t cp = sn_read_utf8(&r);
    SN_CHECK(!r.bad && r.left == 0 && cp != SN_UTF8_BAD, err, SN_EFORMAT, "delimiter is not one character");
    return add_split(d, 0, cp, SN_SPLIT_REMOVED, err);
}

/* Words stay as they are, and the model takes their bytes. */
static SnStatus read_byte_level(SnTokDraft *d, const SnJson *v, SnError *err)
{
    bool prefix, regex = true;
    SN_CHECK(d->kind == SN_TOK_BPE, err, SN_EUNSUPPORTED,
             "pre-tokenizer ByteLevel with another model than BPE is not supported");
    SN_CHECK(!(d->model_flags & SN_TOK_BYTE_FALLBACK), err, SN_EUNSUPPORTED,
             "pre-tokenizer ByteLevel with byte_fallback is not supported");
    SN_TRY(read_bool(v, "add_prefix_space", &prefix, err));
    if (sn_json_get(v, "use_regex") != NULL)
        SN_TRY(read_bool(v, "use_regex", &regex, err));
    if (prefix)
        SN_TRY(add_sign(d, sn_bytes_str(" "), SN_SIGN_PREPENDS, err));
    if (regex)
        SN_TRY(add_regex(d, sn_bytes_str(gpt2), SN_PATTERN_SPLIT, SN_SPLIT_ISOLATED, false, err));
    d->model_flags |= SN_TOK_BYTE_LEVEL;
    return SN_OK;
}

static SnStatus read_metaspace(SnTokDraft *d, const SnJson *v, SnError *err)
{
    SnBytes sign;
    uint32_t scheme = 0;
    bool splits = true, prefix = true;
    SN_TRY(read_string(v, "replacement", &sign, err));
    if (!sn_json_is_null(sn_json_get(v, "prepend_scheme")))
        SN_TRY(read_choice(v, "prepend_scheme", "always first never", &scheme, err));
    if (!sn_json_is_null(sn_json_get(v, "add_prefix_space")))
        SN_TRY(read_bool(v, "add_prefix_space", &prefix, err));
    if (!sn_json_is_null(sn_json_get(v, "split")))
        SN_TRY(read_bool(v, "split", &splits, err));
    SN_CHECK(prefix || scheme == 2, err, SN_EFORMAT, "add_prefix_space does not go with prepend_scheme");
    SN_TRY(add_sign(
        d, sign, SN_SIGN_REPLACES | (scheme < 2 ? SN_SIGN_PREPENDS : 0) | (scheme == 1 ? SN_SIGN_FIRST : 0),
        err));
    SnReader r = sn_reader(sign);
    return splits ? add_split(d, 0, sn_read_utf8(&r), SN_SPLIT_WITH_NEXT, err) : SN_OK;
}

static SnStatus read_split(SnTokDraft *d, const SnJson *v, SnError *err)
{
    const SnJson *pattern = sn_json_get(v, "pattern");
    SnBytes text;
    uint32_t behavior;
    bool inverts;
    SN_TRY(read_choice(v, "behavior", behaviors, &behavior, err));
    SN_TRY(read_bool(v, "invert", &inverts, err));
    const bool is_literal = sn_json_string(sn_json_get(pattern, "String"), &text);
    if (!is_literal)
        SN_TRY(read_string(pattern, "Regex", &text, err));
    return add_regex(d, text, is_literal ? SN_PATTERN_TEXT : SN_PATTERN_SPLIT, behavior, inverts, err);
}

static SnStatus read_scripts(SnTokDraft *d, const SnJson *v, SnError *err)
{
    (void)v;
    return add_regex(d, sn_bytes_str(""), SN_PATTERN_SCRIPTS, SN_SPLIT_REMOVED, true, err);
}

static SnStatus read_fixed(SnTokDraft *d, const SnJson *v, SnError *err)
{
    SnTokSplit s = {.kind = SN_SPLIT_FIXED, .code_point = SN_TOK_NONE, .behavior = SN_SPLIT_ISOLATED};
    SN_TRY(read_u32(v, "length", &s.arg, err));
    SN_CHECK(s.arg > 0, err, SN_EFORMAT, "length is 0");
    return add(d, s, err);
}

static SnStatus read_spaces(SnTokDraft *d, const SnJson *v, SnError *err)
{
    SN_TRY(add_split(d, SN_CP_SPACE, SN_TOK_NONE, SN_SPLIT_REMOVED, err));
    if (is_type(v, "BertPreTokenizer"))
        return add_split(d, SN_CP_PUNCT, SN_TOK_NONE, SN_SPLIT_ISOLATED, err);
    return is_type(v, "Whitespace") ? add_split(d, SN_CP_WORD, SN_TOK_NONE, SN_SPLIT_CONTIGUOUS, err) : SN_OK;
}

SnStatus sn_draft_read_pre_tokenizer(SnTokDraft *d, const SnJson *v, SnError *err)
{
    static const struct {
        const char *type;
        SnStatus (*read)(SnTokDraft *d, const SnJson *v, SnError *err);
    } types[] = {{"Punctuation", read_punctuation},
                 {"Digits", read_digits},
                 {"CharDelimiterSplit", read_delimiter},
                 {"BertPreTokenizer", read_spaces},
                 {"WhitespaceSplit", read_spaces},
                 {"Whitespace", read_spaces},
                 {"ByteLevel", read_byte_level},
                 {"Metaspace", read_metaspace},
                 {"Split", read_split},
                 {"FixedLength", read_fixed},
                 {"UnicodeScripts", read_scripts}};
    if (sn_json_is_null(v))
        return SN_OK;
    for (size_t i = 0; i < SN_COUNT(types); i++)
        if (is_type(v, types[i].type))
            return types[i].read(d, v, err);
    if (!is_type(v, "Sequence"))
        return unsupported(err, "pre-tokenizer", v);
    const SnJson *part, *all = sn_json_get(v, "pretokenizers");
    for (uint32_t i = 0; (part = sn_json_at(all, i)) != NULL; i++)
        SN_TRY(sn_draft_read_pre_tokenizer(d, part, err));
    return SN_OK;
}
