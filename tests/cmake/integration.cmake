# remora_integration_test(<name> [LABELS <label>...] [TIMEOUT <seconds>] [CORES <n>]): registers
# tests/integration/test_<name>.py, which runs the real programs of this build.
function(remora_integration_test name)
    cmake_parse_arguments(arg "" "TIMEOUT;CORES" "LABELS" ${ARGN})
    remora_note_tests(integration/test_${name}.py)
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 300)
    endif()
    if(NOT arg_CORES)
        set(arg_CORES 2)
    endif()
    set(patience 1)
    if(REMORA_SANITIZE)
        set(patience 5)
        math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 4")
    endif()
    add_test(NAME integration.${name}
             COMMAND /usr/bin/python3 ${PROJECT_SOURCE_DIR}/tests/integration/test_${name}.py)
    set_tests_properties(integration.${name} PROPERTIES
        TIMEOUT ${arg_TIMEOUT} LABELS "integration;${arg_LABELS}" SKIP_RETURN_CODE 77
        PROCESSORS ${arg_CORES}
        ENVIRONMENT "REMORA_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};REMORA_TEST_PATIENCE=${patience};PYTHONPATH=${PROJECT_SOURCE_DIR}/tests/support;PYTHONDONTWRITEBYTECODE=1")
endfunction()
