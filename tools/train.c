/* train.c -- `sinter train`: a config, its run, a line that tells how far it is, and the curve of its loss;
 * or trials of it, and a table.
 */
#include "tools/command.h"
#include "tools/svg.h"

#include "frontends/peft.h"
#include "frontends/training.h"

#include <errno.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#define REDRAW_S 0.2 /* between two lines of progress */

typedef struct Progress {
    const Args *a;
    bool is_line; /* one that is drawn again and again */
    double drawn;
    int64_t first;
} Progress;

/* ---- config ---- */

static void put_value(SnText *t, const SnTrainKey *k, const SnJson *given)
{
    if (!sn_json_is_null(given))
        sn_json_put(t, given);
    else if (!k->otherwise)
        sn_text_printf(t, "null");
    else if (k->kind == SN_KEY_STRING || k->kind == SN_KEY_ANY)
        sn_json_put_string(t, sn_bytes_str(k->otherwise));
    else
        sn_text_printf(t, "%s", k->otherwise);
}

static int print_config(const Args *a, SnContext *ctx, const SnJson *config)
{
    SnText t = {.memory = sn_allocator(ctx)}, value = {.memory = t.memory};
    const SnTrainKey *k = NULL;
    for (size_t i = 0; (k = sn_train_key(i)) != NULL; i++) {
        value.n = 0;
        put_value(&value, k, sn_json_get(config, k->name));
        if (a->json)
            sn_text_printf(&t, "%s\"%s\": %s", i ? ", " : "{", k->name, value.at ? value.at : "");
        else
            sn_text_printf(&t, "%-28s %-16s %s%s%s\n", k->name, value.at ? value.at : "", k->does,
                           k->choice ? ": " : "", k->choice ? k->choice : "");
    }
    const bool failed = t.failed || value.failed;
    if (!failed)
        (void)printf("%s%s", t.at, a->json ? "}\n" : "");
    sn_text_clear(&t);
    sn_text_clear(&value);
    return failed ? report_memory() : EXIT_DONE;
}

SnStatus read_train_config(SnContext *ctx, SnArena *arena, const char *path, SnJson **out, SnError *err)
{
    SN_TRY(sn_json_read(ctx, arena, path, out, err));
    return sn_train_config_check(*out, err);
}

/* ---- progress ---- */

static void draw(void *self, const SnTrainerState *s, SnTrainerControl *control, const SnJson *logs)
{
    Progress *p = self;
    (void)control;
    (void)logs;
    if (!p->is_line || (s->seconds - p->drawn < REDRAW_S && s->global_step < s->max_steps))
        return;
    p->drawn = s->seconds;
    const double done = (double)(s->global_step - p->first), left = (double)(s->max_steps - s->global_step);
    const long long wait = done > 0 ? (long long)(s->seconds / done * left) : 0;
    (void)fprintf(stderr, "\r\033[Kstep %lld/%lld  epoch %.2f  loss %.4f  %.0f tokens/s  %lld:%02lld left",
                  (long long)s->global_step, (long long)s->max_steps, s->epoch, s->loss,
                  s->seconds > 0 ? (double)s->tokens / s->seconds : 0, wait / 60, wait % 60);
}

static void begin(void *self, const SnTrainerState *s, SnTrainerControl *control, const SnJson *logs)
{
    (void)control;
    (void)logs;
    ((Progress *)self)->first = s->global_step;
}

static void tell(void *self, const SnTrainerState *s, SnTrainerControl *control, const SnJson *logs)
{
    static const char *const shown[] = {"epoch",         "loss",      "grad_norm",
                                        "learning_rate", "eval_loss", "eval_accuracy",
                                        "eval_f1",       "eval_mse",  "eval_perplexity"};
    const Progress *p = self;
    double v = 0;
    (void)control;
    if (p->a->quiet)
        return;
    (void)fprintf(stderr, "%sstep %lld/%lld", p->is_line ? "\r\033[K" : "", (long long)s->global_step,
                  (long long)s->max_steps);
    for (size_t i = 0; i < SN_COUNT(shown); i++)
        if (sn_json_number(sn_json_get(logs, shown[i]), &v))
            (void)fprintf(stderr, "  %s %.4g", shown[i], v);
    (void)fprintf(stderr, "\n");
}

/* ---- the run ---- */

static SnStatus draw_curve(SnContext *ctx, const SnTrainer *t, SnArena *arena, const SnJson *config,
                           SnError *err)
{
    const SnJson *folder = sn_json_get(config, "output_dir");
    SnText log = {.memory = sn_allocator(ctx)};
    SnJson *json = NULL;
    const char *path = sn_arena_printf(
        arena, "%s/loss.svg",
        folder && folder->kind == SN_JSON_STRING ? (const char *)folder->u.string.at : "trainer_output");
    SnStatus st = path ? sn_trainer_log(t, &log, err) : sn_fail(err, SN_ENOMEM, "loss.svg: no memory");
    if (st == SN_OK)
        st = sn_json_parse(arena, "log", sn_bytes(log.at, log.n), &json, err);
    if (st == SN_OK)
        st = svg_curve(ctx, json, "loss", path, err);
    sn_text_clear(&log);
    return st;
}

/* The line of print_trainable_parameters. */
static SnStatus tell_adapter(const Session *s, const SnAdapter *adapter, SnError *err)
{
    SnText line = {.memory = sn_allocator(s->ctx)};
    const SnStatus st = sn_adapter_report(adapter, &line, err);
    if (st == SN_OK)
        (void)fprintf(stderr, "%s\n", line.at);
    sn_text_clear(&line);
    return st;
}

static SnStatus train(const Args *a, const Session *s, SnArena *arena, const SnJson *config, SnError *err)
{
    const bool is_quiet = sn_json_bool_of(config, "disable_tqdm", false);
    Progress p = {.a = a, .is_line = !a->quiet && !is_quiet && isatty(STDERR_FILENO)};
    const SnTrainerCallback callback = {
        .self = &p, .on_train_begin = begin, .on_step_end = draw, .on_log = tell};
    const SnTrainerDesc d = {.struct_size = sizeof d,
                             .config = config,
                             .device = a->device,
                             .flags = a->exact ? SN_EXACT : 0,
                             .callback = &callback,
                             .ncallback = 1};
    SnTrainer *t = NULL;
    SnText result = {.memory = sn_allocator(s->ctx)};
    SnStatus st = sn_trainer_create(s->cc, &d, &t, err);
    if (st == SN_OK && sn_trainer_adapter(t) && !a->quiet)
        st = tell_adapter(s, sn_trainer_adapter(t), err);
    if (st == SN_OK)
        st = sn_trainer_train(t, &result, err);
    if (st == SN_OK)
        st = draw_curve(s->ctx, t, arena, config, err);
    if (st == SN_OK && result.failed)
        st = sn_fail(err, SN_ENOMEM, "training: no memory");
    if (st == SN_OK)
        (void)printf("%s\n", result.at);
    sn_text_clear(&result);
    sn_trainer_destroy(t);
    return st;
}

/* ---- trials ---- */

/* The last evaluation that a trial logged. */
static void remember(void *self, const SnTrainerState *s, SnTrainerControl *control, const SnJson *logs)
{
    SnText *last = self;
    (void)s;
    (void)control;
    last->n = 0;
    sn_json_put(last, logs);
}

/* What goes wrong in the steps of a trial is that trial's; what cannot begin ends the search. */
static SnStatus run_trial(const Args *a, const Session *s, SnSearch *search, int64_t i, SnError *err)
{
    SnText last = {.memory = sn_allocator(s->ctx)}, result = {.memory = last.memory};
    const SnTrainerCallback callback = {.self = &last, .on_evaluate = remember};
    SnTrainerDesc d = {.struct_size = sizeof d,
                       .device = a->device,
                       .flags = a->exact ? SN_EXACT : 0,
                       .callback = &callback,
                       .ncallback = 1};
    SnTrainer *t = NULL;
    SnError why = {0};
    SnStatus st = sn_search_config(search, i, &d.config, err);
    if (st == SN_OK)
        st = sn_trainer_create(s->cc, &d, &t, err);
    const SnStatus ran = st == SN_OK ? sn_trainer_train(t, &result, &why) : st;
    if (st == SN_OK && ran == SN_OK && last.n == 0)
        st = sn_trainer_evaluate(t, &last, err);
    if (st == SN_OK && (last.failed || ran == SN_ENOMEM))
        st = sn_fail(err, SN_ENOMEM, "training: no memory");
    if (st == SN_OK)
        st = sn_search_report(search, i, &last, ran == SN_OK ? NULL : why.message, err);
    sn_trainer_destroy(t);
    sn_text_clear(&last);
    sn_text_clear(&result);
    return st;
}

static void tell_trial(const Args *a, const SnSearch *search, int64_t i)
{
    const double v = sn_search_objective(search, i);
    if (!a->json && isnan(v))
        (void)printf("run-%-6lld %12s  %s\n", (long long)i, "failed", sn_search_chosen(search, i));
    else if (!a->json)
        (void)printf("run-%-6lld %12.6g  %s\n", (long long)i, v, sn_search_chosen(search, i));
    (void)fflush(stdout);
}

static SnStatus search_all(const Args *a, const Session *s, SnSearch *search, const char *folder,
                           SnError *err)
{
    SnText result = {.memory = sn_allocator(s->ctx)};
    SN_CHECK(mkdir(folder, 0777) == 0 || errno == EEXIST, err, SN_EIO, "%s: cannot write: %s", folder,
             strerror(errno));
    if (!a->json)
        (void)printf("%-10s %12s  %s\n", "run", "objective", "hyperparameters");
    SnStatus st = SN_OK;
    for (int64_t i = 0; st == SN_OK && i < sn_search_trials(search); i++) {
        st = run_trial(a, s, search, i, err);
        if (st == SN_OK)
            tell_trial(a, search, i);
    }
    if (st == SN_OK)
        st = sn_search_result(search, &result, err);
    char path[4096];
    const int n = snprintf(path, sizeof path, "%s/hyperparameter_search.json", folder);
    if (st == SN_OK && (n <= 0 || (size_t)n >= sizeof path))
        st = sn_fail(err, SN_EINVAL, "%s: the path is too long", folder);
    if (st == SN_OK)
        st = sn_file_write(s->ctx, path, &(SnBytes){(const uint8_t *)result.at, result.n}, 1, err);
    if (st == SN_OK && a->json)
        (void)printf("%s\n", result.at);
    else if (st == SN_OK && sn_search_best(search) >= 0)
        (void)printf("best: run-%lld\n", (long long)sn_search_best(search));
    sn_text_clear(&result);
    return st;
}

static SnStatus train_or_search(const Args *a, const Session *s, SnArena *arena, const SnJson *config,
                                SnError *err)
{
    const SnJson *folder = sn_json_get(config, "output_dir");
    SnSearch *search = NULL;
    SN_TRY(sn_search_create(s->ctx, config, &search, err));
    if (!search)
        return train(a, s, arena, config, err);
    const SnStatus st = search_all(
        a, s, search,
        folder && folder->kind == SN_JSON_STRING ? (const char *)folder->u.string.at : "trainer_output", err);
    sn_search_destroy(search);
    return st;
}

int command_train(const Args *a)
{
    const bool only_prints = arg_flag(a, "--print-config");
    Session s = {0};
    SnJson *config = NULL;
    if (a->n != 1 && !(only_prints && a->n == 0))
        return usage_error(a, "expected CONFIG.json");
    int status = session_open(a, NULL, NULL, &s);
    if (status == EXIT_DONE && a->n)
        status = report(a->at[0], read_train_config(s.ctx, &s.arena, a->at[0], &config, &s.err), &s.err);
    if (status == EXIT_DONE && only_prints)
        status = print_config(a, s.ctx, config);
    else if (status == EXIT_DONE)
        status = report(a->at[0], train_or_search(a, &s, &s.arena, config, &s.err), &s.err);
    session_close(&s);
    return status;
}
