/* lint — checks a spec fully, without submitting it, and says what it comes to. */
#include <stdio.h>
#include <unistd.h>

#include "client/commands.h"
#include "client/format.h"
#include "client/output.h"
#include "client/spec_file.h"
#include "client/spec_summary.h"
#include "proto/base/digest.h"
#include "proto/base/json.h"
#include "proto/spec/inputs.h"
#include "proto/spec/prepare_spec.h"
#include "proto/spec/spec.h"

static const struct command_option options[] = {
    {.name = "set",
     .letter = 's',
     .value = "KEY.PATH=VALUE",
     .help = "replaces a field of the spec; may be given again",
     .repeats = true},
    {.name = "json", .help = "prints {\"spec\", \"digest\", \"inputs\", \"summary\"}"},
};

static void print_model(const struct spec_summary *summary)
{
    const struct train_spec *spec = &summary->spec;
    char total[FORMAT_BYTES];
    char trainable[FORMAT_BYTES];

    if (spec->model.from != NULL) {
        (void)printf("from        %s\n", spec->model.from);
    }
    if (spec->model.hidden_size > 0) {
        (void)printf("model       %s: hidden size %lld, %lld layers, %lld heads\n",
                     spec->model.preset != NULL ? spec->model.preset : "own config",
                     (long long)spec->model.hidden_size, (long long)spec->model.num_hidden_layers,
                     (long long)spec->model.num_attention_heads);
    }
    if (summary->parameters > 0) {
        (void)printf("            %s parameters, %s of them trained; vocabulary %lld\n",
                     format_count(total, (double)summary->parameters),
                     format_count(trainable, (double)summary->trainable_parameters),
                     (long long)summary->vocab_size);
    }
    (void)printf("method      %s", method_name_text(spec->method.name));
    if (spec->method.r > 0) {
        (void)printf(", r %lld", (long long)spec->method.r);
    }
    if (spec->method.merge_every > 0) {
        (void)printf(", merged every %lld steps", (long long)spec->method.merge_every);
    }
    (void)putchar('\n');
}

static void print_data(const struct spec_summary *summary)
{
    const struct train_spec *spec = &summary->spec;
    char tokens[FORMAT_BYTES];
    char step_tokens[FORMAT_BYTES];

    if (summary->train_tokens > 0) {
        (void)printf("data        %s tokens: %lld sequences of %lld\n",
                     format_count(tokens, (double)summary->train_tokens),
                     (long long)summary->train_sequences, (long long)spec->data.sequence_length);
    } else {
        (void)printf("data        text files, prepared when the job starts\n");
    }
    (void)printf("step        %lld sequences of %lld: %s tokens\n", (long long)spec->batch.global,
                 (long long)spec->data.sequence_length,
                 format_count(step_tokens, (double)summary->tokens_per_step));
    if (summary->steps > 0) {
        (void)printf(
            "steps       %lld: %s tokens", (long long)summary->steps,
            format_count(tokens, (double)summary->steps * (double)summary->tokens_per_step));
        if (summary->train_sequences > 0) {
            (void)printf(", %.2f epochs", (double)summary->steps * (double)spec->batch.global /
                                              (double)summary->train_sequences);
        }
        (void)putchar('\n');
    }
    (void)printf("slots       %lld: %lld rank(s) with %lld thread(s)\n", (long long)summary->slots,
                 (long long)spec->launch.ranks, (long long)spec->launch.threads_per_rank);
}

static enum status print_for_people(const json_t *spec, const char *digest,
                                    const struct spec_summary *summary, struct error *err)
{
    struct bytes yaml = {0};

    (void)printf("%s is valid\ndigest      %s\n", spec_name(spec), digest);
    if (summary != NULL) {
        print_model(summary);
        print_data(summary);
    }
    enum status status = spec_write_yaml(&yaml, spec, err);
    if (!status) {
        (void)printf("\n%s", yaml.data);
    }
    bytes_deinit(&yaml);
    return status;
}

static enum status print_json(const json_t *spec, const char *digest, const json_t *inputs,
                              const struct spec_summary *summary, struct error *err)
{
    json_t *numbers = summary != NULL ? spec_summary_to_json(summary)
                                      : json_pack("{s:I}", "slots", (json_int_t)spec_slots(spec));
    json_t *all = json_pack("{s:O, s:s, s:O, s:o}", "spec", spec, "digest", digest, "inputs",
                            inputs, "summary", numbers);

    enum status status = all != NULL ? output_json(all, err)
                                     : error_set(err, STATUS_NO_MEMORY, "lint: out of memory");
    json_decref(all);
    return status;
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    struct spec_summary summary;
    struct digest digest;
    char hex[DIGEST_HEX_BYTES];
    json_t *spec = NULL;
    json_t *inputs = NULL;
    bool is_train = false;
    (void)exit_code;

    enum status status = spec_from_command_line(&spec, line, err);
    if (!status) {
        is_train = spec_kind(spec) == SPEC_KIND_TRAIN;
        status = spec_inputs(&inputs, spec, err);
    }
    if (!status && is_train) {
        status = spec_summary_read(&summary, spec, err);
    }
    if (!status) {
        status = spec_digest(&digest, spec, err);
    }
    if (status) {
        goto done;
    }
    digest_to_hex(hex, &digest);
    if (command_flag(line, "json")) {
        status = print_json(spec, hex, inputs, is_train ? &summary : NULL, err);
    } else {
        status = print_for_people(spec, hex, is_train ? &summary : NULL, err);
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (!status && cores > 0 && spec_slots(spec) > cores) {
        (void)fprintf(stderr, "remora: the job takes %lld slots; this machine has %ld cores\n",
                      (long long)spec_slots(spec), cores);
    }
done:
    json_decref(inputs);
    json_decref(spec);
    return status;
}

const struct command command_lint = {
    .name = "lint",
    .usage = "SPEC [-s KEY.PATH=VALUE]... [--json]",
    .summary = "checks a spec and what it names, and says what it comes to",
    .examples = "  remora lint pubmed-demo.yaml\n"
                "  remora lint pubmed-demo.yaml -s batch.global=64 --json | jq .summary\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
