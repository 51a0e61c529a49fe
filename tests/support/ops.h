/*
 * ops — how tests of the operations compare: a tensor twice (fp32 for the kernel, double for the
 * reference), every supported instruction-set level, several thread counts and alignments.
 */
#pragma once

#include "tests/support/test.h"
#include "worker/ops/backend.h"
#include "worker/ops/cpu.h"

/* One run of a case. All runs of a level must give the same bits. */
struct ops_run {
    struct backend *backend;
    int64_t offset;   /* elements by which buffers miss alignment to 64 bytes */
    uint64_t hash;    /* of every bit that ops_check saw */
    bool is_compared; /* this run also computes the reference */
    uint64_t seed;    /* counts the tensors of a run */
};

struct ops_tensor {
    float *fast;
    double *ref;
    int64_t count;
    float *memory; /* where fast starts, with guards before and behind */
    enum dtype type;
    void *data; /* what operations are handed: fast, or the bf16 numbers that lie there instead */
};

typedef void ops_case_fn(struct ops_run *run, const void *context);

/* Runs a case at every level, with 1, 2, 3 and 8 threads and different alignments, and asserts that
 * a level's runs give the same bits. */
void ops_walk(ops_case_fn *run, const void *context);
/* At the highest level only: for what is not compiled per level. */
void ops_walk_highest(ops_case_fn *run, const void *context);

/* Random normal values times scale, the same in fp32 and double. */
struct ops_tensor ops_input(struct ops_run *run, int64_t count, double scale);
/* The same as operands: in bf16 both are what rounding makes of them. */
struct ops_tensor ops_operand(struct ops_run *run, int64_t count, double scale, enum dtype type);
/* NaN in fp32, 0 in double. */
struct ops_tensor ops_output(struct ops_run *run, int64_t count);
struct ops_tensor ops_output_operand(struct ops_run *run, int64_t count, enum dtype type);
/* ‖fast - ref‖ / ‖ref‖ <= bound, no NaN, guards intact; frees the tensor. */
void ops_check(struct ops_run *run, struct ops_tensor *tensor, double bound);
/* The same for rows of width elements, stride apart; what lies between must be as it was. */
void ops_check_rows(struct ops_run *run, struct ops_tensor *tensor, int64_t width, int64_t stride,
                    double bound);
void ops_free(struct ops_tensor *tensor);
/* Relative rounding of an operand: what a result in bf16 is off by. */
static inline double ops_bound(enum dtype type, double fp32, double bf16)
{
    return type == DTYPE_BF16 ? bf16 : fp32;
}
uint32_t *ops_tokens(struct ops_run *run, int64_t count, int64_t V);

/* Random normal values in double. */
double *ops_random(uint64_t seed, int64_t count, double scale);
double ops_dot(const double *x, const double *y, int64_t count);

/*
 * Asserts that gradient[count] is that of loss with respect to x[count], by central differences:
 * ‖gradient - difference‖ / ‖difference‖ <= bound.
 */
typedef double ops_loss_fn(void *context);
void ops_check_gradient(const double *gradient, double *x, int64_t count, ops_loss_fn *loss,
                        void *context, double bound);
