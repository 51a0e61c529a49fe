#include "worker/method/cost.h"

#include <assert.h>

#include "worker/method/learner.h"
#include "worker/method/method_internal.h"

/* Rows of the output projection that are measured at once: its logits of a whole micro-batch never
 * exist, and larger products are no faster. */
#define HEAD_ROWS_MAX 1024

static bool is_same(const struct cost_product *x, const struct cost_product *y)
{
    const struct gemm_shape *a = &x->shape;
    const struct gemm_shape *b = &y->shape;

    return a->m == b->m && a->n == b->n && a->k == b->k && a->transpose_a == b->transpose_a &&
           a->transpose_b == b->transpose_b && a->accumulate == b->accumulate &&
           a->operands == b->operands && a->result == b->result && x->batch == y->batch &&
           x->needed == y->needed;
}

void cost_add(struct cost *cost, const struct cost_product *product)
{
    for (int64_t i = 0; i < cost->count; i++) {
        if (is_same(&cost->products[i], product)) {
            cost->products[i].count += product->count;
            return;
        }
    }
    assert(cost->count < COST_PRODUCTS_MAX);
    cost->products[cost->count++] = *product;
}

double cost_call_flop(const struct cost_product *product)
{
    return 2.0 * (double)product->shape.m * (double)product->shape.n * (double)product->shape.k *
           (double)product->batch * product->needed;
}

double cost_flop(const struct cost *cost)
{
    double total = 0.0;

    for (int64_t i = 0; i < cost->count; i++) {
        total += cost->products[i].count * cost_call_flop(&cost->products[i]);
    }
    return total;
}

static void add_groups(struct cost *cost, const struct model_config *config, int64_t N,
                       enum dtype type)
{
    static const struct {
        const char *forward, *backward;
        bool is_update; /* its output goes into the residual stream */
    } names[LINEAR_GROUP_COUNT] = {
        [LINEAR_GROUP_QKV] = {"q|k|v forward", "q|k|v dX", false},
        [LINEAR_GROUP_O] = {"o forward", "o dX", true},
        [LINEAR_GROUP_GATE_UP] = {"gate|up forward", "gate|up dX", false},
        [LINEAR_GROUP_DOWN] = {"down forward", "down dX", true},
    };
    for (enum linear_group group = 0; group < LINEAR_GROUP_COUNT; group++) {
        struct cost_product product = {
            .name = names[group].forward,
            .shape = {.m = N,
                      .n = linear_group_rows(config, group),
                      .k = linear_group_columns(config, group),
                      .transpose_b = true,
                      .operands = type,
                      .result = names[group].is_update ? DTYPE_FP32 : type},
            .batch = 1,
            .count = (double)config->num_hidden_layers,
            .needed = 1.0,
        };
        cost_add(cost, &product);
        product.name = names[group].backward;
        product.shape = (struct gemm_shape){
            .m = N, .n = product.shape.k, .k = product.shape.n, .operands = type, .result = type};
        cost_add(cost, &product);
    }
}

/* Two products forward and four back, of which the part above the diagonal is not needed. */
static void add_attention(struct cost *cost, const struct model_config *config, int64_t B,
                          int64_t T, enum dtype type)
{
    const int64_t D = config->head_dim;
    const struct gemm_shape square = {
        .m = T, .n = T, .k = D, .transpose_b = true, .operands = type, .result = DTYPE_FP32};
    const struct gemm_shape thin = {.m = T, .n = D, .k = T, .operands = type, .result = type};
    struct gemm_shape turned = thin;
    turned.transpose_a = true;
    const struct cost_product products[] = {
        {.name = "attention q k', do v'", .shape = square},
        {.name = "attention p v, ds k", .shape = thin},
        {.name = "attention p' do, ds' q", .shape = turned},
    };
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++) {
        struct cost_product product = products[i];
        product.batch = B * config->num_attention_heads;
        product.count = 2.0 * (double)config->num_hidden_layers;
        product.needed = (double)(T + 1) / (2.0 * (double)T);
        cost_add(cost, &product);
    }
}

static void add_head(struct cost *cost, const struct model_config *config, int64_t N,
                     bool is_trained, enum dtype type)
{
    const int64_t rows = N < HEAD_ROWS_MAX ? N : HEAD_ROWS_MAX;
    const int64_t C = config->hidden_size;
    const int64_t V = config->vocab_size;
    const struct cost_product products[] = {
        {.name = "head forward",
         .shape = {.m = rows, .n = V, .k = C, .transpose_b = true, .operands = type}},
        {.name = "head dX", .shape = {.m = rows, .n = C, .k = V, .operands = type, .result = type}},
        {.name = "head dW",
         .shape = {.m = V,
                   .n = C,
                   .k = rows,
                   .transpose_a = true,
                   .accumulate = true,
                   .operands = type}},
    };
    const size_t count = sizeof products / sizeof products[0] - (is_trained ? 0 : 1);
    for (size_t i = 0; i < count; i++) {
        struct cost_product product = products[i];
        product.batch = 1;
        product.count = (double)N / (double)rows;
        product.needed = 1.0;
        cost_add(cost, &product);
    }
}

void learner_cost(struct cost *cost, const struct learner *learner)
{
    const struct learner_options *options = learner_options(learner);
    const struct method *method = learner_method(learner);
    const int64_t N = options->micro * options->sequence_length;

    *cost = (struct cost){.count = 0};
    add_groups(cost, &options->config, N, options->dtype);
    add_attention(cost, &options->config, options->micro, options->sequence_length, options->dtype);
    add_head(cost, &options->config, N, param_table_head(learner_params(learner))->trainable,
             options->dtype);
    if (method->type->products != NULL) {
        method->type->products(method, N, cost);
    }
}

double learner_recompute_flop(const struct learner *learner)
{
    const struct learner_options *options = learner_options(learner);
    const struct model_config *config = &options->config;
    const double N = (double)(options->micro * options->sequence_length);
    const double C = (double)config->hidden_size;
    const double heads = (double)(config->num_attention_heads * config->head_dim);
    /* q k' and p v below the diagonal: (T + 1) / 2 keys a query. */
    const double attention = 2.0 * N * heads * (double)(options->sequence_length + 1);
    const double qkv = 2.0 * N * C * (double)model_config_qkv_rows(config);
    const double rest = 2.0 * N * C * (heads + 2.0 * (double)config->intermediate_size);
    const double layers = (double)(config->num_hidden_layers - 1); /* the last is still there */

    switch (options->recompute) {
    case COMPUTE_RECOMPUTE_NONE:
        break;
    case COMPUTE_RECOMPUTE_ATTENTION:
        return layers * (qkv + attention);
    case COMPUTE_RECOMPUTE_LAYER:
        return layers * (qkv + attention + rest);
    }
    return 0.0;
}
