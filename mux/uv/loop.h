/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the libuv adapters of one event loop share: the pool that reads go to, one batch for writes, and the
 * tasks to be run before the loop sleeps.
 *
 * Callbacks that produce output do not write it: they queue a task. When all that was ready has been read,
 * the tasks run, so that everything one turn of the loop has for one socket leaves in one writev.
 */
#ifndef MUX_UV_LOOP_H
#define MUX_UV_LOOP_H

#include "mux/batch.h"
#include "mux/chunk.h"

#include <stdbool.h>
#include <sys/queue.h>
#include <uv.h>

struct mux_uv_task {
    TAILQ_ENTRY(mux_uv_task) entry;
    void (*run)(struct mux_uv_task *task);
    bool queued;
};

TAILQ_HEAD(mux_uv_task_list, mux_uv_task);

struct mux_uv_loop {
    uv_loop_t *loop;
    struct mux_pool pool;
    struct mux_batch *batch; /* spare: whoever can't write all of it keeps it, and another is made */
    struct mux_uv_task_list tasks;
    uv_prepare_t prepare;
    uv_check_t check;
};

/* Runs with `loop` from now on, without keeping it alive. */
void mux_uv_loop_init(struct mux_uv_loop *mux_loop, uv_loop_t *loop);

/* Closes its handles; they are closed once the loop has turned. */
void mux_uv_loop_close(struct mux_uv_loop *mux_loop);

/* Frees what it holds, after the loop has ended. All chunks must be back: asserted. */
void mux_uv_loop_deinit(struct mux_uv_loop *mux_loop);

/* Run the task once, later in this turn of the loop. No effect when it is queued already. */
void mux_uv_task_queue(struct mux_uv_loop *mux_loop, struct mux_uv_task *task);

/* Forget a queued task. */
void mux_uv_task_cancel(struct mux_uv_loop *mux_loop, struct mux_uv_task *task);

/* An empty batch; NULL when out of memory. Give it back empty with mux_uv_batch_put. */
struct mux_batch *mux_uv_batch_get(struct mux_uv_loop *mux_loop);
void mux_uv_batch_put(struct mux_uv_loop *mux_loop, struct mux_batch *batch);

#endif
