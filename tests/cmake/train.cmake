remora_unit_test(sampler remora_train m)
remora_unit_test(records remora_train)
remora_unit_test(run_folder remora_train)
remora_unit_test(reporter remora_train remora_rpc)
remora_unit_test(guard remora_train m)
# These wait for mpirun more than they compute: two of them at once. Those that say long are left out by
# deploy/check --quick.
remora_integration_test(worker_train LABELS mpi CORES 1)
remora_integration_test(worker_export LABELS mpi CORES 1)
remora_integration_test(worker_guard LABELS mpi CORES 1)
remora_integration_test(worker_continue LABELS mpi long CORES 1)
if(NOT REMORA_SANITIZE) # equal bits again and again say nothing new there; memory and time are others
    remora_integration_test(worker_bench)
    remora_integration_test(worker_resume LABELS mpi long CORES 1)
    remora_integration_test(worker_world LABELS mpi long)
    remora_integration_test(worker_methods LABELS mpi long CORES 1)
else()
    remora_note_tests(integration/test_worker_bench.py integration/test_worker_resume.py integration/test_worker_world.py
                      integration/test_worker_methods.py)
endif()
