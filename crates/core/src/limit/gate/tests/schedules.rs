//! Random schedules of several instances, on stores whose calls take their time.

use std::cell::Cell;

use super::*;
use crate::testing::{StoreDouble, all, schedules};

/// Who is inside of a lane, and the most that were.
#[derive(Default)]
struct Inside(Cell<i64>, Cell<i64>);

impl Inside {
    fn enter(&self) {
        self.0.set(self.0.get() + 1);
        self.1.set(self.1.get().max(self.0.get()));
    }

    fn leave(&self) {
        self.0.set(self.0.get() - 1);
    }
}

/// An instance whose store takes up to so long, and whose clock is ahead.
fn delayed(world: &World, limits: &Limits, seed: u64, most: u64, ahead: u64) -> Gate {
    let most = Duration::from_millis(most);
    let double = StoreDouble::delaying(&world.store, &world.clock, seed, most);
    let ahead = Duration::from_millis(ahead);
    let ports = Ports {
        clock: Arc::new(world.clock.skewed(ahead)),
        ..double.in_ports(world.ports())
    };
    Gate::new(limits.clone(), &Store::open(&ports))
}

/// One call: when it comes, how long it holds its slot, and whether it dies with
/// it instead of giving it back.
type Come = (u64, u64, bool);

fn come(most: usize) -> impl Strategy<Value = Vec<Come>> {
    let dies = prop::bool::weighted(0.1);
    prop::collection::vec((0..25_000_u64, 1..9_000_u64, dies), 3..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(schedules()))]

    /// A lane holds, and all get through, on a store whose calls take up to 0.9 s
    /// before and after they act, with clocks 250 ms apart; those who die inside
    /// are forgotten.
    #[test]
    fn a_lane_is_never_exceeded_and_heals(
        limit in 1..4_u32, most in 0..=900_u64, skew in 0..=250_u64, seed: u64, come in come(14),
    ) {
        let world = World::new();
        let limits = limits(LaneConfig::new(limit));
        let inside = Inside::default();
        world.run(all(come.iter().enumerate().map(|(n, (start, hold, dies))| {
            // Nobody runs the tasks of who is to die: neither does it renew its
            // lease, nor give it back.
            let of = if *dies { world.instance() } else { world.clone() };
            let gate = delayed(&of, &limits, seed ^ n as u64, most, skew * (n as u64 % 2));
            let (clock, inside) = (&world.clock, &inside);
            async move {
                clock.sleep(Duration::from_millis(*start)).await;
                let entered = gate.enter(&call("x"), &gate.entry(&"x".into()).unwrap()).await.unwrap();
                inside.enter();
                clock.sleep(Duration::from_millis(*hold % if *dies { 1_000 } else { u64::MAX })).await;
                inside.leave();
                drop(entered);
            }
        })));
        world.drain();
        prop_assert!(inside.1.get() <= i64::from(limit), "{} inside, {limit} allowed", inside.1.get());
    }

    /// The same for a guest that is busy with a store which blocks it, beside one
    /// that is near to the store.
    #[test]
    fn a_busy_guest_keeps_its_leases(
        limit in 1..5_u32, most in 0..=900_u64, seed: u64, come in come(8), near in come(8),
    ) {
        let world = World::new();
        let limits = limits(LaneConfig::new(limit));
        let inside = Inside::default();
        let blocking = StoreDouble::blocking(&world.store, &world.clock, seed, Duration::from_millis(most));
        let far = Gate::new(limits.clone(), &Store::open(&blocking.in_ports(world.ports())));
        let (far, quick) = (Arc::new(far), Arc::new(instance(&world, &limits, Duration::ZERO)));
        let one = |gate: &Arc<Gate>, start: u64, hold: u64| {
            let (gate, entry) = (Arc::clone(gate), gate.entry(&"x".into()).unwrap());
            let (world, inside) = (&world, &inside);
            async move {
                world.clock.sleep(Duration::from_millis(start)).await;
                let entered = gate.enter(&call("x"), &entry).await.unwrap();
                inside.enter();
                world.clock.sleep(Duration::from_millis(hold)).await;
                inside.leave();
                drop(entered);
            }
        };
        let far = come.iter().map(|(start, hold, _)| one(&far, *start, *hold).boxed_local());
        let near = near.iter().map(|(start, ..)| one(&quick, *start, 10).boxed_local());
        world.run(all(far.chain(near)));
        world.drain();
        prop_assert!(inside.1.get() <= i64::from(limit), "{} inside, {limit} allowed", inside.1.get());
    }

    /// Rates hold, the lane's and that of all, with a second's worth of burst.
    #[test]
    fn rates_are_never_passed(
        global in 5..60_u32, lane in 1..20_u32, most in 0..=900_u64, skew in 0..=250_u64, seed: u64,
        calls in prop::collection::vec((0..4_000_u64, any::<bool>(), 0..400_u64), 1..25),
    ) {
        let world = World::new();
        let mut limits = limits(LaneConfig::new(30));
        limits.other_lanes = Some(LaneConfig::new(30));
        (limits.rate, limits.burst) = rated(global, global).unwrap();
        limits.lanes.get_mut("x").unwrap().limits.rate = rated(lane, lane.max(2));
        let (of_all, of_lane) = (Starts::default(), Starts::default());
        let begin = world.clock.now();
        world.run(all(calls.iter().enumerate().map(|(n, (start, rated, took))| {
            let gate = delayed(&world, &limits, seed ^ n as u64, most, skew * (n as u64 % 2));
            let (world, of_all, of_lane) = (&world, &of_all, &of_lane);
            async move {
                world.clock.sleep(Duration::from_millis(*start)).await;
                let lane = if *rated { "x" } else { "y" };
                let entered = gate.enter(&call(lane), &gate.entry(&lane.into()).unwrap()).await.unwrap();
                let at = world.clock.now() - begin;
                of_all.borrow_mut().push(at);
                if *rated {
                    of_lane.borrow_mut().push(at);
                }
                world.clock.sleep(Duration::from_millis(*took)).await;
                drop(entered);
            }
        })));
        world.drain();
        check(&of_all, global, global)?;
        check(&of_lane, lane, lane.max(2))?;
    }

    /// Whatever the store does: no attempt starts after its deadline, and none
    /// costs more than so many calls of the store a second.
    #[test]
    fn no_attempt_starts_after_its_deadline(
        most in 0..=900_u64, blocks: bool, seed: u64, rated_lane: bool,
        calls in prop::collection::vec((0..3_000_u64, 0..6_000_u64), 1..12),
    ) {
        let world = World::new();
        let mut limits = limits(LaneConfig::new(2));
        if rated_lane {
            limits.lanes.get_mut("x").unwrap().limits.rate = rated(2, 2);
        }
        let late = Cell::new(None);
        world.run(all(calls.iter().enumerate().map(|(n, (start, patience))| {
            let (seed, most) = (seed ^ n as u64, Duration::from_millis(most));
            let double = match blocks {
                true => StoreDouble::blocking(&world.store, &world.clock, seed, most),
                false => StoreDouble::delaying(&world.store, &world.clock, seed, most),
            };
            let gate = Gate::new(limits.clone(), &Store::open(&double.in_ports(world.ports())));
            let (world, late) = (&world, &late);
            async move {
                world.clock.sleep(Duration::from_millis(*start)).await;
                let deadline = world.clock.now() + Duration::from_millis(*patience);
                let call = call("x").until(deadline);
                let entered = gate.enter(&call, &gate.entry(&"x".into()).unwrap()).await;
                if entered.is_ok() && world.clock.now() > deadline {
                    late.set(Some(world.clock.now() - deadline));
                }
                world.clock.sleep(300 * MILLI).await;
                drop(entered);
            }
        })));
        world.drain();
        prop_assert_eq!(late.get(), None);
    }
}
