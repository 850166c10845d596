/* face.c -- the functions of a model, and the printer of templates. */
#include "compiler/aot/face.h"

#include <inttypes.h>

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

    {"begin", .when = TEXT_ONE, .param = {CTX, TEXT("utf8", "n")},
     STATUS("Copies a text of n bytes for the next run, and forgets a run that is not done.")},
    {"begin_pair", .when = TEXT_TWO, .param = {CTX, TEXT("a", "na"), TEXT("b", "nb")},
     STATUS("Copies two texts for the next run, and forgets a run that is not done.")},
    {"step", .param = {CTX, {SN_FACE_TIME, "budget_ns"}},
     STATUS(
         "Runs for budget_ns at most (0: to the end): done, or SN_MODEL_AGAIN when the time is up. It stops\n"
         "between two small pieces of work; slices of any length give the bits of one run.")},
    {"run", .param = {CTX}, STATUS("Runs to the end.")},
    {"cancel", .param = {CTX},
     .doc = "From any thread: the run that goes on ends soon, and its step returns SN_MODEL_ECANCELLED."},
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

    {"entry", .param = {CTX, {SN_FACE_NAME, "entry"}}, STATUS("Chooses what the next run by name runs.")},
    {"bind", .param = {CTX, {SN_FACE_NAME, "input"}, {SN_FACE_VIEW, "view"}},
     STATUS("Lends data to an input until the run ends; the struct itself is copied.")},
    {"reserve", .param = {CTX, {SN_FACE_NAME, "shape"}},
     STATUS("Makes room for \"batch=8,seq=512\": runs up to that shape allocate nothing.")},
    {"result", .param = {CTX, {SN_FACE_NAME, "output"}, {SN_FACE_VIEW_OUT, "out"}},
     STATUS("Lends an output of the run that ended, until the next call that is not result.")},
    {"reset", .param = {CTX}, STATUS("Carried state back to what it was at first.")},
    {"state_save", .param = {CTX, {SN_FACE_BYTES_OUT, "to"}, {SN_FACE_SIZE_INOUT, "size"}},
     STATUS("Carried state as bytes, between runs. *size is in and out; to NULL asks for it.")},
    {"state_load", .param = {CTX, {SN_FACE_BYTES, "from"}, {SN_FACE_SIZE, "size"}},
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

static uint32_t count_params(const SnFace *f)
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
    SN_TRY(sn_typed_measure(&desc, &a->typed.block_bytes, err));
    for (const SnFace *f = sn_faces; f->suffix; f++) {
        if (!sn_face_applies(a, f->when))
            continue;
        SnObjectThunk thunk = {.symbol = sn_aot_symbol(a, f->suffix),
                               .target = sn_arena_printf(a->arena, "sn_typed_%s", f->suffix)};
        if (f->has_desc) {
            thunk.last = sn_aot_symbol(a, "typed");
            thunk.arg = count_params(f);
        }
        SN_TRY(sn_aot_thunk(a, thunk, err));
    }
    return SN_OK;
}

/* ---- printing facts ---- */

typedef struct Printer {
    const SnAot *a;
    const SnFaceForm *form;
    SnText *out;
    const SnFace *face;    /* $r $s $p $d */
    const char *parameter; /* @ */
} Printer;

static void put_string(SnText *out, const char *s)
{
    sn_text_add(out, s, strlen(s));
}

/* "npc_brain" ▶ "NPC_BRAIN" or "NpcBrain" */
static void put_name(const Printer *p, char as)
{
    bool begins = true;
    for (const char *s = p->a->name; *s; s++) {
        const bool is_lower = *s >= 'a' && *s <= 'z';
        const char c = is_lower && (as == 'N' || begins) ? (char)(*s - 'a' + 'A') : *s;
        if (as == 'N' || *s != '_')
            sn_text_add(p->out, &c, 1);
        begins = *s == '_';
    }
}

/* Text inside of a comment or a string of any language, which it does not end. */
static void put_plain(SnText *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const bool ends = s[i] == '*' && i + 1 < n && s[i + 1] == '/';
        const char c = (unsigned char)s[i] < ' ' ? '?' : s[i] == '"' ? '\'' : s[i] == '\\' ? '/' : s[i];
        sn_text_add(out, &c, 1);
        sn_text_add(out, " ", ends);
    }
}

static void put_text(const Printer *p, uint32_t string)
{
    const char *s = sn_image_string(p->a->image, string);
    put_plain(p->out, s, strlen(s));
}

/* A literal of C. */
static void put_literal(SnText *out, const char *s)
{
    sn_text_add(out, "\"", 1);
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        if (c < ' ' || c == 127 || c == '"' || c == '\\' || c == '?')
            sn_text_printf(out, "\\%03o", c);
        else
            sn_text_add(out, s, 1);
    }
    sn_text_add(out, "\"", 1);
}

static void put_labels(const Printer *p)
{
    for (uint32_t i = 0; i < p->a->task->width && p->a->task->label; i++) {
        put_string(p->out, i ? ", " : "");
        put_literal(p->out, p->a->task->label[i]);
    }
}

static void put_file(const Printer *p)
{
    const char *slash = strrchr(p->a->path, '/'), *base = slash ? slash + 1 : p->a->path;
    const char *dot = strrchr(base, '.');
    put_plain(p->out, base, dot ? (size_t)(dot - base) : strlen(base));
}

/* A dim is a number when a constant instr of the entry's point sets its register. */
static void put_dim(const Printer *p, const SnEntryRow *e, const SnSlotRow *slot, uint32_t dim)
{
    const SnImage *m = p->a->image;
    const SnRange r = SN_ROWS(m, SnPoint, point)[e->point].instr;
    const SnInstr *instr = SN_ROWS(m, SnInstr, instr) + r.first;
    if (slot->dim_name[dim] != SN_NONE) {
        put_text(p, slot->dim_name[dim]);
        return;
    }
    for (uint32_t i = 0; i < r.count; i++)
        if (instr[i].dst == slot->dim_reg[dim] && instr[i].op == SN_I_CONST) {
            sn_text_printf(p->out, "%" PRId64, instr[i].imm);
            return;
        }
    put_string(p->out, "computed");
}

/* Is it a part of a list, which is bound whole? */
static bool is_list_part(const SnImage *m, SnRange r, const char *name)
{
    const SnSlotRow *slot = SN_ROWS(m, SnSlotRow, slot);
    for (uint32_t i = r.first; i < r.first + r.count; i++) {
        const char *list = sn_image_string(m, slot[i].name);
        const size_t n = strlen(list);
        if (slot[i].is_list && strncmp(name, list, n) == 0 &&
            (strcmp(name + n, ".start") == 0 || strcmp(name + n, ".len") == 0))
            return true;
    }
    return false;
}

static void put_slots(const Printer *p, const SnEntryRow *e, const char *what, SnRange r)
{
    const SnSlotRow *slot = SN_ROWS(p->a->image, SnSlotRow, slot);
    for (uint32_t i = r.first; i < r.first + r.count; i++) {
        if (is_list_part(p->a->image, r, sn_image_string(p->a->image, slot[i].name)))
            continue;
        sn_text_printf(p->out, "%s  %-6s  ", p->form->between, what);
        put_text(p, slot[i].name);
        sn_text_printf(p->out, "  %s%s[", slot[i].is_list ? "lists of " : "",
                       sn_dtype((SnDtype)slot[i].dtype)->name);
        for (uint32_t d = 0; d < slot[i].ndim; d++) {
            put_string(p->out, d ? ", " : "");
            put_dim(p, e, &slot[i], d);
        }
        put_string(p->out, "]");
    }
}

static void put_entries(const Printer *p)
{
    const SnImage *m = p->a->image;
    for (uint32_t i = 0; i < m->entry.count; i++) {
        const SnEntryRow *e = SN_ROWS(m, SnEntryRow, entry) + i;
        sn_text_printf(p->out, "%sentry ", p->form->between);
        put_text(p, e->name);
        put_slots(p, e, "input", e->input);
        put_slots(p, e, "output", e->output);
    }
}

static const char *purpose(const SnAot *a)
{
    static const char *const text[SN_TYPED_KIND_COUNT] = {
        [SN_TYPED_TENSORS] = "tensors to tensors",
        [SN_TYPED_EMBED] = "text to a vector",
        [SN_TYPED_CLASSIFY] = "text to scores of labels",
        [SN_TYPED_TAG] = "text to labels of its parts",
        [SN_TYPED_ANSWER] = "a question and a context to the part of the context that answers",
        [SN_TYPED_FILL] = "a text with a mask to words for it",
    };
    return text[a->task->kind];
}

/* ---- printing templates ---- */

static void put_template(const Printer *p, const char *text);

static void put_doc(const Printer *p)
{
    for (const char *s = p->face->doc; *s;) {
        const size_t n = strcspn(s, "\n");
        sn_text_add(p->out, s, n);
        s += n;
        if (*s) {
            put_string(p->out, p->form->between);
            s++;
        }
    }
}

static void put_params(const Printer *p)
{
    for (uint32_t i = 0; i < count_params(p->face); i++) {
        Printer inner = *p;
        inner.parameter = p->face->param[i].name;
        put_string(p->out, i ? ", " : "");
        put_template(&inner, p->form->spelling[p->face->param[i].type]);
    }
}

static void put_names(const Printer *p)
{
    for (uint32_t i = 0; i < count_params(p->face); i++) {
        put_string(p->out, i ? ", " : "");
        put_string(p->out, p->face->param[i].name);
    }
}

static void put_faces(const Printer *p)
{
    for (const SnFace *f = sn_faces; f->suffix; f++) {
        Printer inner = *p;
        inner.face = f;
        if (sn_face_applies(p->a, f->when))
            put_template(&inner, p->form->line);
    }
}

static void put_fact(const Printer *p, char letter)
{
    const SnTask *t = p->a->task;
    switch (letter) {
    case 'n':
        put_string(p->out, p->a->name);
        break;
    case 'N':
    case 'C':
        put_name(p, letter);
        break;
    case 'w':
        sn_text_printf(p->out, "%" PRIu32, t->width);
        break;
    case 't':
        sn_text_printf(p->out, "%" PRIu32, t->max_text);
        break;
    case 'b':
        sn_text_printf(p->out, "%" PRIu64, p->a->typed.block_bytes);
        break;
    case 'a':
        sn_text_printf(p->out, "%u", SN_ABI);
        break;
    case 'v':
        put_string(p->out, SN_VERSION);
        break;
    case 'k':
        put_string(p->out, purpose(p->a));
        break;
    case 'l':
        put_labels(p);
        break;
    case 'o':
        put_file(p);
        break;
    case 'e':
        put_entries(p);
        break;
    case 'f':
        put_faces(p);
        break;
    case 'r':
        put_template(p, p->form->spelling[p->face->result]);
        break;
    case 's':
        put_string(p->out, p->face->suffix);
        break;
    case 'p':
        put_params(p);
        break;
    case 'q':
        put_names(p);
        break;
    case 'x':
        put_string(p->out, p->face->result == SN_FACE_NONE ? "" : "return ");
        break;
    case 'y':
        if (p->face->has_desc)
            put_template(p, p->form->desc);
        break;
    case 'd':
        put_doc(p);
        break;
    default:
        sn_text_add(p->out, "$", 1);
    }
}

static void put_template(const Printer *p, const char *text)
{
    while (*text) {
        const size_t n = strcspn(text, p->parameter ? "$@" : "$");
        sn_text_add(p->out, text, n);
        text += n;
        if (*text == '@') {
            put_string(p->out, p->parameter);
            text++;
        } else if (*text) {
            put_fact(p, text[1]);
            text += text[1] ? 2 : 1;
        }
    }
}

void sn_face_print(const SnAot *a, const SnFaceForm *form, const SnPiece *piece, size_t n, SnText *out)
{
    const Printer p = {.a = a, .form = form, .out = out};
    for (size_t i = 0; i < n; i++)
        if (sn_face_applies(a, piece[i].when))
            put_template(&p, piece[i].text);
}
