/* SPDX-License-Identifier: Apache-2.0 */
#include "threads.h"

#include "net.h"

#include <errno.h>
#include <stdlib.h>

void bench_start(pthread_t *threads, unsigned count, void *(*run)(void *), void *args, size_t size)
{
    for (unsigned i = 0; i < count; i++) {
        int error = pthread_create(&threads[i], NULL, run, (char *)args + i * size);

        if (error != 0)
            bench_fail(error, "thread");
    }
}

void bench_join(pthread_t *threads, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

void *bench_alloc(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL)
        bench_fail(errno, "%zu bytes", count * size);
    return memory;
}
