remora_unit_test(sampler remora_train m)
remora_unit_test(records remora_train)
remora_unit_test(run_folder remora_train)
remora_unit_test(reporter remora_train remora_rpc)
# These wait for mpirun more than they compute: two of them at once.
remora_integration_test(worker_train LABELS mpi CORES 1)
remora_integration_test(worker_resume LABELS mpi CORES 1)
remora_integration_test(worker_export LABELS mpi CORES 1)
remora_integration_test(worker_world LABELS mpi)
