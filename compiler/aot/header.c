/* header.c -- the header of a model: all that a C or C++ program needs, sinter.h included.
 *
 * Types that every model has are under one guard, so that headers of several models, and sinter.h, go into
 * one file. They have the layouts of runtime/typed.h. */
#include "compiler/aot/face.h"

/* ---- the manual ---- */

static const char about[] = {"/* $n.h -- $k. Compiled ahead of time by sinter $v.\n"
                             " *\n"};

static const char use_embed[] =
    " *   $CCtx *ctx;\n"
    " *   float v[$N_WIDTH];\n"
    " *   if ($n_create(NULL, &ctx) == 0 && $n_embed(ctx, text, strlen(text), v) == 0)\n"
    " *       ... compare v with other vectors: they are points of one space\n"
    " *   $n_destroy(ctx);\n";
static const char use_classify[] =
    " *   $CCtx *ctx;\n"
    " *   float score[$N_LABELS];\n"
    " *   if ($n_create(NULL, &ctx) == 0 && $n_classify(ctx, text, strlen(text), score) == 0)\n"
    " *       ... score[i] is that of label i, whose name is $n_label(i)\n"
    " *   $n_destroy(ctx);\n";
static const char use_pair[] =
    " *   $CCtx *ctx;\n"
    " *   float score[$N_LABELS];\n"
    " *   if ($n_create(NULL, &ctx) == 0 && $n_classify_pair(ctx, a, strlen(a), b, strlen(b), score) == 0)\n"
    " *       ... score[i] is that of label i, whose name is $n_label(i)\n"
    " *   $n_destroy(ctx);\n";
static const char use_tag[] =
    " *   $CCtx *ctx;\n"
    " *   SnModelSpan span[32];\n"
    " *   size_t count;\n"
    " *   if ($n_create(NULL, &ctx) == 0 && $n_tag(ctx, text, strlen(text), span, 32, &count) == 0)\n"
    " *       ... text[span[i].begin] up to text[span[i].end] is a span[i].name\n"
    " *   $n_destroy(ctx);\n";
static const char use_answer[] =
    " *   $CCtx *ctx;\n"
    " *   SnModelSpan span;\n"
    " *   if ($n_create(NULL, &ctx) == 0 && $n_answer(ctx, q, strlen(q), text, strlen(text), &span) == 0)\n"
    " *       ... text[span.begin] up to text[span.end] is the answer\n"
    " *   $n_destroy(ctx);\n";
static const char use_fill[] =
    " *   $CCtx *ctx;\n"
    " *   SnModelWord word[$N_WORDS];\n"
    " *   size_t count;\n"
    " *   if ($n_create(NULL, &ctx) == 0 && $n_fill(ctx, text, strlen(text), word, $N_WORDS, &count) == 0)\n"
    " *       printf(\"%.*s\\n\", (int)word[0].size, word[0].text);\n"
    " *   $n_destroy(ctx);\n";
static const char use_tensors[] =
    " *   $CCtx *ctx;\n"
    " *   SnModelView in = {data, SN_MODEL_F32, 2, {rows, columns}}, out;\n"
    " *   if ($n_create(NULL, &ctx) == 0 && $n_bind(ctx, \"NAME\", &in) == 0 && $n_run(ctx) == 0)\n"
    " *       $n_result(ctx, \"NAME\", &out);\n"
    " *   $n_destroy(ctx);\n";

static const char slices[] = " *\n"
                             " * Every frame, half a millisecond at most, after $n_begin:\n"
                             " *   status = $n_step(ctx, 500000);  SN_MODEL_AGAIN: go on in the next frame\n";
static const char slices_pair[] =
    " *\n"
    " * Every frame, half a millisecond at most, after $n_begin_pair:\n"
    " *   status = $n_step(ctx, 500000);  SN_MODEL_AGAIN: go on in the next frame\n";

static const char rules[] = {" *\n"
                             " * Status   0 is well; else an SN_MODEL_E code, and $n_error tells what was "
                             "wrong. Outputs are written on\n"
                             " *          success only. After a failed run begin or bind again.\n"
                             " * Memory   $n_create allocates, through host.memory or in host.block, which "
                             "is the caller's and stays it.\n"};
static const char rules_text[] = {" *          Texts of up to $N_MAX_TEXT bytes then cost no allocation; "
                                  "longer ones make the context grow,\n"
                                  " *          or are SN_MODEL_ESHAPE in a block. What a model can read of a "
                                  "text is limited: the rest is cut.\n"
                                  " * Texts    are UTF-8 of n bytes without an end mark, copied by begin. "
                                  "Malformed bytes are read as U+FFFD.\n"};
static const char rules_tensors[] = {
    " *          Runs allocate when a shape is larger than all before: $n_reserve plans for it.\n"};
static const char rules_end[] = {
    " * Threads  A context is used by one thread at a time; several contexts run at once and share code and\n"
    " *          weights. cancel comes from any thread. host.jobs spreads a run over the host's own "
    "threads.\n"
    " *\n"
    " * Inputs and outputs by name, for bind and result (dims by name are those of what is bound):$e */\n"
    "#ifndef SN_MODEL_$n_H\n"
    "#define SN_MODEL_$n_H\n"
    "\n"
    "#include <stddef.h>\n"
    "#include <stdint.h>\n"
    "\n"};

/* ---- types of all models ---- */

static const char types[] = {
    "#ifdef SN_MODEL_TYPES\n"
    "#if SN_MODEL_TYPES != $a\n"
    "#error \"headers of models of different ABI numbers in one file: compile the models with one sinter\"\n"
    "#endif\n"
    "#else\n"
    "#define SN_MODEL_TYPES $a\n"
    "\n"
    "enum {\n"
    "    SN_MODEL_AGAIN = -1,       /* step: more to do */\n"
    "    SN_MODEL_OK = 0,\n"
    "    SN_MODEL_EINVAL = 1,       /* the call is wrong: fix it */\n"
    "    SN_MODEL_ENOMEM = 2,       /* no memory, or a block that is too small */\n"
    "    SN_MODEL_EIO = 3,          /* a file cannot be read or written */\n"
    "    SN_MODEL_EFORMAT = 4,      /* a file or a saved state is not what it should be */\n"
    "    SN_MODEL_ESHAPE = 5,       /* a text or a shape that does not fit */\n"
    "    SN_MODEL_EUNSUPPORTED = 6, /* another ABI number, or a CPU that the model has no code for */\n"
    "    SN_MODEL_EDEVICE = 7,\n"
    "    SN_MODEL_ECANCELLED = 8,   /* cancel was called */\n"
    "    SN_MODEL_EINTERNAL = 9     /* a bug in sinter */\n"
    "};\n"
    "\n"
    "/* Types of elements. */\n"
    "enum {\n"
    "    SN_MODEL_BOOL = 1, SN_MODEL_I8, SN_MODEL_I16, SN_MODEL_I32, SN_MODEL_I64, SN_MODEL_U8, "
    "SN_MODEL_U16,\n"
    "    SN_MODEL_U32, SN_MODEL_U64, SN_MODEL_F16, SN_MODEL_BF16, SN_MODEL_F32, SN_MODEL_F64, "
    "SN_MODEL_F8E4M3FN,\n"
    "    SN_MODEL_F8E5M2, SN_MODEL_F8E4M3FNUZ, SN_MODEL_F8E5M2FNUZ, SN_MODEL_F8E8M0\n"
    "};\n"
    "\n"
    "/* ptr NULL allocates, new_size 0 frees. align is a power of two. NULL: no memory, the old block stays. "
    "*/\n"
    "typedef struct SnModelAllocator {\n"
    "    void *self;\n"
    "    void *(*resize)(void *self, void *ptr, size_t old_size, size_t new_size, size_t align);\n"
    "} SnModelAllocator;\n"
    "\n"
    "/* Runs fn(arg, i) for every i < count on any threads, and returns when all are done. */\n"
    "typedef struct SnModelJobs {\n"
    "    void *self;\n"
    "    uint32_t width; /* how many run at once */\n"
    "    void (*parallel)(void *self, uint32_t count, void (*fn)(void *arg, uint32_t i), void *arg);\n"
    "} SnModelJobs;\n"
    "\n"
    "/* A step of a run began and ended. */\n"
    "typedef struct SnModelEvent {\n"
    "    const char *name;\n"
    "    uint32_t step;\n"
    "    int64_t tiles;\n"
    "    uint64_t begin_ns, end_ns, bytes, flops;\n"
    "} SnModelEvent;\n"
    "typedef struct SnModelTrace {\n"
    "    void *self;\n"
    "    void (*event)(void *self, const SnModelEvent *e);\n"
    "} SnModelTrace;\n"
    "\n"};

static const char types_host[] = {
    "/* What a context gets from its host: begin with SN_MODEL_HOST, all the rest may stay zero. */\n"
    "typedef struct SnModelHost {\n"
    "    uint32_t struct_size, abi;\n"
    "    uint32_t flags;   /* 1: ask the kernel for AMX, which needs a sigaltstack of 12 kB from then on */\n"
    "    uint32_t threads; /* without jobs: more than 1 makes so many threads */\n"
    "    void *block;      /* all memory of the context, at any address; 0: use memory */\n"
    "    size_t block_size;\n"
    "    SnModelAllocator memory; /* 0: malloc. With a block: of traces only */\n"
    "    SnModelJobs jobs;        /* 0: the calling thread */\n"
    "    SnModelTrace trace;      /* 0: none */\n"
    "    const char *cpu_level;   /* 0: the best; \"v3\", \"v4\", \"v4d\", \"amx\" to use a lower one */\n"
    "    const char *shape;       /* \"batch=8,seq=512\" to make room for; 0: the model's own */\n"
    "    char *message;           /* gets what was wrong with create; 0: nothing */\n"
    "    size_t message_size;\n"
    "} SnModelHost;\n"
    "#define SN_MODEL_HOST                                                                         \\\n"
    "    {(uint32_t)sizeof(SnModelHost), SN_MODEL_TYPES, 0, 0, 0, 0, {0, 0}, {0, 0, 0}, {0, 0}, 0, 0, 0, 0}\n"
    "\n"
    "/* Data that somebody owns. A list (a string is a list of u8) has start and len: element i of the list "
    "is\n"
    " * data[start[i]] up to data[start[i] + len[i]]. */\n"
    "typedef struct SnModelView {\n"
    "    void *data;\n"
    "    int32_t dtype, ndim;\n"
    "    int64_t dims[12];\n"
    "    int64_t strides[12]; /* in elements; all 0: dense, last dim fastest */\n"
    "    const int64_t *start, *len; /* lists only; else 0 */\n"
    "    int64_t child_count;        /* lists only: elements in data */\n"
    "} SnModelView;\n"
    "\n"
    "/* Bytes begin up to end of a text. */\n"
    "typedef struct SnModelSpan {\n"
    "    size_t begin, end;\n"
    "    const char *name; /* of the label, without B- or I-; answers have none. Lent by the model */\n"
    "    float score;\n"
    "    uint32_t label; /* of the first token */\n"
    "} SnModelSpan;\n"
    "\n"
    "/* A word for a mask. */\n"
    "typedef struct SnModelWord {\n"
    "    const char *text; /* UTF-8 without an end mark, lent by the model */\n"
    "    size_t size;\n"
    "    float score;\n"
    "    int32_t id;\n"
    "} SnModelWord;\n"
    "#endif\n"
    "\n"};

/* ---- this model ---- */

static const char begin_own[] = {"#ifdef __cplusplus\n"
                                 "extern \"C\" {\n"
                                 "#endif\n"
                                 "\n"
                                 "#define $N_ABI $a /* SnModelHost.abi; the first number of $n_program */\n"};
static const char own_width[] = "#define $N_WIDTH $w /* numbers of a vector */\n";
static const char own_labels[] = "#define $N_LABELS $w\n";
static const char own_label_names[] = "#define $N_LABEL_NAMES $l\n";
static const char own_words[] = "#define $N_WORDS $w /* that a run gives */\n";
static const char own_max_text[] =
    "#define $N_MAX_TEXT $t /* bytes of a text that create makes room for */\n";
static const char own_block[] =
    "#define $N_BLOCK_BYTES $b /* of SnModelHost.block, for that and nothing more */\n";
static const char end_own[] = {
    "\n"
    "typedef struct $CCtx $CCtx; /* a running copy of the model */\n"
    "$f\n"
    "/* For sn_program_link of libsinter-rt, which runs the model without these functions. */\n"
    "extern const struct SnProgramDesc $n_program;\n"
    "\n"
    "#ifdef __cplusplus\n"
    "}\n"
    "#endif\n"
    "#endif\n"};

static const SnPiece pieces[] = {
    {SN_FOR_ALL, about},
    {SN_FOR(EMBED) | SN_IF_SINGLE, use_embed},
    {SN_FOR(CLASSIFY) | SN_IF_SINGLE, use_classify},
    {SN_FOR(CLASSIFY) | SN_IF_PAIR, use_pair},
    {SN_FOR(TAG), use_tag},
    {SN_FOR(ANSWER), use_answer},
    {SN_FOR(FILL), use_fill},
    {SN_FOR(TENSORS), use_tensors},
    {SN_FOR_TEXT | SN_IF_SINGLE, slices},
    {SN_FOR_TEXT | SN_IF_PAIR, slices_pair},
    {SN_FOR_ALL, rules},
    {SN_FOR_TEXT, rules_text},
    {SN_FOR(TENSORS), rules_tensors},
    {SN_FOR_ALL, rules_end},
    {SN_FOR_ALL, types},
    {SN_FOR_ALL, types_host},
    {SN_FOR_ALL, begin_own},
    {SN_FOR(EMBED), own_width},
    {SN_FOR(CLASSIFY) | SN_FOR(TAG), own_labels},
    {SN_FOR(CLASSIFY) | SN_FOR(TAG) | SN_IF_FEW, own_label_names},
    {SN_FOR(FILL), own_words},
    {SN_FOR_TEXT, own_max_text},
    {SN_IF_BLOCK, own_block},
    {SN_FOR_ALL, end_own},
};

const SnFaceForm sn_face_c = {
    .spelling = {[SN_FACE_NONE] = "void ",
                 [SN_FACE_STATUS] = "int ",
                 [SN_FACE_STRING] = "const char *",
                 [SN_FACE_HOST] = "const SnModelHost *@",
                 [SN_FACE_CONTEXT] = "$CCtx *@",
                 [SN_FACE_NEW] = "$CCtx **@",
                 [SN_FACE_TEXT] = "const char *@",
                 [SN_FACE_NAME] = "const char *@",
                 [SN_FACE_SIZE] = "size_t @",
                 [SN_FACE_SIZE_OUT] = "size_t *@",
                 [SN_FACE_SIZE_INOUT] = "size_t *@",
                 [SN_FACE_INDEX] = "uint32_t @",
                 [SN_FACE_TIME] = "uint64_t @",
                 [SN_FACE_NUMBERS] = "float @[$w]",
                 [SN_FACE_SPANS] = "SnModelSpan *@",
                 [SN_FACE_SPAN] = "SnModelSpan *@",
                 [SN_FACE_WORDS] = "SnModelWord *@",
                 [SN_FACE_VIEW] = "const SnModelView *@",
                 [SN_FACE_VIEW_OUT] = "SnModelView *@",
                 [SN_FACE_BYTES] = "const void *@",
                 [SN_FACE_BYTES_OUT] = "void *@"},
    .line = "\n/* $d */\n$r$n_$s($p);\n",
    .between = "\n * ",
};

SnStatus sn_aot_header(const SnAot *a, SnText *out, SnError *err)
{
    sn_face_print(a, &sn_face_c, pieces, SN_COUNT(pieces), out);
    SN_CHECK(!out->failed, err, SN_ENOMEM, "emit: no memory for the header");
    return SN_OK;
}
