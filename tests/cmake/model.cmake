add_library(remora_test_learner STATIC support/learner_fixture.c support/method_variants.c)
target_link_libraries(remora_test_learner PUBLIC remora_method remora_test_support m
                      PRIVATE remora_options)

# remora_learner_test(<module>): a unit test that runs models. Threads that wait by spinning make
# minutes of seconds where cores are shared, as the worker knows too.
function(remora_learner_test module)
    remora_unit_test(${module} remora_test_learner)
    set_tests_properties(unit.${module} PROPERTIES ENVIRONMENT "OMP_WAIT_POLICY=passive")
endfunction()

remora_unit_test(memory_plan remora_model)
remora_learner_test(param_table)
remora_learner_test(model)
set_tests_properties(unit.model PROPERTIES TIMEOUT 300) # finite differences of every method
