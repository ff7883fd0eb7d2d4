/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Allocator torture: clients share a hub and do all that they can do, while the first allocation of the hub
 * and its members fails, then the second, and so on until none is left to fail; and each time a few in a row.
 * Nothing may crash or leak, no session may harm another, and the hub goes on or goes down in order.
 *
 * The linker puts the functions below in the place of the allocator's and of those that a hub is entered by
 * (--wrap, see CMakeLists.txt): the model broker's own allocations do not fail.
 */
#include "tests/unit/amqp/hub_test.h"
#include <stdlib.h>

/* ── The allocator ── */

static struct {
    unsigned depth;   /* calls into the hub that are under way */
    unsigned calls;   /* in there */
    unsigned first;   /* the call that fails, from 1; 0: none */
    unsigned in_row;  /* and how many from there */
    unsigned struck;  /* calls that failed */
    long outstanding; /* allocations not freed */
} allocator;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);

static bool fails(void)
{
    if (allocator.depth == 0 || allocator.first == 0)
        return false;
    allocator.calls++;
    if (allocator.calls < allocator.first || allocator.calls >= allocator.first + allocator.in_row)
        return false;
    allocator.struck++;
    return true;
}

static void *counted(void *memory)
{
    if (memory != NULL)
        allocator.outstanding++;
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    if (fails())
        return NULL;
    return memory == NULL ? counted(__real_malloc(size)) : __real_realloc(memory, size);
}

void __wrap_free(void *memory)
{
    if (memory != NULL)
        allocator.outstanding--;
    __real_free(memory);
}

/* ── The ways into the hub ── */

void __real_amqp_hub_feed(struct amqp_hub *hub, const uint8_t *data, size_t len, uint64_t now);
size_t __real_amqp_hub_write(struct amqp_hub *hub, uint8_t *buf, size_t size, uint64_t now);
void __real_amqp_hub_close(struct amqp_hub *hub, const char *reason, uint64_t now);
void __real_amqp_member_feed(struct amqp_member *member, const uint8_t *data, size_t len, uint64_t now);
size_t __real_amqp_member_write(struct amqp_member *member, uint8_t *buf, size_t size, uint64_t now);
void __real_amqp_member_tick(struct amqp_member *member, uint64_t now);
void __real_amqp_member_gone(struct amqp_member *member, uint64_t now);
void __wrap_amqp_hub_feed(struct amqp_hub *hub, const uint8_t *data, size_t len, uint64_t now);
size_t __wrap_amqp_hub_write(struct amqp_hub *hub, uint8_t *buf, size_t size, uint64_t now);
void __wrap_amqp_hub_close(struct amqp_hub *hub, const char *reason, uint64_t now);
void __wrap_amqp_member_feed(struct amqp_member *member, const uint8_t *data, size_t len, uint64_t now);
size_t __wrap_amqp_member_write(struct amqp_member *member, uint8_t *buf, size_t size, uint64_t now);
void __wrap_amqp_member_tick(struct amqp_member *member, uint64_t now);
void __wrap_amqp_member_gone(struct amqp_member *member, uint64_t now);

void __wrap_amqp_hub_feed(struct amqp_hub *hub, const uint8_t *data, size_t len, uint64_t now)
{
    allocator.depth++;
    __real_amqp_hub_feed(hub, data, len, now);
    allocator.depth--;
}

size_t __wrap_amqp_hub_write(struct amqp_hub *hub, uint8_t *buf, size_t size, uint64_t now)
{
    allocator.depth++;
    const size_t written = __real_amqp_hub_write(hub, buf, size, now);
    allocator.depth--;
    return written;
}

void __wrap_amqp_hub_close(struct amqp_hub *hub, const char *reason, uint64_t now)
{
    allocator.depth++;
    __real_amqp_hub_close(hub, reason, now);
    allocator.depth--;
}

void __wrap_amqp_member_feed(struct amqp_member *member, const uint8_t *data, size_t len, uint64_t now)
{
    allocator.depth++;
    __real_amqp_member_feed(member, data, len, now);
    allocator.depth--;
}

size_t __wrap_amqp_member_write(struct amqp_member *member, uint8_t *buf, size_t size, uint64_t now)
{
    allocator.depth++;
    const size_t written = __real_amqp_member_write(member, buf, size, now);
    allocator.depth--;
    return written;
}

void __wrap_amqp_member_tick(struct amqp_member *member, uint64_t now)
{
    allocator.depth++;
    __real_amqp_member_tick(member, now);
    allocator.depth--;
}

void __wrap_amqp_member_gone(struct amqp_member *member, uint64_t now)
{
    allocator.depth++;
    __real_amqp_member_gone(member, now);
    allocator.depth--;
}

/* ── What clients do ── */

static void work(unsigned client, const char *queue)
{
    static char body[9000];
    frames_open(&f, 1);
    frames_declare(&f, 1, queue, FRAMES_EXCLUSIVE);
    frames_declare(&f, 1, "", FRAMES_EXCLUSIVE | FRAMES_NOWAIT);
    frames_consume(&f, 1, "", "tag", false);
    frames_get(&f, 1, queue, false);
    done(client);
    frames_publish(&f, 1, queue, body, sizeof(body));
    frames_consume(&f, 1, queue, "", true);
    frames_publish(&f, 1, queue, body, 10);
    frames_ack(&f, 1, 1, false);
    frames_cancel(&f, 1, "tag");
    done(client);
    frames_open(&f, 2);
    frames_plain(&f, 2, AMQP_TX_SELECT_METHOD);
    frames_publish(&f, 2, "q", "hello", 5);
    frames_plain(&f, 2, AMQP_TX_COMMIT_METHOD);
    frames_publish(&f, 2, "q", "again", 5);
    frames_close(&f, 2);
    done(client);
}

/* Consumers that are replaced, and acknowledgements of two holders on one channel. */
static void consume(unsigned client)
{
    rig.hub.limits.prefetch = 2;
    frames_open(&f, 4);
    frames_declare(&f, 4, "wide", 0);
    done(client);
    frames_consume(&f, 4, "wide", "mine", false);
    frames_consume(&f, 4, "free", "yours", true);
    for (int i = 0; i < 6; i++) {
        frames_publish(&f, 4, "wide", "hello", 5);
        frames_publish(&f, 4, "free", "hello", 5);
    }
    done(client);
    frames_plain(&f, 4, AMQP_BASIC_RECOVER_METHOD);
    frames_nack(&f, 4, 0, true);
    done(client);
    frames_cancel(&f, 4, "mine");
    frames_consume(&f, 4, "wide", "mine", false);
    frames_ack(&f, 4, 0, true);
    frames_qos(&f, 4, 3, true);
    frames_plain(&f, 4, AMQP_TX_SELECT_METHOD);
    done(client);
}

/* Publishes between all else, which on a connection of its own takes fences; then a consumer of replies. */
static void alternate(unsigned client)
{
    frames_open(&f, 6);
    frames_publish(&f, 6, "other", "hello", 5);
    frames_get(&f, 6, "other", false);
    frames_publish(&f, 6, "other", "hello", 5);
    done(client);
    frames_nack(&f, 6, 1, false);
    frames_confirm_select(&f, 6, false);
    frames_publish(&f, 6, "other", "hello", 5);
    frames_consume(&f, 6, "amq.rabbitmq.reply-to", "replies", true);
    frames_publish(&f, 6, "other", "hello", 5);
    done(client);
}

/* Whose queue it is does not matter: it is the other's. */
static void trespass(unsigned client, const char *queue)
{
    frames_open(&f, 3);
    frames_bind(&f, 3, queue);
    done(client);
    frames_close_ok(&f, 3);
    frames_open(&f, 3);
    frames_get(&f, 3, "stream", true);
    done(client);
}

/* Channels that are left as they were opened, and taken again. */
static void pass_on(void)
{
    for (unsigned client = 0; client < 3; client++) {
        frames_open(&f, 5);
        frames_publish(&f, 5, "q", "hello", 5);
        frames_close(&f, 5);
        done(client);
    }
}

static void play(void)
{
    amqp_connection_close_t close = {.reply_code = 200};
    rig_config.kept_max = 1;
    rig_config.believe_types_ms = 1000;
    for (unsigned client = 0; client < 3; client++)
        rig_log_in(&rig, client, AMQP_CAN_CANCEL_NOTIFY | AMQP_CAN_BLOCKED);
    work(0, "x");
    work(1, "xx");
    pass_on();
    trespass(1, "x");
    consume(1);
    alternate(0);
    model_names_remove(&rig.broker, "x");
    frames_open(&f, 1);
    frames_declare(&f, 1, "x", FRAMES_EXCLUSIVE);
    frames_declare(&f, 1, "missing", FRAMES_PASSIVE);
    done(2);
    frames_method(&f, 0, AMQP_CONNECTION_CLOSE_METHOD, &close);
    done(0);
    amqp_member_gone(&rig.clients[2].member, 0);
    rig_pump(&rig);
}

/* Plays it with these calls failing, the clients publishing apart or not. Returns whether they did. */
static bool run(void (*start)(struct rig *rig), unsigned first, unsigned in_row)
{
    const long before = allocator.outstanding;
    allocator.calls = 0;
    allocator.struck = 0;
    allocator.in_row = in_row;
    allocator.first = first;
    f.len = 0;
    start(&rig);
    if (amqp_hub_is_running(&rig.hub) && (!rig.is_pair || amqp_hub_is_running(&rig.apart.hub)))
        play();
    allocator.first = 0;
    rig_deinit(&rig); /* looks after everything */
    if (allocator.outstanding != before)
        fail_msg("allocation %u fails, %u in a row: %ld leaked", first, in_row,
                 allocator.outstanding - before);
    return allocator.struck > 0;
}

static void fail_each(void (*start)(struct rig *rig), unsigned in_row)
{
    unsigned first = 1;
    while (run(start, first, in_row))
        first++;
    assert_true(first > 150); /* so many allocations there were, and each has failed */
}

static void test_each_allocation_fails_once(void **state)
{
    (void)state;
    fail_each(rig_start, 1);
}

static void test_each_allocation_fails_and_the_next_three(void **state)
{
    (void)state;
    fail_each(rig_start, 4);
}

static void test_each_allocation_fails_once_with_a_pair(void **state)
{
    (void)state;
    fail_each(rig_start_pair, 1);
}

static void test_all_goes_well_when_none_fails(void **state)
{
    (void)state;
    for (int is_pair = 0; is_pair < 2; is_pair++) {
        assert_false(run(is_pair ? rig_start_pair : rig_start, 1000000, 1));
        assert_int_equal(rig.clients[1].member.state, AMQP_MEMBER_OVER);
        assert_int_equal(rig.broker.published, 15);
        assert_int_equal(rig_last(&rig, 1)->code, AMQP_CODE_NOT_IMPLEMENTED);
        assert_last(0, AMQP_CONNECTION_CLOSE_OK_METHOD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_goes_well_when_none_fails),
        cmocka_unit_test(test_each_allocation_fails_once),
        cmocka_unit_test(test_each_allocation_fails_and_the_next_three),
        cmocka_unit_test(test_each_allocation_fails_once_with_a_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
