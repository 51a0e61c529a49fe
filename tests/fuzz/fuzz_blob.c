/* A blob's file, read as what its own header says that it is; what opens has that digest. */
#include <stdlib.h>
#include <string.h>

#include "proto/base/limits.h"
#include "proto/base/reader.h"
#include "proto/store/blob.h"
#include "tests/fuzz/fuzz.h"

/* Larger content would only make the same mistakes more slowly. */
#define CONTENT_BYTES_MAX (64 * KIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err = {0};
    struct blob_coder *coder = NULL;
    struct blob_facts facts;
    struct digest digest = {0};
    struct digest found;
    struct reader reader = reader_over(data, size);

    (void)reader_raw(&reader, 16);
    const uint64_t claimed = reader_u64(&reader);
    const size_t content_bytes = (size_t)(claimed % (CONTENT_BYTES_MAX + 1));
    (void)reader_u64(&reader);
    const uint8_t *address = reader_raw(&reader, DIGEST_BYTES);
    if (address != NULL) {
        memcpy(digest.bytes, address, DIGEST_BYTES);
    }
    uint8_t *content = malloc(content_bytes ? content_bytes : 1);
    FUZZ_ASSERT(content);
    FUZZ_ASSERT(blob_coder_create(&coder, &err) == STATUS_OK);
    enum status status =
        blob_unpack(coder, &digest, content, content_bytes, data, size, "the blob", &facts, &err);
    if (status == STATUS_OK) {
        digest_of(&found, content, content_bytes);
        FUZZ_ASSERT(digest_equal(&found, &digest));
        FUZZ_ASSERT(facts.stored_bytes == size);
    } else {
        FUZZ_ASSERT(status == STATUS_CORRUPT || status == STATUS_UNSUPPORTED);
        FUZZ_ASSERT(strstr(err.message, "the blob") != NULL);
    }
    /* The same payload without the digest in the way of the codecs' own checks. */
    if (size > BLOB_HEADER_BYTES) {
        for (enum blob_codec codec = BLOB_CODEC_RAW; codec <= BLOB_CODEC_PLANES32; codec++) {
            status = blob_decode(coder, codec, content, content_bytes, data + BLOB_HEADER_BYTES,
                                 size - BLOB_HEADER_BYTES, &err);
            FUZZ_ASSERT(status == STATUS_OK || status == STATUS_CORRUPT);
        }
    }
    blob_coder_destroy(coder);
    free(content);
    return 0;
}
