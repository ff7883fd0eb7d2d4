/* SPDX-License-Identifier: Apache-2.0 */
#include "service/net.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PATH_107                                                                                             \
    "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/"                                                \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void good_addresses(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
    } cases[] = {
        {"127.0.0.1:5672", "127.0.0.1", 5672},
        {"[::1]:5672", "::1", 5672},
        {"[fe80::1%eth0]:1", "fe80::1%eth0", 1},
        {"localhost:0", "localhost", 0},
        {"broker-1.example_x.org:65535", "broker-1.example_x.org", 65535},
    };
    struct net_address address;
    char why[128], name[NET_NAME_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(net_address_parse(&address, cases[i].text, why, sizeof(why)), 0);
        assert_int_equal(address.kind, NET_TCP);
        assert_string_equal(address.host, cases[i].host);
        assert_int_equal(address.port, cases[i].port);
        assert_string_equal(net_address_name(&address, name, sizeof(name)), cases[i].text);
        assert_int_equal(net_address_check(cases[i].text, why, sizeof(why)), 0);
    }
}

static void unix_paths(void **state)
{
    struct net_address address;
    char why[128], name[NET_NAME_MAX];

    (void)state;
    assert_int_equal(net_address_parse(&address, "unix:/run/x:y.sock", why, sizeof(why)), 0);
    assert_int_equal(address.kind, NET_UNIX);
    assert_string_equal(address.path, "/run/x:y.sock");
    assert_string_equal(net_address_name(&address, name, sizeof(name)), "unix:/run/x:y.sock");

    assert_int_equal(strlen(PATH_107), 107);
    assert_int_equal(net_address_parse(&address, "unix:" PATH_107, why, sizeof(why)), 0);
    assert_string_equal(address.path, PATH_107);
}

static void bad_addresses_say_why(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "'' is neither HOST:PORT nor unix:PATH"},
        {"5672", "'5672' is neither HOST:PORT nor unix:PATH"},
        {":5672", "no host before the port; all addresses are 0.0.0.0 or [::]"},
        {"localhost:", "port '' is not a number from 0 to 65535"},
        {"localhost:amqp", "port 'amqp' is not a number from 0 to 65535"},
        {"localhost:65536", "port '65536' is not a number from 0 to 65535"},
        {"localhost:-1", "port '-1' is not a number from 0 to 65535"},
        {"localhost: 1", "port ' 1' is not a number from 0 to 65535"},
        {"localhost:99999999999999999999", "port '99999999999999999999' is not a number from 0 to 65535"},
        {"::1:5672", "an IPv6 address goes in brackets: [::1]:5672"},
        {"[::1]", "'[::1]' is not [ADDRESS]:PORT"},
        {"[::1]5672", "'[::1]5672' is not [ADDRESS]:PORT"},
        {"[::1:5672", "'[::1:5672' is not [ADDRESS]:PORT"},
        {"[localhost]:1", "'localhost' is not an IPv6 address"},
        {"[]:1", "'' is not an IPv6 address"},
        {"a b:1", "'a b' is not a host name or address"},
        {"tunnel://x:1", "'tunnel://x' is not a host name or address"},
        {"unix:", "no path behind unix:"},
        {"unix:" PATH_107 "a", "the path is longer than the 107 bytes of a Unix socket's path"},
    };
    struct net_address address;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char why[128] = "", cut[8];
        assert_int_equal(net_address_parse(&address, cases[i].text, why, sizeof(why)), -EINVAL);
        assert_string_equal(why, cases[i].why);
        assert_int_equal(net_address_check(cases[i].text, cut, sizeof(cut)), -EINVAL);
        assert_int_equal(strlen(cut), sizeof(cut) - 1);
    }
}

static void a_host_that_is_too_long(void **state)
{
    struct net_address address;
    char text[NET_HOST_MAX + 8], why[128];

    (void)state;
    memset(text, 'a', NET_HOST_MAX);
    strcpy(text + NET_HOST_MAX, ":1");
    assert_int_equal(net_address_parse(&address, text, why, sizeof(why)), -EINVAL);
    assert_string_equal(why, "the host name is longer than 255 bytes");
    assert_int_equal(net_address_parse(&address, text + 1, why, sizeof(why)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_addresses),
        cmocka_unit_test(unix_paths),
        cmocka_unit_test(bad_addresses_say_why),
        cmocka_unit_test(a_host_that_is_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
