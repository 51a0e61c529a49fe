/*
 * train_spec — a validated spec of kind train as a struct: every field of the schema, defaults
 * filled, presets resolved. Field names are the spec's.
 *
 * Ownership: texts live as long as the spec that was read. data.train is inside the struct.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/error.h"
#include "proto/spec/method_spec.h"

/* Sources of training data; each needs a quota per step, so more than a few make no sense. */
#define SPEC_SOURCES_MAX 32
/* Patterns per source or prepare job. */
#define SPEC_PATTERNS_MAX 64

enum schedule_name {
    SCHEDULE_NAME_JAGGED_COSINE,
    SCHEDULE_NAME_MORA_HF,
    SCHEDULE_NAME_COSINE,
    SCHEDULE_NAME_LINEAR,
    SCHEDULE_NAME_CONSTANT,
};
enum compute_backend { COMPUTE_BACKEND_AUTO, COMPUTE_BACKEND_CPU };
enum compute_dtype { COMPUTE_DTYPE_AUTO, COMPUTE_DTYPE_FP32, COMPUTE_DTYPE_BF16 };
enum compute_recompute {
    COMPUTE_RECOMPUTE_NONE,
    COMPUTE_RECOMPUTE_ATTENTION,
    COMPUTE_RECOMPUTE_LAYER,
};
enum compute_rounding {
    COMPUTE_ROUNDING_AUTO,
    COMPUTE_ROUNDING_NEAREST,
    COMPUTE_ROUNDING_STOCHASTIC,
};
/* What a run's bits do not depend on: threads, and with WORLD the number of ranks as well. */
enum compute_deterministic { COMPUTE_DETERMINISTIC_RUN, COMPUTE_DETERMINISTIC_WORLD };
/* How gradients are summed over ranks: after the backward pass, or while it runs. */
enum launch_overlap {
    LAUNCH_OVERLAP_AUTO,
    LAUNCH_OVERLAP_OFF,
    LAUNCH_OVERLAP_POLL,
    LAUNCH_OVERLAP_THREAD,
};
/* Parts of a step that are summed apart with deterministic: world. */
#define SPEC_LANES 4
enum text_format { TEXT_FORMAT_AUTO, TEXT_FORMAT_MEDLINE, TEXT_FORMAT_JSONL, TEXT_FORMAT_TEXT };

/* The words of the spec. */
const char *schedule_name_text(enum schedule_name name);
const char *text_format_text(enum text_format format);
/* False, and *out untouched, for a word that is none of theirs. */
bool compute_dtype_of(enum compute_dtype *out, const char *word);
bool compute_recompute_of(enum compute_recompute *out, const char *word);

/* Text files that are prepared (kind prepare) or still to be prepared (data.train[].files). */
struct spec_files {
    const char *patterns[SPEC_PATTERNS_MAX]; /* paths or globs, absolute */
    size_t pattern_count;                    /* 0: there are none */
    enum text_format format;
    const char *text_field; /* of JSONL */
};

struct train_source {
    const char *shards; /* folder; NULL when files are given */
    struct spec_files files;
    double weight;
};

struct train_spec {
    const char *name;
    struct {
        const char *from;      /* a checkpoint to continue from; else NULL */
        const char *preset;    /* NULL when config was given */
        const char *tokenizer; /* path; NULL when tokenizer_vocab_size says to train one */
        int64_t
            tokenizer_vocab_size; /* of a tokenizer to be trained from data.train[].files; else 0 */
        int64_t hidden_size;      /* 0, and all of the shape, where `from` is to bring it */
        int64_t intermediate_size;
        int64_t num_hidden_layers;
        int64_t num_attention_heads;
        int64_t num_key_value_heads; /* 0: as many as num_attention_heads */
        int64_t head_dim;            /* 0: hidden_size / num_attention_heads */
        bool tie_word_embeddings;
        double rms_norm_eps;
        double rope_theta;
        struct {
            double factor; /* 0: no scaling */
            double low_freq_factor;
            double high_freq_factor;
            int64_t original_max_position_embeddings;
        } rope_scaling;           /* rope_type llama3 */
        double initializer_range; /* standard deviation of the initial weights */
    } model;
    struct {
        struct train_source train[SPEC_SOURCES_MAX];
        size_t train_count;
        struct {
            const char *shards; /* NULL: the validation part of what is prepared from files */
            double fraction;    /* of documents, when shards is NULL; else 0 */
            int64_t sequences;  /* at most this many are evaluated */
        } validation;
        int64_t sequence_length;
    } data;
    struct method_spec method;
    struct {
        double lr;
        double betas[2];
        double eps;
        double weight_decay;
        double clip_norm; /* 0: no clipping */
    } optimizer;          /* adamw */
    struct {
        enum schedule_name name;
        int64_t warmup;         /* steps */
        int64_t restart_warmup; /* of the schedules that restart; else 0 */
        int64_t restart_every;  /* method.merge_every where it is not given; 0: never */
        bool unwarmed_first;    /* mora_hf */
        double min_lr_ratio;    /* constant: 1; mora_hf: 0 */
    } schedule;
    struct {
        int64_t global;
        int64_t micro;
    } batch;
    /* Exactly one is not 0. */
    int64_t steps;
    int64_t tokens;
    double epochs;
    uint64_t seed;
    struct {
        enum compute_backend backend; /* auto is resolved at a run's first attempt */
        enum compute_dtype dtype;
        enum compute_deterministic deterministic;
        enum compute_recompute recompute; /* what the backward pass makes again */
        enum compute_rounding rounding;   /* of effective weights in bf16 */
    } compute;
    struct {
        int64_t ranks;
        int64_t threads_per_rank;
        int64_t zero; /* 1: ranks share the optimizer's state */
        enum launch_overlap overlap;
    } launch;
    struct {
        int64_t every;
        int64_t keep_last;
    } checkpoint;
    struct {
        int64_t every;
        bool spectrum; /* count singular values of what was learnt */
    } evaluate;
    struct {
        int64_t max_skipped;  /* steps in a row without an update */
        int64_t spike_window; /* losses */
        double spike_z;       /* standard deviations; 0: none */
    } guard;
    struct {               /* metric is the validation loss */
        int64_t patience;  /* evaluations; 0: for ever */
        double min_delta;  /* that count as progress */
        double max_time_s; /* of training, over all attempts; 0: no limit */
    } stop;
    struct {
        int64_t max_attempts;
    } retry;
};

/* spec has passed spec_validate. */
MUST_USE enum status train_spec_read(struct train_spec *out, const json_t *spec, struct error *err);

/* Fills the shape from an object with `preset` or `config`, as model has them: that of the spec, or
 * of a checkpoint's account of itself. False when it has neither. */
bool train_spec_read_shape(struct train_spec *out, const json_t *model);
/* Whether its schedule restarts: jagged_cosine and mora_hf. */
bool train_spec_restarts(const struct train_spec *spec);

/* The number of optimizer steps. sequences is how many the training data has (used for epochs
 * only). tokens and epochs are rounded down to whole steps, and with a schedule that restarts to
 * whole cycles; none left is an error. */
MUST_USE enum status train_spec_steps(int64_t *out, const struct train_spec *spec,
                                      int64_t sequences, struct error *err);
