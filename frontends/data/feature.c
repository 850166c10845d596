/* feature.c -- types of columns: their names, and Features of datasets as JSON both ways. */
#include "frontends/data/table.h"

static const SnFeature plain[] = {
    {.name = "null", .kind = SN_DATA_NULL},
    {.name = "bool", .kind = SN_DATA_NUMBER, .dtype = SN_BOOL},
    {.name = "int8", .kind = SN_DATA_NUMBER, .dtype = SN_I8},
    {.name = "int16", .kind = SN_DATA_NUMBER, .dtype = SN_I16},
    {.name = "int32", .kind = SN_DATA_NUMBER, .dtype = SN_I32},
    {.name = "int64", .kind = SN_DATA_NUMBER, .dtype = SN_I64},
    {.name = "uint8", .kind = SN_DATA_NUMBER, .dtype = SN_U8},
    {.name = "uint16", .kind = SN_DATA_NUMBER, .dtype = SN_U16},
    {.name = "uint32", .kind = SN_DATA_NUMBER, .dtype = SN_U32},
    {.name = "uint64", .kind = SN_DATA_NUMBER, .dtype = SN_U64},
    {.name = "float16", .kind = SN_DATA_NUMBER, .dtype = SN_F16},
    {.name = "float32", .kind = SN_DATA_NUMBER, .dtype = SN_F32},
    {.name = "float64", .kind = SN_DATA_NUMBER, .dtype = SN_F64},
    {.name = "string", .kind = SN_DATA_TEXT},
    {.name = "large_string", .kind = SN_DATA_TEXT, .is_wide = true},
    {.name = "binary", .kind = SN_DATA_BINARY},
    {.name = "large_binary", .kind = SN_DATA_BINARY, .is_wide = true},
};

bool sn_feature_named(SnBytes name, SnFeature *out)
{
    const size_t i = SN_FIND_ROW(plain, name, name);
    if (i < SN_COUNT(plain))
        *out = plain[i];
    return i < SN_COUNT(plain);
}

const char *sn_feature_name(const SnFeature *f)
{
    if (f->kind == SN_DATA_LABEL)
        return "int64";
    if (f->unit)
        return f->unit;
    for (size_t i = 0; i < SN_COUNT(plain); i++)
        if (plain[i].kind == f->kind && plain[i].dtype == f->dtype && plain[i].is_wide == f->is_wide)
            return plain[i].name;
    return NULL;
}

bool sn_feature_copy(SnArena *arena, const SnFeature *f, SnFeature *out)
{
    const char *name = f->name ? f->name : "", *unit = f->unit, *tag = f->tag;
    SnFeature to = *f;
    to.name = sn_arena_strndup(arena, name, strlen(name));
    to.unit = unit ? sn_arena_strndup(arena, unit, strlen(unit)) : NULL;
    to.tag = tag ? sn_arena_strndup(arena, tag, strlen(tag)) : NULL;
    SnFeature *child = sn_arena_array(arena, f->nchild, sizeof *child);
    const char **label = sn_arena_array(arena, f->nlabel, sizeof *label);
    bool ok =
        to.name && (to.unit || !unit) && (to.tag || !tag) && (child || !f->nchild) && (label || !f->nlabel);
    for (uint32_t i = 0; ok && i < f->nchild; i++)
        ok = sn_feature_copy(arena, &f->child[i], &child[i]);
    for (uint32_t i = 0; ok && i < f->nlabel; i++) {
        label[i] = sn_arena_strndup(arena, f->label[i], strlen(f->label[i]));
        ok = label[i] != NULL;
    }
    to.child = child;
    to.label = label;
    *out = to;
    return ok;
}

bool sn_feature_equal(const SnFeature *a, const SnFeature *b)
{
    if (a->kind != b->kind || a->dtype != b->dtype || a->is_wide != b->is_wide || a->length != b->length ||
        a->nchild != b->nchild || !a->unit != !b->unit || (a->unit && strcmp(a->unit, b->unit) != 0))
        return false;
    for (uint32_t i = 0; i < a->nchild; i++)
        if ((a->kind == SN_DATA_STRUCT && strcmp(a->child[i].name, b->child[i].name) != 0) ||
            !sn_feature_equal(&a->child[i], &b->child[i]))
            return false;
    return true;
}

/* ---- JSON ---- */

void sn_features_json(SnText *t, const SnFeature *f, uint32_t n, size_t stride)
{
    sn_text_add(t, "{", 1);
    for (uint32_t i = 0; i < n; i++) {
        const SnFeature *field = (const void *)((const char *)f + i * stride);
        sn_text_add(t, ", ", i ? 2 : 0);
        sn_json_put_string(t, sn_bytes_str(field->name));
        sn_text_add(t, ": ", 2);
        sn_feature_json(t, field);
    }
    sn_text_add(t, "}", 1);
}

void sn_feature_json(SnText *t, const SnFeature *f)
{
    if (f->tag) {
        sn_text_add(t, f->tag, strlen(f->tag));
        return;
    }
    switch (f->kind) {
    case SN_DATA_STRUCT:
        sn_features_json(t, f->child, f->nchild, sizeof *f->child);
        return;
    case SN_DATA_LIST:
        sn_text_printf(t, "{\"feature\": ");
        sn_feature_json(t, f->child);
        if (f->length)
            sn_text_printf(t, ", \"length\": %lld", (long long)f->length);
        sn_text_printf(t, ", \"_type\": \"%s\"}", f->is_wide ? "LargeList" : "List");
        return;
    case SN_DATA_LABEL:
        sn_text_printf(t, "{\"names\": [");
        for (uint32_t i = 0; i < f->nlabel; i++) {
            sn_text_add(t, ", ", i ? 2 : 0);
            sn_json_put_string(t, sn_bytes_str(f->label[i]));
        }
        sn_text_printf(t, "], \"_type\": \"ClassLabel\"}");
        return;
    case SN_DATA_NULL:
    case SN_DATA_NUMBER:
    case SN_DATA_TEXT:
    case SN_DATA_BINARY:
        sn_text_printf(t, "{\"dtype\": \"%s\", \"_type\": \"Value\"}", sn_feature_name(f));
    }
}

/* What stands in a list: {"feature": X}, or [X] of older files. */
static const SnJson *item_of(const SnJson *v)
{
    return v->kind == SN_JSON_ARRAY ? sn_json_at(v, 0) : sn_json_get(v, "feature");
}

static SnStatus add_names(SnArena *arena, const SnJson *v, SnFeature *f, SnError *err)
{
    const SnJson *names = sn_json_get(v, "names");
    const uint32_t n = names && names->kind == SN_JSON_ARRAY ? names->n : 0;
    const char **label = sn_arena_array(arena, n, sizeof *label);
    SN_CHECK(label || n == 0, err, SN_ENOMEM, "features: no memory");
    for (uint32_t i = 0; i < n; i++) {
        SnBytes s;
        SN_CHECK(sn_json_string(sn_json_at(names, i), &s), err, SN_EFORMAT,
                 "features: %s: name %u of a label is no string", f->name, i);
        label[i] = sn_arena_strndup(arena, (const char *)s.at, s.n);
        SN_CHECK(label[i], err, SN_ENOMEM, "features: no memory");
    }
    f->kind = SN_DATA_LABEL;
    f->nlabel = n;
    f->label = label;
    return SN_OK;
}

/* Features that are more than the type they are stored as, and that type. */
static const struct {
    const char *name;
    SnDataKind kind;
} tags[] = {{"Image", SN_DATA_STRUCT},       {"Audio", SN_DATA_STRUCT},
            {"Video", SN_DATA_STRUCT},       {"Pdf", SN_DATA_STRUCT},
            {"Array2D", SN_DATA_LIST},       {"Array3D", SN_DATA_LIST},
            {"Array4D", SN_DATA_LIST},       {"Array5D", SN_DATA_LIST},
            {"Translation", SN_DATA_STRUCT}, {"TranslationVariableLanguages", SN_DATA_STRUCT},
            {"Json", SN_DATA_TEXT}};

static SnStatus add_tag(SnArena *arena, const SnJson *v, SnFeature *f, SnError *err)
{
    SnBytes name;
    SnText text = {.memory = arena->memory};
    if (v->kind != SN_JSON_OBJECT || !sn_json_string(sn_json_get(v, "_type"), &name))
        return SN_OK;
    const size_t i = SN_FIND_ROW(tags, name, name);
    if (i < SN_COUNT(tags) && f->kind == tags[i].kind)
        sn_json_put(&text, v);
    f->tag = text.n ? sn_arena_strndup(arena, text.at, text.n) : NULL;
    const bool ok = !text.failed && (f->tag || !text.n);
    sn_text_clear(&text);
    SN_CHECK(ok, err, SN_ENOMEM, "features: no memory");
    return SN_OK;
}

static SnStatus read_value(SnArena *arena, SnBytes name, SnFeature *out, SnError *err)
{
    const char *unit = sn_arena_strndup(arena, (const char *)name.at, name.n);
    SN_CHECK(unit, err, SN_ENOMEM, "features: no memory");
    SN_CHECK(sn_feature_named(name, out) || sn_date_named(unit, out), err, SN_EUNSUPPORTED,
             "features: no type %s", unit);
    return SN_OK;
}

static SnStatus read_fields(SnArena *arena, const SnJson *v, SnFeature *out, SnError *err)
{
    SnFeature *child = sn_arena_array(arena, v->n + 1u, sizeof *child);
    SN_CHECK(child, err, SN_ENOMEM, "features: no memory");
    *out = (SnFeature){.kind = SN_DATA_STRUCT, .nchild = v->n, .child = child};
    for (uint32_t i = 0; i < v->n; i++) {
        SN_TRY(sn_feature_read(arena, &v->u.child[i], &child[i], err));
        child[i].name = sn_arena_strndup(arena, (const char *)v->u.child[i].key.at, v->u.child[i].key.n);
        SN_CHECK(child[i].name, err, SN_ENOMEM, "features: no memory");
    }
    return SN_OK;
}

SnStatus sn_feature_read(SnArena *arena, const SnJson *v, SnFeature *out, SnError *err)
{
    SnBytes tag = {NULL, 0}, name;
    const bool is_object = v && v->kind == SN_JSON_OBJECT;
    if (v && sn_json_string(v, &name))
        return read_value(arena, name, out, err);
    if (is_object && !sn_json_string(sn_json_get(v, "_type"), &tag))
        return read_fields(arena, v, out, err);
    if (sn_bytes_is(tag, "Value") && sn_json_string(sn_json_get(v, "dtype"), &name))
        return read_value(arena, name, out, err);
    if (sn_bytes_is(tag, "ClassLabel")) {
        *out = (SnFeature){.dtype = SN_I64};
        return add_names(arena, v, out, err);
    }
    const bool is_wide = sn_bytes_is(tag, "LargeList");
    const bool is_list = is_wide || sn_bytes_is(tag, "List") || sn_bytes_is(tag, "Sequence");
    SN_CHECK(v && (is_list || v->kind == SN_JSON_ARRAY), err, SN_EUNSUPPORTED, "features: no type %.*s",
             (int)tag.n, (const char *)tag.at);
    SnFeature *child = sn_arena_alloc(arena, sizeof *child);
    *out = (SnFeature){.kind = SN_DATA_LIST, .is_wide = is_wide, .nchild = 1, .child = child};
    SN_CHECK(child, err, SN_ENOMEM, "features: no memory");
    if (sn_json_int(sn_json_get(v, "length"), &out->length) && out->length < 0)
        out->length = 0;
    SN_TRY(sn_feature_read(arena, item_of(v), child, err));
    child->name = "item";
    return SN_OK;
}

SnStatus sn_feature_parse(SnArena *arena, const SnJson *v, SnFeature *f, SnError *err)
{
    if (!v || (v->kind != SN_JSON_OBJECT && v->kind != SN_JSON_ARRAY))
        return SN_OK;
    if (f->kind == SN_DATA_NUMBER && f->dtype == SN_I64 && sn_json_is(sn_json_get(v, "_type"), "ClassLabel"))
        return add_names(arena, v, f, err);
    SN_TRY(add_tag(arena, v, f, err));
    if ((f->kind != SN_DATA_LIST && f->kind != SN_DATA_STRUCT) || f->nchild == 0 || f->tag)
        return SN_OK;
    SnFeature *child = sn_arena_array(arena, f->nchild, sizeof *child);
    SN_CHECK(child, err, SN_ENOMEM, "features: no memory");
    memcpy(child, f->child, f->nchild * sizeof *child);
    f->child = child;
    if (f->kind == SN_DATA_LIST)
        return sn_feature_parse(arena, item_of(v), child, err);
    /* Sequence of a dict, which older files have, is a dict of lists. */
    const bool is_old = sn_json_is(sn_json_get(v, "_type"), "Sequence");
    const SnJson *fields = is_old ? sn_json_get(v, "feature") : v;
    for (uint32_t i = 0; i < f->nchild; i++) {
        const SnJson *own = sn_json_get(fields, child[i].name);
        SnJson pair = {.kind = SN_JSON_ARRAY, .n = 1};
        pair.u.child = (SnJson *)(uintptr_t)own;
        SN_TRY(sn_feature_parse(arena, is_old && own ? &pair : own, &child[i], err));
    }
    return SN_OK;
}
