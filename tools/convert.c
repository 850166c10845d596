/* convert.c -- the commands that write models: in another format, with fewer bits. */
#include "tools/command.h"

static bool is_format(const char *name)
{
    const char *format;
    for (size_t i = 0; sn_convert_format(i, &format); i++)
        if (strcmp(format, name) == 0)
            return true;
    return false;
}

static int write_model(const Args *a, const char *format)
{
    Session s = {0};
    const char *out = arg_value(a, "-o"), *shard = arg_value(a, "--max-shard-size");
    SnConvertOptions o = {.struct_size = sizeof o, .format = format};
    if (!out)
        return usage_error(a, "-o is needed: a name that ends in .gguf or .safetensors, or a folder");
    if (format && !is_format(format))
        return usage_error(a, "--to: no format \"%s\"", format);
    if (shard && (o.max_shard_size = sn_parse_size(shard)) == 0)
        return usage_error(a, "--max-shard-size: expected a size such as 5GB, found \"%s\"", shard);
    int status = session_open(a, a->at[0], NULL, &s);
    if (status == EXIT_DONE) {
        SnStatus st = s.adapter ? sn_model_merge(s.model, s.adapter, &s.err) : SN_OK;
        if (st == SN_OK)
            st = sn_model_convert(s.model, &o, out, &s.err);
        status = report(NULL, st, &s.err);
    }
    session_close(&s);
    return status;
}

int command_convert(const Args *a)
{
    const char *to = arg_value(a, "--to"), *dtype = a->dtype;
    if (!to && dtype && strcmp(dtype, "auto") != 0)
        to = dtype;
    return write_model(a, to);
}

int command_quantize(const Args *a)
{
    const char *to = arg_value(a, "--to");
    if (!to)
        return usage_error(a, "--to is needed: q8, q4, or a format of GGUF files");
    if (strcmp(to, "int8") == 0) {
        const SnError err = {.message = "--to int8: static quantisation is not in this build"};
        return report(NULL, SN_EUNSUPPORTED, &err);
    }
    return write_model(a, to);
}
