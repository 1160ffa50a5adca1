/* SPDX-License-Identifier: BSD-2-Clause */
/* The grammar of natsd.conf; the only module that knows libconfuse. */
#ifndef CONF_SCHEMA_H
#define CONF_SCHEMA_H

struct draft;
struct prep;
struct report;

/*
 * Parses the text of prep into *d, which holds the defaults again first.
 * Adds all errors of values and names to `report`; an error of syntax is the
 * last one, and the result is then -1.  May blank statements of unknown
 * options in prep.  Not reentrant.
 */
int schema_parse(struct prep *prep, struct report *report, struct draft *d);

#endif
