/* command.h -- what the files of the `sinter` command share. The command is an ordinary embedder: public
 * headers only. */
#ifndef SN_TOOLS_COMMAND_H
#define SN_TOOLS_COMMAND_H

#include "frontends/peft.h"

#include <stdio.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_UNSUPPORTED = 3, EXIT_INTERRUPTED = 130 };

/* A command line: options first looked up by name, the rest in order. */
typedef struct Command Command;
typedef struct Args {
    const Command *command;
    int n;
    char **at;   /* operands that are no options */
    char **line; /* the whole line, for option look-up */
    int nline;
    /* common flags */
    const char *device, *dtype, *kv_dtype, *quant, *cache_dir;
    uint32_t threads;
    bool exact, json, quiet, verbose, no_cache;
    const SnTrace *trace; /* of the session's context; NULL: none */
    bool is_inside;       /* the model is the one inside of this program, for none was given */
} Args;

/* Options of one command: "--max-length N" takes a value, "--pad" does not. */
struct Command {
    const char *name;
    const char *operands; /* "MODEL [TEXT...]" */
    const char *does;
    const char *options; /* one a line: "--max-length N  longest result, in tokens" */
    const char *example;
    int (*run)(const Args *a);
};

const char *arg_value(const Args *a, const char *option); /* NULL: not given */
bool arg_flag(const Args *a, const char *option);
/* A whole number; false: not given. A malformed one ends the command with EXIT_USAGE through *status. */
bool arg_int(const Args *a, const char *option, int64_t *out, int *status);


/* Everything a command needs to run a model; close takes a partly opened one. */
typedef struct Session {
    SnContext *ctx;
    SnPool *pool;
    SnCompiler *cc;
    SnModel *model;
    SnAdapter *adapter; /* of --adapter, which the model uses; or NULL */
    SnArena arena;      /* and what a command needs besides */
    SnError err;
} Session;
/* model NULL: none. task NULL: the config's. Prints the error; returns an exit code. */
int session_open(const Args *a, const char *model, const char *task, Session *s);
void session_close(Session *s);

/* Prints "sinter: WHAT: message" where the status is an error; returns the exit code that fits it. what may
 * be NULL. */
int report(const char *what, SnStatus status, const SnError *err);
int usage_error(const Args *a, const char *format, ...) SN_PRINTF(2, 3);
/* Out of memory, as an exit code. */
int report_memory(void);

/* "a,b,c" as names, which are the arena's; *n of them. list NULL: none. NULL: no memory. */
const char *const *split_names(SnArena *arena, const char *list, size_t *n);

/* Options of the line that are keys of a config of the library (GenerationConfig, trainers of tokenizers), as
 * an object in the arena. */
int read_options(const Args *a, SnArena *arena, const SnJson **out);

/* A config of `train`, checked, in the arena. */
SnStatus read_train_config(SnContext *ctx, SnArena *arena, const char *path, SnJson **out, SnError *err);

/* Lines of a file or of standard input ("-"), without their line ends; each in the arena. */
typedef struct Lines {
    SnBytes *at;
    size_t n;
} Lines;
bool is_regular_file(const char *path);
/* All of one, in the arena. */
int read_file(SnArena *arena, const char *path, SnBytes *out);
int read_lines(SnArena *arena, const char *path, Lines *out);
/* The operands after the first as texts; where there are none, or for "-", the lines of standard input. */
int read_texts(const Args *a, SnArena *arena, Lines *out);

int command_run(const Args *a);
int command_embed(const Args *a);
int command_forward(const Args *a);
int command_grad(const Args *a);
int command_generate(const Args *a);
int command_chat(const Args *a);
int command_tokenize(const Args *a);
int command_inspect(const Args *a);
int command_compile(const Args *a);
int command_convert(const Args *a);
int command_quantize(const Args *a);
int command_tensors(const Args *a);
int command_data(const Args *a);
int command_train(const Args *a);
int command_tokenizer(const Args *a);
int command_eval(const Args *a);
int command_plan(const Args *a);
int command_bench(const Args *a);
int command_models(const Args *a);
int command_ops(const Args *a);
int command_devices(const Args *a);

#endif
