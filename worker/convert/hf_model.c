#include "worker/convert/hf_model.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/file.h"
#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "proto/tensors/safetensors.h"
#include "worker/convert/half.h"
#include "worker/convert/hf_config.h"
#include "worker/model/param_table.h"
#include "worker/ops/dtype.h"

#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME  "model.safetensors.index.json"

/* Tensors of the largest model, at 100 bytes each. */
#define INDEX_BYTES_MAX (16 * MIB)
/* Shards of the largest model in files of 5 GB; each is open while the model is. */
#define FILES_MAX 512

struct file {
    const char *name; /* a constant, or the index's */
    struct safetensors_reader *reader;
};

/* Where a tensor is. */
struct place {
    size_t file;
    size_t index;
};

struct hf_model {
    struct model_config config;
    struct param_table table; /* the list alone */
    struct place *places;     /* [table.model_count] */
    struct file files[FILES_MAX];
    size_t file_count;
    json_t *index; /* NULL for a single file */
    struct digest digest;
    char folder[PATH_BYTES_MAX];
};

/* --- files ------------------------------------------------------------------------------------ */

/* True for ../../blobs/<40 or 64 hexadecimal digits>. */
static bool is_cache_link(const char *target)
{
    static const char start[] = "../../blobs/";

    if (strncmp(target, start, sizeof start - 1) != 0) {
        return false;
    }
    const size_t length = strlen(target + sizeof start - 1);
    return (length == 40 || length == 64) &&
           strspn(target + sizeof start - 1, "0123456789abcdef") == length;
}

static enum status follow_cache_link(char *path, const char *folder, struct stat *facts,
                                     struct error *err)
{
    char target[256];
    const ssize_t length = readlink(path, target, sizeof target - 1);

    target[length > 0 ? length : 0] = '\0';
    if (!is_cache_link(target)) {
        (void)error_set(err, STATUS_INVALID, "'%s' is a symbolic link", path);
        error_set_hint(err, "copy the folder with its links followed: cp -rL");
        return STATUS_INVALID;
    }
    enum status status = path_printf(path, err, "%s/%s", folder, target);
    if (!status && lstat(path, facts) != 0) {
        status = error_from_errno(err, errno, "'%s'", path);
    }
    return status;
}

enum status hf_file_path(char *out, const char *folder, const char *name, struct error *err)
{
    struct stat facts;

    enum status status = path_printf(out, err, "%s/%s", folder, name);
    if (!status && lstat(out, &facts) != 0) {
        status = error_from_errno(err, errno, "'%s'", out);
    }
    if (!status && S_ISLNK(facts.st_mode)) {
        status = follow_cache_link(out, folder, &facts, err);
    }
    if (!status && !S_ISREG(facts.st_mode)) {
        status = error_set(err, STATUS_INVALID, "'%s' is not a file", out);
    }
    return status;
}

static enum status read_file(struct bytes *out, char *path, const struct hf_model *model,
                             const char *name, size_t size_max, struct error *err)
{
    enum status status = hf_file_path(path, model->folder, name, err);

    return status ? status : file_read(out, path, size_max, err);
}

static enum status read_config(struct hf_model *model, struct error *err)
{
    struct bytes text = {0};
    char path[PATH_BYTES_MAX];

    enum status status = read_file(&text, path, model, "config.json", HF_CONFIG_BYTES_MAX, err);
    if (!status) {
        digest_of(&model->digest, text.data, text.size);
        status = hf_config_parse(&model->config, text.data, text.size, path, err);
    }
    bytes_deinit(&text);
    return status;
}

static enum status open_file(struct hf_model *model, const char *name, struct error *err)
{
    char path[PATH_BYTES_MAX];
    struct file *file = &model->files[model->file_count];

    if (model->file_count == FILES_MAX) {
        return error_set(err, STATUS_LIMIT, "'%s/%s': more than %d files", model->folder,
                         INDEX_NAME, FILES_MAX);
    }
    enum status status = hf_file_path(path, model->folder, name, err);
    if (!status) {
        status = safetensors_reader_open(&file->reader, path, err);
    }
    if (status) {
        return status;
    }
    file->name = name;
    model->file_count++;
    struct digest both[2] = {model->digest, *safetensors_reader_digest(file->reader)};
    digest_of(&model->digest, both, sizeof both);
    return STATUS_OK;
}

/* --- the index -------------------------------------------------------------------------------- */

static enum status bad_index(const struct hf_model *model, const char *tensor, const char *problem,
                             struct error *err)
{
    return error_set(err, STATUS_CORRUPT, "'%s/%s': weight_map: '%.200s': %s", model->folder,
                     INDEX_NAME, tensor, problem);
}

/* A plain name of a safetensors file in the same folder. */
static bool is_plain_name(const char *name)
{
    static const char end[] = ".safetensors";
    const size_t length = strlen(name);

    return name[0] != '.' && strchr(name, '/') == NULL && length < 256 && length > sizeof end - 1 &&
           strcmp(name + length - (sizeof end - 1), end) == 0;
}

static size_t find_file(const struct hf_model *model, const char *name)
{
    size_t i = 0;
    while (i < model->file_count && strcmp(model->files[i].name, name) != 0) {
        i++;
    }
    return i;
}

/* Opens the files in the order in which the index first names them. */
static enum status open_indexed(struct hf_model *model, const json_t *map, struct error *err)
{
    const char *tensor = NULL;
    json_t *value = NULL;
    size_t mapped = 0;
    size_t present = 0;

    json_object_foreach((json_t *)(uintptr_t)map, tensor, value)
    {
        const char *name = json_string_value(value);
        if (name == NULL || !is_plain_name(name)) {
            return bad_index(model, tensor, "is not in a *.safetensors file of this folder", err);
        }
        const size_t at = find_file(model, name);
        if (at == model->file_count) {
            enum status status = open_file(model, name, err);
            if (status) {
                return status;
            }
        }
        if (safetensors_reader_find(model->files[at].reader, tensor, NULL) == NULL) {
            return bad_index(model, tensor, "the file that it names has no such tensor", err);
        }
        mapped++;
    }
    for (size_t i = 0; i < model->file_count; i++) {
        present += safetensors_reader_count(model->files[i].reader);
    }
    if (present != mapped) {
        return error_set(err, STATUS_CORRUPT,
                         "'%s/%s': weight_map: has %zu tensors, its files have %zu", model->folder,
                         INDEX_NAME, mapped, present);
    }
    return STATUS_OK;
}

static enum status open_index(struct hf_model *model, struct error *err)
{
    struct bytes text = {0};
    char path[PATH_BYTES_MAX];

    enum status status = read_file(&text, path, model, INDEX_NAME, INDEX_BYTES_MAX, err);
    if (!status) {
        status = json_parse(&model->index, text.data, text.size, path, err);
    }
    bytes_deinit(&text);
    if (status) {
        return status;
    }
    const json_t *map = json_object_get(model->index, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0) {
        return error_set(err, STATUS_CORRUPT, "'%s': weight_map: is missing or empty", path);
    }
    return open_indexed(model, map, err);
}

static enum status open_files(struct hf_model *model, struct error *err)
{
    enum status status = open_file(model, SINGLE_NAME, err);
    if (status != STATUS_NOT_FOUND) {
        return status;
    }
    status = open_index(model, err);
    if (status == STATUS_NOT_FOUND && model->index == NULL) {
        (void)error_set(err, STATUS_NOT_FOUND, "'%s' has neither %s nor %s", model->folder,
                        SINGLE_NAME, INDEX_NAME);
        error_set_hint(err, "weights in pytorch_model.bin are to be saved as safetensors first");
    }
    return status;
}

/* --- tensors ---------------------------------------------------------------------------------- */

static enum status check_tensor(const struct hf_model *model, const struct file *file,
                                const struct tensor_info *info, const struct param *param,
                                struct error *err)
{
    struct tensor_shape expected = {.dims = param->dimensions};
    char wanted[64];
    char found[128];

    for (int i = 0; i < param->dimensions; i++) {
        expected.extents[i] = param->shape[i];
    }
    if (!tensor_shape_equal(&expected, &info->shape)) {
        tensor_shape_text(wanted, sizeof wanted, &expected);
        tensor_shape_text(found, sizeof found, &info->shape);
        return error_set(err, STATUS_INVALID,
                         "'%s/%s': tensor '%s': shape %s, and by config.json %s", model->folder,
                         file->name, info->name, found, wanted);
    }
    if (info->dtype != TENSOR_DTYPE_F32 && info->dtype != TENSOR_DTYPE_F16 &&
        info->dtype != TENSOR_DTYPE_BF16) {
        return error_set(err, STATUS_UNSUPPORTED,
                         "'%s/%s': tensor '%s': dtype %s is none of F32, F16, BF16", model->folder,
                         file->name, info->name, tensor_dtype_name(info->dtype));
    }
    return STATUS_OK;
}

static enum status locate(struct hf_model *model, int64_t index, struct error *err)
{
    const struct param *param = &model->table.params[index];
    struct place *place = &model->places[index];

    for (size_t i = 0; i < model->file_count; i++) {
        const struct tensor_info *info =
            safetensors_reader_find(model->files[i].reader, param->name, &place->index);
        if (info != NULL) {
            place->file = i;
            return check_tensor(model, &model->files[i], info, param, err);
        }
    }
    return error_set(err, STATUS_INVALID, "'%s': tensor '%s' is missing", model->folder,
                     param->name);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text);
    const size_t end_length = strlen(end);

    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Tensors that are functions of the config; and a head that is the embedding, stored twice. */
static bool is_redundant(const struct hf_model *model, const char *name)
{
    return ends_with(name, ".rotary_emb.inv_freq") ||
           (model->config.tie_word_embeddings && strcmp(name, "lm_head.weight") == 0);
}

static enum status refuse_others(const struct hf_model *model, struct error *err)
{
    for (size_t i = 0; i < model->file_count; i++) {
        for (size_t j = 0; j < safetensors_reader_count(model->files[i].reader); j++) {
            const char *name = safetensors_reader_tensor(model->files[i].reader, j)->name;
            if (param_table_find(&model->table, name) == NULL && !is_redundant(model, name)) {
                return error_set(err, STATUS_UNSUPPORTED,
                                 "'%s/%s': tensor '%s' has no place in a LLaMA%s", model->folder,
                                 model->files[i].name, name,
                                 ends_with(name, ".bias") ? ": linear layers have no biases" : "");
            }
        }
    }
    return STATUS_OK;
}

static enum status locate_all(struct hf_model *model, struct error *err)
{
    const struct param_training none = {0};

    enum status status = param_table_init(&model->table, &model->config, &none, err);
    if (status) {
        return status;
    }
    model->places = sys_calloc((size_t)model->table.model_count, sizeof model->places[0]);
    if (model->places == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for a list of tensors");
    }
    for (int64_t i = 0; i < model->table.model_count && !status; i++) {
        status = locate(model, i, err);
    }
    return status ? status : refuse_others(model, err);
}

enum status hf_model_open(struct hf_model **out, const char *folder, struct error *err)
{
    struct hf_model *model = sys_calloc(1, sizeof *model);
    if (model == NULL) {
        return error_set(err, STATUS_NO_MEMORY, "no memory for a model's files");
    }
    enum status status = path_printf(model->folder, err, "%s", folder);
    if (!status) {
        status = read_config(model, err);
    }
    if (!status) {
        status = open_files(model, err);
    }
    if (!status) {
        status = locate_all(model, err);
    }
    if (status) {
        hf_model_close(model);
        return status;
    }
    *out = model;
    return STATUS_OK;
}

void hf_model_close(struct hf_model *model)
{
    if (model == NULL) {
        return;
    }
    for (size_t i = 0; i < model->file_count; i++) {
        safetensors_reader_close(model->files[i].reader);
    }
    json_decref(model->index);
    param_table_deinit(&model->table);
    free(model->places);
    free(model);
}

const struct model_config *hf_model_config(const struct hf_model *model)
{
    return &model->config;
}

const char *hf_model_folder(const struct hf_model *model)
{
    return model->folder;
}

const struct digest *hf_model_digest(const struct hf_model *model)
{
    return &model->digest;
}

/* Where the next piece of a tensor goes. */
struct destination {
    float *next;
    enum tensor_dtype dtype;
};

static enum status take_piece(void *context, const void *data, size_t size, struct error *err)
{
    struct destination *to = context;
    const size_t count = size / tensor_dtype_bytes(to->dtype);
    const uint16_t *narrow = data;
    (void)err;

    if (to->dtype == TENSOR_DTYPE_F32) {
        memcpy(to->next, data, size);
    }
    for (size_t i = 0; to->dtype == TENSOR_DTYPE_F16 && i < count; i++) {
        to->next[i] = half_widen(narrow[i]);
    }
    for (size_t i = 0; to->dtype == TENSOR_DTYPE_BF16 && i < count; i++) {
        to->next[i] = bf16_widen(narrow[i]);
    }
    to->next += count;
    return STATUS_OK;
}

enum status hf_model_read(const struct hf_model *model, int64_t index, float *out,
                          struct error *err)
{
    assert(0 <= index && index < model->table.model_count);
    const struct place *place = &model->places[index];
    struct safetensors_reader *reader = model->files[place->file].reader;
    struct destination to = {.next = out,
                             .dtype = safetensors_reader_tensor(reader, place->index)->dtype};

    return safetensors_reader_stream(reader, place->index, take_piece, &to, err);
}
