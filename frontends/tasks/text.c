/* text.c -- tokenizing and decoding as programs: sn_model_tokenize, sn_model_decode, and the parts that other
 * tasks build into theirs. */
#include "frontends/tasks/text.h"

#include "ops/ops.h"

#include <stdio.h>

#define MAX_WINDOWS (1 << 20)
#define MAX_PADDED  (1 << 20) /* tokens of a row that is filled up */
#define WORD_CACHE  (5 << 20) /* bytes */
#define MOST_NEW    64        /* tokens in one run of a stream */
#define LONG_TEXT   (1 << 16) /* tokens; a longer limit takes memory even where no text reaches it */

SnStatus sn_text_need(SnModel *m, SnError *err)
{
    return m->tokenizer.n ? SN_OK : sn_tokenizer_open(m->ctx, m->files, &m->arena, &m->tokenizer, err);
}

/* Does a tokenizer give token_type_ids: as it says, or as its class does, or as that of its model type. */
static bool gives_types(const SnModel *m, const SnJson *config)
{
    static const char *const kinds[] = {"Bert",     "Electra",  "MobileBert",  "ConvBert",  "Funnel",
                                        "Lxmert",   "LayoutLM", "SqueezeBert", "DebertaV2", "Deberta",
                                        "RoFormer", "RemBert",  "Tapas"};
    static const char *const without[] = {"mpnet", "albert", "roberta", "camembert", "xlm-roberta", "bart"};
    const SnJson *names = sn_json_get(config, "model_input_names");
    SnBytes class = {0};
    bool found = false;
    if (names && names->kind == SN_JSON_ARRAY) {
        for (uint32_t i = 0; i < names->n; i++)
            found = found || sn_json_is(&names->u.child[i], "token_type_ids");
        return found;
    }
    if (!sn_json_string(sn_json_get(config, "tokenizer_class"), &class)) {
        for (size_t i = 0; m->config.json && i < SN_COUNT(without); i++)
            found = found || strcmp(m->config.model_type, without[i]) == 0;
        return !found;
    }
    for (size_t i = 0; i < SN_COUNT(kinds); i++) {
        const size_t n = strlen(kinds[i]);
        found = found || (class.n >= n + 9 && memcmp(class.at, kinds[i], n) == 0 &&
                          memcmp(class.at + n, "Tokenizer", 9) == 0);
    }
    return found;
}

SnStatus sn_text_config(SnModel *m, SnTextConfig *out, SnError *err)
{
    SnArena arena;
    SnFile *file = NULL;
    SnJson *json = NULL;
    sn_arena_init(&arena, sn_allocator(m->ctx));
    const char *path = sn_arena_printf(&arena, "%s/tokenizer_config.json", m->folder);
    SnStatus st = path ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", m->folder);
    if (st == SN_OK && sn_file_exists(path))
        st = sn_file_open(m->ctx, path, &file, err);
    if (st == SN_OK && file)
        st = sn_json_parse(&arena, path, sn_file_bytes(file), &json, err);
    const SnJson *class = sn_json_get(json, "tokenizer_class");
    *out = (SnTextConfig){.gives_types = gives_types(m, json)};
    out->is_generic =
        !sn_json_get(json, "model_input_names") &&
        (sn_json_is(class, "PreTrainedTokenizerFast") || sn_json_is(class, "TokenizersBackend"));
    out->cuts_left = sn_json_is(sn_json_get(json, "truncation_side"), "left");
    out->pads_left = sn_json_is(sn_json_get(json, "padding_side"), "left");
    (void)sn_json_bool(sn_json_get(json, "clean_up_tokenization_spaces"), &out->cleans_up);
    sn_file_release(file);
    sn_arena_clear(&arena);
    return st;
}

int64_t sn_text_limit(const SnModel *m)
{
    const SnTokenizerFacts f = sn_tokenizer_facts(m->tokenizer);
    return f.max_length && f.max_length < INT32_MAX ? (int64_t)f.max_length : 0;
}

/* ---- graph ---- */

/* ids, offsets and word ids of one of the two texts. */
static void text_tokens(SnGraph *g, SnValue tok, uint32_t grow, const char *input, SnValue batch,
                        SnValue out[3])
{
    const SnValue text = sn_input_list(g, input, SN_U8, 1, &batch);
    const SnAttr attr[] = {SN_INT("places", true), SN_INT("grow", grow)};
    const SnValue tokens = sn_op(g, "tok_encode", (SnValue[]){tok, text}, 2, attr, SN_COUNT(attr));
    for (int i = 0; i < 3; i++)
        out[i] = sn_get(g, tokens, i);
}

static int64_t strategy_of(SnTruncation t)
{
    return t == SN_TRUNCATE_ONLY_FIRST    ? SN_TOK_ONLY_FIRST
           : t == SN_TRUNCATE_ONLY_SECOND ? SN_TOK_ONLY_SECOND
                                          : SN_TOK_LONGEST_FIRST;
}

SnWindows sn_text_windows(SnModel *m, SnGraph *g, const SnWindowing *w)
{
    const SnTokenizerFacts facts = sn_tokenizer_facts(m->tokenizer);
    const SnValue batch = sn_symbol(g, "batch", 0, INT32_MAX);
    SnValue in[7] = {sn_object(g, "tokenizer", "tokenizer", m->tokenizer)};
    text_tokens(g, in[0], facts.grow, "text", batch, in + 1);
    if (w->has_pair)
        text_tokens(g, in[0], facts.grow, "pair", batch, in + 4);
    const int64_t added = w->no_special ? 0 : w->has_pair ? facts.added_pair : facts.added_single;
    const SnAttr attr[] = {SN_INT("max_length", w->truncation == SN_TRUNCATE_NONE ? -1 : w->max_length),
                           SN_INT("stride", w->stride),
                           SN_INT("strategy", strategy_of(w->truncation)),
                           SN_INT("left", w->truncate_left),
                           SN_INT("special", !w->no_special),
                           SN_INT("windows", w->windows),
                           SN_INT("added", added)};
    const SnValue t = sn_op(g, "tok_window", in, 7, attr, SN_COUNT(attr));
    return (SnWindows){.ids = sn_get(g, t, 0),
                       .types = sn_get(g, t, 1),
                       .special = sn_get(g, t, 2),
                       .offsets = sn_get(g, t, 3),
                       .word_ids = sn_get(g, t, 4),
                       .sequence = sn_get(g, t, 5),
                       .row = sn_get(g, t, 6),
                       .count = sn_get(g, t, 7)};
}

SnPadded sn_text_pad(SnModel *m, SnGraph *g, const SnWindows *w, int64_t bound)
{
    const SnTokenizerFacts f = sn_tokenizer_facts(m->tokenizer);
    const double pad = f.name[SN_TOK_PAD] == SN_TOK_NONE ? 0 : (double)f.name[SN_TOK_PAD];
    const SnValue most = {sn_value_type(g, w->ids)->bound, 0}; /* a row is at most as long as all together */
    const SnValue limit = bound ? sn_const_int(g, SN_I64, bound) : most;
    const SnValue seq = sn_measure(g, sn_list_max_len(g, w->ids), limit);
    return (SnPadded){.ids = sn_cast(g, sn_pad_list(g, w->ids, seq, pad, false), SN_I64),
                      .mask = sn_pad_mask(g, w->ids, seq, SN_I64, false),
                      .types = sn_cast(g, sn_pad_list(g, w->types, seq, 0, false), SN_I64)};
}

void sn_text_stream(SnModel *m, SnGraph *g, SnTextStream *s)
{
    const SnValue one = sn_const_int(g, SN_I64, 1), ids[] = {one, sn_symbol(g, "count", 1, MOST_NEW)};
    const SnAttr attr[] = {SN_INT("skip_special", !s->keep_special), SN_INT("keep_stop", s->keep_stop),
                           SN_INT("token_size", sn_tokenizer_facts(m->tokenizer).token_size)};
    const SnValue in[] = {s->tok, s->hold, sn_input(g, "new", SN_I32, 2, ids),
                          sn_input(g, "end", SN_I32, 1, &one), s->stop};
    const SnValue out = sn_op(g, "tok_stream", in, SN_COUNT(in) - !s->stop.ref, attr, SN_COUNT(attr));
    s->text = sn_get(g, out, 0);
    s->next = sn_get(g, out, 1);
    s->hit = sn_get(g, out, 2);
}

/* ---- views ---- */

SnStatus sn_text_view(SnArena *arena, const SnBytes *text, size_t n, SnView *out, SnError *err)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        SN_CHECK(sn_add_size(total, text[i].n, &total) && total < INT32_MAX, err, SN_ESHAPE,
                 "texts of more than 2 GiB in one call");
    int64_t *start = sn_arena_array(arena, n + 1, sizeof *start),
            *len = sn_arena_array(arena, n + 1, sizeof *len);
    uint8_t *bytes = sn_arena_alloc(arena, total + 1);
    SN_CHECK(start && len && bytes, err, SN_ENOMEM, "no memory for %zu texts", n);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        start[i] = (int64_t)at;
        len[i] = (int64_t)text[i].n;
        if (text[i].n)
            memcpy(bytes + at, text[i].at, text[i].n);
        at += text[i].n;
    }
    *out = sn_view(SN_U8, bytes, 1, (int64_t[]){(int64_t)n});
    out->start = start;
    out->len = len;
    out->child_count = (int64_t)total;
    return SN_OK;
}

/* ---- tokenize ---- */

static void fill_tokenize(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    (void)p;
    const SnWindows w = sn_text_windows(m, g, user);
    sn_output(g, "ids", w.ids);
    sn_output(g, "types", w.types);
    sn_output(g, "special", w.special);
    sn_output(g, "offsets", w.offsets);
    sn_output(g, "word_ids", w.word_ids);
    sn_output(g, "sequence", w.sequence);
    sn_output(g, "row", w.row);
    sn_output(g, "count", w.count);
}

static const SnView *result(const SnResults *r, const char *name)
{
    return &sn_results_find(r, name)->view;
}

/* Row i of a list of i32, copied into width elements; the rest is fill. */
static const int32_t *copy_row(SnArena *arena, const SnView *v, size_t i, size_t width, size_t n, size_t skip,
                               int32_t fill)
{
    int32_t *out = sn_arena_array(arena, width + 1, sizeof *out);
    for (size_t k = 0; out && k < width; k++)
        out[k] = fill;
    if (out && n)
        memcpy(out + skip, (const int32_t *)v->data + v->start[i], n * sizeof *out);
    return out;
}

typedef struct Padding {
    int64_t length; /* 0: none */
    bool left;
    int32_t id, type;
    SnBytes token;
} Padding;

static SnStatus encode_row(SnModel *m, const SnResults *r, size_t i, const Padding *pad, SnArena *arena,
                           SnEncoding *e, SnError *err)
{
    const size_t n = (size_t)result(r, "ids")->len[i];
    const size_t width = (size_t)pad->length > n ? (size_t)pad->length : n, skip = pad->left ? width - n : 0;
    int32_t *mask = sn_arena_array(arena, width + 1, sizeof *mask);
    SnBytes *token = sn_arena_array(arena, width + 1, sizeof *token);
    *e = (SnEncoding){.n = width,
                      .ids = copy_row(arena, result(r, "ids"), i, width, n, skip, pad->id),
                      .type_ids = copy_row(arena, result(r, "types"), i, width, n, skip, pad->type),
                      .special_mask = copy_row(arena, result(r, "special"), i, width, n, skip, 1),
                      .word_ids = copy_row(arena, result(r, "word_ids"), i, width, n, skip, -1),
                      .sequence_ids = copy_row(arena, result(r, "sequence"), i, width, n, skip, -1),
                      .offsets = copy_row(arena, result(r, "offsets"), i, 2 * width, 2 * n, 2 * skip, 0),
                      .attention_mask = mask,
                      .tokens = token};
    SN_CHECK(e->ids && e->type_ids && e->special_mask && e->word_ids && e->sequence_ids && e->offsets &&
                 mask && token,
             err, SN_ENOMEM, "no memory for tokens");
    for (size_t k = 0; k < width; k++) {
        mask[k] = k >= skip && k < skip + n;
        token[k] = mask[k] ? sn_tokenizer_text(m->tokenizer, (uint32_t)e->ids[k]) : pad->token;
    }
    return SN_OK;
}

static SnStatus padding_of(const SnModel *m, const SnTokenizeOptions *o, const SnView *ids, int64_t count,
                           Padding *out, SnError *err)
{
    const SnTokenizerFacts f = sn_tokenizer_facts(m->tokenizer);
    *out = (Padding){.left = o->pad_left, .id = f.padding.on ? (int32_t)f.padding.id : 0};
    if (!o->pad)
        return SN_OK;
    uint32_t id = f.name[SN_TOK_PAD] != SN_TOK_NONE ? f.name[SN_TOK_PAD] : (uint32_t)out->id;
    if (o->pad_token)
        id = sn_tokenizer_id(m->tokenizer, sn_bytes_str(o->pad_token));
    SN_CHECK(id != SN_TOK_NONE, err, SN_EINVAL, "pad token %s: not in the vocabulary",
             o->pad_token ? o->pad_token : "[PAD]");
    out->id = (int32_t)id;
    out->type = (int32_t)f.padding.type_id;
    out->token = sn_tokenizer_text(m->tokenizer, id);
    int64_t longest = 0;
    for (int64_t i = 0; i < count; i++)
        longest = ids->len[i] > longest ? ids->len[i] : longest;
    out->length = sn_tokens_pad_length(longest, o->pad_length, o->pad_multiple);
    SN_CHECK(out->length <= MAX_PADDED || out->length == longest, err, SN_EINVAL,
             "padding to %lld tokens, at most %d", (long long)out->length, MAX_PADDED);
    return SN_OK;
}

/* Windows of a text follow each other; each text's first goes to out, the others behind it. */
static SnStatus collect(SnModel *m, const SnResults *r, size_t n, const SnTokenizeOptions *o, SnArena *arena,
                        SnEncoding **out, SnError *err)
{
    const int64_t count = *(const int64_t *)result(r, "count")->data;
    const int32_t *row = result(r, "row")->data;
    Padding pad;
    SN_TRY(padding_of(m, o, result(r, "ids"), count, &pad, err));
    SnEncoding *first = sn_arena_array(arena, n + 1, sizeof *first);
    SnEncoding **last = sn_arena_array(arena, n + 1, sizeof *last);
    SN_CHECK(first && last, err, SN_ENOMEM, "no memory for tokens");
    for (int64_t i = 0; i < count; i++) {
        const size_t t = (size_t)row[i];
        SN_CHECK(row[i] >= 0 && t < n, err, SN_EINTERNAL, "window %lld of text %d", (long long)i, row[i]);
        SnEncoding *e = last[t] ? sn_arena_alloc(arena, sizeof *e) : &first[t];
        SN_CHECK(e, err, SN_ENOMEM, "no memory for tokens");
        SN_TRY(encode_row(m, r, (size_t)i, &pad, arena, e, err));
        if (last[t])
            last[t]->overflow = e;
        last[t] = e;
    }
    *out = first;
    return SN_OK;
}

static SnStatus run_windows(SnModel *m, const SnWindowing *w, const SnNamedTensor *in, SnResults **out,
                            SnError *err)
{
    SnModelProgram *p = NULL;
    char key[128];
    (void)snprintf(key, sizeof key, "tokenize %d %d %d %d %lld %lld %lld", w->has_pair, w->no_special,
                   w->truncate_left, (int)w->truncation, (long long)w->max_length, (long long)w->stride,
                   (long long)w->windows);
    SN_TRY(sn_model_program(m, key, fill_tokenize, (void *)(uintptr_t)w, &p, err));
    return sn_model_run(m, p, in, w->has_pair ? 2 : 1, out, err);
}

/* A limit that no text can reach is none. A character is at most two tokens. */
static SnStatus drop_limit(const SnModel *m, const SnBytes *text, const SnBytes *pair, size_t n,
                           SnWindowing *w, SnError *err)
{
    const int64_t added = (int64_t)sn_tokenizer_facts(m->tokenizer).added_single;
    if (w->truncation == SN_TRUNCATE_NONE || w->max_length <= LONG_TEXT)
        return SN_OK;
    SN_CHECK(
        w->stride <= w->max_length - added, err, SN_EINVAL,
        "truncation: stride %lld is greater than the %lld tokens that %lld less %lld special tokens leave",
        (long long)w->stride, (long long)(w->max_length - added), (long long)w->max_length, (long long)added);
    for (size_t i = 0; i < n; i++)
        if ((uint64_t)w->max_length - LONG_TEXT <= 2 * ((uint64_t)text[i].n + (pair ? pair[i].n : 0)))
            return SN_OK;
    w->truncation = SN_TRUNCATE_NONE;
    return SN_OK;
}

SnStatus sn_text_encode(SnModel *m, const SnBytes *text, const SnBytes *pair, size_t n,
                        const SnTokenizeOptions *o, SnArena *arena, SnEncoding **out, SnError *err)
{
    SnNamedTensor in[2] = {{.name = "text"}, {.name = "pair"}};
    SN_TRY(sn_text_need(m, err));
    SN_TRY(sn_text_view(arena, text, n, &in[0].view, err));
    if (pair)
        SN_TRY(sn_text_view(arena, pair, n, &in[1].view, err));
    const int64_t own = sn_text_limit(m);
    SnWindowing w = {.has_pair = pair != NULL,
                     .no_special = o->no_special,
                     .truncate_left = o->truncate_left,
                     .truncation = o->truncation,
                     .max_length = o->max_length ? o->max_length : own,
                     .stride = o->stride};
    if (w.max_length == 0)
        w.truncation = SN_TRUNCATE_NONE;
    SN_TRY(drop_limit(m, text, pair, n, &w, err));
    if (w.truncation == SN_TRUNCATE_NONE)
        w.max_length = w.stride = 0;
    /* The number of windows is known after a run: ask for more until all fit. */
    w.windows = w.truncation == SN_TRUNCATE_NONE ? 0 : 64;
    while (w.windows && (size_t)w.windows < 2 * n)
        w.windows *= 2;
    for (;;) {
        SnResults *r = NULL;
        SN_TRY(run_windows(m, &w, in, &r, err));
        const int64_t count = *(const int64_t *)result(r, "count")->data;
        const bool fits = w.windows == 0 || count <= w.windows;
        SnStatus st = fits ? collect(m, r, n, o, arena, out, err) : SN_OK;
        sn_results_destroy(r);
        if (fits || st != SN_OK)
            return st;
        SN_CHECK(count <= MAX_WINDOWS, err, SN_ESHAPE, "%lld windows, at most %d", (long long)count,
                 MAX_WINDOWS);
        while (w.windows < count)
            w.windows *= 2;
    }
}

SnStatus sn_model_tokenize(SnModel *m, const SnBytes *text, const SnBytes *pair, size_t ntext,
                           const SnTokenizeOptions *o, SnArena *arena, SnEncoding **out, SnError *err)
{
    static const SnTokenizeOptions plain = {.struct_size = sizeof plain};
    return sn_text_encode(m, text, pair, ntext, o ? o : &plain, arena, out, err);
}

/* ---- decode ---- */

static void fill_decode(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    (void)p;
    const bool *skip_special = user;
    const SnTokenizerFacts f = sn_tokenizer_facts(m->tokenizer);
    const SnValue batch = sn_symbol(g, "batch", 0, INT32_MAX);
    const SnValue tok = sn_object(g, "tokenizer", "tokenizer", m->tokenizer);
    const SnValue ids = sn_input_list(g, "ids", SN_I32, 1, &batch);
    const SnAttr attr[] = {SN_INT("skip_special", *skip_special), SN_INT("token_size", f.token_size)};
    sn_output(g, "text", sn_op(g, "tok_decode", (SnValue[]){tok, ids}, 2, attr, SN_COUNT(attr)));
}

SnStatus sn_model_decode_ids(SnModel *m, const int32_t *ids, size_t n, bool skip_special, SnText *out,
                             SnError *err)
{
    static const char *const key[] = {"decode", "decode skip"};
    const int64_t start = 0, len = (int64_t)n;
    SnNamedTensor in = {.name = "ids", .view = sn_view(SN_I32, (void *)(uintptr_t)ids, 1, (int64_t[]){1})};
    SnModelProgram *p = NULL;
    SnResults *r = NULL;
    in.view.start = &start;
    in.view.len = &len;
    in.view.child_count = len;
    SN_TRY(sn_text_need(m, err));
    SN_TRY(sn_model_program(m, key[skip_special], fill_decode, &skip_special, &p, err));
    SN_TRY(sn_model_run(m, p, &in, 1, &r, err));
    const SnView *v = result(r, "text");
    sn_text_add(out, (const char *)v->data + v->start[0], (size_t)v->len[0]);
    sn_results_destroy(r);
    SN_CHECK(!out->failed, err, SN_ENOMEM, "no memory for text");
    return SN_OK;
}

static void fill_encode(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    (void)p;
    (void)user;
    const SnValue one = sn_const_int(g, SN_I64, 1);
    const SnValue in[] = {sn_object(g, "tokenizer", "tokenizer", m->tokenizer),
                          sn_input_list(g, "text", SN_U8, 1, &one)};
    const SnAttr attr[] = {SN_INT("grow", sn_tokenizer_facts(m->tokenizer).grow), SN_INT("memo", WORD_CACHE)};
    sn_output(g, "ids", sn_get(g, sn_op(g, "tok_encode", in, 2, attr, SN_COUNT(attr)), 0));
}

SnStatus sn_model_codec(SnModel *m, SnPrepared *encode, SnPrepared *decode, SnError *err)
{
    bool skip_special = false;
    SnModelProgram *e = NULL, *d = NULL;
    SN_TRY(sn_text_need(m, err));
    SN_TRY(sn_model_program(m, "encode", fill_encode, NULL, &e, err));
    SN_TRY(sn_model_program(m, "decode", fill_decode, &skip_special, &d, err));
    *encode = (SnPrepared){.program = e->program, .instance = e->instance};
    *decode = (SnPrepared){.program = d->program, .instance = d->instance};
    return SN_OK;
}

SnStatus sn_model_decode(SnModel *m, const int64_t *ids, size_t n, bool skip_special, SnText *out,
                         SnError *err)
{
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(m->ctx));
    int32_t *narrow = sn_arena_array(&arena, n + 1, sizeof *narrow);
    SnStatus st = narrow ? SN_OK : sn_fail(err, SN_ENOMEM, "no memory for %zu ids", n);
    for (size_t i = 0; st == SN_OK && i < n; i++) {
        narrow[i] = (int32_t)ids[i];
        if (ids[i] < 0 || ids[i] > INT32_MAX)
            st = sn_fail(err, SN_EINVAL, "id %lld is out of range", (long long)ids[i]);
    }
    if (st == SN_OK)
        st = sn_model_decode_ids(m, narrow, n, skip_special, out, err);
    sn_arena_clear(&arena);
    return st;
}
