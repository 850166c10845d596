/* device.c -- the module sinter-opencl.so: kernels on OpenCL devices, through the ICD loader.
 *
 * A thin device: a tile is a work group; buffers are the host's memory, lent to the driver for the length of
 * a call (what a driver copies, it copies each time). clike prints the kernels; the driver compiles them when
 * a module is built. Devices are counted over all platforms, in the loader's order.
 *
 * Khronos, "The OpenCL Specification", version 1.2. */
#define CL_TARGET_OPENCL_VERSION 120

#include "backends/clike/clike.h"

#include <CL/cl.h>
#include <CL/cl_ext.h>
#include <inttypes.h>
#include <stdio.h>

#define MAX_DEVICES 16
#define NO_DRIVER   (-1001) /* CL_PLATFORM_NOT_FOUND_KHR: the loader knows no driver */

typedef struct Kernel {
    const char *name;
    uint32_t lanes;
    int nbuf, ndim;
    uint32_t written; /* bit per buffer */
} Kernel;

typedef struct Module {
    SnModule base;
    const SnAllocator *memory;
    SnArena arena;
    Kernel *kernel; /* nkernel */
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
} Module;

/* ---- errors ---- */

static SnStatus fail_call(SnError *err, const char *call, cl_int code)
{
    static const struct {
        cl_int code;
        const char *what;
    } known[] = {{CL_DEVICE_NOT_AVAILABLE, "the device is not available"},
                 {CL_OUT_OF_RESOURCES, "the device is out of resources"},
                 {CL_OUT_OF_HOST_MEMORY, "the driver is out of memory"},
                 {CL_MEM_OBJECT_ALLOCATION_FAILURE, "the device is out of memory"},
                 {CL_INVALID_BUFFER_SIZE, "a buffer is too large for the device"},
                 {CL_INVALID_WORK_GROUP_SIZE, "the device does not take this group size"}};
    for (size_t i = 0; i < SN_COUNT(known); i++)
        if (known[i].code == code)
            return sn_fail(err, SN_EDEVICE, "opencl: %s: %s", call, known[i].what);
    return sn_fail(err, SN_EDEVICE, "opencl: %s: error %d", call, (int)code);
}

#define CL_TRY(call, code)                                                                                   \
    do {                                                                                                     \
        const cl_int cl_try_ = (code);                                                                       \
        if (cl_try_ != CL_SUCCESS)                                                                           \
            return fail_call(err, (call), cl_try_);                                                          \
    } while (0)

/* ---- devices ---- */

static SnStatus find_device(int index, cl_device_id *out, SnError *err)
{
    cl_platform_id platform[MAX_DEVICES];
    cl_uint nplatform = 0;
    const cl_int code = clGetPlatformIDs(MAX_DEVICES, platform, &nplatform);
    SN_CHECK(code != NO_DRIVER, err, SN_EUNSUPPORTED, "opencl: no driver is installed");
    CL_TRY("clGetPlatformIDs", code);
    int seen = 0;
    for (cl_uint i = 0; i < nplatform && i < MAX_DEVICES; i++) {
        cl_device_id device[MAX_DEVICES];
        cl_uint n = 0;
        /* A platform may have none. */
        if (clGetDeviceIDs(platform[i], CL_DEVICE_TYPE_ALL, MAX_DEVICES, device, &n) != CL_SUCCESS)
            continue;
        n = n < MAX_DEVICES ? n : MAX_DEVICES;
        if (index >= seen && index - seen < (int)n) {
            *out = device[index - seen];
            return SN_OK;
        }
        seen += (int)n;
    }
    return sn_fail(err, SN_EUNSUPPORTED, "opencl:%d: this machine has %d OpenCL devices", index, seen);
}

/* The level of a target names the device. */
static const char *const index_name[MAX_DEVICES] = {"0", "1", "2",  "3",  "4",  "5",  "6",  "7",
                                                    "8", "9", "10", "11", "12", "13", "14", "15"};

static SnStatus opencl_probe(SnContext *ctx, int index, SnTarget *t, SnError *err)
{
    (void)ctx;
    cl_device_id device;
    size_t group = 0;
    cl_ulong cache = 0;
    SN_CHECK(index >= 0 && index < MAX_DEVICES, err, SN_EINVAL, "opencl:%d: devices are 0 to %d", index,
             MAX_DEVICES - 1);
    SN_TRY(find_device(index, &device, err));
    CL_TRY("clGetDeviceInfo",
           clGetDeviceInfo(device, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof group, &group, NULL));
    CL_TRY("clGetDeviceInfo",
           clGetDeviceInfo(device, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, sizeof cache, &cache, NULL));
    *t = (SnTarget){.name = "opencl",
                    .level = index_name[index],
                    .vector_bytes = 64,
                    .vector_count = 32,
                    .l1_bytes = 16 << 10,
                    .l2_bytes = cache != 0 && cache < UINT32_MAX ? (uint32_t)cache : 1u << 20,
                    .has_dot4 = true,
                    .group_lanes = (uint32_t)(group < UINT32_MAX ? group : UINT32_MAX)};
    return SN_OK;
}

/* ---- building ---- */

static void opencl_destroy(SnModule *module)
{
    if (module == NULL)
        return;
    Module *m = (Module *)module;
    if (m->program != NULL)
        clReleaseProgram(m->program);
    if (m->queue != NULL)
        clReleaseCommandQueue(m->queue);
    if (m->context != NULL)
        clReleaseContext(m->context);
    const SnAllocator *memory = m->memory;
    sn_arena_clear(&m->arena);
    sn_free(memory, m, sizeof *m, _Alignof(Module));
}

static void kernel_symbol(uint32_t i, char out[32])
{
    (void)snprintf(out, 32, "sn_k%" PRIu32, i);
}

static SnStatus print_kernels(Module *m, const SnTarget *t, const SnKernel *const *k, SnText *text,
                              SnError *err)
{
    bool has_f64 = false;
    for (uint32_t i = 0; i < m->base.nkernel; i++)
        has_f64 = has_f64 || sn_clike_uses_f64(k[i], &m->arena);
    cl_device_fp_config f64 = 0;
    if (has_f64)
        (void)clGetDeviceInfo(m->device, CL_DEVICE_DOUBLE_FP_CONFIG, sizeof f64, &f64, NULL);
    SN_CHECK(!has_f64 || f64 != 0, err, SN_EUNSUPPORTED, "opencl:%s: the device has no f64", t->level);
    sn_clike_prelude(&sn_dialect_opencl, has_f64, text);
    for (uint32_t i = 0; i < m->base.nkernel; i++) {
        Kernel *out = &m->kernel[i];
        char symbol[32];
        kernel_symbol(i, symbol);
        *out = (Kernel){.nbuf = k[i]->nbuf, .ndim = k[i]->ndim};
        for (int b = 0; b < k[i]->nbuf; b++)
            out->written |= k[i]->buf[b].is_written ? 1u << b : 0;
        out->name = sn_arena_strndup(&m->arena, k[i]->name, strlen(k[i]->name));
        SN_CHECK(out->name != NULL, err, SN_ENOMEM, "no memory for a kernel name");
        SN_TRY(sn_clike_print(&sn_dialect_opencl, k[i], symbol, text, &out->lanes, err));
        SN_CHECK(out->lanes <= t->group_lanes, err, SN_EUNSUPPORTED, "kernel %s: %u lanes, opencl:%s has %u",
                 out->name, out->lanes, t->level, t->group_lanes);
    }
    return SN_OK;
}

static SnStatus compile(Module *m, const SnText *text, SnError *err)
{
    cl_device_fp_config f32 = 0;
    (void)clGetDeviceInfo(m->device, CL_DEVICE_SINGLE_FP_CONFIG, sizeof f32, &f32, NULL);
    const char *options = (f32 & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT) != 0
                              ? "-cl-std=CL1.2 -cl-fp32-correctly-rounded-divide-sqrt"
                              : "-cl-std=CL1.2";
    const char *source = text->at;
    cl_int code;
    m->program = clCreateProgramWithSource(m->context, 1, &source, &text->n, &code);
    CL_TRY("clCreateProgramWithSource", code);
    code = clBuildProgram(m->program, 1, &m->device, options, NULL, NULL);
    if (code != CL_BUILD_PROGRAM_FAILURE) {
        CL_TRY("clBuildProgram", code);
        return SN_OK;
    }
    size_t size = 0;
    (void)clGetProgramBuildInfo(m->program, m->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
    char *log = (char *)sn_arena_alloc(&m->arena, size + 1);
    if (log != NULL)
        (void)clGetProgramBuildInfo(m->program, m->device, CL_PROGRAM_BUILD_LOG, size, log, NULL);
    return sn_fail(err, SN_EINTERNAL, "opencl: the driver refused the kernels: %s", log != NULL ? log : "");
}

static int device_index(const char *level)
{
    int i = 0;
    while (i < MAX_DEVICES - 1 && strcmp(index_name[i], level) != 0)
        i++;
    return i;
}

static SnStatus build(Module *m, const SnTarget *t, const SnKernel *const *k, SnText *text, SnError *err)
{
    m->kernel = (Kernel *)sn_arena_array(&m->arena, m->base.nkernel, sizeof *m->kernel);
    SN_CHECK(m->kernel != NULL, err, SN_ENOMEM, "no memory for %u kernels", m->base.nkernel);
    SN_TRY(find_device(device_index(t->level), &m->device, err));
    SN_TRY(print_kernels(m, t, k, text, err));
    cl_int code;
    m->context = clCreateContext(NULL, 1, &m->device, NULL, NULL, &code);
    CL_TRY("clCreateContext", code);
    m->queue = clCreateCommandQueue(m->context, m->device, 0, &code);
    CL_TRY("clCreateCommandQueue", code);
    return compile(m, text, err);
}

/* ---- running ---- */

typedef struct Launch {
    Module *m;
    const Kernel *k;
    cl_kernel kernel;
    cl_mem mem[SN_KERNEL_BUFFERS];
} Launch;

static SnStatus set_arguments(Launch *l, void *const *buffers, const uint64_t *sizes, const int64_t *dims,
                              int64_t first, SnError *err)
{
    const size_t least = 64; /* of a buffer: none may be empty */
    cl_uint arg = 0;
    cl_int code;
    for (int i = 0; i < l->k->nbuf; i++, arg++) {
        const cl_mem_flags access = (l->k->written >> i & 1) != 0 ? CL_MEM_READ_WRITE : CL_MEM_READ_ONLY;
        const bool is_empty = sizes[i] == 0 || buffers[i] == NULL;
        l->mem[i] = clCreateBuffer(l->m->context, access | (is_empty ? 0 : CL_MEM_USE_HOST_PTR),
                                   is_empty ? least : (size_t)sizes[i], is_empty ? NULL : buffers[i], &code);
        CL_TRY("clCreateBuffer", code);
        CL_TRY("clSetKernelArg", clSetKernelArg(l->kernel, arg, sizeof l->mem[i], &l->mem[i]));
    }
    for (int i = 0; i < l->k->ndim; i++, arg++)
        CL_TRY("clSetKernelArg", clSetKernelArg(l->kernel, arg, sizeof dims[i], &dims[i]));
    CL_TRY("clSetKernelArg", clSetKernelArg(l->kernel, arg, sizeof first, &first));
    return SN_OK;
}

/* Mapping a buffer brings what the device wrote to the host's memory. */
static SnStatus fetch_results(const Launch *l, const uint64_t *sizes, SnError *err)
{
    for (int i = 0; i < l->k->nbuf; i++) {
        if ((l->k->written >> i & 1) == 0 || sizes[i] == 0)
            continue;
        cl_int code;
        void *at = clEnqueueMapBuffer(l->m->queue, l->mem[i], CL_TRUE, CL_MAP_READ, 0, (size_t)sizes[i], 0,
                                      NULL, NULL, &code);
        CL_TRY("clEnqueueMapBuffer", code);
        CL_TRY("clEnqueueUnmapMemObject", clEnqueueUnmapMemObject(l->m->queue, l->mem[i], at, 0, NULL, NULL));
    }
    CL_TRY("clFinish", clFinish(l->m->queue));
    return SN_OK;
}

static SnStatus launch(Launch *l, uint32_t i, void *const *buffers, const uint64_t *sizes,
                       const int64_t *dims, int64_t first, int64_t last, SnError *err)
{
    char symbol[32];
    cl_int code;
    kernel_symbol(i, symbol);
    l->kernel = clCreateKernel(l->m->program, symbol, &code);
    CL_TRY("clCreateKernel", code);
    SN_TRY(set_arguments(l, buffers, sizes, dims, first, err));
    const size_t group = l->k->lanes;
    size_t items;
    SN_CHECK(sn_mul_size((size_t)(last - first), group, &items), err, SN_ESHAPE,
             "kernel %s: %" PRId64 " tiles", l->k->name, last - first);
    CL_TRY("clEnqueueNDRangeKernel",
           clEnqueueNDRangeKernel(l->m->queue, l->kernel, 1, NULL, &items, &group, 0, NULL, NULL));
    return fetch_results(l, sizes, err);
}

static SnStatus opencl_run(SnModule *module, uint32_t i, void *const *buffers, const uint64_t *sizes,
                           const int64_t *dims, int64_t first, int64_t last, SnError *err)
{
    SN_CHECK(i < module->nkernel, err, SN_EINVAL, "kernel %u of %u", i, module->nkernel);
    if (first >= last)
        return SN_OK;
    Module *m = (Module *)module;
    Launch l = {.m = m, .k = &m->kernel[i]};
    SnStatus st = launch(&l, i, buffers, sizes, dims, first, last, err);
    if (st != SN_OK && err != NULL)
        (void)sn_fail_in(err, st, l.k->name);
    for (int b = 0; b < l.k->nbuf; b++)
        if (l.mem[b] != NULL)
            clReleaseMemObject(l.mem[b]);
    if (l.kernel != NULL)
        clReleaseKernel(l.kernel);
    return st;
}

/* ---- backend ---- */

static SnStatus opencl_build(SnContext *ctx, const SnTarget *t, const SnKernel *const *k, uint32_t n,
                             SnModule **out, SnError *err)
{
    const SnAllocator *memory = sn_allocator(ctx);
    SnText text = {.memory = memory};
    Module *m = (Module *)sn_alloc_zero(memory, sizeof *m, _Alignof(Module));
    SN_CHECK(m != NULL, err, SN_ENOMEM, "no memory for a module");
    m->memory = memory;
    m->base = (SnModule){.destroy = opencl_destroy, .run = opencl_run, .nkernel = n, .is_whole = true};
    sn_arena_init(&m->arena, memory);
    const SnStatus st = build(m, t, k, &text, err);
    sn_text_clear(&text);
    if (st == SN_OK)
        *out = &m->base;
    else
        opencl_destroy(&m->base);
    return st;
}

const SnBackend *sn_opencl_backend(void)
{
    static const SnBackend backend = {.name = "opencl", .probe = opencl_probe, .build = opencl_build};
    return &backend;
}
