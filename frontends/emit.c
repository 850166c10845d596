/* emit.c -- models ahead of time: the graph of a task, or of named tensors, and what sn_emit is told about
 * it.
 */
#include "frontends/tasks/talk.h"

#define USUAL_SEQ 128 /* tokens that a tensor program's context makes room for */

SnStatus sn_model_emit_program(SnModel *m, const SnModelProgram *p, const SnTask *what,
                               const SnEmitOptions *o, const char *path, SnError *err)
{
    const SnCompileOptions co = {.struct_size = sizeof co,
                                 .shape = p->shape,
                                 .memory_budget = p->memory_budget,
                                 .flags = m->flags & SN_EXACT,
                                 .target = m->device,
                                 .specialise = p->specialise,
                                 .levels = o->levels,
                                 .task = what,
                                 .weights_beside = o->weights_beside,
                                 .bindings = o->bindings,
                                 .sizes = o->sizes};
    return sn_emit(m->cc, p->graph, &co, path, err);
}

/* A config may promise more positions than the model has: then texts are cut earlier. */
static SnStatus fill_text(SnModel *m, SnTaskProgram *t, SnModelProgram *p, SnError *err)
{
    SN_TRY(sn_model_fill(m, t->fill, t, p, err));
    if (p->max_seq == 0 || (t->limit && t->limit <= p->max_seq))
        return SN_OK;
    t->limit = p->max_seq;
    sn_graph_destroy(p->graph);
    *p = (SnModelProgram){0};
    return sn_model_fill(m, t->fill, t, p, err);
}

/* Only rows and tokens: other dims have no usual size. */
static const char *usual_shape(const SnModel *m, const SnModelProgram *p, SnArena *arena)
{
    if (m->text || strcmp(m->arch->task, "multiple-choice") == 0)
        return NULL;
    const long long seq = p->max_seq && p->max_seq < USUAL_SEQ ? p->max_seq : USUAL_SEQ;
    return sn_arena_printf(arena, "batch=1,seq=%lld", seq);
}

static SnStatus emit(SnModel *m, const char *task, const SnEmitOptions *o, const char *path, SnArena *arena,
                     SnModelProgram *p, SnError *err)
{
    SnTaskProgram t = {.kind = SN_TYPED_TENSORS};
    const bool has_names = o->ninput > 0 || o->nwant > 0;
    if (!has_names)
        SN_TRY(sn_task_program(m, task, arena, &t, err));
    t.max_text = o->max_text ? o->max_text : t.max_text;
    SnTask what = {.kind = t.kind, .has_pair = t.has_pair};
    if (t.kind == SN_TYPED_CHAT)
        SN_TRY(sn_talk_open(m, &t, o->context, o->system, arena, err));
    if (t.fill) {
        SN_TRY(fill_text(m, &t, p, err));
        what.max_text = t.max_text;
        what.label = t.label;
        what.chat = t.talk ? sn_talk_chat(&t) : NULL;
        what.width = what.chat ? what.chat->context : t.width;
    } else {
        SN_TRY(sn_model_fill_forward(m, o->input, o->ninput, o->want, o->nwant, p, err));
        what.shape = usual_shape(m, p, arena);
    }
    return sn_model_emit_program(m, p, &what, o, path, err);
}

SnStatus sn_model_emit(SnModel *m, const char *task, const SnEmitOptions *o, const char *path, SnError *err)
{
    static const SnEmitOptions plain = {.struct_size = sizeof plain};
    SnModelProgram p = {0};
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(m->ctx));
    const SnStatus st = emit(m, task, o ? o : &plain, path, &arena, &p, err);
    sn_graph_destroy(p.graph);
    sn_arena_clear(&arena);
    return st;
}
