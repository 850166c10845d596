/* train.c -- the graph of a training step: gradients of the head's loss, summed over micro-batches, clipped,
 * and what an optimizer makes of parameters with them. */
#include "frontends/training/train.h"

#include "ops/ops.h"

typedef struct Train {
    SnModel *m;
    SnGraph *g;
    const SnTrainSpec *spec;
    SnTrained trained;
    SnNamedValues state; /* what the optimizer keeps */
    SnValue *in;         /* by input of the entry at hand */
    SnValue step;        /* i64: steps so far */
    SnValue loss;        /* of the step; f32 */
    SnValue *d;          /* by parameter */
} Train;

static SnValue num(Train *t, double v)
{
    return sn_const(t->g, SN_F64, v);
}

static SnValue size(Train *t, int64_t v)
{
    return sn_const_int(t->g, SN_I64, v);
}

static int dims_of(Train *t, SnValue v, SnValue *out)
{
    const int n = sn_rank(t->g, v);
    for (int i = 0; i < n; i++)
        out[i] = sn_dim(t->g, v, i);
    return n;
}

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

/* Builds the head over values of inputs, in the function or entry that is open. */
static SnModelPart head_of(Train *t, const SnValue *in, const char *const *want, size_t nwant)
{
    const SnTrainSpec *s = t->spec;
    SnNamedValue *named = array(t, s->ninput, sizeof *named);
    SnModelPart part = {.head = s->head, .in = named, .nin = s->ninput, .want = want, .nwant = nwant};
    part.trained = &t->trained;
    for (size_t i = 0; named && i < s->ninput; i++)
        named[i] = (SnNamedValue){s->input[i], in[i]};
    if (named)
        sn_model_build(t->m, t->g, &part);
    return part;
}

/* tuple(loss, tuple(gradients by parameter)) of a micro-batch */
static SnValue gradients(Train *t, const SnValue *in)
{
    sn_fn_begin(t->g, "loss");
    SnModelPart part = head_of(t, in, (const char *const[]){"loss"}, 1);
    const SnValue fn = sn_fn_end(t->g, sn_named_value(part.out.at, part.out.n, "loss"));
    const size_t n = t->trained.leaf.n;
    SnValue *wrt = array(t, n, sizeof *wrt);
    sn_model_part_clear(t->m, &part);
    for (size_t i = 0; wrt && i < n; i++)
        wrt[i] = t->trained.leaf.at[i].value;
    return wrt ? sn_grad(t->g, fn, 0, NULL, (int)n, wrt) : sn_none();
}

static SnValue zeros_like(Train *t, SnValue v)
{
    SnValue dims[SN_MAX_RANK];
    const int n = dims_of(t, v, dims);
    return sn_broadcast(t->g, sn_const(t->g, sn_value_dtype(t->g, v), 0), n, dims);
}

/* Reads the parameters of the head, so that they are known before a loop sums their gradients. */
static void find_parameters(Train *t, const SnValue *in)
{
    sn_fn_begin(t->g, "loss");
    SnModelPart part = head_of(t, in, (const char *const[]){"loss"}, 1);
    (void)sn_fn_end(t->g, sn_named_value(part.out.at, part.out.n, "loss"));
    sn_model_part_clear(t->m, &part);
}

/* One micro-batch of inputs that have several. */
static void pick(Train *t, SnValue i, SnValue *in)
{
    for (size_t k = 0; k < t->spec->ninput; k++) {
        SnValue dims[SN_MAX_RANK];
        const int n = dims_of(t, t->in[k], dims);
        in[k] = sn_reshape(t->g, sn_slice_axis(t->g, t->in[k], 0, i, size(t, 1)), n - 1, dims + 1);
    }
}

/* The mean of the losses of all micro-batches, and the gradients of that. */
static void sum_up(Train *t)
{
    SnGraph *g = t->g;
    const int64_t times = t->spec->accumulate;
    SnValue *in = array(t, t->spec->ninput, sizeof *in);
    if (!in)
        return;
    pick(t, size(t, 0), in);
    find_parameters(t, times > 1 ? in : t->in);
    const size_t n = t->trained.leaf.n;
    SnValue *sum = array(t, n + 1, sizeof *sum);
    t->d = array(t, n, sizeof *t->d);
    if (!sum || !t->d)
        return;
    SnValue y = sn_none();
    if (times == 1) {
        y = gradients(t, t->in);
        t->loss = sn_get(g, y, 0);
        for (size_t i = 0; i < n; i++)
            t->d[i] = sn_get(g, sn_get(g, y, 1), (int)i);
        return;
    }
    const SnValue share = num(t, 1 / (double)times);
    sum[0] = sn_const(g, SN_F32, 0);
    for (size_t i = 0; i < n; i++)
        sum[1 + i] = zeros_like(t, t->trained.leaf.at[i].value);
    SnValue *next = array(t, n + 1, sizeof *next);
    sn_fn_begin(g, "micro");
    const SnValue at = sn_fn_arg(g, sn_type_scalar(sn_graph_store(g), SN_I64));
    for (size_t i = 0; next && i <= n; i++)
        next[i] = sn_fn_arg(g, sn_term(sn_graph_store(g), sum[i].ref)->type);
    pick(t, at, in);
    y = gradients(t, in);
    for (size_t i = 0; next && i <= n; i++) {
        const SnValue more = i == 0 ? sn_get(g, y, 0) : sn_get(g, sn_get(g, y, 1), (int)i - 1);
        next[i] = sn_add(g, next[i], sn_mul(g, more, share));
    }
    const SnValue body = sn_fn_end(g, next ? sn_tuple(g, (int)n + 1, next, NULL) : sn_none());
    const SnValue all = sn_loop(g, body, sn_none(), size(t, times), (int)n + 1, sum, 0, NULL);
    t->loss = sn_get(g, all, 0);
    for (size_t i = 0; i < n; i++)
        t->d[i] = sn_get(g, all, (int)i + 1);
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
    const SnValue over = sn_add(g, norm, num(t, 1e-6));
    const SnValue by = sn_min(g, sn_div(g, num(t, t->spec->max_grad_norm), over), num(t, 1));
    for (size_t i = 0; i < t->trained.leaf.n; i++)
        t->d[i] = sn_mul(g, t->d[i], by);
}

/* ---- optimizers: what each keeps of a parameter, and what of that has other dims ---- */

typedef enum Kept { LIKE, ROWS, COLUMNS } Kept; /* without the last axis, without the one before */

static const struct OptimizerRow {
    const char *op;
    struct {
        const char *name;
        Kept dims;
        const char *needs; /* kept where this attribute is not 0; NULL: always */
    } state[3];
    bool has_step;
} optimizers[] = {
    {"adamw", {{"exp_avg", LIKE, NULL}, {"exp_avg_sq", LIKE, NULL}}, true},
    {"sgd", {{"momentum_buffer", LIKE, "momentum"}}, true},
    {"adagrad", {{"sum", LIKE, NULL}}, true},
    {"rmsprop",
     {{"square_avg", LIKE, NULL}, {"momentum_buffer", LIKE, "momentum"}, {"grad_avg", LIKE, "centered"}},
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
    int n = dims_of(t, w, all);
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

static void update(Train *t, const struct OptimizerRow *row, size_t i, SnValue step, SnValue lr)
{
    const SnOptimizer *o = &t->spec->optimizer;
    const SnNamedValue *w = &t->trained.leaf.at[i];
    const SnTrainSpec *s = t->spec;
    SnAttr attr[SN_OPTIM_ATTRS];
    SnValue in[8] = {w->value, t->d[i]};
    bool is_kept[3] = {false};
    int n = 2, nattr = 0;
    for (int k = 0; k < 3 && row->state[k].name; k++) {
        const SnValue init = begin_state(t, w->value, row->state[k].dims);
        is_kept[k] = !row->state[k].needs || is_set(o, row->state[k].needs);
        in[n++] = is_kept[k] ? kept(t, name2(t, row->state[k].name, w->name), init) : init;
    }
    if (row->has_step)
        in[n++] = step;
    in[n++] = lr;
    for (int k = 0; k < o->nattr; k++)
        if (strcmp(o->attr[k].name, "weight_decay") != 0 || !s->decays || s->decays(s->self, w->name))
            attr[nattr++] = o->attr[k];
    const SnValue y = sn_op(t->g, row->op, in, n, attr, nattr);
    sn_next(t->g, w->value, sn_get(t->g, y, 0));
    for (int k = 0; k < 3; k++)
        if (is_kept[k])
            sn_next(t->g, in[2 + k], sn_get(t->g, y, 1 + k));
}

/* ---- entries ---- */

static void make_inputs(Train *t, const char *prefix, int64_t times)
{
    const SnTrainSpec *s = t->spec;
    t->in = array(t, s->ninput, sizeof *t->in);
    for (size_t i = 0; t->in && i < s->ninput; i++)
        t->in[i] =
            sn_input_make(t->g, *prefix ? name2(t, prefix, s->input[i]) : s->input[i], &s->shape[i], times);
}

static void entry_step(Train *t)
{
    SnGraph *g = t->g;
    const SnLrSchedule *r = &t->spec->schedule;
    sn_entry_begin(g, "step");
    make_inputs(t, "", t->spec->accumulate > 1 ? t->spec->accumulate : 0);
    t->step = kept(t, "step", size(t, 0));
    sum_up(t);
    if (sn_graph_check(g, NULL) != SN_OK)
        return;
    const SnValue norm = norm_of(t);
    clip(t, norm);
    const SnValue factor = sn_op(g, "lr_factor", &t->step, 1, r->attr, r->nattr);
    const SnValue lr = sn_mul(g, factor, sn_const(g, SN_F64, r->lr));
    const SnValue next = sn_add(g, t->step, size(t, 1)), count = sn_cast(g, next, SN_F64);
    size_t k = 0;
    while (k < SN_COUNT(optimizers) && strcmp(optimizers[k].op, t->spec->optimizer.op) != 0)
        k++;
    if (k == SN_COUNT(optimizers)) {
        sn_graph_fail(g, SN_EUNSUPPORTED, "optimizer %s", t->spec->optimizer.op);
        return;
    }
    for (size_t i = 0; i < t->trained.leaf.n; i++)
        update(t, &optimizers[k], i, count, lr);
    sn_next(g, t->step, next);
    sn_output(g, "loss", t->loss);
    sn_output(g, "grad_norm", norm);
    sn_output(g, "learning_rate", lr);
}

static void entry_eval(Train *t, SnModelProgram *p)
{
    sn_entry_begin(t->g, "eval");
    make_inputs(t, "eval", 0);
    if (!t->in)
        return;
    SnModelPart part = head_of(t, t->in, t->spec->want, t->spec->nwant);
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
    const int n = dims_of(t, carry->value, dims);
    const SnDtype dtype = sn_value_dtype(t->g, carry->value);
    sn_next(t->g, carry->value, sn_input(t->g, carry->name, dtype, n, dims));
}

void sn_train_fill(SnModel *m, SnGraph *g, SnModelProgram *p, void *user)
{
    const SnTrainSpec *s = user;
    Train t = {.m = m, .g = g, .spec = s};
    t.trained = (SnTrained){.is_state = true, .picks = s->trains, .self = s->self};
    entry_step(&t);
    entry_eval(&t, p);
    sn_entry_begin(g, "begin");
    for (size_t i = 0; i < t.trained.leaf.n; i++)
        sn_next(g, t.trained.leaf.at[i].value, t.trained.file.at[i].value);
    sn_entry_begin(g, "state");
    each_state(&t, show);
    sn_entry_begin(g, "restore");
    each_state(&t, restore);
    sn_trained_clear(&t.trained, sn_allocator(m->ctx));
    sn_vec_clear(sn_allocator(m->ctx), &t.state);
}
