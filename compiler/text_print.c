/* text_print.c -- writes the text form: one line a term, in the order of the store.
 *
 * Within a function or entry a term has a number. Constants, symbols, leaves, parameters, arithmetic on dims
 * and children of tuples are written where they are used. What is written parses to the same terms, but that
 * operands that commute may change places, and that a second dim of one name gets a new name. */
#include "compiler/text.h"

#include "runtime/json.h"

#include <inttypes.h>
#include <stdio.h>

#define MAX_SHOWN 64 /* elements of a constant that are written as numbers; more are written as bytes */

typedef struct Printer {
    const SnCompiler *cc;
    SnStore *s;
    SnText *out;
    SnArena arena;
    uint32_t n;            /* refs up to the root */
    bool *used;            /* by ref: reached from the root at all */
    bool *here;            /* by ref: reached in the scope that is written */
    uint32_t *number;      /* by ref: of a line in that scope; of a function */
    const char **dim_name; /* by ref, DIM only */
    SnMap name_count;      /* how many leaves have this name */
    uint32_t nline;        /* lines that stand before the carries they are for */
} Printer;

static void put(Printer *p, const char *text)
{
    sn_text_add(p->out, text, strlen(text));
}

/* ---- names ---- */

static void put_quoted(Printer *p, const char *text, size_t n)
{
    put(p, "\"");
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            sn_text_printf(p->out, "\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            sn_text_printf(p->out, "\\x%02x", c);
        else
            sn_text_add(p->out, &text[i], 1);
    }
    put(p, "\"");
}

static bool is_plain(const Printer *p, const char *name)
{
    return sn_text_is_plain(name, strlen(name)) && !sn_text_is_reserved(p->cc, name);
}

static void put_name(Printer *p, const char *name)
{
    if (is_plain(p, name))
        put(p, name);
    else
        put_quoted(p, name, strlen(name));
}

static bool is_leaf(uint16_t op)
{
    return op == SN_OP_INPUT || op == SN_OP_PARAM || op == SN_OP_CARRY || op == SN_OP_OBJECT;
}

/* Is the name of a leaf enough to mean it? */
static bool is_unique_leaf(const Printer *p, const char *name)
{
    uint32_t count;
    return is_plain(p, name) && sn_map_get(&p->name_count, sn_bytes_str(name), &count) && count == 1;
}

static void put_leaf_name(Printer *p, SnRef r)
{
    const char *name = sn_attr_string(p->s, r, "name");
    if (is_unique_leaf(p, name))
        put(p, name);
    else
        put_quoted(p, name, strlen(name));
}

/* Could a bare symbol be taken for something else? */
static bool is_plain_symbol(const Printer *p, const char *name)
{
    uint32_t count;
    const bool like_arg = name[0] == 'a' && name[1] >= '0' && name[1] <= '9';
    return is_plain(p, name) && !like_arg && strchr(name, '.') == NULL &&
           !sn_map_get(&p->name_count, sn_bytes_str(name), &count);
}

static void name_dim(void *self, SnRef leaf, SnText *out)
{
    Printer *p = (Printer *)self;
    (void)out;
    if (sn_term(p->s, leaf)->op == SN_OP_DIM)
        put_name(p, p->dim_name[leaf]);
    else
        sn_text_printf(p->out, "%%%" PRIu32, p->number[leaf]);
}

static void put_type(Printer *p, SnTypeId type)
{
    sn_type_write(p->s, type, 0, name_dim, p, p->out);
}

/* ---- literals ---- */

static void put_float(Printer *p, SnDtype dtype, double v)
{
    const size_t before = p->out->n;
    if (v != v || v - v != 0) {
        put(p, v != v ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    if (dtype == SN_F64)
        sn_json_put_f64(p->out, v);
    else
        sn_json_put_f32(p->out, (float)v);
    if (!p->out->failed && strpbrk(p->out->at + before, ".eE") == NULL)
        put(p, ".0");
}

static void put_literal(Printer *p, SnDtype dtype, SnScalar v)
{
    if (dtype == SN_BOOL)
        put(p, v.i != 0 ? "true" : "false");
    else if (sn_dtype_is_float(dtype))
        put_float(p, dtype, v.f);
    else if (sn_dtype(dtype)->kind == SN_KIND_UINT)
        sn_text_printf(p->out, "%" PRIu64, v.u);
    else
        sn_text_printf(p->out, "%" PRId64, v.i);
}

static bool has_own_literal(SnDtype dtype)
{
    return dtype == SN_I64 || dtype == SN_F32 || dtype == SN_BOOL;
}

static void put_hex(Printer *p, SnBytes b)
{
    put(p, "x\"");
    for (size_t i = 0; i < b.n; i++)
        sn_text_printf(p->out, "%02x", b.at[i]);
    put(p, "\"");
}

/* const f32 [2,3] {...} */
static void put_data(Printer *p, SnRef r)
{
    const SnType *t = sn_type_of(p->s, r);
    const SnAttr *data = sn_attr(p->s, r, "data");
    const size_t size = sn_dtype_size(t->dtype), n = data->u.data.n / size;
    sn_text_printf(p->out, "const %s [", sn_dtype(t->dtype)->name);
    for (int i = 0; i < t->ndim; i++) {
        put(p, i > 0 ? "," : "");
        sn_dim_write(p->s, t->dims[i], NULL, NULL, p->out);
    }
    put(p, "] ");
    if (n > MAX_SHOWN) {
        put_hex(p, data->u.data);
        return;
    }
    put(p, "{");
    for (size_t i = 0; i < n; i++) {
        put(p, i > 0 ? ", " : "");
        put_literal(p, t->dtype, sn_scalar_load(t->dtype, data->u.data.at + i * size));
    }
    put(p, "}");
}

/* ---- operands ---- */

/* Is the term written where it is used? */
static bool is_inline(const Printer *p, SnRef r)
{
    const SnTerm *t = sn_term(p->s, r);
    switch (t->op) {
    case SN_OP_NONE:
    case SN_OP_INPUT:
    case SN_OP_PARAM:
    case SN_OP_CARRY:
    case SN_OP_OBJECT:
    case SN_OP_DIM:
    case SN_OP_ARG:
    case SN_OP_FN:
    case SN_OP_GET:
        return true;
    case SN_OP_CONST:
        return sn_is_const(p->s, r, NULL);
    case SN_OP_MEASURE:
        return false;
    default:
        return sn_is_dim(p->s, r);
    }
}

static void put_operand(Printer *p, SnRef r);

static void put_scalar(Printer *p, SnRef r)
{
    const SnDtype dtype = sn_dtype_of(p->s, r);
    SnScalar v = {0};
    (void)sn_is_const(p->s, r, &v);
    put_literal(p, dtype, v);
    if (!has_own_literal(dtype))
        sn_text_printf(p->out, ":%s", sn_dtype(dtype)->name);
}

static void put_leaf(Printer *p, SnRef r)
{
    const SnTerm *t = sn_term(p->s, r);
    if (is_unique_leaf(p, sn_attr_string(p->s, r, "name"))) {
        put_leaf_name(p, r);
        return;
    }
    sn_text_printf(p->out, "(%s ", sn_prim(t->op)->name);
    put_leaf_name(p, r);
    put(p, ")");
}

static void put_get(Printer *p, SnRef r)
{
    const SnRef of = sn_term(p->s, r)->arg[0];
    const int64_t i = sn_attr_int(p->s, r, "index", 0);
    if (is_leaf(sn_term(p->s, of)->op)) {
        put(p, "(get ");
        put_operand(p, of);
        sn_text_printf(p->out, " %" PRId64 ")", i);
        return;
    }
    put_operand(p, of);
    sn_text_printf(p->out, ".%" PRId64, i);
}

static void put_operand(Printer *p, SnRef r)
{
    const SnTerm *t = sn_term(p->s, r);
    if (is_leaf(t->op)) {
        put_leaf(p, r);
    } else if (t->op == SN_OP_NONE) {
        put(p, "none");
    } else if (t->op == SN_OP_GET) {
        put_get(p, r);
    } else if (t->op == SN_OP_ARG) {
        sn_text_printf(p->out, "%%a%" PRId64, sn_attr_int(p->s, r, "index", 0));
    } else if (t->op == SN_OP_FN) {
        sn_text_printf(p->out, "@f%" PRIu32, p->number[r]);
    } else if (t->op == SN_OP_DIM && is_plain_symbol(p, p->dim_name[r])) {
        put(p, p->dim_name[r]);
    } else if (sn_is_const(p->s, r, NULL)) {
        put_scalar(p, r);
    } else if (is_inline(p, r)) { /* a list of one dim */
        put(p, "[");
        sn_dim_write(p->s, r, name_dim, p, p->out);
        put(p, "]");
    } else {
        sn_text_printf(p->out, "%%%" PRIu32, p->number[r]);
    }
}

/* An item of a bracketed list: dims in infix form, or a start. */
static void put_item(Printer *p, SnRef r)
{
    if (sn_is_dim(p->s, r)) {
        sn_dim_write(p->s, r, name_dim, p, p->out);
    } else if (is_leaf(sn_term(p->s, r)->op)) {
        const char *name = sn_attr_string(p->s, r, "name");
        sn_text_printf(p->out, "(%s ", sn_prim(sn_term(p->s, r)->op)->name);
        put_quoted(p, name, strlen(name));
        put(p, ")");
    } else {
        put_operand(p, r);
    }
}

static void put_list(Printer *p, const SnRef *arg, int n)
{
    put(p, " [");
    for (int i = 0; i < n; i++) {
        put(p, i > 0 ? "," : "");
        put_item(p, arg[i]);
    }
    put(p, "]");
}

static void put_group(Printer *p, const char *open, const SnRef *arg, int n)
{
    put(p, open);
    for (int i = 0; i < n; i++) {
        put(p, i > 0 ? ", " : "");
        put_operand(p, arg[i]);
    }
    put(p, ")");
}

static void put_operands(Printer *p, const SnTerm *t)
{
    const SnTextSyntax *syntax = sn_text_syntax(t->op);
    const int listed = syntax->lists > 0 ? t->narg - syntax->plain - syntax->after : 0;
    for (int i = 0; i < t->narg; i++) {
        if (listed > 0 && i == syntax->plain) {
            for (int k = 0; k < syntax->lists; k++)
                put_list(p, t->arg + i + k * (listed / syntax->lists), listed / syntax->lists);
            i += listed - 1;
            continue;
        }
        put(p, " ");
        put_operand(p, t->arg[i]);
    }
    /* Rank 0: the brackets are empty, but there. */
    for (int k = 0; listed == 0 && k < syntax->lists; k++)
        put(p, " []");
}

/* ---- attributes ---- */

static void put_text(Printer *p, const char *text)
{
    if (sn_text_is_plain(text, strlen(text)))
        put(p, text);
    else
        put_quoted(p, text, strlen(text));
}

static void put_setting(Printer *p, const SnAttr *a)
{
    switch (a->kind) {
    case SN_ATTR_INT:
        sn_text_printf(p->out, "%" PRId64, a->u.i);
        return;
    case SN_ATTR_FLOAT:
        put_float(p, SN_F64, a->u.f);
        return;
    case SN_ATTR_STRING:
        put_text(p, a->u.s);
        return;
    case SN_ATTR_DTYPE:
        put(p, a->u.d != SN_NODTYPE ? sn_dtype(a->u.d)->name : "none");
        return;
    case SN_ATTR_INTS:
        for (int i = 0; i < a->u.ints.n; i++)
            sn_text_printf(p->out, "%s%" PRId64, i > 0 ? "," : "[", a->u.ints.at[i]);
        put(p, a->u.ints.n > 0 ? "]" : "[]");
        return;
    case SN_ATTR_NAMES:
        for (int i = 0; i < a->u.names.n; i++) {
            put(p, i > 0 ? ", " : "[");
            put_quoted(p, a->u.names.at[i], strlen(a->u.names.at[i]));
        }
        put(p, a->u.names.n > 0 ? "]" : "[]");
        return;
    case SN_ATTR_DATA:
        put_hex(p, a->u.data);
        return;
    case SN_ATTR_SCALAR:
        return;
    }
}

static bool is_positional(const SnTerm *t, const SnAttr *a)
{
    const SnTextSyntax *syntax = sn_text_syntax(t->op);
    if (syntax->word != NULL && strcmp(a->name, syntax->word) == 0)
        return true;
    if (t->op == SN_OP_LOOP)
        return strcmp(a->name, "ncarry") == 0 || strcmp(a->name, "nscan") == 0;
    if (t->op == SN_OP_HOST)
        return strcmp(a->name, "op") == 0;
    return t->op == SN_OP_CONTRACT && strcmp(a->name, "acc") == 0 && a->u.d == SN_NODTYPE;
}

static void put_attrs(Printer *p, SnRef r)
{
    const SnTerm *t = sn_term(p->s, r);
    const char *dtype = sn_text_syntax(t->op)->dtype;
    const SnOpRow *row = sn_compiler_row_of(p->cc, t->op);
    int n;
    const SnAttr *a = sn_attrs(p->s, t->attr, &n);
    for (int i = 0; i < n; i++) {
        SnTextAttr known;
        if (is_positional(t, &a[i]))
            continue;
        put(p, " ");
        if (dtype != NULL && strcmp(a[i].name, dtype) == 0) {
            put(p, sn_dtype(a[i].u.d)->name);
            continue;
        }
        put(p, a[i].name);
        if (a[i].kind == SN_ATTR_INT && a[i].u.i == 1 && sn_text_attr(t->op, row, a[i].name, &known) &&
            known.is_flag)
            continue;
        put(p, "=");
        put_setting(p, &a[i]);
    }
}

/* ---- lines ---- */

static void put_loop(Printer *p, SnRef r)
{
    const SnTerm *t = sn_term(p->s, r);
    const int ncarry = (int)sn_attr_int(p->s, r, "ncarry", 0), nscan = (int)sn_attr_int(p->s, r, "nscan", 0);
    const int first_captured = 3 + ncarry + nscan;
    sn_text_printf(p->out, "loop body=@f%" PRIu32, p->number[t->arg[0]]);
    if (sn_term(p->s, t->arg[1])->op != SN_OP_NONE)
        sn_text_printf(p->out, " while=@f%" PRIu32, p->number[t->arg[1]]);
    if (sn_term(p->s, t->arg[2])->op != SN_OP_NONE) {
        put(p, " bound=");
        put_item(p, t->arg[2]);
    }
    put_attrs(p, r);
    put_group(p, " (", t->arg + 3, ncarry);
    if (nscan > 0)
        put_group(p, " scan(", t->arg + 3 + ncarry, nscan);
    for (int i = first_captured; i < t->narg; i++) {
        put(p, i == first_captured ? "; " : ", ");
        put_operand(p, t->arg[i]);
    }
}

static void put_measure(Printer *p, const SnTerm *t)
{
    put(p, "measure ");
    put_operand(p, t->arg[0]);
    if (sn_term(p->s, t->arg[1])->op == SN_OP_NONE)
        return;
    put(p, " max=");
    put_item(p, t->arg[1]);
}

static void put_op_name(Printer *p, SnRef r)
{
    const SnTerm *t = sn_term(p->s, r);
    const SnOpRow *row = sn_compiler_row_of(p->cc, t->op);
    put(p, row != NULL ? row->sig.name : sn_prim(t->op)->name);
    if (t->op == SN_OP_HOST) {
        put(p, " ");
        put_text(p, sn_attr_string(p->s, r, "op"));
    }
}

static void put_term(Printer *p, SnRef r)
{
    const SnTerm *t = sn_term(p->s, r);
    const SnTextSyntax *syntax = sn_text_syntax(t->op);
    const char *word = syntax->word != NULL ? sn_attr_string(p->s, r, syntax->word) : NULL;
    if (t->op == SN_OP_CONST) {
        put_data(p, r);
        return;
    }
    if (t->op == SN_OP_LOOP) {
        put_loop(p, r);
        return;
    }
    if (t->op == SN_OP_MEASURE) {
        put_measure(p, t);
        return;
    }
    put_op_name(p, r);
    if (word != NULL) {
        put(p, " ");
        put_text(p, word);
    }
    put_operands(p, t);
    put_attrs(p, r);
}

/* Marks what marked terms below root need; functions and initial values of carries are scopes of their own.
 */
static void mark_below(Printer *p, SnRef root)
{
    for (SnRef r = root - 1; r > 0; r--) {
        const SnTerm *t = sn_term(p->s, r);
        if (!p->here[r] || t->op == SN_OP_CARRY || t->op == SN_OP_FN)
            continue;
        for (int i = 0; i < t->narg; i++)
            p->here[t->arg[i]] = true;
    }
}

/* The tuple of an entry's results is no line of its own. */
static void mark_entry(Printer *p, SnRef entry)
{
    const SnTerm *t = sn_term(p->s, entry), *results = sn_term(p->s, t->arg[0]);
    memset(p->here, 0, p->n * sizeof *p->here);
    for (int i = 0; i < results->narg; i++)
        p->here[results->arg[i]] = true;
    for (int i = 1; i < t->narg; i++)
        p->here[t->arg[i]] = true;
    mark_below(p, entry);
}

/* Writes the lines of terms up to last that are marked, numbered after `number`; returns the last number. */
static uint32_t put_lines(Printer *p, SnRef last, uint32_t number, const char *indent)
{
    for (SnRef r = 1; r <= last; r++) {
        if (!p->here[r] || is_inline(p, r))
            continue;
        p->number[r] = ++number;
        sn_text_printf(p->out, "%s%%%" PRIu32 " = ", indent, number);
        put_term(p, r);
        put(p, "\n");
    }
    return number;
}

/* ---- items ---- */

static void put_dims(Printer *p)
{
    for (SnRef r = 1; r < p->n; r++) {
        if (!p->used[r] || sn_term(p->s, r)->op != SN_OP_DIM)
            continue;
        put(p, "dims ");
        put_name(p, p->dim_name[r]);
        sn_text_printf(p->out, " in %" PRId64 "..%" PRId64 "%s\n", sn_attr_int(p->s, r, "lo", 0),
                       sn_attr_int(p->s, r, "hi", INT64_MAX),
                       sn_attr_int(p->s, r, "create", 0) ? " at create" : "");
    }
}

static void put_fn(Printer *p, SnRef fn, uint32_t number)
{
    const SnTerm *t = sn_term(p->s, fn);
    p->number[fn] = number;
    sn_text_printf(p->out, "fn @f%" PRIu32 "(", number);
    for (int i = 1; i < t->narg; i++) {
        sn_text_printf(p->out, "%sa%d: ", i > 1 ? ", " : "", i - 1);
        put_type(p, sn_term(p->s, t->arg[i])->type);
    }
    put(p, ") {\n");
    memset(p->here, 0, p->n * sizeof *p->here);
    p->here[t->arg[0]] = true;
    mark_below(p, fn);
    (void)put_lines(p, fn - 1, 0, "  ");
    put(p, "  ret = ");
    put_operand(p, t->arg[0]);
    put(p, "\n}\n");
}

static void put_decl(Printer *p, SnRef r)
{
    put_leaf_name(p, r);
    put(p, ": ");
    put_type(p, sn_term(p->s, r)->type);
}

/* The literal that, broadcast, is the initial value of a carry; false: it is another term. */
static bool put_plain_init(Printer *p, SnRef init)
{
    const SnTerm *t = sn_term(p->s, init);
    SnScalar v;
    const SnRef scalar = t->op == SN_OP_BROADCAST ? t->arg[0] : init;
    if (!sn_is_const(p->s, scalar, &v))
        return false;
    put_literal(p, sn_dtype_of(p->s, scalar), v);
    return true;
}

static void put_carry(Printer *p, SnRef r)
{
    const SnRef init = sn_term(p->s, r)->arg[0];
    const SnTerm *t = sn_term(p->s, init);
    const bool is_plain_init =
        sn_is_const(p->s, init, NULL) || (t->op == SN_OP_BROADCAST && sn_is_const(p->s, t->arg[0], NULL));
    if (!is_plain_init && !is_inline(p, init)) {
        memset(p->here, 0, p->n * sizeof *p->here);
        p->here[init] = true;
        mark_below(p, init + 1);
        p->nline = put_lines(p, init, p->nline, "");
    }
    put(p, "carry ");
    put_decl(p, r);
    put(p, " = ");
    if (!put_plain_init(p, init))
        put_operand(p, init);
    put(p, "\n");
}

static void put_leaves(Printer *p)
{
    for (SnRef r = 1; r < p->n; r++) {
        const SnTerm *t = sn_term(p->s, r);
        if (!p->used[r])
            continue;
        if (t->op == SN_OP_PARAM) {
            put(p, "param ");
            put_decl(p, r);
            put(p, "\n");
        } else if (t->op == SN_OP_OBJECT) {
            const SnAttr *data = sn_attr(p->s, r, "data");
            put(p, "object ");
            put_leaf_name(p, r);
            put(p, ": ");
            put_text(p, sn_type_of(p->s, r)->class_name);
            put(p, " = ");
            put_hex(p, data != NULL ? data->u.data : sn_bytes("", 0));
            put(p, "\n");
        } else if (t->op == SN_OP_CARRY && t->narg == 1) {
            put_carry(p, r);
        }
    }
}

static void put_results(Printer *p, SnRef entry)
{
    const SnTerm *t = sn_term(p->s, sn_term(p->s, entry)->arg[0]);
    const SnType *type = sn_type(p->s, t->type);
    if (t->op != SN_OP_TUPLE || type->names == NULL || t->narg == 0)
        return;
    put(p, "  ret ");
    for (int i = 0; i < t->narg; i++) {
        put(p, i > 0 ? ", " : "");
        put(p, sn_entry_streams(p->s, entry, type->names[i]) ? "stream " : "");
        put_name(p, type->names[i]);
        put(p, ": ");
        put_operand(p, t->arg[i]);
    }
    put(p, "\n");
}

static void put_entry(Printer *p, SnRef entry)
{
    const SnTerm *t = sn_term(p->s, entry);
    bool first = true;
    mark_entry(p, entry);
    sn_text_printf(p->out, "entry @%s(", sn_attr_string(p->s, entry, "name"));
    for (SnRef r = 1; r < entry; r++) {
        if (!p->here[r] || sn_term(p->s, r)->op != SN_OP_INPUT)
            continue;
        put(p, first ? "" : ", ");
        put_decl(p, r);
        first = false;
    }
    put(p, ") {\n");
    (void)put_lines(p, entry - 1, 0, "  ");
    put_results(p, entry);
    for (int i = 1; i + 1 < t->narg; i += 2) {
        put(p, "  next ");
        put_name(p, sn_attr_string(p->s, t->arg[i], "name"));
        put(p, " = ");
        put_operand(p, t->arg[i + 1]);
        put(p, "\n");
    }
    put(p, "}\n");
}

/* ---- all ---- */

static void mark_dims(Printer *p, SnTypeId id)
{
    const SnType *t = sn_type(p->s, id);
    for (int i = 0; i < t->ndim; i++)
        p->used[t->dims[i]] = true;
    if (t->bound != 0)
        p->used[t->bound] = true;
    for (int i = 0; i < t->nchild; i++)
        mark_dims(p, t->child[i]);
}

static bool name_dims(Printer *p)
{
    SnMap seen;
    bool ok = true;
    sn_map_init(&seen, sn_allocator(sn_store_context(p->s)));
    for (SnRef r = 1; r < p->n && ok; r++) {
        if (!p->used[r] || sn_term(p->s, r)->op != SN_OP_DIM)
            continue;
        const char *name = sn_attr_string(p->s, r, "name");
        uint32_t count = 0;
        if (sn_map_get(&seen, sn_bytes_str(name), &count))
            p->dim_name[r] = sn_arena_printf(&p->arena, "%s_%" PRIu32, name, r);
        else
            p->dim_name[r] = name;
        ok = p->dim_name[r] != NULL && sn_map_put(&seen, sn_bytes_str(p->dim_name[r]), 1);
    }
    sn_map_clear(&seen);
    return ok;
}

static bool prepare(Printer *p, SnRef root)
{
    p->used = (bool *)sn_arena_array(&p->arena, p->n, sizeof *p->used);
    p->here = (bool *)sn_arena_array(&p->arena, p->n, sizeof *p->here);
    p->number = (uint32_t *)sn_arena_array(&p->arena, p->n, sizeof *p->number);
    p->dim_name = (const char **)sn_arena_array(&p->arena, p->n, sizeof *p->dim_name);
    if (p->used == NULL || p->here == NULL || p->number == NULL || p->dim_name == NULL)
        return false;
    p->used[root] = true;
    for (SnRef r = root; r > 0; r--) {
        const SnTerm *t = sn_term(p->s, r);
        if (!p->used[r])
            continue;
        for (int i = 0; i < t->narg; i++)
            p->used[t->arg[i]] = true;
        if (is_leaf(t->op) || t->op == SN_OP_ARG)
            mark_dims(p, t->type);
        uint32_t count = 0;
        const char *name = is_leaf(t->op) ? sn_attr_string(p->s, r, "name") : NULL;
        if (name != NULL) {
            (void)sn_map_get(&p->name_count, sn_bytes_str(name), &count);
            if (!sn_map_put(&p->name_count, sn_bytes_str(name), count + 1))
                return false;
        }
    }
    return name_dims(p);
}

SnStatus sn_root_print(const SnCompiler *cc, SnStore *s, SnRef root, SnText *out, SnError *err)
{
    const SnAllocator *a = sn_allocator(sn_store_context(s));
    Printer p = {.cc = cc, .s = s, .out = out, .n = root + 1};
    sn_arena_init(&p.arena, a);
    sn_map_init(&p.name_count, a);
    SnStatus st = SN_OK;
    if (sn_term(s, root)->op != SN_OP_PROGRAM) {
        st = sn_fail(err, SN_EINVAL, "only whole programs are printed");
    } else if (!prepare(&p, root)) {
        st = sn_fail(err, SN_ENOMEM, "no memory for the text form");
    } else {
        uint32_t nfn = 0;
        put_dims(&p);
        for (SnRef r = 1; r < root; r++)
            if (p.used[r] && sn_term(s, r)->op == SN_OP_FN)
                put_fn(&p, r, nfn++);
        put_leaves(&p);
        for (int i = 0; i < sn_term(s, root)->narg; i++)
            put_entry(&p, sn_term(s, root)->arg[i]);
        st = out->failed ? sn_fail(err, SN_ENOMEM, "no memory for the text form") : SN_OK;
    }
    sn_map_clear(&p.name_count);
    sn_arena_clear(&p.arena);
    return st;
}

SnStatus sn_graph_print(SnGraph *g, SnText *out, SnError *err)
{
    const SnRef root = sn_graph_root(g);
    SN_TRY(sn_graph_check(g, err));
    return sn_root_print(g->cc, g->s, root, out, err);
}
