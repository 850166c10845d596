/* graph.h -- build graphs, functions and loops; compile them; write ahead-of-time objects.
 *
 * Builders never fail visibly: the first error (with op, operand types and scope path) sticks to the graph,
 * later calls return the error value {0}, and sn_graph_check or sn_compile reports it. Model code has no
 * error checks. */
#ifndef SN_GRAPH_H
#define SN_GRAPH_H

#include "compiler/type.h"
#include "runtime/hostcall.h"
#include "runtime/typed.h"

typedef struct SnGraph SnGraph;
typedef struct SnCompiler SnCompiler;
typedef struct SnBackend SnBackend; /* target.h */

/* A value: a term and the function scope it was made in (0: the entry). */
typedef struct SnValue {
    SnRef ref;
    uint32_t scope;
} SnValue;

/* ---- ops: one row ---- */
typedef struct SnCall { /* a checked call: operands in signature order, an absent optional is {0} */
    const SnValue *in;
    int nin;
    const SnAttr *attr; /* one per attribute of the signature, defaults filled in */
    int nattr;
    const bool *wants; /* of a gradient: which operands it is asked for; else NULL */
} SnCall;
int64_t sn_call_int(const SnCall *c, const char *attr);
double sn_call_float(const SnCall *c, const char *attr);
const char *sn_call_string(const SnCall *c, const char *attr);
SnDtype sn_call_dtype(const SnCall *c, const char *attr);
const int64_t *sn_call_ints(const SnCall *c, const char *attr, int *n);
bool sn_call_has(const SnCall *c, int operand); /* was the optional operand given? */

typedef struct SnOp {
    const char *sig;                                /* "softmax(x: F[..]; axis: int = -1) -> F[..]" */
    SnValue (*expand)(SnGraph *g, const SnCall *c); /* meaning in terms of other ops */
    SnHostFn *run;                                  /* or: a host op */
    const char *symbol;                             /* host op: name of `run` for the linker */
    SnValue (*grad)(SnGraph *g, const SnCall *c, SnValue out, SnValue dout, int which); /* optional */
    SnStatus (*infer)(SnGraph *g, const SnCall *c, SnTypeId *out, SnError *err);        /* optional */
    SnRef (*scratch)(SnGraph *g, const SnCall *c); /* host op: scratch bytes, a dim; NULL: none */
    const char *onnx;                              /* "Softmax"; attribute renames after a bar */
    const char *doc;                               /* formula and source */
} SnOp;

/* ---- weights ---- */
typedef struct SnSourceTensor {
    SnDtype dtype;
    int ndim;
    int64_t dims[SN_MAX_RANK];
    SnBytes bytes; /* dense, little endian; perhaps not aligned */
} SnSourceTensor;
/* Where parameters come from. Lent to graphs and programs, which retain it. */
typedef struct SnSource {
    void *self;
    bool (*find)(void *self, const char *name, SnSourceTensor *out);
    void (*retain)(void *self);
    void (*release)(void *self);
    /* A hash that changes whenever names, types or bytes do, without reading the bytes; NULL, or false: there
     * is none now, and nothing that depends on them is cached. */
    bool (*identity)(void *self, SnHash128 *out);
    /* What was found is not needed soon: memory need not hold it. NULL: it stays. */
    void (*forget)(void *self, SnBytes bytes);
} SnSource;

/* ---- compiler ---- */
SN_API extern const SnBackend *const sn_all_backends[]; /* backends/; a shorter list of your own links less */

typedef struct SnCompilerDesc {
    uint32_t struct_size;
    const SnOp *const *ops;           /* NULL-terminated list of tables, each ended by a row without sig */
    const SnBackend *const *backends; /* NULL-terminated; sn_all_backends */
    const char *module_dir; /* where sinter-llvm.so and sinter-opencl.so lie; NULL: beside the executable */
} SnCompilerDesc;
SN_API SN_MUST_CHECK SnStatus sn_compiler_create(SnContext *ctx, const SnCompilerDesc *desc, SnCompiler **out,
                                                 SnError *err);
SN_API void sn_compiler_destroy(SnCompiler *cc);
SN_API SnContext *sn_compiler_context(const SnCompiler *cc);
SN_API const SnOp *sn_compiler_op(const SnCompiler *cc, uint32_t i); /* NULL past the end */
/* Facts of a target of this machine ("cpu", "interp", "opencl:0") as one line of text. */
SN_API SN_MUST_CHECK SnStatus sn_compiler_device(SnCompiler *cc, const char *target, SnText *out,
                                                 SnError *err);

/* What this machine can do, measured now by the threads of the context: the roof above a kernel. */
#define SN_LIMIT_SETS 5
typedef struct SnLimits {
    uint32_t threads;
    double f32_gflops, bf16_gflops; /* 1e9 operations a second, an fma is two; bf16: with f32 sums */
    struct {
        uint64_t bytes; /* working set of all threads together; ascending, the last is beyond every cache */
        double read_gbps, copy_gbps; /* a copy counts what it reads and what it writes */
    } memory[SN_LIMIT_SETS];
} SnLimits;
SN_API SN_MUST_CHECK SnStatus sn_compiler_limits(SnCompiler *cc, SnLimits *out, SnError *err);
/* GB/s of a copy whose working set has so many bytes. */
SN_API double sn_limits_copy(const SnLimits *l, double bytes);

/* ---- graphs ---- */
SN_API SN_MUST_CHECK SnStatus sn_graph_create(SnCompiler *cc, SnGraph **out, SnError *err);
SN_API void sn_graph_destroy(SnGraph *g);
SN_API SN_MUST_CHECK SnStatus sn_graph_check(SnGraph *g, SnError *err); /* the sticky error, if any */
SN_API SnStore *sn_graph_store(SnGraph *g);
SN_API SnCompiler *sn_graph_compiler(SnGraph *g);
SN_API void sn_graph_source(SnGraph *g, const SnSource *source); /* retained */
SN_API const SnSource *sn_graph_get_source(const SnGraph *g);
/* Makes the graph's error sticky, if it has none yet. Returns the error value. */
SN_API SnValue sn_graph_fail(SnGraph *g, SnStatus code, const char *format, ...) SN_PRINTF(3, 4);
/* Scope path for error messages and parameter names: "model.layers.3". */
SN_API void sn_scope_push(SnGraph *g, const char *format, ...) SN_PRINTF(2, 3);
SN_API void sn_scope_pop(SnGraph *g);
SN_API const char *sn_scope_path(SnGraph *g);

/* ---- leaves ---- */
SN_API SnValue sn_symbol(SnGraph *g, const char *name, int64_t lo,
                         int64_t hi); /* a dim; same name, same dim */
SN_API SnValue sn_symbol_at_create(SnGraph *g, const char *name, int64_t lo, int64_t hi);
SN_API SnValue sn_input(SnGraph *g, const char *name, SnDtype dtype, int ndim, const SnValue *dims);
SN_API SnValue sn_input_list(SnGraph *g, const char *name, SnDtype dtype, int ndim,
                             const SnValue *dims); /* child count: symbol "NAME.size" */
SN_API SnValue sn_param(SnGraph *g, const char *name, SnDtype dtype, int ndim, const int64_t *dims);
SN_API SnValue sn_object(SnGraph *g, const char *name, const char *class_name,
                         SnBytes table); /* table is copied */
SN_API SnValue sn_carry(SnGraph *g, const char *name, SnValue init);
/* [rows, dims..] of zeros; also from inside of a function. rows: a symbol at create. */
SN_API SnValue sn_carry_zeros(SnGraph *g, const char *name, SnDtype dtype, SnValue rows, int ndim,
                              const int64_t *dims);
/* What is built between these is of the entry, also inside of a function: leaves, and what is made of them.
 */
SN_API uint32_t sn_outside_begin(SnGraph *g);
SN_API void sn_outside_end(SnGraph *g, uint32_t scope); /* what sn_outside_begin gave */
SN_API void sn_next(SnGraph *g, SnValue carry, SnValue next);
SN_API void sn_output(SnGraph *g, const char *name, SnValue v);
/* An output whose rows the host may read while the run goes on (sn_rows, sn_on_rows): stacked rows of a loop
 * in the entry itself, tensors or lists. */
SN_API void sn_output_stream(SnGraph *g, const char *name, SnValue rows);
SN_API void sn_entry_begin(SnGraph *g,
                           const char *name); /* outputs go to this entry from now on; default "main" */
SN_API SnValue sn_const(SnGraph *g, SnDtype dtype, double v);
SN_API SnValue sn_const_int(SnGraph *g, SnDtype dtype, int64_t v);
SN_API SnValue sn_const_data(SnGraph *g, SnDtype dtype, int ndim, const int64_t *dims,
                             const void *data); /* copied */
SN_API SnValue sn_iota(SnGraph *g, SnDtype dtype, int axis, int ndim, const SnValue *dims);
SN_API SnValue sn_measure(SnGraph *g, SnValue x, SnValue bound /* {0}: none */);

/* ---- what a value is ---- */
SN_API const SnType *sn_value_type(SnGraph *g, SnValue v); /* never NULL: a zero type for the error value */
SN_API int sn_rank(SnGraph *g, SnValue v);
SN_API SnValue sn_dim(SnGraph *g, SnValue v, int axis);  /* negative axes count from the end */
SN_API int sn_dims(SnGraph *g, SnValue v, SnValue *out); /* all, into out[SN_MAX_RANK]; returns how many */
SN_API SnDtype sn_value_dtype(SnGraph *g, SnValue v);
static inline SnValue sn_none(void)
{
    return (SnValue){0, 0};
}

/* ---- any op by name; primitives by hand. Elementwise builders broadcast (right aligned) and promote: int
 * with float gives the float, otherwise dtypes must agree; constants made by sn_const* adapt to the other
 * operand. ---- */
SN_API SnValue sn_op(SnGraph *g, const char *op, const SnValue *in, int nin, const SnAttr *attrs, int nattr);
#define SN_UNARY_BUILDERS(X)                                                                                 \
    X(neg, NEG)                                                                                              \
    X(abs, ABS)                                                                                              \
    X(floor, FLOOR)                                                                                          \
    X(round, ROUND)                                                                                          \
    X(exp, EXP) X(log, LOG) X(sin, SIN) X(cos, COS) X(sqrt, SQRT) X(tanh, TANH) X(erf, ERF) X(not, NOT)
#define SN_BINARY_BUILDERS(X)                                                                                \
    X(add, ADD)                                                                                              \
    X(sub, SUB)                                                                                              \
    X(mul, MUL)                                                                                              \
    X(div, DIV)                                                                                              \
    X(idiv, IDIV)                                                                                            \
    X(mod, MOD)                                                                                              \
    X(min, MIN)                                                                                              \
    X(max, MAX) X(pow, POW) X(and, AND) X(or, OR) X(xor, XOR) X(shl, SHL) X(shr, SHR) X(lt, LT) X(eq, EQ)
#define SN_X(name, OP) SN_API SnValue sn_##name(SnGraph *g, SnValue a);
SN_UNARY_BUILDERS(SN_X)
#undef SN_X
#define SN_X(name, OP) SN_API SnValue sn_##name(SnGraph *g, SnValue a, SnValue b);
SN_BINARY_BUILDERS(SN_X)
#undef SN_X
SN_API SnValue sn_where(SnGraph *g, SnValue c, SnValue a, SnValue b);
SN_API SnValue sn_fma(SnGraph *g, SnValue a, SnValue b, SnValue c);
SN_API SnValue sn_cast(SnGraph *g, SnValue x, SnDtype to);
SN_API SnValue sn_bitcast(SnGraph *g, SnValue x, SnDtype to);
SN_API SnValue sn_reshape(SnGraph *g, SnValue x, int ndim, const SnValue *dims);
SN_API SnValue sn_permute(SnGraph *g, SnValue x, const int *perm);
SN_API SnValue sn_broadcast(SnGraph *g, SnValue x, int ndim, const SnValue *dims);
SN_API SnValue sn_slice(SnGraph *g, SnValue x, const SnValue *starts, const SnValue *sizes,
                        const int64_t *steps);
SN_API SnValue sn_slice_axis(SnGraph *g, SnValue x, int axis, SnValue start, SnValue size);
SN_API SnValue sn_pad(SnGraph *g, SnValue x, const SnValue *lo, const SnValue *hi, SnValue value,
                      const int64_t *interior);
SN_API SnValue sn_flip(SnGraph *g, SnValue x, int naxis, const int *axes);
SN_API SnValue sn_concat(SnGraph *g, int n, const SnValue *xs, int axis);
SN_API SnValue sn_window(SnGraph *g, SnValue x, int axis, int64_t size, int64_t stride, int64_t dilation);
SN_API SnValue sn_reduce(SnGraph *g, const char *fn, SnValue x, int naxis, const int *axes, bool keep);
SN_API SnValue sn_sum_of(SnGraph *g, SnValue x, int axis); /* keeps the axis as 1 */
SN_API SnValue sn_max_of(SnGraph *g, SnValue x, int axis); /* keeps the axis as 1 */
SN_API SnValue sn_scan(SnGraph *g, const char *fn, SnValue x, int axis, bool reverse);
SN_API SnValue sn_argmax(SnGraph *g, SnValue x, int axis, bool keep);
SN_API SnValue sn_contract(SnGraph *g, const char *eq, SnValue a, SnValue b, SnDtype acc);
SN_API SnValue sn_gather(SnGraph *g, SnValue x, int naxis, const int *axes, const SnValue *index,
                         const char *oob);
SN_API SnValue sn_scatter(SnGraph *g, const char *fn, SnValue base, int naxis, const int *axes,
                          const SnValue *index, SnValue updates);
SN_API SnValue sn_update(SnGraph *g, SnValue base, SnValue value, const SnValue *starts);
SN_API SnValue sn_sort(SnGraph *g, int n, const SnValue *xs, int nkeys, int axis, bool desc,
                       int64_t limit);                                         /* tuple */
SN_API SnValue sn_compact(SnGraph *g, SnValue x, SnValue mask, SnValue bound); /* adds the measure */
SN_API SnValue sn_tuple(SnGraph *g, int n, const SnValue *xs, const char *const *names);
SN_API SnValue sn_get(SnGraph *g, SnValue t, int i);
SN_API SnValue sn_list(SnGraph *g, SnValue start, SnValue len, SnValue child);

/* ---- functions: begin, take args, build, end. Using an outer value captures it. ---- */
SN_API void sn_fn_begin(SnGraph *g, const char *name);
SN_API SnValue sn_fn_arg(SnGraph *g, SnTypeId type);
SN_API SnValue sn_fn_end(SnGraph *g, SnValue result);
SN_API SnValue sn_call(SnGraph *g, SnValue fn, int n, const SnValue *args);
/* A call whose gradient keeps nothing but its operands: what is in it is computed again. */
SN_API SnValue sn_call_remat(SnGraph *g, SnValue fn, int n, const SnValue *args);
/* while_fn {0}: none. bound {0}: none. Returns tuple(carried..., stacked..., trips). */
SN_API SnValue sn_loop(SnGraph *g, SnValue body, SnValue while_fn, SnValue bound, int ncarry,
                       const SnValue *carry, int nscan, const SnValue *scan);
SN_API SnValue sn_cond(SnGraph *g, SnValue p, SnValue then_fn, SnValue else_fn, int n, const SnValue *args);
/* tuple(what fn gives for args, tuple(gradients of its first result with respect to wrt)). fn gives a scalar
 * of floats, or a tuple that begins with one; wrt are among args, or outer values: 0 where fn does not use
 * one. */
SN_API SnValue sn_grad(SnGraph *g, SnValue fn, int n, const SnValue *args, int nwrt, const SnValue *wrt);
SN_API SnValue sn_stop_gradient(SnGraph *g, SnValue x); /* x, whose gradient is 0 */

/* ---- text form ---- */
SN_API SN_MUST_CHECK SnStatus sn_graph_parse(SnGraph *g, const char *name, SnBytes text, SnError *err);
SN_API SN_MUST_CHECK SnStatus sn_graph_print(SnGraph *g, SnText *out, SnError *err);
SN_API SnRef sn_graph_root(SnGraph *g); /* the program term of what was built so far; 0 on error */

/* ---- compile ---- */
/* What a program does for people: which typed functions its header has (runtime/typed.h). */
typedef struct SnTask {
    SnTypedKind kind;
    bool has_pair;
    uint32_t width;           /* EMBED: numbers of a vector; CLASSIFY, TAG: labels; FILL: words */
    uint32_t max_text;        /* bytes of each text that a context makes room for */
    const char *const *label; /* width names, or NULL */
    const char *shape;        /* "batch=1,seq=128" that a context makes room for; NULL: none */
    const SnTypedChat *chat;  /* CHAT; else NULL */
} SnTask;

/* Where the bytes of a file of sn_emit are. */
typedef struct SnEmitSizes {
    uint64_t file_bytes;
    uint64_t code_bytes;      /* kernels of all levels, the program, tables; of .c: the text */
    uint64_t runtime_bytes;   /* libsinter-rt, and what the format adds */
    uint64_t tokenizer_bytes; /* tables of tokenizers */
    uint64_t weight_bytes;    /* parameters, also where they lie beside */
} SnEmitSizes;

#define SN_FAST_MATH 4u /* besides SN_EXACT */
typedef struct SnCompileOptions {
    uint32_t struct_size;
    uint32_t flags;         /* SN_EXACT, SN_FAST_MATH */
    const char *target;     /* "cpu" (default: the context's level), "interp", "clike", "opencl:0" */
    const char *specialise; /* "seq=1; batch=1,8,*": copies of entries for these dims; *: any */
    uint64_t memory_budget; /* bytes that state and scratch memory of a run may take at `shape`; what has
                               gradients computes values again to stay below it, all else fails. 0: any */
    const char *shape;      /* "batch=8,seq=128": for memory_budget; NULL: there are no symbols */
    const char *levels;     /* sn_emit: "v3,v4,amx"; NULL: all that the backend knows */
    const SnTask *task;     /* sn_emit: NULL: tensors only */
    bool weights_beside;    /* sn_emit: in a file of their own */
    const char *bindings;   /* sn_emit: wrappers beside: "cpp,csharp,lua,python,rust"; NULL: none */
    SnEmitSizes *sizes;     /* sn_emit: filled; or NULL */
} SnCompileOptions;
SN_API SN_MUST_CHECK SnStatus sn_compile(SnCompiler *cc, SnGraph *g, const SnCompileOptions *o,
                                         SnProgram **out, SnError *err);
/* Writes path, whose ending says what it is, and NAME.h beside it; nothing is left of them on failure. */
SN_API SN_MUST_CHECK SnStatus sn_emit(SnCompiler *cc, SnGraph *g, const SnCompileOptions *o, const char *path,
                                      SnError *err);

#endif
