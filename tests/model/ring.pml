/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes through a ring (src/shm/ring.c, ring.h): ring_tx_attach(),
 * ring_tx_fits(), ring_tx_look(), ring_tx_quiet(), ring_tx_reserve(),
 * ring_tx_commit(), ring_tx_publish(), ring_tx_trim(),
 * ring_tx_peer_changed(), ring_rx_attach(), ring_rx_look(), ring_rx_next(),
 * ring_rx_release(), ring_rx_peer_changed(), and what a worker adds
 * (src/worker/peer.c): take() looks at the incarnation that a record is
 * stamped for, peer_gone() drains once more, peer_come() and peer_publish().
 *
 * A ring of four units; records of one or two, with a pad where they would go
 * over the end, or where a quiet ring starts again.  One producer and one
 * consumer; each may die once, between any two of its stores, and then has a
 * successor.  The successor of the consumer begins while the producer may
 * still write for the dead one (that the master waits longer is live.pml's
 * subject).  A producer may leave a position that makes no sense, unless both
 * are replaced at the same time: then its successor and the consumer's may
 * disagree about it, which costs that pair another replacement.  To sleep
 * until there is space is space.pml's subject: here the producer sees it.
 *
 * Memory: each store waits in a place of its own and arrives at any later
 * moment, in any order, as on processors that keep no order of stores; but a
 * release store after all that were made before it.  The loads of a processor
 * without acquire come in any order: see NO_ACQUIRE.  The kernel makes the
 * stores of a dead process arrive.
 *
 * Checked: the consumer in whose time a record was published, and for whom it
 * was, gets it once, in order, whole (a unit of another record or of none in
 * its place is found); nobody gets what was for another; positions stay in
 * [consumed, consumed + size] unless a dead producer left others, and are good
 * again with its successor; nobody waits for ever.
 *
 * Broken on purpose, each must be found:
 *	NO_RELEASE         produced may arrive before the records' bytes
 *	NO_ACQUIRE         the record may be read before the position
 *	PUBLISH_EARLY      produced is stored before the record is written
 *	CONSUMED_EARLY     space is given back before the record is used
 *	OVER_FULL          writes without a look at consumed
 *	QUIET_TOO_LARGE    pads to the start without a look at what that takes
 *	PRODUCED_RESTART   a producer's successor begins at 0
 *	CONSUMED_RESTART   a consumer's successor begins at 0
 *	NO_RANGE_CHECK     a producer's successor goes on from any position
 *	NO_INCARNATION     takes what was meant for its predecessor
 *	TRIM_EARLY         gives pages back without a look at consumed
 */
#define SIZE 4
#define RECORDS 3

/* A unit: number of the record (0: a pad), for whom, and units of the whole
 * record, or 0 if it is not its first. */
#define UNIT(n, to, units) ((n) * 16 + (to) * 4 + (units))
#define NUMBER(u) ((u) >> 4)
#define FOR(u) (((u) >> 2) & 3)
#define UNITS(u) ((u) & 3)

byte cell[SIZE], cell_new[SIZE], cell_wait; /* bits: which ones wait */
byte produced, produced_new, produced_after; /* bits: cells before it */
bool produced_wait;
byte consumed, consumed_new;
bool consumed_wait;

byte live = 1; /* incarnation of the consumer that serves, 0: none */
byte serves; /* incarnation of the producer that does */
bool gone; /* the first producer is dead */
bool gone_seen; /* and the consumer has drained what it left */
bool wild; /* it has left a wrong position, not yet put right */
bool was_wild;
bool done; /* the last producer has nothing more to send */

/* What the checks need: numbers of records made, and bits of those that are
 * published and not yet taken, by whom they are for. */
byte made;
byte owed[3];
bool consumer_died;

#define WITHIN(pos, from) ((pos) >= (from) && (pos) - (from) <= SIZE)

inline arrive_cell(i)
{
	if
	:: cell_wait & (1 << (i)) ->
		cell[i] = cell_new[i];
		cell_new[i] = 0;
		cell_wait = cell_wait & (255 - (1 << (i)))
	:: else
	fi
}

/* With all that a release store comes after. */
inline arrive_produced()
{
	if
	:: produced_wait ->
		if
		:: produced_after & 1 -> arrive_cell(0)
		:: else
		fi;
		if
		:: produced_after & 2 -> arrive_cell(1)
		:: else
		fi;
		if
		:: produced_after & 4 -> arrive_cell(2)
		:: else
		fi;
		if
		:: produced_after & 8 -> arrive_cell(3)
		:: else
		fi;
		produced = produced_new;
		produced_new = 0;
		produced_after = 0;
		produced_wait = false
	:: else
	fi
}

inline arrive_consumed()
{
	if
	:: consumed_wait ->
		/* Nobody may look there any more. */
		do
		:: consumed < consumed_new ->
			cell[consumed % SIZE] = 0;
			consumed++
		:: else -> break
		od;
		consumed = consumed_new;
		consumed_new = 0;
		consumed_wait = false
	:: else
	fi
}

/* Whether a store has arrived matters to nobody before he loads the word: so
 * it is decided then.  Who waits for a change sees it at last. */
inline load_produced(to)
{
	atomic {
		if
		:: d_step { produced_wait -> arrive_produced() }
		:: true
		fi;
		to = produced
	}
}

inline load_consumed(to)
{
	atomic {
		if
		:: d_step { consumed_wait -> arrive_consumed() }
		:: true
		fi;
		to = consumed
	}
}

inline load_cell(i, to)
{
	atomic {
		if
		:: d_step { cell_wait & (1 << (i)) -> arrive_cell(i) }
		:: true
		fi;
		to = cell[i]
	}
}

/* ---- the producer ---- */

inline store_cell(i, value)
{
	d_step {
		arrive_cell(i); /* one before the other, of one word */
		cell_new[i] = value;
		cell_wait = cell_wait | (1 << (i))
	}
}

inline store_produced(value)
{
	d_step {
		arrive_produced();
		produced_new = value;
		produced_wait = true;
#ifndef NO_RELEASE
		produced_after = cell_wait;
#endif
		owed[1] = owed[1] | fresh[1];
		owed[2] = owed[2] | fresh[2];
		fresh[1] = 0;
		fresh[2] = 0
	}
}

/* Not if both are about to be replaced, see above. */
#define WILD_ALLOWED (!consumer_died || live == 2)

#define TO_END (SIZE - head % SIZE)
#define TAKES (units > TO_END -> units + TO_END : units)
/* ring_tx_quiet(): nothing is in flight. */
#define SEES_QUIET (consumed == head || (consumed_wait && consumed_new == head))
#ifdef QUIET_TOO_LARGE
#define QUIET_TAKES units
#else
#define QUIET_TAKES (TO_END + units)
#endif
#ifdef TRIM_EARLY
#define SEES_EMPTY (head == produced)
#else
#define SEES_EMPTY SEES_QUIET
#endif
#define FITS (TAKES <= SIZE - (head - copy))

inline may_die()
{
	if
	:: life == 1 -> goto dies
	:: true
	fi
}

proctype producer(byte life)
{
	byte head, copy, units, at, to = 1;
	byte fresh[3]; /* bits of records that are not published */

	/* ring_tx_attach() */
	head = produced;
	load_consumed(copy);
#ifdef PRODUCED_RESTART
	if
	:: life == 2 -> head = 0; store_produced(0)
	:: else
	fi;
#endif
#ifndef NO_RANGE_CHECK
	if
	:: !WITHIN(head, copy) ->
		assert(wild);
		head = copy;
		store_produced(head)
	:: else
	fi;
#endif
	/* The master sets the live bit. */
	atomic {
		arrive_produced();
		wild = false;
		serves = life
	};
	do
	:: made < RECORDS ->
		atomic {
			/* peer_look(), at some time */
			if
			:: live > to -> to = live; load_consumed(copy)
			:: true
			fi;
			if
			:: units = 1
			:: units = 2
			fi
		};
		do
		:: FITS -> break
#ifdef OVER_FULL
		:: else -> break
#else
		:: else ->
			store_produced(head);
			atomic {
				consumed != copy || consumed_wait ->
				d_step { arrive_consumed(); copy = consumed }
			};
			assert(copy <= head)
#endif
		od;
		/* ring_tx_trim(): by what it loads, not by its copy */
		if
		:: d_step {
			SEES_EMPTY && cell_wait == 0 ->
			arrive_consumed();
			copy = consumed;
			cell[0] = 0; cell[1] = 0; cell[2] = 0; cell[3] = 0
		   }
		:: true
		fi;
		at = head;
		if
		:: d_step {
			SEES_QUIET && head % SIZE != 0 && units <= TO_END &&
			    QUIET_TAKES <= SIZE ->
			arrive_consumed();
			copy = head;
			at = at + TO_END
		   }
		:: units > TO_END -> at = at + TO_END
		:: units <= TO_END
		fi;
		if
		:: at != head ->
			store_cell(head % SIZE, UNIT(0, 0, TO_END));
			may_die()
		:: else
		fi;
#ifdef PUBLISH_EARLY
		head = at + units;
		store_produced(head);
#endif
		if
		:: units == 2 ->
			store_cell((at + 1) % SIZE, UNIT(made + 1, to, 0));
			may_die()
		:: else
		fi;
		/* ring_tx_commit() */
		d_step {
			made++;
			arrive_cell(at % SIZE);
			cell_new[at % SIZE] = UNIT(made, to, units);
			cell_wait = cell_wait | (1 << (at % SIZE));
			fresh[to] = fresh[to] | (1 << made);
			head = at + units;
			units = 0;
			at = 0
		};
		may_die();
		if
		:: store_produced(head); /* now */
			may_die()
		:: true /* or with the next ones */
		fi
	:: made == RECORDS -> break
	od;
	store_produced(head);
	done = true;
	goto out;
dies:	atomic {
		d_step {
			arrive_cell(0);
			arrive_cell(1);
			arrive_cell(2);
			arrive_cell(3);
			arrive_produced()
		};
		if
		:: WILD_ALLOWED -> produced = head + SIZE + 1; wild = true
		:: WILD_ALLOWED && head > 0 && consumed == head ->
			produced = head - 1; wild = true
		:: true
		fi;
		d_step {
			was_wild = wild;
			gone = true;
			/* What is not published is nothing. */
			if
			:: !wild ->
				do
				:: at < SIZE &&
				    produced + at - consumed < SIZE ->
					cell[(produced + at) % SIZE] = 0;
					at++
				:: else -> break
				od
			:: else
			fi;
			at = 0; head = 0; copy = 0; units = 0; to = 0;
			fresh[1] = 0; fresh[2] = 0
		}
	};
	/* Nobody follows in this slot before all have seen it. */
	atomic { gone_seen -> run producer(2) };
out:	skip
}

/* ---- the consumer ---- */

inline store_consumed(value)
{
	d_step { arrive_consumed(); consumed_new = value; consumed_wait = true }
}

inline may_die_too()
{
	if
	:: life == 1 && !was_wild -> goto dies
	:: true
	fi
}

#ifdef NO_ACQUIRE
#define load_unit(i, to) to = early[i]
#else
#define load_unit(i, to) load_cell(i, to)
#endif

/* The record at tail; its units are loaded one after the other. */
inline next_record()
{
	load_unit(tail % SIZE, unit);
	atomic {
		assert(UNITS(unit) > 0 && UNITS(unit) <= limit - tail &&
		    UNITS(unit) <= SIZE - tail % SIZE);
		if
		:: NUMBER(unit) == 0 ->
			assert(UNITS(unit) == SIZE - tail % SIZE)
		:: else ->
			assert(UNITS(unit) <= SIZE / 2);
			if
			:: UNITS(unit) == 2 ->
				load_unit((tail + 1) % SIZE, second);
				assert(NUMBER(second) == NUMBER(unit) &&
				    UNITS(second) == 0);
				second = 0
			:: else
			fi;
			take()
		fi;
		tail = tail + UNITS(unit);
		unit = 0
	}
}

inline take()
{
	if
#ifndef NO_INCARNATION
	:: FOR(unit) != life /* our predecessor's */
#endif
	:: else -> d_step {
		assert(FOR(unit) == life);
		/* It is owed, and none before it is. */
		assert(owed[life] & (1 << NUMBER(unit)));
		assert((owed[life] & ((1 << NUMBER(unit)) - 1)) == 0);
		owed[life] = owed[life] & (255 - (1 << NUMBER(unit)))
	   }
	fi
}

/* ring_rx_look(), ring_rx_next(), ring_rx_release() */
inline drain()
{
#ifdef NO_ACQUIRE
	load_cell(0, early[0]);
	load_cell(1, early[1]);
	load_cell(2, early[2]);
	load_cell(3, early[3]);
#endif
	load_produced(limit);
	if
	:: !WITHIN(limit, tail) ->
		assert(wild);
		broken = true
	:: else ->
#ifdef CONSUMED_EARLY
		store_consumed(limit);
#endif
		do
		:: tail != limit ->
			next_record();
			may_die_too();
			if
			:: store_consumed(tail); may_die_too()
			:: true
			fi
		:: else -> break
		od;
		store_consumed(tail)
	fi;
	limit = 0
}

proctype consumer(byte life)
{
	byte tail, limit, unit, second;
	bool broken = false;
#ifdef NO_ACQUIRE
	byte early[SIZE];
#endif

	if
	:: life == 1
	:: else ->
		/* ring_rx_attach(): what lies before was its predecessor's. */
		load_produced(tail);
#ifdef CONSUMED_RESTART
		tail = 0;
#endif
		store_consumed(tail);
		/* The master sets the live bit. */
		d_step { arrive_consumed(); live = life; gone_seen = gone }
	fi;
	do
	:: (produced != tail || produced_wait) && !broken &&
	    (!gone_seen || serves == 2) ->
		drain();
		may_die_too()
	:: gone && !gone_seen ->
		/* peer_gone(), ring_rx_peer_changed() */
		if
		:: !broken -> drain()
		:: else
		fi;
		if
		:: broken ->
			/* What else it had published is lost with it. */
			owed[life] = 0;
			if
			:: WITHIN(produced, tail) -> tail = produced
			:: else
			fi;
			broken = false;
			store_consumed(tail)
		:: else
		fi;
		/* It goes on, and the master sees that. */
		d_step { arrive_consumed(); gone_seen = true }
	:: atomic { done && produced == tail && !produced_wait -> break }
	od;
	assert(owed[life] == 0);
	goto out;
dies:	atomic {
		d_step { arrive_consumed() };
		consumer_died = true;
		tail = 0; limit = 0; unit = 0;
		owed[life] = 0;
		live = 0;
		run consumer(2)
	};
out:	skip
}

init {
	atomic { run consumer(1); run producer(1) }
}
