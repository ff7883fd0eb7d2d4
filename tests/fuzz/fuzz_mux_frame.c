/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame reader on any bytes: however the stream is cut, the same frames come out and the same error; and
 * what came out, encoded again, reads the same.
 */
#include "tests/unit/mux/kit/check.h"
#include "tests/unit/mux/kit/rng.h"
#include "tests/unit/mux/kit/transcript.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How a stream was read. */
struct reading {
    struct kit_transcript transcript;
    int rc;
    const char *error;
};

/* Read the stream in pieces of at most `piece_max` bytes, each in memory of its own. */
static struct reading read_stream(const uint8_t *stream, size_t size, size_t piece_max, uint64_t seed)
{
    struct kit_rng rng = {.state = seed};
    struct mux_reader reader;
    struct reading reading = {0};

    kit_transcript_init(&reading.transcript, malloc(size + MUX_DATA_HEADER));
    mux_reader_init(&reader, MUX_PAYLOAD_MAX);
    for (size_t from = 0; from < size && reading.rc == 0;) {
        size_t most = (size_t)kit_size(&rng, piece_max);
        size_t n = size - from < most ? size - from : most;
        uint8_t *piece = malloc(n);
        const uint8_t *at = piece;
        struct mux_frame frame;

        memcpy(piece, stream + from, n);
        while ((reading.rc = mux_reader_next(&reader, &at, piece + n, &frame)) > 0)
            kit_transcript_add(&reading.transcript, &frame, &reader);
        KIT_CHECK(reading.rc < 0 || at == piece + n, "input was left over");
        free(piece);
        from += n;
    }
    kit_transcript_end(&reading.transcript);
    reading.error = reader.error;
    mux_reader_deinit(&reader);
    return reading;
}

static void check_same(const struct reading *a, const struct reading *b)
{
    KIT_CHECK(a->transcript.len == b->transcript.len &&
                  memcmp(a->transcript.bytes, b->transcript.bytes, a->transcript.len) == 0,
              "other frames came out");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t seed = size > 0 ? data[0] : 0;
    struct reading whole;
    struct reading pieces;
    struct reading again;

    if (size < 1)
        return 0;
    data++;
    size--;
    whole = read_stream(data, size, SIZE_MAX, 1);
    pieces = read_stream(data, size, 1 + seed, seed);
    again = read_stream(whole.transcript.bytes, whole.transcript.len, SIZE_MAX, 1);
    check_same(&whole, &pieces);
    KIT_CHECK(whole.rc == pieces.rc && whole.error == pieces.error, "another error");
    check_same(&whole, &again);
    KIT_CHECK(again.rc == 0, "what was encoded does not read: %s", again.error);
    free(whole.transcript.bytes);
    free(pieces.transcript.bytes);
    free(again.transcript.bytes);
    return 0;
}
