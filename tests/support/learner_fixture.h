/*
 * learner_fixture — small models for the tests of model, method and optimizer.
 */
#pragma once

#include "tests/support/test.h"
#include "worker/method/learner.h"

struct learner_fixture {
    struct backend *backend;
    struct learner *learner;
};

/* r 2, and a merge every 4 steps where there are any. */
struct method_spec fixture_method(enum method_name name);

/* Two layers, odd sizes, two query heads to a key-value head; every r_hat leaves a remainder. */
struct learner_options fixture_tiny(enum method_name method);

/* llama-9m with a vocabulary of 2048. */
struct learner_options fixture_llama_9m(enum method_name method, int64_t r);

/* Fails the test when it cannot be made. */
struct learner_fixture fixture_open(const struct learner_options *options, int threads);
void fixture_close(struct learner_fixture *fixture);

/* count random tokens below vocab_size; the caller frees them. */
uint32_t *fixture_tokens(int64_t count, int64_t vocab_size, uint64_t seed);

/* Fills every tensor of that role with N(0, deviation²) and writes the effective weights. */
void fixture_randomise(struct learner_fixture *fixture, enum param_role role, double deviation,
                       uint64_t seed);

/* zero gradients, one micro-batch of `micro` rows, update with lr; merges or writes the weights.
 * Returns the mean loss. steps is the run's length for the rule of merges; 0 never merges. */
double fixture_step(struct learner_fixture *fixture, const uint32_t *tokens, double lr,
                    int64_t step, int64_t steps);

/* ‖a − b‖ / ‖b‖ */
double relative_distance(const double *a, const double *b, int64_t count);
