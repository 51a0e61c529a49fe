remora_unit_test(spectrum remora_eval remora_ops m)
remora_integration_test(worker_spectrum LABELS mpi)
