/* lm_program.h -- the program of a decoder that a test drives. */
#ifndef SN_TESTS_LM_PROGRAM_H
#define SN_TESTS_LM_PROGRAM_H

#include "frontends/tasks/generate.h"
#include "tests/unit/unit.h"

/* options: as generate() takes them, JSON. keep: candidates of a row for beams; 0: no beams. */
static inline SnProgram *lm_program(SnContext *ctx, SnModel *model, const char *options, uint32_t keep)
{
    SnArena arena;
    SnJson *json = NULL;
    SnGenConfig config;
    SnProgram *p = NULL;
    SnError err;
    sn_arena_init(&arena, sn_allocator(ctx));
    assert_ok(sn_json_parse(&arena, "options", sn_bytes_str(options), &json, &err));
    assert_ok(sn_gen_config(model, json, NULL, &arena, &config, &err));
    SnGenProgram spec = {.config = &config, .keep = keep};
    assert_ok(sn_gen_program(model, &spec, &p, &err));
    sn_arena_clear(&arena);
    return p;
}

#endif
