/* dtype.h -- facts about dtypes and scalar conversions. */
#ifndef SN_DTYPE_H
#define SN_DTYPE_H

#include "runtime/memory.h"

typedef enum SnDtypeKind { SN_KIND_BOOL, SN_KIND_INT, SN_KIND_UINT, SN_KIND_FLOAT } SnDtypeKind;

typedef struct SnDtypeInfo {
    const char *name, *safetensors;
    uint8_t size, dlpack_code, bits, onnx;
    SnDtypeKind kind;
} SnDtypeInfo;

const SnDtypeInfo *sn_dtype(SnDtype d);
SnDtype sn_dtype_find(const char *name, size_t n);        /* "f32"; SN_NODTYPE: none */
SnDtype sn_dtype_safetensors(const char *name, size_t n); /* "F32" */
SnDtype sn_dtype_dlpack(uint8_t code, uint8_t bits);
static inline size_t sn_dtype_size(SnDtype d)
{
    return sn_dtype(d)->size;
}
static inline bool sn_dtype_is_float(SnDtype d)
{
    return sn_dtype(d)->kind == SN_KIND_FLOAT;
}
static inline bool sn_dtype_is_int(SnDtype d) /* bool excluded */
{
    return sn_dtype(d)->kind == SN_KIND_INT || sn_dtype(d)->kind == SN_KIND_UINT;
}

/* Round to nearest even; NaN stays a (quiet) NaN. */
float sn_f16_to_f32(uint16_t h);
uint16_t sn_f32_to_f16(float f);
float sn_bf16_to_f32(uint16_t h);
uint16_t sn_f32_to_bf16(float f);
float sn_f8_to_f32(SnDtype f8, uint8_t v);
uint8_t sn_f32_to_f8(SnDtype f8, float f, bool saturate);

/* One element of any dtype, widened: floats as f64, signed and bool as i64, unsigned as u64 bits. The value
 * type of eval and interp. */
typedef union SnScalar {
    double f;
    int64_t i;
    uint64_t u;
} SnScalar;
SnScalar sn_scalar_load(SnDtype d, const void *at);
void sn_scalar_store(SnDtype d, void *at, SnScalar v); /* floats are rounded to d; ints wrap */
/* The cast of prims.def: float to int truncates, saturates, NaN gives 0; int to int wraps; to bool: != 0. */
SnScalar sn_scalar_cast(SnDtype from, SnDtype to, SnScalar v, bool saturate);
SnScalar sn_scalar_round_to(SnDtype d, SnScalar v); /* v as d would hold it */

#endif
