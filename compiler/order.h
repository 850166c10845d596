/* order.h -- what order.c and remat.c share: what is laid out of an entry or a body, in which order, and what
 * is computed again. Internal to them. */
#ifndef SN_ORDER_H
#define SN_ORDER_H

#include "compiler/pass.h"

/* A term that has steps: it is stored, or a loop, a cond, a host call. */
typedef struct SnNode {
    SnRef r;
    uint32_t first_dep, ndep; /* in SnOrder.dep */
    uint32_t first_use, nuse; /* in SnOrder.use */
    uint32_t at;              /* its place */
    uint64_t bytes;           /* of its results; 0 where they lie at home */
    uint64_t inner;           /* that its bodies need while it runs */
    uint64_t work;            /* operations */
    bool is_again; /* there are two of it: one for what is up to place `from`, one for what comes later, */
    uint32_t from, again_at; /* which is made in front of this place */
} SnNode;

/* Of an entry or a function: its nodes in order of refs, the last one stands for its results. */
typedef struct SnOrder {
    const SnPass *p;
    SnStore *s;
    SnRef root;
    SnNode *node;
    uint32_t n;
    uint32_t *dep, *use; /* numbers of nodes */
    uint32_t *by_place;
    uint64_t *live;        /* by place: bytes that are alive, as remat.c finds them */
    uint32_t *last, *work; /* work areas of it: two a node */
    bool *was_again;
} SnOrder;

/* ---- remat.c ---- */
/* The most bytes that are alive at a time; fills x->live. */
uint64_t sn_order_peak(SnOrder *x);
/* Chooses what is computed again so that the peak is `most` or less; true: it is. */
bool sn_order_fit(SnOrder *x, uint64_t most);
/* Chooses what is computed again because that costs next to nothing, and lowers the peak. */
void sn_order_lower(SnOrder *x);

#endif
