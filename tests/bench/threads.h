/* SPDX-License-Identifier: Apache-2.0 */
/* Threads and memory for the bench's clients. What fails is fatal, as in net.h. */
#ifndef BENCH_THREADS_H
#define BENCH_THREADS_H

#include <pthread.h>
#include <stddef.h>

/* Starts COUNT threads of RUN, each with its element of the array at ARGS (SIZE bytes each). */
void bench_start(pthread_t *threads, unsigned count, void *(*run)(void *), void *args, size_t size);
void bench_join(pthread_t *threads, unsigned count);

/* calloc() that never returns NULL. */
void *bench_alloc(size_t count, size_t size);

#endif
