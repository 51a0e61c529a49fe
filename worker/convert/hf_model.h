/*
 * hf_model — a model in a folder of Hugging Face's, opened to be read tensor by tensor.
 *
 *   config.json                       see hf_config.h
 *   model.safetensors                 all tensors, or
 *   model.safetensors.index.json      which of the files beside it has which
 *
 * Opening looks at everything but the weights: a tensor that is missing, too many, of another shape
 * or of a type that is none of F32, F16 and BF16 is an error that names file and tensor. Reading
 * goes through one piece of a file at a time and checks digests where a file has them. A name that
 * leads out of the folder is refused, and so is a symbolic link, except those that the Hugging Face
 * cache is made of (../../blobs/<digest>).
 *
 * Ownership: the caller closes what it opened.
 * Threads:   one at a time.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "proto/base/digest.h"
#include "proto/base/error.h"
#include "worker/model/config.h"

struct hf_model;

MUST_USE enum status hf_model_open(struct hf_model **out, const char *folder, struct error *err);
void hf_model_close(struct hf_model *model); /* NULL is fine */

const struct model_config *hf_model_config(const struct hf_model *model);
const char *hf_model_folder(const struct hf_model *model);
/* Of config.json and of the headers of all files. */
const struct digest *hf_model_digest(const struct hf_model *model);

/* The tensor with that index in the parameter table of the model's shape: out[elements]. */
MUST_USE enum status hf_model_read(const struct hf_model *model, int64_t index, float *out,
                                   struct error *err);

/* out[PATH_BYTES_MAX]: a file of the folder as it may be opened. STATUS_NOT_FOUND where there is
 * none, STATUS_INVALID for a link or what is no file. */
MUST_USE enum status hf_file_path(char *out, const char *folder, const char *name,
                                  struct error *err);
