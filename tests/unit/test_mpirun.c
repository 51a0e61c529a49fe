#include "daemon/mpirun.h"
#include "tests/support/test.h"

static void the_version_is_read_from_the_first_line(void **state)
{
    static const struct {
        const char *line;
        int major; /* 0: refused */
    } cases[] = {
        {"mpirun (Open MPI) 4.1.4", 4},
        {"mpirun (Open MPI) 5.0.7", 5},
        {"mpirun (Open MPI) 10.0.0rc1", 10},
        {"mpirun (Open MPI) 4", 0},
        {"mpirun (Open MPI) ", 0},
        {"mpirun (Open MPI) x.1", 0},
        {"mpirun (Open MPI) -4.1", 0},
        {"mpirun (Open MPI) 99999999999999999999.1", 0},
        {"mpirun.real (OpenRTE) 2.1.1", 0},
        {"HYDRA build details:", 0}, /* MPICH */
        {"", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int major = 0;
        if (mpirun_parse_version(cases[i].line, &major) != (cases[i].major > 0) ||
            major != cases[i].major) {
            fail_msg("'%s' is read as version %d", cases[i].line, major);
        }
    }
}

/* The words as one line. */
static void expect_words(const struct mpirun *mpirun, const char *expected)
{
    char line[1024] = "";
    json_t *argv = json_array();
    size_t index = 0;
    json_t *word = NULL;
    struct error err;

    assert_ok(mpirun_append_words(argv, mpirun, 3, "/t", "/s", &err), &err);
    json_array_foreach(argv, index, word)
    {
        size_t used = strlen(line);
        (void)snprintf(line + used, sizeof line - used, "%s%s", index > 0 ? " " : "",
                       json_string_value(word));
    }
    json_decref(argv);
    assert_string_equal(line, expected);
}

static void each_version_gets_its_own_words(void **state)
{
    static const struct {
        struct mpirun mpirun;
        const char *words;
    } cases[] = {
        {{"/usr/bin/mpirun", 4, true},
         "/usr/bin/mpirun --bind-to none --oversubscribe --mca plm isolated --mca pml ob1 "
         "--mca orte_tmpdir_base /t --mca btl_vader_backing_directory /s -n 3"},
        {{"/usr/bin/mpirun", 4, false},
         "/usr/bin/mpirun --bind-to none --oversubscribe --mca plm isolated --mca pml ob1 "
         "--mca btl_vader_single_copy_mechanism none "
         "--mca orte_tmpdir_base /t --mca btl_vader_backing_directory /s -n 3"},
        {{"/opt/m/mpirun", 5, true},
         "/opt/m/mpirun --bind-to none --map-by :OVERSUBSCRIBE --mca pml ob1 "
         "--mca btl_sm_backing_directory /s -n 3"},
        {{"/opt/m/mpirun", 5, false},
         "/opt/m/mpirun --bind-to none --map-by :OVERSUBSCRIBE --mca pml ob1 --mca smsc ^cma "
         "--mca btl_sm_backing_directory /s -n 3"},
        {{"/opt/m/mpirun", 6, true}, /* newer ones are treated as 5 */
         "/opt/m/mpirun --bind-to none --map-by :OVERSUBSCRIBE --mca pml ob1 "
         "--mca btl_sm_backing_directory /s -n 3"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_words(&cases[i].mpirun, cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_version_is_read_from_the_first_line),
        cmocka_unit_test(each_version_gets_its_own_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
