/* info.c -- the commands over tensors and facts: forward, inspect, models, ops, devices. */
#include "tools/command.h"

/* ---- forward ---- */

static SnStatus forward(const Args *a, Session *s, const char *names, SnError *err)
{
    SnResults *in = NULL, *out = NULL;
    size_t nwant = 0;
    const char *const *want = split_names(&s->arena, names, &nwant);
    SnStatus st = want ? sn_tensors_load(s->ctx, arg_value(a, "--inputs"), &in, err)
                       : sn_fail(err, SN_ENOMEM, "no memory");
    if (st == SN_OK) {
        const size_t nin = sn_results_count(in);
        st = sn_model_forward(s->model, nin ? sn_results_get(in, 0) : NULL, nin, want, nwant, &out, err);
    }
    if (st == SN_OK) {
        const size_t nout = sn_results_count(out);
        st = sn_tensors_save(s->ctx, arg_value(a, "--outputs"), nout ? sn_results_get(out, 0) : NULL, nout,
                             err);
    }
    sn_results_destroy(in);
    sn_results_destroy(out);
    return st;
}

static int run_forward(const Args *a, const char *names)
{
    Session s = {0};
    if (!arg_value(a, "--inputs") || !arg_value(a, "--outputs"))
        return usage_error(a, "--inputs and --outputs are needed");
    int status = session_open(a, a->at[0], NULL, &s);
    if (status == EXIT_DONE)
        status = report(NULL, forward(a, &s, names, &s.err), &s.err);
    session_close(&s);
    return status;
}

int command_forward(const Args *a)
{
    return run_forward(a, arg_value(a, "--want"));
}

int command_grad(const Args *a)
{
    return run_forward(a, "loss,grad.*");
}

/* ---- inspect ---- */

static void print_value(const SnJson *v, int indent);

static void print_children(const SnJson *v, int indent)
{
    for (uint32_t i = 0; i < v->n; i++) {
        const SnJson *c = &v->u.child[i];
        if (v->kind == SN_JSON_OBJECT)
            (void)printf("%*s%.*s: ", indent, "", (int)c->key.n, (const char *)c->key.at);
        else
            (void)printf("%*s- ", indent, "");
        print_value(c, indent + 2);
    }
}

static bool is_flat(const SnJson *v)
{
    for (uint32_t i = 0; i < v->n; i++)
        if (v->u.child[i].kind >= SN_JSON_ARRAY)
            return false;
    return v->kind == SN_JSON_ARRAY && v->n <= 16;
}

/* Indented, as people read it: objects and long arrays a line each child, short arrays in one line. */
static void print_value(const SnJson *v, int indent)
{
    if (v->kind == SN_JSON_STRING) {
        (void)printf("%.*s\n", (int)v->u.string.n, (const char *)v->u.string.at);
    } else if (v->kind == SN_JSON_BOOL || v->kind == SN_JSON_NULL) {
        (void)printf("%s\n", v->kind == SN_JSON_NULL ? "none" : v->u.boolean ? "yes" : "no");
    } else if (v->kind == SN_JSON_INT) {
        (void)printf("%lld\n", (long long)v->u.integer);
    } else if (v->kind == SN_JSON_FLOAT) {
        (void)printf("%g\n", v->u.number);
    } else if (is_flat(v)) {
        for (uint32_t i = 0; i < v->n; i++) {
            double number = 0;
            SnBytes text;
            if (sn_json_string(&v->u.child[i], &text))
                (void)printf("%s%.*s", i ? ", " : "", (int)text.n, (const char *)text.at);
            else if (sn_json_number(&v->u.child[i], &number))
                (void)printf("%s%g", i ? ", " : "", number);
        }
        (void)printf("\n");
    } else {
        (void)printf("\n");
        print_children(v, indent);
    }
}

static SnStatus inspect(const Args *a, Session *s, SnError *err)
{
    SnJson *json = NULL;
    size_t nwant = 0;
    static const char *const input[] = {"input_ids", "attention_mask"};
    SnText text = {.memory = s->arena.memory};
    const char *const *want = split_names(&s->arena, arg_value(a, "--want"), &nwant);
    const bool graph = arg_flag(a, "--graph");
    SnStatus st = !want   ? sn_fail(err, SN_ENOMEM, "no memory")
                  : graph ? sn_model_graph(s->model, input, SN_COUNT(input), want, nwant, &text, err)
                          : sn_model_inspect(s->model, &text, err);
    if (st == SN_OK && (a->json || graph))
        (void)printf("%s\n", text.at);
    else if (st == SN_OK)
        st = sn_json_parse(&s->arena, "inspect", sn_bytes(text.at, text.n), &json, err);
    if (json)
        print_children(json, 0);
    sn_text_clear(&text);
    return st;
}

int command_inspect(const Args *a)
{
    Session s = {0};
    int status = session_open(a, a->at[0], NULL, &s);
    if (status == EXIT_DONE)
        status = report(a->at[0], inspect(a, &s, &s.err), &s.err);
    session_close(&s);
    return status;
}

/* ---- lists ---- */

int command_models(const Args *a)
{
    const char *type = NULL, *name = NULL, *task = NULL;
    for (size_t i = 0; sn_arch_list(i, &type, &name, &task); i++)
        (void)printf(a->json ? "{\"model_type\": \"%s\", \"architecture\": \"%s\", \"task\": \"%s\"}\n"
                             : "%-14s %-40s %s\n",
                     type, name, task);
    return EXIT_DONE;
}

int command_ops(const Args *a)
{
    Session s = {0};
    const int status = session_open(a, NULL, NULL, &s);
    const SnOp *op = NULL;
    for (uint32_t i = 0; status == EXIT_DONE && (op = sn_compiler_op(s.cc, i)) != NULL; i++)
        (void)printf("%s\n    %s\n", op->sig, op->doc ? op->doc : "");
    session_close(&s);
    return status;
}

int command_devices(const Args *a)
{
    static const char *const target[] = {"cpu", "interp", "clike", "opencl:0", "opencl:1"};
    Session s = {0};
    const int status = session_open(a, NULL, NULL, &s);
    for (size_t i = 0; status == EXIT_DONE && i < SN_COUNT(target); i++) {
        SnError err = {0};
        SnText facts = {.memory = sn_allocator(s.ctx)};
        if (sn_compiler_device(s.cc, target[i], &facts, &err) == SN_OK)
            (void)printf("%-9s %s\n", target[i], facts.at ? facts.at : "");
        else
            (void)printf("%-9s not here: %s\n", target[i], err.message);
        sn_text_clear(&facts);
    }
    session_close(&s);
    return status;
}
