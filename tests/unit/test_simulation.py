"""The simulator against its sources and against arithmetic that can be done by hand."""

from dataclasses import replace

import pytest

from cellbatch.planning.cost import FUSED, Fleet, Station
from cellbatch.planning.rates import GOOGLE_ON_DEMAND, Rates
from cellbatch.planning.scenarios import (
    FOUNDING_MEASURED_MIN,
    Kiosk,
    fit_acquire_s,
    founding_min,
    preload_saving_min,
    recommended_gpus,
    saving_min,
    simulate_fused,
    simulate_kiosk,
)
from cellbatch.planning.simulation import Job, Pool, Run
from cellbatch.spec import LAST_ATTEMPT


def test_jobs_wait_for_machines_and_for_the_head():
    outcome = Run({"gpu": Pool(2, acquire_s=10, image_s=5)}, submit_s=3).simulate([[Job("gpu", 20, 20)]] * 3)
    # submitted at 3, 6, 9; the third waits for the machine of the first, which is given back at 38
    assert outcome.end_s == 3 + 35 + 35
    assert outcome.held_s["gpu"] == 3 * 35
    assert outcome.submitted_s == 9


def test_a_pool_keeps_its_machines():
    jobs = [[Job("gpu", 20, 20)]] * 3
    one = Pool(1, acquire_s=10, release_s=7)
    assert Run({"gpu": one}, 0).simulate(jobs).end_s == 3 * 30 + 2 * 7
    assert Run({"gpu": Pool(1, acquire_s=10, release_s=7, keeps=True)}, 0).simulate(jobs).end_s == 10 + 60
    assert Run({"gpu": Pool(1, acquire_s=10, keeps=True, warm=True)}, 0).simulate(jobs).end_s == 60


def test_a_chain_runs_in_order_on_its_own_machines():
    chain = [Job("cpu", 5, 5), Job("gpu", 7, 7)]
    outcome = Run({"cpu": Pool(1), "gpu": Pool(1)}, submit_s=1).simulate([chain, chain])
    # the second waits for the GPU until the first has left it at 1 + 5 + 1 + 7
    assert outcome.end_s == 14 + 7
    assert outcome.attempts == 4


def test_arrivals_delay_what_is_not_there_yet():
    outcome = Run({"gpu": Pool(5)}, 0).simulate([[Job("gpu", 2, 2)]] * 2, arrivals_s=[0, 100])
    assert outcome.end_s == 102


def test_losses_are_paid_retried_and_counted():
    pool = Pool(4, losses_per_h=6)
    outcome = Run({"gpu": pool}, 0, seed=3).simulate([[Job("gpu", 300, 300)]] * 200)
    assert outcome.lost > 20
    assert outcome.attempts == 200 + outcome.lost - outcome.gave_up
    assert outcome.work_s["gpu"] == 300 * (200 - outcome.gave_up)
    assert outcome.held_s["gpu"] > outcome.work_s["gpu"]
    assert outcome.dollars({"gpu": Pool(4, hour=3600)}) == pytest.approx(outcome.held_s["gpu"])


def test_a_job_that_is_always_lost_gives_up_after_the_last_attempt():
    outcome = Run({"gpu": Pool(1, losses_per_h=1e9)}, 0).simulate([[Job("gpu", 300, 300)]])
    assert (outcome.attempts, outcome.lost, outcome.gave_up) == (LAST_ATTEMPT, LAST_ATTEMPT, 1)


def test_the_pools_of_the_founding_post_are_predicted_from_the_row_without():
    acquire_s = fit_acquire_s()
    assert founding_min("one job each", acquire_s) == pytest.approx(FOUNDING_MEASURED_MIN["one job each"], abs=0.01)
    for row in ("cold pool", "warm pool"):
        assert founding_min(row, acquire_s) == pytest.approx(FOUNDING_MEASURED_MIN[row], rel=0.15)


def test_the_arithmetic_of_the_founding_post():
    assert 12 - saving_min(11 / 6, 15, 4) == pytest.approx(6.5)
    assert [round(minutes, 1) for minutes in preload_saving_min()] == [2.4, 0.6]


def test_the_kiosk_lies_within_what_is_predicted_for_it():
    runs = [simulate_kiosk(10**6, 8, 2400, Kiosk(images_per_s=speed), step_s=60) for speed in (5, 10)]
    hours, dollars = ([getattr(run, name) for run in runs] for name in ("hours", "dollars"))
    assert min(hours) < 5.5 < max(hours)
    assert min(dollars) < 250 < max(dollars)
    assert sum((runs[0].network_and_data, runs[0].gpu_nodes, runs[0].cpu_nodes)) == pytest.approx(runs[0].dollars)


def test_more_gpus_than_the_upload_feeds_do_not_help():
    enough = recommended_gpus(240, Kiosk())
    at, above = (simulate_kiosk(10**5, gpus, 240, Kiosk(), step_s=30) for gpus in (enough, 4 * enough))
    assert above.hours == pytest.approx(at.hours, rel=0.1)
    assert above.dollars > 1.1 * at.dollars


def test_a_job_array_starts_its_machines_once_and_when_all_of_it_is_prepared():
    rates = Rates(plan_s=0.0, report_s=0.0)
    place = replace(GOOGLE_ON_DEMAND, start_s=100.0, submit_s=3.0)
    fleet = Fleet({FUSED: Station(2, 16, True, 1.0, "gpu")}, place, "on_demand")
    chains = [[Job("gpu", 50.0, 50.0)]] * 6
    single, array = (simulate_fused(chains, fleet, 0, 0, rates, is_array=is_array)[0] for is_array in (False, True))
    # two machines, three tasks each: a start before every one, or after six preparations before the first
    assert single.end_s == 6 + 3 * (100 + 50)
    assert array.end_s == 6 * 3 + 100 + 3 * 50
    assert array.held_s["gpu"] == 2 * (100 + 3 * 50)
