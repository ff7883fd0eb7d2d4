/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints' texts: what they mean, and that what is wrong is said. */
#include "scratch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmci/endpoint.h"
#include "vmci/transport_impl.h"

static void test_good_endpoints(void **state)
{
    static const struct {
        const char *text;
        const struct vmci_transport *transport;
        uint32_t cid;
        uint32_t port;
        const char *path;
    } cases[] = {
        {"vsock:2:5672", &vmci_kernel, 2, 5672, ""},
        {"vsock:3:5672", &vmci_kernel, 3, 5672, ""},
        {"vsock:0:1", &vmci_kernel, 0, 1, ""},
        {"vsock:any:5672", &vmci_kernel, VMCI_CID_ANY, 5672, ""},
        {"vsock:4294967294:4294967294", &vmci_kernel, 4294967294U, 4294967294U, ""},
        {"embedded:101:80", &vmci_embedded, 101, 80, ""},
        {"embedded:5672", &vmci_embedded, VMCI_CID_ANY, 5672, ""},
        {"embedded:any:5672", &vmci_embedded, VMCI_CID_ANY, 5672, ""},
        {"hybrid:/run/vms/*/v.sock:5672", &vmci_hybrid, VMCI_CID_ANY, 5672, "/run/vms/*/v.sock"},
        {"hybrid:/v:1", &vmci_hybrid, VMCI_CID_ANY, 1, "/v"},
        {"hybrid:/a:b/c:7", &vmci_hybrid, VMCI_CID_ANY, 7, "/a:b/c"},
    };
    char err[TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vmci_endpoint endpoint;

        assert_int_equal(vmci_endpoint_parse(&endpoint, cases[i].text, err, sizeof(err)), 0);
        assert_ptr_equal(endpoint.transport, cases[i].transport);
        assert_int_equal(endpoint.cid, cases[i].cid);
        assert_int_equal(endpoint.port, cases[i].port);
        assert_string_equal(endpoint.path, cases[i].path);
    }
}

static void test_bad_endpoints(void **state)
{
    static const struct {
        const char *text;
        const char *says; /* part of the error */
    } cases[] = {
        {"", "expected vsock:CID:PORT"},
        {"5672", "expected vsock:CID:PORT"},
        {"vsok:2:5672", "\"vsok:2:5672\""},
        {"vsoc:2:5672", "expected vsock:CID:PORT"},
        {"VSOCK:2:5672", "expected vsock:CID:PORT"},
        {":2:5672", "expected vsock:CID:PORT"},
        {"vsock", "expected vsock:CID:PORT"},
        {"vsock:", "expected vsock:CID:PORT"},
        {"vsock:5672", "expected vsock:CID:PORT"},
        {"vsock::5672", "CID \"\""},
        {"vsock:2:", "port \"\""},
        {"vsock:2:0", "from 1 to 4294967294"},
        {"vsock:2:5672 ", "port \"5672 \""},
        {"vsock:2:5672:1", "port \"5672:1\""},
        {"vsock:-1:5672", "CID \"-1\""},
        {"vsock:+2:5672", "CID \"+2\""},
        {"vsock:02:5672", "CID \"02\""},
        {"vsock:0x2:5672", "CID \"0x2\""},
        {"vsock:host:5672", "or any"},
        {"vsock:ANY:5672", "CID \"ANY\""},
        {"vsock:2:any", "port \"any\""},
        {"vsock:4294967295:1", "CID \"4294967295\""},
        {"vsock:2:4294967295", "port \"4294967295\""},
        {"vsock:2:4294967297", "port"},
        {"vsock:2:18446744073709551617", "port"},
        {"embedded:", "port \"\""},
        {"embedded:x", "port \"x\""},
        {"embedded:2:70000x", "port \"70000x\""},
        {"hybrid:", "expected hybrid:GLOB:PORT"},
        {"hybrid:/run/v.sock", "expected hybrid:GLOB:PORT"},
        {"hybrid:/run/v.sock:", "port \"\""},
        {"hybrid::5672", "start with /"},
        {"hybrid:run/v.sock:5672", "start with /"},
        {"hybrid:/:5672", "no empty"},
        {"hybrid:/run//v.sock:5672", "no empty"},
        {"hybrid:/run/v.sock/:5672", "no empty"},
        {"hybrid:/run/./v.sock:5672", "no empty"},
        {"hybrid:/run/../v.sock:5672", "no empty"},
        {"hybrid:/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5:1", "at most 24"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vmci_endpoint endpoint;
        char err[TEXT_SIZE] = "";

        assert_int_equal(vmci_endpoint_parse(&endpoint, cases[i].text, err, sizeof(err)), -EINVAL);
        if (!strstr(err, cases[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].text, err, cases[i].says);
    }
}

static void test_long_path(void **state)
{
    struct vmci_endpoint endpoint;
    char text[TEXT_SIZE];
    char path[VMCI_ENDPOINT_PATH_SIZE + 1];
    char err[TEXT_SIZE];

    (void)state;
    memset(path, 'p', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    (void)snprintf(text, sizeof(text), "hybrid:%s:1", path);
    assert_int_equal(vmci_endpoint_parse(&endpoint, text, err, sizeof(err)), -EINVAL);
    assert_non_null(strstr(err, "at most 255"));

    path[sizeof(path) - 2] = '\0';
    (void)snprintf(text, sizeof(text), "hybrid:%s:1", path);
    assert_int_equal(vmci_endpoint_parse(&endpoint, text, err, sizeof(err)), 0);
    assert_string_equal(endpoint.path, path);
    assert_int_equal(vmci_endpoint_can_connect(&endpoint, err, sizeof(err)), -EINVAL);
    assert_non_null(strstr(err, "at most 107"));
}

static void test_errors_are_cut_to_the_buffer(void **state)
{
    struct vmci_endpoint endpoint;
    char err[8] = "1234567";

    (void)state;
    assert_int_equal(vmci_endpoint_parse(&endpoint, "vsock:2:x", NULL, 0), -EINVAL);
    assert_int_equal(vmci_endpoint_parse(&endpoint, "vsock:2:x", err, 5), -EINVAL);
    assert_memory_equal(err, "port\00067", 8);
}

static void test_roles(void **state)
{
    static const struct {
        const char *text;
        bool listen;
        bool connect;
    } cases[] = {
        {"vsock:2:5672", true, true},
        {"vsock:any:5672", true, false},
        {"embedded:2:5672", true, true},
        {"embedded:5672", true, false},
        {"hybrid:/run/a/v.sock:1", true, true},
        {"hybrid:/run/*/v.sock:1", true, false},
        {"hybrid:/run/a?/v.sock:1", true, false},
        {"hybrid:/run/a/[v].sock:1", true, false},
    };
    char err[TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct vmci_endpoint endpoint = scratch_endpoint("%s", cases[i].text);

        assert_int_equal(vmci_endpoint_can_listen(&endpoint, err, sizeof(err)),
                         cases[i].listen ? 0 : -EINVAL);
        err[0] = '\0';
        assert_int_equal(vmci_endpoint_can_connect(&endpoint, err, sizeof(err)),
                         cases[i].connect ? 0 : -EINVAL);
        assert_int_equal(cases[i].connect, strstr(err, "can only be listened on") == NULL);
    }
}

static void test_connect_refuses_what_can_only_listen(void **state)
{
    const struct vmci_endpoint endpoint = scratch_endpoint("embedded:5672");
    const struct vmci_settings settings = {0};
    struct vmci_connector *connector = (void *)&settings;
    char err[TEXT_SIZE];

    (void)state;
    assert_int_equal(vmci_connect(&endpoint, &settings, &connector, err, sizeof(err)), -EINVAL);
    assert_null(connector);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_endpoints), cmocka_unit_test(test_bad_endpoints),
        cmocka_unit_test(test_long_path),      cmocka_unit_test(test_errors_are_cut_to_the_buffer),
        cmocka_unit_test(test_roles),          cmocka_unit_test(test_connect_refuses_what_can_only_listen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
