/* tokenizer.c -- the tokenizer inside a GGUF file as tokenizer.json.
 *
 * `tokenizer.ggml.model` says of what kind it is, `tokenizer.ggml.pre` how byte-pair models split a text
 * (splits.c). `tokenizer.huggingface.json`, where it is there, is the whole file. */
#include "frontends/gguf/convert.h"
#include "frontends/gguf/splits.h"

#include "frontends/tokenizer/spm.h"

#include <inttypes.h>

typedef struct Source {
    const char *path;
    const SnGguf *g;
    const SnJson *tokens, *types, *scores, *merges;
} Source;

static const SnJson *meta(const Source *s, const char *key)
{
    return sn_json_get(s->g->metadata, key);
}

static const SnJson *whole_file(const SnGguf *f)
{
    const SnJson *v = sn_json_get(f->metadata, "tokenizer.huggingface.json");
    return v && v->kind == SN_JSON_STRING ? v : NULL;
}

bool sn_gguf_has_words(const SnGguf *f)
{
    return !whole_file(f) && sn_json_is(sn_json_get(f->metadata, "tokenizer.ggml.model"), "bert");
}

bool sn_gguf_has_tokenizer(const SnGguf *f)
{
    return whole_file(f) || (sn_json_get(f->metadata, "tokenizer.ggml.tokens") && !sn_gguf_has_words(f));
}

static SnStatus open_source(const char *path, const SnGguf *g, Source *s, SnError *err)
{
    *s = (Source){.path = path, .g = g};
    s->tokens = meta(s, "tokenizer.ggml.tokens");
    s->types = meta(s, "tokenizer.ggml.token_type");
    s->scores = meta(s, "tokenizer.ggml.scores");
    s->merges = meta(s, "tokenizer.ggml.merges");
    SN_CHECK(s->tokens && s->tokens->kind == SN_JSON_ARRAY && s->tokens->n, err, SN_EFORMAT,
             "%s: no tokenizer.ggml.tokens", path);
    for (uint32_t i = 0; i < s->tokens->n; i++) {
        SnBytes t;
        SN_CHECK(sn_json_string(sn_json_at(s->tokens, i), &t) && sn_utf8_valid(t), err, SN_EFORMAT,
                 "%s: tokenizer.ggml.tokens: token %" PRIu32 " is no text", path, i);
    }
    return SN_OK;
}

static uint32_t type_of(const Source *s, uint32_t i)
{
    int64_t v = SN_PIECE_NORMAL;
    return sn_json_int(sn_json_at(s->types, i), &v) ? (uint32_t)v : SN_PIECE_NORMAL;
}

static SnBytes token(const Source *s, int64_t i)
{
    SnBytes t = sn_bytes("", 0);
    if (i >= 0)
        (void)sn_json_string(sn_json_at(s->tokens, (uint32_t)i), &t);
    return t;
}

/* An id that is one of the tokens, or -1. */
static int64_t id_of(const Source *s, const char *key)
{
    int64_t v = -1;
    return s->tokens && sn_json_int(meta(s, key), &v) && v >= 0 && v < s->tokens->n ? v : -1;
}

static bool flag(const Source *s, const char *key, bool otherwise)
{
    bool v = otherwise;
    return sn_json_bool(meta(s, key), &v) ? v : otherwise;
}

/* ---- WordPiece ---- */

static const char space_mark[] =
    "\xE2\x96\x81"; /* a token that begins a word begins with it; ## is left out */

SnStatus sn_gguf_words(const char *path, const SnGguf *g, SnText *out, SnError *err)
{
    Source s;
    SN_TRY(open_source(path, g, &s, err));
    for (uint32_t i = 0; i < s.tokens->n; i++) {
        const SnBytes t = token(&s, i);
        const bool begins = t.n >= 3 && memcmp(t.at, space_mark, 3) == 0;
        const bool is_whole = type_of(&s, i) == SN_PIECE_CONTROL || type_of(&s, i) == SN_PIECE_USER;
        sn_text_printf(out, "%s", begins || is_whole ? "" : "##");
        sn_text_add(out, (const char *)t.at + (begins ? 3 : 0), t.n - (begins ? 3 : 0));
        sn_text_add(out, "\n", 1);
    }
    SN_CHECK(!out->failed, err, SN_ENOMEM, "%s: no memory for its tokenizer", path);
    return SN_OK;
}

/* Nothing says whether texts are lowered: they are, where no word of the vocabulary has a capital letter. */
static bool lowers(const Source *s)
{
    for (uint32_t i = 0; i < s->tokens->n; i++) {
        const SnBytes t = token(s, i);
        if (t.n == 4 && memcmp(t.at, space_mark, 3) == 0 && t.at[3] >= 'A' && t.at[3] <= 'Z')
            return false;
    }
    return true;
}

/* ---- SentencePiece ---- */

static SnStatus put_spm(SnContext *ctx, const Source *s, bool is_bpe, SnText *out, SnError *err)
{
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(ctx));
    SnPiece *piece = sn_arena_array(&arena, s->tokens->n, sizeof *piece);
    SnSpm spm = {.piece = piece,
                 .n = s->tokens->n,
                 .is_bpe = is_bpe,
                 .prepend_space = flag(s, "tokenizer.ggml.add_space_prefix", true),
                 .joins_spaces = flag(s, "tokenizer.ggml.remove_extra_whitespaces", !is_bpe),
                 .unk = id_of(s, "tokenizer.ggml.unknown_token_id"),
                 .bos = id_of(s, "tokenizer.ggml.bos_token_id"),
                 .eos = id_of(s, "tokenizer.ggml.eos_token_id"),
                 .adds_bos = flag(s, "tokenizer.ggml.add_bos_token", is_bpe),
                 .adds_eos = flag(s, "tokenizer.ggml.add_eos_token", !is_bpe)};
    for (uint32_t i = 0; piece && i < s->tokens->n; i++) {
        double score = 0;
        (void)sn_json_number(sn_json_at(s->scores, i), &score);
        piece[i] = (SnPiece){token(s, i), (float)score, type_of(s, i)};
        spm.byte_fallback = spm.byte_fallback || piece[i].type == SN_PIECE_BYTE;
        if (spm.unk < 0 && piece[i].type == SN_PIECE_UNKNOWN)
            spm.unk = i;
    }
    const SnStatus st = piece ? sn_spm_write(sn_allocator(ctx), s->path, &spm, out, err)
                              : sn_fail(err, SN_ENOMEM, "%s: no memory for tokens", s->path);
    sn_arena_clear(&arena);
    return st;
}

/* ---- byte-pair models ---- */

/* Around a model of characters, as in Gemma's tokenizer.json. */
static const char
    marks[] = "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\xE2\x96\x81\"}",
    unmarks[] = "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":"
                "\"\xE2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]}",
    bytes[] = "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,"
              "\"use_regex\":true}";

static SnStatus put_bpe(const Source *s, const char *without_name, SnText *out, SnError *err)
{
    SnBytes name = sn_bytes_str(without_name);
    (void)sn_json_string(meta(s, "tokenizer.ggml.pre"), &name);
    const SnGgufSplit *split = sn_gguf_split_find(name);
    SN_CHECK(split, err, SN_EUNSUPPORTED, "%s: tokenizer.ggml.pre is '%.*s', whose split is not known",
             s->path, (int)(name.n < 80 ? name.n : 80), (const char *)name.at);
    SN_CHECK(s->merges && s->merges->kind == SN_JSON_ARRAY, err, SN_EFORMAT, "%s: no tokenizer.ggml.merges",
             s->path);
    const int64_t bos = id_of(s, "tokenizer.ggml.bos_token_id"),
                  eos = id_of(s, "tokenizer.ggml.eos_token_id"),
                  unk = id_of(s, "tokenizer.ggml.unknown_token_id");
    const bool is_plain = split->flags & SN_GGUF_PLAIN, has_blanks = split->flags & SN_GGUF_BLANKS;
    const bool lowers_text = has_blanks && flag(s, "tokenizer.ggml.normalizer.lowercase", false);
    const bool adds_bos = flag(s, "tokenizer.ggml.add_bos_token", split->flags & SN_GGUF_ADDS_BOS);
    const bool adds_eos = flag(s, "tokenizer.ggml.add_eos_token", false);
    sn_text_printf(out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,");
    sn_text_printf(out, "\"added_tokens\":[");
    for (uint32_t i = 0; i < s->tokens->n; i++)
        sn_put_added_piece(out, i, token(s, i), type_of(s, i));
    sn_text_add(out, "]", 1);
    sn_text_printf(out, ",\"normalizer\":%s",
                   lowers_text               ? "{\"type\":\"Lowercase\"}"
                   : is_plain && !has_blanks ? marks
                                             : "null");
    if (is_plain)
        sn_text_printf(out, ",\"pre_tokenizer\":%s", has_blanks ? "{\"type\":\"WhitespaceSplit\"}" : "null");
    else
        sn_put_splits(out, split->step);
    sn_put_template(out, adds_bos ? bos : -1, adds_eos ? eos : -1, token(s, bos), token(s, eos));
    sn_text_printf(out, ",\"decoder\":%s,\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":",
                   has_blanks ? "null"
                   : is_plain ? unmarks
                              : bytes);
    if (is_plain && unk >= 0)
        sn_json_put_string(out, token(s, unk));
    else
        sn_text_printf(out, "null");
    sn_text_printf(out, ",\"fuse_unk\":%s,\"byte_fallback\":%s,\"ignore_merges\":%s,\"vocab\":{",
                   is_plain ? "true" : "false", is_plain ? "true" : "false",
                   split->flags & SN_GGUF_WHOLE ? "true" : "false");
    bool is_first = true;
    for (uint32_t i = 0; i < s->tokens->n; i++) {
        if (type_of(s, i) == SN_PIECE_USER && !is_plain)
            continue;
        sn_text_printf(out, is_first ? "" : ",");
        sn_json_put_string(out, token(s, i));
        sn_text_printf(out, ":%" PRIu32, i);
        is_first = false;
    }
    sn_text_printf(out, "},\"merges\":");
    sn_json_put(out, s->merges);
    sn_text_printf(out, "}}");
    return SN_OK;
}

SnStatus sn_gguf_tokenizer(SnContext *ctx, const char *path, const SnGguf *g, SnText *out, SnError *err)
{
    Source s;
    const SnJson *whole = whole_file(g);
    if (whole) {
        SN_CHECK(sn_utf8_valid(whole->u.string), err, SN_EFORMAT, "%s: tokenizer.huggingface.json is no text",
                 path);
        sn_text_add(out, (const char *)whole->u.string.at, whole->u.string.n);
        SN_CHECK(!out->failed, err, SN_ENOMEM, "%s: no memory for its tokenizer", path);
        return SN_OK;
    }
    SN_TRY(open_source(path, g, &s, err));
    const SnJson *model = meta(&s, "tokenizer.ggml.model");
    SnBytes kind = sn_bytes("", 0);
    (void)sn_json_string(model, &kind);
    const bool is_spm = sn_json_is(model, "llama"), is_unigram = sn_json_is(model, "t5");
    const bool is_gemma = sn_json_is(model, "gemma4");
    SN_CHECK(is_spm || is_unigram || is_gemma || sn_json_is(model, "gpt2"), err, SN_EUNSUPPORTED,
             "%s: tokenizer.ggml.model is %.*s; known are gpt2, gemma4, llama and t5", path, (int)kind.n,
             (const char *)kind.at);
    SN_TRY(is_spm || is_unigram ? put_spm(ctx, &s, is_spm, out, err)
                                : put_bpe(&s, is_gemma ? "gemma4" : "default", out, err));
    SN_CHECK(!out->failed, err, SN_ENOMEM, "%s: no memory for its tokenizer", path);
    return SN_OK;
}

SnStatus sn_gguf_tokenizer_config(const char *path, const SnGguf *g, SnText *out, SnError *err)
{
    static const char *const ids[][2] = {
        {"bos_token", "tokenizer.ggml.bos_token_id"},     {"eos_token", "tokenizer.ggml.eos_token_id"},
        {"unk_token", "tokenizer.ggml.unknown_token_id"}, {"pad_token", "tokenizer.ggml.padding_token_id"},
        {"cls_token", "tokenizer.ggml.cls_token_id"},     {"sep_token", "tokenizer.ggml.seperator_token_id"},
        {"mask_token", "tokenizer.ggml.mask_token_id"}};
    Source s = {.path = path, .g = g};
    if (!whole_file(g) || meta(&s, "tokenizer.ggml.tokens"))
        SN_TRY(open_source(path, g, &s, err));
    sn_text_printf(out, "{\"clean_up_tokenization_spaces\":%s", sn_gguf_has_words(g) ? "true" : "false");
    if (sn_gguf_has_words(g))
        sn_text_printf(out, ",\"tokenizer_class\":\"BertTokenizer\",\"do_lower_case\":%s",
                       lowers(&s) ? "true" : "false");
    for (size_t i = 0; i < SN_COUNT(ids); i++) {
        const int64_t id = id_of(&s, ids[i][1]);
        if (id < 0 || (i >= 4 && !sn_gguf_has_words(g)))
            continue;
        sn_text_printf(out, ",\"%s\":", ids[i][0]);
        sn_json_put_string(out, token(&s, id));
    }
    const SnJson *chat = meta(&s, "tokenizer.chat_template");
    if (!sn_json_is_null(chat)) {
        sn_text_printf(out, ",\"chat_template\":");
        sn_json_put(out, chat);
    }
    sn_text_add(out, "}", 1);
    SN_CHECK(!out->failed, err, SN_ENOMEM, "%s: no memory for its tokenizer", path);
    return SN_OK;
}
