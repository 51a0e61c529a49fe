# Flags of all our targets. Asserts stay on in every build, so no build type may define NDEBUG.
foreach(language C CXX)
    foreach(type RELEASE RELWITHDEBINFO MINSIZEREL)
        string(REPLACE "-DNDEBUG" "" CMAKE_${language}_FLAGS_${type} "${CMAKE_${language}_FLAGS_${type}}")
    endforeach()
endforeach()

add_library(remora_options INTERFACE) # linked PRIVATE by every target of ours
target_include_directories(remora_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
target_compile_definitions(remora_options INTERFACE _GNU_SOURCE REMORA_VERSION="${PROJECT_VERSION}")
set(REMORA_WARNINGS
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wdouble-promotion -Wformat=2
    -Wundef -Wcast-qual -Wvla -Wnull-dereference)
target_compile_options(remora_options INTERFACE
    $<$<COMPILE_LANGUAGE:C>:${REMORA_WARNINGS} -Wstrict-prototypes -Wmissing-prototypes -ffp-contract=off>
    # A library newer than the one of Debian 12 may call deprecated what is all that one has.
    $<$<AND:$<BOOL:${REMORA_WERROR}>,$<COMPILE_LANGUAGE:C>>:-Werror;-Wno-error=deprecated-declarations>)
if(REMORA_SANITIZE)
    target_compile_options(remora_options INTERFACE
        $<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${REMORA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all>)
    target_link_options(remora_options INTERFACE -fsanitize=${REMORA_SANITIZE})
    if(REMORA_SANITIZE MATCHES "address|thread")
        target_sources(remora_options INTERFACE
            $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:${PROJECT_SOURCE_DIR}/tests/support/sanitizer.c>)
    endif()
endif()

# remora_library(<name> SOURCES <file>... [PUBLIC <target>...] [PRIVATE <target>...]): one per folder.
function(remora_library name)
    cmake_parse_arguments(arg "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
    add_library(${name} STATIC ${arg_SOURCES})
    target_link_libraries(${name} PUBLIC ${arg_PUBLIC} PRIVATE ${arg_PRIVATE} remora_options)
endfunction()

# remora_note_tests(<file>...): these files of tests/ are registered, or left out here on purpose;
# tests/CMakeLists.txt fails on any other.
function(remora_note_tests)
    set_property(GLOBAL APPEND PROPERTY REMORA_TEST_FILES ${ARGN})
endfunction()

# remora_unit_test(<module> <library>...): builds tests/unit/test_<module>.c and registers it with ctest.
function(remora_unit_test module)
    remora_note_tests(unit/test_${module}.c)
    add_executable(test_${module} ${PROJECT_SOURCE_DIR}/tests/unit/test_${module}.c)
    target_link_libraries(test_${module} PRIVATE ${ARGN} remora_test_support remora_options)
    set_target_properties(test_${module} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
    add_test(NAME unit.${module} COMMAND test_${module})
    set_tests_properties(unit.${module} PROPERTIES TIMEOUT 60 LABELS unit SKIP_RETURN_CODE 77)
endfunction()

# remora_fuzz_target(<name> <library>...): tests/fuzz/fuzz_<name>.c and its corpus. Every build replays
# the corpus and a fixed set of mutations as a test; the preset "fuzz" builds it with libFuzzer instead:
#   build/fuzz/fuzz/fuzz_spec_yaml -max_total_time=600 NEW_CORPUS tests/fuzz/corpus/spec_yaml
function(remora_fuzz_target name)
    set(source ${PROJECT_SOURCE_DIR}/tests/fuzz/fuzz_${name}.c)
    remora_note_tests(fuzz/fuzz_${name}.c)
    if(REMORA_SANITIZE MATCHES fuzzer)
        add_executable(fuzz_${name} ${source})
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    else()
        add_executable(fuzz_${name} ${source} ${PROJECT_SOURCE_DIR}/tests/fuzz/replay.c)
        add_test(NAME fuzz.${name} COMMAND fuzz_${name} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
        set_tests_properties(fuzz.${name} PROPERTIES TIMEOUT 300 LABELS unit)
    endif()
    target_link_libraries(fuzz_${name} PRIVATE ${ARGN} remora_base remora_options)
    set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
endfunction()
