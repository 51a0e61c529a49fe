/*
 * method_internal — what a method implements. Not for other modules.
 *
 * A new method is a file with a struct that starts with struct method, one const struct
 * method_type, and a row in method.c.
 */
#pragma once

#include "worker/method/cost.h"
#include "worker/method/method.h"

struct method_type {
    enum method_name name;
    bool trains_linears; /* the table's linears are trainable, and their own effective weights */

    enum status (*create)(struct method **out, const struct method_options *options,
                          struct param_table *table, const struct model_config *config,
                          struct error *err);
    void (*destroy)(struct method *method);
    void (*layout)(struct method *method, struct memory_plan *plan, int64_t N);
    model_group_grad_fn *group_grad; /* its context is the method */
    /* Adds the products that group_grad makes in a micro-batch of N tokens; NULL: none. */
    void (*products)(const struct method *method, int64_t N, struct cost *cost);
    /* fp32, before any rounding. out may be the model's effective weight or other memory. */
    void (*write_weight)(const struct method *method, int64_t layer, enum linear linear,
                         float *out);
    model_ref_side_fn *side_ref; /* its context is the method; NULL: W0 is all there is */
    /* NULL for methods that never merge. */
    bool (*merge_due)(const struct method *method, int64_t u, int64_t N);
    enum status (*merge)(struct method *method, struct adamw *adamw, struct merge_report *report,
                         struct error *err);
    /* NULL for methods without scalar state. */
    json_t *(*state)(const struct method *method);
    enum status (*set_state)(struct method *method, const json_t *state, struct error *err);
};

#define METHOD_DESCRIPTION_BYTES 256

/* Every method's struct starts with it. */
struct method {
    const struct method_type *type;
    const struct model_config *config;
    struct param_table *table;
    struct backend *backend;
    enum dtype dtype;    /* of dy and x in group_grad */
    struct model *model; /* NULL until attached */
    char description[METHOD_DESCRIPTION_BYTES];
};

extern const struct method_type method_full;
extern const struct method_type method_frozen;
extern const struct method_type method_mora;
extern const struct method_type method_remora;
