/* greenlist.h -- tokens that a watermark makes likelier, and the random numbers of torch that choose them.
 *
 *   greenlist(ids: I[b, c], length: I[b], scores: f32[b, v]; ratio: f64, key: int, width: int, self: bool,
 *             memo: int) -> bool[b, v]
 *     scratch SN_GREENLIST_SCRATCH(v); memo SN_GREENLIST_MEMO where self, else 0
 *     Which tokens are green behind ids[0 .. length) of each row. self false: floor(v * ratio) tokens that
 * the last one chooses. self true: those of the 40 best that the last width - 1 tokens and they themselves
 * choose. A row of fewer than width tokens has none. As WatermarkLogitsProcessor of Transformers 5.23.
 *
 * Kirchenbauer et al. 2023, arXiv:2301.10226 and arXiv:2306.04634. */
#ifndef SN_GREENLIST_H
#define SN_GREENLIST_H

#include "runtime/hostcall.h"

/* Matsumoto & Nishimura 1998, with the seeding of 2002, as torch.Generator of the CPU. */
typedef struct SnTwister {
    uint32_t word[624], at;
} SnTwister;
void sn_twister_seed(SnTwister *t, uint32_t seed);
uint32_t sn_twister_next(SnTwister *t);

#define SN_GREENLIST_TABLE      1000003u
#define SN_GREENLIST_MEMO       (4 * (SN_GREENLIST_TABLE + 16))
#define SN_GREENLIST_SCRATCH(v) ((v) * sizeof(uint32_t))

SnHostFn sn_greenlist;

#endif
