/* talk.h -- decoders as programs that talk (SN_TYPED_CHAT of runtime/typed.h). */
#ifndef SN_TASK_TALK_H
#define SN_TASK_TALK_H

#include "frontends/tasks/program.h"

/* What a task of kind CHAT needs before its graph is filled. context 0: min(what the model has, 2048). */
SN_MUST_CHECK SnStatus sn_talk_open(SnModel *m, SnTaskProgram *t, uint32_t context, const char *system,
                                    SnArena *arena, SnError *err);
SnModelFill sn_talk_fill; /* with the SnTaskProgram */
/* When it is filled: t->limit may be smaller now. */
const SnTypedChat *sn_talk_chat(SnTaskProgram *t);

#endif
