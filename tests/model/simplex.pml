/* The ordering rules as built, for SPIN: one instance, or two that follow each other. `relation.py` says the same in
   Python, rule by rule under the same names; `agreement.py` compares the two edge by edge.

   The network is what honest voters have ever cast: any part of it may have reached anyone, in any order, and the rest
   never does. Liars sign everything, at any time, so a certificate can exist as soon as NEED = Q - LIARS honest votes
   for it do. Who leads is left open: every proposal may be a liar's, shown to some, with any justification that can
   exist. Timers are left open too: what they allow may happen at any time.

   A state is what honest voters remember and what they have cast. Voters are alike, so they are kept sorted; of votes
   only their number is kept, and no more of it than a quorum needs beside the liars.

   Built by `python -m tests.model` with -D: N Q LIARS VIEWS STAY (honest seats); for two epochs also EPOCHS=2 LEAVE
   COME NEXT_LIARS NEXT_VIEWS; CRASH, VERDICT; a mutant of `runs.py`; EDGES to print every transition. */

#ifndef EPOCHS
#define EPOCHS 1
#endif
#ifndef LEAVE
#define LEAVE 0
#endif
#ifndef COME
#define COME 0
#endif
#ifndef NEXT_LIARS
#define NEXT_LIARS LIARS
#endif
#ifndef NEXT_VIEWS
#define NEXT_VIEWS VIEWS
#endif
#define VOTERS (STAY + LEAVE + COME)
#define INSTANCES (EPOCHS * 2 - 1) /* epoch 0, epoch 1 after value 1, epoch 1 after value 2 */

/* A voter is one number; its fields as (shift, mask), the first one most significant. */
#define SEAT      24, 3  /* 0 stays, 1 leaves with epoch 0, 2 comes with epoch 1 */
#define AT        22, 3  /* instance */
#define VIEW      20, 3
#define KEPT      18, 3  /* the view that its stored record is of (R12); it votes in no view below */
#define HOLDS     16, 3  /* the value of the notarization of VIEW that it has in hand */
#define NOTARIZED 14, 3  /* its votes in KEPT: the value, or 0 */
#define FINALIZED 12, 3
#define NULLIFIED 11, 1
#define OPENED     9, 3  /* bit x - 1: it was asked for its verdict on x, and can open it */
#define MUTE       8, 1  /* only in a mutant: it lost the proof of its view */
#define CAST       3, 31 /* only in a mutant: what it cast in KEPT, remembered or not */

int voter[VOTERS];
#define GET_(i, shift, mask) ((voter[i] >> (shift)) & (mask))
#define GET(i, field) GET_(i, field)
#define SET_(i, shift, mask, value) voter[i] = (voter[i] & ~((mask) << (shift))) | ((value) << (shift))
#define SET(i, field, value) SET_(i, field, value)

/* How many honest voters cast it, up to NEED: in an instance, a view, and of five kinds. */
#define NOTARIZE(x) ((x) - 1)
#define FINALIZE(x) ((x) + 1)
#define NULLIFY 4
#define SLOT(at, v, kind) (((at) * VIEWS + (v)) * 5 + (kind))
byte count[INSTANCES * VIEWS * 5];
bool named; /* the value notarized first is called 1 */

#define NEED(at) ((at) == 0 -> (Q - LIARS) : (Q - NEXT_LIARS))
#ifdef NO_PREDECESSOR /* mutant: the instance does not name what was decided before */
#define CERTIFIED(at, v, kind) \
    (((at) == 0 -> count[SLOT(0, v, kind)] : count[SLOT(1, v, kind)] + count[SLOT(2, v, kind)]) >= NEED(at))
#else
#define CERTIFIED(at, v, kind) (count[SLOT(at, v, kind)] >= NEED(at))
#endif

/* J for v permits x: a notarization of x in some w < v, or none, and nullifications of all views between. */
#define PERMITS1(at, v, x) (CERTIFIED(at, (v) - 1, NOTARIZE(x)) || (CERTIFIED(at, (v) - 1, NULLIFY) && (v) == 1))
#define PERMITS2(at, v, x) (CERTIFIED(at, (v) - 1, NOTARIZE(x)) || \
                            (CERTIFIED(at, (v) - 1, NULLIFY) && ((v) == 1 || PERMITS1(at, (v) - 1, x))))
#define PERMITS(at, v, x) ((v) == 0 || PERMITS2(at, v, x))

#define SEATED(i) ((GET(i, AT) == 0 && GET(i, SEAT) != 2) || (GET(i, AT) != 0 && GET(i, SEAT) != 1))
#define MINE(i, field) (GET(i, KEPT) == GET(i, VIEW) -> GET_(i, field) : 0)
#define CAN_EXIST(i, v, kind) CERTIFIED(GET(i, AT), v, kind)

/* The rules: when a voter may ... */

#ifdef NOTARIZE_TWICE
#define CAST_NOTHING(i, x) (MINE(i, NOTARIZED) != x && !MINE(i, FINALIZED) && !MINE(i, NULLIFIED))
#else
#define CAST_NOTHING(i, x) (!MINE(i, NOTARIZED) && !MINE(i, FINALIZED) && !MINE(i, NULLIFIED))
#endif
#ifdef NO_JUSTIFICATION
#define MAY_NOTARIZE(i, x) (SEATED(i) && CAST_NOTHING(i, x) && (x == 1 || named))
#else
#define MAY_NOTARIZE(i, x) /* R4 */ \
    (SEATED(i) && CAST_NOTHING(i, x) && (x == 1 || named) && PERMITS(GET(i, AT), GET(i, VIEW), x))
#endif

#define MAY_HEAR(i, x) (!GET(i, HOLDS) && CAN_EXIST(i, GET(i, VIEW), NOTARIZE(x)))

#ifdef FINALIZE_AFTER_NULLIFY
#define MAY_FINALIZE(i) (SEATED(i) && GET(i, HOLDS) && !MINE(i, FINALIZED))
#else
#define MAY_FINALIZE(i) /* R6 */ \
    (SEATED(i) && GET(i, HOLDS) && !MINE(i, FINALIZED) && !MINE(i, NULLIFIED))
#endif

#ifdef NULLIFY_AFTER_FINALIZE
#define MAY_NULLIFY(i) (SEATED(i) && !MINE(i, NULLIFIED))
#else
#define MAY_NULLIFY(i) /* R7 */ \
    (SEATED(i) && !GET(i, HOLDS) && !MINE(i, FINALIZED) && !MINE(i, NULLIFIED))
#endif

#define LAST(i) (GET(i, AT) == 0 -> VIEWS - 1 : NEXT_VIEWS - 1)
#define MAY_ENTER(i, u) /* R2, R8: on a J for u */ \
    ((u) > GET(i, VIEW) && (u) <= LAST(i) && (PERMITS(GET(i, AT), u, 1) || PERMITS(GET(i, AT), u, 2)))
#define MAY_JOIN(i, u, x) /* R2: on a notarization of u itself */ \
    ((u) > GET(i, VIEW) && (u) <= LAST(i) && CAN_EXIST(i, u, NOTARIZE(x)))

#define MAY_STORE(i) (GET(i, KEPT) < GET(i, VIEW)) /* R12: more often than built */
#define MAY_CRASH(i) (GET(i, KEPT) < GET(i, VIEW) || GET(i, HOLDS) != GET(i, FINALIZED) || MUTANT_CRASH(i))
#if defined(FORGET_VOTES)
#define MUTANT_CRASH(i) (GET(i, NOTARIZED) || GET(i, FINALIZED) || GET(i, NULLIFIED))
#elif defined(FORGET_CERTIFICATES) || defined(FORGET_NOTARIZATION)
#define MUTANT_CRASH(i) (GET(i, HOLDS) || GET(i, VIEW))
#else
#define MUTANT_CRASH(i) false
#endif

#ifdef LEAVE_ON_NOTARIZATION
#define ENDS NOTARIZE
#else
#define ENDS FINALIZE
#endif
#if VIEWS == 1
#define IN_ANY_VIEW(at, kind) CERTIFIED(at, 0, kind)
#elif VIEWS == 2
#define IN_ANY_VIEW(at, kind) (CERTIFIED(at, 0, kind) || CERTIFIED(at, 1, kind))
#else
#define IN_ANY_VIEW(at, kind) (CERTIFIED(at, 0, kind) || CERTIFIED(at, 1, kind) || CERTIFIED(at, 2, kind))
#endif
#define MAY_LEAVE(i, x) (GET(i, AT) == 0 && IN_ANY_VIEW(0, ENDS(x))) /* R9 */
#define SETTLED(i, x) (((GET(i, OPENED) >> ((x) - 1)) & 1) || IN_ANY_VIEW(GET(i, AT), NOTARIZE(x)))

/* ... and what is so afterwards. */

#if defined(FORGET_VOTES) || defined(NOTARIZE_TWICE) /* the same vote again adds nothing */
#define SAID(i, what) ((GET(i, CAST) >> (what)) & 1)
#define REMEMBER(i, what) SET(i, CAST, GET(i, CAST) | (1 << (what)))
#else
#define SAID(i, what) false
#define REMEMBER(i, what) skip
#endif

hidden byte i, j, v, u, x, kind, at, seen;
hidden int key;
hidden byte votable, two_decisions, two_notarizations, above_finalized, few_can_open, two_chains, wrong_chain, waiting, moving, stuck;

inline own_nothing(i) {
    SET(i, NOTARIZED, 0); SET(i, FINALIZED, 0); SET(i, NULLIFIED, 0); SET(i, CAST, 0)
}

inline cast(i, what) {
    if
    :: GET(i, KEPT) != GET(i, VIEW) -> SET(i, KEPT, GET(i, VIEW)); own_nothing(i)
    :: else
    fi;
    at = GET(i, AT);
    if
    :: count[SLOT(at, GET(i, VIEW), what)] < NEED(at) && !SAID(i, what) -> count[SLOT(at, GET(i, VIEW), what)]++
    :: else
    fi;
    REMEMBER(i, what)
}

inline notarize(i, x) {
#if defined(VERDICT) && !defined(VERDICT_NOT_ASKED)
    if
    :: SETTLED(i, x)
    :: else -> SET(i, OPENED, GET(i, OPENED) | (1 << (x - 1))) /* asked while fresh, and it opens */
    fi;
#endif
    cast(i, NOTARIZE(x)); SET(i, NOTARIZED, x); named = true
}

inline finalize(i) { cast(i, FINALIZE(GET(i, HOLDS))); SET(i, FINALIZED, GET(i, HOLDS)) }

inline nullify(i) { cast(i, NULLIFY); SET(i, NULLIFIED, 1) }

inline enter(i, u, x) {
    SET(i, VIEW, u); SET(i, HOLDS, x); SET(i, MUTE, 0);
#ifndef CRASH
    store(i)
#endif
}

inline store(i) { SET(i, KEPT, GET(i, VIEW)); own_nothing(i) }

inline crash(i) { /* the record of KEPT is left: its proof, the votes, the notarization that a Finalize names */
    SET(i, VIEW, GET(i, KEPT)); SET(i, HOLDS, GET(i, FINALIZED));
#if defined(FORGET_VOTES)
    SET(i, NOTARIZED, 0); SET(i, FINALIZED, 0); SET(i, NULLIFIED, 0); SET(i, HOLDS, 0)
#elif defined(FORGET_NOTARIZATION)
    SET(i, HOLDS, 0)
#elif defined(FORGET_CERTIFICATES)
    SET(i, HOLDS, 0); SET(i, MUTE, (GET(i, VIEW) > 0))
#endif
}

inline leave(i, x) { /* the guard goes beyond the epoch with the Decision: nothing is signed in it any more */
    SET(i, AT, x); SET(i, VIEW, 0); SET(i, KEPT, 0); SET(i, HOLDS, 0); SET(i, OPENED, 0); own_nothing(i)
}

/* One state for all that behave alike. */

inline sort_voters() {
    for (i : 1 .. VOTERS - 1) {
        j = i;
        do
        :: j > 0 && voter[j - 1] > voter[j] ->
            key = voter[j]; voter[j] = voter[j - 1]; voter[j - 1] = key; j--
        :: else -> break
        od
    }
}

inline forget_the_past() { /* where nobody votes any more, too few votes are none */
    for (at : 0 .. INSTANCES - 1) {
        for (v : 0 .. VIEWS - 1) {
            votable = false;
            for (i : 0 .. VOTERS - 1) {
                votable = votable || (GET(i, AT) == at && GET(i, KEPT) <= v) || (GET(i, AT) == 0 && at > 0)
            }
            if
            :: votable -> break /* and so are all later views */
            :: else ->
                for (kind : 0 .. 4) {
                    if
                    :: count[SLOT(at, v, kind)] < NEED(at) -> count[SLOT(at, v, kind)] = 0
                    :: else
                    fi
                }
            fi
        }
    }
}

/* The promises. */

inline check_certificates() {
    two_notarizations = false; two_decisions = false; above_finalized = false;
    for (at : 0 .. INSTANCES - 1) {
        if
        :: EPOCHS == 2 && LIARS > (N - 1) / 3 && at == 0 -> skip /* epoch 0 is given up to its liars */
        :: else ->
            seen = 0; /* the values finalized so far, as bits */
            for (v : 0 .. VIEWS - 1) {
                two_notarizations = two_notarizations ||
                    (CERTIFIED(at, v, NOTARIZE(1)) && CERTIFIED(at, v, NOTARIZE(2)));
                seen = seen | (CERTIFIED(at, v, FINALIZE(1)) -> 1 : 0) | (CERTIFIED(at, v, FINALIZE(2)) -> 2 : 0);
                two_decisions = two_decisions || seen == 3;
                above_finalized = above_finalized ||
                    ((seen & 1) && CERTIFIED(at, v, NOTARIZE(2))) || ((seen & 2) && CERTIFIED(at, v, NOTARIZE(1)))
            }
        fi
    }
    assert(!two_decisions);
    assert(!above_finalized);
    assert(!two_notarizations)
}

inline check_verdicts() { /* what is certified opens for all of a quorum but the liars */
    few_can_open = false;
    for (x : 1 .. 2) {
        seen = 0;
        for (i : 0 .. VOTERS - 1) { seen = seen + ((GET(i, OPENED) >> (x - 1)) & 1) }
        few_can_open = few_can_open || (IN_ANY_VIEW(0, NOTARIZE(x)) && seen < NEED(0))
    }
    assert(!few_can_open)
}

inline check_chains() {
    seen = 0; wrong_chain = false;
    for (i : 0 .. VOTERS - 1) { seen = seen | GET(i, AT) }
    two_chains = LIARS <= (N - 1) / 3 && seen == 3;
    for (at : 1 .. 2) { /* who decides after x has a quorum that stood behind x, but for the liars */
        for (v : 0 .. VIEWS - 1) {
            for (kind : FINALIZE(1) .. FINALIZE(2)) {
                wrong_chain = wrong_chain || (CERTIFIED(at, v, kind) && count[SLOT(at, v, kind)] < NEED(at))
            }
        }
    }
    assert(!two_chains);
    assert(!wrong_chain)
}

inline check_progress() { /* no liar lifts a finger, all that honest voters repeat (R10) arrives, timers ring (R7, R8) */
    waiting = false; moving = false;
    for (i : 0 .. VOTERS - 1) {
        if
        :: GET(i, VIEW) < VIEWS - 1 && !moving ->
            waiting = true;
            moving = moving || MAY_FINALIZE(i) || MAY_NULLIFY(i);
#ifndef NO_FINALIZE_TIMER
            moving = moving || GET(i, HOLDS); /* R8 */
#endif
            seen = 0; kind = 0; /* in the same view: those who notarized as the first did, those who nullified */
            u = 0; x = 0;
            for (j : 0 .. VOTERS - 1) {
                moving = moving || (GET(j, VIEW) > GET(i, VIEW) && !GET(j, MUTE)); /* its proof */
                if
                :: GET(j, VIEW) == GET(i, VIEW) ->
                    moving = moving || (GET(j, HOLDS) && !GET(i, HOLDS));
                    seen = seen + (MINE(j, NOTARIZED) == 1 -> 1 : 0);
                    kind = kind + (MINE(j, NOTARIZED) == 2 -> 1 : 0);
                    u = u + MINE(j, NULLIFIED);
                    x = x + (MINE(j, FINALIZED) -> 1 : 0)
                :: else
                fi
            };
            moving = moving || u >= Q || x >= Q || (!GET(i, HOLDS) && (seen >= Q || kind >= Q))
        :: else
        fi
    }
    stuck = waiting && !moving;
    assert(!stuck)
}

inline settle() {
    forget_the_past();
    sort_voters();
#ifndef EDGES
    check_certificates();
#if EPOCHS == 2
    check_chains();
#else
#ifndef TOO_MANY_LIARS
    check_progress();
#endif
#ifdef VERDICT
    check_verdicts();
#endif
#endif
#endif
    i = 0; j = 0; v = 0; u = 0; x = 0; kind = 0; at = 0; seen = 0; key = 0
}

#ifdef EDGES
inline print_state() {
    for (i : 0 .. VOTERS - 1) {
        printf("%d%d%d%d%d", GET(i, SEAT), GET(i, AT), GET(i, VIEW), GET(i, KEPT), GET(i, HOLDS));
        printf("%d%d%d%d ", GET(i, NOTARIZED), GET(i, FINALIZED), GET(i, NULLIFIED), GET(i, OPENED))
    }
    for (i : 0 .. INSTANCES * VIEWS * 5 - 1) { printf("%d", count[i]) }
    printf(" %d", named)
}
#define FROM(name) printf("EDGE "); print_state(); printf(" "); printf(name); printf(" ");
#define TO ; print_state(); printf("\n");
#else
#define FROM(name)
#define TO
#endif

#define ONCE(i) (i == 0 || voter[i] != voter[i - 1]) /* of voters that are alike, the first */
#define STEP(i, name, guard, effect) :: d_step { (ONCE(i) && guard) -> FROM(name) effect }

#define VOTES(i) \
    STEP(i, "notarize", MAY_NOTARIZE(i, 1), notarize(i, 1)) \
    STEP(i, "notarize", MAY_NOTARIZE(i, 2), notarize(i, 2)) \
    STEP(i, "hear", MAY_HEAR(i, 1), SET(i, HOLDS, 1)) \
    STEP(i, "hear", MAY_HEAR(i, 2), SET(i, HOLDS, 2)) \
    STEP(i, "finalize", MAY_FINALIZE(i), finalize(i)) \
    STEP(i, "nullify", MAY_NULLIFY(i), nullify(i))
#define ENTERS(i, u) \
    STEP(i, "enter", MAY_ENTER(i, u), enter(i, u, 0)) \
    STEP(i, "join", MAY_JOIN(i, u, 1), enter(i, u, 1)) \
    STEP(i, "join", MAY_JOIN(i, u, 2), enter(i, u, 2))
#if VIEWS == 1
#define MOVES(i)
#elif VIEWS == 2
#define MOVES(i) ENTERS(i, 1)
#else
#define MOVES(i) ENTERS(i, 1) ENTERS(i, 2)
#endif
#ifdef CRASH
#define CRASHES(i) STEP(i, "store", MAY_STORE(i), store(i)) STEP(i, "crash", MAY_CRASH(i), crash(i))
#else
#define CRASHES(i)
#endif
#if EPOCHS == 2
#define LEAVES(i) STEP(i, "leave", MAY_LEAVE(i, 1), leave(i, 1)) STEP(i, "leave", MAY_LEAVE(i, 2), leave(i, 2))
#else
#define LEAVES(i)
#endif
#define STEPS(i) VOTES(i) MOVES(i) CRASHES(i) LEAVES(i)

init {
    d_step {
        for (i : 0 .. VOTERS - 1) {
            if
            :: i >= STAY + LEAVE -> SET(i, SEAT, 2)
            :: i >= STAY && i < STAY + LEAVE -> SET(i, SEAT, 1)
            :: else
            fi
        }
        i = 0
    }
    do
    :: atomic {
        if
        STEPS(0)
#if VOTERS > 1
        STEPS(1)
#endif
#if VOTERS > 2
        STEPS(2)
#endif
#if VOTERS > 3
        STEPS(3)
#endif
#if VOTERS > 4
        STEPS(4)
#endif
        fi;
        d_step { settle() TO }
    }
    od
}
