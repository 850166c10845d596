/* fuse.h -- what fuse*.c share. Internal to them. */
#ifndef SN_FUSE_H
#define SN_FUSE_H

#include "compiler/pass.h"

#define SN_FUSE_LEAVES 12 /* buffers that one kernel reads */
#define SN_FUSE_MANY   UINT32_MAX

typedef struct SnExtent { /* of what is computed for a term that is not stored */
    uint16_t nterm, depth;
    uint8_t nleaf;
    SnRef leaf[SN_FUSE_LEAVES];
} SnExtent;

/* Terms are decided users first: when r is, everything that may use it has been. */
typedef struct SnFuse {
    const SnStore *s;
    bool *is_reached, *is_stored;
    SnRef *home;       /* the kernel that a term is computed in, a stored term: 0 none yet, SN_FUSE_MANY */
    int32_t *grant;    /* the least that a use gives */
    SnExtent **extent; /* of terms that are not stored */
    SnArena *arena;
    bool failed;
} SnFuse;

#endif
