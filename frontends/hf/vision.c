/* vision.c -- what models of images are made of: pixels, convolutions, norms of batches.
 *
 * Channels lie last, so that a product over the channels of a place reads them side by side. */
#include "frontends/hf/layers.h"

#include "ops/ops.h"

#define EPS  1e-5 /* of BatchNorm2d, whatever the config says */
#define RATE 0.1

SnValue sn_nn_pixels(SnBuild *b)
{
    const SnValue x = sn_nn_input(b, "pixel_values");
    const int64_t channels = sn_nn_int(b, "num_channels", 3, 1, 1 << 16);
    if (!x.ref)
        return sn_graph_fail(b->g, SN_EINVAL, "pixel_values is not given");
    if (sn_nn_dim(b, x, 1) != channels)
        return sn_graph_fail(b->g, SN_ESHAPE, "pixel_values: %lld channels, the model has %lld",
                             (long long)sn_nn_dim(b, x, 1), (long long)channels);
    b->batch = sn_dim(b->g, x, 0);
    return sn_permute(b->g, sn_cast(b->g, x, b->dtype), (const int[]){0, 2, 3, 1});
}

SnValue sn_nn_image(SnBuild *b, SnValue x)
{
    return sn_permute(b->g, x, (const int[]){0, 3, 1, 2});
}

SnValue sn_nn_conv2d(SnBuild *b, const char *name, SnValue x, int64_t stride, int64_t padding)
{
    sn_scope_push(b->g, "%s", name);
    const SnValue w = sn_nn_param(b, "weight");
    const SnValue y = sn_conv2d(b->g, x, w, sn_nn_param_or_none(b, "bias"), stride, padding);
    sn_scope_pop(b->g);
    return y;
}

/* Mean and variance of each channel in the batch; what is kept of the latter is free of bias. */
static void statistics(SnBuild *b, SnValue x, SnValue out[2])
{
    static const int places[] = {0, 1, 2};
    SnGraph *g = b->g;
    const SnValue one = sn_const_int(g, SN_I64, 1), labels = sn_nn_input(b, "labels");
    const SnValue dims[] = {b->batch, one, one, one};
    const SnValue wide = sn_cast(g, x, SN_F32);
    SnValue rows = sn_cast(g, b->batch, SN_F32), here = sn_none();
    if (b->form && b->form->has_gaps && labels.ref) {
        here = sn_reshape(g, sn_cast(g, sn_ne(g, labels, sn_const_int(g, SN_I64, -100)), SN_F32), 4, dims);
        rows = sn_reduce(g, "add", here, 0, NULL, false);
    }
    const SnValue n = sn_mul(g, rows, sn_cast(g, sn_mul(g, sn_dim(g, x, 1), sn_dim(g, x, 2)), SN_F32));
    for (int i = 0; i < 2; i++) {
        const SnValue each = i == 0 ? wide : sn_square(g, sn_sub(g, wide, out[0]));
        const SnValue counted = here.ref ? sn_mul(g, each, here) : each;
        out[i] = sn_div(g, sn_reduce(g, "add", counted, 3, places, false), n);
    }
    const SnValue fair =
        sn_div(g, n, sn_max(g, sn_sub(g, n, sn_const(g, SN_F64, 1)), sn_const(g, SN_F64, 1)));
    (void)sn_nn_buffer(b, "running_mean", RATE, out[0]);
    (void)sn_nn_buffer(b, "running_var", RATE, sn_mul(g, out[1], fair));
    (void)sn_nn_buffer(b, "num_batches_tracked", 0, one);
}

SnValue sn_nn_batch_norm(SnBuild *b, const char *name, SnValue x)
{
    SnValue by[2];
    sn_scope_push(b->g, "%s", name);
    const SnValue w = sn_nn_param(b, "weight"), bias = sn_nn_param(b, "bias");
    if (b->trained && b->trained->is_training) {
        statistics(b, x, by);
    } else {
        by[0] = sn_nn_buffer(b, "running_mean", 0, sn_none());
        by[1] = sn_nn_buffer(b, "running_var", 0, sn_none());
    }
    if (!by[0].ref || !by[1].ref)
        sn_graph_fail(b->g, SN_EFORMAT, "the checkpoint has no running statistics of %s",
                      sn_scope_path(b->g));
    const SnValue y = sn_batch_norm(b->g, sn_nn_image(b, x), by[0], by[1], sn_cast(b->g, w, SN_F32),
                                    sn_cast(b->g, bias, SN_F32), EPS);
    sn_scope_pop(b->g);
    return sn_permute(b->g, y, (const int[]){0, 2, 3, 1});
}
