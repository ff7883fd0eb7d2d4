/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Input: | direction (bit 0) | seed of the splits | stream … |
 *
 * The stream is scanned in one piece, in random pieces, and by the reference. All must agree, the pieces also
 * on the way.
 */

#include "amqp/scanner.h"
#include "tests/unit/amqp/reference_scanner.h"
#include "tests/unit/amqp/require.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PREFIX_SIZE = 2,
    STEPWISE_MAX =
        512, /* streams up to here are compared after each piece; the reference starts over each time */
};

struct log {
    size_t count;
    struct amqp_connection_method methods[REFERENCE_METHODS_MAX];
};

static void log_method(void *ctx, const struct amqp_connection_method *method)
{
    struct log *log = ctx;
    if (log->count < REFERENCE_METHODS_MAX)
        log->methods[log->count] = *method;
    log->count++;
}

static void require_agreement(const struct amqp_scanner *s, const struct log *log, const uint8_t *data,
                              size_t len)
{
    static struct reference ref;
    reference_scan(&ref, s->direction, data, len);
    REQUIRE(reference_agrees(&ref, s, len));
    REQUIRE(log->count == ref.method_count);
    for (size_t i = 0; i < log->count && i < REFERENCE_METHODS_MAX; i++)
        REQUIRE(reference_same_method(&log->methods[i], &ref.methods[i]));
}

static void require_order(const struct amqp_scanner *s, uint64_t *released_off, uint64_t cap)
{
    const uint64_t releasable = amqp_scanner_releasable_off(s, cap);
    REQUIRE(s->boundary_off <= releasable && releasable <= s->fed_off);
    REQUIRE(*released_off <= releasable);
    REQUIRE(s->frame_end_off >= s->boundary_off);
    REQUIRE(amqp_scanner_fault_text(s->fault) != NULL);
    REQUIRE(s->frame_end_off == s->boundary_off || s->frame_end_off > s->fed_off);
    REQUIRE(!amqp_scanner_may_insert(s, releasable) || releasable == s->boundary_off);
    *released_off = releasable;
}

static void scan_in_pieces(enum amqp_direction direction, uint32_t seed, const uint8_t *data, size_t len)
{
    struct amqp_scanner s;
    static struct log log;
    uint64_t released_off = 0;
    const uint32_t longest = 1 + seed % 23;
    const uint64_t cap = seed;
    log.count = 0;
    amqp_scanner_init(&s, direction);
    for (size_t at = 0; at < len;) {
        seed = seed * 1664525u + 1013904223u;
        size_t piece = (seed >> 16) % (longest + 1);
        if (piece > len - at)
            piece = len - at;
        amqp_scanner_feed(&s, data + at, piece, log_method, &log);
        at += piece;
        require_order(&s, &released_off, cap);
        if (len <= STEPWISE_MAX)
            require_agreement(&s, &log, data, at);
    }
    require_agreement(&s, &log, data, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PREFIX_SIZE)
        return 0;
    const enum amqp_direction direction = data[0] & 1 ? AMQP_FROM_SERVER : AMQP_FROM_CLIENT;
    const uint8_t *stream = data + PREFIX_SIZE;
    const size_t len = size - PREFIX_SIZE;
    struct amqp_scanner s;
    static struct log log;
    log.count = 0;
    amqp_scanner_init(&s, direction);
    amqp_scanner_feed(&s, stream, len, log_method, &log);
    require_agreement(&s, &log, stream, len);
    scan_in_pieces(direction, data[1], stream, len);
    return 0;
}
