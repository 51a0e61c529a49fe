remora_library(remora_test_ops
    SOURCES ${PROJECT_SOURCE_DIR}/tests/support/ops.c
    PUBLIC remora_ops remora_test_support
    PRIVATE m)

remora_unit_test(exp remora_test_ops m)

# Each at all levels that the processor has, and once with oneDNN and our kernels held to lower ones.
foreach(module gemm)
    remora_unit_test(${module} remora_test_ops m)
    foreach(isa AVX2 SSE41)
        add_test(NAME unit.${module}.${isa} COMMAND test_${module})
        set_tests_properties(unit.${module}.${isa} PROPERTIES TIMEOUT 120 LABELS unit
            SKIP_RETURN_CODE 77 ENVIRONMENT "DNNL_MAX_CPU_ISA=${isa}")
    endforeach()
endforeach()
