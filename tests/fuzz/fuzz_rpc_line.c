/* A stream of lines in pieces: the first byte says how large they are. Params are checked, too. */
#include "proto/rpc/framing.h"
#include "proto/rpc/message.h"
#include "proto/rpc/methods.h"
#include "tests/fuzz/fuzz.h"

static void take_line(const struct rpc_catalog *catalog, const char *line, size_t size)
{
    struct error err = {0};
    struct rpc_message message = {0};
    enum rpc_method method = RPC_METHOD_COUNT;
    if (rpc_message_parse(&message, line, size, &err) != STATUS_OK) {
        FUZZ_ASSERT(message.code == RPC_CODE_PARSE_ERROR ||
                    message.code == RPC_CODE_INVALID_REQUEST);
    } else if (message.method && rpc_method_find(&method, message.method, &err) == STATUS_OK) {
        struct bytes out = {0};
        enum status status = rpc_catalog_check_params(catalog, method, message.params, &err);
        FUZZ_ASSERT(status == STATUS_OK || err.message[0] != '\0');
        if (status != STATUS_OK) {
            FUZZ_ASSERT(rpc_write_error(&out, message.id, 0, &err, NULL) == STATUS_OK);
        }
        bytes_deinit(&out);
    }
    rpc_message_deinit(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct rpc_decoder decoder = {0};
    struct rpc_catalog *catalog = NULL;
    FUZZ_ASSERT(rpc_catalog_create(&catalog, &err) == STATUS_OK);
    const size_t piece = size ? (size_t)data[0] + 1 : 1;
    for (size_t at = 1; at < size; at += piece) {
        const char *line = NULL;
        size_t line_size = 0;
        const size_t left = size - at;
        FUZZ_ASSERT(rpc_decoder_feed(&decoder, data + at, left < piece ? left : piece, &err) ==
                    STATUS_OK);
        while (rpc_decoder_next(&decoder, &line, &line_size)) {
            take_line(catalog, line, line_size);
        }
    }
    rpc_decoder_deinit(&decoder);
    rpc_catalog_destroy(catalog);
    return 0;
}
