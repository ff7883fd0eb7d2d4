/* SPDX-License-Identifier: Apache-2.0 */
#include "mux/digest.h"
#include "tests/unit/mux/kit/pattern.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SALT 5u
#define SIZE 5000u

static uint8_t bytes[SIZE];

static int setup(void **state)
{
    (void)state;
    kit_pattern_fill(SALT, 0, bytes, SIZE);
    return 0;
}

static uint64_t of(const uint8_t *data, size_t len, size_t piece)
{
    struct mux_digest digest = {0};
    uint64_t value;

    assert_int_equal(mux_digest_reserve(&digest), 0);
    for (size_t at = 0; at < len; at += piece)
        mux_digest_add(&digest, data + at, len - at < piece ? len - at : piece);
    value = mux_digest_value(&digest);
    mux_digest_deinit(&digest);
    return value;
}

/* The value is on the wire: both ends must come to the same, whatever they were built with. */
static void of_no_bytes(void **state)
{
    struct mux_digest digest = {0};

    (void)state;
    assert_int_equal(mux_digest_value(&digest), 0x2d06800538d394c2u);
    mux_digest_add(&digest, bytes, 0);
    assert_int_equal(mux_digest_reserve(&digest), 0);
    assert_int_equal(mux_digest_value(&digest), 0x2d06800538d394c2u);
    mux_digest_deinit(&digest);
}

static void pieces_do_not_matter(void **state)
{
    static const size_t pieces[] = {1, 7, 100, 256, 257, 4096};
    uint64_t whole = of(bytes, SIZE, SIZE);

    (void)state;
    for (unsigned i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
        assert_int_equal(of(bytes, SIZE, pieces[i]), whole);
    assert_int_equal(kit_pattern_digest(SALT, SIZE), whole);
}

static void each_byte_matters(void **state)
{
    uint64_t whole = of(bytes, SIZE, 100);

    (void)state;
    for (size_t i = 0; i < SIZE; i += 61) {
        bytes[i] ^= 1;
        assert_int_not_equal(of(bytes, SIZE, 100), whole);
        bytes[i] ^= 1;
    }
    assert_int_not_equal(of(bytes, SIZE - 1, 100), whole);
}

static void a_copy_goes_its_own_way(void **state)
{
    struct mux_digest first = {0};
    struct mux_digest none = {0};
    struct mux_digest copy = {0};

    (void)state;
    assert_int_equal(mux_digest_copy(&copy, &none), 0);
    assert_int_equal(mux_digest_value(&copy), mux_digest_value(&none));
    mux_digest_reserve(&first);
    mux_digest_add(&first, bytes, 1000);
    assert_int_equal(mux_digest_copy(&copy, &first), 0);
    mux_digest_add(&copy, bytes + 1000, SIZE - 1000);
    assert_int_equal(mux_digest_value(&copy), of(bytes, SIZE, SIZE));
    assert_int_equal(mux_digest_value(&first), of(bytes, 1000, SIZE));
    mux_digest_deinit(&first);
    mux_digest_deinit(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(of_no_bytes, setup),
        cmocka_unit_test_setup(pieces_do_not_matter, setup),
        cmocka_unit_test_setup(each_byte_matters, setup),
        cmocka_unit_test_setup(a_copy_goes_its_own_way, setup),
    };

    return cmocka_run_group_tests_name("mux.digest", tests, NULL, NULL);
}
