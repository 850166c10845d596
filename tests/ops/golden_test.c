/* golden_test.c -- composites against PyTorch: the cases of tests/golden/ops.txt through the evaluator. */
#include "compiler/compiler.h"
#include "compiler/eval.h"
#include "ops/ops.h"
#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_VALUES 4096

typedef struct Case {
    SnGraph *g;
    char op[64];
    SnValue in[SN_SIG_OPERANDS];
    int nin, nout, line;
    SnAttr attr[SN_SIG_ATTRS];
    int nattr;
    int64_t ints[SN_SIG_ATTRS][SN_MAX_RANK];
    SnValue result;
    SnEvalResult *value;
} Case;

typedef struct Fixture {
    SnContext *ctx;
    SnCompiler *cc;
} Fixture;

/* "axis=1" as the kind that the signature says; text stays alive. */
static void read_attr(Case *c, const SnSig *sig, char *text)
{
    char *const value = strchr(text, '=');
    assert_non_null(value);
    *value = '\0';
    for (int i = 0; i < sig->nattr; i++) {
        SnAttr a = sig->attr[i].value;
        if (strcmp(a.name, text) != 0)
            continue;
        char *at = value + 1;
        if (sig->attr[i].kind == SN_SIG_F64)
            a.u.f = strtod(at, NULL);
        else if (sig->attr[i].kind == SN_SIG_STR)
            a.u.s = at;
        else if (sig->attr[i].kind == SN_SIG_BOOL)
            a.u.i = strcmp(at, "true") == 0;
        else if (sig->attr[i].kind == SN_SIG_INT)
            a.u.i = strtoll(at, NULL, 10);
        else {
            a.u.ints.at = c->ints[c->nattr];
            for (a.u.ints.n = 0; *at != '\0'; at += *at == ',')
                c->ints[c->nattr][a.u.ints.n++] = strtoll(at, &at, 10);
        }
        c->attr[c->nattr++] = a;
        return;
    }
    fail_msg("line %d: %s has no attribute %s", c->line, sig->name, text);
}

/* "f32 2 3 : VALUES" after the first word. */
static SnView read_tensor(char *text, uint8_t *data)
{
    char *save = NULL;
    const char *word = strtok_r(text, " \n", &save);
    int64_t dims[SN_MAX_RANK], n = 1;
    int ndim = 0;
    const SnDtype dtype = sn_dtype_find(word, strlen(word));
    for (word = strtok_r(NULL, " \n", &save); *word != ':'; word = strtok_r(NULL, " \n", &save)) {
        dims[ndim] = strtoll(word, NULL, 10);
        n *= dims[ndim++];
    }
    assert_true(n <= MAX_VALUES);
    for (int64_t i = 0; i < n; i++) {
        word = strtok_r(NULL, " \n", &save);
        assert_non_null(word);
        const SnScalar v = {.f = strtod(word, NULL)};
        sn_scalar_store(dtype, data + (size_t)i * sn_dtype_size(dtype),
                        sn_scalar_cast(SN_F64, dtype, v, false));
    }
    return sn_view(dtype, data, ndim, dims);
}

static void add_operand(Case *c, char *text)
{
    static uint8_t data[MAX_VALUES * 8];
    if (strncmp(text, "none", 4) == 0) {
        c->in[c->nin++] = sn_none();
        return;
    }
    const SnView v = read_tensor(text, data);
    c->in[c->nin++] = sn_const_data(c->g, v.dtype, v.ndim, v.dims, v.data);
}

static void run(Case *c)
{
    SnError err = {0};
    c->result = sn_op(c->g, c->op, c->in, c->nin, c->attr, c->nattr);
    const SnType *const t = sn_value_type(c->g, c->result);
    char name[16];
    for (int i = 0; i < t->nchild; i++) {
        snprintf(name, sizeof name, "y%d", i);
        sn_output(c->g, name, sn_get(c->g, c->result, i));
    }
    if (t->nchild == 0)
        sn_output(c->g, "y0", c->result);
    const SnRef root = sn_graph_root(c->g);
    if (sn_graph_check(c->g, &err) != SN_OK || sn_eval(c->g, root, "main", NULL, 0, &c->value, &err) != SN_OK)
        fail_msg("line %d: %s: %s", c->line, c->op, err.message);
}

static bool is_close(double found, double expected, SnDtype d)
{
    const double tolerance = d == SN_F32 ? 3e-6 : sn_dtype_is_float(d) ? 8e-3 : 0;
    if (isnan(expected) || isinf(expected))
        return isnan(expected) ? isnan(found) != 0 : found == expected;
    return fabs(found - expected) <= tolerance * (fabs(expected) + 0.5);
}

static double as_double(SnDtype d, const uint8_t *at)
{
    return sn_scalar_cast(d, SN_F64, sn_scalar_load(d, at), false).f;
}

static void check_result(Case *c, char *text)
{
    static uint8_t data[MAX_VALUES * 8];
    const SnView want = read_tensor(text, data);
    if (c->value == NULL)
        run(c);
    assert_true((size_t)c->nout < sn_eval_count(c->value));
    const SnView *const found = &sn_eval_get(c->value, (size_t)c->nout)->view;
    int64_t n = 1;
    if (found->dtype != want.dtype || found->ndim != want.ndim)
        fail_msg("line %d: %s: result %d is %s of rank %d", c->line, c->op, c->nout,
                 sn_dtype(found->dtype)->name, (int)found->ndim);
    for (int i = 0; i < want.ndim; i++) {
        assert_int_equal(found->dims[i], want.dims[i]);
        n *= want.dims[i];
    }
    for (int64_t i = 0; i < n; i++) {
        const size_t at = (size_t)i * sn_dtype_size(want.dtype);
        const double a = as_double(want.dtype, (const uint8_t *)found->data + at),
                     e = as_double(want.dtype, data + at);
        if (!is_close(a, e, want.dtype))
            fail_msg("line %d: %s: result %d, element %d is %.9g, expected %.9g", c->line, c->op, c->nout,
                     (int)i, a, e);
    }
    c->nout++;
}

static void end_case(Case *c)
{
    sn_eval_destroy(c->value);
    sn_graph_destroy(c->g);
    *c = (Case){.line = c->line};
}

static void begin_case(Case *c, const Fixture *f, char *text)
{
    SnError err;
    char *save = NULL;
    const char *const op = strtok_r(text, " \n", &save);
    const SnOpRow *const row = sn_compiler_find_row(f->cc, op, NULL);
    assert_non_null(row);
    snprintf(c->op, sizeof c->op, "%s", op);
    assert_ok(sn_graph_create(f->cc, &c->g, &err));
    for (char *word = strtok_r(NULL, " \n", &save); word != NULL; word = strtok_r(NULL, " \n", &save))
        read_attr(c, &row->sig, word);
}

static void composites_match_torch(void **state)
{
    (void)state;
    static char line[1 << 17], head[1 << 10];
    SnError err;
    Fixture f = {0};
    Case c = {0};
    int ncase = 0;
    const SnCompilerDesc desc = {.struct_size = sizeof desc, .ops = sn_all_ops};
    FILE *const file = fopen("tests/golden/ops.txt", "r");
    assert_non_null(file);
    assert_ok(sn_context_create(NULL, &f.ctx, &err));
    assert_ok(sn_compiler_create(f.ctx, &desc, &f.cc, &err));
    while (fgets(line, sizeof line, file) != NULL) {
        c.line++;
        if (strncmp(line, "op ", 3) == 0) {
            end_case(&c);
            assert_true(strlen(line + 3) < sizeof head);
            memcpy(head, line + 3, strlen(line + 3) + 1);
            begin_case(&c, &f, head);
            ncase++;
        } else if (strncmp(line, "in ", 3) == 0)
            add_operand(&c, line + 3);
        else if (strncmp(line, "out ", 4) == 0)
            check_result(&c, line + 4);
    }
    end_case(&c);
    assert_true(ncase > 100);
    fclose(file);
    sn_compiler_destroy(f.cc);
    sn_context_destroy(f.ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(composites_match_torch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
