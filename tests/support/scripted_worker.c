/*
 * scripted_worker — stands in for remora-worker in the daemon's own tests: the same command line,
 * files, socket protocol and exit codes, but what happens is what the job's name says, so that the
 * tests of scheduling, launch, restart and cancel take milliseconds and no training.
 *
 *   crash      rank 0 of the first attempt kills itself halfway
 *   doomed     every attempt does
 *   refused    the worker says that the job is invalid
 *   stubborn   ignores what the daemon asks and SIGTERM, and so does a process of its own that it
 *              has sent away
 *   leaky      leaves such a process behind and succeeds
 *   forgetful  rank 0 starts a program without environment, parent or session, whose number is in
 *              run/forgotten
 *   silent     never connects to the daemon
 *
 * Told to stop, rank 0 writes a checkpoint and ends. A step takes spec.seed milliseconds. Each rank
 * appends "attempt rank pid" to run/launches.
 *
 * scripted_worker corpus FOLDER: writes the smallest folder of shards that a spec may name.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/digest.h"
#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/rpc/link.h"
#include "proto/shards/shard_writer.h"

/* Ends the program with the error where a call fails: nobody handles a test program's errors. */
static void must(enum status status, const struct error *err)
{
    if (status) {
        (void)fprintf(stderr, "scripted worker: %s\n", err->message);
        exit(status_exit_code(status));
    }
}

/* ---- The command line ---- */

static const char *option(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return argv[i + 1];
        }
    }
    return "";
}

struct script {
    json_t *spec;
    const char *name;
    const char *run;
    const char *attempt_folder;
    const char *socket;
    int attempt;
    long long job;
    int rank;
    int64_t steps;
    int64_t step_ms;
    int64_t checkpoint_every;
    int records_fd;
    struct rpc_link *link;
    uint64_t connection; /* that attach was sent on */
    int64_t attach_id;
    int64_t sent; /* up to which byte of the records; -1: not attached */
    bool is_told_to_stop;
};

static bool is_called(const struct script *script, const char *word)
{
    return strstr(script->name, word) != NULL;
}

static void sleep_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
}

/* ---- Records, and telling the daemon ---- */

static void record(struct script *script, const char *type, int64_t step, json_t *fields)
{
    struct bytes line = {0};

    (void)json_object_set_new(fields, "type", json_string(type));
    (void)json_object_set_new(fields, "attempt", json_integer(script->attempt));
    (void)json_object_set_new(fields, "step", json_integer(step));
    (void)json_object_set_new(fields, "time_ms", json_integer(sys_realtime_ms()));
    json_canonical(&line, fields);
    bytes_append_char(&line, '\n');
    (void)sys_write_all(script->records_fd, line.data, line.size);
    bytes_deinit(&line);
    json_decref(fields);
}

/* The step of the newest checkpoint in the records, -1 when there is none. */
static int64_t newest_checkpoint(const char *path)
{
    struct bytes text = {0};
    int64_t step = -1;

    if (file_read(&text, path, 64 * MIB, NULL) == STATUS_OK) {
        char *state = NULL;
        for (char *line = strtok_r(text.data, "\n", &state); line;
             line = strtok_r(NULL, "\n", &state)) {
            json_t *value = json_loads(line, 0, NULL);
            if (strcmp(json_get_text(value, "type", ""), "checkpoint") == 0) {
                step = json_get_int(value, "step", -1);
            }
            json_decref(value);
        }
    }
    bytes_deinit(&text);
    return step;
}

static void send_lines(struct script *script)
{
    char path[PATH_BYTES_MAX];
    struct bytes text = {0};
    struct error err;

    must(path_printf(path, &err, "%s/records.jsonl", script->run), &err);
    must(file_read(&text, path, 64 * MIB, &err), &err);
    json_t *lines = json_array();
    int64_t end = script->sent;
    while (end < (int64_t)text.size) {
        const char *line = text.data + end;
        size_t size = strcspn(line, "\n");
        (void)json_array_append_new(lines, json_stringn(line, size));
        end += (int64_t)size + 1;
    }
    json_t *params = json_pack("{s:I, s:o}", "offset", (json_int_t)script->sent, "lines", lines);
    if (end > script->sent && rpc_link_notify(script->link, "worker.report", params)) {
        script->sent = end;
    }
    json_decref(params);
    bytes_deinit(&text);
}

static void attach(struct script *script)
{
    char path[PATH_BYTES_MAX];
    struct bytes token = {0};
    struct error err;

    must(path_printf(path, &err, "%s/token", script->attempt_folder), &err);
    must(file_read(&token, path, KIB, &err), &err);
    must(path_printf(path, &err, "%s/records.jsonl", script->run), &err);
    json_t *params = json_pack("{s:I, s:i, s:s, s:I, s:i, s:i}", "job", (json_int_t)script->job,
                               "attempt", script->attempt, "token", token.data, "records_bytes",
                               (json_int_t)file_size(path), "pid", (int)getpid(), "rank", 0);
    if (rpc_link_request(script->link, RPC_METHOD_WORKER_ATTACH, params, &script->attach_id)) {
        script->connection = rpc_link_connection_count(script->link);
        script->sent = -1;
    }
    json_decref(params);
    bytes_deinit(&token);
}

static void report(struct script *script)
{
    struct rpc_message message = {0};

    if (!script->link || rpc_link_poll(script->link, sys_monotonic_ns() / 1000000) != RPC_LINK_UP) {
        return;
    }
    if (script->connection != rpc_link_connection_count(script->link)) {
        attach(script);
    }
    while (rpc_link_receive(script->link, &message)) {
        if (message.type == RPC_MESSAGE_RESULT &&
            json_integer_value(message.id) == script->attach_id) {
            script->sent = json_get_int(message.result, "offset", 0);
            (void)printf("attached\n");
            (void)fflush(stdout);
        } else if (message.type == RPC_MESSAGE_NOTIFICATION &&
                   strcmp(message.method, "worker.control") == 0) {
            script->is_told_to_stop =
                strcmp(json_get_text(message.params, "action", ""), "stop") == 0;
        }
        rpc_message_deinit(&message);
    }
    if (script->sent >= 0) {
        send_lines(script);
        (void)rpc_link_poll(script->link, sys_monotonic_ns() / 1000000);
    }
}

/* ---- What the names mean ---- */

/* A process that no parent, session or group leads to. */
static void send_one_away(void)
{
    if (fork() == 0) {
        (void)setsid();
        if (fork() == 0) {
            (void)signal(SIGTERM, SIG_IGN);
            (void)prctl(PR_SET_NAME, "sent-away");
            for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
                (void)close(fd); /* mpirun would wait for the end of its pipe */
            }
            for (;;) {
                sleep_ms(1000);
            }
        }
        _exit(0);
    }
}

/* A process by whose environment nobody knows that it is ours. */
static void forget_one(const struct script *script)
{
    char path[PATH_BYTES_MAX];
    char number[16];
    struct error err;

    if (fork() != 0) {
        return;
    }
    (void)setsid();
    pid_t pid = fork();
    if (pid == 0) {
        char program[] = "/bin/sleep";
        char seconds[] = "600";
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
            (void)close(fd); /* mpirun would wait for the end of its pipe */
        }
        (void)execve(program, (char *[]){program, seconds, NULL}, (char *[]){NULL});
        _exit(127);
    }
    (void)snprintf(number, sizeof number, "%d", (int)pid);
    must(path_printf(path, &err, "%s/forgotten", script->run), &err);
    must(file_write(path, number, strlen(number), 0600, &err), &err);
    _exit(0);
}

static void refuse(const struct script *script)
{
    char path[PATH_BYTES_MAX];
    struct error err;
    static const char text[] = "{\"status\": \"invalid\", \"message\": \"batch.global: 7 does not "
                               "divide\", \"field\": \"batch.global\", \"hint\": \"use 8\"}\n";

    must(path_printf(path, &err, "%s/rank-%d.error.json", script->attempt_folder, script->rank),
         &err);
    must(file_write(path, text, sizeof text - 1, 0600, &err), &err);
    exit(status_exit_code(STATUS_INVALID));
}

/* Our core of --cpus, as the real ranks do it. */
static void bind_to_core(const char *cpus, int rank)
{
    cpu_set_t set;

    for (int i = 0; i < rank; i++) {
        const char *comma = strchr(cpus, ',');
        cpus = comma ? comma + 1 : cpus;
    }
    CPU_ZERO(&set);
    CPU_SET((size_t)strtoul(cpus, NULL, 10), &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

static void note_launch(const struct script *script)
{
    char path[PATH_BYTES_MAX];
    char line[64];
    struct error err;

    must(path_printf(path, &err, "%s/launches", script->run), &err);
    int fd = sys_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int size =
        snprintf(line, sizeof line, "%d %d %d\n", script->attempt, script->rank, (int)getpid());
    (void)sys_write_all(fd, line, (size_t)size);
    (void)close(fd);
}

/* ---- The run ---- */

/* As the worker's own: at a step boundary, with a checkpoint, and an exit code that says so. */
static void stop(struct script *script, int64_t step)
{
    record(script, "checkpoint", step, json_pack("{s:s, s:i}", "path", "p", "bytes", 10));
    record(script, "end", step, json_pack("{s:s}", "outcome", "stopped"));
    rpc_link_destroy(script->link);
    exit(status_exit_code(STATUS_CANCELLED));
}

static void run_step(struct script *script, int64_t step)
{
    sleep_ms(script->step_ms);
    if (script->rank != 0) {
        return;
    }
    record(script, "step", step,
           json_pack("{s:f, s:f, s:f, s:f, s:f}", "loss", 8.0 / (double)step, "lr", 0.001,
                     "grad_norm", 1.0, "tokens_per_s", 100.0, "eta_s", 1.0));
    if (script->checkpoint_every > 0 && step % script->checkpoint_every == 0) {
        record(script, "evaluation", step, json_pack("{s:f, s:f}", "loss", 2.0, "perplexity", 7.4));
        record(script, "checkpoint", step, json_pack("{s:s, s:i}", "path", "p", "bytes", 10));
    }
    bool is_halfway = step >= script->steps / 2;
    if (is_halfway &&
        (is_called(script, "doomed") || (is_called(script, "crash") && script->attempt == 1))) {
        (void)raise(SIGKILL);
    }
    report(script);
    if (script->is_told_to_stop && !is_called(script, "stubborn")) {
        stop(script, step);
    }
}

static void run(struct script *script)
{
    char path[PATH_BYTES_MAX];
    struct error err;

    must(path_printf(path, &err, "%s/records.jsonl", script->run), &err);
    int64_t resumed_from = newest_checkpoint(path);
    if (script->rank == 0) {
        script->records_fd = sys_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        record(script, "start", resumed_from < 0 ? 0 : resumed_from,
               json_pack("{s:o, s:I, s:i}", "resumed_from",
                         resumed_from < 0 ? json_null() : json_integer(resumed_from), "steps",
                         (json_int_t)script->steps, "world", 1));
        if (!is_called(script, "silent")) {
            must(rpc_link_create(&script->link, script->socket, "scripted-worker", &err), &err);
        }
    }
    for (int64_t step = (resumed_from < 0 ? 0 : resumed_from) + 1; step <= script->steps; step++) {
        run_step(script, step);
    }
    if (script->rank == 0) {
        record(script, "end", script->steps, json_pack("{s:s}", "outcome", "succeeded"));
        report(script);
        rpc_link_destroy(script->link);
    }
}

static void read_script(struct script *script, int argc, char **argv)
{
    const char *spec_path =
        strcmp(argv[1], "prepare") == 0 ? option(argc, argv, "--spec") : argv[2];
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    struct bytes text = {0};
    struct error err;

    must(file_read(&text, spec_path, SPEC_BYTES_MAX, &err), &err);
    must(json_parse(&script->spec, text.data, text.size, spec_path, &err), &err);
    bytes_deinit(&text);
    script->name = json_get_text(script->spec, "name", "");
    script->run = option(argc, argv, "--run");
    script->attempt_folder = option(argc, argv, "--attempt-dir");
    script->socket = option(argc, argv, "--socket");
    script->attempt = (int)strtol(option(argc, argv, "--attempt"), NULL, 10);
    script->rank = rank ? (int)strtol(rank, NULL, 10) : 0;
    script->steps = json_get_int(script->spec, "steps", 0);
    script->step_ms = json_get_int(script->spec, "seed", 0);
    script->checkpoint_every =
        json_get_int(json_object_get(script->spec, "checkpoint"), "every", 0);
    const char *jobs = strstr(spec_path, "/jobs/");
    script->job = jobs ? strtoll(jobs + strlen("/jobs/"), NULL, 10) : 0;
    bind_to_core(option(argc, argv, "--cpus"), script->rank);
}

/* ---- A corpus ---- */

static void write_shards(const char *folder, const char *name, const struct digest *tokenizer)
{
    struct shard_writer *writer = NULL;
    struct shard_writer_options options = {
        .vocab_size = 64, .eos_id = 2, .tokenizer_digest = *tokenizer};
    uint32_t tokens[1024];
    char path[PATH_BYTES_MAX];
    struct error err;

    for (size_t i = 0; i < 1024; i++) {
        tokens[i] = (uint32_t)(i % 61) + 3;
    }
    must(path_printf(path, &err, "%s/%s", folder, name), &err);
    must(shard_writer_create(&writer, path, &options, &err), &err);
    must(shard_writer_append(writer, tokens, 1024, &err), &err);
    must(shard_writer_end_document(writer, &err), &err);
    must(shard_writer_finish(writer, NULL, &err), &err);
    shard_writer_destroy(writer);
}

static void write_corpus(const char *folder)
{
    static const char tokenizer[] = "a tokenizer that nobody loads\n";
    struct digest digest;
    char path[PATH_BYTES_MAX];
    struct error err;

    digest_of(&digest, tokenizer, sizeof tokenizer - 1);
    must(folder_create(folder, 0700, &err), &err);
    must(path_printf(path, &err, "%s/tokenizer.model", folder), &err);
    must(file_write(path, tokenizer, sizeof tokenizer - 1, 0600, &err), &err);
    write_shards(folder, "train", &digest);
    write_shards(folder, "validation", &digest);
}

int main(int argc, char **argv)
{
    struct script script = {.records_fd = -1, .sent = -1};

    if (argc == 3 && strcmp(argv[1], "corpus") == 0) {
        write_corpus(argv[2]);
        return 0;
    }
    read_script(&script, argc, argv);
    note_launch(&script);
    if (is_called(&script, "refused")) {
        refuse(&script);
    }
    if (is_called(&script, "stubborn")) {
        (void)signal(SIGTERM, SIG_IGN);
    }
    if (is_called(&script, "stubborn") || is_called(&script, "leaky")) {
        send_one_away();
    }
    if (is_called(&script, "forgetful") && script.rank == 0) {
        forget_one(&script);
    }
    (void)printf("rank %d of attempt %d runs\n", script.rank, script.attempt);
    (void)fflush(stdout);
    run(&script);
    json_decref(script.spec);
    return 0;
}
