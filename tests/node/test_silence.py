"""How long a voter was missed is not forgotten by a restart, and says nothing before it could have been heard again."""

from pathlib import Path

import trio
from trio.testing import MockClock

from node.config import OrderingSection
from node.silence import KEPT_MAX, LISTEN_AGAIN_S, SAVE_PERIOD_S, Silence
from tests.node.world import open_world, until

BENCH_AFTER_S = 1000


async def test_a_voter_is_benched_though_nobody_ever_listens_for_so_long(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Everybody restarts before Dan has been missed for long enough; Eve takes his seat all the same."""
    async with open_world(tmp_path) as world:
        world.ordering = OrderingSection(
            delta_ms=200, status_period_ms=2000, status_idle_period_ms=20_000, bench_after_s=BENCH_AFTER_S
        )
        *others, dan, eve = await world.group_of("ada", "bob", "cyn", "dan", "eve", committee=4)
        here = (*others, eve)
        assert dan.name in others[0].voters
        await dan.stop()
        await trio.sleep(SAVE_PERIOD_S + 60)
        for member in here:
            await member.stop()
        for member in here:
            await member.start()
        context = others[0].node.context
        assert context.silence_s(dan.peer_id) >= SAVE_PERIOD_S - 60
        assert not context.unheard_for(dan.peer_id, SAVE_PERIOD_S / 2), "he may be there by now"
        assert not any(context.unheard_for(other.peer_id, 1) for other in here)

        await until(lambda: all(m.node.sessions and eve.name in m.voters for m in here), timeout_s=0.9 * BENCH_AFTER_S)

        assert dan.name not in eve.voters
        await dan.start()
        await until(lambda: context.silence_s(dan.peer_id) < 30)
        assert not context.unheard_for(dan.peer_id, LISTEN_AGAIN_S)


def test_time_in_which_nobody_listened_does_not_count() -> None:
    silence = Silence()

    silence.stopped({"ada": 50.0, "bob": 10.0}, began_s=20.0, ended_s=60.0)
    silence.heard("ada")
    silence.stopped({"ada": 130.0}, began_s=100.0, ended_s=150.0)

    assert silence.before_s("ada") == 20.0, "since she was heard"
    assert silence.before_s("bob") == 40.0 + 50.0
    assert silence.before_s("cyn") == 0.0


def test_strangers_do_not_fill_the_memory() -> None:
    silence = Silence()
    silence.stopped({"ada": 0.0}, began_s=0.0, ended_s=1.0)

    silence.stopped({str(number): 0.0 for number in range(KEPT_MAX)}, began_s=0.0, ended_s=1.0)

    assert len(silence._kept_s) == KEPT_MAX
    assert silence.before_s("ada") == 2.0
