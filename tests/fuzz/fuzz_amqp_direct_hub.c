/* SPDX-License-Identifier: Apache-2.0 */

/* Input: a play of the hub, see play.h. */

#include "tests/sim/amqp/play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    play(data, size);
    return 0;
}
