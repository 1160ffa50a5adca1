/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bell (src/shm/bell.c): bell_arm(), bell_disarm(), bell_fence(),
 * bell_ring_nofence(), bell_ring_always(), with ring_tx_publish() before and
 * ring_rx_pending() as the second look.  Two wakers, one sleeper, and the
 * master, which rings when a waker has died.  Each store first stands in a
 * buffer of its processor and reaches memory at some later moment, or at a
 * full fence; so a look may overtake a store, as on real machines.
 *
 * Checked: the sleeper gets all that the living have sent and learns of every
 * death, that is, it never waits for a bell that nobody will ring.  There is
 * no time-out in the model: the one second in the code is for others' malice,
 * not for this.
 *
 * Broken on purpose, each must be found:
 *	SLEEPER_NO_FENCE  looks again before its count can be seen
 *	WAKER_NO_FENCE    looks at the count before its record can be seen
 *	NO_SECOND_LOOK    sleeps without looking again
 *	SAME_COUNT        arms with the same count each time
 *	MASTER_SILENT     does not ring for the dead
 */
#define WAKERS 2
#define MESSAGES 2

/* Memory and the buffers in front of it. */
byte produced[WAKERS], asleep;
byte produced_new[WAKERS], asleep_new;
bool produced_wait[WAKERS], asleep_wait;

bool edge; /* what epoll_wait() waits for */
bool gone[WAKERS]; /* the live bit is cleared */

inline arrive_produced(i)
{
	produced[i] = produced_new[i];
	produced_wait[i] = false
}

inline arrive_asleep()
{
	asleep = asleep_new;
	asleep_wait = false
}

/* Stores reach memory when they like. */
active proctype memory()
{
end:	do
	:: atomic { produced_wait[0] -> arrive_produced(0) }
	:: atomic { produced_wait[1] -> arrive_produced(1) }
	:: atomic { asleep_wait -> arrive_asleep() }
	od
}

proctype waker(byte i)
{
	byte n = 0, seen = 0, rung = 0;

	do
	:: n < MESSAGES ->
		n++;
		atomic { produced_new[i] = n; produced_wait[i] = true };
		if
		:: i == 1 -> goto dies /* the other one has all to do */
		:: skip
		fi;
#ifndef WAKER_NO_FENCE
		atomic {
			if
			:: produced_wait[i] -> arrive_produced(i)
			:: else
			fi
		};
#endif
		seen = asleep;
		if
		:: seen % 2 == 1 && seen != rung ->
			rung = seen;
			if
			:: i == 1 -> goto dies
			:: skip
			fi;
			edge = true
		:: else
		fi
	:: n == MESSAGES -> goto lives
	od;
dies:	/* The kernel's business is done, the master reaps it. */
	atomic {
		if
		:: produced_wait[i] -> arrive_produced(i)
		:: else
		fi
	};
	gone[i] = true;
#ifndef MASTER_SILENT
	edge = true;
#endif
lives:	skip
}

inline drain()
{
	known[0] = gone[0];
	known[1] = gone[1];
	taken[0] = produced[0];
	taken[1] = produced[1]
}

inline store_asleep(value)
{
	atomic { asleep_new = value; asleep_wait = true }
}

active proctype sleeper()
{
	byte taken[WAKERS], count = 0;
	bool known[WAKERS];

	atomic { run waker(0); run waker(1) };
	do
	:: true ->
		drain();
		if
		:: taken[0] == MESSAGES && (taken[1] == MESSAGES || known[1]) ->
			break
		:: else
		fi;
#ifdef SAME_COUNT
		count = 1;
#else
		count = ((count + 1) % 2 == 1 -> count + 1 : count + 2);
#endif
		store_asleep(count);
#ifndef SLEEPER_NO_FENCE
		atomic {
			if
			:: asleep_wait -> arrive_asleep()
			:: else
			fi
		};
#endif
		if
#ifndef NO_SECOND_LOOK
		:: produced[0] != taken[0] || produced[1] != taken[1] ||
		    gone[0] != known[0] || gone[1] != known[1] -> skip
#endif
		:: else ->
			/* Nothing to do until somebody rings. */
			atomic { edge -> edge = false }
		fi;
#ifdef SAME_COUNT
		count = 0;
#else
		count++;
#endif
		store_asleep(count)
	od;
	assert(taken[0] == produced[0] && taken[1] == produced[1])
}
