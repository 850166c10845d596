/* link_fuzz.c -- any bytes as an object that is linked: refused with a message, or written. */
#include "tests/fuzz/fuzz.h"

#include "compiler/aot/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static SnLinkFn *const links[] = {sn_link_shared, sn_link_object, sn_link_archive};
    static const char *const exported[] = {"demo_program", "demo_word"};
    const SnBytes weights = sn_bytes("0123456789abcdef", 16);
    SnContext *ctx = NULL;
    fuzz_require(sn_context_create(NULL, &ctx, NULL) == SN_OK);
    for (size_t i = 0; i < 2 * SN_COUNT(links); i++) {
        SnError err = {0};
        SnLinkInput in = {.object = sn_bytes(data, size), .soname = "fuzz", .program = exported[0]};
        if (i < SN_COUNT(links)) {
            in.exported = exported;
            in.nexported = SN_COUNT(exported);
            in.weights = "demo_weights";
            in.part = &weights;
            in.npart = 1;
        }
        if (links[i % SN_COUNT(links)](ctx, &in, "/dev/null", &err) != SN_OK)
            fuzz_require(err.message[0] != '\0');
    }
    sn_context_destroy(ctx);
    return 0;
}

FUZZ_MAIN("tests/fuzz/corpus/link");
