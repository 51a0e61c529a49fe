remora_fuzz_target(hf_config remora_convert remora_spec remora_model)
remora_unit_test(half remora_convert m)
remora_integration_test(worker_import LABELS mpi)
remora_integration_test(worker_peft LABELS mpi)
