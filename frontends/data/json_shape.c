/* json_shape.c -- what the values of JSON rows have in common: where they have nothing, datasets keeps them
 * as JSON.
 *
 * Such a place has values of several kinds, or objects whose keys differ, or that have none. What is inside
 * of it does not matter then. Rows themselves may lack keys. */
#include "frontends/data/json_shape.h"
#include "frontends/data/table.h"

struct SnJsonShape {
    SnBytes key;
    uint32_t kinds, nkey, nobject; /* a bit each; of the first object; how many objects */
    bool is_json, is_text;         /* a text is no date */
    SnMap at;                      /* of a key in field */
    SN_VEC(SnJsonShape *) field;   /* of objects; of lists: one */
};

SnJsonShape *sn_json_shape_create(SnArena *arena, SnBytes key)
{
    SnJsonShape *s = sn_arena_alloc(arena, sizeof *s);
    const char *own = sn_arena_strndup(arena, (const char *)key.at, key.n);
    if (!s || !own)
        return NULL;
    s->key = sn_bytes(own, key.n);
    sn_map_init(&s->at, arena->memory);
    return s;
}

void sn_json_shape_clear(SnJsonShape *s, SnArena *arena)
{
    for (size_t i = 0; s && i < s->field.n; i++)
        sn_json_shape_clear(s->field.at[i], arena);
    if (s) {
        sn_map_clear(&s->at);
        sn_vec_clear(arena->memory, &s->field);
    }
}

/* The field of a key, made if it is new; NULL: no memory. */
static SnJsonShape *need_field(SnJsonShape *s, SnArena *arena, SnBytes key)
{
    uint32_t at = 0;
    if (sn_map_get(&s->at, key, &at))
        return s->field.at[at];
    SnJsonShape *f = sn_json_shape_create(arena, key);
    if (!f || !sn_map_put(&s->at, f->key, (uint32_t)s->field.n) || !sn_vec_push(arena->memory, &s->field, f))
        return NULL;
    return f;
}

bool sn_json_shape_see(SnJsonShape *s, SnArena *arena, const SnJson *v)
{
    if (v->kind == SN_JSON_NULL)
        return true;
    s->kinds |= 1u << v->kind;
    int64_t second = 0;
    bool has_zone = false;
    if (v->kind == SN_JSON_STRING && !s->is_text)
        s->is_text = !sn_date_parse(v->u.string, 0, &second, &has_zone);
    const bool is_object = v->kind == SN_JSON_OBJECT;
    if (is_object && s->nobject++ == 0)
        s->nkey = v->n;
    if (is_object && (v->n == 0 || v->n != s->nkey))
        s->is_json = true;
    for (uint32_t i = 0; (is_object || v->kind == SN_JSON_ARRAY) && i < v->n; i++) {
        const SnJson *item = &v->u.child[i];
        SnJsonShape *f = need_field(s, arena, is_object ? item->key : sn_bytes_str(""));
        if (!f || !sn_json_shape_see(f, arena, item))
            return false;
    }
    if (is_object && s->field.n != s->nkey)
        s->is_json = true;
    return true;
}

const SnJsonShape *sn_json_shape_field(const SnJsonShape *s, SnBytes key)
{
    uint32_t at = 0;
    return s && sn_map_get(&s->at, key, &at) ? s->field.at[at] : NULL;
}

bool sn_json_shape_is_json(const SnJsonShape *s)
{
    const uint32_t kinds = s ? s->kinds & ~(s->kinds >> SN_JSON_FLOAT & 1 ? 1u << SN_JSON_INT : 0) : 0;
    return s && (s->is_json || (kinds & (kinds - 1)) != 0);
}

SnJsonKind sn_json_shape_kind(const SnJsonShape *s)
{
    SnJsonKind kind = SN_JSON_NULL;
    while (s && s->kinds >> kind > 1)
        kind++;
    return s && s->kinds ? kind : SN_JSON_NULL;
}

bool sn_json_shape_is_date(const SnJsonShape *s)
{
    return s && s->kinds == 1u << SN_JSON_STRING && !s->is_text && !s->is_json;
}

const SnJsonShape *sn_json_shape_at(const SnJsonShape *s, size_t i, SnBytes *key)
{
    *key = s && i < s->field.n ? s->field.at[i]->key : sn_bytes(NULL, 0);
    return s && i < s->field.n ? s->field.at[i] : NULL;
}
