remora_unit_test(sampler remora_train m)
remora_unit_test(records remora_train)
