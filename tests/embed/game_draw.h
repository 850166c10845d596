/* game_draw.h -- pixels in memory: shapes, text, and PNG files of them. */
#ifndef GAME_DRAW_H
#define GAME_DRAW_H

#include <stdint.h>

typedef struct Canvas {
    int width, height;
    uint32_t *pixel; /* 0xRRGGBB, rows from the top */
} Canvas;

/* What lies outside of the canvas is left out. */
void draw_box(Canvas *c, int x, int y, int w, int h, uint32_t rgb);
void draw_disc(Canvas *c, int x, int y, int radius, uint32_t rgb);
/* Letters of 6 x 8 pixels, times scale; ASCII. */
void draw_text(Canvas *c, int x, int y, int scale, const char *text, uint32_t rgb);
int draw_save(const Canvas *c, const char *path); /* a PNG that is not compressed; 0: done */

#endif
