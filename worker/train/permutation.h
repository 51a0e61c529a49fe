/*
 * permutation — a keyed bijection of 0 … size-1, evaluated at one place without a table.
 *
 * A balanced Feistel network of six rounds (Luby & Rackoff 1988) over the smallest even number of
 * bits that holds size, its round function Philox; values outside the range are walked along their
 * cycle until they fall inside (Black & Rogaway 2002), on average less than four times. Part of the
 * sampler's format: the order of training data follows from it.
 */
#pragma once

#include <stdint.h>

/* index in [0, size), 1 <= size <= 2^62; returns the image of index under the key (seed, stream).
 */
uint64_t permutation_at(uint64_t seed, uint64_t stream, uint64_t size, uint64_t index);
