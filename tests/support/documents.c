#include "tests/support/documents.h"

#include <zlib.h>

#include <zstd.h>

#include "proto/base/file.h"
#include "tests/support/test.h"

static enum status take(void *context, const struct document *document, struct error *err)
{
    struct collected *collected = context;
    (void)err;
    bytes_append(&collected->texts, document->text, document->size);
    bytes_append_char(&collected->texts, '|');
    return STATUS_OK;
}

static void note(void *context, const char *text)
{
    struct collected *collected = context;
    bytes_append_text(&collected->notices, text);
    bytes_append_char(&collected->notices, '\n');
}

void collected_init(struct collected *collected)
{
    *collected = (struct collected){0};
    collected->sink = (struct document_sink){.take = take, .notice = note, .context = collected};
    bytes_append_text(&collected->texts, "");
    bytes_append_text(&collected->notices, "");
}

void collected_deinit(struct collected *collected)
{
    bytes_deinit(&collected->texts);
    bytes_deinit(&collected->notices);
}

static void pack_gzip(struct bytes *out, const void *data, size_t size)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&stream, (uLong)size) + 64;
    assert_true(bytes_reserve(out, room));
    stream.next_in = (Bytef *)(uintptr_t)data;
    stream.avail_in = (uInt)size;
    stream.next_out = (Bytef *)out->data + out->size;
    stream.avail_out = (uInt)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out->size += room - stream.avail_out;
    assert_int_equal(deflateEnd(&stream), Z_OK);
}

void pack(struct bytes *out, enum packing packing, const void *data, size_t size)
{
    switch (packing) {
    case PACKING_NONE:
        bytes_append(out, data, size);
        return;
    case PACKING_GZIP:
        pack_gzip(out, data, size);
        return;
    case PACKING_ZSTD: {
        size_t room = ZSTD_compressBound(size);
        assert_true(bytes_reserve(out, room));
        size_t packed = ZSTD_compress(out->data + out->size, room, data, size, 3);
        assert_false(ZSTD_isError(packed));
        out->size += packed;
        return;
    }
    }
}

void write_input(char *path, const char *folder, const char *name, const void *data, size_t size)
{
    struct error err;
    assert_ok(path_printf(path, &err, "%s/%s", folder, name), &err);
    assert_ok(file_write(path, data, size, 0600, &err), &err);
}
