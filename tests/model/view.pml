/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Results of a match that are kept, and references that travel: the writer
 * trie_add_plain(), trie_del_plain(), count_change(), gen_raise(),
 * cell_take(), serial_raise(), trie_ref_live(); the worker that publishes
 * match_look(), match_find(), cache_find(), cache_fill(), gens_sum(),
 * trie_bumps(), trie_gens_sum(); the record's way receive_msg(), refs_valid().
 *
 * The worker that owns the pattern "a" changes its interest: a client
 * subscribes, is told (PONG), unsubscribes, is told.  Its cell goes to the
 * pattern "b" and back, which has a generation of its own.  Another worker
 * reads a message that was published by somebody who had been told, looks at
 * bumps, finds a result for "a" (kept, or by a walk), and sends a reference
 * along.  The owner looks whether it still means what it meant.  When a cell
 * may be reused is index.pml's subject: here a walk is one step, and a cell is
 * reused when its unlinking has arrived.
 *
 * Memory: structure, generation and bumps are release stores: each arrives at
 * any later moment, after those before it.  What was told by a socket comes
 * after all of them.
 *
 * Checked: a message that was read after somebody had been told of a change
 * is matched with a result that has this change; a reference that is taken
 * for good means the subscription that was matched.
 *
 * Broken on purpose, each must be found:
 *	GENERATION_FIRST  is raised before the structure has changed
 *	BUMPS_FIRST       are raised before the generation
 *	NO_BUMPS          the generation alone is raised
 *	BUMPS_RELAXED     may arrive before the rest
 *	SUM_LATE          the sum is taken after the walk that it vouches for
 *	LOOK_EARLY        looks at bumps before the message is read
 *	SAME_SERIAL       a cell that is reused keeps its serial
 *	NO_SERIAL         a reference is taken for good by its cell alone
 *	RETIRED_LIVE      a cell without subscribers is taken for good
 *	OTHER_GENERATION  a change counts in the generation of another pattern
 */
#define CHANGES 4
#define LOOKS 3
#define CELLS 3

/* Memory, and stores on their way (in order, but for the faults). */
byte a; /* cell of the node, 0: none */
byte gen_a, gen_b, bumps;
byte a_new, gen_a_new, gen_b_new, bumps_new;
bool a_wait, gen_a_wait, gen_b_wait, bumps_wait;

/* Cells: the owner's words; a node is complete before it is linked. */
byte serial[CELLS], is[CELLS]; /* 0: retired, 1: of "a", 2: of "b" */
byte made[CELLS]; /* with which change of "a" */

byte change; /* of "a" made so far: odd, it is subscribed */
byte told; /* of them */

/* A record on its way: the reference, and what it meant. */
bool mail;
byte mail_cell, mail_serial, mail_made;

inline arrive_a()
{
	if
	:: a_wait -> a = a_new; a_new = 0; a_wait = false
	:: else
	fi
}

inline arrive_gens()
{
	arrive_a();
	if
	:: gen_a_wait -> gen_a = gen_a_new; gen_a_new = 0; gen_a_wait = false
	:: else
	fi;
	if
	:: gen_b_wait -> gen_b = gen_b_new; gen_b_new = 0; gen_b_wait = false
	:: else
	fi
}

inline arrive_bumps()
{
	if
	:: bumps_wait ->
#ifndef BUMPS_RELAXED
		arrive_gens();
#endif
		bumps = bumps_new;
		bumps_new = 0;
		bumps_wait = false
	:: else
	fi
}

/* ---- the owner ---- */

inline store_a(value)
{
	d_step { arrive_a(); a_new = value; a_wait = true }
}

inline raise_gen_a()
{
	d_step {
		g++;
		arrive_gens();
		gen_a_new = g;
		gen_a_wait = true
	}
}

inline raise_gen_b()
{
	d_step {
		h++;
		arrive_gens();
		gen_b_new = h;
		gen_b_wait = true
	}
}

inline raise_bumps()
{
	skip;
#ifndef NO_BUMPS
	d_step {
		n++;
		arrive_bumps();
		bumps_new = n;
		bumps_wait = true
	};
#endif
	skip
}

/* count_change() */
#ifdef OTHER_GENERATION
#define COUNT_A raise_gen_b()
#else
#define COUNT_A raise_gen_a()
#endif
inline count_a()
{
#ifdef BUMPS_FIRST
	raise_bumps();
	COUNT_A
#else
#ifndef GENERATION_FIRST
	COUNT_A;
#endif
	raise_bumps()
#endif
}

inline take(no, what)
{
	arrive_a();
	c = no;
#ifdef SAME_SERIAL
	serial[c] = 1;
#else
	serial[c]++;
#endif
	is[c] = what;
	made[c] = 0
}

inline receive()
{
	if
	:: mail && mail_cell != 0 &&
#ifndef NO_SERIAL
	    serial[mail_cell] == mail_serial &&
#endif
#ifndef RETIRED_LIVE
	    is[mail_cell] != 0 &&
#endif
	    true ->
		/* It is given to the subscribers at that node. */
		assert(is[mail_cell] == 1 && made[mail_cell] == mail_made)
	:: else /* matched anew */
	fi;
	mail = false;
	mail_cell = 0;
	mail_serial = 0;
	mail_made = 0
}

active proctype owner()
{
	byte c = 0, mine = 0, other = 0, g = 0, h = 0, n = 0;

	do
	/* SUB a */
	:: change < CHANGES && mine == 0 ->
#ifdef GENERATION_FIRST
		raise_gen_a();
#endif
		atomic {
			if
			:: is[1] == 0 -> take(1, 1)
			:: is[1] != 0 && is[2] == 0 -> take(2, 1)
			fi;
			mine = c;
			change++;
			made[c] = change;
			c = 0
		};
		store_a(mine);
		count_a()
	/* UNSUB a */
	:: change < CHANGES && mine != 0 ->
#ifdef GENERATION_FIRST
		raise_gen_a();
#endif
		atomic { change++; store_a(0); is[mine] = 0;
			mine = 0 };
		count_a()
	/* A change of "b" has its own generation and the same bumps. */
	:: change < CHANGES && other == 0 && h < 1 ->
		atomic {
			if
			:: is[1] == 0 -> take(1, 2)
			:: is[1] != 0 && is[2] == 0 -> take(2, 2)
			fi;
			other = c;
			c = 0
		};
		raise_gen_b();
		raise_bumps()
	/* PONG */
	:: told != change -> d_step {
		arrive_a(); arrive_gens(); arrive_bumps();
		told = change
	   }
	/* A record. */
	:: mail -> d_step { receive() }
	:: change == CHANGES && told == change -> break
	od;
end:	do
	:: mail -> d_step { receive() }
	od
}

/* ---- the worker that publishes ---- */

inline load_bumps(to)
{
	atomic {
		if
		:: d_step { bumps_wait -> arrive_bumps() }
		:: true
		fi;
		to = bumps
	}
}

inline load_gens(to)
{
	atomic {
		if
		:: d_step { gen_a_wait -> arrive_gens() }
		:: d_step { gen_b_wait -> arrive_gens() }
		:: true
		fi;
		to = gen_a
	}
}

inline read_message()
{
	known = told
}

inline walk()
{
#ifndef SUM_LATE
	load_gens(sum);
#endif
	atomic {
		if
		:: d_step { a_wait -> arrive_a() }
		:: true
		fi;
		d_step {
			cell = a;
			number = serial[cell];
			meant = made[cell]
		}
	};
#ifdef SUM_LATE
	load_gens(sum);
#endif
	kept = true;
	kept_view = view
}

active proctype publisher()
{
	byte i = 0, known = 0, view = 0, seen = 0, now = 0;
	/* The entry of the cache for "a". */
	bool kept = false;
	byte kept_view = 0, sum = 0, cell = 0, number = 0, meant = 0;

	do
	:: i < LOOKS ->
		i++;
#ifndef LOOK_EARLY
		read_message();
#endif
		/* match_look() */
		load_bumps(now);
		if
		:: now != seen -> seen = now; view++
		:: else
		fi;
		now = 0;
#ifdef LOOK_EARLY
		read_message();
#endif
		/* match_find() */
		if
		:: kept && kept_view == view
		:: kept && kept_view != view ->
			load_gens(now);
			if
			:: now == sum -> kept_view = view
			:: else -> walk()
			fi;
			now = 0
		:: !kept -> walk()
		fi;
		/* Subscribed or not, by the change that was told of, or by a
		 * later one. */
		d_step {
			if
			:: cell != 0 -> assert(meant >= known)
			:: cell == 0 ->
				assert(known % 2 == 0 || change > known)
			fi
		};
		/* The record. */
		if
		:: !mail -> d_step {
			mail = true;
			mail_cell = cell;
			mail_serial = number;
			mail_made = meant;
			known = 0
		   }
		:: true
		fi
	:: i == LOOKS -> break
	od
}
