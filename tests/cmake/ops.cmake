remora_library(remora_test_ops
    SOURCES ${PROJECT_SOURCE_DIR}/tests/support/ops.c
    PUBLIC remora_ops remora_test_support
    PRIVATE m)

# Each walks the instruction-set levels that the processor has.
foreach(module adamw attention backend chunks elementwise embedding exp gemm head moments normal rmsnorm rope rows
        sharing swiglu truncation)
    remora_unit_test(${module} remora_test_ops m)
    set_tests_properties(unit.${module} PROPERTIES TIMEOUT 120)
endforeach()

# What calls oneDNN, with oneDNN (and so our kernels) held to lower levels.
foreach(module attention backend gemm head)
    foreach(isa AVX512_CORE AVX2 SSE41)
        add_test(NAME unit.${module}.${isa} COMMAND test_${module})
        set_tests_properties(unit.${module}.${isa} PROPERTIES TIMEOUT 120 LABELS unit
            SKIP_RETURN_CODE 77 ENVIRONMENT "DNNL_MAX_CPU_ISA=${isa}")
    endforeach()
endforeach()

# exp once more with fused multiply-adds, as in the kernels of the higher levels.
add_executable(test_exp_fma ${PROJECT_SOURCE_DIR}/tests/unit/test_exp.c)
target_link_libraries(test_exp_fma
    PRIVATE remora_ops remora_test_support remora_options remora_level_avx2 m)
set_target_properties(test_exp_fma PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
add_test(NAME unit.exp.fma COMMAND test_exp_fma)
set_tests_properties(unit.exp.fma PROPERTIES TIMEOUT 60 LABELS unit SKIP_RETURN_CODE 77)

add_executable(bench_ops ${PROJECT_SOURCE_DIR}/tests/bench/bench_ops.c)
target_link_libraries(bench_ops PRIVATE remora_ops remora_options)
set_target_properties(bench_ops PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
