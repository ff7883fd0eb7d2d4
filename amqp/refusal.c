/* SPDX-License-Identifier: Apache-2.0 */
#include "amqp/refusal.h"
#include "amqp/canned.h"
#include "amqp/protocol_header.h"
#include "amqp/refusal_step.h"
#include "amqp/text.h"
#include <assert.h>
#include <stdbool.h>
#include <string.h>

static_assert(AMQP_REFUSAL_TEXT_SIZE == AMQP_SHORT_STRING_MAX + 1, "the text is a short string");
static_assert(AMQP_REFUSAL_WRITE_MAX >= AMQP_CANNED_START_MAX + AMQP_CANNED_CLOSE_MAX,
              "Start and Close at once");

/* --- AMQP 0-9-1 --- */

/*
 * A client handles a Close only once it has sent its Start-Ok; before, it expects a Start and nothing else. A
 * client that closes by itself waits for a Close-Ok and is not interested in reasons any more.
 */
static enum amqp_refusal_step step_0_9_1(const struct amqp_refusal *r)
{
    const uint16_t said = r->client.seen;
    if (!(r->told & AMQP_SEEN_START))
        return AMQP_REFUSAL_SEND_START;
    if (said & AMQP_SEEN_CLOSE)
        return r->told & AMQP_SEEN_CLOSE_OK ? AMQP_REFUSAL_STEP_DONE : AMQP_REFUSAL_SEND_CLOSE_OK;
    if (said & AMQP_SEEN_CLOSE_OK)
        return AMQP_REFUSAL_STEP_DONE;
    if (r->told & AMQP_SEEN_CLOSE)
        return AMQP_REFUSAL_AWAIT_CLOSE_OK;
    return said & AMQP_SEEN_START_OK ? AMQP_REFUSAL_SEND_CLOSE : AMQP_REFUSAL_AWAIT_START_OK;
}

static size_t write_version(const struct amqp_refusal *r, uint8_t *buf, size_t size)
{
    (void)r;
    if (size < AMQP_PROTOCOL_HEADER_SIZE)
        return 0;
    memcpy(buf, amqp_protocol_header_0_9_1, AMQP_PROTOCOL_HEADER_SIZE);
    return AMQP_PROTOCOL_HEADER_SIZE;
}

static size_t write_start(const struct amqp_refusal *r, uint8_t *buf, size_t size)
{
    (void)r;
    return amqp_canned_start(buf, size);
}

static size_t write_close(const struct amqp_refusal *r, uint8_t *buf, size_t size)
{
    return amqp_canned_close(buf, size, r->code, r->text);
}

static size_t write_close_ok(const struct amqp_refusal *r, uint8_t *buf, size_t size)
{
    (void)r;
    return amqp_canned_close_ok(buf, size);
}

/* --- the conversation --- */

static const struct step {
    const char *text;
    amqp_refusal_writer *write; /* NULL: nothing to send */
    uint16_t tells;             /* bits that `told` gains by it */
} steps[] = {
    [AMQP_REFUSAL_STEP_DONE] = {"done", NULL, 0},
    [AMQP_REFUSAL_AWAIT_HEADER] = {"waiting for the protocol header", NULL, 0},
    [AMQP_REFUSAL_SEND_VERSION] = {"sending our protocol header", write_version, AMQP_REFUSAL_TOLD_ALL},

    [AMQP_REFUSAL_SEND_START] = {"sending Start", write_start, AMQP_SEEN_START},
    [AMQP_REFUSAL_AWAIT_START_OK] = {"waiting for Start-Ok", NULL, 0},
    [AMQP_REFUSAL_SEND_CLOSE] = {"sending Close", write_close, AMQP_SEEN_CLOSE},
    [AMQP_REFUSAL_AWAIT_CLOSE_OK] = {"waiting for Close-Ok", NULL, 0},
    [AMQP_REFUSAL_SEND_CLOSE_OK] = {"sending Close-Ok", write_close_ok, AMQP_SEEN_CLOSE_OK},

    [AMQP_REFUSAL_SEND_SASL_HEADER] = {"sending SASL header", amqp_refusal_1_0_write_sasl_header,
                                       AMQP_SEEN_SASL_HEADER},
    [AMQP_REFUSAL_SEND_MECHANISMS] = {"sending sasl-mechanisms", amqp_refusal_1_0_write_mechanisms,
                                      AMQP_SEEN_SASL_MECHANISMS},
    [AMQP_REFUSAL_AWAIT_SASL_INIT] = {"waiting for sasl-init", NULL, 0},
    [AMQP_REFUSAL_SEND_OUTCOME] = {"sending sasl-outcome", amqp_refusal_1_0_write_outcome,
                                   AMQP_SEEN_SASL_OUTCOME},
    [AMQP_REFUSAL_AWAIT_1_0_HEADER] = {"waiting for the AMQP 1.0 header", NULL, 0},
    [AMQP_REFUSAL_SEND_1_0_HEADER] = {"sending AMQP 1.0 header", amqp_refusal_1_0_write_header,
                                      AMQP_SEEN_1_0_HEADER},
    [AMQP_REFUSAL_SEND_1_0_OPEN] = {"sending open", amqp_refusal_1_0_write_open, AMQP_SEEN_OPEN},
    [AMQP_REFUSAL_SEND_1_0_CLOSE] = {"sending close", amqp_refusal_1_0_write_close, AMQP_SEEN_CLOSE},
};

/* A version we don't speak, or no AMQP at all, is answered with our header (0-9-1, section 4.2.2) and nothing
 * else. */
static enum amqp_refusal_step step_without_frames(const struct amqp_refusal *r)
{
    const bool is_mismatch = r->client.state == AMQP_SCANNER_OPAQUE || r->client.fault == AMQP_FAULT_NOT_AMQP;
    return is_mismatch && r->told == 0 ? AMQP_REFUSAL_SEND_VERSION : AMQP_REFUSAL_STEP_DONE;
}

static enum amqp_refusal_step current_step(const struct amqp_refusal *r)
{
    if (r->told & AMQP_REFUSAL_TOLD_ALL)
        return AMQP_REFUSAL_STEP_DONE;
    switch ((enum amqp_scanner_state)r->client.state) {
    case AMQP_SCANNER_START: return AMQP_REFUSAL_AWAIT_HEADER;
    case AMQP_SCANNER_FRAMES: return step_0_9_1(r);
    case AMQP_SCANNER_SASL_FRAMES:
    case AMQP_SCANNER_1_0_FRAMES: return amqp_refusal_1_0_step(r);
    case AMQP_SCANNER_OPAQUE:
    case AMQP_SCANNER_BROKEN: return step_without_frames(r);
    }
    return AMQP_REFUSAL_STEP_DONE;
}

void amqp_refusal_init(struct amqp_refusal *r, uint16_t code, const char *text)
{
    *r = (struct amqp_refusal){.code = code};
    amqp_scanner_init(&r->client, AMQP_FROM_CLIENT);
    amqp_text_copy(r->text, sizeof(r->text), text);
}

/* A server answers in the client's version; anything else leaves no common words. */
static bool speak_alike(const struct amqp_scanner *client, const struct amqp_scanner *server)
{
    return amqp_scanner_has_frames(client) &&
           (client->state == AMQP_SCANNER_FRAMES) == (server->state == AMQP_SCANNER_FRAMES);
}

void amqp_refusal_take_over(struct amqp_refusal *r, const struct amqp_scanner *from_client,
                            const struct amqp_scanner *from_server, uint64_t released_off)
{
    r->client = *from_client;
    if (released_off == 0)
        r->told = 0;
    else if (amqp_scanner_may_insert(from_server, released_off) && speak_alike(from_client, from_server))
        r->told = from_server->seen;
    else
        r->told = AMQP_REFUSAL_TOLD_ALL;
}

void amqp_refusal_feed(struct amqp_refusal *r, const uint8_t *data, size_t len)
{
    /* DONE is final: a client that goes on talking after its Close-Ok is not answered. */
    if (current_step(r) != AMQP_REFUSAL_STEP_DONE)
        amqp_scanner_feed(&r->client, data, len, NULL, NULL);
}

size_t amqp_refusal_write(struct amqp_refusal *r, uint8_t *buf, size_t size)
{
    size_t used = 0;
    for (;;) {
        const struct step *step = &steps[current_step(r)];
        const size_t length = step->write == NULL ? 0 : step->write(r, buf + used, size - used);
        if (length == 0)
            return used;
        used += length;
        r->told = (uint16_t)(r->told | step->tells);
    }
}

enum amqp_refusal_state amqp_refusal_state(const struct amqp_refusal *r)
{
    const enum amqp_refusal_step step = current_step(r);
    if (step == AMQP_REFUSAL_STEP_DONE)
        return AMQP_REFUSAL_DONE;
    return steps[step].write != NULL ? AMQP_REFUSAL_SENDING : AMQP_REFUSAL_WAITING;
}

const char *amqp_refusal_step_text(const struct amqp_refusal *r)
{
    return steps[current_step(r)].text;
}
