#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "worker/cli/commands.h"
#include "worker/text/synth.h"

#define FLUSH_BYTES (1 * MIB)

static const struct command_option options[] = {
    {.name = "records", .value = "N", .help = "citations to write (default: 1000)"},
    {.name = "seed", .value = "S", .help = "another seed, another corpus (default: 0)"},
    {.name = "output", .letter = 'o', .value = "FILE", .help = "write there instead of to stdout"},
};

static enum status flush(int fd, struct bytes *text, struct error *err)
{
    enum status status = bytes_status(text, "synthetic records", err);
    if (!status && text->size > 0 && sys_write_all(fd, text->data, text->size) != 0) {
        status = error_from_errno(err, errno, "write");
    }
    bytes_clear(text);
    return status;
}

static enum status write_records(int fd, uint64_t seed, int64_t records, struct error *err)
{
    struct bytes text = {0};
    enum status status = STATUS_OK;

    synth_medline_begin(&text);
    for (int64_t i = 0; !status && i < records; i++) {
        synth_medline_record(&text, seed, i);
        if (text.size >= FLUSH_BYTES) {
            status = flush(fd, &text, err);
        }
    }
    synth_medline_end(&text);
    if (!status) {
        status = flush(fd, &text, err);
    }
    bytes_deinit(&text);
    return status;
}

/* Written aside and renamed, so that no half corpus stands under the name. */
static enum status write_file(const char *path, uint64_t seed, int64_t records, struct error *err)
{
    char part[PATH_BYTES_MAX];
    enum status status = path_printf(part, err, "%s.part", path);
    if (status) {
        return status;
    }
    int fd = sys_open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return error_from_errno(err, errno, "'%s'", part);
    }
    status = write_records(fd, seed, records, err);
    if (!status && sys_fdatasync(fd) != 0) {
        status = error_from_errno(err, errno, "'%s': fdatasync", part);
    }
    if (close(fd) != 0 && !status) {
        status = error_from_errno(err, errno, "'%s': close", part);
    }
    if (!status && sys_rename(part, path) != 0) {
        status = error_from_errno(err, errno, "'%s': rename", path);
    }
    if (status) {
        (void)unlink(part);
    }
    return status;
}

static enum status run(const struct command_line *line, int *exit_code, struct error *err)
{
    const char *output = command_text(line, "output", NULL);
    const char *what = command_argument(line, 0);
    long long records = 0;
    long long seed = 0;
    (void)exit_code;

    if (strcmp(what, "medline") != 0) {
        (void)error_set(err, STATUS_INVALID, "'%s' is nothing that can be synthesised", what);
        error_set_hint(err, "the only kind is 'medline'");
        return STATUS_INVALID;
    }
    enum status status = command_int(line, "records", 1, SYNTH_RECORDS_MAX, 1000, &records, err);
    if (!status) {
        status = command_int(line, "seed", 0, JSON_INTEGER_MAX, 0, &seed, err);
    }
    if (status) {
        return status;
    }
    return output ? write_file(output, (uint64_t)seed, records, err)
                  : write_records(STDOUT_FILENO, (uint64_t)seed, records, err);
}

const struct command command_synth = {
    .name = "synth",
    .usage = "medline [--records N] [--seed S] [--output FILE]",
    .summary = "writes a synthetic corpus to try everything with",
    .examples = "  remora-worker synth medline --records 20000 --seed 1 --output corpus.xml\n",
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .argument_min = 1,
    .argument_max = 1,
    .run = run,
};
