/* oneDNN 2: memory descriptors are plain structs, operations have a descriptor of their own. */
#include "worker/ops/gemm_onednn_matmul.h"

static dnnl_status_t matrix_desc(dnnl_memory_desc_t *out, struct gemm_onednn_matrix matrix,
                                 enum dtype type)
{
    return dnnl_memory_desc_init_by_strides(out, 2, matrix.dims, gemm_onednn_type(type),
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
            status = dnnl_post_ops_append_sum(post_ops, 1.0f);
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
    dnnl_memory_desc_t a, b, c;
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attr = NULL;

    dnnl_status_t status =
        matrix_desc(&a, gemm_onednn_matrix(s->m, s->k, s->lda, s->transpose_a), s->operands);
    if (status == dnnl_success) {
        status =
            matrix_desc(&b, gemm_onednn_matrix(s->k, s->n, s->ldb, s->transpose_b), s->operands);
    }
    if (status == dnnl_success) {
        status = matrix_desc(&c, gemm_onednn_matrix(s->m, s->n, s->ldc, false), s->result);
    }
    if (status == dnnl_success) {
        status = dnnl_matmul_desc_init(&matmul, &a, &b, NULL, &c);
    }
    if (status == dnnl_success) {
        status = attributes(&attr, s->accumulate);
    }
    if (status == dnnl_success) {
        status = dnnl_primitive_desc_create(out, &matmul, attr, engine, NULL);
    }
    if (attr != NULL) {
        (void)dnnl_primitive_attr_destroy(attr);
    }
    return status;
}
