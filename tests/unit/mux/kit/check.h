/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks for code that runs in several test programs: cmocka's, the simulator, fuzzers. A check that fails
 * says where, what, and in which context (the seed, the byte a transport was cut at), and aborts.
 */
#ifndef KIT_CHECK_H
#define KIT_CHECK_H

/* What is being tried now; printed with the next failure. */
void kit_context(const char *format, ...) __attribute__((format(printf, 1, 2)));

_Noreturn void kit_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The condition must hold; the rest is a message as for printf. */
#define KIT_CHECK(condition, ...)                                                                            \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            kit_fail(__FILE__, __LINE__, __VA_ARGS__);                                                       \
    } while (0)

#endif
