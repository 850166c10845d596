/* dialect.c -- C11 and OpenCL C 1.2 as tables, and the functions that printed kernels call.
 *
 * The functions are the scalar ops of prims.def, one a dtype, as sn_scalar_apply and sn_scalar_cast define
 * them; they are made by macros in the printed text itself, which both languages read. f16, bf16 and f8 are
 * bits. */
#include "backends/clike/clike.h"

/* GCC would unroll lanes first and then find no vectors; sums stay in registers where the rest is unrolled.
 * Elements are found by unsigned numbers, as terms wrap: that they are neighbours is then plain. */
static const char c_head[] =
    "#include <math.h>\n"
    "#include <stdint.h>\n"
    "#include <string.h>\n"
    "typedef int8_t i8;\ntypedef int16_t i16;\ntypedef int32_t i32;\ntypedef int64_t i64;\n"
    "typedef uint8_t u8;\ntypedef uint16_t u16;\ntypedef uint32_t u32;\ntypedef uint64_t u64;\n"
    "typedef float f32;\ntypedef double f64;\n"
    "#ifdef __GNUC__\n#define FN __attribute__((unused)) static inline\n"
    "#else\n#define FN static inline\n#endif\n"
    "#if defined(__GNUC__) && !defined(__clang__)\n"
    "#define LANES  _Pragma(\"GCC unroll 1\")\n#define UNROLL _Pragma(\"GCC unroll 64\")\n"
    "#else\n#define LANES\n#define UNROLL\n#endif\n"
    "FN f32 bits_f32(u32 u) { f32 v; memcpy(&v, &u, 4); return v; }\n"
    "FN f64 bits_f64(u64 u) { f64 v; memcpy(&v, &u, 8); return v; }\n"
    "FN u32 bits_of_f32(f32 v) { u32 u; memcpy(&u, &v, 4); return u; }\n"
    "FN u64 bits_of_f64(f64 v) { u64 u; memcpy(&u, &v, 8); return u; }\n"
    "#define abs_f32 fabsf\n#define floor_f32 floorf\n#define round_f32 rintf\n#define sqrt_f32 sqrtf\n"
    "#define fma_f32 fmaf\n#define fmod_f32 fmodf\n#define copysign_f32 copysignf\n"
    "#define abs_f64 fabs\n#define floor_f64 floor\n#define round_f64 rint\n#define sqrt_f64 sqrt\n"
    "#define fma_f64 fma\n#define fmod_f64 fmod\n#define copysign_f64 copysign\n"
    "#define MEMORY(T) \\\n"
    "FN T load_##T(const u8 *b, i64 i) { T v; memcpy(&v, b + (u64)i * sizeof v, sizeof v); return v; } \\\n"
    "FN void store_##T(u8 *b, i64 i, T v) { memcpy(b + (u64)i * sizeof v, &v, sizeof v); }\n"
    "FN void tile_zero(u8 *c) { memset(c, 0, 1024); }\n"
    "FN void tile_load(u8 *c, const void *p, i64 offset, i64 stride)\n"
    "{ for (i64 r = 0; r < 16; r++) memcpy(c + r * 64, (const u8 *)p + offset + r * stride, 64); }\n"
    "FN void tile_store(const u8 *c, void *p, i64 offset, i64 stride)\n"
    "{ for (i64 r = 0; r < 16; r++) memcpy((u8 *)p + offset + r * stride, c + r * 64, 64); }\n";

static const char opencl_head[] =
    "#pragma OPENCL FP_CONTRACT OFF\n"
    "typedef char i8;\ntypedef short i16;\ntypedef int i32;\ntypedef long i64;\n"
    "typedef uchar u8;\ntypedef ushort u16;\ntypedef uint u32;\ntypedef ulong u64;\ntypedef float f32;\n"
    "#define FN static\n"
    "#define bits_f32 as_float\n#define bits_of_f32 as_uint\n"
    "#define abs_f32 fabs\n#define floor_f32 floor\n#define round_f32 rint\n#define sqrt_f32 sqrt\n"
    "#define fma_f32 fma\n#define fmod_f32 fmod\n#define copysign_f32 copysign\n"
    "#ifdef HAS_F64\n"
    "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n"
    "typedef double f64;\n"
    "#define bits_f64 as_double\n#define bits_of_f64 as_ulong\n"
    "#define abs_f64 fabs\n#define floor_f64 floor\n#define round_f64 rint\n#define sqrt_f64 sqrt\n"
    "#define fma_f64 fma\n#define fmod_f64 fmod\n#define copysign_f64 copysign\n"
    "#endif\n"
    "#define MEMORY(T) \\\n"
    "FN T load_##T(__global const uchar *b, i64 i) { return ((__global const T *)b)[i]; } \\\n"
    "FN void store_##T(__global uchar *b, i64 i, T v) { ((__global T *)b)[i] = v; }\n";

/* T: the type, U: its unsigned one, C: the one to compute in, N: bits. */
static const char integers[] =
    "typedef u8 b8;\ntypedef u16 f16;\ntypedef u16 bf16;\ntypedef u8 f8e4m3fn;\ntypedef u8 f8e5m2;\n"
    "typedef u8 f8e4m3fnuz;\ntypedef u8 f8e5m2fnuz;\ntypedef u8 f8e8m0;\n"
    "#define INTEGER(T, U, C, N) \\\n"
    "FN T neg_##T(T a) { return (T)(U)(0 - (C)a); } \\\n"
    "FN T not_##T(T a) { return (T)~a; } \\\n"
    "FN T add_##T(T a, T b) { return (T)(U)((C)a + (C)b); } \\\n"
    "FN T sub_##T(T a, T b) { return (T)(U)((C)a - (C)b); } \\\n"
    "FN T mul_##T(T a, T b) { return (T)(U)((C)a * (C)b); } \\\n"
    "FN T and_##T(T a, T b) { return (T)(a & b); } \\\n"
    "FN T or_##T(T a, T b) { return (T)(a | b); } \\\n"
    "FN T xor_##T(T a, T b) { return (T)(a ^ b); } \\\n"
    "FN T shl_##T(T a, T b) { return (U)b >= N ? (T)0 : (T)(U)((C)a << (U)b); } \\\n"
    "FN T min_##T(T a, T b) { return a < b ? a : b; } \\\n"
    "FN T max_##T(T a, T b) { return a < b ? b : a; } \\\n"
    "FN b8 lt_##T(T a, T b) { return (b8)(a < b); } \\\n"
    "FN b8 eq_##T(T a, T b) { return (b8)(a == b); }\n"
    "#define SIGNED(T, U, C, N) INTEGER(T, U, C, N) \\\n"
    "FN T abs_##T(T a) { return a < 0 ? neg_##T(a) : a; } \\\n"
    "FN T shr_##T(T a, T b) \\\n"
    "{ const U n = (U)b >= N ? (U)(N - 1) : (U)b; return a < 0 ? (T)~((U)~a >> n) : (T)((U)a >> n); } \\\n"
    "FN T idiv_##T(T a, T b) \\\n"
    "{ if (b == 0) return 0; if (b == -1) return neg_##T(a); \\\n"
    "  return (T)(a / b - (a % b != 0 && (a < 0) != (b < 0))); } \\\n"
    "FN T mod_##T(T a, T b) \\\n"
    "{ if (b == 0) return a; if (b == -1) return 0; \\\n"
    "  const T r = (T)(a % b); return r != 0 && (r < 0) != (b < 0) ? (T)(r + b) : r; }\n"
    "#define UNSIGNED(T, C, N) INTEGER(T, T, C, N) \\\n"
    "FN T abs_##T(T a) { return a; } \\\n"
    "FN T shr_##T(T a, T b) { return b >= N ? (T)0 : (T)(a >> b); } \\\n"
    "FN T idiv_##T(T a, T b) { return b == 0 ? (T)0 : (T)(a / b); } \\\n"
    "FN T mod_##T(T a, T b) { return b == 0 ? a : (T)(a % b); }\n"
    "SIGNED(i8, u8, u32, 8) SIGNED(i16, u16, u32, 16) SIGNED(i32, u32, u32, 32) SIGNED(i64, u64, u64, 64)\n"
    "UNSIGNED(u8, u32, 8) UNSIGNED(u16, u32, 16) UNSIGNED(u32, u32, 32) UNSIGNED(u64, u64, 64)\n"
    "FN b8 not_b8(b8 a) { return (b8)(a == 0); }\n"
    "FN b8 and_b8(b8 a, b8 b) { return (b8)(a & b); }\nFN b8 or_b8(b8 a, b8 b) { return (b8)(a | b); }\n"
    "FN b8 xor_b8(b8 a, b8 b) { return (b8)(a ^ b); }\nFN b8 eq_b8(b8 a, b8 b) { return (b8)(a == b); }\n"
    "FN b8 lt_b8(b8 a, b8 b) { return (b8)(a < b); }\nFN b8 min_b8(b8 a, b8 b) { return (b8)(a & b); }\n"
    "FN b8 max_b8(b8 a, b8 b) { return (b8)(a | b); }\n"
    "MEMORY(i8) MEMORY(i16) MEMORY(i32) MEMORY(i64) MEMORY(u8) MEMORY(u16) MEMORY(u32) MEMORY(u64)\n"
    "MEMORY(b8) MEMORY(f16) MEMORY(bf16) MEMORY(f8e4m3fn) MEMORY(f8e5m2) MEMORY(f8e4m3fnuz)\n"
    "MEMORY(f8e5m2fnuz) MEMORY(f8e8m0)\n";

/* N: bits of F; END: 2^(bits of the integer, without sign). */
static const char floats[] =
    "#define FLOATING(F, N) MEMORY(F) \\\n"
    "FN F neg_##F(F a) { return -a; } \\\n"
    "FN F add_##F(F a, F b) { return a + b; } \\\n"
    "FN F sub_##F(F a, F b) { return a - b; } \\\n"
    "FN F mul_##F(F a, F b) { return a * b; } \\\n"
    "FN F div_##F(F a, F b) { return a / b; } \\\n"
    "FN b8 minus_##F(F a) { return (b8)(bits_of_##F(a) >> (N - 1)); } \\\n"
    "FN F min_##F(F a, F b) \\\n"
    "{ return a != a ? a : b != b ? b : a == b ? (minus_##F(a) ? a : b) : a < b ? a : b; } \\\n"
    "FN F max_##F(F a, F b) \\\n"
    "{ return a != a ? a : b != b ? b : a == b ? (minus_##F(a) ? b : a) : a > b ? a : b; } \\\n"
    "FN F mod_##F(F a, F b) \\\n"
    "{ if (b == 0) return a; const F r = fmod_##F(a, b); \\\n"
    "  return r == 0 ? copysign_##F((F)0, b) : (r < 0) != (b < 0) ? r + b : r; } \\\n"
    "FN b8 lt_##F(F a, F b) { return (b8)(a < b); } \\\n"
    "FN b8 eq_##F(F a, F b) { return (b8)(a == b); } \\\n"
    "TO_SIGNED(F, i8, u8, 128) TO_SIGNED(F, i16, u16, 32768) TO_SIGNED(F, i32, u32, 2147483648) \\\n"
    "TO_SIGNED(F, i64, u64, 9223372036854775808) TO_UNSIGNED(F, u8, 256) TO_UNSIGNED(F, u16, 65536) \\\n"
    "TO_UNSIGNED(F, u32, 4294967296) TO_UNSIGNED(F, u64, 18446744073709551616)\n"
    "#define TO_SIGNED(F, T, U, END) FN T to_##T##_##F(F x) \\\n"
    "{ return x != x ? (T)0 : x >= (F)END##.0f ? (T)((U)~(U)0 >> 1) : x > -(F)END##.0f ? (T)x \\\n"
    "    : (T)((U)~((U)~(U)0 >> 1)); }\n"
    "#define TO_UNSIGNED(F, T, END) FN T to_##T##_##F(F x) \\\n"
    "{ return x >= (F)END##.0f ? (T)~(T)0 : x > 0 ? (T)x : (T)0; }\n"
    "FLOATING(f32, 32)\n"
    "#ifdef HAS_F64\nFLOATING(f64, 64)\n#endif\n";

/* The rows of NARROW are the formats of dtype.c: exponent bits, mantissa bits, bias, largest finite code,
 * code of infinity (or of what overflows), NaN, one zero, NaN with payload, and whether a cast can saturate.
 */
static const char narrow[] =
    "FN u32 encode(f32 v, int ebits, int mbits, int bias, u32 most, u32 over, u32 nan, int fnuz, int ieee)\n"
    "{\n"
    "    const u32 bits = bits_of_f32(v), m = bits & 0x7FFFFFFFu, sign = (bits >> 31) << (ebits + mbits);\n"
    "    u32 code = over;\n"
    "    if (m > 0x7F800000u) {\n"
    "        code = ieee ? nan | (m & 0x7FFFFFu) >> (23 - mbits) : nan;\n"
    "    } else if (m < 0x7F800000u) {\n"
    "        const int e = (m >> 23 != 0 ? (int)(m >> 23) : 1) - 127, above = e - (1 - bias);\n"
    "        const u32 fraction = (m & 0x7FFFFFu) | (m >> 23 != 0 ? 0x800000u : 0u);\n"
    "        const int shift = 23 - mbits + (above < 0 ? -above : 0);\n"
    "        code = 0;\n"
    "        if (shift <= 24) {\n"
    "            const u32 q = fraction >> shift, rest = fraction & ((1u << shift) - 1);\n"
    "            const u32 middle = 1u << (shift - 1), up = rest > middle || (rest == middle && (q & 1));\n"
    "            code = (above > 0 ? (u32)above << mbits : 0) + q + up;\n"
    "            code = code > most ? over : code;\n"
    "        }\n"
    "    }\n"
    "    return fnuz && (code == 0 || code == nan) ? code : sign | code;\n"
    "}\n"
    "FN f32 decode(u32 code, int ebits, int mbits, int bias, u32 most, u32 inf, u32 nan, int fnuz)\n"
    "{\n"
    "    const u32 top = 1u << (ebits + mbits), sign = (code & top) != 0 ? 0x80000000u : 0u;\n"
    "    const u32 m = code & (top - 1), fraction = m & ((1u << mbits) - 1), e = m >> mbits;\n"
    "    if (fnuz && code == nan) return bits_f32(0x7FC00000u);\n"
    "    const u32 moved = fraction << (23 - mbits);\n"
    "    if (m > most) return bits_f32(sign | (m == inf ? 0x7F800000u : 0x7FC00000u | moved));\n"
    "    if (e != 0) return bits_f32(sign | (u32)((int)e - bias + 127) << 23 | moved);\n"
    "    const f32 v = (f32)fraction * bits_f32((u32)(128 - bias - mbits) << 23);\n"
    "    return sign != 0 ? -v : v;\n"
    "}\n"
    "#define NARROW(T, E, M, BIAS, MOST, INF, OVER, NAN_CODE, FNUZ, IEEE) \\\n"
    "FN T narrow_##T(f32 v, int sat) \\\n"
    "{ return (T)encode(v, E, M, BIAS, MOST, sat && !(IEEE) ? MOST : OVER, NAN_CODE, FNUZ, IEEE); } \\\n"
    "FN f32 widen_##T(T v) { return decode(v, E, M, BIAS, MOST, INF, NAN_CODE, FNUZ); }\n"
    "NARROW(f16, 5, 10, 15, 0x7BFFu, 0x7C00u, 0x7C00u, 0x7E00u, 0, 1)\n"
    "NARROW(f8e4m3fn, 4, 3, 7, 0x7Eu, 0u, 0x7Fu, 0x7Fu, 0, 0)\n"
    "NARROW(f8e5m2, 5, 2, 15, 0x7Bu, 0x7Cu, 0x7Cu, 0x7Fu, 0, 0)\n"
    "NARROW(f8e4m3fnuz, 4, 3, 8, 0x7Fu, 0u, 0x80u, 0x80u, 1, 0)\n"
    "NARROW(f8e5m2fnuz, 5, 2, 16, 0x7Fu, 0u, 0x80u, 0x80u, 1, 0)\n"
    "FN bf16 narrow_bf16(f32 v, int sat)\n"
    "{ const u32 u = bits_of_f32(v); (void)sat;\n"
    "  return v != v ? (bf16)(u >> 16 | 0x40u) : (bf16)((u + 0x7FFFu + (u >> 16 & 1)) >> 16); }\n"
    "FN f32 widen_bf16(bf16 v) { return bits_f32((u32)v << 16); }\n"
    "FN f8e8m0 narrow_f8e8m0(f32 v, int sat)\n"
    "{ const u32 m = bits_of_f32(v) & 0x7FFFFFFFu;\n"
    "  if (v != v || v < 0) return 0xFF;\n"
    "  const u32 code = m < 0x800000u ? (u32)(m >= 0x600000u) : (m + 0x400000u) >> 23;\n"
    "  return (f8e8m0)(code > 254 ? (sat ? 254 : 0xFF) : code); }\n"
    "FN f32 widen_f8e8m0(f8e8m0 v)\n"
    "{ return bits_f32(v == 0xFF ? 0x7FC00000u : v == 0 ? 0x00400000u : (u32)v << 23); }\n"
    "FN i32 dot4(i32 acc, u32 a, u32 b)\n"
    "{ u32 sum = (u32)acc; for (int j = 0; j < 32; j += 8)\n"
    "      sum += (a >> j & 0xFFu) * (((b >> j & 0xFFu) ^ 0x80u) - 0x80u);\n"
    "  return (i32)sum; }\n"
    "FN f32 dot2(f32 acc, u32 a, u32 b)\n"
    "{ for (int j = 0; j < 32; j += 16)\n"
    "      acc = fma_f32(widen_bf16((bf16)(a >> j)), widen_bf16((bf16)(b >> j)), acc);\n"
    "  return acc; }\n";

static const char tiles[] =
    "FN void tile_dot_bf16(u8 *c, const u8 *a, const u8 *b)\n"
    "{ for (i64 m = 0; m < 16; m++) for (i64 n = 0; n < 16; n++) {\n"
    "      f32 sum = load_f32(c, m * 16 + n);\n"
    "      for (i64 k = 0; k < 32; k++)\n"
    "          sum = fma_f32(widen_bf16(load_bf16(a, m * 32 + k)),\n"
    "                        widen_bf16(load_bf16(b, k / 2 * 32 + n * 2 + k % 2)), sum);\n"
    "      store_f32(c, m * 16 + n, sum); } }\n"
    "FN void tile_dot_u8(u8 *c, const u8 *a, const u8 *b)\n"
    "{ for (i64 m = 0; m < 16; m++) for (i64 n = 0; n < 16; n++) {\n"
    "      i32 sum = load_i32(c, m * 16 + n);\n"
    "      for (i64 k = 0; k < 16; k++) sum = dot4(sum, load_u32(a, m * 16 + k), load_u32(b, k * 16 + n));\n"
    "      store_i32(c, m * 16 + n, sum); } }\n";

const SnDialect sn_dialect_c = {
    .name = "C",
    .head = c_head,
    .kernel = "void ",
    .read = "    const unsigned char *restrict p# = (const unsigned char *)buffers[#];\n",
    .write = "    unsigned char *restrict p# = (unsigned char *)buffers[#];\n",
    .dim = "    const i64 d# = dims[#]; (void)d#;\n",
    .wide = "ULL",
    .shared = "",
    .barrier = "",
    .has_tiles = true,
};

const SnDialect sn_dialect_opencl = {
    .name = "OpenCL C",
    .head = opencl_head,
    .kernel = "__kernel __attribute__((reqd_work_group_size(#, 1, 1))) void ",
    .read = "__global const uchar *restrict p#, ",
    .write = "__global uchar *restrict p#, ",
    .dim = "const i64 d#, ",
    .wide = "UL",
    .shared = "__local ",
    .barrier = "barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);",
    .is_grouped = true,
};

void sn_clike_prelude(const SnDialect *d, bool has_f64, SnText *out)
{
    const char *const part[] = {
        has_f64 ? "#define HAS_F64 1\n" : "", d->head, integers, floats, narrow, d->has_tiles ? tiles : ""};
    for (size_t i = 0; i < SN_COUNT(part); i++)
        sn_text_add(out, part[i], strlen(part[i]));
}
