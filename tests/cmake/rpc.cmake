remora_library(remora_test_rpc SOURCES ${PROJECT_SOURCE_DIR}/tests/support/rpc_server.c
    PUBLIC remora_rpc remora_test_support Threads::Threads)
foreach(module rpc_message rpc_methods rpc_socket)
    remora_unit_test(${module} remora_rpc)
endforeach()
foreach(module rpc_client rpc_link)
    remora_unit_test(${module} remora_test_rpc)
endforeach()
remora_fuzz_target(rpc_line remora_rpc)
