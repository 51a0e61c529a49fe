/* oneDNN 3: memory descriptors are objects, operations are described by primitive descriptors. */
#include "worker/ops/gemm_onednn_matmul.h"

static dnnl_status_t matrix_desc(dnnl_memory_desc_t *out, struct gemm_onednn_matrix matrix,
                                 enum dtype type)
{
    return dnnl_memory_desc_create_with_strides(out, 2, matrix.dims, gemm_onednn_type(type),
                                                matrix.strides);
}

static dnnl_status_t attributes(dnnl_primitive_attr_t *out, bool accumulate)
{
    dnnl_post_ops_t post_ops = NULL;

    dnnl_status_t status = dnnl_primitive_attr_create(out);
    if (status == dnnl_success) {
        status = dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user);
    }
    if (status == dnnl_success && accumulate) {
        status = dnnl_post_ops_create(&post_ops);
        if (status == dnnl_success) {
            status = dnnl_post_ops_append_sum(post_ops, 1.0f, 0, dnnl_data_type_undef);
        }
        if (status == dnnl_success) {
            status = dnnl_primitive_attr_set_post_ops(*out, post_ops);
        }
        (void)dnnl_post_ops_destroy(post_ops);
    }
    return status;
}

dnnl_status_t gemm_onednn_describe(dnnl_primitive_desc_t *out, dnnl_engine_t engine,
                                   const struct gemm_shape *s)
{
    dnnl_memory_desc_t desc[3] = {NULL};
    dnnl_primitive_attr_t attr = NULL;

    dnnl_status_t status =
        matrix_desc(&desc[0], gemm_onednn_matrix(s->m, s->k, s->lda, s->transpose_a), s->operands);
    if (status == dnnl_success) {
        status = matrix_desc(&desc[1], gemm_onednn_matrix(s->k, s->n, s->ldb, s->transpose_b),
                             s->operands);
    }
    if (status == dnnl_success) {
        status = matrix_desc(&desc[2], gemm_onednn_matrix(s->m, s->n, s->ldc, false), s->result);
    }
    if (status == dnnl_success) {
        status = attributes(&attr, s->accumulate);
    }
    if (status == dnnl_success) {
        status =
            dnnl_matmul_primitive_desc_create(out, engine, desc[0], desc[1], NULL, desc[2], attr);
    }
    if (attr != NULL) {
        (void)dnnl_primitive_attr_destroy(attr);
    }
    for (int i = 0; i < 3; i++) {
        if (desc[i] != NULL) {
            (void)dnnl_memory_desc_destroy(desc[i]);
        }
    }
    return status;
}
