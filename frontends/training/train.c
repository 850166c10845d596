/* train.c -- the graph of a training step: gradients of the head's loss, summed over micro-batches, clipped,
 * and what an optimizer makes of parameters with them. */
#include "frontends/training/train.h"

#include "frontends/hf/adapter.h"
#include "ops/ops.h"

#include <math.h>

typedef struct Train {
    SnModel *m;
    SnGraph *g;
    const SnTrainSpec *spec;
    SnTrained trained;
    SnNamedValues state; /* what the optimizer keeps */
    SnValue *in;         /* by input of the entry at hand */
    SnValue step;        /* i64: steps so far */
    SnValue rate;        /* f64: the learning rate, where it is told; or none */
    SnValue scale;       /* f32: what the loss is multiplied with; none: 1 */
    SnValue is_finite;   /* of the gradients */
    SnLossForm form;
    SnValue micros; /* i64: micro-batches of the step */
    bool is_mean;   /* their losses are not added up, as where Trainer counts labels, whatever a loss makes of
                       that */
    SnValue loss;   /* of the step; f32 */
    SnValue *d;     /* by parameter */
} Train;

static void *array(Train *t, size_t n, size_t size)
{
    void *p = sn_arena_array(&t->m->arena, n + 1, size);
    if (!p)
        sn_graph_fail(t->g, SN_ENOMEM, "%s: no memory", t->m->folder);
    return p;
}

static const char *name2(Train *t, const char *kind, const char *name)
{
    const char *s = sn_arena_printf(&t->m->arena, "%s.%s", kind, name);
    if (!s)
        sn_graph_fail(t->g, SN_ENOMEM, "%s: no memory", t->m->folder);
    return s ? s : "";
}

/* ---- the loss and its gradients ---- */

/* Builds the head over values of inputs, in the function or entry that is open. noise: or none. */
static SnModelPart head_of(Train *t, const SnValue *in, const char *const *want, size_t nwant, SnValue noise)
{
    const SnTrainSpec *s = t->spec;
    const size_t n = s->desc->nsample;
    SnNamedValue *named = array(t, n, sizeof *named);
    SnModelPart part = {.in = named, .nin = n, .want = want, .nwant = nwant, .noise = noise};
    part.trained = &t->trained;
    part.form = &t->form;
    part.dtype = s->dtype;
    part.neftune_alpha = s->neftune_alpha;
    for (size_t i = 0; named && i < n; i++)
        named[i] = (SnNamedValue){s->desc->sample[i].name, in[i]};
    if (named)
        sn_model_build(t->m, t->g, &part);
    return part;
}

/* Draws of a micro-batch: u32[2], a function of seed, step and its number. */
static SnValue key_of(Train *t, SnValue micro)
{
    SnGraph *g = t->g;
    const uint64_t seed = t->spec->seed;
    const uint32_t word[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const SnValue one = sn_size(t->g, 1), key = sn_const_data(g, SN_U32, 1, &(int64_t){2}, word);
    const SnValue at[] = {sn_reshape(g, sn_cast(g, t->step, SN_U32), 1, &one),
                          sn_reshape(g, sn_cast(g, micro, SN_U32), 1, &one)};
    return sn_threefry(g, key, sn_concat(g, 2, at, 0));
}

/* tuple(loss, what the batch says of each buffer that it changes) */
static SnValue with_seen(Train *t, SnValue loss)
{
    SnValue *all = array(t, t->trained.buffer.n, sizeof *all);
    int n = 0;
    if (!all)
        return sn_none();
    all[n++] = loss;
    for (size_t i = 0; i < t->trained.buffer.n; i++)
        if (t->trained.buffer.at[i].seen.ref)
            all[n++] = t->trained.buffer.at[i].seen;
    return sn_tuple(t->g, n, all, NULL);
}

/* Where a buffer goes from `from` by what was seen. */
static SnValue moved(Train *t, const SnBuffer *b, SnValue from, SnValue seen)
{
    if (b->rate == 0)
        return sn_add(t->g, from, seen);
    return sn_add(t->g, sn_mul(t->g, from, sn_num(t->g, 1 - b->rate)),
                  sn_mul(t->g, seen, sn_num(t->g, b->rate)));
}

/* The loss of a micro-batch: a function of values like these (its inputs and what it draws from), closed over
 * the parameters, which are known from then on. */
static SnValue loss_of(Train *t, const SnValue *like)
{
    SnGraph *g = t->g;
    const size_t n = t->spec->desc->nsample;
    SnValue *in = array(t, n + 1, sizeof *in);
    sn_fn_begin(g, "loss");
    for (size_t i = 0; in && i <= n; i++)
        in[i] = sn_fn_arg(g, sn_term(sn_graph_store(g), like[i].ref)->type);
    if (!in)
        return sn_none();
    SnModelPart part =
        head_of(t, in, (const char *const[]){"loss"}, 1, t->spec->desc->keeps_all ? sn_none() : in[n]);
    SnValue loss = sn_named_value(part.out.at, part.out.n, "loss");
    if (t->is_mean && t->spec->accumulate > 1)
        loss = sn_div(g, loss, sn_cast(g, t->micros, SN_F32));
    if (t->scale.ref)
        loss = sn_mul(g, loss, t->scale);
    sn_model_part_clear(t->m, &part);
    return sn_fn_end(g, with_seen(t, loss));
}

/* tuple(what the function of the loss gives, tuple(gradients by parameter)) */
static SnValue gradients(Train *t, SnValue fn, const SnValue *in)
{
    const size_t n = t->trained.leaf.n;
    SnValue *wrt = array(t, n, sizeof *wrt);
    for (size_t i = 0; wrt && i < n; i++)
        wrt[i] = t->trained.leaf.at[i].value;
    return wrt ? sn_grad(t->g, fn, (int)t->spec->desc->nsample + 1, in, (int)n, wrt) : sn_none();
}

static SnValue zeros_like(Train *t, SnValue v)
{
    SnValue dims[SN_MAX_RANK];
    const int n = sn_dims(t->g, v, dims);
    return sn_broadcast(t->g, sn_const(t->g, sn_value_dtype(t->g, v), 0), n, dims);
}

/* One micro-batch of inputs that have several, and what it draws from. */
static void pick(Train *t, SnValue i, SnValue *in)
{
    const size_t n = t->spec->desc->nsample;
    for (size_t k = 0; k < n; k++) {
        SnValue dims[SN_MAX_RANK];
        const int rank = sn_dims(t->g, t->in[k], dims);
        in[k] = t->in[k];
        if (t->spec->accumulate > 1)
            in[k] = sn_reshape(t->g, sn_slice_axis(t->g, in[k], 0, i, sn_size(t->g, 1)), rank - 1, dims + 1);
    }
    in[n] = key_of(t, i);
}

/* Labels that count in all micro-batches: those of words to come begin at the second. */
static void count_items(Train *t)
{
    SnGraph *g = t->g;
    size_t k = 0;
    const SnTrainingDesc *d = t->spec->desc;
    while (k < d->nsample && strcmp(d->sample[k].name, "labels") != 0)
        k++;
    t->form.items = sn_none();
    t->is_mean = d->is_mean_of_batches || k == d->nsample;
    if (t->is_mean || sn_dtype_is_float(sn_value_dtype(g, t->in[k])))
        return;
    SnValue labels = t->in[k];
    const SnArch *arch = t->m->arch;
    const int last = sn_rank(g, labels) - 1;
    if (arch && strstr(arch->name, "ForCausalLM") &&
        last >= 0) /* by the class, as Trainer: not GPT2LMHeadModel */
        labels = sn_slice_axis(g, labels, last, sn_size(t->g, 1),
                               sn_sub(g, sn_dim(g, labels, last), sn_size(t->g, 1)));
    const SnValue counts = sn_cast(g, sn_ne(g, labels, sn_size(t->g, -100)), SN_F32);
    /* A step without any label has a loss of 0. */
    t->form.items = sn_max(g, sn_reduce(g, "add", counts, 0, NULL, false), sn_num(t->g, 1));
}

/* The sums over all micro-batches of what a step's gradients are: the loss, then by parameter; then where
 * buffers have gone. */
static SnValue sum_micro(Train *t, SnValue fn, SnValue *in)
{
    SnGraph *g = t->g;
    const size_t n = t->trained.leaf.n, room = n + 1 + t->trained.buffer.n;
    SnValue *sum = array(t, room, sizeof *sum), *next = array(t, room, sizeof *next);
    size_t all = n + 1;
    if (!sum || !next)
        return sn_none();
    sum[0] = sn_const(g, SN_F32, 0);
    for (size_t i = 0; i < n; i++)
        sum[1 + i] = zeros_like(t, t->trained.leaf.at[i].value);
    for (size_t i = 0; i < t->trained.buffer.n; i++)
        if (t->trained.buffer.at[i].seen.ref)
            sum[all++] = t->trained.buffer.at[i].value;
    sn_fn_begin(g, "micro");
    const SnValue at = sn_fn_arg(g, sn_type_scalar(sn_graph_store(g), SN_I64));
    for (size_t i = 0; i < all; i++)
        next[i] = sn_fn_arg(g, sn_term(sn_graph_store(g), sum[i].ref)->type);
    pick(t, at, in);
    const SnValue y = gradients(t, fn, in), found = sn_get(g, y, 0), d = sn_get(g, y, 1);
    for (size_t i = 0; i <= n; i++)
        next[i] = sn_add(g, next[i], i == 0 ? sn_get(g, found, 0) : sn_get(g, d, (int)i - 1));
    for (size_t i = 0, k = 0; i < t->trained.buffer.n; i++)
        if (t->trained.buffer.at[i].seen.ref) {
            const SnValue seen = sn_get(g, found, (int)++k);
            next[n + k] = moved(t, &t->trained.buffer.at[i], next[n + k], seen);
        }
    const SnValue body = sn_fn_end(g, sn_tuple(g, (int)all, next, NULL));
    return sn_loop(g, body, sn_none(), t->micros, (int)all, sum, 0, NULL);
}

/* The loss of all micro-batches, and its gradients; of buffers `seen` is now where they go. */
static void sum_up(Train *t)
{
    SnGraph *g = t->g;
    SnValue *in = array(t, t->spec->desc->nsample + 1, sizeof *in);
    if (!in)
        return;
    t->micros = sn_dim(g, t->in[0], 0);
    t->form.has_gaps = t->spec->accumulate > 1;
    pick(t, sn_size(t->g, 0), in);
    count_items(t);
    const SnValue fn = loss_of(t, in);
    const size_t n = t->trained.leaf.n;
    t->d = array(t, n, sizeof *t->d);
    if (!t->d || sn_graph_check(g, NULL) != SN_OK)
        return;
    const bool is_one = t->spec->accumulate == 1;
    const SnValue y = is_one ? gradients(t, fn, in) : sum_micro(t, fn, in);
    t->loss = is_one ? sn_get(g, sn_get(g, y, 0), 0) : sn_get(g, y, 0);
    for (size_t i = 0; i < n; i++)
        t->d[i] = is_one ? sn_get(g, sn_get(g, y, 1), (int)i) : sn_get(g, y, (int)i + 1);
    for (size_t i = 0, k = 0; i < t->trained.buffer.n; i++) {
        SnBuffer *b = &t->trained.buffer.at[i];
        if (!b->seen.ref)
            continue;
        k++;
        b->seen =
            is_one ? moved(t, b, b->value, sn_get(g, sn_get(g, y, 0), (int)k)) : sn_get(g, y, (int)(n + k));
    }
}

/* ---- the scale of the loss: torch.amp.GradScaler ---- */

#define FIRST_SCALE   65536
#define STEPS_TO_RISE 2000

static SnValue kept(Train *t, const char *name, SnValue init);

static void begin_scale(Train *t)
{
    if (t->spec->dtype == SN_F16)
        t->scale = kept(t, "loss_scale", sn_const(t->g, SN_F32, FIRST_SCALE));
}

static void unscale(Train *t)
{
    if (!t->scale.ref)
        return;
    const SnValue by = sn_div(t->g, sn_num(t->g, 1), t->scale);
    t->loss = sn_mul(t->g, t->loss, by);
    for (size_t i = 0; i < t->trained.leaf.n; i++)
        t->d[i] = sn_mul(t->g, t->d[i], by);
}

/* Twice as much after many good steps, half as much after a bad one. */
static void next_scale(Train *t)
{
    SnGraph *g = t->g;
    if (!t->scale.ref)
        return;
    const SnValue good = kept(t, "good_steps", sn_size(t->g, 0)), more = sn_add(g, good, sn_size(t->g, 1));
    const SnValue rises = sn_ge(g, more, sn_size(t->g, STEPS_TO_RISE));
    const SnValue on = sn_where(g, rises, sn_mul(g, t->scale, sn_num(t->g, 2)), t->scale);
    sn_next(g, t->scale, sn_where(g, t->is_finite, on, sn_mul(g, t->scale, sn_num(t->g, 0.5))));
    const SnValue count = sn_where(g, rises, sn_size(t->g, 0), more);
    sn_next(g, good, sn_where(g, t->is_finite, count, sn_size(t->g, 0)));
}

/* ---- clipping: torch.nn.utils.clip_grad_norm_ ---- */

static SnValue norm_of(Train *t)
{
    SnValue sum = sn_const(t->g, SN_F32, 0);
    for (size_t i = 0; i < t->trained.leaf.n; i++)
        sum = sn_add(t->g, sum, sn_reduce(t->g, "add", sn_square(t->g, t->d[i]), 0, NULL, false));
    return sn_sqrt(t->g, sum);
}

static void clip(Train *t, SnValue norm)
{
    SnGraph *g = t->g;
    if (t->spec->max_grad_norm == 0)
        return;
    const SnValue over = sn_add(g, norm, sn_num(t->g, 1e-6));
    const SnValue by = sn_min(g, sn_div(g, sn_num(t->g, t->spec->max_grad_norm), over), sn_num(t->g, 1));
    for (size_t i = 0; i < t->trained.leaf.n; i++)
        t->d[i] = sn_mul(g, t->d[i], by);
}

/* ---- optimizers: what each keeps of a parameter, and what of that has other dims ---- */

#define LEAST_8BIT 4096 /* elements; what is smaller is kept in f32 */

typedef enum Kept { LIKE, ROWS, COLUMNS } Kept; /* without the last axis, without the one before */

static const struct OptimizerRow {
    const char *op;
    struct {
        const char *name;
        Kept dims;
        const char *needs; /* kept where this attribute is not 0; NULL: always */
        bool is_positive;
    } state[3];
    bool has_step;
} optimizers[] = {
    {"adamw", {{"exp_avg", LIKE, NULL}, {"exp_avg_sq", LIKE, NULL, true}}, true},
    {"ademamix",
     {{"exp_avg", LIKE, NULL}, {"exp_avg_sq", LIKE, NULL, true}, {"exp_avg_slow", LIKE, NULL}},
     true},
    {"sgd", {{"momentum_buffer", LIKE, "momentum"}}, true},
    {"adagrad", {{"sum", LIKE, NULL}}, true},
    {"rmsprop",
     {{"square_avg", LIKE, NULL}, /* of both signs, too, where an optimizer of bitsandbytes keeps one thing */
      {"momentum_buffer", LIKE, "momentum"},
      {"grad_avg", LIKE, "centered"}},
     false},
    {"lion", {{"exp_avg", LIKE, NULL}}, false},
    {"adafactor",
     {{"exp_avg_sq_row", ROWS, NULL}, {"exp_avg_sq_col", COLUMNS, NULL}, {"exp_avg", LIKE, "beta1"}},
     true},
};

static bool is_set(const SnOptimizer *o, const char *attr)
{
    for (int i = 0; i < o->nattr; i++)
        if (strcmp(o->attr[i].name, attr) == 0)
            return o->attr[i].kind == SN_ATTR_FLOAT ? o->attr[i].u.f != 0 : o->attr[i].u.i != 0;
    return false;
}

/* Zeros for what is kept of w. */
static SnValue begin_state(Train *t, SnValue w, Kept dims)
{
    SnValue all[SN_MAX_RANK];
    int n = sn_dims(t->g, w, all);
    if (n >= 2 && dims == COLUMNS)
        all[n - 2] = all[n - 1];
    if (n >= 2 && dims != LIKE)
        n--;
    else if (dims == COLUMNS)
        n = 0;
    return sn_broadcast(t->g, sn_const(t->g, SN_F32, 0), n, all);
}

static SnValue kept(Train *t, const char *name, SnValue init)
{
    const SnValue v = sn_carry(t->g, name, init);
    if (!sn_vec_push(sn_allocator(t->m->ctx), &t->state, (SnNamedValue){name, v}))
        sn_graph_fail(t->g, SN_ENOMEM, "%s: no memory", t->m->folder);
    return v;
}

/* What a step leaves of a carry: nothing of it where the gradients are not finite. */
static void go_on(Train *t, SnValue carry, SnValue next)
{
    sn_next(t->g, carry, sn_where(t->g, t->is_finite, next, carry));
}

/* 8-bit numbers that are kept of w, as floats; q: they and their scales. */
static SnValue kept_8bit(Train *t, const char *name, SnValue w, bool is_positive, SnValue *q)
{
    SnGraph *g = t->g;
    SnValue dims[SN_MAX_RANK];
    const SnValue zeros = sn_broadcast(g, sn_const(g, SN_F32, 0), sn_dims(t->g, w, dims), dims);
    const SnValue first = sn_quantize_dynamic(g, zeros, !is_positive);
    for (int i = 0; i < 2; i++) {
        const SnValue part = sn_get(g, first, i);
        const int n = sn_dims(t->g, part, dims);
        const SnValue none = sn_broadcast(g, sn_const(g, sn_value_dtype(g, part), 0), n, dims);
        q[i] = kept(t, i ? name2(t, "scale", name) : name, none);
    }
    return sn_dequantize_dynamic(g, q[0], q[1], w, !is_positive);
}

static bool is_table(const Train *t, SnValue w)
{
    for (size_t i = 0; i < t->trained.table.n; i++)
        if (t->trained.table.at[i] == w.ref)
            return true;
    return false;
}

static int64_t count_of(Train *t, SnValue w)
{
    int64_t count = 1, n = 0;
    for (int i = 0; i < sn_rank(t->g, w); i++)
        count *= sn_is_const_i64(sn_graph_store(t->g), sn_dim(t->g, w, i).ref, &n) ? n : 0;
    return count;
}

static bool is_8bit(Train *t, SnValue w)
{
    return t->spec->optimizer.is_8bit && count_of(t, w) >= LEAST_8BIT &&
           (t->spec->desc->narrows_tables || !is_table(t, w));
}

/* num_parameters(exclude_embeddings=True) of Transformers, what stands in front of a model aside. */
static int64_t count_weights(Train *t)
{
    const SnAdapter *a = t->m->adapter;
    int64_t all = 0;
    for (size_t i = 0; i < t->trained.used.n; i++)
        all += t->trained.used.at[i].is_table ? 0 : t->trained.used.at[i].count;
    for (size_t i = 0; a && sn_adapter_tokens(a) == 0 && i < t->trained.leaf.n; i++)
        all += is_table(t, t->trained.leaf.at[i].value) ? 0 : count_of(t, t->trained.leaf.at[i].value);
    return all;
}

static void update(Train *t, const struct OptimizerRow *row, size_t i, SnValue step, SnValue lr)
{
    const SnOptimizer *o = &t->spec->optimizer;
    const SnNamedValue *w = &t->trained.leaf.at[i];
    const SnTrainingDesc *s = t->spec->desc;
    SnAttr attr[SN_OPTIM_ATTRS];
    SnValue in[8] = {w->value, t->d[i]}, q[3][2];
    const bool is_narrow = is_8bit(t, w->value);
    bool is_kept[3] = {false};
    int n = 2, nattr = 0;
    for (int k = 0; k < 3 && row->state[k].name; k++) {
        const char *name = name2(t, row->state[k].name, w->name);
        is_kept[k] = !row->state[k].needs || is_set(o, row->state[k].needs);
        if (is_kept[k] && is_narrow)
            in[n++] = kept_8bit(t, name, w->value, row->state[k].is_positive, q[k]);
        else {
            const SnValue init = begin_state(t, w->value, row->state[k].dims);
            in[n++] = is_kept[k] ? kept(t, name, init) : init;
        }
    }
    if (row->has_step)
        in[n++] = step;
    in[n++] = lr;
    for (int k = 0; k < o->nattr; k++)
        if (strcmp(o->attr[k].name, "weight_decay") != 0 || !s->decays || s->decays(s->self, w->name))
            attr[nattr++] = o->attr[k];
    const SnValue y = sn_op(t->g, row->op, in, n, attr, nattr);
    go_on(t, w->value, sn_get(t->g, y, 0));
    for (int k = 0; k < 3; k++) {
        if (!is_kept[k])
            continue;
        const SnValue next = sn_get(t->g, y, 1 + k);
        const SnValue both =
            is_narrow ? sn_quantize_dynamic(t->g, next, !row->state[k].is_positive) : sn_none();
        for (int j = 0; j < (is_narrow ? 2 : 1); j++)
            go_on(t, is_narrow ? q[k][j] : in[2 + k], is_narrow ? sn_get(t->g, both, j) : next);
    }
}

/* ---- entries ---- */

static void make_inputs(Train *t, const char *prefix, bool has_micros)
{
    const SnTrainSpec *s = t->spec;
    const size_t n = s->desc->nsample;
    t->in = array(t, n, sizeof *t->in);
    for (size_t i = 0; t->in && i < n; i++) {
        const char *name = s->desc->sample[i].name;
        t->in[i] = sn_input_make(t->g, *prefix ? name2(t, prefix, name) : name, &s->shape[i], has_micros);
    }
}

static SnValue rate_of(Train *t)
{
    const SnLrSchedule *r = &t->spec->schedule;
    if (t->rate.ref)
        return t->rate;
    const SnValue factor = sn_op(t->g, "lr_factor", &t->step, 1, r->attr, r->nattr);
    return sn_mul(t->g, factor, sn_const(t->g, SN_F64, r->lr));
}

static void entry_step(Train *t)
{
    SnGraph *g = t->g;
    const SnLrSchedule *r = &t->spec->schedule;
    sn_entry_begin(g, "step");
    make_inputs(t, "", t->spec->accumulate > 1);
    t->step = kept(t, "step", sn_size(t->g, 0));
    if (r->is_told)
        t->rate = kept(t, "learning_rate", sn_const(g, SN_F64, r->lr));
    begin_scale(t);
    t->trained.is_training = !t->spec->desc->keeps_all;
    sum_up(t);
    t->trained.is_training = false;
    if (sn_graph_check(g, NULL) != SN_OK)
        return;
    unscale(t);
    const SnValue norm = norm_of(t);
    t->is_finite = sn_lt(g, norm, sn_num(t->g, HUGE_VAL));
    clip(t, norm);
    const SnValue lr = rate_of(t);
    const SnValue next = sn_add(g, t->step, sn_size(t->g, 1)), count = sn_cast(g, next, SN_F64);
    size_t k = 0;
    while (k < SN_COUNT(optimizers) && strcmp(optimizers[k].op, t->spec->optimizer.op) != 0)
        k++;
    if (k == SN_COUNT(optimizers)) {
        sn_graph_fail(g, SN_EUNSUPPORTED, "optimizer %s", t->spec->optimizer.op);
        return;
    }
    for (size_t i = 0; i < t->trained.leaf.n; i++)
        update(t, &optimizers[k], i, count, lr);
    for (size_t i = 0; i < t->trained.buffer.n; i++)
        if (t->trained.buffer.at[i].seen.ref)
            go_on(t, t->trained.buffer.at[i].value, t->trained.buffer.at[i].seen);
    go_on(t, t->step, next);
    next_scale(t);
    sn_output(g, "loss", t->loss);
    sn_output(g, "grad_norm", norm);
    sn_output(g, "learning_rate", lr);
    sn_output(g, "is_finite", t->is_finite);
}

static void entry_eval(Train *t, SnModelProgram *p)
{
    sn_entry_begin(t->g, "eval");
    make_inputs(t, "eval", false);
    if (!t->in)
        return;
    t->form.has_gaps = false;
    count_items(t);
    SnModelPart part = head_of(t, t->in, t->spec->desc->want, t->spec->desc->nwant, sn_none());
    for (size_t i = 0; i < part.out.n; i++)
        sn_output(t->g, part.out.at[i].name, part.out.at[i].value);
    p->range = part.range;
    p->nrange = part.nrange;
    p->max_seq = part.max_seq;
    sn_model_part_clear(t->m, &part);
}

static void each_state(Train *t, void (*visit)(Train *t, const SnNamedValue *carry))
{
    for (size_t i = 0; i < t->trained.leaf.n; i++)
        visit(t, &t->trained.leaf.at[i]);
    for (size_t i = 0; i < t->trained.buffer.n; i++)
        visit(t, &(SnNamedValue){t->trained.buffer.at[i].name, t->trained.buffer.at[i].value});
    for (size_t i = 0; i < t->state.n; i++)
        visit(t, &t->state.at[i]);
}

static void show(Train *t, const SnNamedValue *carry)
{
    sn_output(t->g, carry->name, carry->value);
}

static void restore(Train *t, const SnNamedValue *carry)
{
    SnValue dims[SN_MAX_RANK];
    const int n = sn_dims(t->g, carry->value, dims);
    const SnDtype dtype = sn_value_dtype(t->g, carry->value);
    sn_next(t->g, carry->value, sn_input(t->g, carry->name, dtype, n, dims));
}

void sn_train_fill(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    SnTrainSpec *s = user;
    Train t = {.m = m, .g = g, .spec = s};
    t.form.smoothing = s->smoothing;
    t.trained = (SnTrained){.is_state = true, .picks = s->desc->trains, .self = s->desc->self};
    t.trained.is_remat = s->is_remat;
    p->shape = s->budget_shape;
    p->memory_budget = s->memory_budget;
    entry_step(&t);
    entry_eval(&t, p);
    s->nweight = count_weights(&t);
    sn_entry_begin(g, "begin");
    for (size_t i = 0; i < t.trained.leaf.n; i++)
        sn_next(g, t.trained.leaf.at[i].value, t.trained.file.at[i].value);
    for (size_t i = 0; i < t.trained.buffer.n; i++)
        sn_next(g, t.trained.buffer.at[i].value, t.trained.buffer.at[i].file);
    sn_entry_begin(g, "state");
    each_state(&t, show);
    sn_entry_begin(g, "restore");
    each_state(&t, restore);
    if (t.rate.ref) {
        sn_entry_begin(g, "rate");
        sn_next(g, t.rate, sn_input(g, "rate", SN_F64, 0, NULL));
    }
    sn_trained_clear(&t.trained, sn_allocator(m->ctx));
    sn_vec_clear(sn_allocator(m->ctx), &t.state);
}
