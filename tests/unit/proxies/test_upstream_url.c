/* SPDX-License-Identifier: Apache-2.0 */
/* Upstreams: what is read from them, and that no fault repeats a user or a password. */
#include "host-proxy/upstream_url.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct upstream_url url;
static char why[256];

static int parse(const char *text)
{
    memset(why, 0, sizeof(why));
    return upstream_url_parse(&url, text, why, sizeof(why));
}

static void assert_node(size_t n, const char *expected)
{
    char name[NET_NAME_MAX];

    assert_true(n < url.nodes.count);
    assert_string_equal(net_address_name(&url.nodes.nodes[n].address, name, sizeof(name)), expected);
}

/* A fault, whose text has `expected` in it. */
static void assert_fault(const char *text, const char *expected)
{
    assert_int_equal(parse(text), -EINVAL);
    if (strstr(why, expected) == NULL)
        fail_msg("%s: \"%s\" says nothing of \"%s\"", text, why, expected);
    assert_null(url.user);
    assert_null(url.nodes.nodes);
}

static void test_tunnel(void **state)
{
    (void)state;
    assert_int_equal(parse("tunnel://[::1]:5680"), 0);
    assert_int_equal(url.kind, UPSTREAM_TUNNEL);
    assert_int_equal(url.nodes.count, 1);
    assert_node(0, "[::1]:5680");
    upstream_url_deinit(&url);
    assert_int_equal(parse("tunnel://unix:/run/amqp.sock"), 0);
    assert_node(0, "unix:/run/amqp.sock");
    upstream_url_deinit(&url);
    assert_fault("tunnel://host", "neither HOST:PORT");
}

static void test_hosts_only(void **state)
{
    (void)state;
    assert_int_equal(parse("amqp://broker"), 0);
    assert_int_equal(url.kind, UPSTREAM_AMQP);
    assert_node(0, "broker:5672");
    assert_null(url.user);
    assert_null(url.password);
    assert_null(url.vhost);
    upstream_url_deinit(&url);
}

static void test_default_port_of_tls(void **state)
{
    (void)state;
    assert_int_equal(parse("amqps://a,b:1,[2001:db8::1],[::1]:2"), 0);
    assert_int_equal(url.kind, UPSTREAM_AMQPS);
    assert_int_equal(url.nodes.count, 4);
    assert_node(0, "a:5671");
    assert_node(1, "b:1");
    assert_node(2, "[2001:db8::1]:5671");
    assert_node(3, "[::1]:2");
    upstream_url_deinit(&url);
}

static void test_all_parts(void **state)
{
    (void)state;
    assert_int_equal(parse("amqp://us%65r:p%40s%2Fs%3A%25:w@h/%2Fv%20h"), 0);
    assert_string_equal(url.user, "user");
    assert_string_equal(url.password, "p@s/s:%:w"); /* only the first colon divides */
    assert_string_equal(url.vhost, "/v h");
    upstream_url_deinit(&url);
    assert_int_equal(parse("amqp://user@h"), 0);
    assert_string_equal(url.user, "user");
    assert_null(url.password);
    upstream_url_deinit(&url);
    assert_int_equal(parse("amqp://user:@h"), 0);
    assert_string_equal(url.password, "");
    upstream_url_deinit(&url);
}

static void test_faults(void **state)
{
    (void)state;
    assert_fault("http://h", "begins neither");
    assert_fault("", "begins neither");
    assert_fault("amqp://", "a host is missing");
    assert_fault("amqp://a,,b", "a host is missing");
    assert_fault("amqp://a,:5672", "a host is missing");
    assert_fault("amqp://a, b", "not a host name");
    assert_fault("amqp://a,amqp://b", "the scheme stands once");
    assert_fault("amqp://u:p@a,u:p@b", "user and password stand once");
    assert_fault("amqp://u:p@s@h", "%40");
    assert_fault("amqp://h:0", "port 0");
    assert_fault("amqp://::1", "in brackets");
    assert_fault("amqp://unix:/run/rabbitmq.sock", "over TCP");
    assert_fault("tunnel://a:1,b:1", "one HOST:PORT");
    assert_fault("tunnel://a:1/", "one HOST:PORT");
    assert_fault("tunnel://u@a:1", "one HOST:PORT");
    assert_fault("amqp://h:99999", "port '99999'");
    assert_fault("amqp://h/", "%2F");
    assert_fault("amqp://h/a/b", "%2F");
    assert_fault("amqp://h/v?heartbeat=5", "%3F");
    assert_fault("amqp://@h", "no user");
    assert_fault("amqp://u%@h", "hexadecimal");
    assert_fault("amqp://u%4@h", "hexadecimal");
    assert_fault("amqp://h/%4", "hexadecimal");
    assert_fault("amqp://h/a%00b", "hexadecimal");
}

static void test_faults_keep_secrets(void **state)
{
    static const char *const bad[] = {
        "amqp://alice:xyzzy%zz@h", "amqp://alice:xyz@zy@h",     "amqp://alice:xyzzy@h:99999",
        "amqp://alice:xyzzy@h/",   "amqp://alice:xyzzy@h/a/b",  "amqp://alice:xyzzy@h?x",
        "amqp://alice:xyzzy@",     "amqp://alice:xyzzy@[zz]:1", "amqp://alice:xyz/zy@h",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(bad[i]), -EINVAL);
        assert_null(strstr(why, "alice"));
        assert_null(strstr(why, "xyz"));
    }
}

static void test_longest_parts(void **state)
{
    char text[600];
    char part[257];

    (void)state;
    memset(part, 'x', 256);
    part[256] = '\0';
    snprintf(text, sizeof(text), "amqp://h/%s", part);
    assert_fault(text, "255 bytes");
    part[255] = '\0';
    snprintf(text, sizeof(text), "amqp://h/%s", part);
    assert_int_equal(parse(text), 0);
    assert_int_equal(strlen(url.vhost), 255);
    upstream_url_deinit(&url);
    snprintf(text, sizeof(text), "amqp://%s%s", part, part);
    assert_fault(text, "too long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tunnel),
        cmocka_unit_test(test_hosts_only),
        cmocka_unit_test(test_default_port_of_tls),
        cmocka_unit_test(test_all_parts),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_faults_keep_secrets),
        cmocka_unit_test(test_longest_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
