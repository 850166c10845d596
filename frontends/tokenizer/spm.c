/* spm.c -- reads SentencePiece models, and writes SentencePiece vocabularies as tokenizer.json.
 *
 * https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto; what is written is what
 * Transformers 5.23 makes of such a model (convert_slow_tokenizer.py). */
#include "frontends/tokenizer/spm.h"

#include "frontends/base64.h"

#include <inttypes.h>

#define SPACE      "\xE2\x96\x81"
#define MAX_PIECES (1u << 22)
#define MAX_PIECE  65536

/* ---- protobuf ---- */

typedef struct Field {
    uint32_t number, wire;
    uint64_t value; /* VARINT, FIXED */
    SnBytes bytes;  /* BYTES */
} Field;

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static uint64_t read_varint(SnReader *r)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t b = sn_read_u8(r);
        v |= (uint64_t)(b & 0x7F) << shift;
        if (b < 0x80)
            return v;
    }
    r->bad = true;
    return 0;
}

/* false: the end, or r is bad. */
static bool next_field(SnReader *r, Field *f)
{
    if (r->left == 0 || r->bad)
        return false;
    const uint64_t tag = read_varint(r);
    *f = (Field){.number = (uint32_t)(tag >> 3), .wire = (uint32_t)(tag & 7)};
    switch (f->wire) {
    case VARINT:
        f->value = read_varint(r);
        break;
    case FIXED64:
        f->value = sn_read_u64le(r);
        break;
    case FIXED32:
        f->value = sn_read_u32le(r);
        break;
    case BYTES: {
        const uint64_t n = read_varint(r);
        r->bad = r->bad || n > r->left;
        f->bytes = sn_take(r, r->bad ? 0 : (size_t)n);
        break;
    }
    default:
        r->bad = true;
    }
    return !r->bad;
}

static float as_float(uint64_t bits)
{
    const uint32_t low = (uint32_t)bits;
    float v;
    memcpy(&v, &low, sizeof v);
    return v;
}

static bool read_piece(SnBytes message, SnPiece *out)
{
    SnReader r = sn_reader(message);
    Field f;
    *out = (SnPiece){.text = sn_bytes("", 0), .type = SN_PIECE_NORMAL};
    while (next_field(&r, &f)) {
        if (f.number == 1 && f.wire == BYTES)
            out->text = f.bytes;
        else if (f.number == 2 && f.wire == FIXED32)
            out->score = as_float(f.value);
        else if (f.number == 3 && f.wire == VARINT)
            out->type = (uint32_t)f.value;
    }
    return !r.bad && sn_utf8_valid(out->text) && out->text.n <= MAX_PIECE;
}

static void read_trainer(SnBytes message, SnSpm *out)
{
    SnReader r = sn_reader(message);
    Field f;
    while (next_field(&r, &f)) {
        if (f.wire != VARINT)
            continue;
        if (f.number == 3)
            out->is_bpe = f.value == 2;
        else if (f.number == 35)
            out->byte_fallback = f.value != 0;
        else if (f.number == 40)
            out->unk = (int32_t)f.value;
        else if (f.number == 41)
            out->bos = (int32_t)f.value;
        else if (f.number == 42)
            out->eos = (int32_t)f.value;
    }
}

static void read_normalizer(SnBytes message, SnSpm *out)
{
    SnReader r = sn_reader(message);
    Field f;
    while (next_field(&r, &f)) {
        if (f.number == 2 && f.wire == BYTES)
            out->charsmap = f.bytes;
        else if (f.number == 3 && f.wire == VARINT)
            out->prepend_space = f.value != 0;
        else if (f.number == 4 && f.wire == VARINT)
            out->joins_spaces = f.value != 0;
    }
}

SnStatus sn_spm_parse(SnArena *arena, const char *name, SnBytes bytes, SnSpm *out, SnError *err)
{
    SnReader r = sn_reader(bytes);
    Field f;
    uint32_t n = 0;
    while (next_field(&r, &f))
        n += f.number == 1 && f.wire == BYTES;
    SN_CHECK(!r.bad && n > 0, err, SN_EFORMAT, "%s: no SentencePiece model", name);
    SN_CHECK(n <= MAX_PIECES, err, SN_EUNSUPPORTED, "%s: %" PRIu32 " pieces", name, n);
    SnPiece *piece = sn_arena_array(arena, n, sizeof *piece);
    SN_CHECK(piece, err, SN_ENOMEM, "%s: no memory for %" PRIu32 " pieces", name, n);
    *out = (SnSpm){.piece = piece, .prepend_space = true, .joins_spaces = true, .bos = 1, .eos = 2};
    r = sn_reader(bytes);
    while (next_field(&r, &f)) {
        if (f.wire != BYTES)
            continue;
        if (f.number == 1)
            SN_CHECK(read_piece(f.bytes, &piece[out->n++]), err, SN_EFORMAT,
                     "%s: piece %" PRIu32 " is malformed", name, out->n - 1);
        else if (f.number == 2)
            read_trainer(f.bytes, out);
        else if (f.number == 3)
            read_normalizer(f.bytes, out);
    }
    SN_CHECK(out->unk < n && out->bos < n && out->eos < n, err, SN_EFORMAT,
             "%s: a special piece is none of %" PRIu32, name, n);
    return SN_OK;
}

/* ---- tokenizer.json ---- */

static SnBytes text_of(const SnSpm *spm, int64_t id)
{
    return id >= 0 && id < spm->n ? spm->piece[id].text : sn_bytes("", 0);
}

void sn_put_charsmap(SnText *out, SnBytes charsmap)
{
    sn_text_printf(out, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"");
    sn_base64_put(out, charsmap);
    sn_text_printf(out, "\"}");
}

static void put_metaspace(SnText *out, const SnSpm *spm, bool is_split)
{
    sn_text_printf(
        out, "{\"type\":\"Metaspace\",\"replacement\":\"" SPACE "\",\"prepend_scheme\":\"%s\",\"split\":%s}",
        !spm->prepend_space ? "never"
        : spm->is_bpe       ? "first"
                            : "always",
        is_split ? "true" : "false");
}

/* Byte-pair pieces: spaces become their mark, and nothing splits the text. */
static SnStatus put_bpe(const SnAllocator *memory, const char *name, const SnSpm *spm, SnText *out,
                        SnError *err)
{
    if (spm->is_lenient) {
        sn_text_printf(out, ",\"normalizer\":null,\"pre_tokenizer\":");
        put_metaspace(out, spm, false);
    } else {
        sn_text_printf(
            out,
            ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[%s{\"type\":\"Replace\",\"pattern\":"
            "{\"String\":\" \"},\"content\":\"" SPACE "\"}]},\"pre_tokenizer\":null",
            spm->prepend_space ? "{\"type\":\"Prepend\",\"prepend\":\"" SPACE "\"}," : "");
    }
    sn_put_template(out, spm->adds_bos ? spm->bos : -1, spm->adds_eos ? spm->eos : -1, text_of(spm, spm->bos),
                    text_of(spm, spm->eos));
    sn_text_printf(out,
                   ",\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":"
                   "{\"String\":\"" SPACE "\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},"
                   "{\"type\":\"Fuse\"}%s]}",
                   spm->prepend_space ? ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}"
                                      : "");
    sn_text_printf(out, ",\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    if (spm->unk >= 0)
        sn_json_put_string(out, text_of(spm, spm->unk));
    else
        sn_text_printf(out, "null");
    sn_text_printf(out, ",\"fuse_unk\":true,\"byte_fallback\":%s,\"ignore_merges\":false,\"vocab\":{",
                   spm->byte_fallback ? "true" : "false");
    for (uint32_t i = 0; i < spm->n; i++) {
        sn_text_printf(out, i ? "," : "");
        sn_json_put_string(out, spm->piece[i].text);
        sn_text_printf(out, ":%" PRIu32, i);
    }
    sn_text_add(out, "}", 1);
    SN_TRY(sn_put_merges(memory, name, spm->piece, spm->n, false, out, err));
    sn_text_add(out, "}", 1);
    return SN_OK;
}

static void put_unigram(const SnSpm *spm, SnText *out)
{
    sn_text_printf(out, ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    if (spm->charsmap.n)
        sn_put_charsmap(out, spm->charsmap);
    if (spm->joins_spaces)
        sn_text_printf(out, "%s{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\" \"}",
                       spm->charsmap.n ? "," : "");
    sn_text_printf(out, "]},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
    put_metaspace(out, spm, true);
    sn_text_printf(out, "]}");
    sn_put_template(out, spm->adds_bos ? spm->bos : -1, spm->adds_eos ? spm->eos : -1, text_of(spm, spm->bos),
                    text_of(spm, spm->eos));
    sn_text_printf(out, ",\"decoder\":");
    put_metaspace(out, spm, true);
    sn_text_printf(out, ",\"model\":{\"type\":\"Unigram\",\"unk_id\":");
    if (spm->unk >= 0)
        sn_text_printf(out, "%" PRId64, spm->unk);
    else
        sn_text_printf(out, "null");
    sn_text_printf(out, ",\"byte_fallback\":%s,\"vocab\":[", spm->byte_fallback ? "true" : "false");
    for (uint32_t i = 0; i < spm->n; i++) {
        sn_text_printf(out, i ? ",[" : "[");
        sn_json_put_string(out, spm->piece[i].text);
        sn_text_add(out, ",", 1);
        sn_json_put_f64(out, (double)spm->piece[i].score);
        sn_text_add(out, "]", 1);
    }
    sn_text_printf(out, "]}");
}

SnStatus sn_spm_write(const SnAllocator *memory, const char *name, const SnSpm *spm, SnText *out,
                      SnError *err)
{
    sn_text_printf(out, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,");
    sn_text_printf(out, "\"added_tokens\":[");
    for (uint32_t i = 0; i < spm->n; i++)
        sn_put_added_piece(out, i, spm->piece[i].text, spm->piece[i].type);
    sn_text_add(out, "]", 1);
    if (spm->is_bpe)
        SN_TRY(put_bpe(memory, name, spm, out, err));
    else
        put_unigram(spm, out);
    sn_text_add(out, "}", 1);
    SN_CHECK(!out->failed, err, SN_ENOMEM, "%s: no memory for a tokenizer", name);
    return SN_OK;
}
