/*
 * limits — the bound of everything that a file, a person or another process can make large, each
 * with its reason. Tests try both sides of each.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* A path with room for what we append to a person's. Linux's own PATH_MAX is 4096. */
#define PATH_BYTES_MAX 4096

/* A spec is written by a person; the largest of our examples has 2 KiB. */
#define SPEC_BYTES_MAX (1 * MIB)
/* Deeper nesting than any schema of ours has; stops stack exhaustion in recursive parsers. */
#define JSON_DEPTH_MAX 32
/* [A-Za-z][A-Za-z0-9._-]{0,63} */
#define JOB_NAME_BYTES_MAX 64

/* One line of JSON-RPC: a spec and its envelope, or a page of events. */
#define RPC_LINE_BYTES_MAX (4 * MIB)
static_assert(RPC_LINE_BYTES_MAX >= 2 * SPEC_BYTES_MAX, "a spec fits a line, escaped");
/* What may wait for a slow reader before it is dropped (it resumes with from_seq). */
#define RPC_BACKLOG_BYTES_MAX (16 * MIB)
#define RPC_CLIENTS_MAX       256
/* Rows of a page of events, metrics or jobs. */
#define RPC_PAGE_ROWS_MAX 5000

/* A line of the run folder's records. */
#define RECORD_BYTES_MAX   (64 * KIB)
#define MANIFEST_BYTES_MAX (64 * MIB)
/* Logical bytes of one chunk of a tensor: small enough to verify and repair piecewise. */
#define CHUNK_BYTES (4 * MIB)

/* The limit of Hugging Face's own reader. */
#define SAFETENSORS_HEADER_BYTES_MAX ((size_t)100000000)

#define RANKS_MAX            1024
#define THREADS_PER_RANK_MAX 256
#define SLOTS_MAX            4096

#define VOCAB_SIZE_MAX      (1 << 20)
#define SEQUENCE_LENGTH_MAX (1 << 20)
#define HIDDEN_SIZE_MAX     (1 << 16)
#define LAYERS_MAX          512
#define STEPS_MAX           ((int64_t)1 << 40)
/* JSON integers stay exact in every reader below 2^53. */
#define JSON_INTEGER_MAX (((int64_t)1 << 53) - 1)

/* A document longer than this is an error of the input, not a text. */
#define DOCUMENT_BYTES_MAX   (256 * MIB)
#define JSONL_LINE_BYTES_MAX (512 * MIB)

/* Tokens of one shard file: 2^36 of 4 bytes are 256 GiB, beyond any file that we write. */
#define SHARD_TOKENS_MAX ((int64_t)1 << 36)
/* What a writer puts into one file: 256 MiB of 16-bit tokens, quick to verify and to copy. */
#define SHARD_FILE_TOKENS ((int64_t)1 << 27)
/* Documents that start in one file: bounds the offsets that a writer holds to 8 MiB. */
#define SHARD_FILE_DOCUMENTS ((int64_t)1 << 20)
/* Files of a set, and their index at about 200 bytes a file. */
#define SHARD_FILES_MAX       (1 << 16)
#define SHARD_INDEX_BYTES_MAX (32 * MIB)

/* Input files of one preparation: PubMed has about 1500; folders nest less than any real tree. */
#define INPUT_FILES_MAX (1 << 20)
#define INPUT_DEPTH_MAX 32
