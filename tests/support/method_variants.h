/*
 * method_variants — every method with every operator, group kind and way to restart, for tests that
 * hold whatever the method. tests/reference/check_methods.py has them, too, against PyTorch.
 */
#pragma once

#include "proto/spec/method_spec.h"

struct method_variant {
    const char *name;
    struct method_spec spec; /* r 2, merges every 4 steps where there are any */
};

#define METHOD_VARIANT_COUNT 32

/* index from 0 to METHOD_VARIANT_COUNT - 1 */
struct method_variant method_variant_at(int index);
