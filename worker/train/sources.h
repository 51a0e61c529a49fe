/*
 * sources — where the shards of a run are, those included that are still to be prepared.
 *
 * A source that names `shards` is used in place. One that names `files` is prepared (worker/text)
 * into a folder of the cache whose name is the digest of what the spec says about it; prepare's own
 * key, over the files' bytes, decides whether what lies there still holds. Where the tokenizer is
 * to be trained, the first such source trains it and the others use it. Validation data that are
 * not named are kept back from the first prepared source; of the others all is trained on.
 */
#pragma once

#include "proto/base/arena.h"
#include "proto/base/error.h"
#include "proto/spec/train_spec.h"

struct source_paths {
    const char *train[SPEC_SOURCES_MAX]; /* folders of shards */
    const char *validation;
    const char *tokenizer;
    const char *prepared[SPEC_SOURCES_MAX]; /* prepare's output folder; NULL for given shards */
    double fraction[SPEC_SOURCES_MAX];      /* of its documents, kept for validation */
    struct arena arena;                     /* of the texts that the spec does not own */
};

/* Only names; reads nothing. cache is the folder of all prepared data, NULL: the user's
 * ($XDG_CACHE_HOME/remora, else ~/.cache/remora). */
MUST_USE enum status source_paths_init(struct source_paths *paths, const struct train_spec *spec,
                                       const char *cache, struct error *err);
void source_paths_deinit(struct source_paths *paths);

/* Prepares what is to be prepared; cached preparations cost reading the files' digests. Tells
 * people on stderr, and waits where another process prepares the same. In a world of ranks, one of
 * them. */
MUST_USE enum status sources_prepare(const struct source_paths *paths,
                                     const struct train_spec *spec, struct error *err);
