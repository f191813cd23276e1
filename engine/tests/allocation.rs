//! A decision allocates nothing, whatever it decides.

use latchkey_engine::{
    bundle,
    decide::decide,
    decision::NoTrace,
    policy::Policy,
    testing::{Prepared, Rng, World},
};

#[test]
fn a_decision_allocates_nothing() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(counted.count_total, 1, "the count works");
    let mut allowed = 0;
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let world = World::random(&mut rng);
        let policy = Policy::open(&bundle::encode(&world.index()).unwrap()).unwrap();
        let overlay = world.random_overlay(&mut rng);
        for _ in 0..100 {
            let call = world.random_call(&mut rng);
            let prepared = Prepared::new(&policy, &call);
            let slots = prepared.slots();
            let call = prepared.call(&slots);
            let mut decision = None;
            let counted = allocation_counter::measure(|| {
                decision = Some(decide(&policy, &overlay, &call, &mut NoTrace));
            });
            assert_eq!(counted.count_total, 0, "{decision:?} {call:?}");
            allowed += u32::from(decision.is_some_and(|it| it.is_allow()));
        }
    }
    assert!(allowed > 100, "{allowed} calls were allowed");
}
