# remora_mpi_test(<name> <ranks> <command> <argument>...): runs it under mpirun. The ranks may be more
# than the cores; nothing of Open MPI's is left behind outside the build folder.
function(remora_mpi_test name ranks)
    add_test(NAME mpi.${name} COMMAND mpirun --oversubscribe --bind-to none -n ${ranks} ${ARGN})
    set_tests_properties(mpi.${name} PROPERTIES TIMEOUT 120 LABELS mpi SKIP_RETURN_CODE 77
        ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
endfunction()

remora_unit_test(dist remora_dist)
foreach(ranks 1 2 3 4)
    remora_mpi_test(dist_${ranks} ${ranks} $<TARGET_FILE:test_dist>)
endforeach()
add_test(NAME mpi.dist_abort
    COMMAND sh -c "mpirun --oversubscribe --bind-to none -n 3 \"$1\" abort; test $? = 7" sh $<TARGET_FILE:test_dist>)
set_tests_properties(mpi.dist_abort PROPERTIES TIMEOUT 120 LABELS mpi
    ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
