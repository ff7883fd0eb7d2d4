/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Input: what a client sends on one channel, frames in any state of repair.
 *
 * Every command that gets through must be decodable by rabbitmq-c, and what is encoded from it must get
 * through again and mean the same: so nothing that the checks let pass can surprise the codec or the broker.
 */

#include "amqp/assembler.h"
#include "amqp/method_codec.h"
#include "amqp/rules.h"
#include "tests/unit/amqp/require.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct amqp_assembler_rules assembler_rules = {
    .sender = AMQP_BY_CLIENT, .checks_properties = true, .body_max = 4096};
static const struct amqp_rules rules = {.body_max = 4096};

enum { FRAME_MAX = 8192 };

/* Writes the command as frames, which must give the same command. */
static void require_it_survives(struct amqp_command *command)
{
    static uint8_t out[4 * FRAME_MAX];
    const uint8_t *at = out;
    struct amqp_exception e;
    struct amqp_frame_reader r;
    struct amqp_frame frame;
    struct amqp_assembler again;
    struct amqp_command *copy = NULL;
    int rc = AMQP_ASSEMBLER_MORE;
    size_t len = amqp_command_write(command, FRAME_MAX + AMQP_FRAME_OVERHEAD, out, sizeof(out));
    REQUIRE(amqp_command_written(command));
    amqp_frame_reader_init(&r, FRAME_MAX);
    amqp_assembler_init(&again);
    while (amqp_frame_reader_next(&r, &at, &len, &frame, &e) == AMQP_FRAME_WHOLE) {
        REQUIRE(rc == AMQP_ASSEMBLER_MORE);
        rc = amqp_assembler_feed(&again, &assembler_rules, &frame, &copy, &e);
    }
    REQUIRE(rc == AMQP_ASSEMBLER_COMMAND && len == 0);
    REQUIRE(copy->payload_len == command->payload_len);
    REQUIRE(memcmp(copy->payload, command->payload, copy->payload_len) == 0);
    REQUIRE(copy->header_len == command->header_len && copy->body_len == command->body_len);
    amqp_command_destroy(copy);
    amqp_frame_reader_deinit(&r);
}

static void handle(struct amqp_command *command)
{
    amqp_pool_t pool;
    struct amqp_exception e = {0};
    init_amqp_pool(&pool, 4096);
    void *decoded = amqp_command_decode(command, &pool);
    REQUIRE(decoded != NULL);
    if (amqp_rules_check(&rules, command, decoded, &e)) {
        const uint32_t before = command->payload_len;
        REQUIRE(amqp_command_encode(command, decoded) == 0 && command->payload_len == before);
        require_it_survives(command);
    } else {
        REQUIRE(e.code != 0);
    }
    empty_amqp_pool(&pool);
    amqp_command_destroy(command);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amqp_exception e = {0};
    struct amqp_frame_reader r;
    struct amqp_assembler assembler;
    struct amqp_frame frame;
    struct amqp_command *command;
    int rc = AMQP_ASSEMBLER_MORE;
    amqp_frame_reader_init(&r, FRAME_MAX);
    amqp_assembler_init(&assembler);
    while (rc >= 0 && amqp_frame_reader_next(&r, &data, &size, &frame, &e) == AMQP_FRAME_WHOLE) {
        rc = amqp_assembler_feed(&assembler, &assembler_rules, &frame, &command, &e);
        if (rc == AMQP_ASSEMBLER_COMMAND)
            handle(command);
    }
    REQUIRE(rc >= 0 || e.code != 0);
    amqp_assembler_reset(&assembler);
    amqp_frame_reader_deinit(&r);
    return 0;
}
