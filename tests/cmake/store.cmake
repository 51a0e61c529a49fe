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

# Crashes: recorded calls of a program, replayed with what was not synced lost.
add_executable(crash_store
    ${PROJECT_SOURCE_DIR}/tests/faults/crash_log.c ${PROJECT_SOURCE_DIR}/tests/faults/test_crash_store.c)
target_link_libraries(crash_store PRIVATE remora_test_checkpoints remora_options)
set_target_properties(crash_store PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
add_test(NAME faults.crash_store COMMAND crash_store)
set_tests_properties(faults.crash_store PROPERTIES TIMEOUT 300 LABELS unit)
