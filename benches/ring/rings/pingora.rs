//! The crate `pingora-ketama`.

use std::net::{Ipv4Addr, SocketAddr};

use pingora_ketama::{Bucket, Continuum};

use super::{Change, NOBODY, Ring, Subject};

struct Circle(Continuum);

pub(crate) fn pingora_ketama() -> Subject {
    Subject::new("pingora-ketama 0.9.1", "CRC-32", |members| Ok(Box::new(Circle(build(members)))))
}

/// A member's address. The port tells which it is.
pub(super) fn address(id: u16) -> SocketAddr {
    let [high, low] = id.to_be_bytes();
    (Ipv4Addr::new(10, 0, high, low), id + 1).into()
}

fn id(address: &SocketAddr) -> u16 {
    address.port() - 1
}

fn build(members: &[u16]) -> Continuum {
    let buckets: Vec<Bucket> = members.iter().map(|id| Bucket::new(address(*id), 1)).collect();
    Continuum::new(&buckets)
}

impl Ring for Circle {
    #[inline(always)]
    fn owner(&self, key: &[u8]) -> u16 {
        self.0.node(key).map_or(NOBODY, |address| id(&address))
    }

    /// Its iterator names whose each following point is; who has come already is for the caller to skip.
    #[inline(always)]
    fn three(&self, key: &[u8]) -> [u16; 3] {
        let (mut three, mut found) = ([NOBODY; 3], 0);
        for address in self.0.node_iter(key) {
            let id = id(address);
            if !three[..found].contains(&id) {
                three[found] = id;
                found += 1;
                if found == three.len() {
                    break;
                }
            }
        }
        three
    }

    fn change(&mut self, _: Change, members: &[u16]) -> anyhow::Result<()> {
        self.0 = build(members);
        Ok(())
    }
}
