# remora_mpi_environment(<test>): root may run it, and what Open MPI leaves behind of ranks that were
# killed (sessions, shared memory) stays inside the build folder. The last name is Open MPI 5's.
function(remora_mpi_environment test)
    set(folder ${PROJECT_BINARY_DIR}/tests/mpi/${test})
    file(MAKE_DIRECTORY ${folder})
    set_tests_properties(${test} PROPERTIES ENVIRONMENT
        "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;TMPDIR=${folder};OMPI_MCA_orte_tmpdir_base=${folder};OMPI_MCA_btl_vader_backing_directory=${folder};OMPI_MCA_btl_sm_backing_directory=${folder}")
endfunction()

# remora_mpi_test(<name> <ranks> <command> <argument>...): runs it under mpirun. The ranks may be more
# than the cores.
function(remora_mpi_test name ranks)
    add_test(NAME mpi.${name} COMMAND mpirun --oversubscribe --bind-to none -n ${ranks} ${ARGN})
    set_tests_properties(mpi.${name} PROPERTIES TIMEOUT 120 LABELS mpi SKIP_RETURN_CODE 77)
    remora_mpi_environment(mpi.${name})
endfunction()

remora_unit_test(dist remora_dist)
foreach(ranks 1 2 3 4)
    remora_mpi_test(dist_${ranks} ${ranks} $<TARGET_FILE:test_dist>)
endforeach()
add_test(NAME mpi.dist_abort
    COMMAND sh -c "mpirun --oversubscribe --bind-to none -n 3 \"$1\" abort; test $? = 7" sh $<TARGET_FILE:test_dist>)
set_tests_properties(mpi.dist_abort PROPERTIES TIMEOUT 120 LABELS mpi)
remora_mpi_environment(mpi.dist_abort)
