remora_library(remora_test_checkpoints
    SOURCES support/checkpoints.c
    PUBLIC remora_store remora_test_support)
remora_unit_test(blob remora_store)
remora_unit_test(blob_codec remora_store m)
remora_unit_test(digest_set remora_store)
remora_unit_test(lineage remora_store)
remora_unit_test(manifest remora_store remora_schema remora_test_checkpoints)
remora_unit_test(store remora_store remora_test_checkpoints)

remora_fuzz_target(blob remora_store)
