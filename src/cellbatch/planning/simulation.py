"""Discrete events of a run on machines that come and go: submission, queue, start, image, work, loss, retry, quota."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from cellbatch.spec import LAST_ATTEMPT

HOUR_S = 3600.0


@dataclass(frozen=True)
class Pool:
    """Machines of one kind.

    Attributes
    ----------
    machines : the quota
    acquire_s : from the request until the machine runs
    image_s : driver and container image, once per machine
    release_s : until the quota of a machine that is given back can be used again
    keeps : a machine stays for the next job (a node pool) instead of one machine per job
    warm : the machines run with their image before the first job
    losses_per_h : how often a machine is taken back
    hour : dollars
    """

    machines: int
    acquire_s: float = 0.0
    image_s: float = 0.0
    release_s: float = 0.0
    keeps: bool = False
    warm: bool = False
    losses_per_h: float = 0.0
    hour: float = 0.0


@dataclass(frozen=True)
class Job:
    """One task: on which machines, how long from its container's start to its end, and how much of that is work."""

    pool: str
    task_s: float
    work_s: float


@dataclass
class Outcome:
    """What happened: seconds end to end, machine seconds and useful seconds by pool, attempts and losses."""

    end_s: float = 0.0
    attempts: int = 0
    lost: int = 0
    gave_up: int = 0
    submitted_s: float = 0.0
    held_s: dict[str, float] = field(default_factory=dict)
    work_s: dict[str, float] = field(default_factory=dict)

    def dollars(self, pools: Mapping[str, Pool]) -> float:
        """Price of all machine time, failed attempts included."""
        return sum(held / HOUR_S * pools[name].hour for name, held in self.held_s.items())


class Run:
    """One simulated run of chains of jobs; a chain's next job is submitted when the one before it has ended.

    Parameters
    ----------
    pools : machines by name
    submit_s : the head submits one job after the other, each takes this long
    seed : of the losses
    """

    def __init__(self, pools: Mapping[str, Pool], submit_s: float, seed: int = 0) -> None:
        self._pools, self._submit_s, self._random = pools, submit_s, random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._queues: dict[str, deque[tuple[Sequence[Job], int, int]]] = {name: deque() for name in pools}
        self._free = {name: pool.machines for name, pool in pools.items()}
        self._ready = {name: pool.machines if pool.warm else 0 for name, pool in pools.items()}
        self._head_free_s = self._now_s = 0.0
        self._order = count()
        self.outcome = Outcome(held_s=dict.fromkeys(pools, 0.0), work_s=dict.fromkeys(pools, 0.0))

    def simulate(self, chains: Sequence[Sequence[Job]], arrivals_s: Sequence[float] | None = None) -> Outcome:
        """Run all chains to their end, each from its time of arrival on."""
        for i, chain in enumerate(chains):
            self._at(arrivals_s[i] if arrivals_s else 0.0, lambda c=chain: self._submit(c, 0, 1))  # type: ignore[misc]
        while self._events:
            self._now_s, _, happen = heapq.heappop(self._events)
            happen()
        return self.outcome

    def _at(self, time_s: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time_s, next(self._order), happen))

    def _submit(self, chain: Sequence[Job], step: int, attempt: int) -> None:
        """Wait for the head, which submits one after the other."""
        self._head_free_s = max(self._head_free_s, self._now_s) + self._submit_s
        self.outcome.submitted_s = max(self.outcome.submitted_s, self._head_free_s)
        self._at(self._head_free_s, lambda: self._enqueue(chain, step, attempt))

    def _enqueue(self, chain: Sequence[Job], step: int, attempt: int) -> None:
        self._queues[chain[step].pool].append((chain, step, attempt))
        self._start(chain[step].pool)

    def _start(self, name: str) -> None:
        """Give waiting jobs to free machines."""
        pool, queue = self._pools[name], self._queues[name]
        while queue and self._free[name]:
            chain, step, attempt = queue.popleft()
            self._free[name] -= 1
            running = self._ready[name] > 0
            self._ready[name] -= running
            setup_s = 0.0 if running else pool.acquire_s + pool.image_s
            held_s = setup_s + chain[step].task_s
            lost_s = self._random.expovariate(pool.losses_per_h / HOUR_S) if pool.losses_per_h else float("inf")
            self.outcome.attempts += 1
            end_s = self._now_s + min(held_s, lost_s)
            self.outcome.held_s[name] += min(held_s, lost_s)
            if lost_s < held_s:
                self._at(end_s, lambda c=chain, s=step, a=attempt: self._lose(c, s, a))  # type: ignore[misc]
            else:
                self._at(end_s, lambda c=chain, s=step: self._finish(c, s))  # type: ignore[misc]

    def _lose(self, chain: Sequence[Job], step: int, attempt: int) -> None:
        self.outcome.lost += 1
        self._give_back(chain[step].pool, keep=False)
        if attempt < LAST_ATTEMPT:
            self._submit(chain, step, attempt + 1)
        else:
            self.outcome.gave_up += 1

    def _finish(self, chain: Sequence[Job], step: int) -> None:
        self.outcome.work_s[chain[step].pool] += chain[step].work_s
        self.outcome.end_s = max(self.outcome.end_s, self._now_s)
        self._give_back(chain[step].pool, keep=self._pools[chain[step].pool].keeps)
        if step + 1 < len(chain):
            self._submit(chain, step + 1, 1)

    def _give_back(self, name: str, *, keep: bool) -> None:
        """Free a machine, at once where it stays, after its release where it goes."""

        def free() -> None:
            self._free[name] += 1
            self._ready[name] += keep
            self._start(name)

        self._at(self._now_s if keep else self._now_s + self._pools[name].release_s, free)
