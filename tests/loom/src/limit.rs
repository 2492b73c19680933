//! The limit of requests at one time.

use std::cell::Cell;
use std::rc::Rc;

use crate::{Refusal, Replica, Terms, Thread, model, together};

/// So many threads send a request each, and whoever is refused leaves its fleet again. Returns the peak and how many
/// were refused.
fn race(threads: usize, limit: u32) -> (usize, usize) {
    let (replica, refused) = (Replica::alone(), Rc::new(Cell::new(0)));
    together((0..threads).map(|_| {
        let (replica, refused) = (Rc::clone(&replica), Rc::clone(&refused));
        Box::new(move || {
            let mut place = Some(replica.total.enter());
            match replica.send(Terms { limit, bound: None }, &mut place) {
                Ok(request) => drop(request),
                Err(refusal) => {
                    assert_eq!(refusal, Refusal::Full);
                    refused.update(|refused| refused + 1);
                }
            }
        }) as Thread
    }));
    assert!(replica.is_idle());
    (replica.peak(), refused.get())
}

#[test]
fn no_race_exceeds_the_limit() {
    model(3, || assert_eq!(race(3, 1).0, 1));
    model(3, || assert!(race(3, 2).0 <= 2));
}

#[test]
fn nobody_is_refused_while_there_is_room_for_all() {
    loom::model(|| assert_eq!(race(2, 2).1, 0));
    model(3, || assert_eq!(race(3, 3).1, 0));
}
