#include "tests/support/ops.h"

struct shape {
    int64_t N, C, V;
};

static const struct shape shapes[] = {{1, 1, 1},      {5, 63, 3},       {7, 64, 100},  {33, 65, 7},
                                      {512, 128, 97}, {300, 352, 4096}, {64, 768, 500}};

static void run_forward(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    struct ops_tensor table = ops_input(run, s->V * s->C, 1.0);
    struct ops_tensor y = ops_output(run, s->N * s->C);
    uint32_t *tokens = ops_tokens(run, s->N, s->V);

    run->backend->op->embedding_forward(run->backend, y.fast, table.fast, tokens, s->N, s->C);
    embedding_forward_ref(y.ref, table.ref, tokens, s->N, s->C);
    ops_check(run, &y, 0.0);
    ops_free(&table);
    free(tokens);
}

static void run_backward(struct ops_run *run, const void *context)
{
    const struct shape *s = context;
    struct ops_tensor dtable = ops_input(run, s->V * s->C, 1.0);
    struct ops_tensor dy = ops_input(run, s->N * s->C, 1.0);
    uint32_t *tokens = ops_tokens(run, s->N, s->V);

    run->backend->op->embedding_backward(run->backend, dtable.fast, dy.fast, tokens, s->N, s->C);
    embedding_backward_ref(dtable.ref, dy.ref, tokens, s->N, s->C);
    ops_check(run, &dtable, 1e-6);
    ops_free(&dy);
    free(tokens);
}

static void rows_are_copied(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        ops_walk(run_forward, &shapes[i]);
    }
}

static void gradients_of_a_repeated_token_add_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        ops_walk(run_backward, &shapes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_copied),
        cmocka_unit_test(gradients_of_a_repeated_token_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
