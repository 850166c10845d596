/* program.c -- which program a task is, and its graph. */
#include "frontends/tasks/program.h"

#include "frontends/tasks/talk.h"
#include "ops/ops.h"

#define MAX_TEXT    1024 /* bytes */
#define MAX_MESSAGE 4096
#define MAX_LABELS  65536
#define WORDS       5 /* that fill-mask gives, as the reference does */
#define MAX_WINDOWS 64

/* ---- from bytes to a head ---- */

/* The first place of a token in each row, i64[batch]; 0 where there is none. */
static SnValue first_place(SnGraph *g, SnValue ids, uint32_t token)
{
    return sn_argmax(g, sn_cast(g, sn_eq(g, ids, sn_const_int(g, SN_I64, token)), SN_I32), 1, false);
}

static void trim(SnGraph *g, int64_t most, SnTextNet *net)
{
    const SnValue n = sn_measure(g, net->windows.count, sn_const_int(g, SN_I64, most));
    SnValue *const row[] = {&net->x.ids, &net->x.mask, &net->x.types};
    for (size_t i = 0; i < SN_COUNT(row); i++)
        *row[i] = sn_slice_axis(g, *row[i], 0, sn_const_int(g, SN_I64, 0), n);
}

void sn_text_net(SnModel *m, SnGraph *g, SnModelProgram *p, SnTextNet *net)
{
    SnNamedValue in[4];
    size_t n = 0;
    net->windows = sn_text_windows(m, g, &net->windowing);
    net->x = sn_text_pad(m, g, &net->windows, net->windowing.max_length);
    if (net->windowing.windows)
        trim(g, net->windowing.windows, net);
    in[n++] = (SnNamedValue){"input_ids", net->x.ids};
    in[n++] = (SnNamedValue){"attention_mask", net->x.mask};
    if (net->gives_types)
        in[n++] = (SnNamedValue){"token_type_ids", net->x.types};
    if (net->has_place)
        in[n++] = (SnNamedValue){SN_INPUT_PLACES, first_place(g, net->x.ids, net->place)};
    SnModelPart part = {
        .head = net->head, .in = in, .nin = n, .want = net->want, .nwant = net->want[1] ? 2 : 1};
    sn_model_build(m, g, &part);
    p->max_seq = part.max_seq;
    for (size_t i = 0; i < part.nwant; i++)
        net->out[i] = sn_named_value(part.out.at, part.out.n, net->want[i]);
    sn_model_part_clear(m, &part);
}

/* ---- what the config says ---- */

SnApply sn_task_apply(const SnModel *m)
{
    const char *type = sn_config_string(&m->config, "problem_type", "");
    if (strcmp(type, "regression") == 0)
        return SN_APPLY_NONE;
    const bool is_multi = strcmp(type, "multi_label_classification") == 0;
    return is_multi || sn_config_labels(&m->config) == 1 ? SN_APPLY_SIGMOID : SN_APPLY_SOFTMAX;
}

int64_t sn_task_entailment(const SnModel *m)
{
    static const char word[] = "entail";
    const SnJson *ids = m->config.json ? sn_config_get(&m->config, "label2id") : NULL;
    for (uint32_t i = 0; ids && ids->kind == SN_JSON_OBJECT && i < ids->n; i++) {
        const SnBytes key = ids->u.child[i].key;
        size_t same = 0;
        int64_t id = -1;
        while (same < key.n && word[same] && (key.at[same] | 0x20) == (uint8_t)word[same])
            same++;
        if (!word[same] && sn_json_int(&ids->u.child[i], &id))
            return id;
    }
    return -1;
}

/* ---- graphs ---- */

/* The last dim of a result as a number; 0: the graph has failed, or it is none. */
static uint32_t width_of(SnGraph *g, SnValue x)
{
    const SnType *t = sn_value_type(g, x);
    int64_t n = 0;
    const bool is_known = t->ndim > 0 && sn_is_const_i64(sn_graph_store(g), t->dims[t->ndim - 1], &n);
    return is_known && n > 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

static void set_labels(SnModel *m, SnGraph *g, SnTaskProgram *t, SnValue logits)
{
    const uint32_t n = width_of(g, logits);
    const char **label = n <= MAX_LABELS ? sn_arena_array(&m->arena, n + 1, sizeof *label) : NULL;
    for (uint32_t i = 0; label && i < n; i++) {
        label[i] = sn_config_label(&m->config, i);
        if (!label[i])
            label[i] = sn_arena_printf(&m->arena, "LABEL_%u", i);
    }
    t->width = n;
    t->label = label;
}

static SnTextNet net_of(const SnTaskProgram *t, SnTruncation truncation, const char *want)
{
    return (SnTextNet){.windowing = {.has_pair = t->has_pair,
                                     .truncation = t->limit ? truncation : SN_TRUNCATE_NONE,
                                     .max_length = t->limit,
                                     .truncate_left = t->tokenizer.cuts_left},
                       .gives_types = t->tokenizer.gives_types,
                       .head = sn_task_head(t->name),
                       .want = {want}};
}

static void fill_embed(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    SnTaskProgram *t = user;
    const SnValue x = sn_sentence_embed(m, g, p, t->chain, t->limit);
    t->width = width_of(g, x);
    sn_output(g, "embeddings", x);
}

static void fill_rank(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    SnTaskProgram *t = user;
    const SnValue x = sn_sentence_rank(m, g, p, &t->tokenizer, t->limit);
    set_labels(m, g, t, x);
    sn_output(g, "scores", x);
}

static void fill_classify(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    SnTaskProgram *t = user;
    SnTextNet net = net_of(t, t->has_pair ? SN_TRUNCATE_ONLY_FIRST : SN_TRUNCATE_LONGEST_FIRST, "logits");
    sn_text_net(m, g, p, &net);
    const SnApply apply = sn_task_apply(m);
    const SnValue x = net.out[0];
    set_labels(m, g, t, x);
    sn_output(g, "scores",
              apply == SN_APPLY_SOFTMAX   ? sn_softmax(g, x, -1)
              : apply == SN_APPLY_SIGMOID ? sn_sigmoid(g, x)
                                          : x);
}

static void fill_tag(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    SnTaskProgram *t = user;
    SnTextNet net = net_of(t, SN_TRUNCATE_LONGEST_FIRST, "logits");
    net.windowing.has_places = true;
    sn_text_net(m, g, p, &net);
    const SnValue score = sn_softmax(g, net.out[0], -1);
    set_labels(m, g, t, score);
    sn_output(g, "label", sn_cast(g, sn_argmax(g, score, 2, false), SN_I32));
    sn_output(g, "score", sn_reduce(g, "max", score, 1, &(int){2}, false));
    sn_output(g, "offsets", net.windows.offsets);
    sn_output(g, "special", net.windows.special);
}

/* How a question and a context become windows. */
static SnWindowing answer_windows(int64_t limit, bool cuts_left)
{
    const int64_t seq = limit && limit < SN_ANSWER_SEQ ? limit : SN_ANSWER_SEQ;
    return (SnWindowing){.has_pair = true,
                         .has_places = true,
                         .truncation = SN_TRUNCATE_ONLY_SECOND,
                         .max_length = seq,
                         .stride = seq / 2 < SN_ANSWER_SHARE ? seq / 2 : SN_ANSWER_SHARE,
                         .truncate_left = cuts_left};
}

/* Windows for a context of max_text tokens behind a question that leaves half of each to it. */
static int64_t most_windows(const SnWindowing *w, uint32_t max_text)
{
    const int64_t fresh = (w->max_length - w->stride) / 2, n = 2 + max_text / (fresh > 0 ? fresh : 1);
    return n < MAX_WINDOWS ? n : MAX_WINDOWS;
}

static void fill_answer(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    const SnTaskProgram *t = user;
    SnTextNet net = net_of(t, SN_TRUNCATE_ONLY_SECOND, "start_logits");
    net.windowing = answer_windows(t->limit, t->tokenizer.cuts_left);
    net.windowing.windows = most_windows(&net.windowing, t->max_text);
    net.gives_types = net.gives_types || t->tokenizer.is_generic;
    net.want[1] = "end_logits";
    sn_text_net(m, g, p, &net);
    sn_output(g, "start", net.out[0]);
    sn_output(g, "end", net.out[1]);
    sn_output(g, "ids", net.windows.ids);
    sn_output(g, "offsets", net.windows.offsets);
    sn_output(g, "word_ids", net.windows.word_ids);
    sn_output(g, "sequence", net.windows.sequence);
    sn_output(g, "count", net.windows.count);
}

static void fill_mask(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    SnTaskProgram *t = user;
    SnTextNet net = net_of(t, SN_TRUNCATE_NONE, "logits");
    net.has_place = true;
    net.place = sn_tokenizer_facts(m->tokenizer).name[SN_TOK_MASK];
    sn_text_net(m, g, p, &net);
    const SnValue logits = net.out[0], batch = sn_dim(g, logits, 0);
    const uint32_t n = width_of(g, logits);
    t->width = n < WORDS ? n : WORDS;
    const SnValue dims[] = {batch, sn_dim(g, logits, 2)};
    const SnValue score = sn_softmax(g, sn_reshape(g, logits, 2, dims), -1);
    const SnValue best = sn_top_k(g, score, t->width, 1, true);
    const SnValue is_mask = sn_eq(g, net.x.ids, sn_const_int(g, SN_I64, net.place));
    sn_output(g, "ids", sn_cast(g, sn_get(g, best, 1), SN_I32));
    sn_output(g, "scores", sn_get(g, best, 0));
    sn_output(g, "masks", sn_reduce(g, "add", sn_cast(g, is_mask, SN_I64), 1, &(int){1}, false));
}

/* ---- tasks ---- */

static const struct {
    const char *name, *head; /* of the models that it runs on; NULL: any */
    SnTypedKind kind;
    SnModelFill *fill;
    bool has_pair;
} tasks[] = {
    {"tensors", NULL, SN_TYPED_TENSORS, NULL, false},
    {"feature-extraction", "feature-extraction", SN_TYPED_TENSORS, NULL, false},
    {"embed", "feature-extraction", SN_TYPED_EMBED, fill_embed, false},
    {"rank", "text-classification", SN_TYPED_CLASSIFY, fill_rank, true},
    {"text-classification", "text-classification", SN_TYPED_CLASSIFY, fill_classify, false},
    {"sentiment-analysis", "text-classification", SN_TYPED_CLASSIFY, fill_classify, false},
    {"zero-shot-classification", "text-classification", SN_TYPED_CLASSIFY, fill_classify, true},
    {"token-classification", "token-classification", SN_TYPED_TAG, fill_tag, false},
    {"ner", "token-classification", SN_TYPED_TAG, fill_tag, false},
    {"question-answering", "question-answering", SN_TYPED_ANSWER, fill_answer, true},
    {"fill-mask", "fill-mask", SN_TYPED_FILL, fill_mask, false},
    {"text-generation", "text-generation", SN_TYPED_CHAT, sn_talk_fill, false},
};

static size_t find_task(const char *name)
{
    return SN_FIND_ROW(tasks, name, sn_bytes_str(name));
}

const char *sn_task_head(const char *task)
{
    const size_t i = task ? find_task(task) : SN_COUNT(tasks);
    return i < SN_COUNT(tasks) ? tasks[i].head : task;
}

SnTypedKind sn_task_kind(const char *task)
{
    const size_t i = find_task(task);
    return i < SN_COUNT(tasks) ? tasks[i].kind : SN_TYPED_TENSORS;
}

/* What a folder is made for: its files say it, then the head. */
static const char *usual_task(const SnModel *m)
{
    const char *task = sn_model_task(m);
    if (m->text || (!sn_folder_has(m->files, "tokenizer.json") && !sn_folder_has(m->files, "vocab.txt")))
        return "tensors";
    if (!m->head && sn_folder_has(m->files, "modules.json"))
        return "embed";
    if (strcmp(task, "text-classification") == 0)
        return sn_config_get(&m->config, "sentence_transformers") ? "rank"
               : sn_task_entailment(m) >= 0                       ? "zero-shot-classification"
                                                                  : task;
    return find_task(task) < SN_COUNT(tasks) ? task : "tensors";
}

/* The smaller of what tokenizer and model allow; the rest of a text is cut, or it fails. */
static int64_t usual_limit(const SnModel *m)
{
    const int64_t own = sn_text_limit(m), positions = sn_config_int(&m->config, "max_position_embeddings", 0);
    return own && (positions <= 0 || own < positions) ? own : positions > 0 ? positions : 0;
}

static SnStatus open_text(SnModel *m, SnArena *arena, SnTaskProgram *t, SnError *err)
{
    SN_TRY(sn_text_need(m, err));
    SN_TRY(sn_model_need(m, err));
    SN_TRY(sn_text_config(m, &t->tokenizer, err));
    t->limit = usual_limit(m);
    if (t->kind == SN_TYPED_EMBED)
        return sn_sentence_chain(m, arena, &t->chain, &t->limit, err);
    SN_CHECK(t->kind != SN_TYPED_FILL || sn_tokenizer_facts(m->tokenizer).name[SN_TOK_MASK] != SN_TOK_NONE,
             err, SN_EINVAL, "%s: the tokenizer has no mask token", m->folder);
    SN_CHECK(t->kind != SN_TYPED_ANSWER || !t->tokenizer.pads_left, err, SN_EUNSUPPORTED,
             "%s: %s with a tokenizer that fills up on the left", m->folder, t->name);
    return SN_OK;
}

SnStatus sn_task_program(SnModel *m, const char *task, SnArena *arena, SnTaskProgram *out, SnError *err)
{
    const char *name = task ? task : usual_task(m);
    const size_t i = find_task(name);
    SN_CHECK(i < SN_COUNT(tasks), err, SN_EUNSUPPORTED, "%s: task %s", m->folder, name);
    *out = (SnTaskProgram){.name = tasks[i].name,
                           .kind = tasks[i].kind,
                           .has_pair = tasks[i].has_pair,
                           .fill = tasks[i].fill,
                           .max_text = tasks[i].kind == SN_TYPED_CHAT ? MAX_MESSAGE : MAX_TEXT};
    return out->fill ? open_text(m, arena, out, err) : SN_OK;
}
