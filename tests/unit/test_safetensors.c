#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/digest.h"
#include "proto/base/file.h"
#include "proto/tensors/safetensors.h"
#include "tests/support/test.h"

static const char golden_header[] =
    "{\"__metadata__\":{\"format\":\"pt\","
    "\"sha256.a\":\"c16372899a2906d5f8ddcbd6371a6e2315909b9a7195368ed55793904e9b33d3\","
    "\"sha256.b\":\"ea2845900b5856c9bf354b1aa9761b5aa6888e5ed61738fe9579ca42bc0f6054\"},\"a\":{\"data_offsets\":[0,16],\"dtype\":\"F32\",\"shape\""
    ":[2,2]},\"b\":{\"data_offsets\":[16,20],\"dtype\":\"F32\",\"shape\":[]}}";
static const float a_data[4] = {1.0F, -2.0F, 0.5F, 0.0F};
static const float b_data[1] = {3.0F};

struct fixture {
    char folder[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
};

static int setup(void **state)
{
    struct error err;
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    test_folder_create(fixture->folder);
    assert_ok(path_printf(fixture->path, &err, "%s/model.safetensors", fixture->folder), &err);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    test_folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

static int entry_count(const char *folder)
{
    int count = 0;
    DIR *entries = opendir(folder);
    assert_non_null(entries);
    while (readdir(entries) != NULL) {
        count++;
    }
    (void)closedir(entries);
    return count - 2;
}

static enum status add_tensors(struct safetensors_writer *writer, struct error *err)
{
    const struct tensor_shape a_shape = {2, {2, 2}};
    const struct tensor_shape b_shape = {0, {0}};
    enum status status = safetensors_writer_metadata(writer, "format", "pt", err);
    if (status == STATUS_OK) {
        status = safetensors_writer_add(writer, "a", TENSOR_DTYPE_F32, &a_shape, err);
    }
    if (status == STATUS_OK) {
        status = safetensors_writer_add(writer, "b", TENSOR_DTYPE_F32, &b_shape, err);
    }
    return status;
}

/* Writes the golden file, its data in uneven pieces. */
static enum status write_golden(void *context, struct error *err)
{
    const struct fixture *fixture = context;
    struct safetensors_writer *writer = NULL;
    enum status status = safetensors_writer_create(&writer, fixture->path, err);
    if (status) {
        return status;
    }
    status = add_tensors(writer, err);
    if (status == STATUS_OK) {
        status = safetensors_writer_write(writer, a_data, 5, err);
    }
    if (status == STATUS_OK) {
        status = safetensors_writer_write(writer, (const char *)a_data + 5, 11, err);
    }
    if (status == STATUS_OK) {
        status = safetensors_writer_write(writer, b_data, sizeof b_data, err);
    }
    if (status == STATUS_OK) {
        status = safetensors_writer_finish(writer, err);
    }
    safetensors_writer_destroy(writer);
    return status;
}

/* A file of this header, as it stands, and data_bytes bytes of data. */
static void write_raw(const struct fixture *fixture, const char *header, size_t data_bytes)
{
    struct error err;
    struct bytes bytes = {0};
    bytes_append_u64(&bytes, strlen(header));
    bytes_append_text(&bytes, header);
    for (size_t i = 0; i < data_bytes; i++) {
        bytes_append_char(&bytes, (char)i);
    }
    assert_ok(file_write(fixture->path, bytes.data, bytes.size, 0600, &err), &err);
    bytes_deinit(&bytes);
}

static void the_written_file_is_golden(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct bytes bytes = {0};
    size_t header_bytes = (strlen(golden_header) + 7) / 8 * 8;
    assert_ok(write_golden(fixture, &err), &err);
    assert_ok(file_read(&bytes, fixture->path, 1 * MIB, &err), &err);
    assert_int_equal(bytes.size, 8 + header_bytes + 20);
    assert_int_equal((uint8_t)bytes.data[0] | (uint8_t)bytes.data[1] << 8, header_bytes);
    assert_memory_equal(bytes.data + 8, golden_header, strlen(golden_header));
    for (size_t i = strlen(golden_header); i < header_bytes; i++) {
        assert_int_equal(bytes.data[8 + i], ' ');
    }
    assert_memory_equal(bytes.data + 8 + header_bytes, a_data, 16);
    assert_memory_equal(bytes.data + 8 + header_bytes + 16, b_data, 4);
    bytes_deinit(&bytes);
}

static void what_was_written_is_read_back(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct safetensors_reader *reader = NULL;
    float values[4];
    size_t index = 9;
    assert_ok(write_golden(fixture, &err), &err);
    assert_ok(safetensors_reader_open(&reader, fixture->path, &err), &err);
    assert_int_equal(safetensors_reader_count(reader), 2);
    assert_string_equal(safetensors_reader_metadata(reader, "format"), "pt");
    assert_null(safetensors_reader_metadata(reader, "other"));
    const struct tensor_info *info = safetensors_reader_find(reader, "b", &index);
    assert_non_null(info);
    assert_int_equal(index, 1);
    assert_int_equal(info->bytes, 4);
    assert_ok(safetensors_reader_read(reader, 1, 0, values, 4, &err), &err);
    assert_memory_equal(values, b_data, 4);
    assert_ok(safetensors_reader_read(reader, 0, 4, values, 8, &err), &err);
    assert_memory_equal(values, a_data + 1, 8);
    assert_int_equal(safetensors_reader_read(reader, 0, 4, values, 13, &err), STATUS_INVALID);
    assert_int_equal(safetensors_reader_read(reader, 0, SIZE_MAX, values, 2, &err), STATUS_INVALID);
    assert_null(safetensors_reader_find(reader, "c", NULL));
    assert_string_equal(safetensors_reader_tensor(reader, 0)->name, "a");
    safetensors_reader_close(reader);
}

static void every_truncation_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct bytes bytes = {0};
    struct safetensors_reader *reader = NULL;
    assert_ok(write_golden(fixture, &err), &err);
    assert_ok(file_read(&bytes, fixture->path, 1 * MIB, &err), &err);
    for (size_t size = 0; size < bytes.size; size++) {
        assert_ok(file_write(fixture->path, bytes.data, size, 0600, &err), &err);
        assert_int_equal(safetensors_reader_open(&reader, fixture->path, &err), STATUS_CORRUPT);
        assert_contains(err.message, fixture->path);
    }
    bytes_append_char(&bytes, 'x'); /* and a byte too many */
    assert_ok(file_write(fixture->path, bytes.data, bytes.size, 0600, &err), &err);
    assert_int_equal(safetensors_reader_open(&reader, fixture->path, &err), STATUS_CORRUPT);
    assert_null(reader);
    bytes_deinit(&bytes);
}

/* Every bit of the data, and what it is that notices. */
static void flipped_bits_of_data_are_noticed(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct bytes bytes = {0};
    assert_ok(write_golden(fixture, &err), &err);
    assert_ok(file_read(&bytes, fixture->path, 1 * MIB, &err), &err);
    const size_t data = bytes.size - 20;
    for (size_t bit = 0; bit < 20 * 8; bit++) {
        struct safetensors_reader *reader = NULL;
        const size_t damaged = bit / 8 < 16 ? 0 : 1;
        bytes.data[data + bit / 8] = (char)(bytes.data[data + bit / 8] ^ (1 << bit % 8));
        assert_ok(file_write(fixture->path, bytes.data, bytes.size, 0600, &err), &err);
        assert_ok(safetensors_reader_open(&reader, fixture->path, &err), &err);
        assert_int_equal(safetensors_reader_stream(reader, damaged, NULL, NULL, &err),
                         STATUS_CORRUPT);
        assert_contains(err.message, fixture->path);
        assert_contains(err.message, damaged == 0 ? "tensor 'a'" : "tensor 'b'");
        assert_contains(err.message, "sha256");
        assert_ok(safetensors_reader_stream(reader, 1 - damaged, NULL, NULL, &err), &err);
        safetensors_reader_close(reader);
        bytes.data[data + bit / 8] = (char)(bytes.data[data + bit / 8] ^ (1 << bit % 8));
    }
    bytes_deinit(&bytes);
}

/* None may crash, and a file that is still accepted says what the golden one says of its data. */
static void flipped_bits_of_the_header_are_survived(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct bytes bytes = {0};
    size_t accepted = 0;
    assert_ok(write_golden(fixture, &err), &err);
    assert_ok(file_read(&bytes, fixture->path, 1 * MIB, &err), &err);
    const size_t header_bits = (bytes.size - 20) * 8;
    for (size_t bit = 0; bit < header_bits; bit++) {
        struct safetensors_reader *reader = NULL;
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ (1 << bit % 8));
        assert_ok(file_write(fixture->path, bytes.data, bytes.size, 0600, &err), &err);
        if (safetensors_reader_open(&reader, fixture->path, &err) == STATUS_OK) {
            size_t total = 0;
            for (size_t i = 0; i < safetensors_reader_count(reader); i++) {
                total += safetensors_reader_tensor(reader, i)->bytes;
            }
            assert_int_equal(total, 20);
            accepted++;
        } else {
            assert_contains(err.message, fixture->path);
        }
        safetensors_reader_close(reader);
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ (1 << bit % 8));
    }
    assert_true(accepted < header_bits / 2); /* letters of names, digits of digests */
    bytes_deinit(&bytes);
}

/* Adds up what it is given, and wants whole elements. */
static enum status sum_floats(void *context, const void *data, size_t size, struct error *err)
{
    double *sum = context;
    (void)err;
    assert_int_equal(size % sizeof(float), 0);
    for (size_t i = 0; i < size / sizeof(float); i++) {
        float value;
        memcpy(&value, (const char *)data + i * sizeof value, sizeof value);
        *sum += (double)value;
    }
    return STATUS_OK;
}

static void a_large_tensor_is_streamed_in_pieces(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct safetensors_writer *writer = NULL;
    struct safetensors_reader *reader = NULL;
    enum { COUNT = (int)(SAFETENSORS_PIECE_BYTES / 2) + 3 }; /* two pieces and a bit */
    const struct tensor_shape shape = {1, {COUNT}};
    float *values = calloc(COUNT, sizeof *values);
    double sum = 0.0;
    assert_non_null(values);
    for (int i = 0; i < COUNT; i++) {
        values[i] = (float)(i % 7);
        sum -= (double)values[i];
    }
    assert_ok(safetensors_writer_create(&writer, fixture->path, &err), &err);
    assert_ok(safetensors_writer_add(writer, "w", TENSOR_DTYPE_F32, &shape, &err), &err);
    assert_ok(safetensors_writer_write(writer, values, COUNT * sizeof *values, &err), &err);
    assert_ok(safetensors_writer_finish(writer, &err), &err);
    safetensors_writer_destroy(writer);
    assert_ok(safetensors_reader_open(&reader, fixture->path, &err), &err);
    assert_ok(safetensors_reader_stream(reader, 0, sum_floats, &sum, &err), &err);
    assert_true(sum >= 0.0 && sum <= 0.0);
    safetensors_reader_close(reader);
    free(values);
}

static void what_is_no_plain_file_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct safetensors_reader *reader = NULL;
    char link[PATH_BYTES_MAX];
    assert_ok(write_golden(fixture, &err), &err);
    assert_ok(path_printf(link, &err, "%s/link.safetensors", fixture->folder), &err);
    assert_int_equal(symlink(fixture->path, link), 0);
    assert_int_equal(safetensors_reader_open(&reader, link, &err), STATUS_INVALID);
    assert_contains(err.message, "link.safetensors' is a symbolic link");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink(link, link), 0); /* of itself */
    assert_int_equal(safetensors_reader_open(&reader, link, &err), STATUS_INVALID);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(mkfifo(link, 0600), 0); /* would block */
    assert_int_equal(safetensors_reader_open(&reader, link, &err), STATUS_INVALID);
    assert_int_equal(safetensors_reader_open(&reader, fixture->folder, &err), STATUS_INVALID);
    assert_contains(err.message, "is not a file");
    assert_null(reader);
}

/* jansson's own allocations, counted. */
static size_t allocated;
static size_t allocated_most;

static void *counting_malloc(size_t size)
{
    size_t *block = malloc(size + 16);
    if (block == NULL) {
        return NULL;
    }
    *block = size;
    allocated += size;
    allocated_most = allocated > allocated_most ? allocated : allocated_most;
    return block + 2;
}

static void counting_free(void *pointer)
{
    if (pointer != NULL) {
        size_t *block = (size_t *)pointer - 2;
        allocated -= *block;
        free(block);
    }
}

/* size bytes of one unit again and again, # in it counted up. */
static void append_units(struct bytes *out, const char *unit, size_t size)
{
    for (size_t i = 0; out->size < size; i++) {
        for (const char *c = unit; *c != '\0'; c++) {
            if (*c == '#') {
                bytes_printf(out, "%zx", i);
            } else {
                bytes_append_char(out, *c);
            }
        }
        bytes_append_char(out, ',');
    }
    out->size--;
}

static void headers_of_any_shape_stay_within_their_memory(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *before;
        const char *unit;
        const char *after;
    } cases[] = {
        {"{\"w\":[", "1", "]}"},
        {"{\"w\":[", "1  ", "]}"},
        {"{\"w\":[", "[]", "]}"},
        {"{\"w\":[", "[]   ", "]}"},
        {"{\"w\":[", "{}      ", "]}"},
        {"{\"w\":[", "{}", "]}"},
        {"{", "\"#\":1", "}"},
        {"{", "\"#\":{}", "}"},
        {"{", "\"00#\":{}  ", "}"},
        {"{\"__metadata__\":{", "\"#\":\"\"", "}}"},
        {"{\"__metadata__\":{", "\"00#\":\"\"", "}}"},
        {"{", "\"#\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", "}"},
    };
    allocated = 0;
    json_set_alloc_funcs(counting_malloc, counting_free);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        struct safetensors_reader *reader = NULL;
        struct bytes header = {0};
        bytes_append_text(&header, cases[i].before);
        append_units(&header, cases[i].unit, 300000);
        bytes_append_text(&header, cases[i].after);
        bytes_append_char(&header, '\0');
        write_raw(fixture, header.data, 0);
        allocated_most = 0;
        (void)!safetensors_reader_open(&reader, fixture->path, &err);
        if (allocated_most > header.size * SAFETENSORS_MEMORY_RATIO) {
            fail_msg("case %zu: %zu bytes for a header of %zu", i, allocated_most, header.size);
        }
        safetensors_reader_close(reader);
        bytes_deinit(&header);
        assert_int_equal(allocated, 0);
    }
    json_set_alloc_funcs(malloc, free);
}

#define TENSOR(offsets, dtype, shape) \
 "{\"w\":{\"data_offsets\":" offsets ",\"dtype\":\"" dtype "\",\"shape\":" shape "}}"
#define PAIR(first, second)                                            \
 "{\"v\":{\"data_offsets\":" first ",\"dtype\":\"U8\",\"shape\":[8]}," \
 "\"w\":{\"data_offsets\":" second ",\"dtype\":\"U8\",\"shape\":[8]}}"

#define DATA "\"w\":{\"data_offsets\":[0,16],\"dtype\":\"U8\",\"shape\":[16]}"

static void headers_that_lie_are_refused_by_tensor(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *header; /* of a file with 16 bytes of data */
        enum status status;
        const char *part;
    } cases[] = {
        {TENSOR("[0,16]", "F32", "[4]"), STATUS_OK, ""},
        {PAIR("[8,16]", "[0,8]"), STATUS_OK, ""},
        {TENSOR("[0,16]", "F32", "[4]") "  ", STATUS_OK, ""},
        {TENSOR("[0,16]", "F32", "[5]"), STATUS_CORRUPT,
         "tensor 'w': 16 bytes at data_offsets, 20"},
        {TENSOR("[0,12]", "F32", "[3]"), STATUS_CORRUPT, "of which tensors take 12"},
        {TENSOR("[0,20]", "F32", "[5]"), STATUS_CORRUPT,
         "tensor 'w': data_offsets [0, 20] are not"},
        {TENSOR("[4,16]", "F32", "[3]"), STATUS_CORRUPT, "tensor 'w': its data begins at 4"},
        {TENSOR("[16,0]", "F32", "[4]"), STATUS_CORRUPT, "tensor 'w': data_offsets"},
        {TENSOR("[-4,12]", "F32", "[4]"), STATUS_CORRUPT, "tensor 'w': data_offsets"},
        {TENSOR("[0]", "F32", "[4]"), STATUS_CORRUPT, "two whole numbers"},
        {TENSOR("[0,16,16]", "F32", "[4]"), STATUS_CORRUPT, "two whole numbers"},
        {TENSOR("[0,16.0]", "F32", "[4]"), STATUS_CORRUPT, "two whole numbers"},
        {TENSOR("{}", "F32", "[4]"), STATUS_CORRUPT, "two whole numbers"},
        {TENSOR("[0,16]", "F33", "[4]"), STATUS_UNSUPPORTED, "tensor 'w': unknown dtype 'F33'"},
        {TENSOR("[0,16]", "F32", "[-4]"), STATUS_CORRUPT, "extent 0"},
        {TENSOR("[0,16]", "F32", "[4.0]"), STATUS_CORRUPT, "extent 0"},
        {TENSOR("[0,16]", "F32", "4"), STATUS_CORRUPT, "shape is not a list"},
        {TENSOR("[0,16]", "F32", "[4,1,1,1,1,1,1,1,1]"), STATUS_CORRUPT, "shape is not a list"},
        {TENSOR("[0,16]", "F32", "[4611686018427387904,4]"), STATUS_CORRUPT, "2^53"},
        {TENSOR("[0,16]", "F32", "[4503599627370496,4503599627370496]"), STATUS_CORRUPT,
         "too large"},
        {PAIR("[0,8]", "[0,8]"), STATUS_CORRUPT, "tensor 'w': its data begins at 0"},
        {PAIR("[0,8]", "[4,12]"), STATUS_CORRUPT, "tensor 'w': its data begins at 4"},
        {"{\"w\":{\"data_offsets\":[0,16],\"shape\":[4]}}", STATUS_CORRUPT, "dtype is missing"},
        {"{\"w\":[]}", STATUS_CORRUPT, "tensor 'w': dtype is missing"},
        {"{\"w\":1,\"w\":1}", STATUS_CORRUPT, "duplicate"},
        {"{\"__metadata__\":{\"a\":1}}", STATUS_CORRUPT, "__metadata__"},
        {"{\"__metadata__\":[]}", STATUS_CORRUPT, "__metadata__"},
        {"{\"__metadata__\":{\"sha256.v\":\"00\"}," DATA "}", STATUS_CORRUPT, "no such tensor"},
        {"{\"__metadata__\":{\"sha256.w\":\"00\"}," DATA "}", STATUS_CORRUPT,
         "tensor 'w': its sha256"},
        {"{\"__metadata__\":{\"sha256\":\"00\"}," DATA "}", STATUS_OK, ""},
        {"{\"w\\u0000\":{}}", STATUS_CORRUPT, ""},
        {"{\"\":{}}", STATUS_CORRUPT, "printable"},
        {"{\"a\\nb\":{}}", STATUS_CORRUPT, "printable"},
        {"{}", STATUS_CORRUPT, "16 bytes of data, of which tensors take 0"},
        {" {}", STATUS_CORRUPT, "no JSON object"},
        {"[]", STATUS_CORRUPT, "no JSON object"},
        {"", STATUS_CORRUPT, "no JSON object"},
        {"{", STATUS_CORRUPT, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = {0};
        struct safetensors_reader *reader = NULL;
        write_raw(fixture, cases[i].header, 16);
        assert_int_equal(safetensors_reader_open(&reader, fixture->path, &err), cases[i].status);
        assert_contains(err.message, cases[i].part);
        safetensors_reader_close(reader);
    }
}

static void the_header_size_has_a_limit(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct safetensors_reader *reader = NULL;
    struct bytes bytes = {0};
    bytes_append_u64(&bytes, SAFETENSORS_HEADER_BYTES_MAX + 1);
    assert_true(bytes_reserve(&bytes, SAFETENSORS_HEADER_BYTES_MAX + 1));
    memset(bytes.data + 8, ' ', SAFETENSORS_HEADER_BYTES_MAX + 1);
    bytes.data[8] = '{';
    bytes.data[9] = '}';
    bytes.size += SAFETENSORS_HEADER_BYTES_MAX + 1;
    assert_ok(file_write(fixture->path, bytes.data, bytes.size, 0600, &err), &err);
    assert_int_equal(safetensors_reader_open(&reader, fixture->path, &err), STATUS_LIMIT);
    bytes.data[0]--; /* one less: the last byte is data, which no tensor has */
    assert_ok(file_write(fixture->path, bytes.data, bytes.size, 0600, &err), &err);
    assert_int_equal(safetensors_reader_open(&reader, fixture->path, &err), STATUS_CORRUPT);
    assert_ok(file_write(fixture->path, bytes.data, bytes.size - 1, 0600, &err), &err);
    assert_ok(safetensors_reader_open(&reader, fixture->path, &err), &err);
    safetensors_reader_close(reader);
    memset(bytes.data, 0xFF, 8);
    assert_ok(file_write(fixture->path, bytes.data, 100, 0600, &err), &err);
    assert_int_equal(safetensors_reader_open(&reader, fixture->path, &err), STATUS_CORRUPT);
    bytes_deinit(&bytes);
}

static void check_absent_or_whole(void *context, enum status status, const struct error *err)
{
    const struct fixture *fixture = context;
    struct safetensors_reader *reader = NULL;
    struct error ignored;
    (void)err;
    if (file_exists(fixture->path)) {
        assert_ok(safetensors_reader_open(&reader, fixture->path, &ignored), &ignored);
        safetensors_reader_close(reader);
        assert_int_equal(entry_count(fixture->folder), 1);
        assert_int_equal(remove(fixture->path), 0);
    } else {
        assert_true(status != STATUS_OK);
        assert_int_equal(entry_count(fixture->folder), 0);
    }
}

static enum status read_golden(void *context, struct error *err)
{
    const struct fixture *fixture = context;
    struct safetensors_reader *reader = NULL;
    float values[4];
    enum status status = safetensors_reader_open(&reader, fixture->path, err);
    if (status == STATUS_OK) {
        status = safetensors_reader_read(reader, 0, 0, values, sizeof values, err);
    }
    safetensors_reader_close(reader);
    return status;
}

static void every_failing_call_is_clean(void **state)
{
    struct fixture *fixture = *state;
    test_fail_each_call(write_golden, check_absent_or_whole, fixture);
    test_fail_each_call(read_golden, NULL, fixture);
}

static void misuse_of_the_writer_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct safetensors_writer *writer = NULL;
    const struct tensor_shape three = {1, {3}};
    const struct tensor_shape one = {1, {1}};
    assert_ok(safetensors_writer_create(&writer, fixture->path, &err), &err);
    assert_ok(safetensors_writer_add(writer, "u", TENSOR_DTYPE_U8, &three, &err), &err);
    assert_int_equal(safetensors_writer_add(writer, "u", TENSOR_DTYPE_U8, &three, &err),
                     STATUS_CONFLICT);
    assert_int_equal(safetensors_writer_add(writer, "w", TENSOR_DTYPE_F32, &one, &err),
                     STATUS_INVALID);
    assert_contains(err.message, "unaligned");
    assert_int_equal(safetensors_writer_add(writer, "__metadata__", TENSOR_DTYPE_U8, &one, &err),
                     STATUS_INVALID);
    assert_int_equal(safetensors_writer_metadata(writer, "k", "\xFF", &err), STATUS_INVALID);
    assert_ok(safetensors_writer_write(writer, "ab", 2, &err), &err);
    assert_int_equal(safetensors_writer_write(writer, "cd", 2, &err), STATUS_INVALID);
    assert_int_equal(safetensors_writer_finish(writer, &err), STATUS_INVALID);
    assert_contains(err.message, "2 of the 3 bytes");
    safetensors_writer_destroy(writer);
    assert_int_equal(entry_count(fixture->folder), 0);
}

static void a_file_of_no_tensors_or_empty_ones_is_fine(void **state)
{
    struct fixture *fixture = *state;
    struct error err;
    struct safetensors_writer *writer = NULL;
    struct safetensors_reader *reader = NULL;
    const struct tensor_shape empty = {2, {0, 5}};
    for (size_t count = 0; count < 3; count++) {
        static const char *const names[] = {"x", "y"};
        assert_ok(safetensors_writer_create(&writer, fixture->path, &err), &err);
        for (size_t i = 0; i < count; i++) {
            assert_ok(safetensors_writer_add(writer, names[i], TENSOR_DTYPE_F32, &empty, &err),
                      &err);
        }
        assert_ok(safetensors_writer_finish(writer, &err), &err);
        safetensors_writer_destroy(writer);
        assert_ok(safetensors_reader_open(&reader, fixture->path, &err), &err);
        assert_int_equal(safetensors_reader_count(reader), count);
        safetensors_reader_close(reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_written_file_is_golden, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_written_is_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(every_truncation_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(headers_that_lie_are_refused_by_tensor, setup, teardown),
        cmocka_unit_test_setup_teardown(flipped_bits_of_data_are_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(flipped_bits_of_the_header_are_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_tensor_is_streamed_in_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_plain_file_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(headers_of_any_shape_stay_within_their_memory, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_header_size_has_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(every_failing_call_is_clean, setup, teardown),
        cmocka_unit_test_setup_teardown(misuse_of_the_writer_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_of_no_tensors_or_empty_ones_is_fine, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
