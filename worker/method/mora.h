/*
 * mora — what the files of MoRA share. Not for other modules.
 */
#pragma once

#include "worker/method/method_internal.h"

#define MORA_KINDS_MAX 4

enum { MORA_SLOT_M, MORA_SLOT_SUM }; /* the sums of the kinds follow the first */

/* A group kind: how a matrix acts on a linear. Those of sharing differ in their groups; the other
 * operators have one each. */
struct mora_kind {
    const char *name;
    struct sharing_kind sharing;
};

struct mora {
    struct method base;
    const struct mora_kind *kinds[MORA_KINDS_MAX]; /* in the order of W_eff's terms and of cycles */
    int64_t kind_count;
    int64_t r_hat[LINEAR_COUNT];
    void *z;               /* comp(X) of a run of targets, an operand */
    void *u;               /* their decomp^T(dY), side by side, operands as well */
    int32_t *column_order; /* permuted: of every target, at its method_columns_before() */
    int32_t *row_order;    /* at its method_rows_before() */
    float *cosine;         /* rotation: of every linear, one behind the other */
    float *sine;
};

/* The kinds that a spec's cycles go through; returns how many. */
int64_t mora_kinds(const struct method_spec *spec, const struct mora_kind *out[MORA_KINDS_MAX]);

/* Whether merges add up in one sum S per kind. Else they rewrite W0, or never happen. */
bool mora_has_sums(const struct mora *mora);
bool mora_is_permuted(const struct mora *mora);

/* Whether the adapter that trains now is of that kind. */
bool mora_is_active(const struct mora *mora, int64_t kind);

/* The groups of a kind for a target: with its permutations, where it has any. */
struct sharing_kind mora_sharing(const struct mora *mora, int64_t kind, int64_t layer,
                                 enum linear linear);

/* The chunks of a target, for decoupling and rotation. */
struct chunks mora_chunks(const struct mora *mora, enum linear linear);

/* Rows of dM's product per token: 1, or the chunks that are used. */
int64_t mora_rows_per_token(const struct mora *mora, enum linear linear);

/* Memory of z, u, orders and angles. */
void mora_layout(struct method *method, struct memory_plan *plan, int64_t N);
/* Draws the permutations of the present cycle, where groups are permuted. */
void mora_prepare(struct method *method, int64_t layer, enum linear linear);

void mora_group_grad(struct method *method, int64_t layer, enum linear_group group, const void *dy,
                     const void *x, int64_t N);
void mora_products(const struct method *method, int64_t N, struct cost *cost);
void mora_write_weight(struct method *method, int64_t layer, enum linear linear, float *out,
                       const float *base);
enum status mora_side_ref(struct method *method, double *y, const double *x, int64_t layer,
                          enum linear linear, int64_t T, struct error *err);
