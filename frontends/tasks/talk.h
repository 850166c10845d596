/* talk.h -- decoders as programs that talk (SN_TYPED_CHAT of runtime/typed.h). */
#ifndef SN_TASK_TALK_H
#define SN_TASK_TALK_H

#include "frontends/tasks/program.h"

/* The linear form of a chat template (frontends/hf/chat_linear.c): a message becomes `first` (for the first
 * one) or `next`, the message, `answer`; then the assistant speaks. SN_EUNSUPPORTED: the template is more
 * than that. *has: there is a template; without one all parts are empty. system: NULL: none. */
typedef struct SnChatLinear {
    const char *first, *next, *answer; /* in the arena */
    bool has, trims;
} SnChatLinear;
SN_MUST_CHECK SnStatus sn_chat_linear(SnModel *m, const char *system, SnArena *arena, SnChatLinear *out,
                                      SnError *err);

/* What a task of kind CHAT needs before its graph is filled. context 0: min(what the model has, 2048). */
SN_MUST_CHECK SnStatus sn_talk_open(SnModel *m, SnTaskProgram *t, uint32_t context, const char *system,
                                    SnArena *arena, SnError *err);
SnModelFill sn_talk_fill; /* with the SnTaskProgram */
/* When it is filled: t->limit may be smaller now. */
const SnTypedChat *sn_talk_chat(SnTaskProgram *t);

#endif
