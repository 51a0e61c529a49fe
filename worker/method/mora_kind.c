/*
 * mora_kind — the group kinds and what belongs to them: permutations and angles.
 */
#include "proto/base/rng.h"
#include "worker/method/mora.h"

/* The authors' types 1 to 4; their names are part of checkpoints. */
enum { MOD_TILE, BLOCKS_INTERLEAVE, BLOCKS_TILE, MOD_INTERLEAVE, TYPES };

#define KIND(name_text, columns_word, rows_word, pads) \
 {                                                     \
  .name = (name_text), .sharing = {                    \
      .columns = SHARING_COLUMNS_##columns_word,       \
      .rows = SHARING_ROWS_##rows_word,                \
      .zero_pad = (pads)                               \
  }                                                    \
 }
#define TYPES_1_TO_4(pads)                                                   \
 {                                                                           \
  [MOD_TILE] = KIND("mod_tile", MOD, TILE, pads),                            \
  [BLOCKS_INTERLEAVE] = KIND("blocks_interleave", BLOCKS, INTERLEAVE, pads), \
  [BLOCKS_TILE] = KIND("blocks_tile", BLOCKS, TILE, pads),                   \
  [MOD_INTERLEAVE] = KIND("mod_interleave", MOD, INTERLEAVE, pads),          \
 }

static const struct mora_kind wrapped[TYPES] = TYPES_1_TO_4(false);
static const struct mora_kind zero_padded[TYPES] = TYPES_1_TO_4(true);
static const struct mora_kind permuted = KIND("permuted", MOD, TILE, true);
static const struct mora_kind truncation = {.name = "truncation"};
static const struct mora_kind decoupling = {.name = "decoupling"};
static const struct mora_kind rotation = {.name = "rotation"};

/* The one kind of mora with sharing. */
static int64_t type_of(const struct method_spec *spec)
{
    if (spec->columns == MORA_COLUMNS_MOD) {
        return spec->rows == MORA_ROWS_TILE ? MOD_TILE : MOD_INTERLEAVE;
    }
    return spec->rows == MORA_ROWS_TILE ? BLOCKS_TILE : BLOCKS_INTERLEAVE;
}

static int64_t sharing_kinds(const struct method_spec *spec,
                             const struct mora_kind *out[MORA_KINDS_MAX])
{
    const struct mora_kind *types = spec->pad == MORA_PAD_ZERO ? zero_padded : wrapped;

    if (spec->name == METHOD_NAME_MORA) {
        out[0] = &types[type_of(spec)];
        return 1;
    }
    if (spec->groups == METHOD_GROUPS_PERMUTED) {
        out[0] = &permuted;
        return 1;
    }
    const int64_t count = spec->groups == METHOD_GROUPS_PAPER ? 2 : TYPES;
    for (int64_t i = 0; i < count; i++) {
        out[i] = &types[i];
    }
    return count;
}

int64_t mora_kinds(const struct method_spec *spec, const struct mora_kind *out[MORA_KINDS_MAX])
{
    switch (spec->op) {
    case MORA_OPERATOR_SHARING:
        return sharing_kinds(spec, out);
    case MORA_OPERATOR_TRUNCATION:
        out[0] = &truncation;
        break;
    case MORA_OPERATOR_DECOUPLING:
        out[0] = &decoupling;
        break;
    case MORA_OPERATOR_ROTATION:
        out[0] = &rotation;
        break;
    }
    return 1;
}

struct sharing_kind mora_sharing(const struct mora *mora, int64_t kind, int64_t layer,
                                 enum linear linear)
{
    struct sharing_kind sharing = mora->kinds[kind]->sharing;

    if (mora_is_permuted(mora)) {
        sharing.column_order =
            mora->column_order + method_columns_before(&mora->base, layer, linear);
        sharing.row_order = mora->row_order + method_rows_before(&mora->base, layer, linear);
    }
    return sharing;
}

/* Knuth's shuffle. */
static void shuffle(int32_t *order, int64_t n, uint64_t seed, uint64_t stream)
{
    for (int64_t i = 0; i < n; i++) {
        order[i] = (int32_t)i;
    }
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t other = (int64_t)rng_below(seed, stream, (uint64_t)i, (uint32_t)(i + 1));
        const int32_t held = order[i];
        order[i] = order[other];
        order[other] = held;
    }
}

void mora_prepare(struct method *method, int64_t layer, enum linear linear)
{
    struct mora *mora = (struct mora *)method;
    const uint32_t tensor = method_tensor_index(method, layer, linear, MORA_SLOT_M);
    const uint32_t sides = 2 * method_cycle_number(method);

    if (!mora_is_permuted(mora)) {
        return;
    }
    shuffle(mora->column_order + method_columns_before(method, layer, linear),
            linear_columns(method->config, linear), method->seed,
            rng_stream(RNG_PURPOSE_PERMUTATION, tensor, sides));
    shuffle(mora->row_order + method_rows_before(method, layer, linear),
            linear_rows(method->config, linear), method->seed,
            rng_stream(RNG_PURPOSE_PERMUTATION, tensor, sides + 1));
}

static int64_t chunk_count(const struct mora *mora, enum linear linear)
{
    const int64_t k = linear_columns(mora->base.config, linear);

    return (k + mora->r_hat[linear] - 1) / mora->r_hat[linear];
}

/* Where a linear's angles begin. */
static int64_t angles_before(const struct mora *mora, enum linear linear)
{
    int64_t angles = 0;

    for (enum linear before = 0; before < linear; before++) {
        angles += chunk_count(mora, before) * (mora->r_hat[before] / 2);
    }
    return angles;
}

struct chunks mora_chunks(const struct mora *mora, enum linear linear)
{
    const struct method_spec *spec = &mora->base.spec;
    const bool turns = spec->op == MORA_OPERATOR_ROTATION;
    const int64_t angles = angles_before(mora, linear);

    return (struct chunks){
        .d = linear_rows(mora->base.config, linear),
        .k = linear_columns(mora->base.config, linear),
        .r_hat = mora->r_hat[linear],
        .turn = !turns                               ? CHUNKS_TURN_NONE
                : spec->pairing == MORA_PAIRING_HALF ? CHUNKS_TURN_HALF
                                                     : CHUNKS_TURN_INTERLEAVED,
        .zero_pad = spec->pad == MORA_PAD_ZERO,
        .fold = spec->fold,
        .cosine = turns ? mora->cosine + angles : NULL,
        .sine = turns ? mora->sine + angles : NULL,
    };
}

int64_t mora_rows_per_token(const struct mora *mora, enum linear linear)
{
    const enum mora_operator op = mora->base.spec.op;

    if (op == MORA_OPERATOR_DECOUPLING || op == MORA_OPERATOR_ROTATION) {
        const struct chunks chunks = mora_chunks(mora, linear);
        return chunks_used(&chunks);
    }
    return 1;
}

/* The most that z and u of a group take per token. */
static void count_workspace(const struct mora *mora, int64_t *z_out, int64_t *u_out)
{
    *z_out = 0;
    *u_out = 0;
    for (enum linear_group group = 0; group < LINEAR_GROUP_COUNT; group++) {
        enum linear targets[LINEAR_COUNT];
        const int64_t count = method_group_targets(&mora->base, group, targets);
        int64_t u = 0;
        for (int64_t i = 0; i < count; i++) {
            const int64_t z = mora->r_hat[targets[i]] * mora_rows_per_token(mora, targets[i]);
            *z_out = z > *z_out ? z : *z_out;
            u += z;
        }
        *u_out = u > *u_out ? u : *u_out;
    }
}

/* They follow from shapes alone. */
static void fill_angles(struct mora *mora)
{
    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        const int64_t angles = angles_before(mora, linear);
        chunks_angles(mora->cosine + angles, mora->sine + angles, chunk_count(mora, linear),
                      mora->r_hat[linear]);
    }
}

void mora_layout(struct method *method, struct memory_plan *plan, int64_t N)
{
    struct mora *mora = (struct mora *)method;
    const int64_t layers = method->config->num_hidden_layers;
    const enum memory_kind kind = MEMORY_KIND_WORKSPACE;
    const bool copies = method->spec.op != MORA_OPERATOR_TRUNCATION;
    const bool is_permuted = mora_is_permuted(mora);
    const bool turns = method->spec.op == MORA_OPERATOR_ROTATION;
    const int64_t angles = turns ? angles_before(mora, LINEAR_COUNT) : 0;
    int64_t z = 0;
    int64_t u = 0;

    count_workspace(mora, &z, &u);
    mora->z = memory_plan_take(plan, kind, copies ? N * z : 0, dtype_bytes(method->dtype));
    mora->u = memory_plan_take(plan, kind, copies ? N * u : 0, dtype_bytes(method->dtype));
    mora->column_order = memory_plan_take(
        plan, kind, is_permuted ? method_columns_before(method, layers, 0) : 0, sizeof(int32_t));
    mora->row_order = memory_plan_take(
        plan, kind, is_permuted ? method_rows_before(method, layers, 0) : 0, sizeof(int32_t));
    mora->cosine = memory_plan_floats(plan, kind, angles);
    mora->sine = memory_plan_floats(plan, kind, angles);
    if (mora->cosine != NULL) {
        fill_angles(mora);
    }
}
