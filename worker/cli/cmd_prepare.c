#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/spec/prepare_spec.h"
#include "proto/spec/spec.h"
#include "worker/cli/attempt_error.h"
#include "worker/cli/commands.h"
#include "worker/cli/prepare_view.h"
#include "worker/text/prepare.h"
#include "worker/text/tokenizer.h"

static const struct command_option options[] = {
    {.name = "output", .letter = 'o', .value = "DIR", .help = "folder to make"},
    {.name = "tokenizer", .value = "PATH", .help = "SentencePiece model to use"},
    {.name = "train-tokenizer", .value = "VOCAB", .help = "train one of this many pieces instead"},
    {.name = "format", .value = "FORMAT", .help = "auto, medline, jsonl or text (default: auto)"},
    {.name = "text-field", .value = "NAME", .help = "of JSON Lines (default: text)"},
    {.name = "validation-fraction",
     .value = "SHARE",
     .help = "of the documents, chosen by their digest (default: 0.02)"},
    {.name = "seed", .value = "N", .help = "of that choice (default: 0)"},
    {.name = "spec", .value = "SPEC", .help = "take all of this from a job spec of kind prepare"},
    {.name = "json", .help = "print the report as JSON"},
    {.name = "attempt-dir", .value = "DIR", .help = "leave the error there (for the daemon)"},
    {.name = "run", .value = "DIR", .help = "as for train; a preparation writes nothing there"},
    {.name = "attempt", .value = "N", .help = "as for train; not used"},
    {.name = "socket", .value = "PATH", .help = "as for train; not used"},
    {.name = "cpus", .value = "LIST", .help = "as for train; not used"},
};

/* What prepare_run is to do, and what that leans on. */
struct request {
    struct prepare_options options;
    const char **inputs;
    json_t *spec;
    struct prepare_spec view;
};

static enum status bad_option(struct error *err, const char *option, const char *text,
                              const char *expected)
{
    (void)error_set(err, STATUS_INVALID, "--%s: '%s' is not %s", option, text, expected);
    error_set_field(err, "--%s", option);
    return STATUS_INVALID;
}

static enum status read_format(const struct command_line *line, enum text_format *out,
                               struct error *err)
{
    const char *text = command_text(line, "format", "auto");
    for (int i = TEXT_FORMAT_AUTO; i <= TEXT_FORMAT_TEXT; i++) {
        if (strcmp(text, text_format_text((enum text_format)i)) == 0) {
            *out = (enum text_format)i;
            return STATUS_OK;
        }
    }
    return bad_option(err, "format", text, "auto, medline, jsonl or text");
}

static enum status read_fraction(const struct command_line *line, double *out, struct error *err)
{
    const char *text = command_text(line, "validation-fraction", "0.02");
    char *end = NULL;
    errno = 0;
    *out = strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !(*out >= 0 && *out < 1)) {
        return bad_option(err, "validation-fraction", text, "a number in 0 … 1, without 1");
    }
    return STATUS_OK;
}

static enum status read_tokenizer(const struct command_line *line, struct prepare_options *out,
                                  struct error *err)
{
    long long vocab_size = 0;
    out->tokenizer_path = command_text(line, "tokenizer", NULL);
    enum status status = command_int(line, "train-tokenizer", TOKENIZER_VOCAB_SIZE_MIN,
                                     VOCAB_SIZE_MAX, 0, &vocab_size, err);
    if (status) {
        return status;
    }
    if ((out->tokenizer_path != NULL) == (vocab_size != 0)) {
        (void)error_set(err, STATUS_INVALID, "give one of --tokenizer and --train-tokenizer");
        error_set_hint(err, "e.g. --train-tokenizer 8192");
        return STATUS_INVALID;
    }
    out->vocab_size = (uint32_t)vocab_size;
    return STATUS_OK;
}

static enum status read_command_line(const struct command_line *line, struct request *request,
                                     struct error *err)
{
    struct prepare_options *out = &request->options;
    size_t count = (size_t)command_argument_count(line);
    long long seed = 0;

    if (count == 0) {
        return error_set(err, STATUS_INVALID, "no input files are given");
    }
    out->output = command_text(line, "output", NULL);
    if (!out->output) {
        return error_set(err, STATUS_INVALID, "--output is needed");
    }
    request->inputs = sys_calloc(count, sizeof *request->inputs);
    if (!request->inputs) {
        return error_set(err, STATUS_NO_MEMORY, "list of inputs: out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        request->inputs[i] = command_argument(line, (int)i);
    }
    out->inputs = request->inputs;
    out->input_count = count;
    out->text_field = command_text(line, "text-field", NULL);
    enum status status = read_tokenizer(line, out, err);
    if (!status) {
        status = read_format(line, &out->format, err);
    }
    if (!status) {
        status = read_fraction(line, &out->validation_fraction, err);
    }
    if (!status) {
        status = command_int(line, "seed", 0, JSON_INTEGER_MAX, 0, &seed, err);
    }
    out->seed = (uint64_t)seed;
    return status;
}

static enum status read_spec(const char *path, struct request *request, struct error *err)
{
    enum status status = spec_load(&request->spec, path, NULL, 0, err);
    if (status) {
        return status;
    }
    if (spec_kind(request->spec) != SPEC_KIND_PREPARE) {
        (void)error_set(err, STATUS_INVALID, "'%s': kind: not a spec of kind prepare", path);
        error_set_field(err, "kind");
        return STATUS_INVALID;
    }
    const struct prepare_spec *view = &request->view;
    status = prepare_spec_read(&request->view, request->spec, err);
    if (status) {
        return status;
    }
    request->options = (struct prepare_options){
        .inputs = view->inputs.patterns,
        .input_count = view->inputs.pattern_count,
        .output = view->output,
        .tokenizer_path = view->tokenizer,
        .vocab_size = (uint32_t)view->tokenizer_vocab_size,
        .format = view->inputs.format,
        .text_field = view->inputs.text_field,
        .validation_fraction = view->validation_fraction,
        .seed = view->seed,
    };
    return STATUS_OK;
}

static void on_progress(void *context, const struct prepare_progress *progress)
{
    prepare_view_progress(context, progress);
}

static void on_notice(void *context, const char *text)
{
    prepare_view_notice(context, text);
}

static enum status print_report(const struct prepare_report *report, const char *output,
                                bool is_json, struct error *err)
{
    struct bytes text = {0};
    if (!is_json) {
        prepare_view_report(report, output);
        return STATUS_OK;
    }
    enum status status = prepare_report_json(&text, report, err);
    if (!status) {
        (void)fwrite(text.data, 1, text.size, stdout);
    }
    bytes_deinit(&text);
    return status;
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    const char *spec = command_text(line, "spec", NULL);
    struct request request = {0};
    struct prepare_report report;
    struct prepare_view view;
    (void)exit_code;

    enum status status =
        spec ? read_spec(spec, &request, err) : read_command_line(line, &request, err);
    if (!status) {
        prepare_view_init(&view);
        request.options.progress = on_progress;
        request.options.notice = on_notice;
        request.options.context = &view;
        status = prepare_run(&request.options, &report, err);
        prepare_view_end(&view);
    }
    if (!status) {
        status = print_report(&report, request.options.output, command_flag(line, "json"), err);
    }
    if (status) {
        attempt_error_write(command_text(line, "attempt-dir", NULL), 0, err);
    }
    free(request.inputs);
    json_decref(request.spec);
    return status;
}

const struct command command_prepare = {
    .name = "prepare",
    .usage = "INPUT… --output DIR (--tokenizer PATH | --train-tokenizer VOCAB) [options]",
    .summary = "turns text files into token shards",
    .examples = "  remora-worker prepare 'abstracts/*.xml.gz' --train-tokenizer 8192 -o prepared\n"
                "  remora-worker prepare texts/ --tokenizer tokenizer.model -o prepared\n"
                "  remora-worker prepare --spec prepare.yaml\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .argument_min = 0,
    .argument_max = -1,
    .run = run,
};
