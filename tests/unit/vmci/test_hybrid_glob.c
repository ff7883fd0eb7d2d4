/* SPDX-License-Identifier: Apache-2.0 */
/* Globs of hybrid endpoints: components, matches, what the wildcards stand for. */
#include "scratch.h"

#include <errno.h>
#include <string.h>

#include "vmci/hybrid_glob.h"

static struct vmci_glob compile(const char *path)
{
    char text[TEXT_SIZE];
    const struct vmci_err err = {text, sizeof(text)};
    struct vmci_glob glob;

    assert_int_equal(vmci_glob_compile(&glob, path, &err), 0);
    return glob;
}

static void test_components(void **state)
{
    const struct vmci_glob glob = compile("/run/vms/*/v.sock");
    const struct vmci_glob plain = compile("/v.sock");

    (void)state;
    assert_int_equal(glob.depth, 4);
    assert_string_equal(vmci_glob_part(&glob, 0), "run");
    assert_string_equal(vmci_glob_part(&glob, 2), "*");
    assert_string_equal(vmci_glob_part(&glob, 3), "v.sock");
    assert_int_equal(glob.first_wild, 2);
    assert_true(vmci_glob_is_wild(&glob, 2));
    assert_false(vmci_glob_is_wild(&glob, 3));
    assert_int_equal(plain.depth, 1);
    assert_int_equal(plain.first_wild, 1);
}

static void test_matches(void **state)
{
    static const struct {
        const char *glob;
        const char *name;
        bool matches;
    } cases[] = {
        {"/v.sock", "v.sock", true}, {"/v.sock", "v-sock", false}, {"/v.sock", "v.sock_1", false},
        {"/*", "vm", true},          {"/*", ".hidden", false},     {"/.*", ".hidden", true},
        {"/vm?", "vm1", true},       {"/vm?", "vm12", false},      {"/vm[12]", "vm2", true},
        {"/vm[12]", "vm3", false},   {"/*.sock", "a.sock", true},  {"/*.sock", "a.sock_5", false},
        {"/a\\*", "a\\b", true},     {"/a\\*", "a*", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct vmci_glob glob = compile(cases[i].glob);

        if (vmci_glob_matches(&glob, 0, cases[i].name) != cases[i].matches)
            fail_msg("%s and %s", cases[i].glob, cases[i].name);
    }
}

static void test_what_matched(void **state)
{
    static const struct {
        const char *glob;
        const char *name;
        const char *matched;
    } cases[] = {
        {"/*", "vm1", "vm1"},           {"/*.sock", "vm1.sock", "vm1"}, {"/vm-*", "vm-7", "7"},
        {"/vm-*.sock", "vm-.sock", ""}, {"/*-*", "a-b", "a-b"},         {"/vm?", "vm1", "vm1"},
        {"/vm*[12]", "vm-1", "vm-1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct vmci_glob glob = compile(cases[i].glob);
        const char *start;
        size_t length;

        assert_true(vmci_glob_matches(&glob, 0, cases[i].name));
        vmci_glob_matched(&glob, 0, cases[i].name, &start, &length);
        assert_int_equal(length, strlen(cases[i].matched));
        assert_memory_equal(start, cases[i].matched, length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_components),
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_what_matched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
