/* tensors.c -- named tensors in files: safetensors, and NumPy's .npz (npz.c), by the name's ending. */
#include "frontends/hf/safetensors.h"
#include "frontends/model.h"
#include "frontends/npz.h"

static SnStatus load_safetensors(SnContext *ctx, const char *path, SnResults **out, SnError *err)
{
    SnSafetensors f = {0};
    SnResults *r = NULL;
    SN_TRY(sn_safetensors_open(ctx, path, &f, err));
    SnStatus st = sn_results_create(ctx, f.ntensor, &r, err);
    for (size_t i = 0; st == SN_OK && i < f.ntensor; i++) {
        const SnStTensor *t = &f.tensor[i];
        char *name = sn_arena_strndup(&f.arena, (const char *)t->name.at, t->name.n);
        const SnView v = sn_view(t->dtype, NULL, t->ndim, t->dims);
        if (t->dtype == SN_NODTYPE)
            st = sn_fail(err, SN_EUNSUPPORTED, "%s: tensor %.*s: dtype %s", path, (int)t->name.n,
                         (const char *)t->name.at, t->format);
        else
            st = name ? sn_results_reserve(r, name, &v, err) : sn_fail(err, SN_ENOMEM, "%s: no memory", path);
        if (st == SN_OK && t->bytes.n)
            memcpy(sn_results_get(r, i)->view.data, t->bytes.at, t->bytes.n);
    }
    sn_safetensors_close(&f);
    return sn_results_finish(st, r, out);
}

static SnStatus save_safetensors(SnContext *ctx, const char *path, const SnNamedTensor *tensor, size_t n,
                                 SnError *err)
{
    SnArena arena;
    sn_arena_init(&arena, sn_allocator(ctx));
    SnStWrite *w = sn_arena_array(&arena, n + 1, sizeof *w);
    SnStatus st = w ? SN_OK : sn_fail(err, SN_ENOMEM, "%s: no memory", path);
    for (size_t i = 0; st == SN_OK && i < n; i++)
        w[i] = (SnStWrite){.name = tensor[i].name, .view = tensor[i].view};
    if (st == SN_OK)
        st = sn_safetensors_write(ctx, path, w, n, NULL, err);
    sn_arena_clear(&arena);
    return st;
}

SnStatus sn_tensors_load(SnContext *ctx, const char *path, SnResults **out, SnError *err)
{
    return sn_bytes_ends(sn_bytes_str(path), ".npz") ? sn_npz_load(ctx, path, out, err)
                                                     : load_safetensors(ctx, path, out, err);
}

SnStatus sn_tensors_save(SnContext *ctx, const char *path, const SnNamedTensor *tensor, size_t n,
                         SnError *err)
{
    return sn_bytes_ends(sn_bytes_str(path), ".npz") ? sn_npz_save(ctx, path, tensor, n, err)
                                                     : save_safetensors(ctx, path, tensor, n, err);
}
