#include "worker/ops/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/sys.h"

struct profile {
    struct backend *backend;
    const struct backend_table *inner; /* the backend's own */
    struct backend_table table;        /* that stands before it */
    struct profile_entry entries[PROFILE_ENTRIES_MAX];
    int64_t count;
};

static const struct backend_table *inner(const struct backend *backend)
{
    return backend->profile->inner;
}

/* The entry of that name; the last one takes what there is no room for. */
static struct profile_entry *entry_of(struct profile *profile, const char *name)
{
    for (int64_t i = 0; i < profile->count; i++) {
        if (strcmp(profile->entries[i].name, name) == 0) {
            return &profile->entries[i];
        }
    }
    if (profile->count == PROFILE_ENTRIES_MAX) {
        return &profile->entries[PROFILE_ENTRIES_MAX - 1];
    }
    struct profile_entry *entry = &profile->entries[profile->count++];
    *entry = (struct profile_entry){0};
    (void)snprintf(entry->name, sizeof entry->name, "%s", name);
    return entry;
}

static void record(const struct backend *backend, const char *name, double flop, int64_t start_ns)
{
    const int64_t end_ns = sys_monotonic_ns();
    struct profile_entry *entry = entry_of(backend->profile, name);

    entry->calls++;
    entry->ns += end_ns - start_ns;
    entry->flop += flop;
}

/* FLOPs of one of attention's T x T x D products below the diagonal, for all heads. */
static double attention_product(const struct attention_shape *s)
{
    return (double)(s->B * s->H) * (double)(s->T * (s->T + 1)) * (double)s->D;
}

static void profiled_gemm(struct backend *backend, void *c, const void *a, const void *b,
                          const struct gemm_shape *shape)
{
    char name[sizeof((struct profile_entry *)0)->name];
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->gemm(backend, c, a, b, shape);
    (void)snprintf(name, sizeof name, "gemm %lldx%lldx%lld %c%c%s", (long long)shape->m,
                   (long long)shape->n, (long long)shape->k, shape->transpose_a ? 'T' : 'N',
                   shape->transpose_b ? 'T' : 'N', shape->accumulate ? "+" : "");
    record(backend, name, 2.0 * (double)shape->m * (double)shape->n * (double)shape->k, start_ns);
}

static void profiled_embedding_forward(struct backend *backend, float *y, const float *table,
                                       const uint32_t *tokens, int64_t N, int64_t C)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->embedding_forward(backend, y, table, tokens, N, C);
    record(backend, "embedding_forward", 0.0, start_ns);
}

static void profiled_embedding_backward(struct backend *backend, float *dtable, const float *dy,
                                        const uint32_t *tokens, int64_t N, int64_t C)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->embedding_backward(backend, dtable, dy, tokens, N, C);
    record(backend, "embedding_backward", 0.0, start_ns);
}

static void profiled_rmsnorm_forward(struct backend *backend, void *y, float *rstd, float *sum,
                                     const float *x, const float *update, const float *gain,
                                     int64_t N, int64_t C, float eps, enum dtype type)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->rmsnorm_forward(backend, y, rstd, sum, x, update, gain, N, C, eps, type);
    record(backend, "rmsnorm_forward", 0.0, start_ns);
}

static void profiled_rmsnorm_backward(struct backend *backend, float *dx, void *dx_operand,
                                      float *dgain, const void *dy, const float *x,
                                      const float *rstd, const float *gain, int64_t N, int64_t C,
                                      bool accumulate, enum dtype type)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->rmsnorm_backward(backend, dx, dx_operand, dgain, dy, x, rstd, gain, N, C,
                                     accumulate, type);
    record(backend, "rmsnorm_backward", 0.0, start_ns);
}

static void profiled_rope_forward(struct backend *backend, void *x, const float *cosine,
                                  const float *sine, int64_t N, int64_t T, int64_t H, int64_t D,
                                  int64_t stride, enum dtype type)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->rope_forward(backend, x, cosine, sine, N, T, H, D, stride, type);
    record(backend, "rope_forward", 0.0, start_ns);
}

static void profiled_rope_backward(struct backend *backend, void *x, const float *cosine,
                                   const float *sine, int64_t N, int64_t T, int64_t H, int64_t D,
                                   int64_t stride, enum dtype type)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->rope_backward(backend, x, cosine, sine, N, T, H, D, stride, type);
    record(backend, "rope_backward", 0.0, start_ns);
}

static void profiled_attention_forward(struct backend *backend, void *o, float *lse, const void *q,
                                       const void *k, const void *v,
                                       const struct attention_shape *shape)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->attention_forward(backend, o, lse, q, k, v, shape);
    record(backend, "attention_forward", 2.0 * attention_product(shape), start_ns);
}

static void profiled_attention_backward(struct backend *backend, void *dq, void *dk, void *dv,
                                        const void *dout, const void *q, const void *k,
                                        const void *v, const void *o, const float *lse,
                                        const struct attention_shape *shape)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->attention_backward(backend, dq, dk, dv, dout, q, k, v, o, lse, shape);
    record(backend, "attention_backward", 4.0 * attention_product(shape), start_ns);
}

static void profiled_swiglu_forward(struct backend *backend, void *y, const void *gate,
                                    const void *up, int64_t N, int64_t F, int64_t stride,
                                    enum dtype type)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->swiglu_forward(backend, y, gate, up, N, F, stride, type);
    record(backend, "swiglu_forward", 0.0, start_ns);
}

static void profiled_swiglu_backward(struct backend *backend, void *dgate, void *dup,
                                     const void *dy, const void *gate, const void *up, int64_t N,
                                     int64_t F, int64_t stride, enum dtype type)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->swiglu_backward(backend, dgate, dup, dy, gate, up, N, F, stride, type);
    record(backend, "swiglu_backward", 0.0, start_ns);
}

static void profiled_head_loss(struct backend *backend, double *loss, const void *x, const void *w,
                               const uint32_t *targets, int64_t N, int64_t C, int64_t V,
                               enum dtype type)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->head_loss(backend, loss, x, w, targets, N, C, V, type);
    record(backend, "head_loss", 2.0 * (double)N * (double)C * (double)V, start_ns);
}

static void profiled_head_loss_backward(struct backend *backend, double *loss, void *dx, float *dw,
                                        const void *x, const void *w, const uint32_t *targets,
                                        float grad_scale, int64_t N, int64_t C, int64_t V,
                                        enum dtype type)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->head_loss_backward(backend, loss, dx, dw, x, w, targets, grad_scale, N, C, V,
                                       type);
    record(backend, "head_loss_backward",
           (dw == NULL ? 4.0 : 6.0) * (double)N * (double)C * (double)V, start_ns);
}

static void profiled_add(struct backend *backend, float *out, const float *a, const float *b,
                         int64_t n)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->add(backend, out, a, b, n);
    record(backend, "add", 0.0, start_ns);
}

static void profiled_scale(struct backend *backend, float *x, float factor, int64_t n)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->scale(backend, x, factor, n);
    record(backend, "scale", 0.0, start_ns);
}

static void profiled_zero(struct backend *backend, float *x, int64_t n)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->zero(backend, x, n);
    record(backend, "zero", 0.0, start_ns);
}

static void profiled_copy(struct backend *backend, float *out, const float *x, int64_t n)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->copy(backend, out, x, n);
    record(backend, "copy", 0.0, start_ns);
}

static void profiled_round_bf16(struct backend *backend, uint16_t *out, const float *x, int64_t n,
                                const struct bf16_rounding *rounding)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->round_bf16(backend, out, x, n, rounding);
    record(backend, "round_bf16", 0.0, start_ns);
}

static void profiled_fill_normal(struct backend *backend, float *out, int64_t n, float deviation,
                                 uint64_t seed, uint64_t stream)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->fill_normal(backend, out, n, deviation, seed, stream);
    record(backend, "fill_normal", 0.0, start_ns);
}

static void profiled_sum_squares(struct backend *backend, double *out, const float *x, int64_t n)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->sum_squares(backend, out, x, n);
    record(backend, "sum_squares", 0.0, start_ns);
}

static void profiled_count_nonzero(struct backend *backend, int64_t *out, const float *x, int64_t n)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->count_nonzero(backend, out, x, n);
    record(backend, "count_nonzero", 0.0, start_ns);
}

static void profiled_scale_rows(struct backend *backend, float *out, const float *x,
                                const float *factor, float scale, int64_t d, int64_t k)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->scale_rows(backend, out, x, factor, scale, d, k);
    record(backend, "scale_rows", 0.0, start_ns);
}

static void profiled_add_scaled_rows(struct backend *backend, float *out, const float *x,
                                     const float *factor, int64_t d, int64_t k)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->add_scaled_rows(backend, out, x, factor, d, k);
    record(backend, "add_scaled_rows", 0.0, start_ns);
}

static void profiled_row_norms(struct backend *backend, float *norm, const float *w, int64_t d,
                               int64_t k)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->row_norms(backend, norm, w, d, k);
    record(backend, "row_norms", 0.0, start_ns);
}

static void profiled_normalise_rows(struct backend *backend, float *w, float *factor,
                                    const float *magnitude, int64_t d, int64_t k)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->normalise_rows(backend, w, factor, magnitude, d, k);
    record(backend, "normalise_rows", 0.0, start_ns);
}

static void profiled_dot_columns(struct backend *backend, float *out, const void *dy,
                                 const float *y, const float *divisor, int64_t N, int64_t d,
                                 int64_t stride, enum dtype type)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->dot_columns(backend, out, dy, y, divisor, N, d, stride, type);
    record(backend, "dot_columns", 0.0, start_ns);
}

static void profiled_sharing_comp(struct backend *backend, void *z, const void *x,
                                  const struct sharing_kind *kind, int64_t N, int64_t k,
                                  int64_t r_hat, int64_t stride, enum dtype type)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->sharing_comp(backend, z, x, kind, N, k, r_hat, stride, type);
    record(backend, "sharing_comp", 0.0, start_ns);
}

static void profiled_sharing_decomp_t(struct backend *backend, void *u, const void *dy,
                                      const struct sharing_kind *kind, int64_t N, int64_t d,
                                      int64_t r_hat, int64_t stride, int64_t u_stride,
                                      enum dtype type)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->sharing_decomp_t(backend, u, dy, kind, N, d, r_hat, stride, u_stride, type);
    record(backend, "sharing_decomp_t", 0.0, start_ns);
}

static void profiled_sharing_weight(struct backend *backend, float *w, const float *w0,
                                    const struct sharing_term *terms, int64_t term_count, int64_t d,
                                    int64_t k, int64_t r_hat)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->sharing_weight(backend, w, w0, terms, term_count, d, k, r_hat);
    record(backend, "sharing_weight", 0.0, start_ns);
}

static void profiled_truncation_weight(struct backend *backend, float *w, const float *w0,
                                       const float *sum, const float *adapter, int64_t d, int64_t k,
                                       int64_t r_hat)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->truncation_weight(backend, w, w0, sum, adapter, d, k, r_hat);
    record(backend, "truncation_weight", 0.0, start_ns);
}

static void profiled_chunks_comp(struct backend *backend, void *z, const void *x,
                                 const struct chunks *chunks, int64_t N, int64_t stride,
                                 enum dtype type)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->chunks_comp(backend, z, x, chunks, N, stride, type);
    record(backend, "chunks_comp", 0.0, start_ns);
}

static void profiled_chunks_decomp_t(struct backend *backend, void *u, const void *dy,
                                     const struct chunks *chunks, int64_t N, int64_t stride,
                                     int64_t u_stride, enum dtype type)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->chunks_decomp_t(backend, u, dy, chunks, N, stride, u_stride, type);
    record(backend, "chunks_decomp_t", 0.0, start_ns);
}

static void profiled_chunks_weight(struct backend *backend, float *w, const float *w0,
                                   const float *sum, const float *adapter,
                                   const struct chunks *chunks)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->chunks_weight(backend, w, w0, sum, adapter, chunks);
    record(backend, "chunks_weight", 0.0, start_ns);
}

static void profiled_moments_keep_random(struct backend *backend, float *exp_avg, float *exp_avg_sq,
                                         int64_t n, double ratio, uint64_t seed, uint64_t stream)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->moments_keep_random(backend, exp_avg, exp_avg_sq, n, ratio, seed, stream);
    record(backend, "moments_keep_random", 0.0, start_ns);
}

static void profiled_moments_keep_largest(struct backend *backend, float *exp_avg,
                                          float *exp_avg_sq, int64_t n, int64_t keep)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->moments_keep_largest(backend, exp_avg, exp_avg_sq, n, keep);
    record(backend, "moments_keep_largest", 0.0, start_ns);
}

static void profiled_adamw_update(struct backend *backend, float *param, float *exp_avg,
                                  float *exp_avg_sq, const float *grad, int64_t n,
                                  const struct adamw_update *update)
{
    const int64_t start_ns = sys_monotonic_ns();

    inner(backend)->adamw_update(backend, param, exp_avg, exp_avg_sq, grad, n, update);
    record(backend, "adamw_update", 0.0, start_ns);
}

enum status profile_attach(struct profile **out, struct backend *backend, struct error *err)
{
    struct profile *profile = sys_calloc(1, sizeof *profile);
    if (profile == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for a profile");
    }
    profile->backend = backend;
    profile->inner = backend->op;
    profile->table = *backend->op; /* an operation that is not listed here runs unmeasured */
    profile->table.gemm = profiled_gemm;
    profile->table.embedding_forward = profiled_embedding_forward;
    profile->table.embedding_backward = profiled_embedding_backward;
    profile->table.rmsnorm_forward = profiled_rmsnorm_forward;
    profile->table.rmsnorm_backward = profiled_rmsnorm_backward;
    profile->table.rope_forward = profiled_rope_forward;
    profile->table.rope_backward = profiled_rope_backward;
    profile->table.attention_forward = profiled_attention_forward;
    profile->table.attention_backward = profiled_attention_backward;
    profile->table.swiglu_forward = profiled_swiglu_forward;
    profile->table.swiglu_backward = profiled_swiglu_backward;
    profile->table.head_loss = profiled_head_loss;
    profile->table.head_loss_backward = profiled_head_loss_backward;
    profile->table.add = profiled_add;
    profile->table.scale = profiled_scale;
    profile->table.zero = profiled_zero;
    profile->table.copy = profiled_copy;
    profile->table.round_bf16 = profiled_round_bf16;
    profile->table.fill_normal = profiled_fill_normal;
    profile->table.sum_squares = profiled_sum_squares;
    profile->table.count_nonzero = profiled_count_nonzero;
    profile->table.scale_rows = profiled_scale_rows;
    profile->table.add_scaled_rows = profiled_add_scaled_rows;
    profile->table.row_norms = profiled_row_norms;
    profile->table.normalise_rows = profiled_normalise_rows;
    profile->table.dot_columns = profiled_dot_columns;
    profile->table.sharing_comp = profiled_sharing_comp;
    profile->table.sharing_decomp_t = profiled_sharing_decomp_t;
    profile->table.sharing_weight = profiled_sharing_weight;
    profile->table.truncation_weight = profiled_truncation_weight;
    profile->table.chunks_comp = profiled_chunks_comp;
    profile->table.chunks_decomp_t = profiled_chunks_decomp_t;
    profile->table.chunks_weight = profiled_chunks_weight;
    profile->table.moments_keep_random = profiled_moments_keep_random;
    profile->table.moments_keep_largest = profiled_moments_keep_largest;
    profile->table.adamw_update = profiled_adamw_update;
    backend->op = &profile->table;
    backend->profile = profile;
    *out = profile;
    return STATUS_OK;
}

void profile_detach(struct profile *profile)
{
    if (profile != NULL) {
        profile->backend->op = profile->inner;
        profile->backend->profile = NULL;
        free(profile);
    }
}

void profile_clear(struct profile *profile)
{
    profile->count = 0;
}

const struct profile_entry *profile_entries(const struct profile *profile, int64_t *count)
{
    *count = profile->count;
    return profile->entries;
}
