/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A slot from the death of its process to the next one in it: the master
 * slots_set_dead(), slots_set_live(), slots_set_spare(), zones_ring_bells(),
 * open_grave(), look_at_grave(), close_grave(), zones_clear_slot(); a worker
 * iteration(), wait_for_events(), peer_look(), match_look(), refresh(),
 * peer_gone(), peer_come(), peer_drain(), drain(), quiesce_pass(),
 * quiesce_offline(), quiesce_online(), bell_arm(), peer_pending() (src/master/
 * reap.c, zones.c, src/shm/slots.c, quiesce.c, src/worker/worker.c, peer.c,
 * match.c).
 *
 * The slot D has a process with a subscription, which publishes two records
 * for a worker and dies at any moment; later another process serves in D, and
 * one more record comes.  The worker goes round and round: it passes a
 * quiescent state or sleeps until a bell rings, looks who is there, drains D's
 * ring, reads messages, each time with a look at membership, live word and
 * bumps, matches by a kept result or by a walk of D's index, and sends to D.
 * The successor in another slot is no one's business here.  One worker is
 * enough: the master waits for each by itself.
 *
 * Memory: the master's stores of live word and membership, and the worker's
 * stores of its counter, arrive at any later moment (when somebody loads the
 * word, which is soon enough), release stores after those before them.
 *
 * Checked: nobody looks at a zone that has been emptied before the next
 * process is live; all that D has published was drained before that; who has
 * seen the live bit cleared matches and sends nothing to D any more, until
 * the next process is live, and then not by what it kept; when the slot is
 * spare the worker has forgotten D; nobody sleeps over a change.
 *
 * Broken on purpose, each must be found:
 *	MEMBERSHIP_FIRST   is raised before the bit is cleared
 *	MEMBERSHIP_RELAXED may arrive before the live word
 *	LIVE_FIRST_LOADED  a worker loads the live word before membership, and
 *	                   not again
 *	MEMBERSHIP_SAME    is not raised
 *	ONE_STATE          one quiescent state is enough for the master
 *	SLEEPERS_PASS      so is it to be asleep
 *	AT_ONCE            empties the zones at once
 *	NO_MASTER_FENCE    notes counters before the live word can be seen
 *	NO_WORKER_FENCE    looks before its counter can be seen
 *	NO_LAST_DRAIN      forgets the dead one without draining its ring
 *	KEPT_FOR_EVER      a result outlives the membership it was found in
 *	SILENT             the master rings no bell
 */
byte live = 1, live_new; /* the bit of D */
bool live_wait;
byte membership = 1, membership_new;
bool membership_wait, membership_after;

byte counter, counter_new; /* of the worker, modulo 16 */
bool counter_wait;

byte produced; /* D's, by record */
byte index = 1; /* which process' subscription is in D's index zone */
bool emptied; /* and nobody is live there */
bool edge; /* the worker's bell */

byte process = 1; /* of D: 0 when it is dead */
byte published; /* by the first one */

/* The worker: whom it knows in D, and what it has taken. */
byte known = 1;
byte taken;
bool seen_dead; /* it has loaded the live word without D */

inline arrive_live()
{
	if
	:: live_wait -> live = live_new; live_wait = false; live_new = 0
	:: else
	fi
}

inline arrive_membership()
{
	if
	:: membership_wait ->
		if
		:: membership_after -> arrive_live()
		:: else
		fi;
		membership = membership_new;
		membership_new = 0;
		membership_after = false;
		membership_wait = false
	:: else
	fi
}

inline arrive_counter()
{
	if
	:: counter_wait ->
		counter = counter_new;
		counter_new = 0;
		counter_wait = false
	:: else
	fi
}

/* ---- the process in D ---- */

active proctype first()
{
	do
	:: process == 1 && published < 2 -> d_step {
		published++;
		produced++;
		edge = true
	   }
	:: d_step { process == 1 -> process = 0 }; break
	od
}

/* ---- the master ---- */

inline raise_membership()
{
#ifndef MEMBERSHIP_SAME
	d_step {
		m++;
		arrive_membership();
		membership_new = m;
		membership_wait = true;
#ifndef MEMBERSHIP_RELAXED
		membership_after = true
#endif
	};
#endif
	skip
}

inline store_live(value)
{
	d_step { arrive_live(); live_new = value; live_wait = true }
}

/* set_live_word() */
inline set_live_word(value)
{
#ifdef MEMBERSHIP_FIRST
	raise_membership();
	store_live(value)
#else
	store_live(value);
	raise_membership()
#endif
}

/* A ring is a system call: what was stored before has arrived. */
inline ring_bell()
{
#ifndef SILENT
	d_step { arrive_live(); arrive_membership(); edge = true };
#endif
	skip
}

inline load_counter(to)
{
	atomic {
		if
		:: d_step { counter_wait -> arrive_counter() }
		:: true
		fi;
		to = counter
	}
}

#ifdef ONE_STATE
#define ENOUGH 2
#else
#define ENOUGH 4
#endif
#ifdef SLEEPERS_PASS
#define ASLEEP(n) ((n) % 2 == 1)
#else
#define ASLEEP(n) false
#endif

active proctype master()
{
	byte m = 1, noted = 0, now = 0;

	process == 0; /* it is reaped */
	set_live_word(0);
#ifdef NO_MASTER_FENCE
	/* open_grave() before the stores have arrived */
	load_counter(noted);
	ring_bell();
#else
	ring_bell();
	d_step { arrive_live(); arrive_membership() };
	load_counter(noted);
#endif
#ifndef AT_ONCE
	do
	:: load_counter(now);
		if
		:: (now + 16 - noted) % 16 >= ENOUGH || ASLEEP(now) -> break
		:: else
		fi
	od;
	now = 0;
	noted = 0;
#endif
	/* zones_clear_slot(), slots_set_spare() */
	d_step {
		assert(known == 0);
		assert(taken == produced);
		emptied = true;
		index = 0
	};
	/* Another one, attached: ring positions go on, the index is empty. */
	d_step { emptied = false; process = 2 };
	set_live_word(1);
	ring_bell();
	d_step { index = 2; produced++; edge = true }
}

/* ---- the worker ---- */

inline store_counter(value)
{
	d_step {
		count = (value) % 16;
		arrive_counter();
		counter_new = count;
		counter_wait = true;
#ifndef NO_WORKER_FENCE
		arrive_counter()
#endif
	}
}

inline load_membership()
{
	atomic {
		if
		:: d_step { membership_wait -> arrive_membership() }
		:: true
		fi;
		now = membership
	}
}

inline load_live()
{
	atomic {
		if
		:: d_step { live_wait -> arrive_live() }
		:: true
		fi;
		d_step {
			there = live;
			seen_dead = (there == 0)
		}
	}
}

/* match_look() */
inline look()
{
#ifdef LIVE_FIRST_LOADED
	load_live();
	load_membership()
#else
	load_membership();
	load_live()
#endif
}

/* drain() of D's ring */
inline drain_ring()
{
	atomic {
		assert(!emptied);
		taken = produced
	}
}

/* peer_look() with refresh() */
inline peers()
{
	look();
	do
	:: now != acted ->
		acted = now;
#ifndef LIVE_FIRST_LOADED
		load_live();
#endif
		if
		:: there == 0 && known != 0 -> /* peer_gone() */
#ifndef NO_LAST_DRAIN
			drain_ring();
#endif
			known = 0
		:: there == 1 && known != 0 && known != process &&
		    process != 0 -> /* another incarnation */
			drain_ring();
			known = process
		:: there == 1 && known == 0 -> known = 2 /* peer_come() */
		:: else
		fi;
		look()
	:: else -> break
	od
}

#define UP_TO_DATE (acted == membership && !membership_wait && \
	(known == 0 || produced == taken))

/* A message: match, route. */
inline message()
{
	look();
	/* Results of another membership are void; in the same one, sums of
	 * generations over other live slots differ. */
	if
#ifdef KEPT_FOR_EVER
	:: has_kept
#else
	:: has_kept && kept_in == now && kept_there == there
#endif
	:: else ->
		atomic {
			if
			:: there == 1 -> assert(!emptied); kept = index
			:: there == 0 -> kept = 0
			fi;
			kept_in = now;
			kept_there = there;
			has_kept = true
		}
	fi;
	/* Sent if the peer is known; what was seen dead gets nothing. */
	d_step {
		assert(!(seen_dead && kept != 0));
		/* Nor does a new process get what the old one wanted. */
		assert(!(known == 2 && acted == now && kept == 1))
	}
}

active proctype worker()
{
	byte count = 0, now = 1, there = 1, acted = 1;
	byte kept = 0, kept_in = 0, kept_there = 0;
	bool has_kept = false;

	do
	:: process == 2 && taken == 3 && produced == 3 && known == 2 -> break
	:: else ->
		/* wait_for_events() */
		if
		:: store_counter(count + 2) /* quiesce_pass() */
		:: true ->
			/* bell_arm(), and the second look */
			load_membership();
			if
			:: now != acted || (known != 0 && produced != taken)
			    -> store_counter(count + 1)
			:: else ->
				store_counter(count + 1);
				/* Nothing to do until somebody rings, or for a
				 * second; but it must not need that second. */
				if
				:: d_step { edge -> edge = false }
				:: UP_TO_DATE
				fi
			fi;
			store_counter(count + 1)
		fi;
		peers();
		if
		:: known != 0 -> drain_ring()
		:: else
		fi;
		if
		:: message()
		:: true
		fi
	od
}
