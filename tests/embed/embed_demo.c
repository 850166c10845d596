/* embed_demo.c -- how near two sentences are, by a model that was compiled ahead of time:
 *
 *   sinter compile all-MiniLM-L6-v2 -o mind.so
 *   cc embed_demo.c mind.so -lm -Wl,-rpath,. -o embed_demo
 *   ./embed_demo "a dog runs in the park" "a puppy plays outside" */
#include "mind.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    MindCtx *mind = NULL;
    float v[2][MIND_WIDTH], dot[3] = {0};
    char message[300] = "two sentences, please";
    SnModelHost host = SN_MODEL_HOST;
    host.message = message;
    host.message_size = sizeof message;
    if (argc != 3 || mind_create(&host, &mind) != SN_MODEL_OK)
        return fprintf(stderr, "embed_demo: %s\n", message), 1;
    for (int i = 0; i < 2; i++)
        if (mind_embed(mind, argv[1 + i], strlen(argv[1 + i]), v[i]) != SN_MODEL_OK)
            return fprintf(stderr, "embed_demo: %s\n", mind_error(mind)), 1;
    for (int i = 0; i < MIND_WIDTH; i++) {
        dot[0] += v[0][i] * v[1][i];
        dot[1] += v[0][i] * v[0][i];
        dot[2] += v[1][i] * v[1][i];
    }
    printf("%.3f\n", (double)(dot[0] / sqrtf(dot[1] * dot[2])));
    mind_destroy(mind);
    return 0;
}
