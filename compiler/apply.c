/* apply.c -- what elementwise ops mean on scalars, and makers of scalar terms that fold as they build.
 *
 * sn_scalar_apply is the definition that folding, eval and interp share; its rules are at the top of
 * prims.def. f32 operands are held widened in double: + - * / and sqrt in double, rounded once more to f32,
 * give the f32 result exactly (53 >= 2 * 24 + 2); fma does not have that property and goes through fmaf. f16
 * and bf16 compute in f32, then round. */
#include "compiler/term.h"
#include "compiler/type.h"

#include <math.h>

/* ---- floats ---- */

static double float_mod(double a, double b)
{
    if (b == 0)
        return a;
    const double r = fmod(a, b);
    if (r == 0)
        return copysign(0.0, b);
    return (r < 0) != (b < 0) ? r + b : r;
}

static double float_min(double a, double b)
{
    if (a != a || b != b)
        return a != a ? a : b;
    if (a == b)
        return signbit(a) ? a : b;
    return a < b ? a : b;
}

static double float_max(double a, double b)
{
    if (a != a || b != b)
        return a != a ? a : b;
    if (a == b)
        return signbit(a) ? b : a;
    return a > b ? a : b;
}

static double float_fma(SnDtype d, double a, double b, double c)
{
    return d == SN_F64 ? fma(a, b, c) : (double)fmaf((float)a, (float)b, (float)c);
}

static SnScalar float_result(SnDtype d, double v)
{
    SnScalar s = {.f = v};
    if (d != SN_F64)
        s = sn_scalar_round_to(SN_F32, s);
    return sn_scalar_round_to(d, s);
}

static bool float_apply(uint16_t op, SnDtype d, const SnScalar *x, SnScalar *out)
{
    const double a = x[0].f, b = sn_prim(op)->min_arg > 1 ? x[1].f : 0;
    double v;
    switch (op) {
    case SN_OP_NEG:
        v = -a;
        break;
    case SN_OP_ABS:
        v = fabs(a);
        break;
    case SN_OP_FLOOR:
        v = floor(a);
        break;
    case SN_OP_ROUND:
        v = rint(a); /* jobs keep the rounding mode at nearest-even */
        break;
    case SN_OP_SQRT:
        v = sqrt(a);
        break;
    case SN_OP_ADD:
        v = a + b;
        break;
    case SN_OP_SUB:
        v = a - b;
        break;
    case SN_OP_MUL:
        v = a * b;
        break;
    case SN_OP_DIV:
        v = a / b;
        break;
    case SN_OP_MOD:
        v = float_mod(a, b);
        break;
    case SN_OP_MIN:
        v = float_min(a, b);
        break;
    case SN_OP_MAX:
        v = float_max(a, b);
        break;
    case SN_OP_FMA:
        v = float_fma(d, a, b, x[2].f);
        break;
    case SN_OP_LT:
        *out = (SnScalar){.i = a < b};
        return true;
    case SN_OP_EQ:
        *out = (SnScalar){.i = a == b};
        return true;
    default:
        return false;
    }
    *out = float_result(d, v);
    return true;
}

/* ---- integers and bool ---- */

static SnScalar int_divide(SnDtypeKind kind, SnScalar a, SnScalar b, bool want_mod)
{
    if (b.u == 0)
        return want_mod ? a : (SnScalar){.u = 0};
    if (kind != SN_KIND_INT)
        return (SnScalar){.u = want_mod ? a.u % b.u : a.u / b.u};
    if (b.i == -1) /* the one quotient that does not fit wraps */
        return (SnScalar){.u = want_mod ? 0 : 0 - a.u};
    int64_t q = a.i / b.i, r = a.i % b.i;
    if (r != 0 && (r < 0) != (b.i < 0)) {
        q--;
        r += b.i;
    }
    return (SnScalar){.i = want_mod ? r : q};
}

static SnScalar int_shift(SnDtype d, SnDtypeKind kind, SnScalar a, SnScalar b, bool left)
{
    const unsigned width = (unsigned)sn_dtype_size(d) * 8;
    const bool past = b.u >= width;
    if (left)
        return (SnScalar){.u = past ? 0 : a.u << b.u};
    if (kind != SN_KIND_INT)
        return (SnScalar){.u = past ? 0 : a.u >> b.u};
    const unsigned count = past ? 63 : (unsigned)b.u;
    /* >> of a negative number is the implementation's: shift the complement instead. */
    return (SnScalar){.u = a.i < 0 ? ~(~a.u >> count) : a.u >> count};
}

static bool int_apply(uint16_t op, SnDtype d, const SnScalar *x, SnScalar *out)
{
    const SnDtypeKind kind = sn_dtype(d)->kind;
    const SnScalar a = x[0], b = sn_prim(op)->min_arg > 1 ? x[1] : (SnScalar){0};
    const bool less = kind == SN_KIND_INT ? a.i < b.i : a.u < b.u;
    SnScalar v;
    switch (op) {
    case SN_OP_NEG:
        v.u = 0 - a.u;
        break;
    case SN_OP_ABS:
        v.u = kind == SN_KIND_INT && a.i < 0 ? 0 - a.u : a.u;
        break;
    case SN_OP_NOT:
        v.u = kind == SN_KIND_BOOL ? a.u == 0 : ~a.u;
        break;
    case SN_OP_ADD:
        v.u = a.u + b.u;
        break;
    case SN_OP_SUB:
        v.u = a.u - b.u;
        break;
    case SN_OP_MUL:
        v.u = a.u * b.u;
        break;
    case SN_OP_IDIV:
    case SN_OP_MOD:
        v = int_divide(kind, a, b, op == SN_OP_MOD);
        break;
    case SN_OP_MIN:
        v = less ? a : b;
        break;
    case SN_OP_MAX:
        v = less ? b : a;
        break;
    case SN_OP_AND:
        v.u = a.u & b.u;
        break;
    case SN_OP_OR:
        v.u = a.u | b.u;
        break;
    case SN_OP_XOR:
        v.u = a.u ^ b.u;
        break;
    case SN_OP_SHL:
    case SN_OP_SHR:
        v = int_shift(d, kind, a, b, op == SN_OP_SHL);
        break;
    case SN_OP_LT:
        *out = (SnScalar){.i = less};
        return true;
    case SN_OP_EQ:
        *out = (SnScalar){.i = a.u == b.u};
        return true;
    default:
        return false;
    }
    *out = sn_scalar_round_to(d, v);
    return true;
}

bool sn_scalar_apply(uint16_t op, SnDtype dtype, const SnScalar *arg, SnScalar *out)
{
    if (op == SN_OP_WHERE) {
        *out = arg[0].i != 0 ? arg[1] : arg[2];
        return true;
    }
    return sn_dtype_is_float(dtype) ? float_apply(op, dtype, arg, out) : int_apply(op, dtype, arg, out);
}

/* ---- makers ---- */

/* Operand dtypes are equal but for the condition of where. */
static SnRef scalar_make(SnStore *s, uint16_t op, const SnRef *arg, int narg)
{
    SnScalar value[3], result;
    bool known = true;
    for (int i = 0; i < narg; i++) {
        if (arg[i] == 0)
            return 0;
        known = known && sn_is_const(s, arg[i], &value[i]);
    }
    const SnDtype d = sn_dtype_of(s, arg[op == SN_OP_WHERE ? 1 : 0]);
    const SnDtype to = op == SN_OP_LT || op == SN_OP_EQ ? SN_BOOL : d;
    if (known && sn_scalar_apply(op, d, value, &result))
        return sn_const_scalar(s, to, result);
    return sn_term_make(s, op, sn_type_scalar(s, to), 0, arg, narg);
}

SnRef sn_s1(SnStore *s, uint16_t op, SnRef a)
{
    const SnTerm *t = sn_term(s, a);
    const bool undoes = op == SN_OP_NEG || op == SN_OP_NOT;
    if (undoes && t->op == op)
        return t->arg[0];
    return scalar_make(s, op, &a, 1);
}

static bool is_int_value(const SnStore *s, SnRef r, int64_t v)
{
    SnScalar c;
    return sn_is_const(s, r, &c) && !sn_dtype_is_float(sn_dtype_of(s, r)) && c.i == v;
}

static bool is_float_value(const SnStore *s, SnRef r, double v)
{
    SnScalar c;
    const SnScalar want = {.f = v};
    return sn_is_const(s, r, &c) && sn_dtype_is_float(sn_dtype_of(s, r)) && c.u == want.u;
}

/* Only what holds for every bit pattern: x + -0, x - 0, x * 1, x / 1. */
static SnRef simplify_float(SnStore *s, uint16_t op, SnRef a, SnRef b)
{
    switch (op) {
    case SN_OP_ADD:
        return is_float_value(s, b, -0.0) ? a : is_float_value(s, a, -0.0) ? b : 0;
    case SN_OP_SUB:
        return is_float_value(s, b, 0.0) ? a : 0;
    case SN_OP_MUL:
        return is_float_value(s, b, 1.0) ? a : is_float_value(s, a, 1.0) ? b : 0;
    case SN_OP_DIV:
        return is_float_value(s, b, 1.0) ? a : 0;
    case SN_OP_MIN:
    case SN_OP_MAX:
        return a == b ? a : 0;
    case SN_OP_LT:
        return a == b ? sn_const_bool(s, false) : 0;
    default:
        return 0;
    }
}

/* (x op c) op d is x op (c op d) for the wrapping + and *. */
static SnRef join_constants(SnStore *s, uint16_t op, SnRef a, SnRef b)
{
    const SnTerm *t = sn_term(s, a);
    if (t->op != op || !sn_is_const(s, b, NULL) || !sn_is_const(s, t->arg[1], NULL))
        return 0;
    const SnRef x = t->arg[0];
    return sn_s2(s, op, x, sn_s2(s, op, t->arg[1], b));
}

static SnRef simplify_equal(SnStore *s, uint16_t op, SnRef a)
{
    const SnDtype d = sn_dtype_of(s, a);
    switch (op) {
    case SN_OP_SUB:
    case SN_OP_XOR:
        return sn_const_scalar(s, d, (SnScalar){0});
    case SN_OP_MIN:
    case SN_OP_MAX:
    case SN_OP_AND:
    case SN_OP_OR:
        return a;
    case SN_OP_EQ:
    case SN_OP_LT:
        return sn_const_bool(s, op == SN_OP_EQ);
    default:
        return 0;
    }
}

/* b is the constant, if one of them is and the op commutes. */
static SnRef simplify_int(SnStore *s, uint16_t op, SnRef a, SnRef b)
{
    const bool is_bool = sn_dtype_of(s, a) == SN_BOOL;
    const bool zero = is_int_value(s, b, 0), one = is_int_value(s, b, 1);
    if (a == b)
        return simplify_equal(s, op, a);
    switch (op) {
    case SN_OP_ADD:
        return zero ? a : join_constants(s, op, a, b);
    case SN_OP_MUL:
        return one ? a : zero ? b : join_constants(s, op, a, b);
    case SN_OP_SUB:
        return sn_is_const(s, b, NULL) && !is_bool ? sn_s2(s, SN_OP_ADD, a, sn_s1(s, SN_OP_NEG, b)) : 0;
    case SN_OP_SHL:
    case SN_OP_SHR:
    case SN_OP_XOR:
        return zero ? a : is_bool && one ? sn_s_not(s, a) : 0;
    case SN_OP_IDIV:
        return one ? a : zero ? b : 0;
    case SN_OP_MOD:
        return zero ? a : one ? sn_const_scalar(s, sn_dtype_of(s, a), (SnScalar){0}) : 0;
    case SN_OP_AND:
        return zero ? b : is_bool && one ? a : 0;
    case SN_OP_OR:
        return zero ? a : is_bool && one ? b : 0;
    default:
        return 0;
    }
}

SnRef sn_s2(SnStore *s, uint16_t op, SnRef a, SnRef b)
{
    if (a == 0 || b == 0)
        return 0;
    const bool swap =
        sn_is_const(s, a, NULL) && !sn_is_const(s, b, NULL) &&
        (op == SN_OP_ADD || op == SN_OP_MUL || op == SN_OP_AND || op == SN_OP_OR || op == SN_OP_XOR);
    const SnRef arg[2] = {swap ? b : a, swap ? a : b};
    SnRef r = 0;
    if (!sn_is_const(s, arg[0], NULL) || !sn_is_const(s, arg[1], NULL))
        r = sn_dtype_is_float(sn_dtype_of(s, a)) ? simplify_float(s, op, arg[0], arg[1])
                                                 : simplify_int(s, op, arg[0], arg[1]);
    return r != 0 ? r : scalar_make(s, op, arg, 2);
}

SnRef sn_s3(SnStore *s, uint16_t op, SnRef a, SnRef b, SnRef c)
{
    SnScalar v;
    if (op == SN_OP_WHERE && b == c)
        return b;
    if (op == SN_OP_WHERE && sn_is_const(s, a, &v))
        return v.i != 0 ? b : c;
    const SnRef arg[3] = {a, b, c};
    return scalar_make(s, op, arg, 3);
}

SnRef sn_s_cast(SnStore *s, SnDtype to, SnRef a)
{
    const SnDtype from = sn_dtype_of(s, a);
    SnScalar v;
    if (a == 0 || from == to)
        return a;
    if (sn_is_const(s, a, &v))
        return sn_const_scalar(s, to, sn_scalar_cast(from, to, v, false));
    const SnAttr attr = SN_DTYPE("to", to);
    return sn_term_make(s, SN_OP_CAST, sn_type_scalar(s, to), sn_attrs_make(s, &attr, 1), &a, 1);
}

SnRef sn_s_bitcast(SnStore *s, SnDtype to, SnRef a)
{
    const SnDtype from = sn_dtype_of(s, a);
    SnScalar v;
    if (a == 0 || from == to)
        return a;
    SN_ASSERT(sn_dtype_size(from) == sn_dtype_size(to));
    if (sn_is_const(s, a, &v)) {
        uint64_t bits = 0;
        sn_scalar_store(from, &bits, v);
        return sn_const_scalar(s, to, sn_scalar_load(to, &bits));
    }
    const SnAttr attr = SN_DTYPE("to", to);
    return sn_term_make(s, SN_OP_BITCAST, sn_type_scalar(s, to), sn_attrs_make(s, &attr, 1), &a, 1);
}

SnRef sn_s_not(SnStore *s, SnRef a)
{
    return sn_s1(s, SN_OP_NOT, a);
}
