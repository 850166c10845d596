/* target.c -- what CPU levels have. */
#include "compiler/target.h"

/* dot2 where it is faster than f32: on v4d of AMD. Ahead of time that is what v4d means; on v4d of others
 * sn_program_link takes v4, and sn_compile leaves dot2 out. */
static const SnTarget levels[] = {
    {.level = "v3", .vector_bytes = 32, .vector_count = 16},
    {.level = "v4", .vector_bytes = 64, .vector_count = 32},
    {.level = "v4d", .vector_bytes = 64, .vector_count = 32, .has_dot2 = true},
    {.level = "amx", .vector_bytes = 64, .vector_count = 32, .has_tiles = true, .fits_tiles = true},
};

SnStatus sn_target_of_level(const char *level, SnTarget *out, SnError *err)
{
    for (size_t i = 0; i < SN_COUNT(levels); i++) {
        if (strcmp(levels[i].level, level) != 0)
            continue;
        *out = levels[i];
        out->name = "cpu";
        out->l1_bytes = 32 << 10;
        out->l2_bytes = 1 << 20;
        out->l3_bytes = 32 << 20;
        out->has_dot4 = true;
        return SN_OK;
    }
    return sn_fail(err, SN_EUNSUPPORTED, "CPU level %s: native code is made for v3, v4, v4d and amx", level);
}
