/* demo_model.c -- what a backend would make of a model, written by hand: a program that has one entry and
 * does nothing, code, constants, tables of pointers, calls into the runtime, and weights that it leaves open.
 *
 * DEMO_NAME is its name. With DEMO_BESIDE it has its weights in demo.weights; the test puts in how many there
 * are, and their hash. */
#include "tests/embed/demo.h"

#define JOIN(a, b)  a##_##b
#define NAMED(a, b) JOIN(a, b)
#define DEMO(part)  NAMED(DEMO_NAME, part)

#ifdef DEMO_BESIDE
static const uint8_t DEMO(weights)[32] = {1};
#else
extern const uint8_t DEMO(weights)[] __attribute__((visibility("hidden")));
#endif

/* ---- the program ---- */

typedef struct DemoImage {
    SnImage head;
    SnPoint point;
    SnEntryRow entry;
    char string[8];
} DemoImage;

#define AT(field, n)                                                                                         \
    {                                                                                                        \
        offsetof(DemoImage, field), n                                                                        \
    }
static const DemoImage demo_image = {
    .head = {.magic = SN_IMAGE_MAGIC,
             .abi = SN_ABI,
             .size = sizeof(DemoImage),
             .nreg = 1,
             .string = AT(string, 8),
             .point = AT(point, 1),
             .entry = AT(entry, 1)},
    .string = "main",
};

static void no_kernel(void *const *buffers, const int64_t *dims, int64_t first, int64_t last)
{
    (void)buffers;
    (void)dims;
    (void)first;
    (void)last;
}

static const char *const levels[] = {"base"};
static SnKernelFn *const kernels[] = {no_kernel};

extern const SnProgramDesc DEMO(program);
const SnProgramDesc DEMO(program) = {
    .abi = SN_ABI,
    .nlevel = 1,
    .image = &demo_image,
    .image_size = sizeof demo_image,
    .level = levels,
    .kernel = kernels,
#ifdef DEMO_BESIDE
    .weights_file = "demo.weights",
    .weights_size = DEMO_SIZE_MARK,
    .weights_hash = {DEMO_LO_MARK, DEMO_HI_MARK},
#else
    .weights = DEMO(weights),
#endif
};

/* ---- functions ---- */

SN_API const char *DEMO(status)(SnStatus code);
SN_API const char *DEMO(word)(unsigned i);
SN_API uint8_t DEMO(weight)(unsigned i, size_t at);
SN_API float DEMO(scale)(float x);

const char *DEMO(status)(SnStatus code)
{
    return sn_status_name(code);
}

static const char *const words[] = {"zero", "one", "two", "three"};

const char *DEMO(word)(unsigned i)
{
    return words[i % 4];
}

/* Pointers: code reaches weights that are gigabytes away only through them. */
static const uint8_t *const half[] = {DEMO(weights), DEMO(weights) + 16};

uint8_t DEMO(weight)(unsigned i, size_t at)
{
    return half[i % 2][at];
}

float DEMO(scale)(float x)
{
    static const float by[] = {0.5F, 1.5F, 2.5F, 3.5F};
    return x * by[(unsigned)x % 4];
}
