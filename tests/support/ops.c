#include "tests/support/ops.h"

#include <math.h>

#include "proto/base/rng.h"

enum { GUARD = 32 };
static const float guard_value = 12345.0f;
static const uint16_t narrow_guard = 0x1234;

static void hash_bytes(uint64_t *hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        *hash = (*hash ^ bytes[i]) * 0x100000001B3u; /* FNV-1a */
    }
}

static void walk_threads(ops_case_fn *run_case, const void *context, enum cpu_level level)
{
    static const struct {
        int threads;
        int64_t offset;
    } runs[] = {{1, 0}, {2, 1}, {3, 0}, {8, 5}};

    uint64_t first_hash = 0;
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        struct error err;
        struct ops_run run = {.offset = runs[i].offset, .is_compared = i == 0};
        assert_ok(backend_cpu_create_at(&run.backend, runs[i].threads, level, &err), &err);
        run_case(&run, context);
        assert_ok(backend_finish(run.backend, &err), &err);
        first_hash = i == 0 ? run.hash : first_hash;
        if (run.hash != first_hash) {
            fail_msg("%s: %d threads, offset %d: other bits than with 1 thread", run.backend->isa,
                     runs[i].threads, (int)runs[i].offset);
        }
        backend_destroy(run.backend);
    }
}

void ops_walk(ops_case_fn *run_case, const void *context)
{
    for (int level = 0; level <= (int)cpu_level_detect(); level++) {
        walk_threads(run_case, context, (enum cpu_level)level);
    }
}

void ops_walk_highest(ops_case_fn *run_case, const void *context)
{
    walk_threads(run_case, context, cpu_level_detect());
}

static struct ops_tensor tensor(struct ops_run *run, int64_t count)
{
    const int64_t total = count + 2 * GUARD + run->offset;
    struct ops_tensor out = {.count = count};
    out.memory = aligned_alloc(64, ((size_t)total * sizeof(float) + 63) / 64 * 64);
    out.ref = calloc((size_t)count + 1, sizeof(double));
    assert_non_null(out.memory);
    assert_non_null(out.ref);
    for (int64_t i = 0; i < total; i++) {
        out.memory[i] = guard_value;
    }
    out.fast = out.memory + GUARD + run->offset;
    out.data = out.fast;
    return out;
}

/* Roughly normal, and fast: the sum of four uniform 16-bit numbers (splitmix64, Steele et al.
 * 2014). */
static double random_value(uint64_t seed, uint64_t index)
{
    uint64_t z = (seed << 40) + (index + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    const double sum = (double)((z & 0xFFFF) + (z >> 16 & 0xFFFF) + (z >> 32 & 0xFFFF) + (z >> 48));
    return (sum / 65536.0 - 2.0) * 1.7320508;
}

struct ops_tensor ops_input(struct ops_run *run, int64_t count, double scale)
{
    struct ops_tensor out = tensor(run, count);
    run->seed++;
    for (int64_t i = 0; i < count; i++) {
        out.fast[i] = (float)(scale * random_value(run->seed, (uint64_t)i));
        out.ref[i] = (double)out.fast[i];
    }
    return out;
}

/* bf16 numbers fill the first half of what floats would take; guards the second. */
static void narrow(struct ops_tensor *tensor)
{
    uint16_t *values = calloc((size_t)tensor->count * 2 + 1, sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < tensor->count; i++) {
        values[i] = bf16_round(tensor->fast[i]);
        values[tensor->count + i] = narrow_guard;
        tensor->ref[i] = tensor->ref[i] == 0.0 ? 0.0 : (double)bf16_widen(values[i]);
    }
    memcpy(tensor->data, values, (size_t)tensor->count * 2 * sizeof *values);
    tensor->type = DTYPE_BF16;
    free(values);
}

struct ops_tensor ops_operand(struct ops_run *run, int64_t count, double scale, enum dtype type)
{
    struct ops_tensor out = ops_input(run, count, scale);
    if (type == DTYPE_BF16) {
        narrow(&out);
    }
    return out;
}

struct ops_tensor ops_output_operand(struct ops_run *run, int64_t count, enum dtype type)
{
    struct ops_tensor out = ops_output(run, count);
    if (type == DTYPE_BF16) {
        narrow(&out);
    }
    return out;
}

static float value_at(const struct ops_tensor *tensor, int64_t i)
{
    return dtype_load(tensor->data, i, tensor->type);
}

static void check_guards(const struct ops_run *run, const struct ops_tensor *tensor)
{
    const uint16_t *values = tensor->data;
    for (int64_t i = 0; i < GUARD; i++) {
        assert_true(tensor->fast[-1 - i] == guard_value);
        assert_true(tensor->fast[tensor->count + i] == guard_value || i + run->offset >= GUARD);
    }
    for (int64_t i = tensor->count; tensor->type == DTYPE_BF16 && i < 2 * tensor->count; i++) {
        assert_int_equal(values[i], narrow_guard);
    }
}

struct ops_tensor ops_output(struct ops_run *run, int64_t count)
{
    struct ops_tensor out = tensor(run, count);
    for (int64_t i = 0; i < count; i++) {
        out.fast[i] = NAN;
    }
    return out;
}

void ops_free(struct ops_tensor *tensor)
{
    free(tensor->memory);
    free(tensor->ref);
    *tensor = (struct ops_tensor){0};
}

void ops_check_rows(struct ops_run *run, struct ops_tensor *tensor, int64_t width, int64_t stride,
                    double bound)
{
    double difference = 0.0;
    double norm = 0.0;
    check_guards(run, tensor);
    for (int64_t i = 0; i < tensor->count; i++) {
        const bool is_output = i % stride < width;
        const float value = value_at(tensor, i);
        if (!is_output) {
            /* As an output starts (NaN), or as an input that was changed in place. */
            assert_true(isnan(value) || (double)value == tensor->ref[i]);
            continue;
        }
        hash_bytes(&run->hash, &value, sizeof value);
        difference += ((double)value - tensor->ref[i]) * ((double)value - tensor->ref[i]);
        norm += tensor->ref[i] * tensor->ref[i];
        if (isnan(value)) {
            fail_msg("element %lld was not written, or is NaN", (long long)i);
        }
    }
    if (run->is_compared && !(sqrt(difference) <= bound * sqrt(norm))) {
        fail_msg("%s: relative difference %.3g, bound %.3g", run->backend->isa,
                 sqrt(difference / norm), bound);
    }
    ops_free(tensor);
}

void ops_check(struct ops_run *run, struct ops_tensor *tensor, double bound)
{
    ops_check_rows(run, tensor, 1, 1, bound);
}

uint32_t *ops_tokens(struct ops_run *run, int64_t count, int64_t V)
{
    uint32_t *tokens = calloc((size_t)count, sizeof *tokens);
    assert_non_null(tokens);
    run->seed++;
    for (int64_t i = 0; i < count; i++) {
        tokens[i] =
            rng_below(run->seed, rng_stream(RNG_PURPOSE_TEST, 1, 0), (uint64_t)i, (uint32_t)V);
    }
    return tokens;
}

double *ops_random(uint64_t seed, int64_t count, double scale)
{
    double *out = calloc((size_t)count + 1, sizeof *out);
    assert_non_null(out);
    for (int64_t i = 0; i < count; i++) {
        out[i] = scale * rng_normal(seed, rng_stream(RNG_PURPOSE_TEST, 2, 0), (uint64_t)i);
    }
    return out;
}

double ops_dot(const double *x, const double *y, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++) {
        sum += x[i] * y[i];
    }
    return sum;
}

void ops_check_gradient(const double *gradient, double *x, int64_t count, ops_loss_fn *loss,
                        void *context, double bound)
{
    const double step = 1e-4;
    double difference_sq = 0.0;
    double norm_sq = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const double before = x[i];
        x[i] = before + step;
        const double above = loss(context);
        x[i] = before - step;
        const double below = loss(context);
        x[i] = before;
        const double slope = (above - below) / (2.0 * step);
        difference_sq += (gradient[i] - slope) * (gradient[i] - slope);
        norm_sq += slope * slope;
    }
    if (!(sqrt(difference_sq) <= bound * sqrt(norm_sq))) {
        fail_msg("gradient is off by %.3g, bound %.3g", sqrt(difference_sq / norm_sq), bound);
    }
}
