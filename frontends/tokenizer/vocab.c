/* vocab.c -- vocabulary files of a folder as tokenizer.json, and the phrases that such texts are made of.
 *
 * What is written is what Transformers 5.23 makes of these files (convert_slow_tokenizer.py). */
#include "frontends/tokenizer/vocab.h"

#include "frontends/tokenizer/spm.h"
#include "runtime/hash.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* ---- merges ---- */

typedef struct Merge {
    SnBytes left, right;
    uint32_t id, left_id, right_id; /* id: of both together */
    uint32_t nleft, nright;         /* characters */
    float score;
} Merge;

/* By score, then longer parts first, then as they were found: piece by piece, parts by their ids. */
static int compare_merges(const void *x, const void *y)
{
    const Merge *a = (const Merge *)x, *b = (const Merge *)y;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    if (a->nleft != b->nleft)
        return a->nleft > b->nleft ? -1 : 1;
    if (a->nright != b->nright)
        return a->nright > b->nright ? -1 : 1;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    if (a->left_id != b->left_id)
        return a->left_id < b->left_id ? -1 : 1;
    return a->right_id < b->right_id ? -1 : a->right_id > b->right_id;
}

typedef SN_VEC(Merge) Merges;

static bool is_start(uint8_t byte) /* of a character */
{
    return (byte & 0xC0) != 0x80;
}

/* Every way to cut a piece into two pieces. */
static bool cut(const SnAllocator *memory, const SnMap *ids, const SnPiece *piece, uint32_t id, bool by_rank,
                Merges *out)
{
    const SnBytes text = piece[id].text;
    uint32_t nchar = 0, nleft = 0;
    for (size_t i = 0; i < text.n; i++)
        nchar += is_start(text.at[i]);
    for (size_t i = 1; i < text.n; i++) {
        Merge m = {.left = sn_bytes(text.at, i), .right = sn_bytes(text.at + i, text.n - i), .id = id};
        nleft += is_start(text.at[i - 1]);
        if (!is_start(text.at[i]) || !sn_map_get(ids, m.left, &m.left_id) ||
            !sn_map_get(ids, m.right, &m.right_id))
            continue;
        if (!by_rank) {
            m.nleft = nleft;
            m.nright = nchar - nleft;
            m.score = isnan(piece[id].score) ? -INFINITY : piece[id].score;
        }
        if (!sn_vec_push(memory, out, m))
            return false;
    }
    return true;
}

SnStatus sn_put_merges(const SnAllocator *memory, const char *name, const SnPiece *piece, uint32_t n,
                       bool by_rank, SnText *out, SnError *err)
{
    SnMap ids;
    Merges merges = {0};
    bool is_right = true;
    sn_map_init(&ids, memory);
    for (uint32_t i = 0; i < n && is_right; i++)
        is_right = sn_map_put(&ids, piece[i].text, i);
    for (uint32_t i = 0; i < n && is_right; i++)
        is_right = cut(memory, &ids, piece, i, by_rank, &merges);
    if (merges.n)
        qsort(merges.at, merges.n, sizeof *merges.at, compare_merges);
    sn_text_printf(out, ",\"merges\":[");
    for (size_t i = 0; i < merges.n && is_right; i++) {
        sn_text_printf(out, i ? ",[" : "[");
        sn_json_put_string(out, merges.at[i].left);
        sn_text_add(out, ",", 1);
        sn_json_put_string(out, merges.at[i].right);
        sn_text_add(out, "]", 1);
    }
    sn_text_add(out, "]", 1);
    sn_vec_clear(memory, &merges);
    sn_map_clear(&ids);
    SN_CHECK(is_right && !out->failed, err, SN_ENOMEM, "%s: no memory for merges", name);
    return SN_OK;
}

/* ---- added tokens and templates ---- */

void sn_put_added(SnText *out, bool is_first, int64_t id, SnBytes content, bool is_special)
{
    sn_text_printf(out, "%s{\"id\":%" PRId64 ",\"content\":", is_first ? "" : ",", id);
    sn_json_put_string(out, content);
    sn_text_printf(
        out, ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":%s}",
        is_special ? "true" : "false");
}

void sn_put_added_piece(SnText *out, int64_t id, SnBytes content, uint32_t type)
{
    if (type == SN_PIECE_CONTROL || type == SN_PIECE_USER || type == SN_PIECE_UNKNOWN)
        sn_put_added(out, out->n > 0 && out->at[out->n - 1] == '[', id, content, type != SN_PIECE_USER);
}

static void put_special(SnText *out, SnBytes token, int type, bool *is_first)
{
    sn_text_printf(out, *is_first ? "{\"SpecialToken\":{\"id\":" : ",{\"SpecialToken\":{\"id\":");
    sn_json_put_string(out, token);
    sn_text_printf(out, ",\"type_id\":%d}}", type);
    *is_first = false;
}

static void put_side(SnText *out, bool has_bos, bool has_eos, SnBytes bos, SnBytes eos, int type,
                     bool *is_first)
{
    if (has_bos)
        put_special(out, bos, type, is_first);
    sn_text_printf(out, "%s{\"Sequence\":{\"id\":\"%c\",\"type_id\":%d}}", *is_first ? "" : ",", 'A' + type,
                   type);
    *is_first = false;
    if (has_eos)
        put_special(out, eos, type, is_first);
}

static void put_special_id(SnText *out, SnBytes token, int64_t id, bool is_first)
{
    sn_text_printf(out, is_first ? "" : ",");
    sn_json_put_string(out, token);
    sn_text_printf(out, ":{\"id\":");
    sn_json_put_string(out, token);
    sn_text_printf(out, ",\"ids\":[%" PRId64 "],\"tokens\":[", id);
    sn_json_put_string(out, token);
    sn_text_printf(out, "]}");
}

void sn_put_template(SnText *out, int64_t bos, int64_t eos, SnBytes bos_text, SnBytes eos_text)
{
    const bool has_bos = bos >= 0, has_eos = eos >= 0;
    bool is_first = true;
    if (!has_bos && !has_eos) {
        sn_text_printf(out, ",\"post_processor\":null");
        return;
    }
    sn_text_printf(out, ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[");
    put_side(out, has_bos, has_eos, bos_text, eos_text, 0, &is_first);
    sn_text_printf(out, "],\"pair\":[");
    is_first = true;
    put_side(out, has_bos, has_eos, bos_text, eos_text, 0, &is_first);
    put_side(out, has_bos, has_eos, bos_text, eos_text, 1, &is_first);
    sn_text_printf(out, "],\"special_tokens\":{");
    if (has_bos)
        put_special_id(out, bos_text, bos, true);
    if (has_eos && eos != bos)
        put_special_id(out, eos_text, eos, !has_bos);
    sn_text_printf(out, "}}");
}

/* ---- splits ---- */

const char sn_split_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char sn_split_cl100k[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char sn_split_qwen2[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char sn_split_o200k[] =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

void sn_put_splits(SnText *out, const char *const step[SN_SPLIT_STEPS])
{
    sn_text_printf(out, ",\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
    for (int i = 0; i < SN_SPLIT_STEPS && step[i]; i++) {
        if (strcmp(step[i], "digits") == 0) {
            sn_text_printf(out, "{\"type\":\"Digits\",\"individual_digits\":true},");
            continue;
        }
        sn_text_printf(out, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
        sn_json_put_string(out, sn_bytes_str(step[i]));
        sn_text_printf(out, "},\"behavior\":\"Isolated\",\"invert\":false},");
    }
    sn_text_printf(out,
                   "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":"
                   "false}]}");
}

/* ---- what a folder says ---- */

typedef struct Files {
    SnContext *ctx;
    SnFolder *folder;
    const char *path;
    SnArena arena;
    const SnJson *config; /* tokenizer_config.json, or NULL */
} Files;

static SnStatus read_config(Files *f, SnError *err)
{
    SnBytes text;
    SnJson *json = NULL;
    SN_TRY(sn_folder_read(f->folder, "tokenizer_config.json", &text, err));
    if (text.at)
        SN_TRY(sn_json_parse(&f->arena, "tokenizer_config.json", text, &json, err));
    f->config = json;
    return SN_OK;
}

/* ---- SentencePiece ---- */

static const char *const spm_files[] = {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
                                        "spm.model", "sentencepiece.model"};

static SnStatus write_spm(Files *f, SnBytes model, SnText *out, SnError *err)
{
    SnSpm spm;
    SnBytes class = {0};
    SN_TRY(sn_spm_parse(&f->arena, f->path, model, &spm, err));
    SN_TRY(sn_vocab_check_class(f->path, f->config, err));
    if (sn_json_string(sn_json_get(f->config, "tokenizer_class"), &class)) {
        const SnVocabClass *row = sn_vocab_class(class);
        if (row || !spm.is_bpe)
            return sn_vocab_write_class(sn_allocator(f->ctx), f->path, row ? row : &sn_vocab_other, f->config,
                                        &spm, out, err);
    }
    spm.adds_bos = sn_json_bool_of(f->config, "add_bos_token", spm.is_bpe);
    spm.adds_eos = sn_json_bool_of(f->config, "add_eos_token", !spm.is_bpe);
    spm.prepend_space = sn_json_bool_of(f->config, "add_prefix_space", spm.prepend_space);
    spm.is_lenient = !sn_json_bool_of(f->config, "legacy", true);
    return sn_spm_write(sn_allocator(f->ctx), f->path, &spm, out, err);
}

/* ---- ranks: a line is a token in base 64 and its number ---- */

/* OpenAI's own: blanks at the end of a text stay together, line ends among them. */
static const char split_cl100k_base[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
    "\\s+(?![\\s\\S])|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

static const struct {
    const char *file;
    const char *split;
} rank_files[] = {{"tokenizer.model", sn_split_cl100k},   {"tokenizer.tiktoken", sn_split_cl100k},
                  {"qwen.tiktoken", sn_split_qwen2},      {"multilingual.tiktoken", sn_split_gpt2},
                  {"gpt2.tiktoken", sn_split_gpt2},       {"r50k_base.tiktoken", sn_split_gpt2},
                  {"p50k_base.tiktoken", sn_split_gpt2},  {"cl100k_base.tiktoken", split_cl100k_base},
                  {"o200k_base.tiktoken", sn_split_o200k}};

static int digit64(uint8_t c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+'             ? 62
           : c == '/'             ? 63
                                  : -1;
}

/* The character that stands for a byte in byte-level vocabularies: itself where it is seen, else one from
 * U+0100 on. */
static uint32_t byte_character(uint8_t byte)
{
    uint32_t hidden = 0x100;
    for (uint32_t b = 0; b < 256; b++) {
        const bool is_seen = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        if (b == byte)
            return is_seen ? b : hidden;
        hidden += !is_seen;
    }
    return 0;
}

/* Decodes base 64 up to a space. */
static bool read_token(SnReader *r, SnText *out)
{
    uint32_t bits = 0;
    int n = 0;
    while (r->left && *r->at != ' ') {
        const uint8_t c = sn_read_u8(r);
        const int d = digit64(c);
        if (d < 0 && c != '=')
            return false;
        if (d < 0)
            continue;
        bits = bits << 6 | (uint32_t)d;
        if ((n += 6) < 8)
            continue;
        n -= 8;
        char utf8[4];
        sn_text_add(out, utf8, (size_t)sn_utf8_put(byte_character((uint8_t)(bits >> n)), utf8));
    }
    return sn_read_u8(r) == ' ' && !r->bad;
}

static bool read_number(SnReader *r, uint32_t *out)
{
    uint64_t v = 0;
    const size_t before = r->left;
    while (r->left && *r->at >= '0' && *r->at <= '9' && v < UINT32_MAX)
        v = v * 10 + (sn_read_u8(r) - '0');
    *out = (uint32_t)v;
    const bool is_number = r->left < before && v < UINT32_MAX;
    while (r->left && (*r->at == '\r' || *r->at == '\n'))
        (void)sn_read_u8(r);
    return is_number;
}

#define MAX_RANKS (1u << 22)

static SnStatus read_ranks(Files *f, SnBytes text, SnPiece **piece, uint32_t *n, SnError *err)
{
    SnReader r = sn_reader(text);
    const size_t most = text.n / 4 < MAX_RANKS ? text.n / 4 : MAX_RANKS; /* no line is shorter */
    SnText token = {.memory = sn_allocator(f->ctx)};
    *piece = sn_arena_array(&f->arena, most + 1, sizeof **piece);
    bool is_right = *piece != NULL;
    for (*n = 0; is_right && r.left;) {
        uint32_t rank = 0;
        token.n = 0;
        is_right = read_token(&r, &token) && read_number(&r, &rank) && rank < most;
        const char *own =
            is_right && !token.failed ? sn_arena_strndup(&f->arena, token.at ? token.at : "", token.n) : NULL;
        is_right = own != NULL;
        if (is_right)
            (*piece)[rank] = (SnPiece){sn_bytes(own, token.n), 0, SN_PIECE_NORMAL};
        *n = is_right && rank >= *n ? rank + 1 : *n;
    }
    sn_text_clear(&token);
    SN_CHECK(is_right && *n, err, SN_EFORMAT, "%s: ranks of tokens are malformed at byte %zu", f->path,
             text.n - r.left);
    return SN_OK;
}

static void put_vocab(const SnPiece *piece, uint32_t n, SnText *out)
{
    bool is_first = true;
    sn_text_printf(out, "\"vocab\":{");
    for (uint32_t i = 0; i < n; i++) {
        if (!piece[i].text.at)
            continue;
        sn_text_printf(out, is_first ? "" : ",");
        sn_json_put_string(out, piece[i].text);
        sn_text_printf(out, ":%" PRIu32, i);
        is_first = false;
    }
    sn_text_add(out, "}", 1);
}

/* Tokens that tokenizer_config.json lists, with their ids. */
static void put_listed(Files *f, SnText *out)
{
    const SnJson *all = sn_json_get(f->config, "added_tokens_decoder");
    bool is_first = true;
    sn_text_printf(out, "\"added_tokens\":[");
    for (uint32_t i = 0; all && all->kind == SN_JSON_OBJECT && i < all->n; i++) {
        const SnJson *t = &all->u.child[i];
        SnBytes content;
        double id;
        if (!sn_parse_f64(t->key, &id) || id < 0 || id > UINT32_MAX ||
            !sn_json_string(sn_json_get(t, "content"), &content))
            continue;
        sn_put_added(out, is_first, (int64_t)id, content, sn_json_bool_of(t, "special", false));
        is_first = false;
    }
    sn_text_add(out, "]", 1);
}

static void begin_byte_level(Files *f, const char *split, const char *normalizer, SnText *out)
{
    sn_text_printf(out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,");
    put_listed(f, out);
    sn_text_printf(out, ",\"normalizer\":%s", normalizer);
    sn_put_splits(out, (const char *const[SN_SPLIT_STEPS]){split});
    sn_text_printf(out,
                   ",\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,"
                   "\"use_regex\":true}");
}

static SnStatus write_ranks(Files *f, SnBytes text, const char *split, SnText *out, SnError *err)
{
    SnPiece *piece = NULL;
    uint32_t n = 0;
    SN_TRY(read_ranks(f, text, &piece, &n, err));
    begin_byte_level(f, split, "null", out);
    sn_text_printf(out, ",\"post_processor\":null,\"model\":{\"type\":\"BPE\",\"ignore_merges\":true,");
    put_vocab(piece, n, out);
    SN_TRY(sn_put_merges(sn_allocator(f->ctx), f->path, piece, n, true, out, err));
    sn_text_printf(out, "}}");
    return SN_OK;
}

/* ---- vocab.json and merges.txt ---- */

/* The tokens of vocab.json by their ids. */
static SnStatus read_vocab_json(Files *f, SnBytes text, SnSpm *out, SnError *err)
{
    SnJson *json = NULL;
    int64_t id, most = 0;
    SN_TRY(sn_json_parse(&f->arena, "vocab.json", text, &json, err));
    SN_CHECK(json->kind == SN_JSON_OBJECT, err, SN_EFORMAT, "%s: vocab.json is no object", f->path);
    for (uint32_t i = 0; i < json->n; i++) {
        SN_CHECK(sn_json_int(&json->u.child[i], &id) && id >= 0 && id < 65536 + 64 * (int64_t)json->n, err,
                 SN_EFORMAT, "%s: vocab.json: a token has no id", f->path);
        most = id > most ? id : most;
    }
    SnPiece *piece = sn_arena_array(&f->arena, (size_t)most + 1, sizeof *piece);
    SN_CHECK(piece, err, SN_ENOMEM, "%s: no memory for tokens", f->path);
    for (uint32_t i = 0; i < json->n; i++)
        if (sn_json_int(&json->u.child[i], &id))
            piece[id] = (SnPiece){json->u.child[i].key, 0, SN_PIECE_NORMAL};
    *out = (SnSpm){.piece = piece, .n = (uint32_t)most + 1, .is_bpe = true, .unk = -1, .bos = -1, .eos = -1};
    return SN_OK;
}

static SnStatus write_pairs(Files *f, SnText *out, SnError *err)
{
    SnBytes vocab, class = {0};
    SnSpm spm;
    SN_TRY(sn_folder_read(f->folder, "vocab.json", &vocab, err));
    SN_TRY(read_vocab_json(f, vocab, &spm, err));
    SN_TRY(sn_folder_read(f->folder, "merges.txt", &spm.merges, err));
    SN_CHECK(sn_utf8_valid(spm.merges), err, SN_EFORMAT, "%s: merges.txt is no UTF-8", f->path);
    (void)sn_json_string(sn_json_get(f->config, "tokenizer_class"), &class);
    const SnVocabClass *row = sn_vocab_class(class);
    return sn_vocab_write_class(sn_allocator(f->ctx), f->path, row ? row : &sn_vocab_pairs, f->config, &spm,
                                out, err);
}

/* ---- which there is ---- */

bool sn_vocab_has(const SnFolder *folder)
{
    for (size_t i = 0; i < SN_COUNT(spm_files); i++)
        if (sn_folder_has(folder, spm_files[i]))
            return true;
    for (size_t i = 0; i < SN_COUNT(rank_files); i++)
        if (sn_folder_has(folder, rank_files[i].file))
            return true;
    return sn_folder_has(folder, "vocab.json") && sn_folder_has(folder, "merges.txt");
}

/* tokenizer.model is either: ranks are text, a SentencePiece message begins with its first piece. */
static bool is_message(SnBytes b)
{
    return b.n && b.at[0] == 0x0A;
}

static SnStatus write_any(Files *f, SnText *out, SnError *err)
{
    SnBytes bytes;
    SN_TRY(read_config(f, err));
    for (size_t i = 0; i < SN_COUNT(spm_files); i++) {
        SN_TRY(sn_folder_read(f->folder, spm_files[i], &bytes, err));
        if (is_message(bytes))
            return write_spm(f, bytes, out, err);
    }
    for (size_t i = 0; i < SN_COUNT(rank_files); i++) {
        SN_TRY(sn_folder_read(f->folder, rank_files[i].file, &bytes, err));
        if (bytes.n)
            return write_ranks(f, bytes, rank_files[i].split, out, err);
    }
    return write_pairs(f, out, err);
}

SnStatus sn_vocab_write(SnContext *ctx, SnFolder *folder, SnText *out, SnError *err)
{
    Files f = {.ctx = ctx, .folder = folder, .path = sn_folder_path(folder)};
    sn_arena_init(&f.arena, sn_allocator(ctx));
    SnStatus st = write_any(&f, out, err);
    if (st == SN_OK && out->failed)
        st = sn_fail(err, SN_ENOMEM, "%s: no memory for a tokenizer", f.path);
    sn_arena_clear(&f.arena);
    return st;
}
