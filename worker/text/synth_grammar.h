/*
 * synth_grammar — the words and sentences of the synthetic corpus.
 *
 * A rule is a name and its alternatives; an alternative is XML text with slots:
 *
 *   {rule}      one alternative of the rule, expanded; drawn anew at each slot
 *   {$name}     the record's own value of that rule, the same throughout the record
 *   {@rule}     the rule "rule.yes" or "rule.no", as the record's outcome is
 *   {#2-40}     a whole number in the range; {#0.5-9.9} one with as many decimals as the upper
 * bound
 *   {^…}        any of these with its first letter in upper case
 */
#pragma once

#include <stddef.h>

struct synth_rule {
    const char *name;
    const char *const *items;
    size_t count;
};

/* Sorted by name. */
extern const struct synth_rule synth_rules[];
extern const size_t synth_rule_count;
