/* programs_test.c -- programs in text form, run whole: compiled against evaluated (twin.h).
 *
 * A file of tests/text/programs holds several; each begins with a comment `; ---- NAME`, and says in comments
 * how it is run, one run after the other on one instance: ; create b=4      symbols bound when the instance
 * is made ; run n=3 x=0..5  sizes and ranges (twin.h) ; fail n=2        likewise; all refuse it ; reset
 * carries begin again Then the runs are repeated in random order. Arguments: targets (default: interp);
 * SEED=N repeats a test. */
#include "tests/ops/twin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER       "tests/text/programs/"
#define MARK         "; ----"
#define MAX_RUNS     16
#define MAX_TEXT     (1 << 18)
#define MAX_PROGRAMS 256
#define AGAIN        6 /* runs in random order */

static const char *default_targets[] = {"interp"};
static const char *const *targets = default_targets;
static int ntarget = 1;
static uint64_t seed = 1;

typedef struct Run {
    char what; /* 'r'un, 'f'ail, reset: 'z' */
    char text[128];
} Run;

typedef struct Program {
    const char *text;
    size_t n;
    char name[64], create[160];
    Run run[MAX_RUNS];
    int nrun;
} Program;

static void read_directives(Program *p)
{
    for (const char *at = p->text, *end; at < p->text + p->n;) {
        end = memchr(at, '\n', p->n - (size_t)(at - p->text));
        const int len = (int)((end ? end : p->text + p->n) - at);
        char line[160];
        snprintf(line, sizeof line, "%.*s", len, at);
        at += len + 1;
        Run *r = &p->run[p->nrun];
        if (sscanf(line, MARK " %63s", p->name) == 1)
            continue;
        assert_true(p->nrun < MAX_RUNS);
        if (strncmp(line, "; create ", 9) == 0)
            snprintf(p->create, sizeof p->create, "%.*s", (int)sizeof p->create - 1, line + 9);
        if (strncmp(line, "; run", 5) == 0 || strncmp(line, "; fail", 6) == 0) {
            r->what = line[2];
            const char *args = line + (line[2] == 'r' ? 5 : 6);
            snprintf(r->text, sizeof r->text, "%.*s", (int)sizeof r->text - 1, args + (*args == ' '));
            p->nrun++;
        } else if (strcmp(line, "; reset") == 0) {
            r->what = 'z';
            p->nrun++;
        }
    }
}

static void do_run(Twin *t, const Run *r)
{
    if (r->what == 'z') {
        twin_reset(t);
        return;
    }
    const SnStatus st = twin_run(t, r->text);
    if ((st != SN_OK) != (r->what == 'f'))
        fail_msg("%s: run %s: the evaluator gives %s", t->title, r->text, sn_status_name(st));
}

static void check_program(void **state)
{
    static Twin t;
    const Program *p = *state;
    SnError err;
    assert_true(p->nrun > 0);
    twin_open(&t, p->name, targets, ntarget, seed);
    if (sn_graph_parse(t.g, p->name, sn_bytes(p->text, p->n), &err) != SN_OK)
        fail_msg("%s", err.message);
    twin_compile(&t, *p->create ? p->create : NULL);
    for (int i = 0; i < p->nrun; i++)
        do_run(&t, &p->run[i]);
    for (int i = 0; i < AGAIN; i++)
        do_run(&t, &p->run[twin_random(&t, (uint32_t)p->nrun)]);
    twin_close(&t);
}

/* The programs of all files, one after the other in text. */
static int load(char *text, Program *program)
{
    static const char *const file[] = {"rows",  "panels",  "loops",   "conds",     "calls",   "dims",
                                       "lists", "carries", "results", "attention", "products"};
    size_t n = 0;
    int count = 0;
    for (size_t i = 0; i < SN_COUNT(file); i++) {
        char path[128];
        snprintf(path, sizeof path, FOLDER "%s.sn", file[i]);
        FILE *f = fopen(path, "rb");
        if (!f)
            return 0;
        n += fread(text + n, 1, MAX_TEXT - 1 - n, f);
        (void)fclose(f);
    }
    text[n] = 0;
    for (const char *at = strstr(text, MARK); at && count < MAX_PROGRAMS;) {
        const char *next = strstr(at + 1, MARK);
        Program *p = &program[count++];
        *p = (Program){.text = at, .n = next ? (size_t)(next - at) : strlen(at)};
        read_directives(p);
        at = next;
    }
    return count;
}

int main(int argc, char **argv)
{
    static char text[MAX_TEXT];
    static Program program[MAX_PROGRAMS];
    static struct CMUnitTest tests[MAX_PROGRAMS];
    static const char *given[TWIN_TARGETS];
    int n = 0;
    for (int i = 1; i < argc && n < TWIN_TARGETS; i++) {
        if (strncmp(argv[i], "SEED=", 5) == 0)
            seed = strtoull(argv[i] + 5, NULL, 10);
        else
            given[n++] = argv[i];
    }
    if (n > 0) {
        targets = given;
        ntarget = n;
    }
    const int count = load(text, program);
    for (int i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){program[i].name, check_program, NULL, NULL, &program[i]};
    return count == 0 || _cmocka_run_group_tests("programs", tests, (size_t)count, NULL, NULL);
}
