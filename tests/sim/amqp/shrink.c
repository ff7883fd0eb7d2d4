/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/amqp/shrink.h"
#include "tests/sim/amqp/play.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_SIZE = 200, PLAY_MAX_S = 2, SIZE_MAX_OF_PLAY = 1 << 16 };

/* How a play went. */
struct outcome {
    int status; /* as from waitpid; 0: well */
    char line[LINE_MAX_SIZE];
};

static _Noreturn void play_in_child(const uint8_t *data, size_t size, int out)
{
    dup2(out, STDERR_FILENO);
    alarm(PLAY_MAX_S);
    play(data, size);
    exit(0);
}

static void read_line(char line[LINE_MAX_SIZE], int in)
{
    size_t len = 0;
    ssize_t n;
    while (len < LINE_MAX_SIZE - 1 && (n = read(in, line + len, LINE_MAX_SIZE - 1 - len)) > 0)
        len += (size_t)n;
    line[len] = '\0';
    line[strcspn(line, "\n")] = '\0';
}

static struct outcome outcome_of(const uint8_t *data, size_t size)
{
    struct outcome outcome = {.status = 0};
    int ends[2];
    if (pipe(ends) < 0) {
        perror("pipe");
        exit(2);
    }
    const pid_t pid = fork();
    if (pid == 0)
        play_in_child(data, size, ends[1]);
    close(ends[1]);
    read_line(outcome.line, ends[0]);
    close(ends[0]);
    if (pid < 0 || waitpid(pid, &outcome.status, 0) != pid) {
        perror("fork");
        exit(2);
    }
    return outcome;
}

static bool fails_alike(const uint8_t *data, size_t size, const struct outcome *wanted)
{
    const struct outcome outcome = outcome_of(data, size);
    return outcome.status == wanted->status && strcmp(outcome.line, wanted->line) == 0;
}

/* The length of `count` steps, or of all that there are. */
static size_t len_of(const uint8_t *steps, size_t left, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count && len < left; i++)
        len += play_step_len(steps + len, left - len);
    return len;
}

/* Leaves out `count` steps at a time, wherever it can. */
static size_t leave_out_steps(uint8_t *data, size_t size, size_t count, const struct outcome *wanted)
{
    static uint8_t rest[SIZE_MAX_OF_PLAY];
    size_t at = 2;
    while (at < size) {
        const size_t len = len_of(data + at, size - at, count);
        memcpy(rest, data, at);
        memcpy(rest + at, data + at + len, size - at - len);
        if (fails_alike(rest, size - len, wanted)) {
            size -= len;
            memcpy(data, rest, size);
        } else {
            at += len;
        }
    }
    return size;
}

static void leave_out_settings(uint8_t *data, size_t size, const struct outcome *wanted)
{
    for (int bit = 0; bit < 16; bit++) {
        const uint8_t mask = (uint8_t)(1 << bit % 8);
        const uint8_t before = data[bit / 8];
        data[bit / 8] &= (uint8_t)~mask;
        if (data[bit / 8] != before && !fails_alike(data, size, wanted))
            data[bit / 8] = before;
    }
}

size_t shrink(uint8_t *data, size_t size)
{
    const struct outcome wanted = outcome_of(data, size);
    size_t before;
    if (wanted.status == 0 || size > SIZE_MAX_OF_PLAY)
        return size;
    do {
        before = size;
        leave_out_settings(data, size, &wanted);
        for (size_t count = 64; count > 0; count /= 2)
            size = leave_out_steps(data, size, count, &wanted);
    } while (size < before);
    return size;
}
