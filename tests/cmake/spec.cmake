remora_unit_test(schema remora_schema)
remora_unit_test(spec_messages remora_spec)

remora_fuzz_target(spec_yaml remora_spec)
remora_fuzz_target(spec_json remora_spec)
