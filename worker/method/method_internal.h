/*
 * method_internal — what a method implements. Not for other modules.
 *
 * A new kind of adapter is a file with a struct that starts with struct method, a const struct
 * method_type, and a row in method.c.
 */
#pragma once

#include "worker/method/cost.h"
#include "worker/method/method.h"

/* Tensors of a target: A, B, m; or M and one S per group kind; and the sketch of its updates. */
#define METHOD_SLOTS       6
#define METHOD_SLOT_SKETCH 5

struct method_type {
    /* Allocates the method's own struct, zeroed but for what follows from spec. */
    enum status (*create)(struct method **out, const struct method_spec *spec,
                          const struct model_config *config, struct error *err);
    void (*destroy)(struct method *method);
    /* The tensors of a group's targets. NULL, as all below: there are no adapters. */
    enum status (*add_tensors)(struct method *method, int64_t layer, enum linear_group group,
                               struct error *err);
    void (*layout)(struct method *method, struct memory_plan *plan, int64_t N);
    /* What of an adapter follows from the cycle alone; also after state was loaded. May be NULL. */
    void (*prepare)(struct method *method, int64_t layer, enum linear linear);
    /* The values with which an adapter starts the present cycle; its effective weight is W0. */
    enum status (*restart)(struct method *method, int64_t layer, enum linear linear,
                           struct error *err);
    /* Gradients of a group with targets. */
    void (*group_grad)(struct method *method, int64_t layer, enum linear_group group,
                       const void *dy, const void *x, int64_t N);
    /* Adds the products that gradients take in a micro-batch of N tokens. */
    void (*products)(const struct method *method, int64_t N, struct cost *cost);
    /* The effective weight of a target with base [d,k] for W0. out may be base itself. */
    void (*write_weight)(struct method *method, int64_t layer, enum linear linear, float *out,
                         const float *base);
    /* y = W0 x becomes what the paper's side path makes of it. */
    enum status (*side_ref)(struct method *method, double *y, const double *x, int64_t layer,
                            enum linear linear, int64_t T, struct error *err);
    /* Whether merges make updates permanent in W0, which takes the fp32 effective weights. Else
     * absorb does, beside it. */
    bool (*rewrites_base)(const struct method *method);
    void (*absorb)(struct method *method, int64_t layer, enum linear linear);
    /* The name of a cycle's group kind; cycles count from the first of the adapters'. */
    const char *(*group_kind)(const struct method *method, int64_t adapter_cycle);
};

#define METHOD_DESCRIPTION_BYTES 256

/* Every method's struct starts with it. */
struct method {
    const struct method_type *type;
    struct method_spec spec;
    uint64_t seed;
    const struct model_config *config;
    struct param_table *table;
    struct backend *backend;
    enum dtype dtype;    /* of dy and x in group_grad */
    struct model *model; /* NULL until attached */
    int64_t cycle;       /* merges so far */
    int64_t *tensors;    /* [layers][LINEAR_COUNT][METHOD_SLOTS] indices in the table */
    float *before;       /* [d,k] of the largest linear, for the check of a merge */
    float *after;
    float *omega;  /* [k,p] of the sketches that estimate ranks */
    float *sketch; /* [d,p] where there is no tensor for it */
    char description[METHOD_DESCRIPTION_BYTES];
};

extern const struct method_type method_full;
extern const struct method_type method_frozen;
extern const struct method_type method_lora;
extern const struct method_type method_mora;

/* Cycles are drawn for by their number. */
uint32_t method_cycle_number(const struct method *method);

/* True in the steps in which the linears train and adapters wait. */
bool method_is_full_rank(const struct method *method);

/* The number of the present cycle among the adapters'. */
int64_t method_adapter_cycle(const struct method *method);

/* The name of the present cycle's group kind. */
const char *method_kind(const struct method *method);

bool method_is_target(const struct method *method, enum linear linear);

/* The targets of a group, in order; returns how many there are. */
int64_t method_group_targets(const struct method *method, enum linear_group group,
                             enum linear out[LINEAR_COUNT]);

/* Where a linear's part begins in the rows of its group. */
int64_t method_row_offset(const struct method *method, enum linear linear);

/* Rows (or columns) of all linears that come before: where a target's part lies in a buffer with
 * something for every row. For layer num_hidden_layers, the size of that buffer. */
int64_t method_rows_before(const struct method *method, int64_t layer, enum linear linear);
int64_t method_columns_before(const struct method *method, int64_t layer, enum linear linear);

/* Adds a tensor to the table as the target's slot. */
MUST_USE enum status method_add_tensor(struct method *method, int slot,
                                       const struct param_addition *addition, struct error *err);
struct param *method_tensor(const struct method *method, int64_t layer, enum linear linear,
                            int slot);
/* Its index in the table, for random numbers. */
uint32_t method_tensor_index(const struct method *method, int64_t layer, enum linear linear,
                             int slot);

/* The most rows, columns and elements of a target. */
struct method_extents {
    int64_t d, k, elements;
};
struct method_extents method_largest_target(const struct method *method);

/* The layer whose updates' ranks are estimated at merges. */
int64_t method_probed_layer(const struct method *method);

/* The fp32 effective weight of any linear, target or not. */
void method_write_linear(struct method *method, int64_t layer, enum linear linear, float *out);

/* dW[d,k] += dY^T X for all linears of a group. */
void method_full_grad(struct method *method, int64_t layer, enum linear_group group, const void *dy,
                      const void *x, int64_t N);
