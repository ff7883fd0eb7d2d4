/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AMQP_REQUIRE_H
#define TESTS_AMQP_REQUIRE_H

/* What must hold in code that several kinds of test programs share. If not, it says what and where, and
 * aborts. */

#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(condition)                                                                                   \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

#endif
