#include "client/metrics.h"

#include <math.h>

#include "proto/base/json.h"

#define PAGE_ROWS 2000

/* The params of the page that begins at cursor. */
static json_t *page_params(const struct metrics_query *query, int64_t from_step)
{
    return json_pack("{s:I, s:s, s:I, s:i, s:b}", "job", (json_int_t)query->job, "kind",
                     query->kind, "from_step", (json_int_t)from_step, "limit", PAGE_ROWS,
                     "superseded", query->has_superseded);
}

enum status metrics_each(struct session *session, const struct metrics_query *query,
                         metrics_row_fn *take, void *context, struct error *err)
{
    int64_t from_step = query->from_step;

    while (from_step >= 0) {
        json_t *page = NULL;
        enum status status = session_call(session, RPC_METHOD_JOB_METRICS,
                                          page_params(query, from_step), &page, err);
        if (status) {
            return status;
        }
        const json_t *rows = json_object_get(page, "rows");
        for (size_t i = 0; i < json_array_size(rows) && !status; i++) {
            status = take(context, json_array_get(rows, i), err);
        }
        int64_t next = json_get_int(page, "next", -1);
        json_decref(page);
        if (status) {
            return status;
        }
        from_step = next > from_step ? next : -1;
    }
    return STATUS_OK;
}

static enum status take_loss(void *context, const json_t *row, struct error *err)
{
    (void)err;
    series_add(context, json_get_int(row, "step", 0), json_get_real(row, "loss", (double)NAN));
    return STATUS_OK;
}

enum status metrics_loss(struct session *session, int64_t job, const char *kind, struct series *out,
                         struct error *err)
{
    struct metrics_query query = {.job = job, .kind = kind};

    return metrics_each(session, &query, take_loss, out, err);
}
