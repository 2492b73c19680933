//! Taking leases of a replica that is closed meanwhile.

use std::cell::Cell;
use std::rc::Rc;

use loom::thread;

use crate::{ANY, Refusal, Replica, Thread, together};

#[test]
fn whoever_closed_and_then_reads_no_request_may_stop_the_replica() {
    loom::model(|| {
        let replica = Replica::alone();
        let worker = || {
            let replica = Rc::clone(&replica);
            Box::new(move || drop(replica.send(ANY, &mut None))) as Thread
        };
        let was_idle = Rc::new(Cell::new(false));
        let controller = {
            let (replica, was_idle) = (Rc::clone(&replica), Rc::clone(&was_idle));
            Box::new(move || {
                replica.gate.close();
                if replica.gate.load().requests() == 0 {
                    was_idle.set(true);
                    replica.stop();
                }
            })
        };
        together([controller, worker(), worker()]);
        assert!(replica.is_idle());
        // Else the controller would wait for a wake-up that never comes.
        assert!(was_idle.get() || replica.drained() > 0);
    });
}

#[test]
fn the_last_lease_of_a_closed_replica_tells_of_its_end_once() {
    loom::model(|| {
        let replica = Replica::alone();
        let requests = [(); 2].map(|()| replica.send(ANY, &mut None).expect("it is open"));
        replica.gate.close();
        together(requests.map(|request| Box::new(move || drop(request)) as Thread));
        assert_eq!((replica.drained(), replica.is_idle()), (1, true));
        replica.stop();
    });
}

#[test]
fn a_replica_that_comes_back_takes_requests_again() {
    loom::model(|| {
        let replica = Replica::alone();
        let request = replica.send(ANY, &mut None).expect("it is open");
        replica.gate.close();
        let finishing = thread::spawn(move || drop(request));
        assert_eq!(replica.send(ANY, &mut None).err(), Some(Refusal::Closed));
        assert!(replica.gate.open(), "it was closed");
        assert!(!replica.gate.open(), "it is open");
        drop(replica.send(ANY, &mut None).expect("it is open again"));
        finishing.join().expect("it does not panic");
        assert!(replica.is_idle());
    });
}
