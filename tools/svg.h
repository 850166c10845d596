/* svg.h -- bench as a picture: kernels under the roofline, and the memory plan over the steps. */
#ifndef SN_TOOLS_SVG_H
#define SN_TOOLS_SVG_H

#include "tools/profile.h"

typedef struct Picture {
    const char *title;
    const Profile *profile;
    const SnLimits *limits;
    SnDtype dtype;
    const SnInstance *instance; /* NULL: no plan is drawn */
} Picture;

/* Written beside, then renamed. */
SN_MUST_CHECK SnStatus svg_write(SnContext *ctx, const Picture *p, const char *path, SnError *err);
/* The loss of a training by step: log is log_history of Transformers. The same. */
SN_MUST_CHECK SnStatus svg_curve(SnContext *ctx, const SnJson *log, const char *title, const char *path,
                                 SnError *err);

#endif
