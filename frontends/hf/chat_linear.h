/* chat_linear.h -- a chat template without its language: constant text around messages. */
#ifndef SN_CHAT_LINEAR_H
#define SN_CHAT_LINEAR_H

#include "frontends/model.h"

/* The linear form of a chat template: a message becomes `first` (for the first one) or `next`, the message,
 * `answer`; then the assistant speaks. Once it has, past_first or past_next, the message and `said` stand
 * there (NULL: the same), and of what it said SnTypedForgets. SN_EUNSUPPORTED: the template is more than
 * that. *has: there is a template; without one all parts are empty. system: NULL: none. */
typedef struct SnChatLinear {
    const char *first, *next, *answer; /* in the arena */
    const char *past_first, *past_next, *said;
    SnTypedForgets forgets;
    bool has, trims;
} SnChatLinear;
SN_MUST_CHECK SnStatus sn_chat_linear(SnModel *m, const char *system, SnArena *arena, SnChatLinear *out,
                                      SnError *err);

#endif
