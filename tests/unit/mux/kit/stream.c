/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/stream.h"

#include "tests/unit/mux/kit/check.h"

#include <string.h>

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ── The ways ── */

static struct kit_way *way_out(struct kit_end *end)
{
    return end == &end->stream->a ? &end->stream->ab : &end->stream->ba;
}

static struct kit_way *way_in(struct kit_end *end)
{
    return end == &end->stream->a ? &end->stream->ba : &end->stream->ab;
}

/* `len` bytes, which fit. They vanish when nobody will read them. */
static void way_put(struct kit_way *way, const uint8_t *data, size_t len)
{
    if (way->ended)
        return;
    while (len > 0) {
        size_t at = (way->first + way->len) % KIT_WAY_SIZE;
        size_t n = min_size(len, KIT_WAY_SIZE - at);

        memcpy(way->bytes + at, data, n);
        way->len += n;
        data += n;
        len -= n;
    }
}

static void way_get(struct kit_way *way, uint8_t *out, size_t len)
{
    way->len -= len;
    way->passed += len;
    while (len > 0) {
        size_t n = min_size(len, KIT_WAY_SIZE - way->first);

        memcpy(out, way->bytes + way->first, n);
        way->first = (way->first + n) % KIT_WAY_SIZE;
        out += n;
        len -= n;
    }
}

/* ── Opening and closing ── */

void kit_stream_init(struct kit_stream *stream)
{
    memset(stream, 0, sizeof(*stream));
}

void kit_end_open(struct kit_end *end, struct kit_stream *stream, const struct kit_end_ops *ops, void *owner,
                  const struct mux_link_config *config, struct mux_pool *pool, uint64_t now)
{
    KIT_CHECK(end->state == KIT_END_UNUSED, "the end of the stream is in use");
    end->ops = ops;
    end->owner = owner;
    end->state = KIT_END_OPEN;
    end->stream = stream;
    end->pool = pool;
    end->deinit_due = true;
    end->output_due = true; /* HELLO */
    mux_batch_init(&end->batch);
    mux_link_init(&end->link, &ops->link, config, now);
}

void kit_end_on_output(struct mux_link *link)
{
    struct kit_end *end = kit_end_of(link);

    KIT_CHECK(kit_end_alive(end) && link->state == MUX_LINK_OPEN, "output of a link that is closed");
    end->output_due = true;
}

void kit_end_linger(struct kit_end *end, uint64_t now)
{
    if (end->state != KIT_END_OPEN)
        return;
    end->state = KIT_END_LINGERING;
    end->linger_until_ms = now + KIT_LINGER_MS;
}

void kit_end_finish(struct kit_end *end)
{
    if (end->state == KIT_END_OPEN)
        end->state = KIT_END_FINISHING;
}

void kit_end_close(struct kit_end *end, enum mux_code code, const char *reason, uint64_t now)
{
    if (!kit_end_alive(end))
        return;
    end->state = KIT_END_CLOSED;
    mux_link_close(&end->link, code, reason, now);
    if (way_in(end)->len > 0)
        way_out(end)->len = 0; /* the kernel would send RST instead */
    way_out(end)->ended = true;
}

/* Something happened to the transport or was wrong with what came. */
static void down(struct kit_end *end, enum mux_code code, const char *reason, uint64_t now)
{
    if (end->state == KIT_END_CLOSED)
        return;
    mux_link_close(&end->link, code == MUX_OK ? MUX_TRY_LATER : code, reason, now);
    if (end->state == KIT_END_OPEN)
        end->ops->on_down(end, code, reason, now);
    kit_end_close(end, code, reason, now);
}

void kit_stream_reset(struct kit_stream *stream)
{
    stream->reset = true;
    stream->ab.len = 0;
    stream->ba.len = 0;
}

void kit_stream_end(struct kit_stream *stream)
{
    stream->ab.ended = true;
    stream->ba.ended = true;
}

void kit_stream_inject(struct kit_stream *stream, const uint8_t *data, size_t len)
{
    KIT_CHECK(stream->a.state == KIT_END_UNUSED && len <= KIT_WAY_SIZE - stream->ab.len,
              "can't inject %zu bytes", len);
    way_put(&stream->ab, data, len);
}

static void end_reap(struct kit_end *end, uint64_t now)
{
    if (end->state != KIT_END_CLOSED || !end->deinit_due)
        return;
    mux_batch_clear(&end->batch);
    mux_link_deinit(&end->link, now);
    end->deinit_due = false;
}

void kit_stream_reap(struct kit_stream *stream, uint64_t now)
{
    end_reap(&stream->a, now);
    end_reap(&stream->b, now);
}

static bool end_over(const struct kit_end *end)
{
    return end->state == KIT_END_UNUSED || (end->state == KIT_END_CLOSED && !end->deinit_due);
}

bool kit_stream_over(const struct kit_stream *stream)
{
    return end_over(&stream->a) && end_over(&stream->b);
}

void kit_stream_deinit(struct kit_stream *stream, uint64_t now)
{
    kit_end_close(&stream->a, MUX_SHUTTING_DOWN, "test is over", now);
    kit_end_close(&stream->b, MUX_SHUTTING_DOWN, "test is over", now);
    kit_stream_reap(stream, now);
    kit_stream_init(stream);
}

/* ── Moving bytes ── */

/* See to it that there is something to write. False: there is nothing, or it has closed. */
static bool begin_batch(struct kit_end *end, uint64_t now)
{
    bool output = end->batch.bytes > 0;

    if (!output && end->output_due)
        output = end->output_due = mux_link_output(&end->link, &end->batch, now);
    if (!output && end->state == KIT_END_FINISHING)
        kit_end_close(end, MUX_TRY_LATER, "finished", now);
    return output && kit_end_alive(end);
}

size_t kit_end_write(struct kit_end *end, size_t max, uint64_t delay_ms, uint64_t now)
{
    struct kit_way *way;
    size_t done = 0;

    if (!kit_end_alive(end) || end->stream->reset || !begin_batch(end, now))
        return 0;
    way = way_out(end);
    max = min_size(max, KIT_WAY_SIZE - way->len);
    if (way->len == 0)
        way->ready_ms = now + delay_ms;
    while (done < max && end->batch.bytes > 0) {
        const struct iovec *iov = &end->batch.iov[end->batch.first];
        size_t n = min_size(iov->iov_len, max - done);

        way_put(way, iov->iov_base, n);
        mux_batch_written(&end->batch, n);
        done += n;
    }
    if (end->batch.bytes > 0)
        mux_link_compact(&end->link);
    return done;
}

/* Hand `n` bytes that have arrived to the link. */
static void deliver(struct kit_end *end, size_t n, uint64_t now)
{
    struct kit_way *way = way_in(end);
    uint8_t *room;
    size_t size;
    struct mux_chunk *chunk = mux_pool_reserve(end->pool, &room, &size);
    int rc;

    if (chunk == NULL)
        return; /* the bytes wait for memory */
    n = min_size(n, size);
    way_get(way, room, n);
    mux_pool_commit(end->pool, n);
    rc = mux_link_input(&end->link, chunk, room, n, now);
    mux_pool_recycle(end->pool);
    if (rc < 0)
        down(end, (enum mux_code) - rc, end->link.error, now);
}

bool kit_end_read(struct kit_end *end, size_t max, uint64_t now)
{
    struct kit_way *way = kit_end_alive(end) ? way_in(end) : NULL;
    size_t wanted;

    if (way == NULL || now < end->stream->silent_until_ms)
        return false;
    if (end->stream->reset) {
        down(end, MUX_TRY_LATER, "connection reset", now);
        return true;
    }
    wanted = end->ops->want != NULL && end->state == KIT_END_OPEN ? end->ops->want(end) : SIZE_MAX;
    max = min_size(max, wanted);
    if (max == 0 || now < way->ready_ms)
        return false;
    if (way->len > 0) {
        deliver(end, min_size(max, way->len), now);
        return true;
    }
    if (way->ended)
        down(end, MUX_OK, "connection closed by peer", now);
    return way->ended;
}

bool kit_end_quiet(const struct kit_end *end)
{
    const struct kit_stream *stream = end->stream;
    const struct kit_way *in = end == &stream->a ? &stream->ba : &stream->ab;

    return in->len == 0 && !in->ended && !stream->reset && !end->output_due && end->batch.bytes == 0 &&
           end->state != KIT_END_FINISHING;
}

uint64_t kit_end_next_read(const struct kit_end *end)
{
    const struct kit_stream *stream = end->stream;
    const struct kit_way *way;

    if (!kit_end_alive(end))
        return UINT64_MAX;
    way = end == &stream->a ? &stream->ba : &stream->ab;
    if (stream->reset)
        return stream->silent_until_ms;
    if (way->len == 0 && !way->ended)
        return UINT64_MAX;
    return way->ready_ms > stream->silent_until_ms ? way->ready_ms : stream->silent_until_ms;
}

/* ── Time ── */

uint64_t kit_end_deadline(const struct kit_end *end)
{
    if (end->state == KIT_END_LINGERING)
        return end->linger_until_ms;
    return kit_end_alive(end) ? mux_link_deadline(&end->link) : UINT64_MAX;
}

bool kit_end_tick(struct kit_end *end, uint64_t now)
{
    int rc;

    if (now < kit_end_deadline(end))
        return false;
    if (end->state == KIT_END_LINGERING) {
        kit_end_close(end, MUX_TRY_LATER, "lingered", now);
        return true;
    }
    rc = mux_link_tick(&end->link, now);
    if (rc < 0)
        down(end, (enum mux_code) - rc, end->link.error, now);
    return true;
}
