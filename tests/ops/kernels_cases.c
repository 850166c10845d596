/* kernels_cases.c -- one kernel, or a few, for each form of ARCHITECTURE section 8, "What fits, and how".
 * Sizes are ragged on purpose. */
#include "tests/ops/kernels_cases.h"

#define F32(n)                                                                                               \
    {                                                                                                        \
        SN_F32, (n), SN_FILL_SMALL, 0                                                                        \
    }
#define OUT(T, n)                                                                                            \
    {                                                                                                        \
        SN_##T, (n), SN_FILL_ZERO, 0                                                                         \
    }
#define BELOW(n, b)                                                                                          \
    {                                                                                                        \
        SN_I64, (n), SN_FILL_BELOW, (b)                                                                      \
    }

const SnTestKernel sn_test_kernels[] = {
    {.name = "elementwise_main_and_tail",
     .buffer = {F32(1000), F32(1000), OUT(F32, 1000)},
     .dims = {1000},
     .grid = 4,
     .text = "kernel r r w dims 1 { grid (idiv (add d0 255) 256)"
             " if (lt (add (mul t 256) 255) d0) { serial i1 16 { lanes i2 16 {"
             "   %i = (add (add (mul t 256) (mul i1 16)) i2)"
             "   store.f32 b2 %i (fma (load.f32 b0 %i) (load.f32 b1 %i) 1:f32) } } }"
             " if (not (lt (add (mul t 256) 255) d0)) { serial i3 16 { lanes i4 16 {"
             "   %i = (add (add (mul t 256) (mul i3 16)) i4) %g = (lt %i d0)"
             "   store.f32 b2 %i (fma (load.f32 b0 %i %g) (load.f32 b1 %i %g) 1:f32) when %g } } } }"},
    {.name = "broadcast_row_and_scalar",
     .buffer = {F32(7 * 37), F32(37), F32(1), OUT(F32, 7 * 37)},
     .dims = {37},
     .grid = 7,
     .text = "kernel r r r w dims 1 { grid 7 serial i1 (idiv (add d0 15) 16) { lanes i2 16 {"
             " %c = (add (mul i1 16) i2) %g = (lt %c d0) %i = (add (mul t d0) %c)"
             " store.f32 b3 %i (div (mul (load.f32 b0 %i %g) (load.f32 b1 %c %g)) (load.f32 b2 0)) when %g } "
             "} }"},
    {.name = "stores_past_the_caches",
     .buffer = {F32(9 * 40), OUT(F32, 9 * 40), OUT(BF16, 9 * 40)},
     .dims = {40},
     .grid = 9, /* some rows are aligned, some are streamed */
     .text =
         "kernel r w w dims 1 { grid 9 serial i1 2 { lanes i2 16 {"
         " %i = (add (mul t d0) (add (mul i1 16) i2)) %x = (load.f32 b0 %i)"
         " store.f32 b1 %i (add %x %x) stream (lt t 7)"
         " %i = (add (mul t d0) (add (mul i1 16) i2))"
         " store.bf16 b2 %i (cast.bf16 (load.f32 b0 %i)) stream (lt 2 t) } }"
         " lanes i3 8 { %i = (add (mul t d0) (add 32 i3)) store.f32 b1 %i (load.f32 b0 %i) stream true } }"},
    {.name = "row_reduction_64_lanes",
     .buffer = {F32(5 * 333), OUT(F32, 5)},
     .dims = {333},
     .grid = 5,
     .text = "kernel r w dims 1 { grid 5 local.f32 b2 64 {"
             " lanes i1 64 { store.f32 b2 i1 0:f32 }"
             " serial i2 (idiv d0 64) { lanes i3 64 { store.f32 b2 i3 (add (load.f32 b2 i3)"
             "   (load.f32 b0 (add (add (mul t d0) (mul i2 64)) i3))) } }"
             " lanes i4 64 { %c = (add (mul (idiv d0 64) 64) i4)"
             "   store.f32 b2 i4 (add (load.f32 b2 i4) (load.f32 b0 (add (mul t d0) %c) (lt %c d0))) }"
             " store.f32 b1 t (fold.f32.add.64 b2 0) } }"},
    {.name = "softmax_rows",
     .buffer = {F32(3 * 100), OUT(F32, 3 * 100)},
     .dims = {100},
     .grid = 3,
     .text =
         "kernel r w dims 1 { grid 3 local.f32 b2 64 { local.f32 b3 1 {"
         " lanes i1 64 { store.f32 b2 i1 #ff800000:f32 }"
         " serial i2 (idiv (add d0 63) 64) { lanes i3 64 { %c = (add (mul i2 64) i3) %g = (lt %c d0)"
         "   store.f32 b2 i3 (max (load.f32 b2 i3) (where %g (load.f32 b0 (add (mul t d0) %c) %g) "
         "#ff800000:f32)) } }"
         " store.f32 b3 0 (fold.f32.max.64 b2 0)"
         " lanes i4 64 { store.f32 b2 i4 0:f32 }"
         " serial i5 (idiv (add d0 63) 64) { lanes i6 64 { %c = (add (mul i5 64) i6) %g = (lt %c d0)"
         "   %i = (add (mul t d0) %c) store.f32 b1 %i (exp (sub (load.f32 b0 %i %g) (load.f32 b3 0))) when %g"
         "   %c = (add (mul i5 64) i6) %g = (lt %c d0) %i = (add (mul t d0) %c)"
         "   store.f32 b2 i6 (add (load.f32 b2 i6) (load.f32 b1 %i %g)) } }"
         " store.f32 b3 0 (fold.f32.add.64 b2 0)"
         " serial i7 (idiv (add d0 63) 64) { lanes i8 64 { %c = (add (mul i7 64) i8) %g = (lt %c d0)"
         "   %i = (add (mul t d0) %c) store.f32 b1 %i (div (load.f32 b1 %i %g) (load.f32 b3 0)) when %g } } "
         "} } }"},
    {.name = "outer_axis_reduction",
     .buffer = {F32(13 * 40), OUT(F32, 40)},
     .dims = {13, 40},
     .grid = 3,
     .text =
         "kernel r w dims 2 { grid (idiv (add d1 15) 16) local.f32 b2 16 {"
         " lanes i1 16 { store.f32 b2 i1 0:f32 }"
         " serial i2 d0 { lanes i3 16 { %c = (add (mul t 16) i3)"
         "   store.f32 b2 i3 (add (load.f32 b2 i3) (load.f32 b0 (add (mul i2 d1) %c) (lt %c d1))) } }"
         " lanes i4 16 { %c = (add (mul t 16) i4) store.f32 b1 %c (load.f32 b2 i4) when (lt %c d1) } } }"},
    {.name = "contract_tile_ragged",
     .buffer = {F32(10 * 19), F32(3 * 19 * 16), OUT(F32, 10 * 41)},
     .dims = {10, 19, 41},
     .grid = 6, /* 3 of 4 rows by 2 of 32 columns; panels of 16, padded to 3, the fourth is guarded */
     .text = "kernel r r w dims 3 { grid (mul (idiv (add d0 3) 4) (idiv (add d2 31) 32)) local.f32 b3 128 {"
             " unroll i1 8 { lanes i2 16 { store.f32 b3 (add (mul i1 16) i2) 0:f32 } }"
             " serial i3 d1 { unroll i4 4 { unroll i5 2 { lanes i6 16 {"
             "   %row = (min (add (mul (mod t 3) 4) i4) (sub d0 1)) %panel = (add (mul (idiv t 3) 2) i5)"
             "   %at = (add (mul (add (mul i4 2) i5) 16) i6)"
             "   store.f32 b3 %at (fma (load.f32 b0 (add (mul %row d1) i3)) (load.f32 b1 (add (mul (add (mul "
             "%panel d1)"
             "     i3) 16) i6) (lt %panel (idiv (add d2 15) 16))) (load.f32 b3 %at)) } } } }"
             " serial i7 4 { unroll i8 2 { lanes i9 16 {"
             "   %row = (add (mul (mod t 3) 4) i7) %col = (add (mul (add (mul (idiv t 3) 2) i8) 16) i9)"
             "   %v = (load.f32 b3 (add (mul (add (mul i7 2) i8) 16) i9))"
             "   store.f32 b2 (add (mul %row d2) %col) (mul %v (div 1:f32 (add 1:f32 (exp (neg %v)))))"
             "     when (and (lt %row d0) (lt %col d2)) } } } } }"},
    {.name = "gather_rows",
     .buffer = {F32(11 * 24), BELOW(6, 20), OUT(F32, 6 * 24)},
     .dims = {11, 24},
     .grid = 6,
     .text = "kernel r r w dims 2 { grid 6 serial i1 (idiv (add d1 15) 16) { lanes i2 16 {"
             " %c = (add (mul i1 16) i2) %g = (lt %c d1)"
             " %row = (min (max (load.i64 b1 t) 0) (sub d0 1))"
             " store.f32 b2 (add (mul t d1) %c) (load.f32 b0 (add (mul %row d1) %c) %g) when %g } } }"},
    {.name = "scatter_add_walk",
     .buffer = {BELOW(29, 9), F32(29 * 40), F32(7 * 40)},
     .dims = {29, 40, 7},
     .grid = 3,
     .text =
         "kernel r r w dims 3 { grid (idiv (add d1 15) 16) serial i1 d0 { lanes i2 16 {"
         " %c = (add (mul t 16) i2) %row = (load.i64 b0 i1) %g = (and (lt %c d1) (lt %row d2))"
         " %at = (add (mul %row d1) %c)"
         " store.f32 b2 %at (add (load.f32 b2 %at %g) (load.f32 b1 (add (mul i1 d1) %c) %g)) when %g } } }"},
    {.name = "scan_along_row",
     .buffer = {F32(4 * 77), OUT(F32, 4 * 77)},
     .dims = {77},
     .grid = 4,
     .text = "kernel r w dims 1 { grid 4 local.f32 b2 1 { store.f32 b2 0 0:f32 serial i1 d0 {"
             " store.f32 b2 0 (add (load.f32 b2 0) (load.f32 b0 (add (mul t d0) i1)))"
             " store.f32 b1 (add (mul t d0) i1) (load.f32 b2 0) } } }"},
    {.name = "scan_along_outer_axis_in_place",
     .buffer = {F32(9 * 32)},
     .dims = {9, 32},
     .grid = 2,
     .text = "kernel w dims 2 { grid 2 serial i1 (sub d0 1) { lanes i2 16 { %c = (add (mul t 16) i2)"
             " %at = (add (mul (add i1 1) d1) %c)"
             " store.f32 b0 %at (mul (load.f32 b0 %at) (load.f32 b0 (sub %at d1))) } } }"},
    {.name = "argmax_first_of_equals",
     .buffer = {{SN_I8, 3 * 500, SN_FILL_SMALL, 0}, OUT(I64, 3)},
     .dims = {500},
     .grid = 3,
     .text =
         "kernel r w dims 1 { grid 3 local.i32 b2 16 { local.i64 b3 16 { local.i32 b4 1 {"
         " lanes i1 16 { store.i32 b2 i1 -1000:i32 store.i64 b3 i1 0 }"
         " serial i2 (idiv (add d0 15) 16) { lanes i3 16 { %c = (add (mul i2 16) i3) %g = (lt %c d0)"
         "   %v = (where %g (cast.i32 (load.i8 b0 (add (mul t d0) %c) %g)) -1000:i32)"
         "   store.i64 b3 i3 (where (lt (load.i32 b2 i3) %v) %c (load.i64 b3 i3))"
         "   %c = (add (mul i2 16) i3) %g = (lt %c d0)"
         "   %v = (where %g (cast.i32 (load.i8 b0 (add (mul t d0) %c) %g)) -1000:i32)"
         "   store.i32 b2 i3 (max (load.i32 b2 i3) %v) } }"
         " store.i32 b4 0 (fold.i32.max.16 b2 0)"
         " lanes i4 16 { store.i64 b3 i4 (where (eq (load.i32 b2 i4) (load.i32 b4 0)) (load.i64 b3 i4) d0) }"
         " store.i64 b1 t (fold.i64.min.16 b3 0) } } } }"},
    {.name = "convolution_guarded",
     .buffer = {F32(50), F32(5), OUT(F32, 50)},
     .dims = {50},
     .grid = 4,
     .text =
         "kernel r r w dims 1 { grid (idiv (add d0 15) 16) local.f32 b3 16 {"
         " lanes i1 16 { store.f32 b3 i1 0:f32 }"
         " unroll i2 5 { lanes i3 16 { %x = (sub (add (add (mul t 16) i3) i2) 2)"
         "   store.f32 b3 i3 (fma (load.f32 b0 %x (and (lt -1 %x) (lt %x d0))) (load.f32 b1 i2)"
         "     (load.f32 b3 i3)) } }"
         " lanes i4 16 { %c = (add (mul t 16) i4) store.f32 b2 %c (load.f32 b3 i4) when (lt %c d0) } } }"},
    {.name = "if_on_memory_and_dims",
     .buffer = {BELOW(8, 3), F32(8 * 16), OUT(F32, 8 * 16)},
     .dims = {1},
     .grid = 8,
     .text = "kernel r r w dims 1 { grid 8 if (lt 0 (load.i64 b0 t)) { if (eq d0 1) {"
             " lanes i1 16 { %i = (add (mul t 16) i1) store.f32 b2 %i (sqrt (abs (load.f32 b1 %i))) } }"
             " if (eq (load.i64 b0 t) 2) { store.f32 b2 (mul t 16) 42:f32 } } }"},
    {.name = "ragged_extents_from_memory",
     .buffer = {BELOW(6, 5), BELOW(6, 3), F32(64), OUT(F32, 6)},
     .dims = {0},
     .grid = 6,
     .text =
         "kernel r r r w dims 0 { grid 6 serial i1 (load.i64 b0 t) { serial i2 (load.i64 b1 i1) {"
         " store.f32 b3 t (add (load.f32 b3 t) (load.f32 b2 (add (mul t 10) (add (mul i1 3) i2)))) } } }"},
    {.name = "transpose_through_shared_local",
     .buffer = {F32(2 * 16 * 16), OUT(F32, 2 * 16 * 16)},
     .grid = 2,
     .text = "kernel r w dims 0 { grid 2 local.f32 b2 256 {"
             " serial i1 16 { lanes i2 16 { store.f32 b2 (add (mul i2 16) i1)"
             "   (load.f32 b0 (add (add (mul t 256) (mul i1 16)) i2)) } }"
             " serial i3 16 { lanes i4 16 { store.f32 b1 (add (add (mul t 256) (mul i3 16)) i4)"
             "   (load.f32 b2 (add (mul i3 16) i4)) } } } }"},
    {.name = "histogram_and_offsets",
     .buffer = {{SN_U8, 300, SN_FILL_SMALL, 0}, OUT(I32, 16), OUT(I32, 16)},
     .dims = {300},
     .grid = 1,
     .text = "kernel r w w dims 1 { grid 1 local.i32 b3 16 {"
             " lanes i1 16 { store.i32 b3 i1 0:i32 }"
             " serial i2 d0 { %d = (cast.i64 (and (load.u8 b0 i2) 15:u8))"
             "   store.i32 b3 %d (add (load.i32 b3 %d) 1:i32) }"
             " lanes i3 16 { store.i32 b1 i3 (load.i32 b3 i3) }"
             " serial i4 15 { store.i32 b3 (add i4 1) (add (load.i32 b3 (add i4 1)) (load.i32 b3 i4)) }"
             " lanes i5 16 { store.i32 b2 i5 (load.i32 b3 i5) } } }"},
    {.name = "dot4_int8_matrix_vector",
     .buffer =
         {{SN_U32, 3 * 12 * 16, SN_FILL_SMALL, 0}, {SN_U32, 12, SN_FILL_SMALL, 0}, F32(48), OUT(F32, 48)},
     .dims = {12},
     .grid = 3,
     .text = "kernel r r r w dims 1 { grid 3 local.i32 b4 16 {"
             " lanes i1 16 { store.i32 b4 i1 -128:i32 }"
             " serial i2 d0 { lanes i3 16 { store.i32 b4 i3 (dot4 (load.i32 b4 i3)"
             "   (load.u32 b0 (add (mul (add (mul t d0) i2) 16) i3)) (load.u32 b1 i2)) } }"
             " lanes i4 16 { %o = (add (mul t 16) i4)"
             "   store.f32 b3 %o (mul (cast.f32 (load.i32 b4 i4)) (load.f32 b2 %o)) } } }"},
    {.name = "dot2_bf16", /* two products are exact, however the instruction rounds their sums */
     .buffer = {{SN_BF16, 2 * 3 * 16, SN_FILL_SMALL, 0}, {SN_BF16, 2, SN_FILL_SMALL, 0}, OUT(F32, 48)},
     .grid = 3,
     .text = "kernel r r w dims 0 { grid 3 lanes i1 16 { %o = (add (mul t 16) i1)"
             " store.f32 b2 %o (dot2 0:f32 (load.u32 b0 %o) (load.u32 b1 0)) } }"},
    {.name = "bf16_weights_f16_result",
     .buffer = {F32(21), {SN_BF16, 21 * 16, SN_FILL_SMALL, 0}, OUT(F16, 16)},
     .dims = {21},
     .grid = 1,
     .text = "kernel r r w dims 1 { grid 1 local.f32 b3 16 {"
             " lanes i1 16 { store.f32 b3 i1 0:f32 }"
             " serial i2 d0 { lanes i3 16 { store.f32 b3 i3 (fma (load.f32 b0 i2)"
             "   (cast.f32 (load.bf16 b1 (add (mul i2 16) i3))) (load.f32 b3 i3)) } }"
             " lanes i4 16 { store.f16 b2 i4 (mul (cast.f16 (load.f32 b3 i4)) (tanh (cast.f16 (load.f32 b3 "
             "i4)))) }"
             " } }"},
    {.name = "f8_scales_and_saturation",
     .buffer = {F32(64), OUT(F8E4M3FN, 64), OUT(F8E5M2, 64), OUT(F8E8M0, 64), OUT(F32, 64)},
     .grid = 4,
     .text = "kernel r w w w w dims 0 { grid 4 lanes i1 16 { %i = (add (mul t 16) i1)"
             " %v = (mul (load.f32 b0 %i) (cast.f32 (shl 1 (mul t 4))))"
             " store.f8e4m3fn b1 %i (cast.f8e4m3fn.sat %v)"
             " %i = (add (mul t 16) i1) %v = (mul (load.f32 b0 %i) (cast.f32 (shl 1 (mul t 4))))"
             " store.f8e5m2 b2 %i (cast.f8e5m2 %v)"
             " %i = (add (mul t 16) i1) store.f8e8m0 b3 %i (cast.f8e8m0 (abs (load.f32 b0 %i)))"
             " %i = (add (mul t 16) i1) store.f32 b4 %i (mul (cast.f32 (load.f8e4m3fn b1 %i))"
             "   (cast.f32 (load.f8e8m0 b3 %i))) } }"},
    {.name = "index_arithmetic_below_zero",
     .buffer = {OUT(I64, 4 * 64)},
     .dims = {7, -7},
     .grid = 4,
     .text =
         "kernel w dims 2 { grid 4 lanes i1 16 { %n = (sub (mul i1 3) 24) %o = (mul (add (mul t 16) i1) 4)"
         " store.i64 b0 %o (idiv %n (add t 1))"
         " %n = (sub (mul i1 3) 24) %o = (mul (add (mul t 16) i1) 4) store.i64 b0 (add %o 1) (mod %n (add t "
         "1))"
         " %n = (sub (mul i1 3) 24) %o = (mul (add (mul t 16) i1) 4) store.i64 b0 (add %o 2) (idiv %n d1)"
         " %n = (sub (mul i1 3) 24) %o = (mul (add (mul t 16) i1) 4)"
         " store.i64 b0 (add %o 3) (mod (mul %n 1000000007) (sub d0 7)) } }"},
    {.name = "threefry_rounds",
     .buffer = {OUT(U32, 64), OUT(F32, 64)},
     .dims = {12345},
     .grid = 4,
     .text = "kernel w w dims 1 { grid 4 local.u32 b2 16 { local.u32 b3 16 {"
             " lanes i1 16 { store.u32 b2 i1 (cast.u32 (add (mul t 16) i1)) store.u32 b3 i1 (cast.u32 d0) }"
             " unroll i2 5 { lanes i3 16 { store.u32 b2 i3 (add (load.u32 b2 i3) (load.u32 b3 i3))"
             "   %y = (load.u32 b3 i3) %r = (cast.u32 (add (mul i2 4) 13))"
             "   store.u32 b3 i3 (xor (load.u32 b2 i3) (or (shl %y (and %r 31:u32)) (shr %y (and (sub 32:u32 "
             "%r) 31:u32))))"
             " } }"
             " lanes i4 16 { %i = (add (mul t 16) i4) store.u32 b0 %i (load.u32 b3 i4)"
             "   %i = (add (mul t 16) i4)"
             "   store.f32 b1 %i (mul (cast.f32 (shr (load.u32 b3 i4) 8:u32)) #33800000:f32) } } } }"},
    {.name = "update_clamped_start",
     .buffer = {F32(20), F32(64), BELOW(1, 100)},
     .dims = {20, 64},
     .grid = 2,
     .text = "kernel r w r dims 2 { grid 2 lanes i1 16 { %i = (add (mul t 16) i1)"
             " %start = (min (max (load.i64 b2 0) 0) (sub d1 d0))"
             " store.f32 b1 (add %start %i) (load.f32 b0 %i (lt %i d0)) when (lt %i d0) } }"},
    {.name = "online_softmax_attention",
     .buffer = {F32(4 * 16), F32(40 * 16), F32(40 * 16), OUT(F32, 4 * 16)},
     .dims = {37},
     .grid = 4,
     .text =
         "kernel r r r w dims 1 { grid 4 local.f32 b4 16 { local.f32 b5 2 { local.f32 b6 32 { local.f32 b7 "
         "16 {"
         " lanes i1 16 { store.f32 b4 i1 0:f32 } store.f32 b5 0 -10000:f32 store.f32 b5 1 0:f32"
         " serial i2 (idiv (add d0 31) 32) {"
         "   serial i3 32 { %k = (add (mul i2 32) i3)"
         "     lanes i4 16 { %k = (add (mul i2 32) i3) store.f32 b7 i4 (mul (load.f32 b0 (add (mul t 16) i4))"
         "       (load.f32 b1 (add (mul %k 16) i4) (lt %k d0))) }"
         "     store.f32 b6 i3 (where (lt (add (mul i2 32) i3) d0) (fold.f32.add.16 b7 0) -10000:f32) }"
         "   %m = (max (load.f32 b5 0) (fold.f32.max.32 b6 0))"
         "   store.f32 b5 1 (mul (load.f32 b5 1) (exp (sub (load.f32 b5 0) %m)))"
         "   lanes i5 16 { %m = (max (load.f32 b5 0) (fold.f32.max.32 b6 0))"
         "     store.f32 b4 i5 (mul (load.f32 b4 i5) (exp (sub (load.f32 b5 0) %m))) }"
         "   store.f32 b5 0 (max (load.f32 b5 0) (fold.f32.max.32 b6 0))"
         "   serial i6 32 { %p = (exp (sub (load.f32 b6 i6) (load.f32 b5 0)))"
         "     store.f32 b5 1 (add (load.f32 b5 1) %p)"
         "     lanes i7 16 { %p = (exp (sub (load.f32 b6 i6) (load.f32 b5 0)))"
         "       %k = (add (mul i2 32) i6)"
         "       store.f32 b4 i7 (fma %p (load.f32 b2 (add (mul %k 16) i7) (lt %k d0)) (load.f32 b4 i7)) } } "
         "}"
         " lanes i8 16 { store.f32 b3 (add (mul t 16) i8) (div (load.f32 b4 i8) (load.f32 b5 1)) }"
         " } } } } }"},
    {.name = "bool_compaction",
     .buffer = {F32(100), OUT(BOOL, 100), OUT(F32, 100), OUT(I64, 1)},
     .dims = {100},
     .grid = 1,
     .text = "kernel r w w w dims 1 { grid 1 serial i1 (idiv (add d0 15) 16) { lanes i2 16 {"
             " %i = (add (mul i1 16) i2) %g = (lt %i d0) %x = (load.f32 b0 %i %g)"
             " store.bool b1 %i (xor (lt %x 0:f32) (not (lt (abs %x) 1:f32))) when %g } }"
             " serial i3 d0 { store.f32 b2 (load.i64 b3 0) (load.f32 b0 i3) when (load.bool b1 i3)"
             "   store.i64 b3 0 (add (load.i64 b3 0) (cast.i64 (load.bool b1 i3))) } }"},
    {.name = "serial_inside_lanes",
     .buffer = {F32(16 * 30), OUT(F32, 32)},
     .dims = {30},
     .grid = 1,
     .text = "kernel r w dims 1 { grid 1 local.f32 b2 32 { lanes i1 16 {"
             " store.f32 b2 i1 0:f32 store.f32 b2 (add i1 16) 1:f32"
             " serial i2 d0 { %x = (load.f32 b0 (add (mul i1 d0) i2))"
             "   store.f32 b2 i1 (add (load.f32 b2 i1) %x)"
             "   %x = (load.f32 b0 (add (mul i1 d0) i2)) store.f32 b2 (add i1 16) (mul (load.f32 b2 (add i1 "
             "16)) %x) }"
             " unroll i3 2 { store.f32 b1 (add (mul i3 16) i1) (load.f32 b2 (add i1 (mul i3 16))) } } } }"},
    {.name = "lanes_of_two_widths",
     .buffer = {F32(64), OUT(F32, 16), OUT(F32, 4)},
     .grid = 1,
     .text = "kernel r w w dims 0 { grid 1 local.f32 b3 64 {"
             " lanes i1 64 { store.f32 b3 i1 (load.f32 b0 i1) }"
             " lanes i2 16 { store.f32 b1 i2 (add (add (load.f32 b3 i2) (load.f32 b3 (add i2 16)))"
             "   (add (load.f32 b3 (add i2 32)) (load.f32 b3 (add i2 48)))) }"
             " lanes i3 4 { store.f32 b2 i3 (fold.f32.add.16 b3 (mul i3 16)) } } }"},
    {.name = "strided_and_reversed",
     .buffer = {F32(200), OUT(F32, 64)},
     .dims = {3},
     .grid = 4,
     .text = "kernel r w dims 1 { grid 4 lanes i1 16 { %i = (add (mul t 16) i1)"
             " store.f32 b1 (sub 63 %i) (add (load.f32 b0 (mul %i d0)) (load.f32 b0 (sub 199 %i))) } }"},
    {.name = "bytes_of_other_types",
     .buffer = {{SN_U8, 4 * 34, SN_FILL_SMALL, 0}, OUT(F32, 4 * 32)},
     .grid = 4,
     .text = "kernel r w dims 0 { grid 4 lanes i1 32 { %q = (load.i8 b0 (add (add (mul t 34) 2) i1))"
             " %scale = (cast.f32 (load.f16 b0 (mul t 17)))"
             " %big = (lt 100000:f32 (abs %scale)) %nan = (not (eq %scale %scale))"
             " store.f32 b1 (add (mul t 32) i1) (where (or %big %nan) 0:f32 (mul (cast.f32 %q) %scale)) } }"},
    {.name = "f64_and_i64_sums",
     .buffer = {{SN_F64, 96, SN_FILL_SMALL, 0}, {SN_I64, 96, SN_FILL_SMALL, 0}, OUT(F64, 1), OUT(I64, 1)},
     .grid = 1,
     .text =
         "kernel r r w w dims 0 { grid 1 local.f64 b4 16 { local.i64 b5 16 {"
         " lanes i1 16 { store.f64 b4 i1 0:f64 store.i64 b5 i1 0 }"
         " serial i2 6 { lanes i3 16 { %i = (add (mul i2 16) i3)"
         "   store.f64 b4 i3 (fma (load.f64 b0 %i) (load.f64 b0 %i) (load.f64 b4 i3))"
         "   store.i64 b5 i3 (add (load.i64 b5 i3) (load.i64 b1 (add (mul i2 16) i3))) } }"
         " store.f64 b2 0 (exp (neg (fold.f64.add.16 b4 0))) store.i64 b3 0 (fold.i64.xor.16 b5 0) } } }"},
    {.name = "unrolled_nests",
     .buffer = {F32(4 * 4 * 16), OUT(F32, 4 * 16)},
     .grid = 1,
     .text = "kernel r w dims 0 { grid 1 unroll i1 4 { local.f32 b2 16 {"
             " lanes i2 16 { store.f32 b2 i2 0:f32 }"
             " unroll i3 4 { lanes i4 16 { store.f32 b2 i4 (max (load.f32 b2 i4)"
             "   (load.f32 b0 (add (add (mul i1 64) (mul i3 16)) i4))) } }"
             " lanes i5 16 { store.f32 b1 (add (mul i1 16) i5) (load.f32 b2 i5) } } } }"},
    {.name = 0},
};
