/* game_sdl.c -- a game at 60 frames a second whose people understand what is said to them, in slices of half
 * a millisecond a frame.
 *
 *   sinter compile CLASSIFIER -o npc_mood.so       what a line feels like
 *   sinter compile all-MiniLM-L6-v2 -o npc_mind.so what it means
 *   cc game_sdl.c game_draw.c npc_mood.so npc_mind.so -lSDL2 -lm -Wl,-rpath,. -o game
 *   ./game                 arrows walk; space says the next line to who is near
 *   ./game FRAMES FOLDER   walks and talks alone; writes FOLDER/scene.png and FOLDER/frames.png, a plot of
 * the times
 *
 * All memory of the models is given to them at the start; a frame never waits for one. */
#define SDL_MAIN_HANDLED
#include "game_draw.h"
#include "npc_mind.h"
#include "npc_mood.h"

#include <SDL2/SDL.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 640, HEIGHT = 360, PEOPLE = 4, MEMORIES = 3, MAX_FRAMES = 36000, BUDGET_NS = 500000 };
static const float earshot = 150; /* pixels */

typedef struct Person {
    const char *name;
    float x, y;
    uint32_t coat;
    const char *memory[MEMORIES], *answer[MEMORIES]; /* what reminds them of it, and what they say then */
    float meaning[MEMORIES][NPC_MIND_WIDTH];
    const char *says;
    int frames_left; /* of the bubble */
} Person;

/* A line on its way through two models. */
typedef enum Stage { IDLE, MOOD, MEANING } Stage;
typedef struct Thought {
    Stage stage;
    const char *line;
    float mood[NPC_MOOD_LABELS], meaning[NPC_MIND_WIDTH];
    int has_mood;
} Thought;

typedef struct Times { /* milliseconds */
    float frame, slice;
} Times;

typedef struct Game {
    Canvas canvas;
    NpcMoodCtx *mood;
    NpcMindCtx *mind;
    void *block[2]; /* where the models live */
    Person person[PEOPLE];
    Thought thought;
    float x, y; /* the player */
    const char *says;
    int next_line, lines_heard, slices;
    Times *times;
    int frame;
} Game;

static const char *const lines[] = {
    "Hello, how are you today?",     "Do you sell bread?",        "Give me your gold or else!",
    "Where does this road lead to?", "I saw a dragon!",           "What is that sword worth?",
    "The weather is lovely today.",  "I am lost, help me please."};
enum { LINES = sizeof lines / sizeof *lines };

static const Person cast[PEOPLE] = {{"MILA",
                                     130,
                                     150,
                                     0xB0553A,
                                     {"fresh bread for sale", "good morning", "it is cold"},
                                     {"Two coins a loaf.", "Good day to you!", "Come to the oven."},
                                     {{0}},
                                     NULL,
                                     0},
                                    {"OTTO",
                                     480,
                                     140,
                                     0x4A6FA5,
                                     {"robbers want money", "weapons and swords", "soldiers on guard"},
                                     {"Guards! Over here!", "Ten coins, no less.", "All is quiet."},
                                     {{0}},
                                     NULL,
                                     0},
                                    {"RUNA",
                                     250,
                                     260,
                                     0x6B8E4E,
                                     {"a way through the forest", "someone needs help", "sunshine and rain"},
                                     {"North, to the lake.", "Follow me, friend.", "It will rain soon."},
                                     {{0}},
                                     NULL,
                                     0},
                                    {"PIP",
                                     530,
                                     270,
                                     0x9A6FB0,
                                     {"monsters and dragons", "playing games", "strangers who threaten"},
                                     {"Was it a big one?", "Catch me!", "I will tell Otto!"},
                                     {{0}},
                                     NULL,
                                     0}};

/* ---- thinking ---- */

static int fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "game: %s: %s\n", what, why);
    return 1;
}

/* Both models in blocks of the game's, and what people remember as vectors. */
static int open_minds(Game *g)
{
    char message[300] = "";
    SnModelHost host = SN_MODEL_HOST;
    host.message = message;
    host.message_size = sizeof message;
    host.block = g->block[0] = malloc(host.block_size = NPC_MOOD_BLOCK_BYTES);
    if (npc_mood_create(&host, &g->mood) != SN_MODEL_OK)
        return fail("npc_mood", message);
    host.block = g->block[1] = malloc(host.block_size = NPC_MIND_BLOCK_BYTES);
    if (npc_mind_create(&host, &g->mind) != SN_MODEL_OK)
        return fail("npc_mind", message);
    for (int i = 0; i < PEOPLE; i++)
        for (int j = 0; j < MEMORIES; j++) {
            const char *text = g->person[i].memory[j];
            if (npc_mind_embed(g->mind, text, strlen(text), g->person[i].meaning[j]) != SN_MODEL_OK)
                return fail("npc_mind", npc_mind_error(g->mind));
        }
    return 0;
}

static float nearness(const float *a, const float *b)
{
    float ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < NPC_MIND_WIDTH; i++) {
        ab += a[i] * b[i];
        aa += a[i] * a[i];
        bb += b[i] * b[i];
    }
    return ab / sqrtf(aa * bb + 1e-20f);
}

/* Who is near and is reminded of something most speaks. */
static void answer(Game *g)
{
    Person *best = NULL;
    float most = -2;
    int what = 0;
    for (int i = 0; i < PEOPLE; i++) {
        Person *p = &g->person[i];
        for (int j = 0; j < MEMORIES && hypotf(p->x - g->x, p->y - g->y) < earshot; j++) {
            const float near = nearness(g->thought.meaning, p->meaning[j]);
            if (near > most) {
                most = near;
                best = p;
                what = j;
            }
        }
    }
    if (best) {
        best->says = best->answer[what];
        best->frames_left = 150;
    }
    g->lines_heard++;
}

static void say(Game *g)
{
    Thought *t = &g->thought;
    if (t->stage != IDLE)
        return;
    t->line = g->says = lines[g->next_line++ % LINES];
    if (npc_mood_begin(g->mood, t->line, strlen(t->line)) == SN_MODEL_OK)
        t->stage = MOOD;
}

/* Half a millisecond of whatever is to be thought. */
static int think(Game *g)
{
    Thought *t = &g->thought;
    int status = SN_MODEL_OK;
    g->slices += t->stage != IDLE;
    if (t->stage == MOOD) {
        status = npc_mood_step(g->mood, BUDGET_NS);
        if (status == SN_MODEL_OK && (status = npc_mood_scores(g->mood, t->mood)) == SN_MODEL_OK &&
            (status = npc_mind_begin(g->mind, t->line, strlen(t->line))) == SN_MODEL_OK) {
            t->stage = MEANING;
            t->has_mood = 1;
        }
    } else if (t->stage == MEANING) {
        status = npc_mind_step(g->mind, BUDGET_NS);
        if (status == SN_MODEL_OK && (status = npc_mind_vector(g->mind, t->meaning)) == SN_MODEL_OK) {
            t->stage = IDLE;
            answer(g);
        }
    }
    if (status != SN_MODEL_OK && status != SN_MODEL_AGAIN)
        return fail("thinking", t->stage == MOOD ? npc_mood_error(g->mood) : npc_mind_error(g->mind));
    return 0;
}

/* ---- the scene ---- */

/* Its foot is `above` pixels over y. */
static void draw_bubble(Canvas *c, int x, int y, int above, const char *text, uint32_t paper)
{
    const int w = 6 * (int)strlen(text) + 10;
    int left = x - w / 2;
    left = left < 4 ? 4 : left + w > WIDTH - 4 ? WIDTH - 4 - w : left;
    draw_box(c, x - 1, y - above, 3, above - 16, paper);
    draw_box(c, left - 1, y - above - 17, w + 2, 17, 0x2B2B33);
    draw_box(c, left, y - above - 16, w, 15, paper);
    draw_text(c, left + 5, y - above - 12, 1, text, 0x2B2B33);
}

static void draw_person(Canvas *c, int x, int y, uint32_t coat, int step)
{
    draw_disc(c, x, y + 26, 9, 0x587A3F);
    draw_box(c, x - 5, y + 16, 4, 10 - step, 0x3A3340);
    draw_box(c, x + 1, y + 16, 4, 8 + step, 0x3A3340);
    draw_box(c, x - 8, y, 16, 18, coat);
    draw_disc(c, x, y - 6, 7, 0xE8B98F);
    draw_box(c, x - 7, y - 13, 15, 5, 0x4B3621);
}

static void draw_house(Canvas *c, int x, int y)
{
    for (int i = 0; i < 30; i++)
        draw_box(c, x - i, y - 30 + i, 60 + 2 * i, 1, 0x8C3B2E);
    draw_box(c, x - 20, y, 100, 50, 0xD9C7A3);
    draw_box(c, x + 20, y + 18, 20, 32, 0x5A4632);
    draw_box(c, x - 8, y + 14, 18, 14, 0x9CC4D8);
    draw_box(c, x + 50, y + 14, 18, 14, 0x9CC4D8);
}

static void draw_mood(Game *g)
{
    Canvas *c = &g->canvas;
    const Thought *t = &g->thought;
    const int shown = NPC_MOOD_LABELS < 4 ? NPC_MOOD_LABELS : 4;
    draw_box(c, WIDTH - 172, 6, 166, 16 + 12 * shown, 0x24303A);
    draw_text(c, WIDTH - 166, 10, 1, t->stage == IDLE ? "MOOD OF THE LAST LINE" : "MOOD ... THINKING",
              0xE8E4D8);
    for (int i = 0; i < shown && t->has_mood; i++) {
        char label[14];
        (void)snprintf(label, sizeof label, "%s",
                       npc_mood_label((uint32_t)i) ? npc_mood_label((uint32_t)i) : "?");
        draw_text(c, WIDTH - 166, 22 + 12 * i, 1, label, 0xE8E4D8);
        draw_box(c, WIDTH - 82, 22 + 12 * i, 70, 8, 0x3C4A56);
        draw_box(c, WIDTH - 82, 22 + 12 * i, (int)(70 * t->mood[i]), 8, 0xE0A458);
    }
}

static void draw_scene(Game *g)
{
    Canvas *c = &g->canvas;
    draw_box(c, 0, 0, WIDTH, 90, 0x9CC9E3);
    draw_disc(c, 70, 40, 18, 0xF6D55C);
    draw_box(c, 0, 90, WIDTH, HEIGHT - 90, 0x6FA04E);
    draw_box(c, 0, 215, WIDTH, 34, 0xC2A878);
    draw_house(c, 230, 90);
    draw_house(c, 60, 70);
    draw_house(c, 400, 75);
    for (int i = 0; i < PEOPLE; i++) {
        const Person *p = &g->person[i];
        draw_person(c, (int)p->x, (int)p->y, p->coat, 0);
        draw_text(c, (int)p->x - 3 * (int)strlen(p->name), (int)p->y + 30, 1, p->name, 0x1F2A18);
    }
    draw_person(c, (int)g->x, (int)g->y, 0xD8D2C4, g->frame / 8 % 3);
    for (int i = 0; i < PEOPLE; i++)
        if (g->person[i].frames_left > 0)
            draw_bubble(c, (int)g->person[i].x, (int)g->person[i].y, 40, g->person[i].says, 0xFFF8E7);
    if (g->says)
        draw_bubble(c, (int)g->x, (int)g->y, 20, g->says, 0xCFE8FF);
    draw_mood(g);
}

/* ---- the plot ---- */

typedef struct Panel {
    const char *title, *limit_label;
    int top, is_slice;
    float most, limit, mark; /* of the axis; of the line; between numbers */
} Panel;

static void plot_panel(Canvas *c, const Panel *p, const Times *times, int n)
{
    enum { LEFT = 60, TALL = 210, WIDE = 700 };
    const int bottom = p->top + TALL;
    draw_text(c, LEFT, p->top - 16, 1, p->title, 0x22303C);
    for (float v = 0; v <= p->most + 1e-4f; v += p->mark) {
        char number[12];
        const int y = bottom - (int)((float)TALL * v / p->most);
        (void)snprintf(number, sizeof number, "%5.*f", p->is_slice ? 2 : 1, (double)v);
        draw_box(c, LEFT, y, WIDE, 1, 0xE3E3DC);
        draw_text(c, LEFT - 36, y - 3, 1, number, 0x22303C);
    }
    for (int i = 0; i < n; i++) {
        const float v = p->is_slice ? times[i].slice : times[i].frame;
        const int y = bottom - (int)((float)TALL * (v < p->most ? v : p->most) / p->most),
                  x = LEFT + i * WIDE / n;
        draw_box(c, x, y - 1, 2, p->is_slice ? bottom - y + 1 : 2, p->is_slice ? 0xC8553D : 0x3A6EA5);
    }
    const int at = bottom - (int)((float)TALL * p->limit / p->most);
    draw_box(c, LEFT, at, WIDE, 1, 0x2E7D32);
    const int wide = 6 * (int)strlen(p->limit_label) + 8;
    draw_box(c, LEFT + WIDE - wide, at - 12, wide, 11, 0xFBFBF8);
    draw_text(c, LEFT + WIDE - wide + 4, at - 10, 1, p->limit_label, 0x2E7D32);
    draw_box(c, LEFT, p->top, 1, TALL, 0x22303C);
    draw_box(c, LEFT, bottom, WIDE, 1, 0x22303C);
    for (int i = 0; i <= 4; i++) {
        char number[12];
        (void)snprintf(number, sizeof number, "%d", n * i / 4);
        draw_box(c, LEFT + WIDE * i / 4, bottom, 1, 4, 0x22303C);
        draw_text(c, LEFT + WIDE * i / 4 - 8, bottom + 7, 1, number, 0x22303C);
    }
}

static int plot(const Game *g, const char *path)
{
    static const Panel frames =
                           {"TIME FROM FRAME TO FRAME, MS", "16.7 MS: 60 A SECOND", 40, 0, 33.3f, 16.7f, 5},
                       slices = {"TIME OF MODELS IN THE FRAME, MS (0: NOTHING TO THINK ABOUT)",
                                 "BUDGET 0.5 MS",
                                 310,
                                 1,
                                 1,
                                 0.5f,
                                 0.25f};
    Canvas c = {800, 560, malloc((size_t)800 * 560 * sizeof(uint32_t))};
    if (!c.pixel)
        return fail(path, "no memory");
    draw_box(&c, 0, 0, c.width, c.height, 0xFBFBF8);
    plot_panel(&c, &frames, g->times, g->frame);
    plot_panel(&c, &slices, g->times, g->frame);
    draw_text(&c, 400, 545, 1, "FRAME", 0x22303C);
    const int bad = draw_save(&c, path);
    free(c.pixel);
    return bad ? fail(path, "cannot be written") : 0;
}

/* ---- the loop ---- */

static float milliseconds(uint64_t since)
{
    return (float)(SDL_GetPerformanceCounter() - since) * 1e3f / (float)SDL_GetPerformanceFrequency();
}

/* Alone the player goes round the village and says something twice in three seconds. */
static void walk(Game *g, int is_alone)
{
    const Uint8 *key = SDL_GetKeyboardState(NULL);
    if (is_alone) {
        g->x = 320 + 200 * cosf((float)g->frame * 0.008f + 2);
        g->y = 210 + 70 * sinf((float)g->frame * 0.008f + 2);
        if (g->frame % 90 == 20)
            say(g);
    }
    g->x += (float)(2 * (key[SDL_SCANCODE_RIGHT] - key[SDL_SCANCODE_LEFT]));
    g->y += (float)(2 * (key[SDL_SCANCODE_DOWN] - key[SDL_SCANCODE_UP]));
    for (int i = 0; i < PEOPLE; i++)
        g->person[i].frames_left -= g->person[i].frames_left > 0;
}

static int is_open(Game *g)
{
    SDL_Event e;
    while (SDL_PollEvent(&e)) {
        if (e.type == SDL_QUIT)
            return 0;
        if (e.type == SDL_KEYDOWN && e.key.keysym.sym == SDLK_SPACE)
            say(g);
    }
    return 1;
}

static int play(Game *g, SDL_Renderer *r, SDL_Texture *t, int frames)
{
    uint64_t last = SDL_GetPerformanceCounter();
    const uint64_t start = last;
    for (g->frame = 0; is_open(g) && g->frame < (frames ? frames : MAX_FRAMES); g->frame++) {
        walk(g, frames != 0);
        const uint64_t before = SDL_GetPerformanceCounter();
        const int is_thinking = g->thought.stage != IDLE;
        if (think(g))
            return 1;
        const float slice = is_thinking ? milliseconds(before) : 0;
        draw_scene(g);
        (void)SDL_UpdateTexture(t, NULL, g->canvas.pixel, WIDTH * (int)sizeof(uint32_t));
        (void)SDL_RenderCopy(r, t, NULL, NULL);
        SDL_RenderPresent(r);
        const float wait = (float)(g->frame + 1) * 1000 / 60 - milliseconds(start);
        if (wait > 1)
            SDL_Delay((Uint32)wait);
        while ((float)(g->frame + 1) * 1000 / 60 > milliseconds(start))
            continue;
        g->times[g->frame] = (Times){milliseconds(last), slice};
        last = SDL_GetPerformanceCounter();
    }
    return 0;
}

static void tell(const Game *g)
{
    int late = 0;
    float most = 0;
    for (int i = 0; i < g->frame; i++) {
        late += g->times[i].frame > 18;
        most = g->times[i].slice > most ? g->times[i].slice : most;
    }
    (void)printf("%d frames, %d above 18 ms; %d lines understood in %d slices, the longest %.3f ms\n",
                 g->frame, late, g->lines_heard, g->slices, (double)most);
}

static int run(Game *g, int frames, const char *folder)
{
    char scene[600], times[600];
    if (SDL_Init(SDL_INIT_VIDEO) != 0)
        return fail("SDL", SDL_GetError());
    SDL_Window *w =
        SDL_CreateWindow("village", SDL_WINDOWPOS_CENTERED, SDL_WINDOWPOS_CENTERED, 2 * WIDTH, 2 * HEIGHT, 0);
    SDL_Renderer *r = w ? SDL_CreateRenderer(w, -1, 0) : NULL;
    SDL_Texture *t =
        r ? SDL_CreateTexture(r, SDL_PIXELFORMAT_RGB888, SDL_TEXTUREACCESS_STREAMING, WIDTH, HEIGHT) : NULL;
    int status = t ? play(g, r, t, frames) : fail("SDL", SDL_GetError());
    tell(g);
    (void)snprintf(scene, sizeof scene, "%s/scene.png", folder);
    (void)snprintf(times, sizeof times, "%s/frames.png", folder);
    if (status == 0 && frames)
        status = draw_save(&g->canvas, scene) ? fail(scene, "cannot be written") : plot(g, times);
    SDL_DestroyTexture(t);
    SDL_DestroyRenderer(r);
    SDL_DestroyWindow(w);
    SDL_Quit();
    return status;
}

int main(int argc, char **argv)
{
    static uint32_t pixel[WIDTH * HEIGHT];
    static Times times[MAX_FRAMES];
    static Game g = {.canvas = {WIDTH, HEIGHT, pixel}, .x = 320, .y = 230, .times = times};
    const int frames = argc > 1 ? atoi(argv[1]) : 0;
    memcpy(g.person, cast, sizeof cast);
    int status = frames < 0 || frames > MAX_FRAMES ? fail(argv[1], "from 1 to 36000 frames") : open_minds(&g);
    if (status == 0)
        status = run(&g, frames, argc > 2 ? argv[2] : ".");
    npc_mood_destroy(g.mood);
    npc_mind_destroy(g.mind);
    free(g.block[0]);
    free(g.block[1]);
    return status;
}
