/*
 * method — how the update of a linear layer W (d × k) is parameterised.
 *
 * Whatever the method, the model runs one matrix product per linear with an effective weight. A
 * method says which tensors it trains, turns (X, dY) into their gradients, writes the effective
 * weights after every optimizer step, and (ReLoRA, ReMoRA) merges: makes the update permanent and
 * restarts the adapter. One table of functions per kind of adapter; cycles, targets and full-rank
 * steps are the same for all of them.
 *
 *   full                 trains the linears themselves
 *   lora, lora_plus,     W0 + s B A; with a faster B; with an orthonormal, frozen A; merged every
 *   asylora, relora      few steps (Hu et al. 2022; Hayou et al. 2024; Zhu et al. 2024; Lialin et
 *                        al. 2023)
 *   dora                 diag(m / ‖V‖) V, V = W0 + s B A (Liu et al. 2024)
 *   mora, remora         W0 + the expansion of a square M; merged every few steps (Jiang et al.
 *                        2024)
 *   frozen               trains no linear: what others are compared with
 *
 * Cycles: the steps between two merges. With full_rank_steps the run's cycle 0 trains the linears
 * themselves, and its end is a merge like any other: the adapters start on what was learnt.
 *
 * Ownership: borrows table, model and backend, which outlive it.
 * Threads:   one caller; it computes with the backend's threads.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/spec/method_spec.h"
#include "worker/model/model.h"
#include "worker/model/model_ref.h"
#include "worker/optim/adamw.h"

/* What a merge did and how it was checked. */
struct merge_report {
    int64_t cycle;          /* the cycle that ended, from 0 */
    const char *group_kind; /* its kind: "full" for full-rank steps, "lora", "mod_tile" … */
    const char *next_kind;
    /* Of what restarts: elements of its exp_avg and exp_avg_sq, those that this rank has. */
    int64_t moments_nonzero_before;
    int64_t moments_nonzero_after;
    bool w_eff_equal; /* the fp32 effective weights, bit by bit */
    /* Of all that one layer's adapters have added since they first started: the numerical rank, see
     * rank.h, and the most that the estimate can tell. -1 where a linear is no target. */
    int64_t rank_layer;
    int64_t ranks[LINEAR_COUNT];
    int64_t ranks_max[LINEAR_COUNT];
    int64_t probe_tokens;
    double probe_error; /* ‖logits − reference‖ / ‖reference‖ */
};

struct method;

/* Which of the model's own tensors train. */
struct param_training method_training(const struct method_spec *spec);

/* Adds the method's tensors to the table, which has the model's and is not laid out yet. Whatever
 * is drawn is a function of seed, cycle, tensor and element. dtype is that of the model's operands.
 */
MUST_USE enum status method_create(struct method **out, const struct method_spec *spec,
                                   uint64_t seed, enum dtype dtype, struct param_table *table,
                                   const struct model_config *config, struct backend *backend,
                                   struct error *err);
void method_destroy(struct method *method); /* NULL is fine */

/* Both passes of the memory plan, for workspace: N tokens of a micro-batch (0: no gradients). */
void method_layout(struct method *method, struct memory_plan *plan, int64_t N);

/* The model whose weights it writes and whose gradients it computes. Hooks itself into its backward
 * pass. */
void method_attach(struct method *method, struct model *model);

/* The values that adapters start with; the table's are initialised. */
MUST_USE enum status method_initialise(struct method *method, struct error *err);

/* One line for people about what was chosen ("mora r=8: r_hat 45 (q, k, v, o), 62 (…)"). The text
 * is the method's. */
const char *method_describe(const struct method *method);

/*
 * How effective weights become operands in bf16. Stochastic rounding draws from (seed, step, index
 * of the tensor, element), so that the weights of a step are the same whoever writes them, and
 * when: after a merge or a resume as before.
 */
struct method_rounding {
    bool is_stochastic;
    uint64_t seed;
    int64_t step; /* optimizer steps so far */
};

/* Writes every effective weight. After each optimizer step, and after state was loaded. */
void method_write_weights(struct method *method, const struct method_rounding *rounding);

/* The weight [d, k] that a linear has in an export: W0 with all that was learnt. */
void method_merged_weight(struct method *method, int64_t layer, enum linear linear, float *out);

/* The model as the paper writes it, for the method's present state: W0 and side paths, in double.
 */
struct model_ref method_reference(struct method *method);

/* True when a merge is due after update u (1-based) of N: at the end of the full-rank steps F, and
 * where u > F and (u - F) % merge_every == 0; never at u = N. */
bool method_merge_due(const struct method *method, int64_t u, int64_t N);

/*
 * Makes the update permanent, restarts the adapters and their moments as method.reset says, and
 * takes the next group kind; does not write the effective weights. Counts moments before and after,
 * and compares every fp32 effective weight bit by bit with what the restarted state gives:
 * STATUS_CORRUPT with the tensor named when they differ. Fills all but the probe's fields of
 * report.
 */
MUST_USE enum status method_merge(struct method *method, struct adamw *adamw,
                                  struct merge_report *report, struct error *err);

/*
 * While the backend plans: method_plan_merge asks it for what merges will, and method_plan_adapters
 * lets a run that begins with full-rank steps look as if they were over, until it is called again
 * with false.
 */
void method_plan_merge(struct method *method);
void method_plan_adapters(struct method *method, bool are_active);

/* The scalar state (cycle, group kind), for a checkpoint's meta; a new reference, or NULL when
 * memory is out. Setting it changes which tensors are trainable: before the tensors are read. */
json_t *method_state(const struct method *method);
MUST_USE enum status method_set_state(struct method *method, const json_t *state,
                                      struct error *err);
