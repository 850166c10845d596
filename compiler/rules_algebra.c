/* rules_algebra.c -- identities of arithmetic, comparisons, where and casts; index arithmetic by ranges.
 *
 * Integers wrap, so their rings are associative and x - x is 0; floats keep every bit, NaN and the sign of
 * zero unless a rule is fast. */
#include "compiler/rewrite.h"

#include "compiler/type.h"

#include <math.h>

/* ---- ranges of integers ---- */

typedef struct Range {
    int64_t lo, hi;
} Range;

static Range range_of_dtype(SnDtype d)
{
    const unsigned bits = sn_dtype(d)->bits;
    if (sn_dtype(d)->kind == SN_KIND_INT)
        return (Range){-(int64_t)(UINT64_MAX >> (65 - bits)) - 1, (int64_t)(UINT64_MAX >> (65 - bits))};
    return (Range){0, d == SN_BOOL ? 1 : (int64_t)(UINT64_MAX >> (64 - bits))};
}

/* r, unless it does not fit the dtype: then the sum may have wrapped. */
static Range or_any(SnDtype d, bool exact, Range r)
{
    const Range all = range_of_dtype(d);
    return exact && r.lo >= all.lo && r.hi <= all.hi ? r : all;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && a < 0);
}

static Range range_of(const SnStore *s, SnRef r, int depth);

static Range range_of_binary(const SnStore *s, const SnTerm *t, SnDtype d, int depth)
{
    const Range a = range_of(s, t->arg[0], depth), b = range_of(s, t->arg[1], depth);
    Range r = {0, 0};
    int64_t p[4];
    switch (t->op) {
    case SN_OP_ADD:
        return or_any(d, sn_add_i64(a.lo, b.lo, &r.lo) && sn_add_i64(a.hi, b.hi, &r.hi), r);
    case SN_OP_MUL:
        if (!sn_mul_i64(a.lo, b.lo, &p[0]) || !sn_mul_i64(a.lo, b.hi, &p[1]) ||
            !sn_mul_i64(a.hi, b.lo, &p[2]) || !sn_mul_i64(a.hi, b.hi, &p[3]))
            return range_of_dtype(d);
        r = (Range){p[0], p[0]};
        for (int i = 1; i < 4; i++)
            r = (Range){p[i] < r.lo ? p[i] : r.lo, p[i] > r.hi ? p[i] : r.hi};
        return or_any(d, true, r);
    case SN_OP_MIN:
        return (Range){a.lo < b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi};
    case SN_OP_MAX:
        return (Range){a.lo > b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
    case SN_OP_MOD:
        return b.lo > 0 ? (Range){0, b.hi - 1} : range_of_dtype(d);
    case SN_OP_IDIV:
        return b.lo > 0 && b.lo == b.hi ? (Range){floor_div(a.lo, b.lo), floor_div(a.hi, b.lo)}
                                        : range_of_dtype(d);
    default:
        return range_of_dtype(d);
    }
}

/* Of an integer tensor but u64, whose values may lie beyond. */
static Range range_of(const SnStore *s, SnRef r, int depth)
{
    const SnTerm *t = sn_term(s, r);
    const SnDtype d = sn_dtype_of(s, r);
    Range x;
    SnScalar v;
    if (sn_is_splat(s, r, &v))
        return (Range){v.i, v.i};
    if (depth == 0)
        return range_of_dtype(d);
    if (sn_is_dim(s, r)) {
        sn_dim_range(s, r, &x.lo, &x.hi);
        return x;
    }
    switch (t->op) {
    case SN_OP_IOTA:
        sn_dim_range(s, t->arg[sn_attr_int(s, r, "axis", 0)], &x.lo, &x.hi);
        return or_any(d, true, (Range){0, x.hi > 0 ? x.hi - 1 : 0});
    case SN_OP_RESHAPE:
    case SN_OP_PERMUTE:
    case SN_OP_BROADCAST:
    case SN_OP_SLICE:
    case SN_OP_FLIP:
    case SN_OP_WINDOW:
        return range_of(s, t->arg[0], depth - 1);
    case SN_OP_CAST: {
        const SnDtype from = sn_dtype_of(s, t->arg[0]);
        if (from == SN_BOOL)
            return (Range){0, 1};
        if (!sn_dtype_is_int(from) || from == SN_U64)
            return range_of_dtype(d);
        return or_any(d, true, range_of(s, t->arg[0], depth - 1));
    }
    default:
        return t->narg == 2 ? range_of_binary(s, t, d, depth - 1) : range_of_dtype(d);
    }
}

#define RANGE_DEPTH 8

static bool has_range(const SnMatch *m, SnRef r)
{
    const SnDtype d = sn_dtype_of(m->s, r);
    return sn_dtype_is_int(d) && d != SN_U64;
}

static Range range(const SnMatch *m, char name)
{
    return range_of(m->s, sn_match_var(m, name), RANGE_DEPTH);
}

/* 0 <= x < k */
static bool x_in_0_k(const SnMatch *m)
{
    if (!has_range(m, m->root))
        return false;
    const Range x = range(m, 'x'), k = range(m, 'k');
    return x.lo >= 0 && x.hi < k.lo;
}

/* x * k does not wrap, and k > 0. */
static bool product_fits(const SnMatch *m)
{
    if (!has_range(m, m->root))
        return false;
    const Range x = range(m, 'x'), k = range(m, 'k'), all = range_of_dtype(sn_dtype_of(m->s, m->root));
    int64_t lo, hi;
    return k.lo > 0 && sn_mul_i64(x.lo, k.lo, &lo) && sn_mul_i64(x.hi, k.lo, &hi) && lo >= all.lo &&
           hi <= all.hi;
}

/* x * k + y does not wrap, and k > 0. */
static bool sum_fits(const SnMatch *m)
{
    if (!product_fits(m))
        return false;
    const Range x = range(m, 'x'), y = range(m, 'y'), all = range_of_dtype(sn_dtype_of(m->s, m->root));
    const int64_t k = range(m, 'k').lo;
    int64_t lo, hi;
    return sn_add_i64(x.lo * k, y.lo, &lo) && sn_add_i64(x.hi * k, y.hi, &hi) && lo >= all.lo && hi <= all.hi;
}

static SnRef less_by_range(const SnMatch *m)
{
    if (!has_range(m, sn_match_var(m, 'x')))
        return 0;
    const Range x = range(m, 'x'), y = range(m, 'y');
    if (x.hi >= y.lo && x.lo < y.hi)
        return 0;
    return sn_match_const(m, (SnScalar){.i = x.hi < y.lo});
}

static SnRef equal_by_range(const SnMatch *m)
{
    if (!has_range(m, sn_match_var(m, 'x')))
        return 0;
    const Range x = range(m, 'x'), y = range(m, 'y');
    return x.hi < y.lo || y.hi < x.lo ? sn_match_const(m, (SnScalar){.i = 0}) : 0;
}

static SnRef min_by_range(const SnMatch *m)
{
    if (!has_range(m, m->root))
        return 0;
    const Range x = range(m, 'x'), y = range(m, 'y');
    return x.hi <= y.lo ? sn_match_var(m, 'x') : y.hi <= x.lo ? sn_match_var(m, 'y') : 0;
}

static SnRef max_by_range(const SnMatch *m)
{
    if (!has_range(m, m->root))
        return 0;
    const Range x = range(m, 'x'), y = range(m, 'y');
    return x.lo >= y.hi ? sn_match_var(m, 'x') : y.lo >= x.hi ? sn_match_var(m, 'y') : 0;
}

/* ---- floats ---- */

/* Division by a power of two is an exact product. */
static SnRef multiply_instead(const SnMatch *m)
{
    const SnDtype d = sn_dtype_of(m->s, m->root);
    SnScalar k;
    int exponent;
    if (!sn_is_splat(m->s, sn_match_var(m, 'k'), &k) || fabs(frexp(k.f, &exponent)) != 0.5)
        return 0;
    const double inverse = 1 / k.f, smallest = d == SN_F64 ? 0x1p-1022 : d == SN_F32 ? 0x1p-126 : 0x1p-14;
    if (fabs(inverse) < smallest || fabs(k.f) < smallest ||
        sn_scalar_round_to(d, (SnScalar){.f = inverse}).f != inverse)
        return 0;
    const SnRef arg[2] = {sn_match_var(m, 'x'), sn_match_const(m, (SnScalar){.f = inverse})};
    return sn_match_build(m, SN_OP_MUL, 0, arg, 2);
}

static SnRef first_operand(const SnMatch *m)
{
    return sn_term(m->s, m->root)->arg[0];
}

/* ---- casts ---- */

typedef struct FloatForm {
    int bits, least, most; /* of precision; exponents of the smallest and the largest normal number */
} FloatForm;

static FloatForm float_form(SnDtype d)
{
    static const FloatForm form[SN_DTYPE_COUNT] = {
        [SN_F16] = {11, -14, 15},     [SN_BF16] = {8, -126, 127},     [SN_F32] = {24, -126, 127},
        [SN_F64] = {53, -1022, 1023}, [SN_F8E4M3FN] = {4, -6, 8},     [SN_F8E5M2] = {3, -14, 15},
        [SN_F8E4M3FNUZ] = {4, -7, 7}, [SN_F8E5M2FNUZ] = {3, -15, 15}, [SN_F8E8M0] = {1, -127, 127},
    };
    return form[d];
}

/* Does every value of `from` survive in `to`? Only IEEE formats count as targets: the others lack infinities.
 */
static bool holds_all(SnDtype from, SnDtype to)
{
    const SnDtypeKind source = sn_dtype(from)->kind, target = sn_dtype(to)->kind;
    const bool is_ieee = to == SN_F16 || to == SN_BF16 || to == SN_F32 || to == SN_F64;
    const int from_bits = sn_dtype(from)->bits - (source == SN_KIND_INT);
    const FloatForm b = float_form(to);
    if (from == to || source == SN_KIND_BOOL)
        return from == to || target == SN_KIND_INT || target == SN_KIND_UINT || is_ieee;
    if (source == SN_KIND_FLOAT) {
        const FloatForm a = float_form(from);
        return is_ieee && a.bits <= b.bits && a.most <= b.most && a.least - a.bits >= b.least - b.bits;
    }
    if (target == SN_KIND_FLOAT)
        return is_ieee && from_bits <= b.bits && from_bits <= b.most;
    return target != SN_KIND_BOOL && from_bits <= sn_dtype(to)->bits - (target == SN_KIND_INT) &&
           (source == SN_KIND_UINT || target == SN_KIND_INT);
}

static SnRef fold_cast(const SnMatch *m)
{
    const SnRef x = sn_match_var(m, 'x');
    return sn_dtype_of(m->s, x) == sn_dtype_of(m->s, m->root) ? x : 0;
}

static SnRef fold_casts(const SnMatch *m)
{
    const SnRef x = sn_match_var(m, 'x'), middle = sn_term(m->s, m->root)->arg[0];
    if (!holds_all(sn_dtype_of(m->s, x), sn_dtype_of(m->s, middle)))
        return 0;
    return sn_match_build(m, SN_OP_CAST, sn_term(m->s, m->root)->attr, &x, 1);
}

static SnRef fold_bitcasts(const SnMatch *m)
{
    const SnRef x = sn_match_var(m, 'x');
    return sn_match_build(m, SN_OP_BITCAST, sn_term(m->s, m->root)->attr, &x, 1);
}

/* ---- the table ---- */

/* clang-format off */
const SnRule sn_rules_algebra[] = {
    /* sums */
    {"(add ?x:int 0)", "?x"},
    {"(add ?x:float -0)", "?x"},
    {"(sub ?x 0)", "?x"},
    {"(sub ?x:int ?x)", "0"},
    {"(sub ?x:int #k)", "(add ?x (neg #k))"},
    {"(sub (add ?x:int ?y) ?y)", "?x"},
    {"(sub (add ?y:int ?x) ?y)", "?x"},
    {"(add ?y:int (sub ?x ?y))", "?x"},
    {"(add (add ?x:int #a) #b)", "(add ?x (add #a #b))"},
    {"(add ?x (neg ?y))", "(sub ?x ?y)"},
    {"(add (neg ?x) ?y)", "(sub ?y ?x)"},
    {"(sub ?x (neg ?y))", "(add ?x ?y)"},
    {"(sub 0 ?x:int)", "(neg ?x)"},
    {"(neg (neg ?x))", "?x"},
    {"(neg (sub ?x:int ?y))", "(sub ?y ?x)"},

    /* products */
    {"(mul ?x 1)", "?x"},
    {"(mul ?x -1)", "(neg ?x)"},
    {"(mul ?x:int 0)", "0"},
    {"(mul (mul ?x:int #a) #b)", "(mul ?x (mul #a #b))"},
    {"(mul (neg ?x) (neg ?y))", "(mul ?x ?y)"},
    {"(mul (neg ?x) #k)", "(mul ?x (neg #k))"},
    {"(div ?x 1)", "?x"},
    {"(div ?x #k)", .make = multiply_instead},
    {"(fma ?x 1 ?y)", "(add ?x ?y)"},
    {"(fma 1 ?x ?y)", "(add ?x ?y)"},
    {"(fma ?x ?y -0)", "(mul ?x ?y)"},
    {"(pow ?x 0)", "1"},
    {"(pow ?x 1)", "?x"},
    {"(pow ?x 2)", "(mul ?x ?x)"},
    {"(pow ?x -1)", "(div 1 ?x)"},
    {"(pow 1 ?x)", "1"},

    /* signs and rounding */
    {"(abs (abs ?x))", "(abs ?x)"},
    {"(abs (neg ?x:float))", "(abs ?x)"},
    {"(abs (neg ?x:signed))", "(abs ?x)"},
    {"(abs ?x:unsigned)", "?x"},
    {"(abs (mul ?x:float ?x))", "(mul ?x ?x)"},
    {"(floor (floor ?x))", "(floor ?x)"},
    {"(floor (round ?x))", "(round ?x)"},
    {"(round (floor ?x))", "(floor ?x)"},
    {"(round (round ?x))", "(round ?x)"},
    {"(floor (cast ?x:int))", .make = first_operand},
    {"(round (cast ?x:int))", .make = first_operand},

    /* integer division; indices */
    {"(idiv ?x 1)", "?x"},
    {"(idiv ?x 0)", "0"},
    {"(idiv 0 ?x)", "0"},
    {"(mod ?x:int 1)", "0"},
    {"(mod ?x 0)", "?x"},
    {"(mod 0 ?x:int)", "0"},
    {"(mod ?x:int #k)", "?x", .when = x_in_0_k},
    {"(idiv ?x #k)", "0", .when = x_in_0_k},
    {"(mod (mod ?x:int ?y) ?y)", "(mod ?x ?y)"},
    {"(mod (mul ?x:int #k) #k)", "0", .when = product_fits},
    {"(idiv (mul ?x #k) #k)", "?x", .when = product_fits},
    {"(mod (add (mul ?x:int #k) ?y) #k)", "(mod ?y #k)", .when = sum_fits},
    {"(mod (add ?y:int (mul ?x #k)) #k)", "(mod ?y #k)", .when = sum_fits},
    {"(idiv (add (mul ?x #k) ?y) #k)", "(add ?x (idiv ?y #k))", .when = sum_fits},
    {"(idiv (add ?y (mul ?x #k)) #k)", "(add ?x (idiv ?y #k))", .when = sum_fits},

    /* order */
    {"(min ?x ?x)", "?x"},
    {"(max ?x ?x)", "?x"},
    {"(min (min ?x #a) #b)", "(min ?x (min #a #b))"},
    {"(max (max ?x #a) #b)", "(max ?x (max #a #b))"},
    {"(min ?x:int ?y)", .make = min_by_range},
    {"(max ?x:int ?y)", .make = max_by_range},
    {"(lt ?x ?x)", "false"},
    {"(lt ?x:int ?y)", .make = less_by_range},
    {"(eq ?x:int ?x)", "true"},
    {"(eq ?x:bool ?x)", "true"},
    {"(eq ?x:bool true)", "?x"},
    {"(eq ?x:bool false)", "(not ?x)"},
    {"(eq ?x:int ?y)", .make = equal_by_range},

    /* bits */
    {"(not (not ?x))", "?x"},
    {"(and ?x ?x)", "?x"},
    {"(or ?x ?x)", "?x"},
    {"(xor ?x ?x)", "0"},
    {"(and ?x 0)", "0"},
    {"(and ?x:int -1)", "?x"},
    {"(and ?x:bool true)", "?x"},
    {"(or ?x 0)", "?x"},
    {"(or ?x:int -1)", "-1"},
    {"(or ?x:bool true)", "true"},
    {"(xor ?x 0)", "?x"},
    {"(xor ?x:int -1)", "(not ?x)"},
    {"(xor ?x:bool true)", "(not ?x)"},
    {"(and (and ?x #a) #b)", "(and ?x (and #a #b))"},
    {"(or (or ?x #a) #b)", "(or ?x (or #a #b))"},
    {"(xor (xor ?x #a) #b)", "(xor ?x (xor #a #b))"},
    {"(shl ?x 0)", "?x"},
    {"(shr ?x 0)", "?x"},

    /* where */
    {"(where true ?a ?b)", "?a"},
    {"(where false ?a ?b)", "?b"},
    {"(where ?c ?a ?a)", "?a"},
    {"(where (not ?c) ?a ?b)", "(where ?c ?b ?a)"},
    {"(where ?c true false)", "?c"},
    {"(where ?c false true)", "(not ?c)"},
    {"(where ?c (where ?c ?a ?b) ?d)", "(where ?c ?a ?d)"},
    {"(where ?c ?a (where ?c ?b ?d))", "(where ?c ?a ?d)"},

    /* casts */
    {"(cast ?x)", .make = fold_cast},
    {"(cast (cast ?x))", .make = fold_casts},
    {"(bitcast ?x)", .make = fold_cast},
    {"(bitcast (bitcast ?x))", .make = fold_bitcasts},

    /* what only fast mathematics may do */
    {"(add ?x:float 0)", "?x", .fast = true},
    {"(sub ?x:float ?x)", "0", .fast = true},
    {"(sub 0 ?x:float)", "(neg ?x)", .fast = true},
    {"(neg (sub ?x:float ?y))", "(sub ?y ?x)", .fast = true},
    {"(mul ?x:float 0)", "0", .fast = true},
    {"(div ?x ?x)", "1", .fast = true},
    {"(add (add ?x:float #a) #b)", "(add ?x (add #a #b))", .fast = true},
    {"(mul (mul ?x:float #a) #b)", "(mul ?x (mul #a #b))", .fast = true},
    {"(div ?x #k)", "(mul ?x (div 1 #k))", .fast = true},
    {"(div (div ?x ?y) ?z)", "(div ?x (mul ?y ?z))", .fast = true},
    {"(pow ?x 0.5)", "(sqrt ?x)", .fast = true},
    {"(pow ?x 3)", "(mul (mul ?x ?x) ?x)", .fast = true},
    {"(sqrt (mul ?x ?x))", "(abs ?x)", .fast = true},
    {"(log (exp ?x))", "?x", .fast = true},
    {"(exp (log ?x))", "?x", .fast = true},
    {"(add (mul ?x:float ?y) ?z)", "(fma ?x ?y ?z)", .fast = true},
    {"(add ?z:float (mul ?x ?y))", "(fma ?x ?y ?z)", .fast = true},
    {0},
};
/* clang-format on */
