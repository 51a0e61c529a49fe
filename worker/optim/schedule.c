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

static enum status validate_cycle(const struct schedule *schedule, struct error *err)
{
    if (schedule->cycle < 1) {
        return refuse(err, "method.merge_every", "is below", schedule->cycle, 1);
    }
    if (schedule->steps % schedule->cycle != 0) {
        (void)refuse(err, "steps", "is not a multiple of method.merge_every,", schedule->steps,
                     schedule->cycle);
        error_set_hint(err, "jagged_cosine needs whole cycles: take %lld steps",
                       (long long)((schedule->steps / schedule->cycle + 1) * schedule->cycle));
        return STATUS_INVALID;
    }
    if (schedule->warmup > schedule->cycle) {
        return refuse(err, "schedule.warmup", "is longer than a cycle of", schedule->warmup,
                      schedule->cycle);
    }
    if (schedule->restart_warmup < 0 || schedule->restart_warmup > schedule->cycle) {
        return refuse(err, "schedule.restart_warmup", "is not in 0 … method.merge_every,",
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
    return schedule->name == SCHEDULE_NAME_JAGGED_COSINE ? validate_cycle(schedule, err)
                                                         : STATUS_OK;
}

enum status schedule_from_spec(struct schedule *out, const struct train_spec *spec, int64_t steps,
                               struct error *err)
{
    *out = (struct schedule){
        .name = spec->schedule.name,
        .peak = spec->optimizer.lr,
        .steps = steps,
        .warmup = spec->schedule.warmup,
        .cycle = spec->method.merge_every,
        .restart_warmup = spec->schedule.restart_warmup,
        .min_lr_ratio = spec->schedule.min_lr_ratio,
    };
    return schedule_validate(out, err);
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
    const int64_t R = schedule->cycle;
    const int64_t w = schedule->restart_warmup;
    const int64_t s = t % R;

    if (t < R || s >= w) {
        return cosine(schedule, t);
    }
    return (double)s / (double)w * cosine(schedule, t - s + w);
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
