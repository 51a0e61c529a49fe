/*
 * method_spec — `method` of a job spec as a struct: how the updates of the linear layers are
 * parameterised, every default filled; and what follows from it before a model exists: the side of
 * MoRA's matrix, the number of trained parameters.
 *
 * The seven linear layers of a decoder layer go by Hugging Face's names, in this order everywhere:
 * q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj.
 *
 * Ownership: plain data.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* X(constant, word): frozen is no method of a spec, but what `remora-worker bench` compares with.
 */
#define METHOD_NAME_LIST(X) \
 X(FULL, "full")            \
 X(LORA, "lora")            \
 X(LORA_PLUS, "lora_plus")  \
 X(ASYLORA, "asylora")      \
 X(DORA, "dora")            \
 X(RELORA, "relora")        \
 X(MORA, "mora")            \
 X(REMORA, "remora")        \
 X(FROZEN, "frozen")

enum method_name {
#define X(constant, word) METHOD_NAME_##constant,
    METHOD_NAME_LIST(X)
#undef X
        METHOD_NAME_COUNT
};

enum mora_operator {
    MORA_OPERATOR_SHARING,
    MORA_OPERATOR_TRUNCATION,
    MORA_OPERATOR_DECOUPLING,
    MORA_OPERATOR_ROTATION
};
enum mora_columns { MORA_COLUMNS_MOD, MORA_COLUMNS_BLOCKS };
enum mora_rows { MORA_ROWS_TILE, MORA_ROWS_INTERLEAVE };
enum mora_pad { MORA_PAD_WRAP, MORA_PAD_ZERO };
enum mora_pairing { MORA_PAIRING_HALF, MORA_PAIRING_INTERLEAVED };
enum mora_rhat_rule { MORA_RHAT_RULE_NEAREST, MORA_RHAT_RULE_FLOOR };
enum method_groups { METHOD_GROUPS_PAPER, METHOD_GROUPS_OFFICIAL, METHOD_GROUPS_PERMUTED };
enum method_reset { METHOD_RESET_ZERO, METHOD_RESET_RANDOM, METHOD_RESET_MAGNITUDE };

#define METHOD_TARGET_COUNT 7
#define METHOD_TARGETS_ALL  ((1U << METHOD_TARGET_COUNT) - 1U)

struct method_spec {
    enum method_name name;
    int64_t r;        /* 0: full, frozen */
    double alpha;     /* the LoRA family: its updates are scaled by alpha / r */
    double lr_ratio;  /* lora_plus; else 1 */
    bool freeze_a;    /* asylora */
    unsigned targets; /* bit i: the i-th linear layer gets an adapter */
    struct {
        bool embeddings;
        bool norms;
        bool head;
    } train;                 /* beside the linear layers */
    int64_t full_rank_steps; /* 0: adapters from the first step on */
    /* mora and remora */
    enum mora_operator op;
    enum mora_columns columns; /* mora with sharing; remora takes them from groups */
    enum mora_rows rows;
    enum mora_pad pad;
    enum mora_pairing pairing;
    bool fold;
    enum mora_rhat_rule rhat_rule;
    /* relora and remora */
    int64_t merge_every; /* 0: never */
    enum method_groups groups;
    enum method_reset reset;
    double reset_ratio;
};

/* The words of the spec. */
const char *method_name_text(enum method_name name);
const char *mora_operator_text(enum mora_operator op);
const char *method_groups_text(enum method_groups groups);
const char *method_reset_text(enum method_reset reset);
const char *method_target_text(int target);

/* All defaults of the schema, from scratch; r and merge_every are 0. */
struct method_spec method_spec_default(enum method_name name);

/* method has passed the schema, and its defaults are filled. */
void method_spec_read(struct method_spec *out, const json_t *method);

/* Whether it has an A and a B beside each target; a matrix M; merges. */
bool method_is_lora(enum method_name name);
bool method_is_mora(enum method_name name);
bool method_has_cycles(enum method_name name);

/*
 * The side r_hat of M beside a d × k linear layer: √((d+k) r), rounded as rhat_rule says; at most
 * min(d, k); and even for rotation, which turns pairs (rounded down, at least 2 where there is
 * room).
 */
int64_t mora_r_hat(const struct method_spec *spec, int64_t d, int64_t k);

/* Trained parameters of one target's adapter. */
int64_t method_adapter_parameters(const struct method_spec *spec, int64_t d, int64_t k);
