/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator of direct mode: a hub, its broker and its clients in one process (play.h), once for each
 * seed, which says who does what and when.
 *
 * A seed that fails is named, and the others go on. `--tell N` then leaves out what its play can do without,
 * and tells what happens; `--write N FILE` keeps that, for the corpus of fuzz_amqp_direct_hub.
 */
#include "tests/sim/amqp/draft.h"
#include "tests/sim/amqp/shrink.h"
#include "tests/unit/amqp/narrate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* A play that takes so long goes round and round: others take less than a hundredth of a second. */
enum { PLAY_MAX_S = 30 };

static int usage(void)
{
    fputs("usage: hub_sim --seeds A-B\n"
          "       hub_sim --tell SEED\n"
          "       hub_sim --write SEED FILE\n",
          stderr);
    return 2;
}

static bool parse_seed(const char *text, uint64_t *seed)
{
    char end;
    return sscanf(text, "%" SCNu64 "%c", seed, &end) == 1;
}

static bool parse_seeds(const char *text, uint64_t *first, uint64_t *last)
{
    char end;
    return sscanf(text, "%" SCNu64 "-%" SCNu64 "%c", first, last, &end) == 2 && *first <= *last;
}

/* --- many --- */

/* `*seed` is the one that is played, and that failed if this ends in another way than well. */
static _Noreturn void play_all(volatile uint64_t *seed, uint64_t last)
{
    static struct draft draft;
    for (; *seed <= last; (*seed)++) {
        draft_play(&draft, *seed);
        alarm(PLAY_MAX_S);
        play(draft.bytes, draft.len);
    }
    exit(0);
}

/* Each failure ends a process, and the next one goes on behind it. Returns how many there were. */
static uint64_t count_failures(uint64_t first, uint64_t last)
{
    volatile uint64_t *seed =
        mmap(NULL, sizeof(*seed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t failed = 0;
    if (seed == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    for (*seed = first; *seed <= last; (*seed)++) {
        int status;
        const pid_t pid = fork();
        if (pid == 0)
            play_all(seed, last);
        if (pid < 0 || waitpid(pid, &status, 0) != pid) {
            perror("fork");
            exit(2);
        }
        if (status == 0)
            break;
        failed++;
        printf("seed %" PRIu64 " failed: hub_sim --tell %" PRIu64 "\n", *seed, *seed);
        fflush(stdout);
    }
    return failed;
}

static int play_seeds(const char *text)
{
    uint64_t first;
    uint64_t last;
    if (!parse_seeds(text, &first, &last))
        return usage();
    const uint64_t failed = count_failures(first, last);
    printf("seeds %" PRIu64 "-%" PRIu64 ": %" PRIu64 " failed\n", first, last, failed);
    return failed > 0;
}

/* --- one --- */

/* False: that is no seed. */
static bool draft_small(struct draft *draft, const char *text)
{
    uint64_t seed;
    if (!parse_seed(text, &seed))
        return false;
    draft_play(draft, seed);
    draft->len = shrink(draft->bytes, draft->len);
    return true;
}

static int tell(const char *seed)
{
    static struct draft draft;
    if (!draft_small(&draft, seed))
        return usage();
    narration_is_on = true;
    alarm(PLAY_MAX_S);
    play(draft.bytes, draft.len);
    puts("nothing fails");
    return 0;
}

static int write_play(const char *seed, const char *path)
{
    static struct draft draft;
    if (!draft_small(&draft, seed))
        return usage();
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(draft.bytes, 1, draft.len, file) != draft.len || fclose(file) != 0) {
        perror(path);
        return 2;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0)
        return play_seeds(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--tell") == 0)
        return tell(argv[2]);
    if (argc == 4 && strcmp(argv[1], "--write") == 0)
        return write_play(argv[2], argv[3]);
    return usage();
}
