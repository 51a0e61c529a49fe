#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/json.h"
#include "proto/base/limits.h"
#include "proto/spec/schema.h"
#include "proto/spec/schema_internal.h"

/* One pass over an instance. */
struct apply {
    const struct schema *schema;
    const json_t *root; /* node of the whole instance, picked */
    struct schema_problems *problems;
    struct schema_path path;
    struct error surplus; /* stands in for problems that are counted, not kept */
    bool is_out_of_memory;
};

/* Checks value; puts a new reference into *replacement when value is to be replaced by it.
 * picked_from is the discriminated union that node was picked from, or NULL. */
static void apply_value(struct apply *apply, const json_t *node, const json_t *picked_from,
                        json_t *value, json_t **replacement);
static void check_exactly_one(struct apply *apply, const json_t *node, const json_t *object);

/* ---- Problems ---- */

/* Reports "path: message" with the hint of the node, if it has one. */
__attribute__((format(printf, 3, 4))) static struct error *problem(struct apply *apply,
                                                                   const json_t *node,
                                                                   const char *format, ...)
{
    struct schema_problems *problems = apply->problems;
    struct error *err = &apply->surplus;
    problems->total++;
    if (problems->count < SCHEMA_PROBLEMS_MAX) {
        err = &problems->items[problems->count++];
    }
    char message[ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);

    const char *path = apply->path.size ? apply->path.text : "the spec";
    (void)error_set(err, STATUS_INVALID, "%s: %s", path, message);
    error_set_field(err, "%s", apply->path.text);
    const char *hint = json_get_text(node, "x-hint", NULL);
    if (hint) {
        error_set_hint(err, "%s", hint);
    }
    return err;
}

static bool is_number_in_quotes(const json_t *value)
{
    if (!json_is_string(value)) {
        return false;
    }
    json_t *inside = json_loads(json_string_value(value), JSON_DECODE_ANY, NULL);
    const bool is_number = json_is_number(inside);
    json_decref(inside);
    return is_number;
}

static void problem_type(struct apply *apply, const json_t *node, const json_t *value,
                         unsigned types)
{
    char is[SCHEMA_TEXT_BYTES];
    char due[SCHEMA_TEXT_BYTES];
    schema_value_text(is, value);
    schema_types_text(due, types);
    struct error *err = problem(apply, node, "%s is not %s", is, due);
    const unsigned numbers = SCHEMA_TYPE_NUMBER | SCHEMA_TYPE_INTEGER;
    if (is_number_in_quotes(value) && (types & numbers) && err->hint[0] == '\0') {
        error_set_hint(err, "quoted values are text: leave the quotes off a number");
    }
}

/* The discriminator's value is missing or none of the alternatives'. */
static void problem_discriminator(struct apply *apply, const json_t *node, const json_t *value)
{
    const char *discriminator = json_get_text(node, "x-discriminator", "");
    char choices[SCHEMA_TEXT_BYTES];
    schema_choices_text(choices, apply->schema, node);

    const json_t *given = json_object_get(value, discriminator);
    const size_t size = schema_path_push_key(&apply->path, discriminator);
    if (!given) {
        (void)problem(apply, node, "is missing; it is one of %s", choices);
    } else {
        char text[SCHEMA_TEXT_BYTES];
        schema_value_text(text, given);
        struct error *err = problem(apply, node, "%s is none of %s", text, choices);
        if (json_is_string(given)) {
            schema_suggest_value(err, apply->schema, node, json_string_value(given));
        }
    }
    schema_path_pop(&apply->path, size);
}

/* No alternative of a oneOf fits the value. */
static void problem_no_alternative(struct apply *apply, const json_t *node, const json_t *value)
{
    const enum schema_union reading = schema_union_of(apply->schema, node);
    if (reading == SCHEMA_UNION_DISCRIMINATED) {
        if (json_is_object(value)) {
            problem_discriminator(apply, node, value);
            return;
        }
        char is[SCHEMA_TEXT_BYTES];
        schema_value_text(is, value);
        struct error *err = problem(apply, node, "%s is not an object", is);
        error_set_hint(err, "write {%s: %.80s}", json_get_text(node, "x-discriminator", ""),
                       json_is_string(value) ? json_string_value(value) : "…");
        return;
    }
    if (reading == SCHEMA_UNION_PRESENT && json_is_object(value)) {
        check_exactly_one(apply, node, value);
        return;
    }
    unsigned types = 0;
    size_t i = 0;
    json_t *alternative = NULL;
    json_array_foreach(json_object_get(node, "oneOf"), i, alternative)
    {
        types |= schema_types(schema_deref(apply->schema, alternative));
    }
    problem_type(apply, node, value, types);
}

/* ---- Numbers ---- */

static int number_compare(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b)) {
        const json_int_t x = json_integer_value(a);
        const json_int_t y = json_integer_value(b);
        return (x > y) - (x < y);
    }
    const double x = json_number_value(a);
    const double y = json_number_value(b);
    return (x > y) - (x < y);
}

/* One side of a range: the keyword that sets it, if any. */
struct bound {
    const json_t *value;
    bool is_exclusive;
};

static struct bound bound_of(const json_t *node, const char *inclusive, const char *exclusive)
{
    const json_t *limit = json_object_get(node, exclusive);
    return limit ? (struct bound){limit, true}
                 : (struct bound){json_object_get(node, inclusive), false};
}

static void bound_text(char out[SCHEMA_TEXT_BYTES], const char *name, const struct bound *bound)
{
    char value[SCHEMA_TEXT_BYTES];
    schema_value_text(value, bound->value);
    (void)snprintf(out, SCHEMA_TEXT_BYTES, "%s %.80s%s", name, value,
                   bound->is_exclusive ? " (exclusive)" : "");
}

static void check_range(struct apply *apply, const json_t *node, const json_t *value)
{
    const struct bound low = bound_of(node, "minimum", "exclusiveMinimum");
    const struct bound high = bound_of(node, "maximum", "exclusiveMaximum");
    const int against_low = low.value ? number_compare(value, low.value) : 1;
    const int against_high = high.value ? number_compare(value, high.value) : -1;
    const bool is_low = against_low < (low.is_exclusive ? 1 : 0);
    const bool is_high = against_high > (high.is_exclusive ? -1 : 0);
    if (!is_low && !is_high) {
        return;
    }
    char is[SCHEMA_TEXT_BYTES];
    char broken[SCHEMA_TEXT_BYTES];
    char other[SCHEMA_TEXT_BYTES] = "";
    schema_value_text(is, value);
    bound_text(broken, is_low ? "minimum" : "maximum", is_low ? &low : &high);
    if (is_low ? high.value != NULL : low.value != NULL) {
        bound_text(other, is_low ? "; the maximum is" : "; the minimum is", is_low ? &high : &low);
    }
    const int against = is_low ? against_low : against_high;
    const char *relation = against == 0 ? "not inside" : is_low ? "below" : "above";
    (void)problem(apply, node, "%s is %s the %s%s", is, relation, broken, other);
}

/* The canonical form has whole numbers of integer-typed fields as integers, all numbers of
 * number-typed ones as doubles, and no negative zero. */
static json_t *number_canonical(const json_t *value, unsigned types)
{
    const double real = json_number_value(value);
    if (types & SCHEMA_TYPE_NUMBER) {
        const bool is_canonical = json_is_real(value) && !(real == 0.0 && signbit(real));
        return is_canonical ? NULL : json_real(real == 0.0 ? 0.0 : real);
    }
    return json_is_real(value) ? json_integer((json_int_t)real) : NULL;
}

/* False when value is a number that an integer-typed field cannot hold. */
static bool number_fits(const json_t *value, unsigned types)
{
    if (!json_is_real(value) || (types & SCHEMA_TYPE_NUMBER)) {
        return true;
    }
    const double real = json_real_value(value);
    return real == floor(real) && fabs(real) <= (double)JSON_INTEGER_MAX;
}

static void apply_number(struct apply *apply, const json_t *node, const json_t *value,
                         unsigned types, json_t **replacement)
{
    const size_t total = apply->problems->total;
    check_range(apply, node, value);
    if (apply->problems->total != total) {
        return;
    }
    if (!number_fits(value, types)) {
        problem_type(apply, node, value, types);
        return;
    }
    *replacement = number_canonical(value, types);
}

/* ---- Text and lists ---- */

static void check_length(struct apply *apply, const json_t *node, size_t length, const char *min,
                         const char *max, const char *unit)
{
    const json_int_t length_min = json_get_int(node, min, 0);
    const json_int_t length_max = json_get_int(node, max, JSON_INTEGER_MAX);
    if ((json_int_t)length < length_min) {
        (void)problem(apply, node, "has %zu %s; the minimum is %lld", length, unit,
                      (long long)length_min);
    } else if ((json_int_t)length > length_max) {
        (void)problem(apply, node, "has %zu %s; the maximum is %lld", length, unit,
                      (long long)length_max);
    }
}

/* JSON Schema counts characters, not bytes. */
static size_t character_count(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return count;
}

static void check_text(struct apply *apply, const json_t *node, const json_t *value)
{
    const char *text = json_string_value(value);
    const char *pattern = json_get_text(node, "pattern", NULL);
    check_length(apply, node, character_count(text), "minLength", "maxLength", "characters");
    if (!pattern) {
        return;
    }
    regex_t regex;
    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        apply->is_out_of_memory = true; /* schema_check has seen it compile */
        return;
    }
    if (regexec(&regex, text, 0, NULL, 0) != 0) {
        char is[SCHEMA_TEXT_BYTES];
        schema_value_text(is, value);
        (void)problem(apply, node, "%s does not have the form %s", is, pattern);
    }
    regfree(&regex);
}

/* JSON Schema compares numbers by value: 1 is 1.0. */
static bool values_equal(const json_t *a, const json_t *b)
{
    return json_is_number(a) && json_is_number(b) ? number_compare(a, b) == 0 : json_equal(a, b);
}

static void check_choice(struct apply *apply, const json_t *node, const json_t *value)
{
    const json_t *constant = json_object_get(node, "const");
    const json_t *choices = json_object_get(node, "enum");
    if (!constant && !choices) {
        return;
    }
    bool is_listed = constant && values_equal(value, constant);
    size_t i = 0;
    json_t *choice = NULL;
    json_array_foreach(choices, i, choice)
    {
        is_listed = is_listed || values_equal(value, choice);
    }
    if (is_listed) {
        return;
    }
    char is[SCHEMA_TEXT_BYTES];
    char text[SCHEMA_TEXT_BYTES];
    schema_value_text(is, value);
    if (constant) {
        schema_value_text(text, constant);
        (void)problem(apply, node, "%s is not %s", is, text);
        return;
    }
    schema_choices_text(text, apply->schema, node);
    struct error *err = problem(apply, node, "%s is none of %s", is, text);
    if (json_is_string(value)) {
        schema_suggest_value(err, apply->schema, node, json_string_value(value));
    }
}

static void apply_list(struct apply *apply, const json_t *node, json_t *list)
{
    check_length(apply, node, json_array_size(list), "minItems", "maxItems", "items");
    const json_t *items = json_object_get(node, "items");
    for (size_t i = 0; items && i < json_array_size(list); i++) {
        json_t *replacement = NULL;
        const size_t size = schema_path_push_index(&apply->path, i);
        apply_value(apply, items, NULL, json_array_get(list, i), &replacement);
        schema_path_pop(&apply->path, size);
        if (replacement && json_array_set_new(list, i, replacement) != 0) {
            apply->is_out_of_memory = true;
        }
    }
}

/* ---- Objects ---- */

/* Whether key is what picks an alternative of the union: check_exactly_one speaks of these. */
static bool picks_sibling(const struct apply *apply, const json_t *picked_from, const char *key)
{
    size_t i = 0;
    json_t *alternative = NULL;
    json_array_foreach(json_object_get(picked_from, "oneOf"), i, alternative)
    {
        const char *field = schema_present_field(apply->schema, alternative);
        if (field && !json_object_get(picked_from, "x-discriminator") && strcmp(field, key) == 0) {
            return true;
        }
    }
    return false;
}

static void check_unknown_fields(struct apply *apply, const json_t *node, const json_t *picked_from,
                                 json_t *object)
{
    if (!json_is_false(json_object_get(node, "additionalProperties"))) {
        return;
    }
    const json_t *properties = json_object_get(node, "properties");
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object, key, value)
    {
        if (json_object_get(properties, key) || picks_sibling(apply, picked_from, key)) {
            continue;
        }
        const size_t size = schema_path_push_key(&apply->path, key);
        struct error *err = problem(apply, NULL, "unknown field");
        schema_path_pop(&apply->path, size);
        schema_suggest_field(err, apply->schema, apply->root, picked_from, node, key);
    }
}

static void check_required(struct apply *apply, const json_t *node, const json_t *object)
{
    size_t i = 0;
    json_t *name = NULL;
    json_array_foreach(json_object_get(node, "required"), i, name)
    {
        const char *key = json_string_value(name);
        if (json_object_get(object, key)) {
            continue;
        }
        const json_t *property = schema_property(apply->schema, node, key);
        const char *description = json_get_text(property, "description", NULL);
        const size_t size = schema_path_push_key(&apply->path, key);
        struct error *err = problem(apply, property, "is missing");
        schema_path_pop(&apply->path, size);
        if (description && err->hint[0] == '\0') {
            error_set_hint(err, "%s: %s", key, description);
        }
    }
}

/* For both readings of oneOf that ask for one of several fields. */
static void check_exactly_one(struct apply *apply, const json_t *node, const json_t *object)
{
    char names[SCHEMA_TEXT_BYTES] = "";
    const char *first = NULL;
    const char *given = NULL;
    const char *surplus = NULL;
    size_t i = 0;
    json_t *alternative = NULL;
    json_array_foreach(json_object_get(node, "oneOf"), i, alternative)
    {
        const char *name = schema_present_field(apply->schema, alternative);
        name = name ? name : schema_required_field(alternative);
        const size_t size = strlen(names);
        (void)snprintf(names + size, sizeof names - size, "%s%s", i > 0 ? ", " : "", name);
        first = first ? first : name;
        if (json_object_get(object, name)) {
            surplus = given && !surplus ? name : surplus;
            given = given ? given : name;
        }
    }
    if (given && !surplus) {
        return;
    }
    const size_t size = schema_path_push_key(&apply->path, surplus ? surplus : first);
    if (surplus) {
        struct error *err =
            problem(apply, NULL, "exactly one of %s is due, and %s is given, too", names, given);
        schema_path_pop(&apply->path, size);
        (void)schema_path_push_key(&apply->path, given);
        error_set_hint(err, "leave one of them out; on the command line, with -s %s=null",
                       apply->path.text);
    } else {
        (void)problem(apply, NULL, "exactly one of %s is due, and none is given", names);
    }
    schema_path_pop(&apply->path, size);
}

static void fill_default(struct apply *apply, const json_t *property, const char *key,
                         json_t *object)
{
    const json_t *value = json_object_get(schema_deref(apply->schema, property), "default");
    if (!value || json_object_get(object, key)) {
        return;
    }
    json_t *copy = json_deep_copy(value);
    if (!copy || json_object_set_new(object, key, copy) != 0) {
        apply->is_out_of_memory = true;
    }
}

static void apply_object(struct apply *apply, const json_t *node, const json_t *picked_from,
                         json_t *object)
{
    check_unknown_fields(apply, node, picked_from, object);
    check_required(apply, node, object);
    if (schema_union_of(apply->schema, node) == SCHEMA_UNION_REQUIRED) {
        check_exactly_one(apply, node, object);
    } else if (schema_union_of(apply->schema, picked_from) == SCHEMA_UNION_PRESENT) {
        check_exactly_one(apply, picked_from, object);
    }
    const char *key = NULL;
    json_t *property = NULL;
    json_object_foreach(schema_iterable(json_object_get(node, "properties")), key, property)
    {
        fill_default(apply, property, key, object);
        json_t *value = json_object_get(object, key);
        if (!value) {
            continue;
        }
        json_t *replacement = NULL;
        const size_t size = schema_path_push_key(&apply->path, key);
        apply_value(apply, property, NULL, value, &replacement);
        schema_path_pop(&apply->path, size);
        if (replacement && json_object_set_new(object, key, replacement) != 0) {
            apply->is_out_of_memory = true;
        }
    }
}

/* ---- Values ---- */

// NOLINTNEXTLINE(misc-no-recursion): as deep as the schema, whatever the instance
static void apply_value(struct apply *apply, const json_t *node, const json_t *picked_from,
                        json_t *value, json_t **replacement)
{
    node = schema_deref(apply->schema, node);
    const enum schema_union reading = schema_union_of(apply->schema, node);
    if (reading != SCHEMA_UNION_NONE && reading != SCHEMA_UNION_REQUIRED) {
        const struct schema_view view = schema_view_of(value);
        const json_t *picked = schema_select(apply->schema, node, &view);
        if (picked) {
            apply_value(apply, picked, node, value, replacement);
        } else {
            problem_no_alternative(apply, node, value);
        }
        return;
    }
    const unsigned types = schema_types(node);
    const bool has_values = json_object_get(node, "const") || json_object_get(node, "enum");
    if (types && !has_values && !(types & schema_type_of(value)) &&
        !(json_is_real(value) && (types & SCHEMA_TYPE_INTEGER))) {
        problem_type(apply, node, value, types);
        return;
    }
    check_choice(apply, node, value);
    if (json_is_number(value)) {
        apply_number(apply, node, value, types, replacement);
    } else if (json_is_string(value)) {
        check_text(apply, node, value);
    } else if (json_is_array(value)) {
        apply_list(apply, node, value);
    } else if (json_is_object(value)) {
        apply_object(apply, node, picked_from, value);
    }
}

enum status schema_apply(const struct schema *schema, const json_t *node, json_t *instance,
                         const char *path, struct schema_problems *problems, struct error *err)
{
    struct schema_problems own = {0};
    struct apply apply = {.schema = schema, .problems = problems ? problems : &own};
    const size_t kept_before = apply.problems->count;
    const size_t total_before = apply.problems->total;
    const struct schema_view view = schema_view_of(instance);
    apply.root = schema_select(schema, node, &view);
    if (*path != '\0') {
        (void)schema_path_push_key(&apply.path, path);
    }
    json_t *replacement = NULL;
    apply_value(&apply, node, NULL, instance, &replacement);
    json_decref(replacement); /* a scalar cannot be replaced in place; objects are */

    if (apply.is_out_of_memory) {
        return error_set(err, STATUS_NO_MEMORY, "%s: out of memory", schema->what);
    }
    if (apply.problems->total == total_before) {
        return STATUS_OK;
    }
    const struct error *first =
        apply.problems->count > kept_before ? &apply.problems->items[kept_before] : &apply.surplus;
    if (err) {
        *err = *first;
    }
    return first->status;
}
