/* text.c -- tokenizing and decoding as programs: sn_model_tokenize, sn_model_decode, and the parts that other
 * tasks build into theirs. */
#include "frontends/tasks/text.h"

#include "ops/ops.h"

#include <stdio.h>

#define MAX_WINDOWS (1 << 20)
#define MAX_PADDED  (1 << 20)  /* tokens of a row that is filled up */
#define WORD_CACHE  (13 << 20) /* bytes; only what words touch is taken */
#define MOST_NEW    64         /* tokens in one run of a stream */
#define LONG_TEXT   (1 << 16)  /* tokens; a longer limit takes memory even where no text reaches it */

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
    const SnJson *names = sn_json_get(config, "model_input_names");
    SnBytes class = {0};
    bool found = false;
    if (names && names->kind == SN_JSON_ARRAY) {
        for (uint32_t i = 0; i < names->n; i++)
            found = found || sn_json_is(&names->u.child[i], "token_type_ids");
        return found;
    }
    if (!sn_json_string(sn_json_get(config, "tokenizer_class"), &class))
        return !m->config.json || !sn_is_one_of(sn_bytes_str(m->config.model_type),
                                                "mpnet albert roberta camembert xlm-roberta bart");
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
    SnJson *json = NULL;
    sn_arena_init(&arena, sn_allocator(m->ctx));
    const char *path = sn_arena_printf(&arena, "%s/tokenizer_config.json", m->folder);
    SnStatus st = path ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", m->folder);
    if (st == SN_OK && sn_file_exists(path))
        st = sn_json_read(m->ctx, &arena, path, &json, err);
    const SnJson *class = sn_json_get(json, "tokenizer_class");
    *out = (SnTextConfig){.gives_types = gives_types(m, json)};
    out->is_generic =
        !sn_json_get(json, "model_input_names") &&
        (sn_json_is(class, "PreTrainedTokenizerFast") || sn_json_is(class, "TokenizersBackend"));
    out->has_response = !sn_json_is_null(sn_json_get(json, "response_template"));
    out->cuts_left = sn_json_is(sn_json_get(json, "truncation_side"), "left");
    out->pads_left = sn_json_is(sn_json_get(json, "padding_side"), "left");
    out->cleans_up = sn_json_bool_of(json, "clean_up_tokenization_spaces", false);
    sn_arena_clear(&arena);
    return st;
}

int64_t sn_text_limit(const SnModel *m)
{
    const SnTokenizerFacts f = sn_tokenizer_facts(m->tokenizer);
    return f.max_length && f.max_length < INT32_MAX ? (int64_t)f.max_length : 0;
}

/* ---- graph ---- */

SnValue sn_text_room(SnModel *m, SnGraph *g, SnValue tok, SnValue text)
{
    const uint32_t grow = sn_tokenizer_facts(m->tokenizer).grow;
    const SnValue most =
        sn_mul(g, (SnValue){sn_value_type(g, text)->bound, 0}, sn_const_int(g, SN_I64, grow));
    return grow == 1 ? most : sn_measure(g, sn_op(g, "tok_room", (SnValue[]){tok, text}, 2, NULL, 0), most);
}

/* ids, offsets and word ids of one of the two texts; the rest goes to w. */
static void text_tokens(SnModel *m, SnGraph *g, const SnWindowing *o, int which, SnValue in[7], SnWindows *w)
{
    static const char *const name[2][3] = {{"text", "text_words", "words"}, {"pair", "pair_words", "words2"}};
    const SnValue batch = sn_symbol(g, "batch", 0, INT32_MAX);
    const SnValue rows = o->has_words ? sn_symbol(g, name[which][2], 0, INT32_MAX) : batch;
    const SnValue text = sn_input_list(g, name[which][0], SN_U8, 1, &rows);
    const SnValue words = o->has_words ? sn_input(g, name[which][1], SN_I64, 1, &batch) : (SnValue){0};
    const SnAttr attr[] = {SN_INT("places", o->has_places), SN_INT("about", o->has_about ? which + 1 : 0)};
    const SnValue of[] = {in[0], text, sn_text_room(m, g, in[0], text), words};
    const SnValue t = sn_op(g, "tok_encode", of, 4, attr, SN_COUNT(attr));
    for (int i = 0; i < 3; i++)
        in[1 + 3 * which + i] = sn_get(g, t, i);
    w->about[which] = sn_get(g, t, 3);
    w->own[which] = sn_get(g, t, 4);
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
    SnValue in[7] = {sn_object(g, "tokenizer", "tokenizer", m->tokenizer)};
    SnWindows out = {.ids = {0}};
    for (int i = 0; i <= w->has_pair; i++)
        text_tokens(m, g, w, i, in, &out);
    const int64_t added = w->no_special ? 0 : w->has_pair ? facts.added_pair : facts.added_single;
    const SnAttr attr[] = {SN_INT("max_length", w->truncation == SN_TRUNCATE_NONE ? -1 : w->max_length),
                           SN_INT("stride", w->stride),
                           SN_INT("strategy", strategy_of(w->truncation)),
                           SN_INT("left", w->truncate_left),
                           SN_INT("special", !w->no_special),
                           SN_INT("windows", w->windows),
                           SN_INT("added", added)};
    const SnValue t = sn_op(g, "tok_window", in, 7, attr, SN_COUNT(attr));
    SnValue *const part[] = {&out.ids,      &out.types,    &out.special, &out.offsets,
                             &out.word_ids, &out.sequence, &out.row,     &out.count};
    for (size_t i = 0; i < SN_COUNT(part); i++)
        *part[i] = sn_get(g, t, (int)i);
    return out;
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
    static const char *const about[] = {"about", "about2"}, *const own[] = {"own", "own2"};
    const SnWindowing *o = user;
    const SnWindows w = sn_text_windows(m, g, o);
    sn_output(g, "ids", w.ids);
    sn_output(g, "types", w.types);
    sn_output(g, "row", w.row);
    sn_output(g, "count", w.count);
    if (!o->has_places)
        return;
    for (int i = 0; i <= o->has_pair; i++) {
        sn_output(g, about[i], w.about[i]);
        sn_output(g, own[i], w.own[i]);
    }
    sn_output(g, "special", w.special);
    sn_output(g, "offsets", w.offsets);
    sn_output(g, "word_ids", w.word_ids);
    sn_output(g, "sequence", w.sequence);
}

static const SnView *result(const SnResults *r, const char *name)
{
    return &sn_results_find(r, name)->view;
}

/* Row i of a list of i32, copied into width elements; the rest is fill. */
static int32_t *copy_row(SnArena *arena, const SnView *v, size_t i, size_t width, size_t n, size_t skip,
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

/* Word ids and texts of the tokens [skip, skip + n) of row i, from the numbers in their place; text is the
 * one that the row is of. */
static bool look_up(const SnModel *m, const SnResults *r, size_t text, size_t skip, size_t n, SnArena *arena,
                    const SnEncoding *e, int32_t *word, SnBytes *token)
{
    static const char *const about[] = {"about", "about2"}, *const own[] = {"own", "own2"};
    const uint32_t numbers = (1u << 30) - 1;
    for (size_t k = skip; k < skip + n; k++) {
        token[k] = sn_tokenizer_token(m->tokenizer, (uint32_t)e->ids[k]);
        if (word[k] < 0)
            continue;
        const int which = word[k] >> 30;
        const SnView *v = result(r, about[which]), *texts = result(r, own[which]);
        const int32_t *a =
            (const int32_t *)v->data + v->start[text] + 3 * (size_t)((uint32_t)word[k] & numbers);
        word[k] = a[0];
        if (a[1] == a[2])
            continue;
        const size_t size = (size_t)(a[2] - a[1]);
        const char *copy =
            sn_arena_strndup(arena, (const char *)texts->data + texts->start[text] + a[1], size);
        if (!copy)
            return false;
        token[k] = sn_bytes(copy, size);
    }
    return true;
}

/* Without a template the reference takes all of a window for the first text, padding too, where it is not
 * told which tokens are: it is told for the first parts of two texts. */
static int32_t padded_sequence(const SnModel *m, const SnResults *r, size_t i)
{
    const SnView *sequence = result(r, "sequence");
    const int32_t *id = (const int32_t *)sequence->data + sequence->start[i], *row = result(r, "row")->data;
    const bool has_pair = sn_results_find(r, "own2"), is_first = i == 0 || row[i] != row[i - 1];
    if (sn_tokenizer_has_template(m->tokenizer) || (has_pair && is_first))
        return -1;
    for (int64_t k = 0; k < sequence->len[i]; k++)
        if (id[k] != 0)
            return -1;
    return 0;
}

/* ids, types and mask of row i, filled up. */
static SnStatus encode_ids(const SnResults *r, size_t i, const Padding *pad, SnArena *arena, SnEncoding *e,
                           SnError *err)
{
    const size_t n = (size_t)result(r, "ids")->len[i];
    const size_t width = (size_t)pad->length > n ? (size_t)pad->length : n, skip = pad->left ? width - n : 0;
    int32_t *mask = sn_arena_array(arena, width + 1, sizeof *mask);
    *e = (SnEncoding){.n = width,
                      .ids = copy_row(arena, result(r, "ids"), i, width, n, skip, pad->id),
                      .type_ids = copy_row(arena, result(r, "types"), i, width, n, skip, pad->type),
                      .attention_mask = mask};
    SN_CHECK(e->ids && e->type_ids && mask, err, SN_ENOMEM, "no memory for tokens");
    for (size_t k = skip; k < skip + n; k++)
        mask[k] = 1;
    return SN_OK;
}

static SnStatus encode_row(SnModel *m, const SnResults *r, size_t i, const Padding *pad, SnArena *arena,
                           SnEncoding *e, SnError *err)
{
    SN_TRY(encode_ids(r, i, pad, arena, e, err));
    if (!sn_results_find(r, "offsets"))
        return SN_OK;
    const size_t n = (size_t)result(r, "ids")->len[i], width = e->n, skip = pad->left ? width - n : 0;
    const size_t text = (size_t)((const int32_t *)result(r, "row")->data)[i];
    SnBytes *token = sn_arena_array(arena, width + 1, sizeof *token);
    int32_t *word = copy_row(arena, result(r, "word_ids"), i, width, n, skip, -1);
    e->special_mask = copy_row(arena, result(r, "special"), i, width, n, skip, 1);
    e->word_ids = word;
    e->sequence_ids = copy_row(arena, result(r, "sequence"), i, width, n, skip, padded_sequence(m, r, i));
    e->offsets = copy_row(arena, result(r, "offsets"), i, 2 * width, 2 * n, 2 * skip, 0);
    e->tokens = token;
    const bool is_whole = e->special_mask && word && e->sequence_ids && e->offsets && token &&
                          look_up(m, r, text, skip, n, arena, e, word, token);
    SN_CHECK(is_whole, err, SN_ENOMEM, "no memory for tokens");
    for (size_t k = 0; k < width; k++)
        token[k] = e->attention_mask[k] ? token[k] : pad->token;
    return SN_OK;
}

static SnStatus padding_of(const SnModel *m, const SnTokenizeOptions *o, const SnResults *r, Padding *out,
                           SnError *err)
{
    const int64_t count = *(const int64_t *)result(r, "count")->data;
    const int32_t *row = result(r, "row")->data;
    const SnView *ids = result(r, "ids");

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
    int64_t longest = 0; /* of the first windows of all texts */
    for (int64_t i = 0; i < count; i++)
        if (ids->len[i] > longest && (i == 0 || row[i] != row[i - 1]))
            longest = ids->len[i];
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
    SN_TRY(padding_of(m, o, r, &pad, err));
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

static SnStatus run_windows(SnModel *m, const SnWindowing *w, const SnNamedTensor *in, size_t nin,
                            SnResults **out, SnError *err)
{
    SnModelProgram *p = NULL;
    char key[128];
    (void)snprintf(key, sizeof key, "tokenize %d %d %d %d %d %d %lld %lld %lld", w->has_pair, w->has_words,
                   w->has_places, w->no_special, w->truncate_left, (int)w->truncation,
                   (long long)w->max_length, (long long)w->stride, (long long)w->windows);
    SN_TRY(sn_model_program(m, key, fill_tokenize, (void *)(uintptr_t)w, &p, err));
    return sn_model_run(m, p, in, nin, out, err);
}

/* Bytes of the longest of n texts, each of so many words or of one. */
static uint64_t longest_of(const SnView *text, const int64_t *words, size_t n)
{
    uint64_t longest = 0;
    int64_t at = 0;
    for (size_t i = 0; text && i < n; i++) {
        uint64_t size = 0;
        for (int64_t k = words ? words[i] : 1; k > 0; k--)
            size += (uint64_t)text->len[at++];
        longest = size > longest ? size : longest;
    }
    return longest;
}

/* A limit that no text of so many bytes can reach is none. A character is at most two tokens. */
static SnStatus drop_limit(const SnModel *m, uint64_t longest, SnWindowing *w, SnError *err)
{
    const int64_t added = (int64_t)sn_tokenizer_facts(m->tokenizer).added_single;
    if (w->truncation == SN_TRUNCATE_NONE || w->max_length <= LONG_TEXT)
        return SN_OK;
    SN_CHECK(
        w->stride <= w->max_length - added, err, SN_EINVAL,
        "truncation: stride %lld is greater than the %lld tokens that %lld less %lld special tokens leave",
        (long long)w->stride, (long long)(w->max_length - added), (long long)w->max_length, (long long)added);
    if ((uint64_t)w->max_length - LONG_TEXT > 2 * longest)
        w->truncation = SN_TRUNCATE_NONE;
    return SN_OK;
}

/* Texts, or their words, as inputs of the program. */
static SnStatus bind_texts(SnArena *arena, const SnBytes *text, size_t n, const int64_t *words, bool is_pair,
                           SnNamedTensor in[4], size_t *nin, SnError *err)
{
    int64_t nword = 0;
    for (size_t i = 0; words && i < n; i++)
        SN_CHECK(words[i] >= 0 && sn_add_i64(nword, words[i], &nword), err, SN_EINVAL,
                 "text %zu of %lld words", i, (long long)words[i]);
    in[*nin].name = is_pair ? "pair" : "text";
    SN_TRY(sn_text_view(arena, text, words ? (size_t)nword : n, &in[(*nin)++].view, err));
    if (words)
        in[(*nin)++] =
            (SnNamedTensor){.name = is_pair ? "pair_words" : "text_words",
                            .view = sn_view(SN_I64, (void *)(uintptr_t)words, 1, (int64_t[]){(int64_t)n})};
    return SN_OK;
}

SnStatus sn_text_encode(SnModel *m, const SnBytes *text, const SnBytes *pair, size_t n,
                        const SnTokenizeOptions *o, SnArena *arena, SnEncoding **out, SnError *err)
{
    SnNamedTensor in[4] = {{.name = NULL}};
    size_t nin = 0;
    SN_TRY(sn_text_need(m, err));
    SN_CHECK(!pair || !o->words == !o->pair_words, err, SN_EINVAL, "words of only one of two texts");
    SN_TRY(bind_texts(arena, text, n, o->words, false, in, &nin, err));
    if (pair)
        SN_TRY(bind_texts(arena, pair, n, o->pair_words, true, in, &nin, err));
    const int64_t own = sn_text_limit(m);
    SnWindowing w = {.has_pair = pair != NULL,
                     .has_words = o->words != NULL,
                     .has_places = !o->ids_only,
                     .has_about = !o->ids_only,
                     .no_special = o->no_special,
                     .truncate_left = o->truncate_left,
                     .truncation = o->truncation,
                     .max_length = o->max_length ? o->max_length : own,
                     .stride = o->stride};
    if (w.max_length == 0)
        w.truncation = SN_TRUNCATE_NONE;
    const uint64_t longest =
        longest_of(&in[0].view, o->words, n) + longest_of(pair ? &in[nin / 2].view : NULL, o->pair_words, n);
    SN_TRY(drop_limit(m, longest, &w, err));
    if (w.truncation == SN_TRUNCATE_NONE)
        w.max_length = w.stride = 0;
    /* The number of windows is known after a run: ask for more until all fit. */
    w.windows = w.truncation == SN_TRUNCATE_NONE ? 0 : 64;
    while (w.windows && (size_t)w.windows < 2 * n)
        w.windows *= 2;
    /* Where template tokens leave no room, further windows have whole texts. */
    if (w.windows && (uint64_t)w.max_length <= 1u + sn_tokenizer_facts(m->tokenizer).added_pair)
        SN_CHECK(longest < MAX_WINDOWS && sn_mul_i64(w.windows, 1 + (int64_t)longest, &w.windows), err,
                 SN_ESHAPE, "texts of %llu bytes in windows without room", (unsigned long long)longest);
    for (;;) {
        SnResults *r = NULL;
        SN_TRY(run_windows(m, &w, in, nin, &r, err));
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
    const SnValue tok = sn_object(g, "tokenizer", "tokenizer", m->tokenizer);
    const SnValue text = sn_input_list(g, "text", SN_U8, 1, &one);
    const SnValue in[] = {tok, text, sn_text_room(m, g, tok, text)};
    const SnAttr attr[] = {SN_INT("memo", WORD_CACHE)};
    sn_output(g, "ids", sn_get(g, sn_op(g, "tok_encode", in, 3, attr, SN_COUNT(attr)), 0));
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
