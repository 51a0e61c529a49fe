remora_learner_test(method)
remora_learner_test(learner)
remora_learner_test(cycle)
remora_unit_test(rank remora_method m)

# Bits say nothing new under a sanitizer, and take minutes there. The others walk the code for
# processors without AVX-512, and with AVX-512 but without bf16 (operands are widened).
if(NOT REMORA_SANITIZE)
    remora_learner_test(thread_bits)
    set_tests_properties(unit.thread_bits PROPERTIES TIMEOUT 240)
    foreach(isa AVX2 AVX512_CORE)
        add_test(NAME unit.thread_bits.${isa} COMMAND test_thread_bits)
        set_tests_properties(unit.thread_bits.${isa} PROPERTIES TIMEOUT 360 LABELS unit
            ENVIRONMENT "OMP_WAIT_POLICY=passive;DNNL_MAX_CPU_ISA=${isa}")
    endforeach()
else()
    remora_note_tests(unit/test_thread_bits.c)
endif()

# An independent implementation in PyTorch, which Debian packages for its own Python only.
add_executable(dump_model reference/dump_model.c)
target_link_libraries(dump_model PRIVATE remora_test_learner PkgConfig::JANSSON remora_options)
set_target_properties(dump_model PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
add_test(NAME reference.model COMMAND /usr/bin/python3
    ${CMAKE_CURRENT_SOURCE_DIR}/reference/check_model.py $<TARGET_FILE:dump_model>)
set_tests_properties(reference.model PROPERTIES
    TIMEOUT 120 LABELS unit SKIP_RETURN_CODE 77 ENVIRONMENT "OMP_WAIT_POLICY=passive")
