remora_unit_test(schedule remora_optim m)
remora_learner_test(optim)
