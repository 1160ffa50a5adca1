/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Protocol traces: `<<- [PUB foo 5]`, `->> [MSG foo 1 5]`, payloads cut,
 * secrets never shown.
 */
#include <config.h>

#include <stdarg.h>
#include <stdio.h>

#include "worker/worker_priv.h"

#define TRACE_LINE 512

void
trace_in(const struct worker *w, const struct client *c, const char *verb,
    const char *fmt, ...)
{
	char text[TRACE_LINE];
	va_list ap;

	text[0] = '\0';
	if (fmt != NULL) {
		va_start(ap, fmt);
		(void)vsnprintf(text, sizeof text, fmt, ap);
		va_end(ap);
	}
	log_trace("%s - <<- [%s%s%s]", client_name(w, c), verb,
	    text[0] == '\0' ? "" : " ", text);
}

void
trace_payload(const struct worker *w, const struct client *c,
    const char *dir, const uint8_t *p, size_t len)
{
	size_t show = len, most = w->conf.max_traced_msg_len;

	if (most == 0 || most > 1024)
		most = 1024; /* a line of the log holds no more */
	if (show > most)
		show = most;
	log_trace("%s - %s MSG_PAYLOAD: [\"%.*s\"%s]", client_name(w, c),
	    dir, (int)show, (const char *)p, show < len ? "..." : "");
}

void
trace_out(const struct worker *w, const struct client *c,
    const uint8_t *line, size_t len)
{
	log_trace("%s - ->> [%.*s]", client_name(w, c),
	    (int)(len < TRACE_LINE ? len : TRACE_LINE), (const char *)line);
}
