/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PONG as a barrier over the workers: settled(), client_released(),
 * peer_ask(), peer_answered(), peer_send(), peer_send_refused(), peer_pump(),
 * pump_outbox(), pump_barrier(), take_barrier(), take_refused(), room_for(),
 * peer_gone(), forget(), single_ask() (src/worker/verbs.c, client.c, peer.c,
 * route.c).
 *
 * Two workers, A with two clients and B with one; each client publishes a
 * message to the other worker that asks for a 503 and pings; one of each
 * worker does it twice.  Nobody there takes the messages.  A ring has room
 * for one record only, so that everything is full most of the time; what a
 * drain has to send and finds no room for waits in the outbox, in order.  B
 * may die at any moment.  Rings lose nothing (ring.pml) and wake who sleeps
 * (bell.pml, space.pml).  Messages that are passed on, and records that no
 * outbox had room for, are no subject of this: then a 503 may come late, or
 * not at all.
 *
 * Checked: when a client gets its PONG, it has all 503s of its messages before
 * the PING, but those that went to a dead worker; nobody waits for ever; an
 * answer is never to a question that was not asked.
 *
 * Broken on purpose, each must be found:
 *	ANSWER_FIRST     an answer goes before what waits in the outbox
 *	QUESTION_FIRST   a PING is taken while a message of its client waits
 *	NO_QUESTION      the PONG is not held
 *	SAME_NUMBER      each question has the same number
 *	NUMBER_EARLY     a question that is not sent yet takes another's answer
 *	QUESTION_LOST    a question that finds no room is forgotten
 *	DRAIN_WAITS      a drain waits for room
 *	DEAD_OWES        a dead worker is waited for
 */
#define MSG 1
#define REFUSED 2
#define QUESTION 3
#define ANSWER 4

#define A 0
#define B 1
#define CLIENTS 3 /* 0 and 1 are A's, 2 is B's */

#define RING 1
#define OUTBOX 3
/* Rings by producer: kind, and number or client. */
chan ring[2] = [RING] of { byte, byte };
/* REFUSED for these clients. */
chan outbox[2] = [OUTBOX] of { byte };

/* struct peer, by worker. */
byte asked[2], asked_sent[2], answered[2], answer[2], answer_sent[2];

/* struct client */
byte step[CLIENTS]; /* of its input that were taken */
bool unsettled[CLIENTS]; /* c->asked */
byte waits[CLIENTS]; /* for this answer, 0: not */
byte owed[CLIENTS]; /* 503s that it has not got */

bool mortal; /* B may die: else it must come to an end without that */
bool dead; /* B is */
bool known; /* A knows it */

/* A client sends a message, PING, a message, PING, or half of it. */
#define LENGTH(c) (c == 1 -> 2 : 4)
#define IS_MSG(c) (step[c] == 0 || step[c] == 2)
#define THERE (me == A -> !known : true)

inline pong(c)
{
	assert(owed[c] == 0);
	step[c]++
}

/* One thing that the client can do. */
inline client(c)
{
	if
	:: waits[c] != 0 -> /* client_released() */
		if
		:: answered[me] >= waits[c] -> waits[c] = 0; pong(c)
		:: else
		fi
	:: waits[c] == 0 && IS_MSG(c) && THERE ->
		if
		/* room_for() */
		:: len(ring[me]) < RING && len(outbox[me]) == 0 ->
			ring[me] ! MSG, c;
			owed[c]++;
			unsettled[c] = true;
			step[c]++
#ifdef QUESTION_FIRST
		:: len(ring[me]) == RING && len(outbox[me]) < OUTBOX ->
			outbox[me] ! 128 + c;
			owed[c]++;
			unsettled[c] = true;
			step[c]++
#endif
		:: else /* it is parked */
		fi
	:: waits[c] == 0 && IS_MSG(c) && !THERE ->
		step[c]++ /* to nobody */
	:: waits[c] == 0 && !IS_MSG(c) -> /* settled() */
		if
#ifndef NO_QUESTION
		:: unsettled[c] && THERE ->
			unsettled[c] = false;
#ifdef SAME_NUMBER
			asked[me] = 1;
#else
			asked[me]++;
#endif
			waits[c] = asked[me];
#ifdef QUESTION_FIRST
			if
			:: len(ring[me]) < RING ->
				ring[me] ! QUESTION, asked[me];
				asked_sent[me] = asked[me]
			:: else
			fi
#endif
#ifdef QUESTION_LOST
			if
			:: len(ring[me]) == RING -> asked_sent[me] = asked[me]
			:: else
			fi
#endif
#endif
		:: else -> unsettled[c] = false; pong(c)
		fi
	fi
}

#define MAY_ACT(c) (step[c] < LENGTH(c) && (waits[c] != 0 -> \
	answered[me] >= waits[c] : \
	(!IS_MSG(c) || !THERE || ROOM)))
#ifdef QUESTION_FIRST
#define ROOM (len(ring[me]) < RING && len(outbox[me]) == 0 || \
	len(ring[me]) == RING && len(outbox[me]) < OUTBOX)
#else
#define ROOM (len(ring[me]) < RING && len(outbox[me]) == 0)
#endif

/* take(): of one record */
inline drain()
{
	ring[1 - me] ? kind, what;
	if
	:: kind == MSG -> /* nobody takes it: peer_send_refused() */
		if
		:: me == A && known /* to nobody */
		:: (me == B || !known) && len(outbox[me]) == 0 &&
		    len(ring[me]) < RING ->
			ring[me] ! REFUSED, what
		:: else ->
#ifdef DRAIN_WAITS
			ring[me] ! REFUSED, what
#else
			outbox[me] ! what
#endif
		fi
	:: kind == REFUSED ->
		if
		:: what > 127 -> skip
		:: else -> assert(owed[what] > 0); owed[what]--
		fi
	:: kind == QUESTION -> answer[me] = what
	:: kind == ANSWER ->
		assert(what <= asked_sent[me]);
		answered[me] = what
#ifdef NUMBER_EARLY
		;
		answered[me] = asked[me]
#endif
	fi;
	kind = 0;
	what = 0
}

/* pump(): one record, in its order. */
#define HAS_QUESTION (asked[me] != asked_sent[me])
#define HAS_ANSWER (answer[me] != answer_sent[me])
inline pump()
{
	if
#ifdef ANSWER_FIRST
	:: HAS_ANSWER -> send_answer()
	:: !HAS_ANSWER && len(outbox[me]) > 0 -> send_outbox()
#else
	:: len(outbox[me]) > 0 -> send_outbox()
#endif
	:: len(outbox[me]) == 0 && HAS_QUESTION ->
		ring[me] ! QUESTION, asked[me];
		asked_sent[me] = asked[me]
	:: len(outbox[me]) == 0 && !HAS_QUESTION && HAS_ANSWER -> send_answer()
	fi
}

inline send_answer()
{
	ring[me] ! ANSWER, answer[me];
	answer_sent[me] = answer[me]
}

inline send_outbox()
{
	outbox[me] ? what;
	if
	:: what > 127 -> ring[me] ! MSG, what - 128
	:: else -> ring[me] ! REFUSED, what
	fi;
	what = 0
}

inline die()
{
	dead = true;
	/* Its clients are gone.  What it has published is still there. */
	do
	:: outbox[B] ? _
	:: len(outbox[B]) == 0 -> break
	od;
	step[2] = LENGTH(2);
	waits[2] = 0;
	asked[B] = 0; asked_sent[B] = 0; answered[B] = 0;
	answer[B] = 0; answer_sent[B] = 0
}

/* Another one counts as having taken what it has not refused. */
inline forgive()
{
	do
	:: ring[A] ? _, _
	:: len(ring[A]) == 0 -> break
	od;
	owed[0] = 0;
	owed[1] = 0
}

proctype worker(byte me)
{
	byte kind = 0, what = 0;

end:	do
	:: me == B && dead -> break
#ifdef DRAIN_WAITS
	:: len(ring[1 - me]) > 0 && !(me == B && dead) -> drain()
#else
	:: atomic { len(ring[1 - me]) > 0 && !(me == B && dead) -> drain() }
#endif
	:: atomic { len(ring[me]) < RING && !(me == B && dead) &&
	    (me == B || !known) && (len(outbox[me]) > 0 || HAS_QUESTION ||
	    HAS_ANSWER) -> pump() }
	:: atomic { me == A && MAY_ACT(0) -> client(0) }
	:: atomic { me == A && MAY_ACT(1) -> client(1) }
	:: atomic { me == B && !dead && MAY_ACT(2) -> client(2) }
	:: atomic { me == B && mortal && !dead -> die() }
	/* peer_gone(): what it had published was drained. */
	:: atomic { me == A && dead && !known && len(ring[B]) == 0 ->
		known = true;
		forgive();
		do
		:: outbox[A] ? _
		:: len(outbox[A]) == 0 -> break
		od;
#ifndef DEAD_OWES
		answered[A] = asked[A];
#endif
		asked_sent[A] = asked[A];
		answer[A] = 0;
		answer_sent[A] = 0
	   }
	/* All of its input was taken. */
	od
}

/* When nobody can go on, nobody waits: else this is no valid end. */
active proctype watcher()
{
	atomic {
		if
		:: mortal = true
		:: true
		fi;
		run worker(A);
		run worker(B)
	};
	(step[0] == LENGTH(0) && step[1] == LENGTH(1) &&
	    (dead || step[2] == LENGTH(2)))
}
