//! Bounded load with factor 1, where there is no slack for any race to hide in.

use std::rc::Rc;

use crate::gate::Bound;
use crate::{Place, Replica, Request, Terms, Thread, Total, model, together};

/// A fleet of replicas with weights.
struct Fleet {
    total: Rc<Total>,
    replicas: Vec<(Rc<Replica>, u128)>,
}

// === impl Fleet ===

impl Fleet {
    fn new<const N: usize>(weights: [u128; N]) -> Rc<Self> {
        let total = Rc::new(Total::new());
        let replicas = weights.into_iter().map(|weight| (Replica::new(&total), weight)).collect();
        Rc::new(Self { total, replicas })
    }

    fn weight(&self) -> u128 {
        self.replicas.iter().map(|(_, weight)| weight).sum()
    }

    /// As `Route::pick` does: the first within its bound, beginning with one's own.
    fn request(&self, first: usize) -> Request {
        let mut place = Some(self.total.enter());
        let mut lost = 0;
        loop {
            if let Some(request) = self.look(first, &mut place) {
                return request;
            }
            lost += 1;
            let taken: usize = self.replicas.iter().map(|(replica, _)| replica.notes.taken.get()).sum();
            assert!(lost <= taken, "nobody was within the bound, though nobody else had got on");
        }
    }

    fn look(&self, first: usize, place: &mut Option<Place<'_>>) -> Option<Request> {
        let requests = u128::from(place.as_ref().map_or(0, Place::requests));
        let (before, from) = self.replicas.split_at(first);
        from.iter().chain(before).find_map(|(replica, weight)| {
            let bound = Bound { numerator: requests * weight, denominator: self.weight() };
            replica.send(Terms { limit: 0, bound: Some(bound) }, place).ok()
        })
    }

    /// So many clients ask for the first replica, each again once it was answered; then the bound held.
    fn race(self: &Rc<Self>, clients: usize, requests: usize) {
        together((0..clients).map(|_| {
            let fleet = Rc::clone(self);
            Box::new(move || (0..requests).for_each(|_| drop(fleet.request(0)))) as Thread
        }));
        for (replica, weight) in &self.replicas {
            let bound = (clients as u128 * weight).div_ceil(self.weight());
            assert!(replica.peak() as u128 <= bound, "{} requests, {bound} allowed", replica.peak());
            assert!(replica.is_idle());
        }
    }
}

#[test]
fn two_racing_clients_share_two_replicas() {
    loom::model(|| Fleet::new([1, 1]).race(2, 1));
}

#[test]
fn three_racing_clients_share_two_replicas() {
    model(3, || Fleet::new([1, 1]).race(3, 1));
}

#[test]
fn three_racing_clients_share_by_weight() {
    model(3, || Fleet::new([1, 2]).race(3, 1));
}

#[test]
fn clients_who_ask_again_share_two_replicas() {
    model(3, || Fleet::new([1, 1]).race(2, 2));
}

#[test]
fn a_single_replica_takes_all() {
    model(3, || Fleet::new([1]).race(2, 2));
}
