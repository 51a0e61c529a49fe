#include "proto/spec/method_spec.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/spec/spec_internal.h"

static const char *const name_words[] = {
#define X(constant, word) [METHOD_NAME_##constant] = word,
    METHOD_NAME_LIST(X)
#undef X
};
static const char *const operator_words[] = {
    [MORA_OPERATOR_SHARING] = "sharing",
    [MORA_OPERATOR_TRUNCATION] = "truncation",
    [MORA_OPERATOR_DECOUPLING] = "decoupling",
    [MORA_OPERATOR_ROTATION] = "rotation",
};
static const char *const columns_words[] = {
    [MORA_COLUMNS_MOD] = "mod",
    [MORA_COLUMNS_BLOCKS] = "blocks",
};
static const char *const rows_words[] = {
    [MORA_ROWS_TILE] = "tile",
    [MORA_ROWS_INTERLEAVE] = "interleave",
};
static const char *const pad_words[] = {
    [MORA_PAD_WRAP] = "wrap",
    [MORA_PAD_ZERO] = "zero",
};
static const char *const pairing_words[] = {
    [MORA_PAIRING_HALF] = "half",
    [MORA_PAIRING_INTERLEAVED] = "interleaved",
};
static const char *const rhat_rule_words[] = {
    [MORA_RHAT_RULE_NEAREST] = "nearest",
    [MORA_RHAT_RULE_FLOOR] = "floor",
};
static const char *const groups_words[] = {
    [METHOD_GROUPS_PAPER] = "paper",
    [METHOD_GROUPS_OFFICIAL] = "official",
    [METHOD_GROUPS_PERMUTED] = "permuted",
};
static const char *const reset_words[] = {
    [METHOD_RESET_ZERO] = "zero",
    [METHOD_RESET_RANDOM] = "random",
    [METHOD_RESET_MAGNITUDE] = "magnitude",
};
static const char *const target_words[METHOD_TARGET_COUNT] = {
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
};
#define COUNT_OF(words) (sizeof(words) / sizeof(words)[0])

const char *method_name_text(enum method_name name)
{
    return name_words[name];
}

const char *mora_operator_text(enum mora_operator op)
{
    return operator_words[op];
}

const char *method_groups_text(enum method_groups groups)
{
    return groups_words[groups];
}

const char *method_reset_text(enum method_reset reset)
{
    return reset_words[reset];
}

const char *method_target_text(int target)
{
    assert(target >= 0 && target < METHOD_TARGET_COUNT);
    return target_words[target];
}

bool method_is_lora(enum method_name name)
{
    return name == METHOD_NAME_LORA || name == METHOD_NAME_LORA_PLUS ||
           name == METHOD_NAME_ASYLORA || name == METHOD_NAME_DORA || name == METHOD_NAME_RELORA;
}

bool method_is_mora(enum method_name name)
{
    return name == METHOD_NAME_MORA || name == METHOD_NAME_REMORA;
}

bool method_has_cycles(enum method_name name)
{
    return name == METHOD_NAME_RELORA || name == METHOD_NAME_REMORA;
}

struct method_spec method_spec_default(enum method_name name)
{
    return (struct method_spec){
        .name = name,
        .alpha = 16.0,
        .lr_ratio = name == METHOD_NAME_LORA_PLUS ? 16.0 : 1.0,
        .freeze_a = name == METHOD_NAME_ASYLORA,
        .targets = METHOD_TARGETS_ALL,
        .train = {.embeddings = true, .norms = true, .head = true},
        .reset_ratio = 0.9,
    };
}

/* The field's word; other where it is not there, since not every method has every field. */
#define READ_WORD(method, key, words, other)                                                  \
 (json_object_get(method, key) != NULL ? spec_word_index(method, key, words, COUNT_OF(words)) \
                                       : (unsigned)(other))

static void read_targets(struct method_spec *out, const json_t *method)
{
    const json_t *targets = json_object_get(method, "targets");
    size_t i = 0;
    json_t *word = NULL;

    if (targets == NULL) {
        return;
    }
    out->targets = 0;
    json_array_foreach(targets, i, word)
    {
        for (int target = 0; target < METHOD_TARGET_COUNT; target++) {
            if (strcmp(json_string_value(word), target_words[target]) == 0) {
                out->targets |= 1U << target;
            }
        }
    }
}

static void read_train(struct method_spec *out, const json_t *method)
{
    const json_t *train = json_object_get(method, "train");
    size_t i = 0;
    json_t *word = NULL;

    if (train == NULL) {
        return;
    }
    out->train.embeddings = out->train.norms = out->train.head = false;
    json_array_foreach(train, i, word)
    {
        const char *text = json_string_value(word);
        out->train.embeddings |= strcmp(text, "embeddings") == 0;
        out->train.norms |= strcmp(text, "norms") == 0;
        out->train.head |= strcmp(text, "head") == 0;
    }
}

void method_spec_read(struct method_spec *out, const json_t *method)
{
    *out = method_spec_default(spec_word_index(method, "name", name_words, COUNT_OF(name_words)));
    out->r = json_get_int(method, "r", 0);
    out->alpha = json_get_real(method, "alpha", out->alpha);
    out->lr_ratio = json_get_real(method, "lr_ratio", out->lr_ratio);
    if (json_object_get(method, "freeze_a") != NULL) {
        out->freeze_a = json_is_true(json_object_get(method, "freeze_a"));
    }
    read_targets(out, method);
    read_train(out, method);
    out->full_rank_steps = json_get_int(method, "full_rank_steps", 0);
    out->op = READ_WORD(method, "operator", operator_words, MORA_OPERATOR_SHARING);
    out->columns = READ_WORD(method, "columns", columns_words, MORA_COLUMNS_MOD);
    out->rows = READ_WORD(method, "rows", rows_words, MORA_ROWS_TILE);
    out->pad = READ_WORD(method, "pad", pad_words, MORA_PAD_WRAP);
    out->pairing = READ_WORD(method, "pairing", pairing_words, MORA_PAIRING_HALF);
    out->fold = json_is_true(json_object_get(method, "fold"));
    out->rhat_rule = READ_WORD(method, "rhat_rule", rhat_rule_words, MORA_RHAT_RULE_NEAREST);
    out->merge_every = json_get_int(method, "merge_every", 0);
    out->groups = READ_WORD(method, "groups", groups_words, METHOD_GROUPS_PAPER);
    out->reset = READ_WORD(method, "reset", reset_words, METHOD_RESET_ZERO);
    out->reset_ratio = json_get_real(method, "reset_ratio", out->reset_ratio);
}

int64_t mora_r_hat(const struct method_spec *spec, int64_t d, int64_t k)
{
    const double side = sqrt((double)(d + k) * (double)spec->r);
    const int64_t smaller = d < k ? d : k;
    int64_t r_hat = (int64_t)floor(spec->rhat_rule == MORA_RHAT_RULE_NEAREST ? side + 0.5 : side);

    r_hat = r_hat < smaller ? r_hat : smaller;
    if (spec->op == MORA_OPERATOR_ROTATION) {
        r_hat = r_hat < 2 ? 2 : r_hat - r_hat % 2;
    }
    return r_hat;
}

int64_t method_adapter_parameters(const struct method_spec *spec, int64_t d, int64_t k)
{
    if (method_is_mora(spec->name)) {
        return mora_r_hat(spec, d, k) * mora_r_hat(spec, d, k);
    }
    if (!method_is_lora(spec->name)) {
        return 0;
    }
    return spec->r * ((spec->freeze_a ? 0 : k) + d) + (spec->name == METHOD_NAME_DORA ? d : 0);
}
