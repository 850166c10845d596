/* face.c -- the functions of a model. */
#include "compiler/aot/face.h"

#define FEW_LABELS 256u /* that the header lists */

/* ---- the table ---- */

/* clang-format off */
#define CTX         {SN_FACE_CONTEXT, "ctx"}
#define TEXT(at, n) {SN_FACE_TEXT, at}, {SN_FACE_SIZE, n}
#define MANY(TYPE)  {SN_FACE_##TYPE, "out"}, {SN_FACE_SIZE, "max"}, {SN_FACE_SIZE_OUT, "count"}
/* clang-format on */
#define STATUS(text) .result = SN_FACE_STATUS, .doc = text
#define TEXT_ONE     (SN_FOR_TEXT | SN_IF_SINGLE)
#define TEXT_TWO     (SN_FOR_TEXT | SN_IF_PAIR)

const SnFace sn_faces[] = {
    {"create", .param = {{SN_FACE_HOST, "host"}, {SN_FACE_NEW, "out"}}, .has_desc = true,
     STATUS("Makes a context. host may be NULL: memory of malloc, the calling thread, the best CPU level.\n"
            "*out is written on success only; what was wrong goes to host->message.")},
    {"destroy", .param = {CTX},
     .doc = "Gives everything back but a block, which is the caller's. NULL is fine."},
    {"error", .result = SN_FACE_STRING, .param = {CTX},
     .doc = "What was wrong with the last call that failed. Lent: another call may change it."},
    {"cpu_level", .result = SN_FACE_STRING, .param = {CTX},
     .doc = "Whose code runs: \"v3\", \"v4\", \"v4d\", \"amx\" or \"base\"."},
    {"label", .result = SN_FACE_STRING, .when = SN_IF_LABELS, .param = {{SN_FACE_INDEX, "i"}},
     .has_desc = true, .doc = "The name of label i; NULL: there is none. Lent by the model."},

    {"embed", .when = SN_FOR(EMBED) | SN_IF_SINGLE,
     .param = {CTX, TEXT("utf8", "n"), {SN_FACE_NUMBERS, "out"}},
     STATUS("The vector of a text of n bytes: begin, run and vector in one call.")},
    {"classify", .when = SN_FOR(CLASSIFY) | SN_IF_SINGLE,
     .param = {CTX, TEXT("utf8", "n"), {SN_FACE_NUMBERS, "out"}},
     STATUS("The score of each label: begin, run and scores in one call.")},
    {"classify_pair", .when = SN_FOR(CLASSIFY) | SN_IF_PAIR,
     .param = {CTX, TEXT("a", "na"), TEXT("b", "nb"), {SN_FACE_NUMBERS, "out"}},
     STATUS("The score of each label for two texts: begin_pair, run and scores in one call.")},
    {"tag", .when = SN_FOR(TAG), .param = {CTX, TEXT("utf8", "n"), MANY(SPANS)},
     STATUS("The parts of a text that have a label: begin, run and spans in one call.")},
    {"answer", .when = SN_FOR(ANSWER),
     .param = {CTX, TEXT("question", "nquestion"), TEXT("context", "ncontext"), {SN_FACE_SPAN, "out"}},
     STATUS("The part of the context that answers the question: begin_pair, run and span in one call.")},
    {"fill", .when = SN_FOR(FILL), .param = {CTX, TEXT("utf8", "n"), MANY(WORDS)},
     STATUS("The likeliest words for the first mask of a text: begin, run and words in one call.")},

    {"say", .when = SN_FOR(CHAT),
     .param = {CTX, TEXT("utf8", "n"), {SN_FACE_SINK, "sink"}, {SN_FACE_USER, "user"}},
     STATUS(
         "A message of n bytes, and its answer as it comes: sink gets every piece, in whole characters, and\n"
         "returns 0, or another number where that is enough. begin, steps and text in one call.")},
    {"begin", .when = SN_FOR(CHAT), .param = {CTX, TEXT("utf8", "n")},
     STATUS(
         "Copies a message of n bytes, which the next steps answer. An answer that is not done ends there.")},
    {"begin", .when = TEXT_ONE, .param = {CTX, TEXT("utf8", "n")},
     STATUS("Copies a text of n bytes for the next run, and forgets a run that is not done.")},
    {"begin_pair", .when = TEXT_TWO, .param = {CTX, TEXT("a", "na"), TEXT("b", "nb")},
     STATUS("Copies two texts for the next run, and forgets a run that is not done.")},
    {"begin", .target = "reset", .when = SN_FOR(TRAIN), .param = {CTX},
     STATUS("Weights as they were when the model was compiled, and no step taken: as create leaves them.")},
    {"step", .when = SN_FOR(TRAIN), .param = {CTX, {SN_FACE_TIME, "budget_ns"}},
     STATUS("A step of training on what is bound, for budget_ns at most (0: to the end): done, or\n"
            "SN_MODEL_AGAIN when the time is up. Slices of any length give the bits of one run. Results:\n"
            "loss, grad_norm, learning_rate, is_finite.")},
    {"eval", .when = SN_FOR(TRAIN), .param = {CTX},
     STATUS("Outputs of the model on what is bound as \"eval.NAME\". Changes nothing.")},
    {"state", .when = SN_FOR(TRAIN), .param = {CTX},
     STATUS("Weights by their names, and what the optimizer keeps of them, as results.")},
    {"restore", .when = SN_FOR(TRAIN), .param = {CTX},
     STATUS("Takes over all of them, bound as inputs of those names.")},
    {"step", .when = SN_FOR_RUNS, .param = {CTX, {SN_FACE_TIME, "budget_ns"}},
     STATUS(
         "Runs for budget_ns at most (0: to the end): done, or SN_MODEL_AGAIN when the time is up. It stops\n"
         "between two small pieces of work; slices of any length give the bits of one run.")},
    {"run", .param = {CTX}, STATUS("Runs to the end.")},
    {"cancel", .param = {CTX},
     .doc = "From any thread: the run that goes on ends soon, and its step returns SN_MODEL_ECANCELLED."},
    {"text", .when = SN_FOR(CHAT), .param = {CTX, {SN_FACE_LENT, "text"}, {SN_FACE_SIZE_OUT, "n"}},
     STATUS("What was said since the last call, in whole characters: also between steps. Lent until begin.")},
    {"forget", .when = SN_FOR(CHAT), .param = {CTX}, STATUS("Begins a new conversation.")},
    {"vector", .when = SN_FOR(EMBED), .param = {CTX, {SN_FACE_NUMBERS, "out"}},
     STATUS("Copies the vector of the run that ended.")},
    {"scores", .when = SN_FOR(CLASSIFY), .param = {CTX, {SN_FACE_NUMBERS, "out"}},
     STATUS("Copies the scores of the run that ended, one for each label.")},
    {"spans", .when = SN_FOR(TAG), .param = {CTX, MANY(SPANS)},
     STATUS("The first max spans of the run that ended; *count of all. out may be NULL where max is 0.")},
    {"span", .when = SN_FOR(ANSWER), .param = {CTX, {SN_FACE_SPAN, "out"}},
     STATUS("The answer of the run that ended; begin and end are equal where there is none.")},
    {"words", .when = SN_FOR(FILL), .param = {CTX, MANY(WORDS)},
     STATUS("The max best words of the run that ended, best first; *count of all.")},

    {"entry", .when = SN_FOR_DATA, .param = {CTX, {SN_FACE_NAME, "entry"}},
     STATUS("Chooses what the next run by name runs.")},
    {"bind", .when = SN_FOR_DATA, .param = {CTX, {SN_FACE_NAME, "input"}, {SN_FACE_VIEW, "view"}},
     STATUS("Lends data to an input until the run ends; the struct itself is copied.")},
    {"reserve", .when = SN_FOR_DATA, .param = {CTX, {SN_FACE_NAME, "shape"}},
     STATUS("Makes room for \"batch=8,seq=512\": runs up to that shape allocate nothing.")},
    {"result", .when = SN_FOR_DATA, .param = {CTX, {SN_FACE_NAME, "output"}, {SN_FACE_VIEW_OUT, "out"}},
     STATUS("Lends an output of the run that ended, until the next call that is not result.")},
    {"reset", .when = SN_FOR_DATA, .param = {CTX}, STATUS("Carried state back to what it was at first.")},
    {"state_save", .when = SN_FOR_DATA,
     .param = {CTX, {SN_FACE_BYTES_OUT, "to"}, {SN_FACE_SIZE_INOUT, "size"}},
     STATUS("Carried state as bytes, between runs. *size is in and out; to NULL asks for it.")},
    {"state_load", .when = SN_FOR_DATA, .param = {CTX, {SN_FACE_BYTES, "from"}, {SN_FACE_SIZE, "size"}},
     STATUS("Takes over saved state, also of another build of the model whose carried tensors are the same:\n"
            "a new .so takes the state of the old one between two frames. Else SN_MODEL_EFORMAT.")},
    {"trace_begin", .param = {CTX}, STATUS("Keeps the timings of all steps from now on.")},
    {"trace_end", .param = {CTX, {SN_FACE_NAME, "path"}},
     STATUS("Writes them to a file for chrome://tracing and Perfetto.")},
    {.suffix = NULL},
};

/* ---- conditions ---- */

static bool has_input(const SnImage *m, const char *entry, const char *input)
{
    const SnEntryRow *e = sn_image_entry(m, entry);
    const SnSlotRow *slot = SN_ROWS(m, SnSlotRow, slot);
    for (uint32_t i = 0; e && i < e->input.count; i++)
        if (strcmp(sn_image_string(m, slot[e->input.first + i].name), input) == 0)
            return true;
    return false;
}

bool sn_face_applies(const SnAot *a, uint32_t when)
{
    const uint32_t kinds = when & 0xFFFFu, nlabel = a->task->label ? a->task->width : 0;
    const bool always_two = has_input(a->image, "main", "pair");
    return (kinds == 0 || (kinds >> a->task->kind & 1u)) && (!(when & SN_IF_SINGLE) || !always_two) &&
           (!(when & SN_IF_PAIR) || always_two || has_input(a->image, "pair", "pair")) &&
           (!(when & SN_IF_LABELS) || nlabel) && (!(when & SN_IF_BLOCK) || a->typed.block_bytes) &&
           (!(when & SN_IF_FEW) || (nlabel > 0 && nlabel <= FEW_LABELS));
}

const char *sn_face_target(const SnFace *f)
{
    return f->target ? f->target : f->suffix;
}

uint32_t sn_face_params(const SnFace *f)
{
    uint32_t n = 0;
    while (n < SN_FACE_PARAMS && f->param[n].type != SN_FACE_NONE)
        n++;
    return n;
}

SnStatus sn_face_add(SnAot *a, SnError *err)
{
    const SnProgramDesc program = {.abi = SN_ABI,
                                   .image = a->image,
                                   .image_size = a->image->size,
                                   .weights_file = a->is_beside ? a->name : NULL};
    SnTypedDesc desc = a->typed;
    desc.program = &program;
    desc.shape = a->task->shape;
    desc.chat = a->task->chat;
    SN_TRY(sn_typed_measure(&desc, &a->typed.block_bytes, err));
    for (const SnFace *f = sn_faces; f->suffix; f++) {
        if (!sn_face_applies(a, f->when))
            continue;
        SnObjectThunk thunk = {.symbol = sn_aot_symbol(a, f->suffix),
                               .target = sn_arena_printf(a->arena, "sn_typed_%s", sn_face_target(f))};
        if (f->has_desc) {
            thunk.last = sn_aot_symbol(a, "typed");
            thunk.arg = sn_face_params(f);
        }
        SN_TRY(sn_aot_thunk(a, thunk, err));
    }
    return SN_OK;
}
