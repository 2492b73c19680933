//! Whole lives of fleets by the hundred: the real tick over the fake backend, with faults, requests in flight and two
//! planners at once, all from a seed. A failing seed prints the steps that led to it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod world;

use std::time::Duration;

use ringhold::backend::fake::{Faults, SplitMix64};
use world::{Planners, World};

const SEEDS: u64 = 150;

/// Grows, shrinks, rolls out, marks, kills and makes unready, at random.
async fn shake(world: &mut World, random: &mut SplitMix64) {
    match random.below(12) {
        0 => world.scale(random.below(9)),
        1 => world.change_template(random.below(4)),
        2 => {
            world.change_rollout(random.below(3), random.below(3));
            world.change_pace(random.below(6), random.below(6));
        }
        3 => world.pick_replica(random, |backend, uid| backend.kill(uid)).await,
        4 => world.pick_replica(random, |backend, uid| backend.mark_remove_first(uid)).await,
        5 => world.pick_replica(random, |backend, uid| backend.set_ready(uid, false)).await,
        6 => world.pick_replica(random, |backend, uid| backend.set_ready(uid, true)).await,
        7 => world.backend.set_slow_start(Duration::from_secs(random.below(20))),
        _ => {}
    }
    world.send_requests(random);
}

async fn live(seed: u64, faults: Faults, planners: Planners) {
    let mut random = SplitMix64(seed);
    let mut world = World::new(seed);
    world.backend.set_faults(faults);
    for _ in 0..120 {
        shake(&mut world, &mut random).await;
        world.step(Duration::from_millis(random.below(3_000)), planners).await;
    }
    world.backend.set_faults(Faults::default());
    world.heal().await;
    world.finish_requests();
    world.settle(planners).await;
    world.stays_settled(planners).await;
}

#[tokio::test]
async fn a_fleet_without_faults_converges_and_then_rests() {
    for seed in 0..SEEDS {
        live(seed, Faults::default(), Planners::One).await;
    }
}

#[tokio::test]
async fn a_fleet_with_faults_converges_and_then_rests() {
    let faults = Faults { create_refused: 100, reply_lost: 100, sudden_death: 20, death_at_start: 200 };
    for seed in 0..SEEDS {
        live(seed, faults, Planners::One).await;
    }
}

#[tokio::test]
async fn two_planners_at_once_make_no_duplicate() {
    let faults = Faults { create_refused: 50, reply_lost: 200, sudden_death: 20, death_at_start: 100 };
    for seed in 0..SEEDS {
        live(seed, faults, Planners::TwoAtOnce).await;
    }
}

#[tokio::test]
async fn a_rollout_with_deaths_in_it_changes_no_ordinal() {
    for seed in 0..SEEDS {
        let mut random = SplitMix64(seed);
        let mut world = World::new(seed);
        world.scale(1 + random.below(7));
        world.settle(Planners::One).await;
        world.scale(random.below(4)); // may leave any set of ordinals behind, for some are made unready first
        world.pick_replica(&mut random, |backend, uid| backend.set_ready(uid, false)).await;
        world.settle(Planners::One).await;
        let members = world.members();

        world.change_rollout(random.below(3), random.below(3));
        world.change_template(7);
        for _ in 0..20 {
            if random.chance(300) {
                world.pick_replica(&mut random, |backend, uid| backend.kill(uid)).await;
            }
            world.step(Duration::from_millis(500), Planners::One).await;
            assert_eq!(world.members(), members, "seed {seed}\n{}", world.story());
        }
        world.settle(Planners::One).await;
        assert_eq!(world.members(), members, "seed {seed}\n{}", world.story());
    }
}
