/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_CONFIG_VALUE_H
#define SERVICE_CONFIG_VALUE_H

/* One value of a setting: from text, into the config, and what is said about it. */

#include "service/config.h"

#define CONFIG_WHY_MAX 256 /* bytes of a reason, NUL included */

/*
 * Reads the text by the setting's type, range and check; *number is then what it means (types with text: 0).
 * 0, or -EINVAL with the reason in `why`, of CONFIG_WHY_MAX bytes.
 */
int config_value_parse(const struct config_setting *setting, const char *text, uint64_t *number, char *why);

/* Puts a value that config_value_parse approved into `owner`'s member; an item is added to a list. 0 or
 * -ENOMEM. */
int config_value_store(const struct config_setting *setting, void *owner, const char *text, uint64_t number);

/* Makes the member empty, whatever it holds. */
void config_value_clear(const struct config_setting *setting, void *owner);

/* Frees what the member holds and makes it empty. */
void config_value_free(const struct config_setting *setting, void *owner);

/* Writes what the type and range allow: "a number from 1 to 65535", "error, warning, info or debug". */
void config_value_expected(const struct config_setting *setting, char *text, size_t size);

/* Writes the range alone, "1 to 65535", "at least 100ms"; "" when there is none. */
void config_value_range(const struct config_setting *setting, char *text, size_t size);

/* What help calls the value: "ADDRESS", "NUMBER"; "" for a bool, which is a flag alone. */
const char *config_value_metavar(const struct config_setting *setting);

#endif
