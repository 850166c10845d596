/* facts.c -- what $ and a letter stand for in templates: facts of a model, and of its functions. */
#include "compiler/aot/template.h"

#include <inttypes.h>

static void put_string(SnText *out, const char *s)
{
    sn_text_add(out, s, strlen(s));
}

static void put_row(const SnPrinter *p, uint32_t name)
{
    sn_printer_put(p, sn_printer_row(p, name));
}

static void put_comment_line(const SnPrinter *p)
{
    put_string(p->out, "\n");
    put_row(p, SN_ROW_COMMENT);
}

/* ---- of the model ---- */

/* "npc_brain" ▶ "NPC_BRAIN" or "NpcBrain" */
static void put_capitals(const SnPrinter *p, bool all)
{
    bool begins = true;
    for (const char *s = p->a->name; *s; s++) {
        const bool is_lower = *s >= 'a' && *s <= 'z';
        const char c = is_lower && (all || begins) ? (char)(*s - 'a' + 'A') : *s;
        if (all || *s != '_')
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

static void put_text(const SnPrinter *p, uint32_t string)
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

static void put_labels(const SnPrinter *p)
{
    for (uint32_t i = 0; i < p->a->task->width && p->a->task->label; i++) {
        put_string(p->out, i ? ", " : "");
        put_literal(p->out, p->a->task->label[i]);
    }
}

static void put_file(const SnPrinter *p)
{
    const char *slash = strrchr(p->a->path, '/'), *base = slash ? slash + 1 : p->a->path;
    const char *dot = strrchr(base, '.');
    put_plain(p->out, base, dot ? (size_t)(dot - base) : strlen(base));
}

/* A dim is a number when a constant instr of the entry's point sets its register. */
static void put_dim(const SnPrinter *p, const SnEntryRow *e, const SnSlotRow *slot, uint32_t dim)
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

static void put_slots(const SnPrinter *p, const SnEntryRow *e, const char *what, SnRange r)
{
    const SnSlotRow *slot = SN_ROWS(p->a->image, SnSlotRow, slot);
    for (uint32_t i = r.first; i < r.first + r.count; i++) {
        if (is_list_part(p->a->image, r, sn_image_string(p->a->image, slot[i].name)))
            continue;
        put_comment_line(p);
        sn_text_printf(p->out, "  %-6s  ", what);
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

static void put_entries(const SnPrinter *p)
{
    const SnImage *m = p->a->image;
    for (uint32_t i = 0; i < m->entry.count; i++) {
        const SnEntryRow *e = SN_ROWS(m, SnEntryRow, entry) + i;
        put_comment_line(p);
        put_string(p->out, "entry ");
        put_text(p, e->name);
        put_slots(p, e, "input", e->input);
        put_slots(p, e, "output", e->output);
    }
}

static void put_purpose(const SnPrinter *p)
{
    static const char *const text[SN_TYPED_KIND_COUNT] = {
        [SN_TYPED_TENSORS] = "tensors to tensors",
        [SN_TYPED_EMBED] = "text to a vector",
        [SN_TYPED_CLASSIFY] = "text to scores of labels",
        [SN_TYPED_TAG] = "text to labels of its parts",
        [SN_TYPED_ANSWER] = "a question and a context to the part of the context that answers",
        [SN_TYPED_FILL] = "a text with a mask to words for it",
        [SN_TYPED_CHAT] = "messages to answers",
        [SN_TYPED_TRAIN] = "a batch to a step of training",
    };
    put_string(p->out, text[p->a->task->kind]);
}

static void put_own_name(const SnPrinter *p)
{
    put_string(p->out, p->a->name);
}

static void put_upper_name(const SnPrinter *p)
{
    put_capitals(p, true);
}

static void put_camel_name(const SnPrinter *p)
{
    put_capitals(p, false);
}

static void put_width(const SnPrinter *p)
{
    sn_text_printf(p->out, "%" PRIu32, p->a->task->width);
}

static void put_max_text(const SnPrinter *p)
{
    sn_text_printf(p->out, "%" PRIu32, p->a->task->max_text);
}

static void put_block_bytes(const SnPrinter *p)
{
    sn_text_printf(p->out, "%" PRIu64, p->a->typed.block_bytes);
}

static void put_abi(const SnPrinter *p)
{
    sn_text_printf(p->out, "%u", SN_ABI);
}

static void put_version(const SnPrinter *p)
{
    put_string(p->out, SN_VERSION);
}

static void put_code(const SnPrinter *p)
{
    sn_text_add(p->out, (const char *)p->a->object.at, p->a->object.n);
}

static void put_dollar(const SnPrinter *p)
{
    put_string(p->out, "$");
}

/* ---- of a function ---- */

static void put_result(const SnPrinter *p)
{
    put_row(p, p->face->result);
}

static void put_suffix(const SnPrinter *p)
{
    put_string(p->out, p->face->suffix);
}

static void put_target(const SnPrinter *p)
{
    put_string(p->out, sn_face_target(p->face));
}

static void put_doc(const SnPrinter *p)
{
    for (const char *s = p->face->doc; *s;) {
        const size_t n = strcspn(s, "\n");
        sn_text_add(p->out, s, n);
        s += n;
        if (*s) {
            put_comment_line(p);
            s++;
        }
    }
}

static void put_parameters(const SnPrinter *p)
{
    for (uint32_t i = 0; i < sn_face_params(p->face); i++) {
        SnPrinter inner = *p;
        inner.parameter = p->face->param[i].name;
        put_string(p->out, i ? ", " : "");
        put_row(&inner, p->face->param[i].type);
    }
}

static void put_arguments(const SnPrinter *p)
{
    for (uint32_t i = 0; i < sn_face_params(p->face); i++) {
        put_string(p->out, i ? ", " : "");
        put_string(p->out, p->face->param[i].name);
    }
}

static void put_desc(const SnPrinter *p)
{
    if (p->face->has_desc)
        put_row(p, SN_ROW_DESC);
}

static void put_return(const SnPrinter *p)
{
    put_string(p->out, p->face->result == SN_FACE_NONE ? "" : "return ");
}

/* ---- all of them ---- */

/* clang-format off */
static const SnFact facts[] = {
    {'n', .put = put_own_name},   /* npc_brain */
    {'N', .put = put_upper_name}, /* NPC_BRAIN */
    {'C', .put = put_camel_name}, /* NpcBrain */
    {'o', .put = put_file},       /* the file's name without ending */
    {'k', .put = put_purpose},    /* what the model does */
    {'w', .put = put_width},
    {'t', .put = put_max_text},
    {'b', .put = put_block_bytes},
    {'l', .put = put_labels},     /* literals of C with commas */
    {'e', .put = put_entries, .rows = 1u << SN_ROW_COMMENT}, /* and their inputs and outputs: a line each */
    {'a', .put = put_abi},
    {'v', .put = put_version},
    {'c', .put = put_code},       /* what the backend made */
    {'$', .put = put_dollar},

    {'s', true, .put = put_suffix},
    {'f', true, .put = put_target},
    {'r', true, SN_ROWS_TYPES, put_result},
    {'p', true, SN_ROWS_TYPES, put_parameters},
    {'q', true, .put = put_arguments},        /* names of the parameters */
    {'y', true, 1u << SN_ROW_DESC, put_desc}, /* the last argument, where there is one more */
    {'x', true, .put = put_return},           /* "return " where there is something to return */
    {'d', true, 1u << SN_ROW_COMMENT, put_doc},
};
/* clang-format on */

const SnFact *sn_fact(char letter)
{
    for (size_t i = 0; i < SN_COUNT(facts); i++)
        if (facts[i].letter == letter)
            return &facts[i];
    return NULL;
}
