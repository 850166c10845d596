/* dlpack.h -- the public memory layout of DLPack 1.x, under our own names so that it coexists with dlpack.h:
 * pointers may be cast either way. https://dmlc.github.io/dlpack/latest/c_api.html */
#ifndef SN_DLPACK_H
#define SN_DLPACK_H

#include <stdint.h>

#define SN_DLPACK_MAJOR 1u
#define SN_DLPACK_MINOR 0u

#define SN_DL_CPU       1         /* SnDlDevice.type */
#define SN_DL_READ_ONLY (1u << 0) /* SnDlVersioned.flags */

typedef struct SnDlDevice {
    int32_t type, id;
} SnDlDevice;

typedef struct SnDlDtype {
    uint8_t code, bits;
    uint16_t lanes;
} SnDlDtype;

typedef struct SnDlTensor {
    void *data;
    SnDlDevice device;
    int32_t ndim;
    SnDlDtype dtype;
    int64_t *shape;
    int64_t *strides; /* in elements; NULL: dense row-major */
    uint64_t byte_offset;
} SnDlTensor;

/* DLManagedTensor: before 1.0, without a version. */
typedef struct SnDlManaged SnDlManaged;
struct SnDlManaged {
    SnDlTensor tensor;
    void *manager;
    void (*deleter)(SnDlManaged *self); /* may be NULL */
};

typedef struct SnDlVersion {
    uint32_t major, minor;
} SnDlVersion;

/* DLManagedTensorVersioned. */
typedef struct SnDlVersioned SnDlVersioned;
struct SnDlVersioned {
    SnDlVersion version;
    void *manager;
    void (*deleter)(SnDlVersioned *self); /* may be NULL */
    uint64_t flags;
    SnDlTensor tensor;
};

#endif
