# remorad that dies at a point it is told, and a worker that does what its job's name says.
add_executable(remorad-fault ${PROJECT_SOURCE_DIR}/daemon/main.c ${PROJECT_SOURCE_DIR}/tests/support/fault_points.c)
target_link_libraries(remorad-fault PRIVATE remora_daemon remora_options)
add_executable(scripted-worker ${PROJECT_SOURCE_DIR}/tests/support/scripted_worker.c)
target_link_libraries(scripted-worker PRIVATE remora_rpc remora_shards remora_base remora_options)
set_target_properties(remorad-fault scripted-worker PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)

remora_unit_test(cgroup remora_daemon)
remora_unit_test(metrics remora_daemon)
remora_unit_test(mpirun remora_daemon)
remora_unit_test(outcome remora_daemon)
remora_unit_test(process remora_daemon)
remora_unit_test(queue remora_daemon)
remora_unit_test(scheduler remora_daemon)
remora_unit_test(server remora_daemon)
remora_unit_test(supervisor remora_daemon)

# Their workers are scripted and wait: two of them at once.
remora_integration_test(daemon_jobs LABELS tsan long TIMEOUT 400 CORES 1)
remora_integration_test(daemon_restart LABELS tsan long CORES 1)
remora_integration_test(daemon_protocol LABELS tsan CORES 1)
