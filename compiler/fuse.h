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

/* Of a kernel: the reductions that are computed in it once a row, or the product that it is the tail of. */
typedef struct SnFuseRows {
    uint8_t count, split; /* rows are the points of its axes before split */
    bool has_tail;
} SnFuseRows;

/* What is made of one tensor in memory, element by element, and of what is constant or broadcast. */
typedef struct SnThin {
    SnRef of; /* that tensor; 0: of several, or none */
    int32_t cost;
} SnThin;

/* Terms are decided users first: when r is, everything that may use it has been. */
typedef struct SnFuse {
    const SnPass *p;
    const SnStore *s;
    bool *is_reached, *is_stored;
    SnRef *home;     /* the kernel that a term is computed in, a stored term: 0 none yet, SN_FUSE_MANY */
    SnRef *pass;     /* the walk over a row: a reduction, or the kernel itself; SN_FUSE_MANY */
    int32_t *grant;  /* the least that a use gives */
    SnRowAxes *axes; /* as its kernel uses it */
    SnFuseRows *rows;
    SnThin *thin;
    SnExtent **extent; /* of terms that are not stored */
    SnArena *arena;
    bool failed;
} SnFuse;

bool sn_fuse_is_root(const SnFuse *f, SnRef r);    /* computed by loops of its own */
bool sn_fuse_has_memory(const SnFuse *f, SnRef r); /* before anything runs */

/* ---- fuse_row.c ---- */
bool sn_fuse_is_map(const SnFuse *f, SnRef h); /* each element of the kernel is computed by itself */
/* May reduction r, whose uses are known, be computed in its home? Then it counts as one of that kernel's. */
bool sn_fuse_take_row(SnFuse *f, SnRef r);

/* ---- fuse_tail.c ---- */
/* The same of a product: then its home is the tail. */
bool sn_fuse_take_tail(SnFuse *f, SnRef r);

/* ---- fuse_panel.c ---- */
/* May r, which is too dear for every element, be computed in its home for some rows at a time? */
bool sn_fuse_take_panel(SnFuse *f, SnRef r);

#endif
