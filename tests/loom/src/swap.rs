//! The publisher against readers that hold a table from before: it opens what is new, stores the new table, closes what
//! has left, and then reads what that still has.

use std::cell::Cell;
use std::rc::Rc;

use loom::sync::atomic::{AtomicUsize, Ordering};

use crate::{ANY, Refusal, Replica, Thread, Total, model, together};

/// Which of the replicas the table names. A reader's copy may be old by any time.
struct Published {
    table: AtomicUsize,
    replicas: [Rc<Replica>; 2],
}

// === impl Published ===

impl Published {
    fn new() -> Rc<Self> {
        let fleet = Rc::new(Total::new());
        Rc::new(Self { table: AtomicUsize::new(0), replicas: [Replica::new(&fleet), Replica::new(&fleet)] })
    }

    /// In the order of `Publisher::swap`. True if the replica that has left is idle.
    fn swap(&self, to: usize) -> bool {
        self.replicas[to].gate.open();
        self.table.store(to, Ordering::Release);
        let leaving = &self.replicas[1 - to];
        leaving.gate.close();
        leaving.gate.load().requests() == 0
    }

    /// As a request does: by its snapshot, and where that is refused by the newest.
    fn request(&self) {
        let snapshot = self.table.load(Ordering::Acquire);
        match self.replicas[snapshot].send(ANY, &mut None) {
            Ok(request) => drop(request),
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Closed);
                let newer = self.table.load(Ordering::Acquire);
                assert_ne!(newer, snapshot, "who is refused by a table finds the next one");
                drop(self.replicas[newer].send(ANY, &mut None).expect("what a new table names is open"));
            }
        }
    }
}

#[test]
fn a_replica_that_has_left_the_table_and_is_idle_can_be_stopped() {
    model(3, || {
        let published = Published::new();
        let reader = || {
            let published = Rc::clone(&published);
            Box::new(move || published.request()) as Thread
        };
        let was_idle = Rc::new(Cell::new(false));
        let publisher = {
            let (published, was_idle) = (Rc::clone(&published), Rc::clone(&was_idle));
            Box::new(move || {
                if published.swap(1) {
                    was_idle.set(true);
                    published.replicas[0].stop();
                }
            })
        };
        together([publisher, reader(), reader()]);
        assert!(was_idle.get() || published.replicas[0].drained() > 0);
        assert!(published.replicas.iter().all(|replica| replica.is_idle()));
    });
}

#[test]
fn a_replica_that_comes_back_with_a_table_is_open_to_all_who_read_it() {
    loom::model(|| {
        let published = Published::new();
        published.replicas[1].gate.close();
        let (reader, publisher) = (Rc::clone(&published), Rc::clone(&published));
        let publish = Box::new(move || assert!(publisher.swap(1) || publisher.replicas[0].peak() == 1));
        together([publish as Thread, Box::new(move || reader.request())]);
        assert!(published.replicas.iter().all(|replica| replica.is_idle()));
    });
}
