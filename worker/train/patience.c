#include "worker/train/patience.h"

#include <math.h>

#include "proto/base/json.h"

bool patience_take(struct patience *patience, const struct train_spec *spec, int64_t step,
                   double loss)
{
    /* A loss that is not a number is no progress. */
    if (loss < patience->best - spec->stop.min_delta) {
        *patience = (struct patience){.best = loss, .best_step = step};
        return false;
    }
    patience->since++;
    return spec->stop.patience > 0 && patience->since >= spec->stop.patience;
}

json_t *patience_state(const struct patience *patience)
{
    json_t *state = json_pack("{s:I, s:I}", "best_step", (json_int_t)patience->best_step, "since",
                              (json_int_t)patience->since);

    json_set_real(state, "best", patience->best);
    return state;
}

enum status patience_set_state(struct patience *patience, const json_t *state, struct error *err)
{
    patience->best = json_get_real(state, "best", (double)NAN);
    patience->best_step = json_get_int(state, "best_step", -2);
    patience->since = json_get_int(state, "since", -1);
    if (isnan(patience->best) || patience->best_step < -1 || patience->since < 0) {
        return error_set(err, STATUS_CORRUPT, "the state of stop.patience is not whole");
    }
    return STATUS_OK;
}
