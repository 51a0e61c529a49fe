#include <fcntl.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "tests/support/test.h"
#include "worker/train/records.h"

static char folder[PATH_BYTES_MAX];
static char path[PATH_BYTES_MAX + sizeof RECORDS_FILE + 1];

static int create_folder(void **state)
{
    (void)state;
    test_folder_create(folder);
    (void)snprintf(path, sizeof path, "%s/%s", folder, RECORDS_FILE);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    test_folder_remove(folder);
    return 0;
}

static void append(struct records *records, int64_t step)
{
    struct error err;
    json_t *fields = json_object();

    records_set_exact(fields, "loss", 0.1 * (double)step);
    assert_ok(records_append(records, "step", step, fields, &err), &err);
}

static int64_t count_lines(void)
{
    struct bytes text = {0};
    struct error err;
    int64_t lines = 0;

    assert_ok(file_read(&text, path, MIB, &err), &err);
    for (size_t i = 0; i < text.size; i++) {
        lines += text.data[i] == '\n';
    }
    assert_true(text.size == 0 || text.data[text.size - 1] == '\n');
    bytes_deinit(&text);
    return lines;
}

static void a_record_has_its_type_attempt_step_and_exact_bits(void **state)
{
    struct records records;
    struct bytes text = {0};
    json_t *record = NULL;
    struct error err;
    (void)state;

    assert_ok(records_open(&records, folder, 3, &err), &err);
    append(&records, 1);
    assert_ok(records_sync(&records, &err), &err);
    assert_ok(records_read(&records, 0, RECORD_BYTES_MAX, &text, &err), &err);
    assert_int_equal(text.size, records.size);
    assert_ok(json_parse(&record, text.data, text.size, "record", &err), &err);
    assert_string_equal(json_get_text(record, "type", ""), "step");
    assert_int_equal(json_get_int(record, "attempt", -1), 3);
    assert_int_equal(json_get_int(record, "step", -1), 1);
    assert_true(json_get_int(record, "time_ms", 0) > 1600000000000);
    assert_true(json_get_real(record, "loss", 0.0) == 0.1);
    assert_string_equal(json_get_text(record, "loss_bits", ""), "0x3fb999999999999a");
    json_decref(record);
    bytes_deinit(&text);
    records_close(&records);
}

/* A kill may leave any prefix of the last line. */
static void a_torn_tail_is_dropped_at_every_byte(void **state)
{
    struct records records;
    struct bytes whole = {0};
    struct error err;
    (void)state;

    assert_ok(records_open(&records, folder, 1, &err), &err);
    append(&records, 1);
    append(&records, 2);
    int64_t two = records.size;
    append(&records, 3);
    int64_t three = records.size;
    records_close(&records);
    assert_ok(file_read(&whole, path, MIB, &err), &err);
    for (int64_t size = 0; size <= three; size++) {
        assert_ok(file_write(path, whole.data, (size_t)size, 0644, &err), &err);
        assert_ok(records_open(&records, folder, 2, &err), &err);
        assert_true(records.size <= size);
        if (size >= two) {
            assert_int_equal(records.size, size == three ? three : two);
        }
        int64_t before = count_lines();
        append(&records, 4);
        assert_int_equal(count_lines(), before + 1);
        records_close(&records);
    }
    bytes_deinit(&whole);
}

/* A crash of the machine may leave zeros where the last write was. */
static void a_tail_of_zeros_is_dropped(void **state)
{
    static const char zeros[100] = {0};
    struct records records;
    struct error err;
    (void)state;

    assert_ok(records_open(&records, folder, 1, &err), &err);
    append(&records, 1);
    int64_t one = records.size;
    assert_int_equal(write(records.fd, zeros, sizeof zeros), sizeof zeros);
    assert_int_equal(write(records.fd, "\n", 1), 1);
    records_close(&records);
    assert_ok(records_open(&records, folder, 1, &err), &err);
    assert_int_equal(records.size, one);
    records_close(&records);
}

static void reading_gives_whole_lines_only(void **state)
{
    struct records records;
    struct bytes text = {0};
    struct error err;
    int64_t lines = 0;
    (void)state;

    assert_ok(records_open(&records, folder, 1, &err), &err);
    for (int64_t step = 0; step < 2000; step++) {
        append(&records, step);
    }
    for (int64_t offset = 0; offset < records.size;) {
        bytes_clear(&text);
        assert_ok(records_read(&records, offset, RECORD_BYTES_MAX, &text, &err), &err);
        assert_true(0 < text.size && text.size <= RECORD_BYTES_MAX);
        assert_int_equal(text.data[text.size - 1], '\n');
        for (size_t i = 0; i < text.size; i++) {
            lines += text.data[i] == '\n';
        }
        offset += (int64_t)text.size;
    }
    assert_int_equal(lines, 2000);
    bytes_deinit(&text);
    records_close(&records);
}

static void a_record_over_the_limit_is_refused_and_nothing_written(void **state)
{
    struct records records;
    struct error err;
    (void)state;

    char *text = malloc(RECORD_BYTES_MAX + 1);
    memset(text, 'x', RECORD_BYTES_MAX);
    text[RECORD_BYTES_MAX] = '\0';
    assert_ok(records_open(&records, folder, 1, &err), &err);
    json_t *fields = json_pack("{s:s}", "message", text);
    assert_int_equal(records_append(&records, "warning", 0, fields, &err), STATUS_LIMIT);
    assert_int_equal(records.size, 0);
    assert_int_equal(file_size(path), 0);
    records_close(&records);
    free(text);
}

#define with_folder(test) cmocka_unit_test_setup_teardown(test, create_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_folder(a_record_has_its_type_attempt_step_and_exact_bits),
        with_folder(a_torn_tail_is_dropped_at_every_byte),
        with_folder(a_tail_of_zeros_is_dropped),
        with_folder(reading_gives_whole_lines_only),
        with_folder(a_record_over_the_limit_is_refused_and_nothing_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
