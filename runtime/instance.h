/* instance.h -- what an instance is made of: shared by instance.c (life, inputs, results), shape.c (plans by
 * shape) and run.c (steps). */
#ifndef SN_INSTANCE_H
#define SN_INSTANCE_H

#include "runtime/context.h"
#include "runtime/plan.h"

/* Wants to hear of new rows of a stream. */
typedef struct SnRowsReader {
    SnRowsFn *fn;
    void *user;
    uint32_t slot;
    uint64_t seen;
} SnRowsReader;

struct SnInstance {
    SnProgram *program;
    SnContext *ctx;
    const SnImage *image;
    const SnEntryRow *base, *entry; /* what the host chose; that, or its copy for the dims of a run */
    SnPlan plan;
    SnView *bound;  /* one a row of `slot`: what sn_bind lent */
    bool *is_bound; /* likewise */
    void **stage;   /* likewise: dense copy of a strided view */
    uint64_t *stage_size;
    bool *symbol_set;    /* one a row of `symbol` */
    SnView *host_view;   /* as many as the widest host step needs */
    uint32_t *tile_cost; /* by step: what a tile of it took; 0: not known */
    uint64_t table_size;
    uint8_t *state; /* carries */
    uint64_t state_size;
    uint8_t *memo; /* of all host rows */
    uint64_t memo_size;
    bool running, has_result;
    uint32_t pc, segment;
    int64_t tile;      /* next tile of a kernel step; of a host step: 1 after SN_AGAIN */
    uint64_t deadline; /* 0: none */
    atomic_bool cancel, stop;
    struct SnWatch *watch; /* of watch.h, or NULL */
    SN_VEC(SnRowsReader) reader;
};

static inline const char *sn_instance_text(const SnInstance *s, uint32_t at)
{
    return at == SN_NONE ? "?" : sn_image_string(s->image, at);
}

/* Bytes of an instance's tables; *views (may be NULL): views that the widest host step needs. */
size_t sn_instance_table_size(const SnImage *m, size_t *views);
/* Bytes that the host steps of an instance keep. */
uint64_t sn_instance_memo_size(const SnImage *m);
const SnSlotRow *sn_instance_slot(const SnInstance *s, SnRange among, const char *name); /* NULL: none */
void sn_instance_view(const SnInstance *s, const SnSlotRow *slot, SnView *out);

/* ---- shape.c ---- */
/* The value of a symbol in "batch=8,seq=512"; -1: it is not named; -2: the text is malformed. */
int64_t sn_shape_value(const char *shape, const char *symbol);

/* The copy of an entry that is made for a shape, or the entry. value: of a symbol, negative if not known. */
typedef int64_t SnSymbolFn(const void *self, const SnEntryRow *base, uint32_t symbol);
const SnEntryRow *sn_variant_of(const SnImage *m, const SnEntryRow *base, SnSymbolFn *value,
                                const void *self);

/* ---- stream.c ---- */
void sn_instance_restart_streams(SnInstance *s);         /* a run begins: there are no rows yet */
void sn_instance_show_rows(SnInstance *s, uint32_t reg); /* the register counts rows of streams and rose */

/* ---- run.c ---- */
/* Runs steps from s->pc on, until the end or the deadline. */
SN_MUST_CHECK SnStatus sn_instance_steps(SnInstance *s, bool *done, SnError *err);

#endif
