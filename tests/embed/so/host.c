/* host.c -- embeds its arguments with a compiled model and prints the bits of each vector as a line.
 *   host LEVEL THREADS TEXT...    LEVEL: of the CPU, "" for the best; exit 3: this CPU does not have it */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    char message[200] = "";
    float v[MODEL_WIDTH];
    unsigned bits[MODEL_WIDTH];
    ModelCtx *ctx;
    SnModelHost host = SN_MODEL_HOST;
    host.cpu_level = argc > 1 && *argv[1] ? argv[1] : NULL;
    host.threads = argc > 2 ? (uint32_t)atoi(argv[2]) : 1;
    host.message = message;
    host.message_size = sizeof message;
    int st = model_create(&host, &ctx);
    if (st != SN_MODEL_OK) {
        fprintf(stderr, "host: %s\n", message);
        return st == SN_MODEL_EUNSUPPORTED ? 3 : 1;
    }
    for (int i = 3; i < argc && st == SN_MODEL_OK; i++) {
        st = model_embed(ctx, argv[i], strlen(argv[i]), v);
        memcpy(bits, v, sizeof bits);
        for (int k = 0; k < MODEL_WIDTH && st == SN_MODEL_OK; k++)
            printf("%08x%c", bits[k], k + 1 < MODEL_WIDTH ? ' ' : '\n');
    }
    if (st != SN_MODEL_OK)
        fprintf(stderr, "host: %s\n", model_error(ctx));
    model_destroy(ctx);
    return st != SN_MODEL_OK;
}
