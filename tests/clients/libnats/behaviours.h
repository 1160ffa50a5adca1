/* SPDX-License-Identifier: BSD-2-Clause */
/* What the behaviours have in common. */
#ifndef BEHAVIOURS_H
#define BEHAVIOURS_H

#include <nats/nats.h>

#include <stdatomic.h>
#include <stdbool.h>

enum {
	CONNECTIONS = 6,
	TIMEOUT_MS = 30000
};

/* Leaves a behaviour with the reason unless the library says NATS_OK. */
#define TRY(call)                                                          \
	do {                                                               \
		natsStatus status_ = (call);                               \
		if (status_ != NATS_OK)                                    \
			return fail("%s: %s", #call,                       \
			    natsStatus_GetText(status_));                  \
	} while (0)

struct behaviour {
	const char *name;
	bool (*run)(void);
};

extern const char *url;	/* of the main server */
extern natsConnection *conns[CONNECTIONS];	/* to it */

/* Ends with one that has no name. */
extern const struct behaviour depth[];

/* Notes the reason; false. */
bool fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Waits until a counter that callbacks move has reached a value. */
bool reaches(atomic_int *counter, int value, const char *what);
/* The message's payload as text, until the next call. */
const char *text(natsMsg *msg);
/* The barrier: what went before it on any of conns is in force. */
bool flush(void);
/* Takes apart what a behaviour in depth has opened. */
void put_away(void);

#endif
