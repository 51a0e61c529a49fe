/*
 * MoRA and ReMoRA (Jiang et al. 2024, §3.2-3.3): one square matrix M per target, and an operator
 * that says how it acts on more inputs and outputs than it has (mora_operator.c).
 *
 * ReMoRA changes the group kind from cycle to cycle, and keeps per kind a sum S of the M's that
 * were merged. The base W0 never changes. With T = fl(S + M) for the active kind and T = S for the
 * others, the effective weight is
 *
 *   W_eff = fl(fl(W0 + expand(T of the first kind)) + expand(T of the second)) …
 *
 * always in the kinds' order, whichever is active: a merge, S := fl(S + M) and M := 0, then leaves
 * every bit of it as it was. Truncation, decoupling and rotation have one kind. Permuted groups are
 * another kind in every cycle, so they have no sums: a merge rewrites W0.
 */
#include "worker/method/mora.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/base/sys.h"

bool mora_is_permuted(const struct mora *mora)
{
    return mora->base.spec.name == METHOD_NAME_REMORA &&
           mora->base.spec.groups == METHOD_GROUPS_PERMUTED;
}

bool mora_has_sums(const struct mora *mora)
{
    return mora->base.spec.merge_every > 0 && !mora_is_permuted(mora);
}

bool mora_is_active(const struct mora *mora, int64_t kind)
{
    return kind == method_adapter_cycle(&mora->base) % mora->kind_count;
}

static void describe(struct mora *mora, const struct method_spec *spec)
{
    char kinds[128];
    size_t used = 0;

    for (int64_t i = 0; i < mora->kind_count && used < sizeof kinds; i++) {
        used += (size_t)snprintf(kinds + used, sizeof kinds - used, "%s%s", i == 0 ? "" : ", ",
                                 mora->kinds[i]->name);
    }
    (void)snprintf(
        mora->base.description, sizeof mora->base.description,
        "%s (%s): r %lld gives r_hat %lld (q, o), %lld (k, v), %lld (gate, up), %lld (down)",
        method_name_text(spec->name), kinds, (long long)spec->r, (long long)mora->r_hat[LINEAR_Q],
        (long long)mora->r_hat[LINEAR_K], (long long)mora->r_hat[LINEAR_UP],
        (long long)mora->r_hat[LINEAR_DOWN]);
}

static enum status mora_create(struct method **out, const struct method_spec *spec,
                               const struct model_config *config, struct error *err)
{
    struct mora *mora = sys_calloc(1, sizeof *mora);
    if (mora == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for the method");
    }
    mora->kind_count = mora_kinds(spec, mora->kinds);
    for (enum linear linear = 0; linear < LINEAR_COUNT; linear++) {
        mora->r_hat[linear] =
            mora_r_hat(spec, linear_rows(config, linear), linear_columns(config, linear));
    }
    describe(mora, spec);
    *out = &mora->base;
    return STATUS_OK;
}

static void mora_destroy(struct method *method)
{
    free(method);
}

/* The M's of a group lie packed, and so do their gradients. */
static enum status mora_add_tensors(struct method *method, int64_t layer, enum linear_group group,
                                    struct error *err)
{
    const struct mora *mora = (const struct mora *)method;
    enum linear targets[LINEAR_COUNT];
    enum status status = STATUS_OK;

    const int64_t count = method_group_targets(method, group, targets);
    for (int64_t i = 0; !status && i < count; i++) {
        const struct param_addition m = {.layer = layer,
                                         .linear = targets[i],
                                         .role = PARAM_ROLE_ADAPTER,
                                         .suffix = "M",
                                         .rows = mora->r_hat[targets[i]],
                                         .columns = mora->r_hat[targets[i]],
                                         .is_trained = true,
                                         .packed = i > 0};
        status = method_add_tensor(method, MORA_SLOT_M, &m, err);
    }
    const int64_t sums = mora_has_sums(mora) ? mora->kind_count : 0;
    for (int64_t i = 0; !status && i < count * sums; i++) {
        const enum linear linear = targets[i / sums];
        char suffix[32];
        (void)snprintf(suffix, sizeof suffix, "S.%s", mora->kinds[i % sums]->name);
        const struct param_addition sum = {.layer = layer,
                                           .linear = linear,
                                           .role = PARAM_ROLE_SUM,
                                           .suffix = suffix,
                                           .rows = mora->r_hat[linear],
                                           .columns = mora->r_hat[linear]};
        status = method_add_tensor(method, MORA_SLOT_SUM + (int)(i % sums), &sum, err);
    }
    return status;
}

static enum status mora_restart(struct method *method, int64_t layer, enum linear linear,
                                struct error *err)
{
    const struct param *m = method_tensor(method, layer, linear, MORA_SLOT_M);

    (void)err;
    method->backend->op->zero(method->backend, m->value, m->elements);
    return STATUS_OK;
}

static bool mora_rewrites_base(const struct method *method)
{
    return !mora_has_sums((const struct mora *)method);
}

/* S := fl(S + M) of the active kind */
static void mora_absorb(struct method *method, int64_t layer, enum linear linear)
{
    const struct mora *mora = (const struct mora *)method;
    const struct param *m = method_tensor(method, layer, linear, MORA_SLOT_M);
    const int64_t kind = method_adapter_cycle(method) % mora->kind_count;
    const struct param *sum = method_tensor(method, layer, linear, MORA_SLOT_SUM + (int)kind);

    method->backend->op->add(method->backend, sum->value, sum->value, m->value, m->elements);
}

static const char *mora_group_kind(const struct method *method, int64_t adapter_cycle)
{
    const struct mora *mora = (const struct mora *)method;

    return mora->kinds[adapter_cycle % mora->kind_count]->name;
}

const struct method_type method_mora = {
    .create = mora_create,
    .destroy = mora_destroy,
    .add_tensors = mora_add_tensors,
    .layout = mora_layout,
    .prepare = mora_prepare,
    .restart = mora_restart,
    .group_grad = mora_group_grad,
    .products = mora_products,
    .write_weight = mora_write_weight,
    .side_ref = mora_side_ref,
    .rewrites_base = mora_rewrites_base,
    .absorb = mora_absorb,
    .group_kind = mora_group_kind,
};
