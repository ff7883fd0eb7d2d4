/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/frame.h"
#include "mux/wire.h"

#include <assert.h>
#include <string.h>

struct mux_text mux_text(const char *string)
{
    return (struct mux_text){.data = string, .len = string != NULL ? strlen(string) : 0};
}

char *mux_text_copy(struct mux_text text, char *out, size_t size)
{
    size_t n = text.len < size - 1 ? text.len : size - 1;

    if (n > 0)
        memcpy(out, text.data, n);
    out[n] = '\0';
    return out;
}

static uint8_t *put_text(uint8_t *p, struct mux_text text, size_t max)
{
    size_t n = text.len < max ? text.len : max;

    if (n > 0)
        memcpy(p, text.data, n);
    return p + n;
}

static uint8_t *put_header(uint8_t *out, uint8_t type, uint8_t flags, uint32_t session, uint32_t length)
{
    *out++ = type;
    *out++ = flags;
    out = wire_put(out, 0, 2);
    out = wire_put(out, session, 4);
    return wire_put(out, length, 4);
}

/* Write the header of a frame whose payload ends at `end`. Returns the size of the frame. */
static size_t finish(uint8_t *out, const uint8_t *end, uint8_t type, uint8_t flags, uint32_t session)
{
    size_t size = (size_t)(end - out);

    assert(size <= MUX_HEADER_SIZE + MUX_CONTROL_MAX);
    put_header(out, type, flags, session, (uint32_t)(size - MUX_HEADER_SIZE));
    return size;
}

size_t mux_encode_hello(uint8_t *out, const struct mux_hello *hello)
{
    uint8_t *p = out + MUX_HEADER_SIZE;

    memcpy(p, "AMVS", 4);
    p = wire_put(p + 4, hello->version, 2);
    p = wire_put(p, hello->role, 1);
    p = wire_put(p, hello->max_frame, 4);
    p = wire_put(p, hello->instance, 8);
    p = wire_put(p, hello->features, 4);
    p = put_text(p, hello->name, MUX_NAME_MAX);
    return finish(out, p, MUX_HELLO, 0, 0);
}

static uint8_t *put_attr(uint8_t *p, uint16_t type, struct mux_text value)
{
    size_t n = value.len < MUX_ATTR_MAX ? value.len : MUX_ATTR_MAX;

    if (n == 0)
        return p;
    p = wire_put(p, type, 2);
    p = wire_put(p, n, 2);
    return put_text(p, value, n);
}

static uint8_t *put_attributes(uint8_t *p, const struct mux_attributes *a)
{
    p = put_attr(p, MUX_ATTR_SERVICE, a->service);
    p = put_attr(p, MUX_ATTR_CLIENT_ADDRESS, a->client_address);
    p = put_attr(p, MUX_ATTR_CLIENT_PROCESS, a->client_process);
    p = put_attr(p, MUX_ATTR_GUEST_NAME, a->guest_name);
    p = put_attr(p, MUX_ATTR_HOST_NAME, a->host_name);
    p = put_attr(p, MUX_ATTR_VM_NAME, a->vm_name);
    p = put_attr(p, MUX_ATTR_POLICY, a->policy);
    if (a->has_cid) {
        p = wire_put(p, MUX_ATTR_CID, 2);
        p = wire_put(p, 4, 2);
        p = wire_put(p, a->cid, 4);
    }
    return p;
}

size_t mux_encode_open(uint8_t *out, uint32_t session, const struct mux_open *open)
{
    uint8_t *p = out + MUX_HEADER_SIZE;

    memcpy(p, open->token, MUX_TOKEN_SIZE);
    p = wire_put(p + MUX_TOKEN_SIZE, open->attempt, 4);
    p = wire_put(p, open->received_offset, 8);
    p = wire_put(p, open->received_digest, 8);
    p = wire_put(p, open->sent_offset, 8);
    p = wire_put(p, open->max_data, 8);
    p = put_attributes(p, &open->attributes);
    return finish(out, p, MUX_OPEN, open->resume ? MUX_FLAG_RESUME : 0, session);
}

size_t mux_encode_open_ok(uint8_t *out, uint32_t session, const struct mux_open_ok *ok)
{
    uint8_t *p = out + MUX_HEADER_SIZE;

    p = wire_put(p, ok->received_offset, 8);
    p = wire_put(p, ok->received_digest, 8);
    p = wire_put(p, ok->max_data, 8);
    p = wire_put(p, ok->detach_timeout_ms, 4);
    return finish(out, p, MUX_OPEN_OK, 0, session);
}

size_t mux_encode_max_data(uint8_t *out, uint32_t session, const struct mux_max_data *max)
{
    uint8_t *p = out + MUX_HEADER_SIZE;

    p = wire_put(p, max->received_offset, 8);
    p = wire_put(p, max->max_data, 8);
    return finish(out, p, MUX_MAX_DATA, 0, session);
}

size_t mux_encode_reset(uint8_t *out, uint32_t session, uint32_t code, const char *reason)
{
    uint8_t *p = out + MUX_HEADER_SIZE;

    p = wire_put(p, code, 4);
    p = put_text(p, mux_text(reason), MUX_REASON_MAX);
    return finish(out, p, MUX_RESET, 0, session);
}

size_t mux_encode_ping(uint8_t *out, uint8_t type, uint32_t session, const uint8_t ping[MUX_PING_SIZE])
{
    memcpy(out + MUX_HEADER_SIZE, ping, MUX_PING_SIZE);
    return finish(out, out + MUX_HEADER_SIZE + MUX_PING_SIZE, type, 0, session);
}

size_t mux_encode_goaway(uint8_t *out, const char *reason)
{
    return finish(out, put_text(out + MUX_HEADER_SIZE, mux_text(reason), MUX_REASON_MAX), MUX_GOAWAY, 0, 0);
}

size_t mux_encode_detach(uint8_t *out, uint32_t session)
{
    return finish(out, out + MUX_HEADER_SIZE, MUX_DETACH, 0, session);
}

void mux_encode_data_header(uint8_t *out, uint32_t session, uint64_t offset, uint32_t len, bool fin)
{
    out = put_header(out, MUX_DATA, fin ? MUX_FLAG_FIN : 0, session, len + 8);
    wire_put(out, offset, 8);
}
