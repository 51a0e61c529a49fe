/*
 * db — SQLite as this daemon uses it: one connection, WAL, migrations, prepared statements kept by
 * the address of their text, errors as enum status.
 *
 * Ownership: the caller owns the connection. A statement belongs to it; texts read from a row live
 *            until the next db_row on that statement.
 * Threads:   one thread per connection.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#include "proto/base/error.h"

struct db;

enum db_durability {
    DB_DURABILITY_FULL,   /* state: a commit survives loss of power */
    DB_DURABILITY_NORMAL, /* cache: consistent, but the last commits may go */
};

struct db_schema {
    const char *name;              /* "queue.db", for messages */
    int32_t application_id;        /* in the file's header: refuses foreign databases */
    const char *const *migrations; /* migrations[i] takes version i to i + 1 */
    size_t migration_count;
};

/*
 * Opens or creates the file (mode 0600) and brings it up to date. STATUS_CORRUPT for what is no
 * database, not ours or damaged; STATUS_UNSUPPORTED for one of a newer version. path ":memory:"
 * works.
 */
MUST_USE enum status db_open(struct db **out, const char *path, const struct db_schema *schema,
                             enum db_durability durability, struct error *err);
/* Rolls back what is open. NULL is fine. */
void db_close(struct db *db);

MUST_USE enum status db_begin(struct db *db, struct error *err);
MUST_USE enum status db_commit(struct db *db, struct error *err);
/* No-op outside a transaction; SQLite itself rolls back on some errors. */
void db_rollback(struct db *db);
bool db_is_in_transaction(const struct db *db);

/* A value to bind: DB_VALUES(DB_INT(id), DB_TEXT(name)). DB_TEXT(NULL) and DB_NULL are NULL. */
struct db_value {
    enum { DB_VALUE_NULL, DB_VALUE_INT, DB_VALUE_TEXT } type;
    int64_t integer;
    const char *text; /* must live until the statement is done */
};

#define DB_INT(value)  ((struct db_value){.type = DB_VALUE_INT, .integer = (value)})
#define DB_TEXT(value) ((struct db_value){.type = DB_VALUE_TEXT, .text = (value)})
#define DB_NULL        ((struct db_value){.type = DB_VALUE_NULL})
#define DB_VALUES(...)                   \
 (const struct db_value[]){__VA_ARGS__}, \
     sizeof((const struct db_value[]){__VA_ARGS__}) / sizeof(struct db_value)
#define DB_NO_VALUES NULL, 0

/* Runs a statement that gives no rows. sql must be a literal: its address is the cache's key. */
MUST_USE enum status db_run(struct db *db, const char *sql, const struct db_value *values,
                            size_t value_count, struct error *err);

/* Starts a query; then while (db_row(db, statement, &status, err)) { … }. */
MUST_USE enum status db_query(struct db *db, sqlite3_stmt **out, const char *sql,
                              const struct db_value *values, size_t value_count, struct error *err);
/* True at each row. False at the end or on an error (*status says which); the statement is then
 * free for its next use. A loop that is left early calls db_query_end. */
bool db_row(struct db *db, sqlite3_stmt *statement, enum status *status, struct error *err);
void db_query_end(sqlite3_stmt *statement);

/* Column as text, "" for NULL; as integer, or fallback for NULL. */
const char *db_text(sqlite3_stmt *statement, int column);
int64_t db_int(sqlite3_stmt *statement, int column, int64_t fallback);

/* The single integer that a query gives; fallback when it gives NULL or no row. */
MUST_USE enum status db_query_int(struct db *db, int64_t *out, int64_t fallback, const char *sql,
                                  const struct db_value *values, size_t value_count,
                                  struct error *err);

/* Runs a script of several statements; nothing is cached. */
MUST_USE enum status db_script(struct db *db, const char *sql, struct error *err);
