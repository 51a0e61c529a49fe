/*
 * param_table — the one list of a run's tensors: name, shape, role, trainable or not.
 *
 * First the model's own tensors in Hugging Face's order and names, then those that the method adds
 * (`….weight.M`, `….weight.S.<kind>`). Everything that walks over tensors (initialisation, the
 * optimizer, the gradient all-reduce, checkpoints, exports) walks over this list, in this order.
 *
 * Trainable tensors have their gradients in one contiguous buffer, and their moments in two others;
 * what only trains in the full-rank phase has its gradients behind all else. Linears that are
 * multiplied as one matrix (q|k|v and gate|up) lie packed one behind the other; all other tensors
 * start on 64-byte boundaries. Gaps are zero and stay zero.
 *
 * Ownership: the table owns the list; the tensors belong to the memory plan it was laid out in.
 * Threads:   one at a time; any number may read.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "worker/model/config.h"
#include "worker/model/memory_plan.h"
#include "worker/ops/backend.h"

#define PARAM_NAME_BYTES_MAX 96

/* X(constant, name in the layer, group): the linear layers of a decoder layer. */
#define LINEAR_LIST(X)             \
 X(Q, "self_attn.q_proj", QKV)     \
 X(K, "self_attn.k_proj", QKV)     \
 X(V, "self_attn.v_proj", QKV)     \
 X(O, "self_attn.o_proj", O)       \
 X(GATE, "mlp.gate_proj", GATE_UP) \
 X(UP, "mlp.up_proj", GATE_UP)     \
 X(DOWN, "mlp.down_proj", DOWN)

enum linear {
#define X(constant, name, group) LINEAR_##constant,
    LINEAR_LIST(X)
#undef X
        LINEAR_COUNT
};

/* Linears that share one input are multiplied as one matrix. */
enum linear_group {
    LINEAR_GROUP_QKV,
    LINEAR_GROUP_O,
    LINEAR_GROUP_GATE_UP,
    LINEAR_GROUP_DOWN,
    LINEAR_GROUP_COUNT
};

enum param_role {
    PARAM_ROLE_EMBEDDING,
    PARAM_ROLE_NORM, /* RMSNorm gains: one-dimensional, start at 1, never decayed */
    PARAM_ROLE_LINEAR,
    PARAM_ROLE_HEAD,
    PARAM_ROLE_ADAPTER,   /* M, A, B: restart at a merge */
    PARAM_ROLE_MAGNITUDE, /* DoRA's m: one-dimensional, never decayed */
    PARAM_ROLE_SUM,       /* S: what the merges of one group kind have added up to */
    PARAM_ROLE_SKETCH     /* a sketch of what merges have added to a base that they rewrite */
};

/* A run may begin with full-rank steps, in which its linears train and its adapters wait. */
enum param_phase { PARAM_PHASE_FULL_RANK, PARAM_PHASE_MAIN, PARAM_PHASE_COUNT };

struct param {
    char name[PARAM_NAME_BYTES_MAX];
    enum param_role role;
    bool trains[PARAM_PHASE_COUNT];
    bool trainable;    /* in the table's present phase */
    bool is_effective; /* of a LINEAR: its value is the weight that the model multiplies by */
    double lr_ratio;   /* its learning rate over the schedule's */
    int dimensions;    /* 1 or 2 */
    int64_t shape[2];  /* [rows, columns], or [n, 1] */
    int64_t elements;
    int64_t layer;       /* of LINEAR and what is added for it, and the layer's norms; else -1 */
    int64_t linear;      /* enum linear of LINEAR and what is added for it; else -1 */
    bool packed;         /* lies right behind the tensor of its role before it */
    int64_t grad_offset; /* in elements from the start of table.grads; -1 when it never trains */
    float *value;
    float *grad; /* this and the next two are NULL when it never trains */
    /* Adam's first moment and its second, of elements moment_first … moment_first + moment_count -
     * 1: all of them, unless ranks share the moments (param_shard.h); NULL where it is none. */
    float *exp_avg;
    float *exp_avg_sq;
    int64_t moment_first;
    int64_t moment_count;
};

struct param_table {
    struct param *params;
    int64_t count;
    int64_t model_count; /* the first ones, of the model itself; the rest is the method's */
    int64_t capacity;
    enum param_phase phase;
    int64_t value_floats; /* of the buffers, gaps included */
    int64_t grad_floats;
    int64_t main_grad_floats;   /* of those that train in the main phase, which come first */
    int64_t moment_floats;      /* of each of the two, this rank's part */
    int shard_rank;             /* whose moments these are, */
    int shard_world;            /* of how many parts; set before the layout, 1 unless changed */
    int64_t elements;           /* of all tensors of the model itself */
    int64_t trainable_elements; /* of all trainable tensors of the phase */
    float *values;
    float *grads;
    float *exp_avg;
    float *exp_avg_sq;
};

/* The linears' names, shapes and groups; a group is the linears from its first one on. */
const char *linear_name(enum linear linear);
enum linear_group linear_group_of(enum linear linear);
enum linear linear_group_first(enum linear_group group);
enum linear linear_group_last(enum linear_group group);
int64_t linear_rows(const struct model_config *config, enum linear linear);    /* d */
int64_t linear_columns(const struct model_config *config, enum linear linear); /* k */

/* Rows of all linears of a group, and the columns that they share. */
int64_t linear_group_rows(const struct model_config *config, enum linear_group group);
int64_t linear_group_columns(const struct model_config *config, enum linear_group group);

/* What trains of the model's own tensors. */
struct param_training {
    bool linears; /* in the main phase */
    bool
        full_rank; /* there is a full-rank phase: linears train in it, and the run begins with it */
    bool embeddings;
    bool norms;
    bool head;
};

/* The model's tensors. */
MUST_USE enum status param_table_init(struct param_table *table, const struct model_config *config,
                                      const struct param_training *training, struct error *err);

/* A tensor of the method. */
struct param_addition {
    int64_t layer;
    enum linear linear;
    enum param_role role;
    const char *suffix; /* goes behind the linear's name: "M", "S.mod_tile" */
    int64_t rows;
    int64_t columns; /* 0: it is one-dimensional */
    bool is_trained; /* in the main phase */
    bool packed;
    double lr_ratio; /* 0: 1 */
};
MUST_USE enum status param_table_add(struct param_table *table,
                                     const struct param_addition *addition, struct error *err);

/* Says which tensors are trainable from now on. */
void param_table_set_phase(struct param_table *table, enum param_phase phase);

/* How many elements of grads belong to the present phase: the first ones. */
int64_t param_table_grad_floats(const struct param_table *table);

/* Both passes of the memory plan: values and moments, and gradients unless the table is only read
 * from a checkpoint and exported (grads and every grad stay NULL then). */
void param_table_layout(struct param_table *table, struct memory_plan *plan, bool with_gradients);

/* Values of a fresh run: N(0, initializer_range²) for embeddings, linears and head, gains 1, what
 * the method adds 0. Element e of tensor i is a pure function of (seed, i, e), whatever the
 * method. */
void param_table_initialise(struct param_table *table, const struct model_config *config,
                            struct backend *backend, uint64_t seed);

struct param *param_table_linear(const struct param_table *table, int64_t layer,
                                 enum linear linear);
/* The norm before a layer's attention, or the one behind it. */
struct param *param_table_norm(const struct param_table *table, int64_t layer,
                               bool after_attention);
struct param *param_table_final_norm(const struct param_table *table);
/* The output projection: a tensor of its own, or (tied) the embedding. */
struct param *param_table_head(const struct param_table *table);
/* NULL when there is none of that name. */
struct param *param_table_find(const struct param_table *table, const char *name);
void param_table_deinit(struct param_table *table);
