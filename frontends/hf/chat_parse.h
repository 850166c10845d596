/* chat_parse.h -- answers of models as messages: what parse_response of Transformers 5.23 makes of them. */
#ifndef SN_CHAT_PARSE_H
#define SN_CHAT_PARSE_H

#include "runtime/json.h"
#include "runtime/memory.h"

/* The message, in the arena. schema: a response_template; prefix: the prompt; tools: as the chat template
 * gets them, or NULL. A schema that is wrong is SN_EFORMAT, an answer that is not as it says SN_EINVAL. */
SN_MUST_CHECK SnStatus sn_chat_parse(SnArena *a, const SnJson *schema, SnBytes prefix, SnBytes text,
                                     const SnJson *tools, SnJson *out, SnError *err);

/* ---- known schemas (chat_schemas.c) ---- */
/* The schema of models whose chat template has such text; NULL: it is not known. */
const char *sn_chat_schema(SnBytes chat_template);

/* ---- values of regions (chat_value.c) ---- */
typedef struct SnChatRegion {
    const char *field;
    const SnJson *content, *args, *transform; /* or NULL */
    bool is_each;                             /* the transform is of each element */
    const SnJson *scope;                      /* what the marks captured: n names */
    uint32_t nscope;
    const SnJson *tools;
} SnChatRegion;
/* White space of Python among ASCII; a text without that at its ends. */
bool sn_chat_is_blank(uint8_t b);
SnBytes sn_chat_strip(SnBytes s);
bool sn_chat_content(const SnJson *name); /* there is such a content */
SN_MUST_CHECK SnStatus sn_chat_check_transform(SnArena *a, const char *field, const SnJson *transform,
                                               SnError *err);
SN_MUST_CHECK SnStatus sn_chat_value(SnArena *a, const SnChatRegion *r, SnBytes body, SnJson *out,
                                     SnError *err);

#endif
