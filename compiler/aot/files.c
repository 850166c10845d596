/* files.c -- a program as what linkers are given: its object, its weights, and what is seen from outside. */
#include "compiler/aot/aot.h"
#include "compiler/aot/link.h"
#include "runtime/cpu.h"

static uint32_t level_mask(const SnAot *a)
{
    uint32_t mask = 0;
    for (uint32_t i = 0; i < a->nlevel; i++)
        for (int level = 0; level < SN_CPU_LEVEL_COUNT; level++)
            if (strcmp(a->level[i], sn_cpu_level_name((SnCpuLevel)level)) == 0)
                mask |= 1u << level;
    return mask;
}

/* What people call (the thunks) and the descriptor are seen from outside. */
static SnStatus list_exported(const SnAot *a, SnLinkInput *in, SnError *err)
{
    const char **exported = sn_arena_array(a->arena, a->thunk.n + 1, sizeof *exported);
    in->program = sn_arena_printf(a->arena, "%s_program", a->name);
    SN_CHECK(exported && in->program, err, SN_ENOMEM, "%s: no memory to link it", a->path);
    exported[0] = in->program;
    for (size_t i = 0; i < a->thunk.n; i++)
        exported[1 + i] = a->thunk.at[i].symbol;
    in->exported = exported;
    in->nexported = a->thunk.n + 1;
    return SN_OK;
}

static SnLinkInput link_input(const SnAot *a, const char *name)
{
    SnLinkInput in = {.object = a->object, .soname = name};
    if (!a->is_beside) {
        in.weights = a->weights;
        in.part = a->weight_part;
        in.npart = a->nweight_part;
    }
    return in;
}

SnStatus sn_aot_object(const SnAot *a, const char *to, SnError *err)
{
    const SnLinkInput in = link_input(a, a->name);
    return sn_link_object(a->ctx, &in, to, err);
}

SnStatus sn_aot_archive(const SnAot *a, const char *to, SnError *err)
{
    const SnLinkInput in = link_input(a, a->name);
    return sn_link_archive(a->ctx, &in, to, err);
}

SnStatus sn_aot_shared(const SnAot *a, const char *to, SnError *err)
{
    const char *slash = strrchr(a->path, '/');
    SnLinkInput in = link_input(a, slash ? slash + 1 : a->path);
    in.levels = level_mask(a);
    SN_TRY(list_exported(a, &in, err));
    return sn_link_shared(a->ctx, &in, to, err);
}
