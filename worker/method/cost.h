/*
 * cost — the matrix products that a micro-batch cannot do without.
 *
 * Those of methods.md §10.1 in their least form: one product per linear forward and one back, what
 * the method's own gradient takes, the half of attention below the diagonal, the output projection;
 * nothing is computed twice. Whatever else a step spends its time on is overhead.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "worker/ops/gemm.h"

#define COST_PRODUCTS_MAX 64

struct cost_product {
    const char *name;        /* "q|k|v forward" */
    struct gemm_shape shape; /* dense */
    int64_t batch;           /* products of that shape in one call, side by side */
    double count;            /* calls per micro-batch */
    double needed;           /* share of their FLOPs that is needed: below 1 for attention */
};

struct cost {
    struct cost_product products[COST_PRODUCTS_MAX];
    int64_t count;
};

struct learner;

/* Of a micro-batch of the learner's size. */
void learner_cost(struct cost *cost, const struct learner *learner);

/* FLOPs that recomputation adds to them. */
double learner_recompute_flop(const struct learner *learner);

/* Adds a product; one of a shape that is there already is added to its count. */
void cost_add(struct cost *cost, const struct cost_product *product);

/* FLOPs of one call that are needed, and of all. */
double cost_call_flop(const struct cost_product *product);
double cost_flop(const struct cost *cost);
