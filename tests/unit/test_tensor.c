#include "proto/tensors/tensor.h"
#include "tests/support/test.h"

static void the_size_is_the_product_of_extents_and_element(void **state)
{
    (void)state;
    static const struct {
        enum tensor_dtype dtype;
        struct tensor_shape shape;
        size_t bytes;
    } cases[] = {
        {TENSOR_DTYPE_F32, {0, {0}}, 4},
        {TENSOR_DTYPE_F32, {2, {3, 5}}, 60},
        {TENSOR_DTYPE_BF16, {3, {1, 1, 7}}, 14},
        {TENSOR_DTYPE_I64, {1, {0}}, 0},
        {TENSOR_DTYPE_U8, {2, {INT64_MAX, 0}}, 0},
        {TENSOR_DTYPE_U8, {3, {INT64_MAX, INT64_MAX, 0}}, 0},
        {TENSOR_DTYPE_U8, {1, {INT64_MAX}}, INT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err;
        size_t bytes = 1;
        assert_ok(tensor_shape_bytes(&bytes, cases[i].dtype, &cases[i].shape, &err), &err);
        assert_int_equal(bytes, cases[i].bytes);
    }
}

static void impossible_shapes_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct tensor_shape shape;
        enum status status;
    } cases[] = {
        {{-1, {0}}, STATUS_INVALID},
        {{TENSOR_DIMS_MAX + 1, {0}}, STATUS_INVALID},
        {{2, {-1, 0}}, STATUS_INVALID},
        {{1, {INT64_MAX}}, STATUS_LIMIT},
        {{2, {(int64_t)1 << 31, (int64_t)1 << 31}}, STATUS_LIMIT},
        {{3, {(int64_t)1 << 32, (int64_t)1 << 32, 1}}, STATUS_LIMIT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err;
        size_t bytes = 0;
        assert_int_equal(tensor_shape_bytes(&bytes, TENSOR_DTYPE_F32, &cases[i].shape, &err),
                         cases[i].status);
    }
}

static void dtypes_have_names(void **state)
{
    (void)state;
    enum tensor_dtype dtype = TENSOR_DTYPE_U8;
    assert_true(tensor_dtype_from_name(&dtype, "BF16"));
    assert_int_equal(dtype, TENSOR_DTYPE_BF16);
    assert_string_equal(tensor_dtype_name(TENSOR_DTYPE_F32), "F32");
    assert_int_equal(tensor_dtype_bytes(TENSOR_DTYPE_F64), 8);
    assert_false(tensor_dtype_from_name(&dtype, "f32"));
}

static void shapes_are_compared_and_printed(void **state)
{
    (void)state;
    char text[64];
    const struct tensor_shape a = {2, {512, 176}};
    const struct tensor_shape b = {2, {512, 177}};
    const struct tensor_shape c = {1, {512}};
    assert_true(tensor_shape_equal(&a, &a));
    assert_false(tensor_shape_equal(&a, &b));
    assert_false(tensor_shape_equal(&a, &c));
    tensor_shape_text(text, sizeof text, &a);
    assert_string_equal(text, "[512, 176]");
    tensor_shape_text(text, 6, &a);
    assert_string_equal(text, "[512,");
}

static void names_are_printable_and_bounded(void **state)
{
    (void)state;
    char name[TENSOR_NAME_BYTES_MAX + 1];
    memset(name, 'a', sizeof name);
    name[TENSOR_NAME_BYTES_MAX - 1] = '\0';
    assert_true(tensor_name_is_valid(name));
    name[TENSOR_NAME_BYTES_MAX - 1] = 'a';
    name[TENSOR_NAME_BYTES_MAX] = '\0';
    assert_false(tensor_name_is_valid(name));
    assert_true(tensor_name_is_valid("model.layers.0.self_attn.q_proj.weight"));
    assert_false(tensor_name_is_valid(""));
    assert_false(tensor_name_is_valid("a\nb"));
    assert_false(tensor_name_is_valid("a\"b"));
    assert_false(tensor_name_is_valid("é"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_size_is_the_product_of_extents_and_element),
        cmocka_unit_test(impossible_shapes_are_refused),
        cmocka_unit_test(dtypes_have_names),
        cmocka_unit_test(shapes_are_compared_and_printed),
        cmocka_unit_test(names_are_printable_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
