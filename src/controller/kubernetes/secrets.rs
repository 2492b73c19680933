//! Certificates out of Secrets. Each Secret that a listener names is watched by its name alone, so that the operator needs no
//! right to any other, and nothing of it is kept but the certificate that was made of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};

use crate::backend::kubernetes::{pauses, watching};
use crate::controller::accept::Refusal;
use crate::controller::certificate::Found;
use crate::model::{FleetId, Listener};
use crate::tls::{Certificate, Part};

/// A look waits so long for the first word of a Secret. After a start routes should not come before their certificates.
const PATIENCE: Duration = Duration::from_secs(5);

/// The Secrets that LoadBalancers name.
pub(super) struct Secrets {
    client: Client,
    again: mpsc::UnboundedSender<FleetId>,
    followed: Mutex<HashMap<FleetId, Followed>>,
}

/// One LoadBalancer's. Once nobody waits for it, it is not watched any more.
struct Followed {
    name: String,
    found: watch::Receiver<Option<Found>>,
}

/// What watches.
struct Follower {
    id: FleetId,
    name: String,
    found: watch::Sender<Option<Found>>,
    again: mpsc::UnboundedSender<FleetId>,
}

// === impl Secrets ===

impl Secrets {
    /// `again` gets the fleets whose Secret has changed.
    pub(super) fn new(client: Client, again: mpsc::UnboundedSender<FleetId>) -> Self {
        Self { client, again, followed: Mutex::default() }
    }

    /// What is in the Secret that a fleet's listener names; it is followed from now on. `None`: it names none.
    pub(super) async fn find(&self, id: &FleetId, listener: &Listener) -> Option<Found> {
        let Some(name) = listener.tls.as_ref().and_then(|tls| tls.secret.as_deref()) else {
            self.forget(id);
            return None;
        };
        let mut found = self.follow(id, name);
        // In time or not, what is known now is what counts.
        drop(tokio::time::timeout(PATIENCE, found.wait_for(Option::is_some)).await);
        let unknown = || refused(name, "CertificateUnknown", "can't be read now; see whether the API server answers");
        let known = found.borrow().clone();
        Some(known.unwrap_or_else(unknown))
    }

    pub(super) fn forget(&self, id: &FleetId) {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn follow(&self, id: &FleetId, name: &str) -> watch::Receiver<Option<Found>> {
        let mut all = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(followed) = all.get(id).filter(|followed| followed.name == name) {
            return followed.found.clone();
        }
        let (sender, found) = watch::channel(None);
        let api = Api::namespaced(self.client.clone(), &id.namespace);
        let (name, again) = (name.to_owned(), self.again.clone());
        let follower = Follower { id: id.clone(), name: name.clone(), found: sender, again };
        tokio::spawn(follower.run(api));
        all.insert(id.clone(), Followed { name, found: found.clone() });
        found
    }
}

// === impl Follower ===

impl Follower {
    async fn run(self, api: Api<Secret>) {
        let only = watching().fields(&format!("metadata.name={}", self.name));
        let mut events = std::pin::pin!(watcher(api, only).backoff(pauses()));
        let mut is_there = false;
        loop {
            let event = tokio::select! {
                () = self.found.closed() => return,
                event = events.next() => event,
            };
            let Some(event) = event else { return };
            match event {
                Ok(Event::Init) => is_there = false,
                Ok(Event::InitApply(secret) | Event::Apply(secret)) => {
                    is_there = true;
                    self.tell(read(&self.name, &secret));
                }
                Ok(Event::InitDone) if is_there => {}
                Ok(Event::InitDone | Event::Delete(_)) => self.tell(self.absent()),
                Err(error) => match refusal(&error) {
                    Some(message) => self.tell(self.forbidden(message)),
                    None => {
                        tracing::warn!(fleet = %self.id, %error, "a Secret can't be watched; what is known of it stays")
                    }
                },
            }
        }
    }

    /// Has the fleet looked at, if this is news.
    fn tell(&self, news: Found) {
        let is_news = self.found.send_if_modified(|known| {
            let before = known.as_ref().and_then(|known| known.certificate.as_ref().err());
            let is_news = before.is_none() || before != news.certificate.as_ref().err();
            if is_news {
                *known = Some(news);
            }
            is_news
        });
        if is_news {
            // Nobody listens any more: we are shutting down.
            let _ = self.again.send(self.id.clone());
        }
    }

    fn absent(&self) -> Found {
        let message = format!("there is no such Secret in namespace {}; create it", self.id.namespace);
        refused(&self.name, "CertificateMissing", &message)
    }

    fn forbidden(&self, message: &str) -> Found {
        let message = format!(
            "the operator may not read it ({message}); let it list and watch this Secret, in the Helm chart with tls.secrets"
        );
        refused(&self.name, "CertificateForbidden", &message)
    }
}

/// The API server's words, if it said that we may not.
fn refusal(error: &watcher::Error) -> Option<&str> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 403 =>
        {
            Some(&status.message)
        }
        _ => None,
    }
}

fn place(name: &str) -> String {
    format!("spec.listener.tls.secretName: {name}")
}

fn refused(name: &str, reason: &'static str, message: &str) -> Found {
    let place = place(name);
    let certificate = Err(Refusal::new(reason, &format!("{place}: {message}")));
    Found { place, certificate }
}

fn read(name: &str, secret: &Secret) -> Found {
    let part = |key: &str| secret.data.as_ref().and_then(|data| data.get(key)).map_or(&[][..], |bytes| &bytes.0);
    match Certificate::from_pem(part("tls.crt"), part("tls.key")) {
        Ok(certificate) => Found { place: place(name), certificate: Ok(Arc::new(certificate)) },
        Err(error) => {
            let key = match error.part() {
                Part::Certificate => "tls.crt",
                Part::Key => "tls.key",
            };
            refused(name, "CertificateInvalid", &format!("its {key} {error}"))
        }
    }
}
