/* SPDX-License-Identifier: BSD-2-Clause */
/* Checks of options against each other and against the host. */
#ifndef CONF_CHECK_H
#define CONF_CHECK_H

#include <stdint.h>

struct draft;
struct opt;
struct prep;
struct report;

/*
 * Checks a configuration to which the command line was applied.  Options that
 * are bad already are left out.  prep is NULL if there was no file.
 */
void check_draft(const struct draft *d, const struct prep *prep,
    struct report *report);

#endif
