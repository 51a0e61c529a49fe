/*
 * The example of the job spec, for the tests that start from a valid one.
 */
#pragma once

#define SPEC_EXAMPLE_YAML                                                                     \
 "kind: train\n"                                                                              \
 "name: pubmed-demo\n"                                                                        \
 "model: {preset: llama-9m, tokenizer: out/tokenizer.model}\n"                                \
 "data:\n"                                                                                    \
 "  train: [{shards: out/train, weight: 1.0}]\n"                                              \
 "  validation: {shards: out/validation, sequences: 64}\n"                                    \
 "  sequence_length: 256\n"                                                                   \
 "method: {name: remora, r: 20, operator: sharing, merge_every: 120, groups: paper}\n"        \
 "optimizer: {name: adamw, lr: 1.0e-3, betas: [0.9, 0.999], eps: 1.0e-8, weight_decay: 0.0, " \
 "clip_norm: 1.0}\n"                                                                          \
 "schedule: {name: jagged_cosine, warmup: 60, restart_warmup: 6, min_lr_ratio: 0.1}\n"        \
 "batch: {global: 32, micro: 8}\n"                                                            \
 "steps: 600\n"                                                                               \
 "seed: 0\n"                                                                                  \
 "compute: {backend: auto, dtype: auto}\n"                                                    \
 "launch: {ranks: 2, threads_per_rank: 1}\n"                                                  \
 "checkpoint: {every: 100, keep_last: 2}\n"                                                   \
 "evaluate: {every: 100}\n"                                                                   \
 "retry: {max_attempts: 3}\n"

/* Only what has no default. */
#define SPEC_SMALLEST_YAML                                                       \
 "kind: train\n"                                                                 \
 "name: s\n"                                                                     \
 "model: {preset: llama-9m, tokenizer: /t.model}\n"                              \
 "data: {train: [{shards: /a}], validation: {shards: /b}, sequence_length: 8}\n" \
 "method: {name: full}\n"                                                        \
 "optimizer: {lr: 1}\n"                                                          \
 "schedule: {name: constant}\n"                                                  \
 "batch: {global: 2, micro: 1}\n"                                                \
 "epochs: 2\n"

#define SPEC_PREPARE_YAML             \
 "kind: prepare\n"                    \
 "name: p\n"                          \
 "inputs: ['*.xml.gz', more.jsonl]\n" \
 "tokenizer: {train: 4096}\n"         \
 "output: out\n"
