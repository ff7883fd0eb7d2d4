/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/link_fixture.h"

#include "tests/unit/mux/kit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct test_attachment *test_of(struct mux_attachment *attachment)
{
    return (struct test_attachment *)((char *)attachment - offsetof(struct test_attachment, attachment));
}

static struct link_fixture *fixture_of(struct mux_link *link)
{
    return (struct link_fixture *)((char *)link - offsetof(struct link_fixture, link));
}

/* ── Attachments ── */

static void on_frame(struct mux_attachment *attachment, const struct mux_frame *frame,
                     struct mux_chunk *chunk, uint64_t now)
{
    struct test_attachment *test = test_of(attachment);

    KIT_CHECK(chunk != NULL, "a frame without its chunk");
    test->frames++;
    test->last_type = frame->type;
    if (test->close_on_frame)
        mux_link_close(attachment->link, MUX_KILLED, "closed by a callback", now);
}

static bool pull_control(struct mux_attachment *attachment, struct mux_batch *batch, uint64_t now)
{
    static const uint8_t ping[MUX_PING_SIZE] = "pingping";
    struct test_attachment *test = test_of(attachment);

    (void)now;
    for (; test->to_say > 0; test->to_say--) {
        uint8_t *area = mux_batch_area(batch, MUX_HEADER_SIZE + MUX_PING_SIZE);

        if (area == NULL)
            return false;
        mux_encode_ping(area, MUX_PING, attachment->number, ping);
    }
    if (test->leave)
        mux_link_remove(attachment);
    return true;
}

static size_t pull_data(struct mux_attachment *attachment, struct mux_batch *batch, size_t max, uint64_t now)
{
    struct test_attachment *test = test_of(attachment);
    size_t n = test->to_send < max ? test->to_send : max;

    (void)now;
    if (n == 0)
        return 0;
    mux_encode_data_header(mux_batch_area(batch, MUX_DATA_HEADER), attachment->number, test->sent,
                           (uint32_t)n, false);
    mux_batch_payload(batch, test->fixture->chunk, test->fixture->chunk->data, n);
    test->to_send -= n;
    test->sent += n;
    return n;
}

static void on_lost(struct mux_attachment *attachment, enum mux_code code, const char *reason, uint64_t now)
{
    (void)reason;
    (void)now;
    KIT_CHECK(attachment->link == NULL, "lost, but still attached");
    test_of(attachment)->lost++;
    test_of(attachment)->lost_code = code;
}

static const struct mux_attachment_ops attachment_ops = {
    .on_frame = on_frame,
    .pull_control = pull_control,
    .pull_data = pull_data,
    .on_lost = on_lost,
};

/* ── The link ── */

static void on_hello(struct mux_link *link, uint64_t now)
{
    (void)now;
    fixture_of(link)->hellos++;
}

static void on_open(struct mux_link *link, uint32_t number, const struct mux_open *open, uint64_t now)
{
    struct link_fixture *f = fixture_of(link);

    (void)open;
    (void)now;
    if (f->refuse != MUX_OK)
        mux_link_refuse(link, number, f->refuse, "because");
    else
        KIT_CHECK(mux_link_attach(link, &f->attachments[f->opens++].attachment, number) == 0, "no memory");
}

static void on_goaway(struct mux_link *link, const char *reason)
{
    snprintf(fixture_of(link)->goaway, sizeof(fixture_of(link)->goaway), "%s", reason);
}

static void on_output(struct mux_link *link)
{
    fixture_of(link)->outputs++;
}

static const struct mux_link_ops link_ops = {
    .on_hello = on_hello,
    .on_open = on_open,
    .on_goaway = on_goaway,
    .on_output = on_output,
};

struct link_fixture *link_fixture_create(bool opener)
{
    struct link_fixture *f = calloc(1, sizeof(*f));

    KIT_CHECK(f != NULL, "out of memory");
    f->config = (struct mux_link_config){.opener = opener, .role = MUX_ROLE_HOST, .name = "tested"};
    mux_link_init(&f->link, &link_ops, &f->config, NOW);
    kit_peer_init(&f->peer, &f->link);
    mux_batch_init(&f->batch);
    f->chunk = mux_chunk_create(MUX_DATA_MAX);
    KIT_CHECK(f->chunk != NULL, "out of memory");
    memset(f->chunk->data, 'd', MUX_DATA_MAX);
    for (unsigned i = 0; i < LINK_FIXTURE_ATTACHMENTS; i++) {
        f->attachments[i].fixture = f;
        f->attachments[i].attachment.ops = &attachment_ops;
    }
    return f;
}

void link_fixture_destroy(struct link_fixture *f)
{
    mux_batch_clear(&f->batch);
    mux_link_deinit(&f->link, NOW);
    kit_peer_deinit(&f->peer);
    KIT_CHECK(f->chunk->refs == 1, "%u references to payload were not returned", f->chunk->refs - 1);
    mux_chunk_unref(f->chunk);
    free(f);
}

void link_fixture_hello(struct link_fixture *f)
{
    KIT_CHECK(kit_peer_hello(&f->peer, MUX_ROLE_GUEST, NOW) == 0, "HELLO was refused");
}

void link_fixture_attach(struct link_fixture *f, unsigned i)
{
    KIT_CHECK(mux_link_attach(&f->link, &f->attachments[i].attachment, mux_link_next_number(&f->link)) == 0,
              "no memory");
}

void link_fixture_say(struct link_fixture *f, unsigned i, unsigned frames)
{
    f->attachments[i].to_say += frames;
    mux_link_want_control(&f->attachments[i].attachment);
}

void link_fixture_send(struct link_fixture *f, unsigned i, size_t bytes)
{
    f->attachments[i].to_send += bytes;
    mux_link_want_data(&f->attachments[i].attachment);
}
