/* arrow_bridge.c -- for random_arrow.py: an Arrow C stream through a dataset and its operations. */
#include "frontends/data/dataset.h"

SN_API int arrow_bridge(struct ArrowArrayStream *in, struct ArrowArrayStream *out, int shuffles,
                        char message[500]);

static SnContext *ctx; /* lives as long as the process: arrays may, too */

int arrow_bridge(struct ArrowArrayStream *in, struct ArrowArrayStream *out, int shuffles, char message[500])
{
    SnDataset *d = NULL, *s = NULL;
    SnError err = {0};
    SnStatus st = ctx ? SN_OK : sn_context_create(NULL, &ctx, &err);
    if (st == SN_OK)
        st = sn_dataset_from_arrow(ctx, in, &d, &err);
    if (st == SN_OK && shuffles)
        st = sn_dataset_shuffle(d, 42, &s, &err);
    if (st == SN_OK)
        st = sn_dataset_to_arrow(s ? s : d, out, &err);
    sn_dataset_release(s);
    sn_dataset_release(d);
    memcpy(message, err.message, sizeof err.message);
    return (int)st;
}
