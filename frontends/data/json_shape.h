/* json_shape.h -- what the values of JSON rows have in common. */
#ifndef SN_JSON_SHAPE_H
#define SN_JSON_SHAPE_H

#include "runtime/hash.h"
#include "runtime/json.h"

typedef struct SnJsonShape SnJsonShape;

/* All of it is in the arena but what clear gives back. The shape of rows has no key. NULL: no memory. */
SnJsonShape *sn_json_shape_create(SnArena *arena, SnBytes key);
void sn_json_shape_clear(SnJsonShape *s, SnArena *arena);
/* One more value; false: no memory. */
bool sn_json_shape_see(SnJsonShape *s, SnArena *arena, const SnJson *v);
/* Of a field, or of the items of a list (the key is empty); NULL: none was seen. */
const SnJsonShape *sn_json_shape_field(const SnJsonShape *s, SnBytes key);
/* Have its values nothing in common? Not asked of rows, or inside of what has not. */
bool sn_json_shape_is_json(const SnJsonShape *s);
/* Where they have: of all values, where FLOAT goes before INT; NULL: there was none. */
SnJsonKind sn_json_shape_kind(const SnJsonShape *s);
bool sn_json_shape_is_date(const SnJsonShape *s); /* texts that are all dates */
/* The fields in the order that they came in; NULL: no more. */
const SnJsonShape *sn_json_shape_at(const SnJsonShape *s, size_t i, SnBytes *key);

#endif
