/* picture_fuzz.c -- any bytes as an image file: refused with a message, or bytes that can have another size. */
#include "tests/fuzz/fuzz.h"

#include "ops/media/picture.h"

#define MOST 4096 /* places that are looked at */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SnContext *ctx = NULL;
    SnError err = {0};
    SnPicture x, y;
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    const SnAllocator *memory = sn_allocator(ctx);
    const SnResample how = (SnResample)(size % SN_RESAMPLES);
    if (sn_picture_read(memory, sn_bytes(data, size), size % 2 ? 1 : 3, "fuzz", &x, &err) != SN_OK) {
        fuzz_require(err.message[0] != '\0');
    } else {
        fuzz_require(x.height > 0 && x.width > 0 && x.at != NULL);
        if (x.height * x.width <= MOST) {
            fuzz_require(sn_picture_resize(memory, &x, 7, 5, how, &y, &err) == SN_OK);
            sn_picture_clear(memory, &y);
        }
        sn_picture_clear(memory, &x);
    }
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/picture");
