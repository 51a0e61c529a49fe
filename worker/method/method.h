/*
 * method — how the update of a linear layer W (d × k) is parameterised.
 *
 * Whatever the method, the model runs one matrix product per linear with an effective weight. A
 * method says which tensors it trains, turns (X, dY) into their gradients, writes the effective
 * weights after every optimizer step, and (ReMoRA) merges: makes the update permanent and restarts
 * the adapter with the next group kind. One table of functions per method; a new method is one file
 * and one row in method.c.
 *
 *   full    trains the linears themselves
 *   mora    Jiang et al. 2024, "MoRA": y = W0 x + decomp(M comp(x)), M square, W0 frozen
 *   remora  the same with merge-and-reinit over alternating group kinds
 *
 * Ownership: borrows table, model and backend, which outlive it.
 * Threads:   one caller; it computes with the backend's threads.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/spec/train_spec.h"
#include "worker/model/model.h"
#include "worker/model/model_ref.h"
#include "worker/optim/adamw.h"

struct method_options {
    enum method_name name;
    int64_t r;           /* the parameter budget: as many trainables as LoRA of that rank */
    int64_t merge_every; /* steps of a cycle; remora only */
};

/* What a merge did and how it was checked. */
struct merge_report {
    int64_t cycle;          /* the cycle that ended, from 0 */
    const char *group_kind; /* its kind */
    const char *next_kind;
    int64_t
        moments_nonzero_before; /* elements of the adapters' exp_avg and exp_avg_sq that are here */
    int64_t moments_nonzero_after;
    bool w_eff_equal; /* the fp32 effective weights, bit by bit */
    int64_t probe_tokens;
    double probe_error; /* ‖logits − reference‖ / ‖reference‖ */
};

struct method;

/* True where the linears themselves are trained. */
bool method_trains_linears(enum method_name name);

/* Adds the method's tensors to the table, which has the model's and is not laid out yet. */
MUST_USE enum status method_create(struct method **out, const struct method_options *options,
                                   struct param_table *table, const struct model_config *config,
                                   struct backend *backend, struct error *err);
void method_destroy(struct method *method); /* NULL is fine */

/* Both passes of the memory plan, for workspace: N tokens of a micro-batch (0: no gradients). */
void method_layout(struct method *method, struct memory_plan *plan, int64_t N);

/* The model whose weights it writes and whose gradients it computes. Hooks itself into its backward
 * pass. */
void method_attach(struct method *method, struct model *model);

/* One line for people about what was chosen ("mora r=8: r_hat 45 (q, k, v, o), 62 (…)"). The text
 * is the method's. */
const char *method_describe(const struct method *method);

/* The side r_hat of M for a d × k linear: nearest to √((d+k) r), at most min(d, k). */
int64_t mora_r_hat(int64_t d, int64_t k, int64_t r);

/* Writes every effective weight. After each optimizer step, and after state was loaded. */
void method_write_weights(struct method *method);

/* The weight [d, k] that a linear has in an export: W0 with all that was learnt. */
void method_merged_weight(const struct method *method, int64_t layer, enum linear linear,
                          float *out);

/* The model as the paper writes it, for the method's present state: W0 and side paths, in double.
 */
struct model_ref method_reference(struct method *method);

/* True when a merge is due after update u (1-based) of N: u % merge_every == 0 and u < N. */
bool method_merge_due(const struct method *method, int64_t u, int64_t N);

/*
 * Makes the update permanent, restarts the adapters and their moments and takes the next group
 * kind; writes the effective weights. Counts moments before and after in the arrays and rebuilds
 * every fp32 effective weight from the new state, comparing it bit by bit with that of the state
 * before: STATUS_CORRUPT with the tensor named when they differ. Fills all but the probe's fields
 * of report.
 */
MUST_USE enum status method_merge(struct method *method, struct adamw *adamw,
                                  struct merge_report *report, struct error *err);

/* The scalar state (cycle, group kind), for a checkpoint's meta; a new reference, or NULL when
 * memory is out. */
json_t *method_state(const struct method *method);
MUST_USE enum status method_set_state(struct method *method, const json_t *state,
                                      struct error *err);
