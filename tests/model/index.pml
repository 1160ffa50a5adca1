/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Publishing, retiring and reusing cells and tables of a slot's index: the
 * writer trie_add_plain(), node_make(), node_link(), node_unlink(),
 * cell_take(), cell_retire(), cells_close(), cells_release(), fill_step(),
 * fill_finish(), table_retire(), edges_close(), edges_release(),
 * edges_clear(), trie_reclaim(), quiesce_note(), quiesce_passed() (src/shm/
 * trie_write.c, trie_edges.c, cell.c, quiesce.c); the readers look_open(),
 * trie_match_from(), root_of(), match_look(), quiesce_online(),
 * quiesce_pass(), quiesce_offline() (src/shm/trie_read.c, quiesce.c).
 *
 * One writer and two readers.  There is a pattern that is always subscribed to,
 * and one that comes and goes, whose node takes one of two cells.  An edge
 * table is one of two; it has an entry for each of the two patterns, and the
 * word that says which table is in use is stored once.  The writer adds,
 * removes, grows and reclaims in any order.  A reader passes quiescent states,
 * goes offline and comes back; it may die where it stands.  What it has found
 * it keeps over quiescent states, as a worker does with the root of an
 * account, and goes on from there without a look at the table as long as bumps
 * are the same; these it looks at in each round before anything else.
 *
 * Memory: each store of the writer waits in a place of its own and arrives at
 * any later moment, in any order, but a release store after those before it
 * (it is decided when somebody loads the word, which is soon enough).  So do
 * the stores of the readers' counters.  A reader's loads depend on each other
 * and come in order; a release store of its counter comes after them.
 *
 * Checked: a cell that a reader has reached is complete, is what it was when
 * it was reached, and is not handed out again until the reader lets go of it;
 * likewise no table is emptied; the pattern that is always there is always
 * found.
 *
 * Broken on purpose, each must be found:
 *	NO_READER_FENCE    looks again before its counter can be seen
 *	NO_WRITER_FENCE    notes counters before its unlinking can be seen
 *	COUNTER_EARLY      counts a quiescent state while it still looks
 *	NO_WAIT            reuses at once
 *	NOTE_EARLY         notes counters, then unlinks
 *	ONE_READER         waits for one of the two only
 *	OPEN_REUSED        reuses what was retired after the counters were noted
 *	HALF_MADE          links a node before it is made
 *	LINK_RELAXED       links it by a store that is not a release
 *	SWITCH_EARLY       switches to a table before it is filled
 *	SWITCH_RELAXED     switches by a store that is not a release
 *	FILL_MISSES        a change while a table is filled goes to the old one
 *	ODD_IS_ONLINE      a reader looks without coming online
 *	KEPT_UNCHECKED     what is kept is used without a look at bumps
 *	BUMPS_LATE         bumps are raised after the counters were noted
 */
#define READERS 2
#define CELLS 3 /* 0 is none */
/* run.sh: many changes and one reader, fewer and two. */
#ifdef TWO
#define OPS 4
#define ROUNDS 1
#else
#define OPS 6
#define ROUNDS 2
#endif

/* ---- memory ---- */
byte table; /* in use */
byte entry[2]; /* of the pattern that comes and goes, by table */
bool fixed[2]; /* of the one that is always there */
byte node[CELLS]; /* which use of the cell this is */
byte bumps; /* changes of the one that comes and goes */
/* Stores on their way: what is not yet there, and what must come before. */
byte table_new, entry_new[2], node_new[CELLS];
bool table_wait, entry_wait[2], fixed_wait[2], node_wait[CELLS];
bool table_after; /* the entries first */
bool entry_after[2]; /* the nodes first */
byte bumps_new;
bool bumps_wait, bumps_after[3]; /* the entries, the table first */

byte counter[READERS], counter_new[READERS];
bool counter_wait[READERS];

/* ---- for the checks ---- */
byte uses[CELLS]; /* of each cell, by the writer */
byte holds[READERS]; /* cell that a reader stands on */
byte as[READERS]; /* and which use of it */
byte reads[READERS]; /* table that it looks at, plus one */
bool dead[READERS];

inline arrive_node(c)
{
	if
	:: node_wait[c] -> node[c] = node_new[c]; node_wait[c] = false;
		node_new[c] = 0
	:: else
	fi
}

inline arrive_entry(t)
{
	if
	:: entry_wait[t] ->
		if
		:: entry_after[t] -> arrive_node(1); arrive_node(2)
		:: else
		fi;
		entry[t] = entry_new[t];
		entry_new[t] = 0;
		entry_after[t] = false;
		entry_wait[t] = false
	:: else
	fi
}

inline arrive_fixed(t)
{
	fixed[t] = fixed[t] || fixed_wait[t];
	fixed_wait[t] = false
}

inline arrive_table()
{
	if
	:: table_wait ->
		if
		:: table_after ->
			arrive_entry(0);
			arrive_entry(1);
			arrive_fixed(0);
			arrive_fixed(1)
		:: else
		fi;
		table = table_new;
		table_new = 0;
		table_after = false;
		table_wait = false
	:: else
	fi
}

inline arrive_bumps()
{
	if
	:: bumps_wait ->
		if
		:: bumps_after[0] -> arrive_entry(0); bumps_after[0] = false
		:: else
		fi;
		if
		:: bumps_after[1] -> arrive_entry(1); bumps_after[1] = false
		:: else
		fi;
		if
		:: bumps_after[2] -> arrive_table(); bumps_after[2] = false
		:: else
		fi;
		bumps = bumps_new;
		bumps_new = 0;
		bumps_wait = false
	:: else
	fi
}

inline arrive_counter(r)
{
	if
	:: counter_wait[r] ->
		counter[r] = counter_new[r];
		counter_new[r] = 0;
		counter_wait[r] = false
	:: else
	fi
}

/* ---- the writer ---- */

/* Lists of cells and states of tables. */
#define IDLE 0 /* a free table; a cell that may be handed out */
#define USED 1
#define OPEN 2 /* retired */
#define CLOSED 3 /* retired, waiting for readers */
byte cell_is[CELLS], table_is[2];
byte noted[READERS]; /* counters; odd: has passed */
bool waiting;

inline store_entry(t, value)
{
	arrive_entry(t);
	bumps_after[t] = false;
	entry_new[t] = value;
	entry_wait[t] = true;
#ifndef LINK_RELAXED
	entry_after[t] = true
#endif
}

inline make(c)
{
	/* Nobody stands on what is handed out. */
	assert(holds[0] != c && holds[1] != c);
	uses[c]++;
	cell_is[c] = USED;
	arrive_node(c);
	node_new[c] = uses[c];
	node_wait[c] = true
}

inline retire(c)
{
	cell_is[c] =
#ifdef NO_WAIT
	    IDLE;
#else
	    OPEN;
#endif
}

/* In the table in use, and in the one being filled. */
inline put(c)
{
	store_entry(cur, c);
#ifndef FILL_MISSES
	if
	:: filling -> store_entry(1 - cur, c)
	:: else
	fi
#endif
}

inline note()
{
	/* The full fence: all of the writer's stores have arrived. */
	skip;
#ifndef NO_WRITER_FENCE
	arrive_node(1);
	arrive_node(2);
	arrive_entry(0);
	arrive_entry(1);
	arrive_fixed(0);
	arrive_fixed(1);
	arrive_table();
	arrive_bumps()
#endif
}

/* count_change(); with two readers nothing is kept. */
inline raise_bumps()
{
	skip;
#ifndef TWO
	d_step {
		n++;
		arrive_bumps();
		bumps_new = n;
		bumps_wait = true;
		bumps_after[0] = entry_wait[0];
		bumps_after[1] = entry_wait[1];
		bumps_after[2] = table_wait
	};
#endif
	skip
}

inline load_counter(r, to)
{
	if
	:: d_step { counter_wait[r] -> arrive_counter(r) }
	:: true
	fi;
	to = (dead[r] -> 1 : counter[r])
}

inline look_at(r)
{
	if
	:: noted[r] % 2 == 0 ->
		load_counter(r, now);
		if
		:: now % 2 == 1 || now != noted[r] -> noted[r] = 1
		:: else
		fi;
		now = 0
	:: else
	fi
}

inline release(was)
{
	c = 1;
	do
	:: c < CELLS ->
		if
		:: cell_is[c] == was -> cell_is[c] = IDLE
		:: else
		fi;
		c++
	:: else -> break
	od;
	c = 0;
	do
	:: c < 2 ->
		if
		:: table_is[c] == was ->
			/* edges_clear() */
			assert(reads[0] != c + 1 && reads[1] != c + 1);
			arrive_entry(c);
			arrive_fixed(c);
			table_is[c] = IDLE;
			entry[c] = 0;
			fixed[c] = false
		:: else
		fi;
		c++
	:: else -> break
	od;
	c = 0
}

inline close()
{
	c = 0;
	do
	:: c < CELLS ->
		if
		:: cell_is[c] == OPEN -> cell_is[c] = CLOSED
		:: else
		fi;
		if
		:: c < 2 && table_is[c] == OPEN -> table_is[c] = CLOSED
		:: else
		fi;
		c++
	:: else -> break
	od;
	c = 0
}

#define ANY_OPEN (cell_is[1] == OPEN || cell_is[2] == OPEN || \
	table_is[0] == OPEN || table_is[1] == OPEN)

inline note_counters()
{
	load_counter(0, noted[0]);
	load_counter(1, noted[1]);
#ifdef ONE_READER
	noted[1] = 1;
#endif
	waiting = true
}

active proctype writer()
{
	byte ops = 0, cur = 0, is = 1, c = 0, now = 0, n = 0;
	bool filling = false;

	do
	:: ops < OPS ->
		ops++;
		if
		/* A subscription comes. */
		:: atomic { is == 0 && cell_is[1] == IDLE -> c = 1 }; goto add
		:: atomic {
			is == 0 && cell_is[1] != IDLE && cell_is[2] == IDLE ->
			c = 2 }; goto add
		/* It goes. */
		:: is != 0 -> goto remove
		/* The table grows: begin, end. */
		:: !filling && table_is[1 - cur] == IDLE ->
			filling = true;
#ifdef SWITCH_EARLY
			d_step {
				arrive_table();
				table_new = 1 - cur;
				table_wait = true;
				table_after = true
			};
#endif
			d_step {
				table_is[1 - cur] = USED;
				fixed_wait[1 - cur] = true;
				store_entry(1 - cur, is)
			}
		:: filling -> d_step {
			arrive_table();
			bumps_after[2] = false;
			table_new = 1 - cur;
			table_wait = true;
#ifndef SWITCH_RELAXED
			table_after = true;
#endif
			table_is[cur] = OPEN;
			cur = 1 - cur;
			filling = false
		   }
		/* trie_reclaim() */
		:: waiting || ANY_OPEN -> goto reclaim
		fi;
		goto next;
add:		skip;
#ifdef HALF_MADE
		d_step { put(c) };
		d_step { make(c); is = c; c = 0 };
#else
		d_step { make(c); put(c); is = c; c = 0 };
#endif
		raise_bumps();
		goto next;
remove:		skip;
#ifdef NOTE_EARLY
		if
		:: !waiting ->
			d_step { retire(is); close(); note() };
			atomic { note_counters() };
			d_step { put(0); is = 0 };
			raise_bumps();
			goto next
		:: else
		fi;
#endif
		d_step { put(0); retire(is); is = 0 };
#ifndef BUMPS_LATE
		raise_bumps();
#endif
		goto next;
reclaim:	if
		:: waiting ->
			atomic { look_at(0) };
			atomic { look_at(1) };
			d_step {
				if
				:: noted[0] == 1 && noted[1] == 1 ->
					release(CLOSED);
#ifdef OPEN_REUSED
					release(OPEN);
#endif
					waiting = false;
					noted[0] = 0;
					noted[1] = 0
				:: else
				fi
			}
		:: else
		fi;
		if
		:: !waiting && ANY_OPEN ->
			d_step { close(); note() };
			atomic { note_counters() };
#ifdef BUMPS_LATE
			raise_bumps();
#endif
			skip
		:: else
		fi;
next:		skip
	:: ops == OPS -> break
	od
}

/* ---- the readers ---- */

inline store_counter(value)
{
	d_step {
		arrive_counter(me);
		counter_new[me] = value;
		counter_wait[me] = true
	}
}

/* The full fence after the store. */
inline fence()
{
#ifndef NO_READER_FENCE
	d_step { arrive_counter(me) };
#endif
	skip
}

inline let_go()
{
	d_step { holds[me] = 0; as[me] = 0; reads[me] = 0 }
}

/* match_look() */
inline look_at_bumps()
{
	atomic {
		if
		:: d_step { bumps_wait -> arrive_bumps() }
		:: true
		fi;
#ifndef KEPT_UNCHECKED
		if
		:: bumps != seen -> seen = bumps; kept = 0; kept_as = 0
		:: else
		fi
#endif
	}
}

/* look_open(), a probe of the table, a look at the node. */
inline look()
{
#ifndef TWO
	look_at_bumps();
#endif
	atomic {
		if
		:: d_step { table_wait -> arrive_table() }
		:: true
		fi;
		reads[me] = table + 1;
		assert(table_is[table] != IDLE)
	};
	atomic {
		/* The one that is always there. */
		if
		:: d_step { fixed_wait[reads[me] - 1] ->
			arrive_fixed(reads[me] - 1) }
		:: true
		fi;
		assert(fixed[reads[me] - 1]);
		/* The other one: as it was found before, or now. */
		if
		:: kept != 0 -> d_step {
			assert(uses[kept] == kept_as);
			holds[me] = kept
		   }
		:: else ->
			if
			:: d_step { entry_wait[reads[me] - 1] ->
				arrive_entry(reads[me] - 1) }
			:: true
			fi;
			holds[me] = entry[reads[me] - 1]
		fi;
		d_step {
			as[me] = uses[holds[me]];
			assert(holds[me] == 0 || cell_is[holds[me]] != IDLE);
#ifndef TWO
			kept = holds[me];
			kept_as = as[me]
#endif
		};
		look_at_node()
	};
	/* And once more: it stays as it is. */
	look_at_node()
}

inline look_at_node()
{
	if
	:: holds[me] != 0 -> atomic {
		if
		:: d_step { node_wait[holds[me]] -> arrive_node(holds[me]) }
		:: true
		fi;
		assert(node[holds[me]] == as[me])
	   }
	:: else
	fi
}

proctype reader(byte me)
{
	byte n = 0, count = me, seen = 0, kept = 0, kept_as = 0;

	do
	:: n < ROUNDS ->
		n++;
		if
		:: count % 2 == 1 -> /* quiesce_online() */
#ifndef ODD_IS_ONLINE
			count++;
			store_counter(count);
			fence();
#endif
			skip
		:: else
		fi;
		look();
		if
		:: d_step { me == 1 -> let_go(); dead[1] = true }; goto out
		:: true
		fi;
#ifndef COUNTER_EARLY
		let_go();
#endif
		if
		:: count = count + 2 - count % 2 /* quiesce_pass() */
		:: count = count | 1 /* quiesce_offline() */
		fi;
		store_counter(count);
		fence();
#ifdef COUNTER_EARLY
		look_at_node();
		let_go();
#endif
		skip
	:: n == ROUNDS -> break
	od;
	/* Offline for good. */
	skip;
	d_step { seen = 0; kept = 0; kept_as = 0 };
	count = count | 1;
	store_counter(count);
	fence();
out:	skip
}

init {
	atomic {
		table_is[0] = USED;
		fixed[0] = true;
		entry[0] = 1;
		uses[1] = 1;
		node[1] = 1;
		cell_is[1] = USED;
		counter[1] = 1; /* offline, until it comes */
#if defined(TWO)
		run reader(1);
#endif
		run reader(0)
	}
}
