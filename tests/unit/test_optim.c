#include <math.h>

#include "tests/support/learner_fixture.h"
#include "worker/optim/adamw.h"

/* Adam by its definition, for one element. */
struct scalar_adam {
    double value;
    double exp_avg;
    double exp_avg_sq;
    int64_t n;
};

static void scalar_step(struct scalar_adam *adam, const struct adamw_options *options, double lr,
                        double gradient, double decay)
{
    adam->n++;
    adam->exp_avg = options->beta1 * adam->exp_avg + (1.0 - options->beta1) * gradient;
    adam->exp_avg_sq =
        options->beta2 * adam->exp_avg_sq + (1.0 - options->beta2) * gradient * gradient;
    const double m_hat = adam->exp_avg / (1.0 - pow(options->beta1, (double)adam->n));
    const double v_hat = adam->exp_avg_sq / (1.0 - pow(options->beta2, (double)adam->n));
    adam->value -= lr * decay * adam->value + lr * m_hat / (sqrt(v_hat) + options->eps);
}

static void set_grads(const struct param *param, float gradient)
{
    for (int64_t e = 0; e < param->elements; e++) {
        param->grad[e] = gradient;
    }
}

static void updates_follow_the_definition(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_MORA);
    struct learner_fixture fixture = fixture_open(&options, 2);
    const struct param_table *table = learner_params(fixture.learner);
    struct adamw adamw = {
        .options = {.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.1}};
    /* Embedding, gain, frozen linear, adapter. */
    const struct param *params[] = {
        &table->params[0],
        param_table_norm(table, 0, false),
        param_table_linear(table, 0, LINEAR_Q),
        &table->params[table->model_count],
    };
    struct scalar_adam expected[4];
    for (size_t i = 0; i < 4; i++) {
        expected[i] = (struct scalar_adam){.value = (double)params[i]->value[5]};
    }
    const double frozen = expected[2].value;

    for (int step = 0; step < 5; step++) {
        const double gradient = 0.3 - 0.2 * step;
        if (step == 3) { /* as after a merge */
            adamw.steps[ADAMW_GROUP_ADAPTER] = 0;
            params[3]->exp_avg[5] = 0.0F;
            params[3]->exp_avg_sq[5] = 0.0F;
            expected[3] = (struct scalar_adam){.value = expected[3].value};
        }
        for (size_t i = 0; i < 4; i++) {
            if (params[i]->trainable) {
                set_grads(params[i], (float)gradient);
            }
            const bool is_gain = params[i]->role == PARAM_ROLE_NORM;
            scalar_step(&expected[i], &adamw.options, 0.01, 0.5 * (double)(float)gradient,
                        is_gain ? 0.0 : 0.1);
        }
        adamw_step(&adamw, table, fixture.backend, 0.01, 0.5);
    }
    for (size_t i = 0; i < 4; i++) {
        const double value = params[i]->trainable ? expected[i].value : frozen;
        assert_true(fabs((double)params[i]->value[5] - value) < 1e-6);
    }
    assert_int_equal(adamw.steps[ADAMW_GROUP_MODEL], 5);
    assert_int_equal(adamw.steps[ADAMW_GROUP_ADAPTER], 2);
    fixture_close(&fixture);
}

static void the_norm_is_that_of_all_trainable_gradients(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_REMORA);
    struct learner_fixture fixture = fixture_open(&options, 2);
    const struct param_table *table = learner_params(fixture.learner);
    double sum = 0.0;

    for (int64_t i = 0; i < table->count; i++) {
        const struct param *param = &table->params[i];
        if (param->trainable) {
            set_grads(param, (float)(i + 1) * 0.25F);
            sum += (double)param->elements * pow((double)(i + 1) * 0.25, 2.0);
        }
    }
    const double norm = grad_norm(table, fixture.backend);
    assert_true(fabs(norm / sqrt(sum) - 1.0) < 1e-12);
    fixture_close(&fixture);
}

static void clipping_starts_above_the_bound(void **state)
{
    (void)state;
    static const struct {
        double norm, clip_norm, factor;
    } rows[] = {
        {0.0, 1.0, 1.0},
        {0.5, 1.0, 1.0},
        {1.0, 1.0, 1.0 / (1.0 + 1e-6)},
        {2.0, 1.0, 1.0 / (2.0 + 1e-6)},
        {10.0, 0.5, 0.5 / (10.0 + 1e-6)},
        {10.0, 0.0, 1.0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(clip_factor(rows[i].norm, rows[i].clip_norm) == rows[i].factor);
    }
    assert_true(isnan(clip_factor((double)NAN, 1.0)));
}

static void gradients_that_are_not_finite_change_nothing(void **state)
{
    (void)state;
    const struct learner_options options = fixture_tiny(METHOD_NAME_FULL);
    struct learner_fixture fixture = fixture_open(&options, 1);
    const struct param_table *table = learner_params(fixture.learner);
    const struct param *norm_gain = param_table_norm(table, 1, true);
    struct error err = {0};
    double norm = 0.0;

    learner_zero_grads(fixture.learner);
    set_grads(norm_gain, (float)INFINITY);
    assert_ok(learner_update(fixture.learner, 0.1, 1.0, &norm, &err), &err);
    assert_true(isinf(norm));
    assert_true(norm_gain->value[0] == 1.0F);
    assert_true(norm_gain->exp_avg[0] == 0.0F);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates_follow_the_definition),
        cmocka_unit_test(the_norm_is_that_of_all_trainable_gradients),
        cmocka_unit_test(clipping_starts_above_the_bound),
        cmocka_unit_test(gradients_that_are_not_finite_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
