#include "daemon/db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"

/* More than all statements of this daemon together. */
#define STATEMENTS_MAX 96
/* Above this a full check at every start would cost too much of the time until we answer. */
#define QUICK_CHECK_BYTES_MAX (16 * MIB)
/* Nobody else writes; a reader such as "remorad --check" may hold a lock for a moment. */
#define BUSY_TIMEOUT_MS 2000

struct cached_statement {
    const char *sql;
    sqlite3_stmt *statement;
};

struct db {
    sqlite3 *handle;
    const char *name;
    struct cached_statement statements[STATEMENTS_MAX];
    size_t statement_count;
};

static enum status status_from_sqlite(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return STATUS_OK;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return STATUS_BUSY;
    case SQLITE_NOMEM:
        return STATUS_NO_MEMORY;
    case SQLITE_FULL:
        return STATUS_NO_SPACE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return STATUS_CORRUPT;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        return STATUS_PERMISSION;
    case SQLITE_CONSTRAINT:
        return STATUS_CONFLICT;
    default:
        return STATUS_IO;
    }
}

/* Translates SQLite's code into err; what names the operation. */
static enum status error_from_sqlite(struct error *err, const struct db *db, int code,
                                     const char *what)
{
    const char *text = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code);
    return error_set(err, status_from_sqlite(code), "%s: %s: %s", db->name, what, text);
}

static enum status prepare(struct db *db, sqlite3_stmt **out, const char *sql, struct error *err)
{
    for (size_t i = 0; i < db->statement_count; i++) {
        if (db->statements[i].sql == sql) {
            *out = db->statements[i].statement;
            return STATUS_OK;
        }
    }
    assert(db->statement_count < STATEMENTS_MAX);
    struct cached_statement *cached = &db->statements[db->statement_count];
    int code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                  &cached->statement, NULL);
    if (code != SQLITE_OK) {
        return error_from_sqlite(err, db, code, sql);
    }
    cached->sql = sql;
    db->statement_count++;
    *out = cached->statement;
    return STATUS_OK;
}

static enum status bind(struct db *db, sqlite3_stmt *statement, const struct db_value *values,
                        size_t value_count, struct error *err)
{
    assert((int)value_count == sqlite3_bind_parameter_count(statement));
    for (size_t i = 0; i < value_count; i++) {
        int index = (int)i + 1;
        int code = SQLITE_OK;
        switch (values[i].type) {
        case DB_VALUE_NULL:
            code = sqlite3_bind_null(statement, index);
            break;
        case DB_VALUE_INT:
            code = sqlite3_bind_int64(statement, index, values[i].integer);
            break;
        case DB_VALUE_TEXT: /* a NULL text binds as NULL */
            code = sqlite3_bind_text(statement, index, values[i].text, -1, SQLITE_STATIC);
            break;
        }
        if (code != SQLITE_OK) {
            return error_from_sqlite(err, db, code, "bind");
        }
    }
    return STATUS_OK;
}

enum status db_query(struct db *db, sqlite3_stmt **out, const char *sql,
                     const struct db_value *values, size_t value_count, struct error *err)
{
    enum status status = prepare(db, out, sql, err);
    if (status) {
        return status;
    }
    assert(!sqlite3_stmt_busy(*out)); /* a query does not nest in itself */
    return bind(db, *out, values, value_count, err);
}

bool db_row(struct db *db, sqlite3_stmt *statement, enum status *status, struct error *err)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *status = STATUS_OK;
        return true;
    }
    *status =
        code == SQLITE_DONE ? STATUS_OK : error_from_sqlite(err, db, code, sqlite3_sql(statement));
    db_query_end(statement);
    return false;
}

void db_query_end(sqlite3_stmt *statement)
{
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
}

enum status db_run(struct db *db, const char *sql, const struct db_value *values,
                   size_t value_count, struct error *err)
{
    sqlite3_stmt *statement = NULL;

    enum status status = db_query(db, &statement, sql, values, value_count, err);
    while (status == STATUS_OK && db_row(db, statement, &status, err)) {
        /* a PRAGMA may answer; nobody asked */
    }
    return status;
}

const char *db_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    return text ? (const char *)text : "";
}

int64_t db_int(sqlite3_stmt *statement, int column, int64_t fallback)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL
               ? fallback
               : sqlite3_column_int64(statement, column);
}

enum status db_query_int(struct db *db, int64_t *out, int64_t fallback, const char *sql,
                         const struct db_value *values, size_t value_count, struct error *err)
{
    sqlite3_stmt *statement = NULL;

    *out = fallback;
    enum status status = db_query(db, &statement, sql, values, value_count, err);
    while (status == STATUS_OK && db_row(db, statement, &status, err)) {
        *out = db_int(statement, 0, fallback);
    }
    return status;
}

enum status db_script(struct db *db, const char *sql, struct error *err)
{
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? STATUS_OK : error_from_sqlite(err, db, code, "script");
}

enum status db_begin(struct db *db, struct error *err)
{
    return db_run(db, "BEGIN IMMEDIATE", DB_NO_VALUES, err);
}

enum status db_commit(struct db *db, struct error *err)
{
    return db_run(db, "COMMIT", DB_NO_VALUES, err);
}

void db_rollback(struct db *db)
{
    if (db_is_in_transaction(db)) {
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    }
}

bool db_is_in_transaction(const struct db *db)
{
    return sqlite3_get_autocommit(db->handle) == 0;
}

static enum status configure(struct db *db, enum db_durability durability, struct error *err)
{
    (void)sqlite3_extended_result_codes(db->handle, 1);
    (void)sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    enum status status = db_script(db, "PRAGMA journal_mode = WAL; PRAGMA foreign_keys = ON;", err);
    if (status) {
        return status;
    }
    return db_script(db,
                     durability == DB_DURABILITY_FULL ? "PRAGMA synchronous = FULL"
                                                      : "PRAGMA synchronous = NORMAL",
                     err);
}

static enum status check_health(struct db *db, const char *path, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    enum status row_status = STATUS_OK;

    if (file_size(path) > (int64_t)QUICK_CHECK_BYTES_MAX) {
        return STATUS_OK;
    }
    enum status status = db_query(db, &statement, "PRAGMA quick_check(1)", DB_NO_VALUES, err);
    if (status) {
        return status;
    }
    while (db_row(db, statement, &row_status, err)) {
        if (strcmp(db_text(statement, 0), "ok") != 0) {
            status =
                error_set(err, STATUS_CORRUPT, "%s: damaged: %s", db->name, db_text(statement, 0));
        }
    }
    return status ? status : row_status;
}

/* One step of the migration, with its version number, as one transaction. */
static enum status migrate_one(struct db *db, const struct db_schema *schema, size_t version,
                               struct error *err)
{
    char pragma[96];

    enum status status = db_begin(db, err);
    if (status) {
        return status;
    }
    status = db_script(db, schema->migrations[version], err);
    if (status == STATUS_OK) {
        (void)snprintf(pragma, sizeof pragma,
                       "PRAGMA user_version = %zu; PRAGMA application_id = %d", version + 1,
                       (int)schema->application_id);
        status = db_script(db, pragma, err);
    }
    if (status == STATUS_OK) {
        status = db_commit(db, err);
    }
    if (status) {
        db_rollback(db);
        (void)error_wrap(err, "migration to version %zu", version + 1);
    }
    return status;
}

static enum status migrate(struct db *db, const struct db_schema *schema, struct error *err)
{
    int64_t version = 0;
    int64_t application_id = 0;
    int64_t tables = 0;

    enum status status = db_query_int(db, &version, 0, "PRAGMA user_version", DB_NO_VALUES, err);
    if (status == STATUS_OK) {
        status = db_query_int(db, &application_id, 0, "PRAGMA application_id", DB_NO_VALUES, err);
    }
    if (status == STATUS_OK) {
        status =
            db_query_int(db, &tables, 0, "SELECT count(*) FROM sqlite_schema", DB_NO_VALUES, err);
    }
    if (status) {
        return status;
    }
    if (tables > 0 && application_id != schema->application_id) {
        return error_set(err, STATUS_CORRUPT, "%s: is some other program's database", db->name);
    }
    if (version > (int64_t)schema->migration_count) {
        return error_set(err, STATUS_UNSUPPORTED,
                         "%s: is of version %lld, this program knows up to %zu", db->name,
                         (long long)version, schema->migration_count);
    }
    for (size_t i = (size_t)version; i < schema->migration_count && status == STATUS_OK; i++) {
        status = migrate_one(db, schema, i, err);
    }
    return status;
}

/* Creates the file itself, so that its mode is right from the first moment. */
static enum status create_file(const char *path, struct error *err)
{
    int fd = sys_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return error_from_errno(err, errno, "open '%s'", path);
    }
    (void)close(fd);
    return STATUS_OK;
}

enum status db_open(struct db **out, const char *path, const struct db_schema *schema,
                    enum db_durability durability, struct error *err)
{
    struct db *db = sys_calloc(1, sizeof *db);
    enum status status = STATUS_OK;

    if (!db) {
        return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", schema->name);
    }
    db->name = schema->name;
    if (strcmp(path, ":memory:") != 0) {
        status = create_file(path, err);
    }
    if (status == STATUS_OK) {
        int code =
            sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
        status = code == SQLITE_OK ? STATUS_OK : error_from_sqlite(err, db, code, "open");
    }
    if (status == STATUS_OK) {
        status = configure(db, durability, err);
    }
    if (status == STATUS_OK) {
        status = check_health(db, path, err);
    }
    if (status == STATUS_OK) {
        status = migrate(db, schema, err);
    }
    if (status) {
        (void)error_wrap(err, "'%s'", path);
        db_close(db);
        return status;
    }
    *out = db;
    return STATUS_OK;
}

void db_close(struct db *db)
{
    if (!db) {
        return;
    }
    for (size_t i = 0; i < db->statement_count; i++) {
        (void)sqlite3_finalize(db->statements[i].statement);
    }
    int code = sqlite3_close(db->handle);
    assert(code == SQLITE_OK); /* every statement was in the cache */
    free(db);
}
