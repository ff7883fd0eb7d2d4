/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/uv/loop.h"

#include <assert.h>
#include <stdlib.h>

static void run_tasks(struct mux_uv_loop *mux_loop)
{
    struct mux_uv_task *task;

    while ((task = TAILQ_FIRST(&mux_loop->tasks)) != NULL) {
        mux_uv_task_cancel(mux_loop, task);
        task->run(task);
    }
}

static void on_prepare(uv_prepare_t *handle)
{
    run_tasks(handle->data);
}

static void on_check(uv_check_t *handle)
{
    run_tasks(handle->data);
}

void mux_uv_loop_init(struct mux_uv_loop *mux_loop, uv_loop_t *loop)
{
    *mux_loop = (struct mux_uv_loop){.loop = loop};
    mux_pool_init(&mux_loop->pool);
    TAILQ_INIT(&mux_loop->tasks);
    /* These can't fail: they only put the handle on a list. Check runs after reading; prepare after timers.
     */
    uv_prepare_init(loop, &mux_loop->prepare);
    uv_check_init(loop, &mux_loop->check);
    mux_loop->prepare.data = mux_loop;
    mux_loop->check.data = mux_loop;
    uv_prepare_start(&mux_loop->prepare, on_prepare);
    uv_check_start(&mux_loop->check, on_check);
    uv_unref((uv_handle_t *)&mux_loop->prepare);
    uv_unref((uv_handle_t *)&mux_loop->check);
}

void mux_uv_loop_close(struct mux_uv_loop *mux_loop)
{
    uv_close((uv_handle_t *)&mux_loop->prepare, NULL);
    uv_close((uv_handle_t *)&mux_loop->check, NULL);
}

void mux_uv_loop_deinit(struct mux_uv_loop *mux_loop)
{
    assert(TAILQ_EMPTY(&mux_loop->tasks));
    free(mux_loop->batch);
    mux_loop->batch = NULL;
    mux_pool_deinit(&mux_loop->pool);
}

void mux_uv_task_queue(struct mux_uv_loop *mux_loop, struct mux_uv_task *task)
{
    if (task->queued)
        return;
    TAILQ_INSERT_TAIL(&mux_loop->tasks, task, entry);
    task->queued = true;
}

void mux_uv_task_cancel(struct mux_uv_loop *mux_loop, struct mux_uv_task *task)
{
    if (!task->queued)
        return;
    TAILQ_REMOVE(&mux_loop->tasks, task, entry);
    task->queued = false;
}

struct mux_batch *mux_uv_batch_get(struct mux_uv_loop *mux_loop)
{
    struct mux_batch *batch = mux_loop->batch;

    mux_loop->batch = NULL;
    if (batch == NULL)
        batch = malloc(sizeof(*batch));
    if (batch != NULL)
        mux_batch_init(batch);
    return batch;
}

void mux_uv_batch_put(struct mux_uv_loop *mux_loop, struct mux_batch *batch)
{
    if (batch == NULL)
        return;
    mux_batch_clear(batch);
    if (mux_loop->batch == NULL)
        mux_loop->batch = batch;
    else
        free(batch);
}
