// The only C++ of ours that runs on the CPU: SentencePiece has no C interface. Nothing is thrown
// out of here, and every function is a thin step to the library.

#include "worker/text/tokenizer.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

extern "C" {
#include "proto/base/file.h"
#include "proto/base/limits.h"
#include "proto/base/sys.h"
#include "worker/text/model_traits.h"
}

namespace
{

// LLaMA's is 500 KB, the largest known (256 K pieces) 5 MB.
constexpr size_t MODEL_BYTES_MAX = 64 * MIB;
// A line longer than this is cut at a space before it is trained on: pieces never cross spaces, so
// nothing is lost, and the library drops longer ones.
constexpr size_t SENTENCE_BYTES_MAX = 16 * KIB;

// Runs the step; whatever the library throws becomes an error.
template <typename Step> enum status guarded(struct error *err, const char *what, Step step)
{
    try {
        return step();
    } catch (const std::bad_alloc &) {
        return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", what);
    } catch (const std::exception &thrown) {
        return error_set(err, STATUS_INVALID, "%s: %s", what, thrown.what());
    } catch (...) {
        return error_set(err, STATUS_INVALID, "%s: SentencePiece failed", what);
    }
}

enum status from_library(struct error *err, enum status status, const char *what,
                         const sentencepiece::util::Status &result)
{
    return error_set(err, status, "%s: %s", what, result.error_message());
}

// Walks the samples line by line.
class Sentences : public sentencepiece::SentenceIterator
{
  public:
    Sentences(const tokenizer_sample *samples, size_t count) : samples_(samples), count_(count)
    {
        Next();
    }

    bool done() const override
    {
        return is_done_;
    }

    void Next() override
    {
        do {
            while (at_ == size_ && next_ < count_) {
                text_ = samples_[next_].text;
                size_ = samples_[next_].size;
                at_ = 0;
                next_++;
            }
            is_done_ = at_ == size_;
            take_line();
        } while (!is_done_ && line_.empty());
    }

    const std::string &value() const override
    {
        return line_;
    }

    sentencepiece::util::Status status() const override
    {
        return sentencepiece::util::Status();
    }

  private:
    // The rest of the text up to its newline, or to the last space within the limit.
    void take_line()
    {
        std::string_view rest(text_ + at_, size_ - at_);
        size_t end = rest.find('\n');
        size_t next = end == rest.npos ? rest.size() : end + 1;
        end = end == rest.npos ? rest.size() : end;
        if (end > SENTENCE_BYTES_MAX) {
            size_t space = rest.rfind(' ', SENTENCE_BYTES_MAX);
            // Text without spaces that long has no words to learn from: leave it out.
            end = space == rest.npos ? 0 : space;
            next = space == rest.npos ? next : (space == 0 ? 1 : space);
        }
        line_.assign(rest.data(), end);
        at_ += next;
    }

    const tokenizer_sample *samples_;
    size_t count_;
    size_t next_ = 0;
    const char *text_ = "";
    size_t size_ = 0;
    size_t at_ = 0;
    bool is_done_ = false;
    std::string line_;
};

std::unordered_map<std::string, std::string> trainer_settings(uint32_t vocab_size)
{
    return {
        {"model_type", "bpe"},
        {"vocab_size", std::to_string(vocab_size)},
        {"hard_vocab_limit", "false"}, // fewer pieces when the corpus has no more
        {"byte_fallback", "true"},
        {"character_coverage", "0.9995"},
        {"normalization_rule_name", "identity"},
        {"remove_extra_whitespaces", "false"},
        {"add_dummy_prefix", "true"},
        {"allow_whitespace_only_pieces", "true"},
        {"split_digits", "true"},
        {"max_sentence_length", std::to_string(SENTENCE_BYTES_MAX + 1)},
        {"num_threads", "2"}, // written into the model: a fixed number, fixed bytes
        {"unk_id", "0"},
        {"bos_id", "1"},
        {"eos_id", "2"},
        {"pad_id", "-1"},
        {"minloglevel", "3"},
    };
}

} // namespace

struct tokenizer {
    sentencepiece::SentencePieceProcessor processor;
    uint32_t vocab_size = 0;
    uint32_t eos_id = 0;
    bool splits_at_spaces = false;
    struct digest digest = {};
};

extern "C" void token_list_deinit(struct token_list *list)
{
    free(list->tokens);
    *list = {};
}

static enum status open_model(struct tokenizer *tokenizer, std::string_view bytes, const char *name,
                              struct error *err)
{
    auto result = tokenizer->processor.LoadFromSerializedProto(bytes);
    if (!result.ok()) {
        enum status status = error_set(err, STATUS_CORRUPT,
                                       "tokenizer '%s': not a SentencePiece "
                                       "model",
                                       name);
        error_set_hint(err, "a SentencePiece model is expected, often called tokenizer.model");
        return status;
    }
    int vocab_size = tokenizer->processor.GetPieceSize();
    int eos_id = tokenizer->processor.eos_id();
    if (vocab_size <= 0 || vocab_size > VOCAB_SIZE_MAX) {
        return error_set(err, STATUS_LIMIT, "tokenizer '%s': %d pieces, not 1 … %d", name,
                         vocab_size, VOCAB_SIZE_MAX);
    }
    if (eos_id < 0 || eos_id >= vocab_size) {
        return error_set(err, STATUS_UNSUPPORTED,
                         "tokenizer '%s': it has no end-of-text symbol to stand between documents",
                         name);
    }
    tokenizer->vocab_size = static_cast<uint32_t>(vocab_size);
    tokenizer->eos_id = static_cast<uint32_t>(eos_id);
    digest_of(&tokenizer->digest, bytes.data(), bytes.size());
    struct model_traits traits;
    tokenizer->splits_at_spaces = model_traits_read(&traits, bytes.data(), bytes.size()) &&
                                  model_traits_splits_at_spaces(&traits);
    return STATUS_OK;
}

extern "C" enum status tokenizer_load_bytes(struct tokenizer **out, const void *data, size_t size,
                                            const char *name, struct error *err)
{
    return guarded(err, "tokenizer", [&] {
        auto *tokenizer = new struct tokenizer;
        enum status status =
            open_model(tokenizer, {static_cast<const char *>(data), size}, name, err);
        if (status) {
            delete tokenizer;
            return status;
        }
        *out = tokenizer;
        return STATUS_OK;
    });
}

extern "C" enum status tokenizer_load(struct tokenizer **out, const char *path, struct error *err)
{
    struct bytes model = {};
    enum status status = file_read(&model, path, MODEL_BYTES_MAX, err);
    if (status) {
        error_wrap(err, "tokenizer");
    } else {
        status = tokenizer_load_bytes(out, model.data, model.size, path, err);
    }
    bytes_deinit(&model);
    return status;
}

extern "C" void tokenizer_destroy(struct tokenizer *tokenizer)
{
    delete tokenizer;
}

extern "C" uint32_t tokenizer_vocab_size(const struct tokenizer *tokenizer)
{
    return tokenizer->vocab_size;
}

extern "C" uint32_t tokenizer_eos_id(const struct tokenizer *tokenizer)
{
    return tokenizer->eos_id;
}

extern "C" const struct digest *tokenizer_digest(const struct tokenizer *tokenizer)
{
    return &tokenizer->digest;
}

extern "C" bool tokenizer_splits_at_spaces(const struct tokenizer *tokenizer)
{
    return tokenizer->splits_at_spaces;
}

static enum status store_ids(struct token_list *out, const std::vector<int> &ids, struct error *err)
{
    if (ids.size() > out->capacity) {
        size_t capacity = ids.size() + ids.size() / 2;
        void *grown = sys_realloc(out->tokens, capacity * sizeof *out->tokens);
        if (!grown) {
            return error_set(err, STATUS_NO_MEMORY, "tokens of a text: out of memory");
        }
        out->tokens = static_cast<uint32_t *>(grown);
        out->capacity = capacity;
    }
    for (size_t i = 0; i < ids.size(); i++) {
        out->tokens[i] = static_cast<uint32_t>(ids[i]);
    }
    out->count = ids.size();
    return STATUS_OK;
}

extern "C" enum status tokenizer_encode(const struct tokenizer *tokenizer, const char *text,
                                        size_t size, struct token_list *out, struct error *err)
{
    out->count = 0;
    return guarded(err, "tokenizer: encode", [&] {
        std::vector<int> ids;
        auto result = tokenizer->processor.Encode(std::string_view(text, size), &ids);
        if (!result.ok()) {
            return from_library(err, STATUS_INVALID, "tokenizer: encode", result);
        }
        return store_ids(out, ids, err);
    });
}

extern "C" enum status tokenizer_decode(const struct tokenizer *tokenizer, const uint32_t *tokens,
                                        size_t count, struct bytes *out, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (tokens[i] >= tokenizer->vocab_size) {
            return error_set(err, STATUS_INVALID, "tokenizer: decode: %u is not below %u",
                             tokens[i], tokenizer->vocab_size);
        }
    }
    return guarded(err, "tokenizer: decode", [&] {
        std::vector<int> ids(tokens, tokens + count);
        std::string text;
        auto result = tokenizer->processor.Decode(ids, &text);
        if (!result.ok()) {
            return from_library(err, STATUS_INVALID, "tokenizer: decode", result);
        }
        bytes_append(out, text.data(), text.size());
        return bytes_status(out, "decoded text", err);
    });
}

// The one failure that a person meets says "smaller than required_chars. 272 vs 348".
static enum status training_failed(struct error *err, uint32_t vocab_size, const char *message)
{
    const char *needed = std::strstr(message, "required_chars. ");
    needed = needed ? std::strstr(needed, " vs ") : nullptr;
    if (!needed) {
        return error_set(err, STATUS_INVALID, "vocabulary: %s", message);
    }
    enum status status = error_set(
        err, STATUS_LIMIT, "vocabulary of %u is too small: the characters of the corpus need %ld",
        vocab_size, std::strtol(needed + 4, nullptr, 10));
    error_set_hint(err, "give a larger vocabulary size");
    return status;
}

extern "C" enum status tokenizer_train(struct bytes *out, const struct tokenizer_sample *samples,
                                       size_t sample_count, uint32_t vocab_size, struct error *err)
{
    if (vocab_size < TOKENIZER_VOCAB_SIZE_MIN || vocab_size > VOCAB_SIZE_MAX) {
        return error_set(err, STATUS_INVALID, "vocabulary size: %u is not in %d … %d", vocab_size,
                         TOKENIZER_VOCAB_SIZE_MIN, VOCAB_SIZE_MAX);
    }
    return guarded(err, "vocabulary", [&] {
        Sentences sentences(samples, sample_count);
        std::string model;
        if (sentences.done()) {
            return error_set(err, STATUS_INVALID, "vocabulary: there is no text to train it on");
        }
        auto result = sentencepiece::SentencePieceTrainer::Train(trainer_settings(vocab_size),
                                                                 &sentences, &model);
        if (!result.ok()) {
            return training_failed(err, vocab_size, result.error_message());
        }
        bytes_append(out, model.data(), model.size());
        return bytes_status(out, "vocabulary", err);
    });
}
