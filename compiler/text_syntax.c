/* text_syntax.c -- how each primitive is written: tables that the parser and the printer share. */
#include "compiler/text.h"

static const SnTextSyntax syntax[SN_PRIM_COUNT] = {
    [SN_OP_IOTA] = {.lists = 1, .dtype = "dtype"},
    [SN_OP_CAST] = {.dtype = "to"},
    [SN_OP_BITCAST] = {.dtype = "to"},
    [SN_OP_RESHAPE] = {.plain = 1, .lists = 1},
    [SN_OP_BROADCAST] = {.plain = 1, .lists = 1},
    [SN_OP_SLICE] = {.plain = 1, .lists = 2},
    [SN_OP_PAD] = {.plain = 1, .lists = 2, .after = 1},
    [SN_OP_UPDATE] = {.plain = 2, .lists = 1},
    [SN_OP_REDUCE] = {.word = "fn"},
    [SN_OP_SCAN] = {.word = "fn"},
    [SN_OP_SCATTER] = {.word = "fn"},
    [SN_OP_CONTRACT] = {.word = "eq"},
};

const SnTextSyntax *sn_text_syntax(uint16_t prim)
{
    static const SnTextSyntax plain;
    return prim < SN_PRIM_COUNT ? &syntax[prim] : &plain;
}

static const struct {
    uint16_t prim;
    SnTextAttr attr;
} prim_attr[] = {
    {SN_OP_IOTA, {"axis", SN_ATTR_INT, false}},        {SN_OP_IOTA, {"dtype", SN_ATTR_DTYPE, false}},
    {SN_OP_CAST, {"to", SN_ATTR_DTYPE, false}},        {SN_OP_CAST, {"sat", SN_ATTR_INT, true}},
    {SN_OP_BITCAST, {"to", SN_ATTR_DTYPE, false}},     {SN_OP_PERMUTE, {"perm", SN_ATTR_INTS, false}},
    {SN_OP_SLICE, {"steps", SN_ATTR_INTS, false}},     {SN_OP_PAD, {"interior", SN_ATTR_INTS, false}},
    {SN_OP_FLIP, {"axes", SN_ATTR_INTS, false}},       {SN_OP_CONCAT, {"axis", SN_ATTR_INT, false}},
    {SN_OP_WINDOW, {"axis", SN_ATTR_INT, false}},      {SN_OP_WINDOW, {"size", SN_ATTR_INT, false}},
    {SN_OP_WINDOW, {"stride", SN_ATTR_INT, false}},    {SN_OP_WINDOW, {"dilation", SN_ATTR_INT, false}},
    {SN_OP_REDUCE, {"fn", SN_ATTR_STRING, false}},     {SN_OP_REDUCE, {"axes", SN_ATTR_INTS, false}},
    {SN_OP_REDUCE, {"keep", SN_ATTR_INT, true}},       {SN_OP_SCAN, {"fn", SN_ATTR_STRING, false}},
    {SN_OP_SCAN, {"axis", SN_ATTR_INT, false}},        {SN_OP_SCAN, {"reverse", SN_ATTR_INT, true}},
    {SN_OP_ARGMAX, {"axis", SN_ATTR_INT, false}},      {SN_OP_ARGMAX, {"keep", SN_ATTR_INT, true}},
    {SN_OP_CONTRACT, {"eq", SN_ATTR_STRING, false}},   {SN_OP_CONTRACT, {"acc", SN_ATTR_DTYPE, false}},
    {SN_OP_GATHER, {"axes", SN_ATTR_INTS, false}},     {SN_OP_GATHER, {"oob", SN_ATTR_STRING, false}},
    {SN_OP_SCATTER, {"fn", SN_ATTR_STRING, false}},    {SN_OP_SCATTER, {"axes", SN_ATTR_INTS, false}},
    {SN_OP_SORT, {"axis", SN_ATTR_INT, false}},        {SN_OP_SORT, {"nkeys", SN_ATTR_INT, false}},
    {SN_OP_SORT, {"desc", SN_ATTR_INT, true}},         {SN_OP_SORT, {"limit", SN_ATTR_INT, false}},
    {SN_OP_TUPLE, {"names", SN_ATTR_NAMES, false}},    {SN_OP_GET, {"index", SN_ATTR_INT, false}},
    {SN_OP_CALL, {"remat", SN_ATTR_INT, true}},        {SN_OP_LOOP, {"ncarry", SN_ATTR_INT, false}},
    {SN_OP_LOOP, {"nscan", SN_ATTR_INT, false}},       {SN_OP_LOOP, {"overrun", SN_ATTR_INT, true}},
    {SN_OP_COPY, {"device", SN_ATTR_STRING, false}},   {SN_OP_COLLECTIVE, {"kind", SN_ATTR_STRING, false}},
    {SN_OP_COLLECTIVE, {"group", SN_ATTR_INT, false}}, {SN_OP_GRAD, {"wrt", SN_ATTR_INTS, false}},
};

bool sn_text_attr(uint16_t prim, const SnOpRow *row, const char *name, SnTextAttr *out)
{
    for (size_t i = 0; row == NULL && i < SN_COUNT(prim_attr); i++) {
        if (prim_attr[i].prim == prim && strcmp(prim_attr[i].attr.name, name) == 0) {
            *out = prim_attr[i].attr;
            return true;
        }
    }
    for (int i = 0; row != NULL && i < row->sig.nattr; i++) {
        const SnSigAttr *a = &row->sig.attr[i];
        if (strcmp(a->value.name, name) == 0) {
            *out = (SnTextAttr){a->value.name, a->value.kind, a->kind == SN_SIG_BOOL};
            return true;
        }
    }
    return false;
}

bool sn_text_is_plain(const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char c = name[i];
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        const bool digit = c >= '0' && c <= '9';
        if (!letter && (i == 0 || !(digit || c == '.')))
            return false;
        if (c == '.' && (i + 1 == n || name[i + 1] == '.'))
            return false;
    }
    return n > 0;
}

bool sn_text_is_reserved(const SnCompiler *cc, const char *name)
{
    const SnBytes word = sn_bytes_str(name);
    uint16_t id;
    if (sn_is_one_of(word, "program dims ret next static list in at true false inf nan bound while body max "
                           "keys with") ||
        sn_prim_named(word) != SN_OP_ERROR)
        return true;
    return sn_dtype_find(name, strlen(name)) != SN_NODTYPE || sn_compiler_find_row(cc, name, &id) != NULL;
}
