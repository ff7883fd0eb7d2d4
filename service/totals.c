/* SPDX-License-Identifier: Apache-2.0 */
#include "service/totals.h"

#include "service/log.h"

#include <assert.h>

void totals_log(struct totals *totals)
{
    struct log_field fields[TOTALS_MAX + 1];
    uint64_t sum = 0;
    size_t count = 0;

    for (const struct total *row = totals->table; row->name != NULL; row++) {
        assert(count < TOTALS_MAX);
        fields[count++] = LOG_UINT(row->name, row->value);
        sum += row->value;
    }
    fields[count] = (struct log_field){.type = LOG_FIELD_END};
    if (sum != totals->told)
        log_write(LOG_LEVEL_INFO, NULL, "totals", fields);
    totals->told = sum;
}

static void on_timer(uv_timer_t *timer)
{
    totals_log(timer->data);
}

void totals_init(struct totals *totals, uv_loop_t *loop, struct total *table, uint64_t interval_ms)
{
    *totals = (struct totals){.table = table};
    uv_timer_init(loop, &totals->timer);
    totals->timer.data = totals;
    if (interval_ms > 0)
        uv_timer_start(&totals->timer, on_timer, interval_ms, interval_ms);
    uv_unref((uv_handle_t *)&totals->timer);
}

void totals_close(struct totals *totals)
{
    uv_close((uv_handle_t *)&totals->timer, NULL);
}
