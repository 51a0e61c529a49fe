remora_unit_test(schema remora_schema)
foreach(module spec spec_messages spec_yaml train_spec)
    remora_unit_test(${module} remora_spec)
endforeach()
remora_unit_test(spec_inputs remora_spec remora_shards)

# Our validator against another one, which Debian packages for its own Python only.
add_executable(spec_verdict ${PROJECT_SOURCE_DIR}/tests/support/spec_verdict.c)
target_link_libraries(spec_verdict PRIVATE remora_spec remora_options)
set_target_properties(spec_verdict PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
add_test(NAME reference.schema_verdicts
    COMMAND /usr/bin/python3 ${PROJECT_SOURCE_DIR}/tests/reference/schema_verdicts.py
            $<TARGET_FILE:spec_verdict> ${PROJECT_SOURCE_DIR}/schemas/job.schema.json)
set_tests_properties(reference.schema_verdicts PROPERTIES TIMEOUT 300 LABELS unit SKIP_RETURN_CODE 77)

remora_fuzz_target(spec_yaml remora_spec)
remora_fuzz_target(spec_json remora_spec)
