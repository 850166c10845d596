/* collate.c -- texts of a dataset become rows of tokens, rows become batches: Transformers' collators. */
#include "frontends/training/collate.h"

#include "frontends/tasks/text.h"
#include "runtime/hash.h"

#include <math.h>
#include <stdlib.h>

#define IGNORED    (-100)
#define MAX_LABELS 1000000
#define ANSWER_SEQ 384 /* of run_qa.py */
#define MAX_FILES  4096

void sn_train_rows_clear(SnTrainRows *r, const SnAllocator *memory)
{
    sn_vec_clear(memory, &r->start);
    sn_vec_clear(memory, &r->ids);
    sn_vec_clear(memory, &r->types);
    sn_vec_clear(memory, &r->labels);
    sn_vec_clear(memory, &r->target);
    sn_vec_clear(memory, &r->target_end);
    sn_vec_clear(memory, &r->place);
    sn_vec_clear(memory, &r->example);
    r->n = 0;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

SnStatus sn_collate_begin(SnCollate *c, const SnModel *model, SnError *err)
{
    if (c->task == SN_TRAIN_IMAGE)
        return sn_images_begin(c, model, err);
    SN_TRY(sn_text_need(c->text, err));
    const SnTokenizerFacts f = sn_tokenizer_facts(c->text->tokenizer);
    SnTextConfig text;
    SN_TRY(sn_text_config(c->text, &text, err));
    const int64_t own = sn_text_limit(c->text),
                  places = sn_config_int(&model->config, "max_position_embeddings", 0);
    const char *key = c->task == SN_TRAIN_CAUSAL ? "block_size" : "max_length";
    int64_t limit = own && places ? least(own, places) : own ? own : places ? places : 1024;
    if (c->task == SN_TRAIN_CAUSAL)
        limit = least(limit, 1024);
    if (c->task == SN_TRAIN_ANSWER)
        limit = least(limit, ANSWER_SEQ);
    c->most = sn_arg(c->config, key) ? sn_arg_int(c->config, key) : limit;
    SN_CHECK(!places || c->most <= places, err, SN_EINVAL, "config: %s: the model has %lld positions", key,
             (long long)places);
    c->most_target = sn_arg_int(c->config, "max_target_length");
    c->vocabulary = sn_config_int(&model->config, "vocab_size", 0);
    c->mask = f.name[SN_TOK_MASK] == SN_TOK_NONE ? -1 : (int32_t)f.name[SN_TOK_MASK];
    c->pad = f.name[SN_TOK_PAD] == SN_TOK_NONE ? (int32_t)sn_config_int(&model->config, "pad_token_id", 0)
                                               : (int32_t)f.name[SN_TOK_PAD];
    const bool is_answer = c->task == SN_TRAIN_ANSWER;
    c->is_flat = sn_arg_bool(c->config, "padding_free");
    SN_CHECK(!c->is_flat || c->task == SN_TRAIN_CAUSAL, err, SN_EUNSUPPORTED,
             "config: padding_free: it is for text-generation");
    c->skips_pad = c->task == SN_TRAIN_CAUSAL && !c->is_flat && !sn_arg_bool(c->config, "packing") &&
                   f.name[SN_TOK_PAD] != SN_TOK_NONE;
    c->gives_types = text.gives_types && (is_answer || sn_arg(c->config, "text_pair_column"));
    c->is_padded =
        sn_arg(c->config, "pad_to_max_length") ? sn_arg_bool(c->config, "pad_to_max_length") : is_answer;
    SN_CHECK(c->task != SN_TRAIN_MASKED || c->mask >= 0, err, SN_EINVAL,
             "%s: the tokenizer has no mask token", c->text->folder);
    return SN_OK;
}

/* ---- files and columns ---- */

SnStatus sn_collate_open(const SnCollate *c, const SnJson *path, SnDataset **out, SnError *err)
{
    const SnJson *names = sn_arg(c->config, "column_names");
    const uint32_t npath = path->kind == SN_JSON_ARRAY ? path->n : 1;
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(c->ctx));
    const char **file = sn_arena_array(&arena, npath + 1u, sizeof *file),
               **name = sn_arena_array(&arena, names ? names->n + 1u : 1, sizeof *name);
    SnDataOptions o = {.struct_size = sizeof o,
                       .format = sn_arg_string(c->config, "file_format"),
                       .names = name,
                       .sample_by = c->task == SN_TRAIN_CAUSAL ? "document" : NULL};
    SnStatus st = file && name ? SN_OK : sn_fail(err, SN_ENOMEM, "data: no memory");
    for (uint32_t i = 0; st == SN_OK && i < npath; i++) {
        const SnJson *v = path->kind == SN_JSON_ARRAY ? sn_json_at(path, i) : path;
        if (npath > MAX_FILES || v->kind != SN_JSON_STRING)
            st = sn_fail(err, SN_EINVAL, "config: train_file, validation_file: expected a path, or a list");
        else
            file[i] = (const char *)v->u.string.at;
    }
    for (uint32_t i = 0; st == SN_OK && names && i < names->n; i++) {
        const SnJson *v = sn_json_at(names, i);
        if (names->kind != SN_JSON_ARRAY || v->kind != SN_JSON_STRING)
            st = sn_fail(err, SN_EINVAL, "config: column_names: expected a list of names");
        else
            name[o.nname++] = (const char *)v->u.string.at;
    }
    o.no_header = o.nname > 0;
    if (st == SN_OK)
        st = sn_dataset_open(c->ctx, file, npath, &o, out, err);
    sn_arena_clear(&arena);
    return st;
}

/* The column that a key names, else the first one with a usual name; -1: none. */
static SnStatus find_column(const SnCollate *c, const SnDataset *d, const char *key, const char *const *usual,
                            int64_t *out, SnError *err)
{
    const char *name = sn_arg_string(c->config, key);
    uint32_t at = 0;
    *out = -1;
    if (name) {
        SN_TRY(sn_dataset_find(d, name, &at, err));
        *out = at;
    }
    for (; !name && *usual && *out < 0; usual++)
        for (uint32_t i = 0; i < sn_dataset_columns(d); i++)
            if (strcmp(sn_dataset_feature(d, i)->name, *usual) == 0)
                *out = i;
    return SN_OK;
}

static SnStatus text_column(const SnCollate *c, const SnDataset *d, int64_t *out, SnError *err)
{
    static const char *const texts[] = {"text", "sentence", "content", "document", "article", NULL},
                             *const words[] = {"tokens", "words", NULL};
    const SnDataKind kind = c->task == SN_TRAIN_TAG ? SN_DATA_LIST : SN_DATA_TEXT;
    SN_TRY(find_column(c, d, "text_column", c->task == SN_TRAIN_TAG ? words : texts, out, err));
    for (uint32_t i = 0; *out < 0 && i < sn_dataset_columns(d); i++)
        if (sn_dataset_feature(d, i)->kind == kind)
            *out = i;
    SN_CHECK(*out >= 0, err, SN_EINVAL, "data: no column of texts: text_column names it");
    const SnFeature *f = sn_dataset_feature(d, (uint32_t)*out);
    SN_CHECK(f->kind == kind && (kind == SN_DATA_TEXT || f->child->kind == SN_DATA_TEXT), err, SN_EINVAL,
             "data: column %s: expected %s", f->name, kind == SN_DATA_LIST ? "lists of words" : "texts");
    return SN_OK;
}

static SnStatus label_column(const SnCollate *c, const SnDataset *d, int64_t *out, SnError *err)
{
    static const char *const rows[] = {"label", "labels", NULL}, *const words[] = {"ner_tags", "tags",
                                                                                   "labels", "pos_tags",
                                                                                   NULL};
    SN_TRY(find_column(c, d, "label_column", c->task == SN_TRAIN_TAG ? words : rows, out, err));
    SN_CHECK(*out >= 0, err, SN_EINVAL, "data: no column of labels: label_column names it");
    const SnFeature *f = sn_dataset_feature(d, (uint32_t)*out);
    SN_CHECK((f->kind == SN_DATA_LIST) == (c->task == SN_TRAIN_TAG), err, SN_EUNSUPPORTED,
             "data: column %s: expected %s", f->name,
             c->task == SN_TRAIN_TAG ? "lists of labels" : "a label a row");
    return SN_OK;
}

static SnStatus target_column(const SnCollate *c, const SnDataset *d, int64_t *out, SnError *err)
{
    static const char *const texts[] = {"target", "summary", "highlights", NULL};
    const char *key = sn_arg(c->config, "summary_column") ? "summary_column" : "target_column";
    SN_CHECK(key[0] == 't' || !sn_arg(c->config, "target_column"), err, SN_EINVAL,
             "config: summary_column and target_column: one of them");
    SN_TRY(find_column(c, d, key, texts, out, err));
    SN_CHECK(*out >= 0, err, SN_EINVAL,
             "data: no column of texts that are to come out: target_column names it");
    const SnFeature *f = sn_dataset_feature(d, (uint32_t)*out);
    SN_CHECK(f->kind == SN_DATA_TEXT, err, SN_EINVAL, "data: column %s: expected texts", f->name);
    return SN_OK;
}

/* {"en": .., "de": ..} by the names of languages, what stands behind _ aside: those of run_translation.py. */
static SnStatus translation_columns(const SnCollate *c, const SnDataset *d, SnTrainColumns *out, SnError *err)
{
    static const char *const usual[] = {"translation", NULL}, *const keys[] = {"source_lang", "target_lang"};
    int64_t *const field[] = {&out->text_field, &out->pair_field};
    SN_TRY(find_column(c, d, "text_column", usual, &out->text, err));
    SN_CHECK(out->text >= 0, err, SN_EINVAL, "data: no column translation: text_column names it");
    const SnFeature *f = sn_dataset_feature(d, (uint32_t)out->text);
    out->pair = out->text;
    for (int k = 0; k < 2; k++) {
        const char *lang = sn_arg_string(c->config, keys[k]);
        SN_CHECK(lang, err, SN_EINVAL, "config: translation: %s is not given", keys[k]);
        const size_t n = strcspn(lang, "_");
        for (uint32_t i = 0; f->kind == SN_DATA_STRUCT && i < f->nchild; i++)
            if (f->child[i].kind == SN_DATA_TEXT && strlen(f->child[i].name) == n &&
                memcmp(f->child[i].name, lang, n) == 0)
                *field[k] = i;
        SN_CHECK(*field[k] >= 0, err, SN_EINVAL, "data: column %s: no texts of language %.*s", f->name,
                 (int)n, lang);
    }
    return SN_OK;
}

static SnStatus answer_columns(const SnCollate *c, const SnDataset *d, SnTrainColumns *out, SnError *err)
{
    static const struct {
        const char *key, *usual[2];
    } column[] = {{"text_column", {"question", NULL}},
                  {"text_pair_column", {"context", NULL}},
                  {"label_column", {"answers", NULL}}};
    int64_t *const at[] = {&out->text, &out->pair, &out->label};
    for (int i = 0; i < 3; i++) {
        SN_TRY(find_column(c, d, column[i].key, column[i].usual, at[i], err));
        SN_CHECK(*at[i] >= 0, err, SN_EINVAL, "data: no column %s: %s names it", column[i].usual[0],
                 column[i].key);
        const SnFeature *f = sn_dataset_feature(d, (uint32_t)*at[i]);
        SN_CHECK(i == 2 || f->kind == SN_DATA_TEXT, err, SN_EINVAL, "data: column %s: expected texts",
                 f->name);
    }
    return SN_OK;
}

SnStatus sn_collate_columns(const SnCollate *c, const SnDataset *d, SnTrainColumns *out, SnError *err)
{
    static const char *const none[] = {NULL};
    out->label = out->pair = out->text_field = out->pair_field = -1;
    if (c->task == SN_TRAIN_IMAGE) {
        SN_TRY(sn_images_column(c, d, &out->text, err));
        return label_column(c, d, &out->label, err);
    }
    if (c->task == SN_TRAIN_ANSWER)
        return answer_columns(c, d, out, err);
    if (sn_json_is(sn_arg(c->config, "task"), "translation"))
        return translation_columns(c, d, out, err);
    SN_CHECK(!sn_arg(c->config, "source_lang") && !sn_arg(c->config, "target_lang"), err, SN_EINVAL,
             "config: source_lang, target_lang: of the task translation alone");
    SN_TRY(text_column(c, d, &out->text, err));
    if (c->task == SN_TRAIN_PAIR)
        return target_column(c, d, &out->pair, err);
    SN_TRY(find_column(c, d, "text_pair_column", none, &out->pair, err));
    return c->task == SN_TRAIN_CLASSIFY || c->task == SN_TRAIN_TAG ? label_column(c, d, &out->label, err)
                                                                   : SN_OK;
}

/* ---- labels ---- */

/* Calls visit for each label of a column of labels, or of lists of them. */
typedef SnStatus LabelFn(void *self, SnCell cell, int64_t row, SnError *err);
static SnStatus each_label(const SnDataset *d, uint32_t column, LabelFn *visit, void *self, SnError *err)
{
    const bool is_list = sn_dataset_feature(d, column)->kind == SN_DATA_LIST;
    for (int64_t row = 0; row < sn_dataset_rows(d); row++) {
        SnCell cell = sn_dataset_cell(d, column, row);
        SN_CHECK(!sn_cell_is_null(cell), err, SN_EINVAL, "data: row %lld has no label", (long long)row);
        const int64_t n = is_list ? sn_cell_list(cell, &cell) : 1;
        for (int64_t i = 0; i < n; i++, cell.at++)
            SN_TRY(visit(self, cell, row, err));
    }
    return SN_OK;
}

typedef struct Names {
    SnCollate *c;
    SN_VEC(const char *) name;
    SnMap known;
    int64_t most;
} Names;

static SnStatus see_number(void *self, SnCell cell, int64_t row, SnError *err)
{
    Names *n = self;
    const int64_t v = sn_cell_int(cell);
    SN_CHECK(v >= 0 && v < MAX_LABELS, err, SN_EINVAL, "data: row %lld: label %lld, expected 0 to %d",
             (long long)row, (long long)v, MAX_LABELS - 1);
    n->most = v > n->most ? v : n->most;
    return SN_OK;
}

static SnStatus see_name(void *self, SnCell cell, int64_t row, SnError *err)
{
    Names *n = self;
    const SnBytes s = sn_cell_bytes(cell);
    uint32_t at = 0;
    if (sn_map_get(&n->known, s, &at))
        return SN_OK;
    SN_CHECK(n->name.n < MAX_LABELS, err, SN_EINVAL, "data: row %lld: more than %d labels", (long long)row,
             MAX_LABELS);
    const char *own = sn_arena_strndup(n->c->arena, (const char *)s.at, s.n);
    SN_CHECK(own && sn_map_put(&n->known, sn_bytes(own, s.n), 0) &&
                 sn_vec_push(n->c->arena->memory, &n->name, own),
             err, SN_ENOMEM, "data: no memory for labels");
    return SN_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

SnStatus sn_collate_labels(SnCollate *c, const SnDataset *d, SnError *err)
{
    int64_t column = 0;
    if (c->task != SN_TRAIN_CLASSIFY && c->task != SN_TRAIN_TAG && c->task != SN_TRAIN_IMAGE)
        return SN_OK;
    SN_TRY(label_column(c, d, &column, err));
    const SnFeature *f = sn_dataset_feature(d, (uint32_t)column),
                    *each = f->kind == SN_DATA_LIST ? f->child : f;
    Names n = {.c = c, .most = -1};
    sn_map_init(&n.known, sn_allocator(c->ctx));
    SnStatus st = SN_OK;
    if (each->kind == SN_DATA_LABEL) {
        c->label = each->label;
        c->nlabel = each->nlabel;
    } else if (each->kind == SN_DATA_NUMBER && sn_dtype_is_float(each->dtype)) {
        c->is_regression = true;
        c->nlabel = 1;
    } else if (each->kind == SN_DATA_NUMBER) {
        st = each_label(d, (uint32_t)column, see_number, &n, err);
        c->nlabel = n.most + 1;
    } else if (each->kind == SN_DATA_TEXT) {
        st = each_label(d, (uint32_t)column, see_name, &n, err);
        const char **name = sn_arena_array(c->arena, n.name.n + 1, sizeof *name);
        if (st == SN_OK && !name)
            st = sn_fail(err, SN_ENOMEM, "data: no memory for labels");
        if (st == SN_OK && n.name.n) {
            memcpy(name, n.name.at, n.name.n * sizeof *name);
            qsort(name, n.name.n, sizeof *name, by_name);
        }
        c->label = name;
        c->nlabel = (int64_t)n.name.n;
    } else {
        st = sn_fail(err, SN_EUNSUPPORTED, "data: column %s: no labels", f->name);
    }
    sn_map_clear(&n.known);
    sn_vec_clear(c->arena->memory, &n.name);
    if (st == SN_OK && sn_arg(c->config, "num_labels")) {
        const int64_t told = sn_arg_int(c->config, "num_labels");
        SN_CHECK(told >= c->nlabel, err, SN_EINVAL, "config: num_labels is %lld, the rows have %lld",
                 (long long)told, (long long)c->nlabel);
        c->label = told == c->nlabel ? c->label : NULL;
        c->nlabel = told;
    }
    return st;
}

/* The class of a label; -1: none that training rows have. */
static int64_t class_of(const SnCollate *c, SnCell cell)
{
    const SnBytes s = sn_cell_bytes(cell);
    if (!s.at) {
        const int64_t v = sn_cell_int(cell);
        return v >= 0 && v < c->nlabel ? v : -1;
    }
    for (int64_t i = 0; i < c->nlabel && c->label; i++)
        if (sn_bytes_is(s, c->label[i]))
            return i;
    return -1;
}

SnStatus sn_collate_class(const SnCollate *c, SnCell cell, const char *what, int64_t row, int64_t *out,
                          SnError *err)
{
    const SnBytes s = sn_cell_bytes(cell);
    SN_CHECK(!sn_cell_is_null(cell), err, SN_EINVAL, "%s: row %lld has no label", what, (long long)row);
    *out = class_of(c, cell);
    SN_CHECK(*out >= 0 || s.at, err, SN_EINVAL, "%s: row %lld: label %lld, expected 0 to %lld", what,
             (long long)row, (long long)sn_cell_int(cell), (long long)c->nlabel - 1);
    SN_CHECK(*out >= 0, err, SN_EINVAL, "%s: row %lld: label %.*s is none of the %lld that are trained", what,
             (long long)row, (int)(s.n < 80 ? s.n : 80), (const char *)s.at, (long long)c->nlabel);
    return SN_OK;
}

/* ---- batches ---- */

/* SplitMix64: Steele, Lea & Flood, "Fast splittable pseudorandom number generators" (2014). */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static double share(uint64_t *state)
{
    return (double)(next(state) >> 11) * 0x1p-53;
}

/* DataCollatorForLanguageModeling: of what is guessed 80 % are hidden, 10 % other tokens, 10 % as they were.
 * Devlin et al. 2018, arXiv:1810.04805. */
static void hide(const SnCollate *c, const int32_t *may, int64_t n, uint64_t *state, int64_t *id,
                 int64_t *label)
{
    const double p = sn_arg_number(c->config, "mlm_probability");
    bool is_guessed = false;
    for (int64_t i = 0; i < n; i++) {
        const double drawn = share(state), how = share(state);
        const int64_t other = (int64_t)(next(state) % (uint64_t)(c->vocabulary ? c->vocabulary : 1));
        if (may[i] < 2)
            is_guessed = may[i] == 1 && drawn < p;
        if (!is_guessed)
            continue;
        label[i] = id[i];
        id[i] = how < 0.8 ? c->mask : how < 0.9 ? other : id[i];
    }
}

typedef struct Batch {
    int64_t *ids, *mask, *types, *labels;
    double *target;
    int64_t seq;
} Batch;

static int64_t length_of(const SnTrainRows *r, int64_t row)
{
    return row < 0 ? 0 : r->start.at[row + 1] - r->start.at[row];
}

/* A row to `seq` places of a batch from `base` on. */
static void fill_row(const SnCollate *c, const SnTrainRows *r, int64_t row, uint64_t *state, int64_t base,
                     int64_t seq, Batch *b)
{
    const int64_t at = row < 0 ? 0 : r->start.at[row], n = length_of(r, row);
    for (int64_t k = 0; k < seq; k++) {
        b->ids[base + k] = k < n ? r->ids.at[at + k] : c->pad;
        b->mask[base + k] = c->is_flat ? (k < n ? k : -1) : k < n || (row < 0 && c->task != SN_TRAIN_CAUSAL);
        if (b->types)
            b->types[base + k] = k < n ? r->types.at[at + k] : 0;
        if (b->labels)
            b->labels[base + k] =
                k >= n || (c->is_flat && k == 0) || (c->skips_pad && r->ids.at[at + k] == c->pad) ? IGNORED
                : c->task == SN_TRAIN_CAUSAL ? r->ids.at[at + k]
                : c->task == SN_TRAIN_MASKED ? IGNORED
                                             : r->labels.at[at + k];
    }
    if (c->task == SN_TRAIN_MASKED && row >= 0)
        hide(c, r->labels.at + at, n, state, b->ids + base, b->labels + base);
}

static SnNamedTensor tensor(const char *name, SnDtype dtype, void *at, int ndim, int64_t times, int64_t n,
                            int64_t seq)
{
    const int64_t all[] = {times, times ? n / times : n, seq};
    return (SnNamedTensor){name, sn_view(dtype, at, times ? ndim + 1 : ndim, times ? all : all + 1)};
}

static SnStatus answer_batch(const SnTrainRows *r, const int64_t *row, int64_t n, int64_t times, int64_t seq,
                             SnArena *arena, SnNamedTensor out[2], SnError *err)
{
    static const char *const name[] = {"start_positions", "end_positions"};
    for (int side = 0; side < 2; side++) {
        int64_t *at = sn_arena_array(arena, (size_t)n, sizeof *at);
        SN_CHECK(at, err, SN_ENOMEM, "training: no memory for a batch");
        for (int64_t i = 0; i < n; i++)
            at[i] = row[i] < 0 ? seq : r->labels.at[2 * row[i] + side];
        out[side] = tensor(name[side], SN_I64, at, 1, times, n, 1);
    }
    return SN_OK;
}

/* DataCollatorForSeq2Seq: a decoder makes its inputs of them. */
static SnStatus target_batch(const SnTrainRows *r, const int64_t *row, int64_t n, int64_t times,
                             SnArena *arena, SnNamedTensor *out, SnError *err)
{
    int64_t longest = 1;
    size_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        int64_t *label = pass && sn_mul_size((size_t)n, (size_t)longest, &count)
                             ? sn_arena_array(arena, count, sizeof *label)
                             : NULL;
        SN_CHECK(label || !pass, err, SN_ENOMEM, "training: no memory for a batch");
        for (int64_t i = 0; i < n; i++) {
            const int64_t end = row[i] < 0 ? 0 : r->target_end.at[row[i]],
                          at = row[i] <= 0 ? 0 : r->target_end.at[row[i] - 1];
            if (!pass)
                longest = end - at > longest ? end - at : longest;
            for (int64_t k = 0; pass && k < longest; k++)
                label[i * longest + k] = k < end - at ? r->labels.at[at + k] : IGNORED;
        }
        if (pass)
            *out = tensor("labels", SN_I64, label, 2, times, n, longest);
    }
    return SN_OK;
}

SnStatus sn_collate_batch(const SnCollate *c, const SnTrainRows *r, const int64_t *row, int64_t n,
                          int64_t times, uint64_t seed, SnArena *arena, SnNamedTensor in[SN_TRAIN_INPUTS],
                          size_t *nin, SnError *err)
{
    Batch b = {.seq = 0};
    size_t count = 0;
    const bool is_pair = c->task == SN_TRAIN_PAIR, is_answer = c->task == SN_TRAIN_ANSWER,
               is_row = c->task == SN_TRAIN_CLASSIFY || is_pair || is_answer;
    const int64_t rows = !c->is_flat ? n
                         : times     ? times
                                     : 1,
                  each = n / rows; /* that one of the batch is of */
    b.seq = c->is_padded && !c->is_flat ? c->most : 1;
    for (int64_t i = 0; i < n; i += each) {
        int64_t len = 0;
        for (int64_t k = i; k < i + each; k++)
            len += length_of(r, row[k]);
        b.seq = len > b.seq ? len : b.seq;
    }
    const bool fits = sn_mul_size((size_t)rows, (size_t)b.seq, &count);
    b.ids = fits ? sn_arena_array(arena, count, sizeof *b.ids) : NULL;
    b.mask = fits ? sn_arena_array(arena, count, sizeof *b.mask) : NULL;
    b.labels = is_row || !fits ? NULL : sn_arena_array(arena, count, sizeof *b.labels);
    b.types = c->gives_types && fits ? sn_arena_array(arena, count, sizeof *b.types) : NULL;
    int64_t *class = sn_arena_array(arena, (size_t)n, sizeof *class);
    float *number = sn_arena_array(arena, (size_t)n, sizeof *number);
    SN_CHECK(b.ids && b.mask && (b.labels || is_row) && (b.types || !c->gives_types) && class && number, err,
             SN_ENOMEM, "training: no memory for a batch");
    uint64_t state = seed;
    for (int64_t i = 0, at = 0; i < n; i++) {
        const int64_t len = c->is_flat ? length_of(r, row[i]) : b.seq;
        fill_row(c, r, row[i], &state, at, len, &b);
        at += len;
        if (c->is_flat && (i + 1) % each == 0) {
            const int64_t rest = (i + 1) / each * b.seq - at;
            fill_row(c, r, -1, &state, at, rest, &b);
            at += rest;
        }
        if (c->task == SN_TRAIN_CLASSIFY) {
            class[i] = row[i] < 0 ? IGNORED : (int64_t)r->target.at[row[i]];
            number[i] = row[i] < 0 ? NAN : (float)r->target.at[row[i]];
        }
    }
    *nin = 0;
    in[(*nin)++] = tensor("input_ids", SN_I64, b.ids, 2, times, rows, b.seq);
    in[(*nin)++] =
        tensor(c->is_flat ? "position_ids" : "attention_mask", SN_I64, b.mask, 2, times, rows, b.seq);
    if (b.types)
        in[(*nin)++] = tensor("token_type_ids", SN_I64, b.types, 2, times, n, b.seq);
    if (is_pair)
        return target_batch(r, row, n, times, arena, &in[(*nin)++], err);
    if (is_answer) {
        *nin += 2;
        return answer_batch(r, row, n, times, b.seq, arena, &in[*nin - 2], err);
    }
    in[(*nin)++] = c->is_regression ? tensor("labels", SN_F32, number, 1, times, n, 1)
                   : is_row         ? tensor("labels", SN_I64, class, 1, times, n, 1)
                                    : tensor("labels", SN_I64, b.labels, 2, times, rows, b.seq);
    return SN_OK;
}
