#include <math.h>

#include "tests/support/ops.h"

struct adam_case {
    int64_t n;
    struct adamw_update update;
};

static void run_steps(struct ops_run *run, const void *context)
{
    const struct adam_case *c = context;
    struct ops_tensor param = ops_input(run, c->n, 0.02);
    struct ops_tensor exp_avg = ops_input(run, c->n, 0.0);
    struct ops_tensor exp_avg_sq = ops_input(run, c->n, 0.0);
    for (int step = 1; step <= 5; step++) {
        struct adamw_update update = c->update;
        update.step = step;
        struct ops_tensor grad = ops_input(run, c->n, 1e-3);
        run->backend->op->adamw_update(run->backend, param.fast, exp_avg.fast, exp_avg_sq.fast,
                                       grad.fast, c->n, &update);
        adamw_update_ref(param.ref, exp_avg.ref, exp_avg_sq.ref, grad.ref, c->n, &update);
        ops_free(&grad);
    }
    ops_check(run, &param, 1e-6);
    ops_check(run, &exp_avg, 1e-6);
    ops_check(run, &exp_avg_sq, 1e-6);
}

static const struct adamw_update defaults = {
    .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .grad_scale = 1.0};

static void steps_agree_with_the_reference(void **state)
{
    (void)state;
    static const int64_t counts[] = {1, 15, 17, 51 * 51, ELEMENTWISE_BLOCK * 3 + 5};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct adam_case c = {.n = counts[i], .update = defaults};
        ops_walk(run_steps, &c);
        c.update.weight_decay = 0.1;
        c.update.grad_scale = 0.3;
        ops_walk(run_steps, &c);
    }
}

/* torch.optim.AdamW(lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01) on a parameter of 1
 * with gradients 0.5, then -0.25. By hand: the first step is lr * sign(gradient). */
static void two_steps_by_hand(void **state)
{
    (void)state;
    double param = 1.0;
    double exp_avg = 0.0;
    double exp_avg_sq = 0.0;
    struct adamw_update update = {.lr = 0.1,
                                  .beta1 = 0.9,
                                  .beta2 = 0.999,
                                  .eps = 1e-8,
                                  .weight_decay = 0.01,
                                  .grad_scale = 1.0,
                                  .step = 1};
    double grad = 0.5;
    adamw_update_ref(&param, &exp_avg, &exp_avg_sq, &grad, 1, &update);
    assert_true(fabs(param - 0.899) < 1e-8);

    grad = -0.25;
    update.step = 2;
    adamw_update_ref(&param, &exp_avg, &exp_avg_sq, &grad, 1, &update);
    const double m = (0.9 * 0.05 - 0.025) / (1.0 - 0.81);
    const double v = (0.999 * 0.00025 + 0.0000625) / (1.0 - 0.998001);
    assert_true(fabs(param - (0.899 * 0.999 - 0.1 * m / (sqrt(v) + 1e-8))) < 1e-8);
}

static void run_zero(struct ops_run *run, const void *context)
{
    (void)context;
    struct ops_tensor param = ops_input(run, 100, 1.0);
    struct ops_tensor zeros = ops_input(run, 100, 0.0);
    struct ops_tensor more_zeros = ops_input(run, 100, 0.0);
    struct ops_tensor grad = ops_input(run, 100, 0.0);
    struct adamw_update update = defaults;
    update.step = 1;
    run->backend->op->adamw_update(run->backend, param.fast, zeros.fast, more_zeros.fast, grad.fast,
                                   100, &update);
    ops_check(run, &param, 0.0);
    ops_free(&zeros);
    ops_free(&more_zeros);
    ops_free(&grad);
}

static void a_zero_gradient_changes_nothing(void **state)
{
    (void)state;
    ops_walk(run_zero, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_agree_with_the_reference),
        cmocka_unit_test(two_steps_by_hand),
        cmocka_unit_test(a_zero_gradient_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
