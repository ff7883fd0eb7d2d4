/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mux/kit/transcript.h"

#include "tests/unit/mux/kit/check.h"

#include <string.h>

void kit_transcript_init(struct kit_transcript *transcript, uint8_t *bytes)
{
    *transcript = (struct kit_transcript){.bytes = bytes};
}

static void end_data(struct kit_transcript *transcript, bool fin)
{
    mux_encode_data_header(transcript->bytes + transcript->data.at, transcript->data.session,
                           transcript->data.offset, transcript->data.len, fin);
    transcript->data.open = false;
}

void kit_transcript_end(struct kit_transcript *transcript)
{
    if (transcript->data.open)
        end_data(transcript, false);
}

/* One piece of DATA; `last` when it completes its frame. */
static void add_data(struct kit_transcript *transcript, const struct mux_frame *frame, bool last)
{
    if (!transcript->data.open) {
        transcript->data.open = true;
        transcript->data.at = transcript->len;
        transcript->data.session = frame->session;
        transcript->data.offset = frame->u.data.offset;
        transcript->data.len = 0;
        transcript->len += MUX_DATA_HEADER;
    }
    KIT_CHECK(frame->u.data.offset == transcript->data.offset + transcript->data.len,
              "a piece of DATA with the wrong offset");
    if (frame->u.data.len > 0)
        memcpy(transcript->bytes + transcript->len, frame->u.data.bytes, frame->u.data.len);
    transcript->len += frame->u.data.len;
    transcript->data.len += (uint32_t)frame->u.data.len;
    if (last)
        end_data(transcript, frame->u.data.fin);
}

/* Control frames. Returns the size. */
static size_t encode(uint8_t *out, const struct mux_frame *frame)
{
    char reason[MUX_REASON_MAX + 1];

    switch (frame->type) {
    case MUX_HELLO: return mux_encode_hello(out, &frame->u.hello);
    case MUX_OPEN: return mux_encode_open(out, frame->session, &frame->u.open);
    case MUX_OPEN_OK: return mux_encode_open_ok(out, frame->session, &frame->u.open_ok);
    case MUX_MAX_DATA: return mux_encode_max_data(out, frame->session, &frame->u.max_data);
    case MUX_RESET:
        mux_text_copy(frame->u.reset.reason, reason, sizeof(reason));
        return mux_encode_reset(out, frame->session, frame->u.reset.code, reason);
    case MUX_PING:
    case MUX_PONG: return mux_encode_ping(out, frame->type, frame->session, frame->u.ping);
    case MUX_GOAWAY: return mux_encode_goaway(out, mux_text_copy(frame->u.goaway, reason, sizeof(reason)));
    default: return mux_encode_detach(out, frame->session);
    }
}

void kit_transcript_add(struct kit_transcript *transcript, const struct mux_frame *frame,
                        const struct mux_reader *reader)
{
    if (frame->type == MUX_DATA)
        add_data(transcript, frame, reader->state == MUX_READ_HEAD);
    else
        transcript->len += encode(transcript->bytes + transcript->len, frame);
}
