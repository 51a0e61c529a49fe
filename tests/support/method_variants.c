#include "tests/support/method_variants.h"

#include "tests/support/learner_fixture.h"

#define Q_AND_DOWN (1U << 0 | 1U << 6)

struct row {
    const char *name;
    enum method_name method;
    enum mora_operator op;
    enum mora_columns columns;
    enum mora_rows rows;
    enum mora_pad pad;
    enum mora_pairing pairing;
    bool fold;
    enum mora_rhat_rule rhat_rule;
    enum method_groups groups;
    enum method_reset reset;
    int64_t full_rank_steps;
    unsigned targets; /* 0: all */
    bool trains_a;    /* asylora */
    bool adapters_only;
};

#define MORA(text, ...)                                   \
 {                                                        \
  .name = (text), .method = METHOD_NAME_MORA, __VA_ARGS__ \
 }
#define REMORA(text, ...)                                   \
 {                                                          \
  .name = (text), .method = METHOD_NAME_REMORA, __VA_ARGS__ \
 }

static const struct row rows[] = {
    {.name = "full", .method = METHOD_NAME_FULL},
    {.name = "frozen", .method = METHOD_NAME_FROZEN},
    {.name = "lora", .method = METHOD_NAME_LORA},
    {.name = "lora of q and down",
     .method = METHOD_NAME_LORA,
     .targets = Q_AND_DOWN,
     .adapters_only = true},
    {.name = "lora behind full rank", .method = METHOD_NAME_LORA, .full_rank_steps = 3},
    {.name = "lora_plus", .method = METHOD_NAME_LORA_PLUS},
    {.name = "asylora", .method = METHOD_NAME_ASYLORA},
    {.name = "asylora that trains a", .method = METHOD_NAME_ASYLORA, .trains_a = true},
    {.name = "dora", .method = METHOD_NAME_DORA},
    {.name = "dora behind full rank", .method = METHOD_NAME_DORA, .full_rank_steps = 3},
    {.name = "relora", .method = METHOD_NAME_RELORA},
    {.name = "relora behind full rank",
     .method = METHOD_NAME_RELORA,
     .full_rank_steps = 3,
     .reset = METHOD_RESET_RANDOM},
    {.name = "relora by magnitude",
     .method = METHOD_NAME_RELORA,
     .reset = METHOD_RESET_MAGNITUDE,
     .targets = Q_AND_DOWN},
    MORA("mora type 1", .op = MORA_OPERATOR_SHARING),
    MORA("mora type 2", .columns = MORA_COLUMNS_BLOCKS, .rows = MORA_ROWS_INTERLEAVE),
    MORA("mora type 3", .columns = MORA_COLUMNS_BLOCKS),
    MORA("mora type 4", .rows = MORA_ROWS_INTERLEAVE),
    MORA("mora with zeros", .pad = MORA_PAD_ZERO, .rhat_rule = MORA_RHAT_RULE_FLOOR),
    MORA("mora of q and down", .targets = Q_AND_DOWN, .adapters_only = true),
    MORA("mora behind full rank", .full_rank_steps = 3),
    MORA("mora truncation", .op = MORA_OPERATOR_TRUNCATION),
    MORA("mora decoupling", .op = MORA_OPERATOR_DECOUPLING),
    MORA("mora decoupling, folded", .op = MORA_OPERATOR_DECOUPLING, .fold = true,
         .pad = MORA_PAD_ZERO),
    MORA("mora rotation", .op = MORA_OPERATOR_ROTATION),
    MORA("mora rotation, folded", .op = MORA_OPERATOR_ROTATION, .fold = true,
         .pairing = MORA_PAIRING_INTERLEAVED),
    REMORA("remora", .groups = METHOD_GROUPS_PAPER),
    REMORA("remora official", .groups = METHOD_GROUPS_OFFICIAL, .reset = METHOD_RESET_RANDOM),
    REMORA("remora permuted", .groups = METHOD_GROUPS_PERMUTED, .reset = METHOD_RESET_MAGNITUDE),
    REMORA("remora behind full rank", .groups = METHOD_GROUPS_PERMUTED, .full_rank_steps = 3),
    REMORA("remora truncation", .op = MORA_OPERATOR_TRUNCATION),
    REMORA("remora decoupling", .op = MORA_OPERATOR_DECOUPLING),
    REMORA("remora rotation", .op = MORA_OPERATOR_ROTATION, .fold = true),
};
static_assert(sizeof rows / sizeof rows[0] == METHOD_VARIANT_COUNT, "as the header says");

struct method_variant method_variant_at(int index)
{
    const struct row *row = &rows[index];
    struct method_spec spec = fixture_method(row->method);

    spec.op = row->op;
    spec.columns = row->columns;
    spec.rows = row->rows;
    spec.pad = row->pad;
    spec.pairing = row->pairing;
    spec.fold = row->fold;
    spec.rhat_rule = row->rhat_rule;
    spec.groups = row->groups;
    spec.reset = row->reset;
    spec.reset_ratio = 0.7;
    spec.full_rank_steps = row->full_rank_steps;
    spec.targets = row->targets == 0 ? spec.targets : row->targets;
    spec.freeze_a = spec.freeze_a && !row->trains_a;
    spec.train.embeddings = spec.train.norms = spec.train.head = !row->adapters_only;
    return (struct method_variant){.name = row->name, .spec = spec};
}
