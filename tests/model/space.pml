/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Space in a ring (src/shm/ring.c): ring_tx_fits(), ring_tx_want(),
 * ring_tx_unwant(), ring_tx_half_free(), ring_tx_publish(), ring_rx_release():
 * a producer whose record does not fit asks to be rung when half of the ring
 * is free; the consumer, after each release, looks whether somebody asks.
 * Records are of one or two units in a ring of four and never go over its end,
 * so that half free is not always enough.  Stores wait in buffers as in
 * bell.pml.  That the consumer learns of records is bell.pml's subject; here
 * it sees them when they are in memory.
 *
 * Checked: the producer always ends; positions stay within the ring's size.
 *
 * Broken on purpose, each must be found:
 *	PRODUCER_NO_FENCE  looks again before its wish can be seen
 *	CONSUMER_NO_FENCE  looks for wishes before its release can be seen
 *	NO_SECOND_LOOK     sleeps without looking again
 *	SAME_COUNT         asks again with the same count, rung already
 *	UNPUBLISHED        sleeps with records that nobody can see
 */
#define SIZE 4
#define RECORDS 6

byte produced, consumed, wants;
byte produced_new, consumed_new, wants_new;
bool produced_wait, consumed_wait, wants_wait;

bool edge; /* the producer's bell */

/* At a full fence. */
inline arrive_producer()
{
	if
	:: produced_wait -> produced = produced_new; produced_wait = false
	:: else
	fi;
	if
	:: wants_wait -> wants = wants_new; wants_wait = false
	:: else
	fi
}

active proctype memory()
{
end:	do
	:: atomic { produced_wait ->
		produced = produced_new; produced_wait = false }
	:: atomic { wants_wait ->
		wants = wants_new; wants_wait = false }
	:: atomic { consumed_wait ->
		consumed = consumed_new; consumed_wait = false }
	od
}

/* Bytes that a record of `units` takes, with its pad. */
#define TO_END (SIZE - head % SIZE)
#define TAKES (units > TO_END -> units + TO_END : units)
#define FITS (TAKES <= SIZE - (head - consumed))

inline publish()
{
	atomic { produced_new = head; produced_wait = true }
}

active proctype producer()
{
	byte head = 0, units = 0, n = 0, count = 0;

	do
	:: n < RECORDS ->
		if
		:: units = 1
		:: units = 2
		fi;
		do
		:: FITS -> break
		:: else ->
#ifndef UNPUBLISHED
			publish();
#endif
#ifdef SAME_COUNT
			count = 1;
#else
			count = (count % 2 == 1 -> count + 2 : count + 1);
#endif
			atomic { wants_new = count; wants_wait = true };
#ifndef PRODUCER_NO_FENCE
			atomic { arrive_producer() };
#endif
			if
#ifndef NO_SECOND_LOOK
			:: FITS -> break
#endif
			:: else -> atomic { edge -> edge = false }
			fi
		od;
#ifndef SAME_COUNT
		if
		:: count % 2 == 1 ->
			count++;
			atomic { wants_new = count; wants_wait = true }
		:: else
		fi;
#endif
		head = head + TAKES;
		n++;
		assert(head - consumed <= SIZE);
		if
		:: publish() /* now */
		:: skip /* or with the next ones */
		fi
	:: n == RECORDS -> break
	od;
	publish()
}

active proctype consumer()
{
	byte tail = 0, seen = 0, wish = 0, rung = 0;

end:	do
	:: produced != tail -> /* not the newest when it is used */
		seen = produced;
		assert(seen > tail && seen - tail <= SIZE);
		/* Takes one unit or all of them before it gives space back.
		 * (That units are not records only adds orders.) */
		if
		:: tail++
		:: tail = seen
		fi;
		atomic { consumed_new = tail; consumed_wait = true };
#ifndef CONSUMER_NO_FENCE
		atomic {
			if
			:: consumed_wait ->
				consumed = consumed_new;
				consumed_wait = false
			:: else
			fi
		};
#endif
		wish = wants;
		if
		:: wish % 2 == 1 && wish != rung && seen - tail <= SIZE / 2 ->
			rung = wish;
			edge = true
		:: else
		fi
	od
}
