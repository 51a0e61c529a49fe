#include "worker/optim/schedule.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#define PI 3.14159265358979323846

static enum status refuse(struct error *err, const char *field, const char *message, int64_t value,
                          int64_t bound)
{
    (void)error_set(err, STATUS_INVALID, "%s: %lld %s %lld", field, (long long)value, message,
                    (long long)bound);
    error_set_field(err, "%s", field);
    return STATUS_INVALID;
}

static bool restarts(const struct schedule *schedule)
{
    return schedule->name == SCHEDULE_NAME_JAGGED_COSINE || schedule->name == SCHEDULE_NAME_MORA_HF;
}

static enum status validate_cycle(const struct schedule *schedule, struct error *err)
{
    const int64_t in_cycles = schedule->steps - schedule->first;

    if (schedule->cycle < 1) {
        return refuse(err, "schedule.restart_every", "is below", schedule->cycle, 1);
    }
    if (in_cycles < 0 || in_cycles % schedule->cycle != 0) {
        (void)refuse(err, "steps", "is not a multiple of the schedule's cycle,", in_cycles,
                     schedule->cycle);
        error_set_hint(
            err, "%s needs whole cycles: take %lld steps", schedule_name_text(schedule->name),
            (long long)(schedule->first + (in_cycles / schedule->cycle + 1) * schedule->cycle));
        return STATUS_INVALID;
    }
    if (schedule->warmup > schedule->cycle) {
        return refuse(err, "schedule.warmup", "is longer than a cycle of", schedule->warmup,
                      schedule->cycle);
    }
    if (schedule->first > 0 && schedule->warmup > schedule->first) {
        return refuse(err, "schedule.warmup", "is longer than method.full_rank_steps,",
                      schedule->warmup, schedule->first);
    }
    if (schedule->restart_warmup < 0 || schedule->restart_warmup >= schedule->cycle) {
        return refuse(err, "schedule.restart_warmup", "is not shorter than a cycle of",
                      schedule->restart_warmup, schedule->cycle);
    }
    return STATUS_OK;
}

enum status schedule_validate(const struct schedule *schedule, struct error *err)
{
    if (schedule->steps < 1) {
        return refuse(err, "steps", "is below", schedule->steps, 1);
    }
    if (schedule->warmup < 0 || schedule->warmup > schedule->steps) {
        return refuse(err, "schedule.warmup", "is not in 0 … steps,", schedule->warmup,
                      schedule->steps);
    }
    if (!(schedule->min_lr_ratio >= 0.0 && schedule->min_lr_ratio <= 1.0)) {
        (void)error_set(err, STATUS_INVALID, "schedule.min_lr_ratio: %g is not in 0 … 1",
                        schedule->min_lr_ratio);
        error_set_field(err, "schedule.min_lr_ratio");
        return STATUS_INVALID;
    }
    return restarts(schedule) ? validate_cycle(schedule, err) : STATUS_OK;
}

enum status schedule_from_spec(struct schedule *out, const struct train_spec *spec, int64_t steps,
                               struct error *err)
{
    *out = (struct schedule){
        .name = spec->schedule.name,
        .peak = spec->optimizer.lr,
        .steps = steps,
        .warmup = spec->schedule.warmup,
        .first = spec->method.full_rank_steps,
        .cycle = spec->schedule.restart_every,
        .restart_warmup = spec->schedule.restart_warmup,
        .unwarmed_first = spec->schedule.unwarmed_first,
        .min_lr_ratio = spec->schedule.min_lr_ratio,
    };
    return schedule_validate(out, err);
}

/* The index of the last restart up to t; -1 before the first. */
static int64_t last_restart(const struct schedule *schedule, int64_t t)
{
    const int64_t first = schedule->first > 0 ? schedule->first : schedule->cycle;

    return t < first ? -1 : t - (t - first) % schedule->cycle;
}

/* Where t lies between the end of the warm-up and the end of the run. */
static double progress(const struct schedule *schedule, int64_t t)
{
    return (double)(t - schedule->warmup) / (double)(schedule->steps - schedule->warmup);
}

static double cosine(const struct schedule *schedule, int64_t t)
{
    const double m = schedule->min_lr_ratio;
    return m + (1.0 - m) * 0.5 * (1.0 + cos(PI * progress(schedule, t)));
}

static double jagged_cosine(const struct schedule *schedule, int64_t t)
{
    const int64_t w = schedule->restart_warmup;
    const int64_t restart = last_restart(schedule, t);

    if (restart < 0 || t - restart >= w) {
        return cosine(schedule, t);
    }
    return (double)(t - restart) / (double)w * cosine(schedule, restart + w);
}

/* One cosine of mora_hf at t: the one that was built at restart with the rate level. */
static double built_cosine(const struct schedule *schedule, double level, int64_t restart,
                           int64_t t)
{
    const int64_t w = schedule->restart_warmup;
    const int64_t s = t - restart;

    if (s < w) {
        return level * (double)s / (double)w;
    }
    return level * 0.5 *
           (1.0 + cos(PI * (double)(s - w) / (double)(schedule->steps - restart - w)));
}

static double mora_hf(const struct schedule *schedule, int64_t t)
{
    const int64_t last = last_restart(schedule, t);
    int64_t restart = schedule->first > 0 ? schedule->first : schedule->cycle;

    if (last < 0) {
        return cosine(schedule, t);
    }
    double level = cosine(schedule, restart);
    for (; restart < last; restart += schedule->cycle) {
        level = built_cosine(schedule, level, restart, restart + schedule->cycle);
    }
    if (t == last && schedule->unwarmed_first) {
        return level;
    }
    return built_cosine(schedule, level, last, t);
}

static double ratio(const struct schedule *schedule, int64_t t)
{
    const double m = schedule->min_lr_ratio;

    if (t < schedule->warmup) {
        return (double)t / (double)schedule->warmup;
    }
    switch (schedule->name) {
    case SCHEDULE_NAME_CONSTANT:
        return 1.0;
    case SCHEDULE_NAME_LINEAR:
        return m + (1.0 - m) * (1.0 - progress(schedule, t));
    case SCHEDULE_NAME_COSINE:
        return cosine(schedule, t);
    case SCHEDULE_NAME_JAGGED_COSINE:
        return jagged_cosine(schedule, t);
    case SCHEDULE_NAME_MORA_HF:
        return mora_hf(schedule, t);
    }
    assert(false && "a schedule without a formula");
    return 0.0;
}

double schedule_lr(const struct schedule *schedule, int64_t t)
{
    assert(t >= 0);
    assert(t < schedule->steps);
    return schedule->peak * ratio(schedule, t);
}
