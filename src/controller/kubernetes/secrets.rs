//! Certificates and authorities out of Secrets. Each Secret that a LoadBalancer names is watched by its name alone, so that
//! the operator needs no right to any other, and nothing of it is kept but what was made of it.

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
use crate::controller::kept::Found;
use crate::model::FleetId;
use crate::tls::{Authorities, Certificate, Part};

/// One look waits so long for the first word of a Secret. After a start routes should not come before their certificates.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is made of a Secret.
pub(super) struct Kind<T> {
    /// The field that names it.
    field: &'static str,
    /// Reads it, or says what is wrong with which part.
    read: fn(&Secret) -> Result<T, String>,
}

/// A listener's, as of type `kubernetes.io/tls`.
pub(super) const CERTIFICATES: Kind<Certificate> = Kind { field: "spec.listener.tls.secretName", read: certificate };
/// Who vouches for replicas, as cert-manager writes it.
pub(super) const AUTHORITIES: Kind<Authorities> = Kind { field: "spec.replicaTls.caSecretName", read: authorities };

/// The Secrets that LoadBalancers name in one field.
pub(super) struct Secrets<T> {
    client: Client,
    kind: Kind<T>,
    again: mpsc::UnboundedSender<FleetId>,
    followed: Mutex<HashMap<FleetId, Followed<T>>>,
}

/// One LoadBalancer's. Once nobody waits for it, it is not watched any more.
struct Followed<T> {
    name: String,
    found: watch::Receiver<Known<T>>,
}

/// `None`: nobody has said anything yet.
type Known<T> = Option<Arc<Found<T>>>;

/// What watches.
struct Follower<T> {
    id: FleetId,
    name: String,
    kind: Kind<T>,
    found: watch::Sender<Known<T>>,
    again: mpsc::UnboundedSender<FleetId>,
}

fn certificate(secret: &Secret) -> Result<Certificate, String> {
    Certificate::from_pem(part(secret, "tls.crt"), part(secret, "tls.key")).map_err(|error| {
        let key = match error.part() {
            Part::Certificate => "tls.crt",
            Part::Key => "tls.key",
        };
        format!("its {key} {error}")
    })
}

fn authorities(secret: &Secret) -> Result<Authorities, String> {
    Authorities::from_pem(part(secret, "ca.crt")).map_err(|error| format!("its ca.crt {error}"))
}

fn part<'s>(secret: &'s Secret, key: &str) -> &'s [u8] {
    secret.data.as_ref().and_then(|data| data.get(key)).map_or(&[], |bytes| &bytes.0)
}

// === impl Secrets ===

impl<T: Send + Sync + 'static> Secrets<T> {
    /// `again` gets the fleets whose Secret has changed.
    pub(super) fn new(client: Client, kind: Kind<T>, again: mpsc::UnboundedSender<FleetId>) -> Self {
        Self { client, kind, again, followed: Mutex::default() }
    }

    /// What is in the Secret that a fleet names; it is followed from now on. `None`: it names none.
    pub(super) async fn find(&self, id: &FleetId, name: Option<&str>) -> Known<T> {
        let Some(name) = name else {
            self.forget(id);
            return None;
        };
        let (mut found, is_new) = self.follow(id, name);
        // In time or not, what is known now is what counts. One look waits; once there is more to know, another is taken.
        if is_new {
            drop(tokio::time::timeout(PATIENCE, found.wait_for(Option::is_some)).await);
        }
        let known = found.borrow().clone();
        let unknown = "can't be read now; see whether the API server answers";
        Some(known.unwrap_or_else(|| self.kind.refused(name, "CertificateUnknown", unknown)))
    }

    pub(super) fn forget(&self, id: &FleetId) {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// What is known, and whether nobody has followed it before.
    fn follow(&self, id: &FleetId, name: &str) -> (watch::Receiver<Known<T>>, bool) {
        let mut all = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(followed) = all.get(id).filter(|followed| followed.name == name) {
            return (followed.found.clone(), false);
        }
        let (sender, found) = watch::channel(None);
        let api = Api::namespaced(self.client.clone(), &id.namespace);
        let follower = Follower {
            id: id.clone(),
            name: name.to_owned(),
            kind: self.kind,
            found: sender,
            again: self.again.clone(),
        };
        tokio::spawn(follower.run(api));
        all.insert(id.clone(), Followed { name: name.to_owned(), found: found.clone() });
        (found, true)
    }
}

// === impl Follower ===

impl<T: Send + Sync + 'static> Follower<T> {
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
                    self.tell(self.kind.read(&self.name, &secret));
                }
                Ok(Event::InitDone) if is_there => {}
                Ok(Event::InitDone | Event::Delete(_)) => self.tell(self.absent()),
                Err(error) => match refusal(&error) {
                    Some(message) => self.tell(self.forbidden(message)),
                    None => {
                        tracing::warn!(fleet = %self.id, %error, "a Secret can't be watched; what is known of it stays");
                    }
                },
            }
        }
    }

    /// Has the fleet looked at, if this is news.
    fn tell(&self, news: Arc<Found<T>>) {
        let is_news = self.found.send_if_modified(|known| {
            let before = known.as_ref().and_then(|known| known.content.as_ref().err());
            let is_news = before.is_none() || before != news.content.as_ref().err();
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

    fn absent(&self) -> Arc<Found<T>> {
        let message = format!("there is no such Secret in namespace {}; create it", self.id.namespace);
        self.kind.refused(&self.name, "CertificateMissing", &message)
    }

    fn forbidden(&self, message: &str) -> Arc<Found<T>> {
        let message = format!(
            "the operator may not read it ({message}); let it list and watch this Secret, in the Helm chart with tls.secrets"
        );
        self.kind.refused(&self.name, "CertificateForbidden", &message)
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

// === impl Kind ===

impl<T> Kind<T> {
    fn read(&self, name: &str, secret: &Secret) -> Arc<Found<T>> {
        match (self.read)(secret) {
            Ok(content) => Arc::new(Found { place: self.place(name), content: Ok(Arc::new(content)) }),
            Err(message) => self.refused(name, "CertificateInvalid", &message),
        }
    }

    fn refused(&self, name: &str, reason: &'static str, message: &str) -> Arc<Found<T>> {
        let place = self.place(name);
        let content = Err(Refusal::new(reason, &format!("{place}: {message}")));
        Arc::new(Found { place, content })
    }

    fn place(&self, name: &str) -> String {
        format!("{}: {name}", self.field)
    }
}

// Whatever is made of a Secret, this is but a name and a function.
impl<T> Clone for Kind<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Kind<T> {}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::Pending;
    use std::task::{Context, Poll};

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    /// An API server that never answers.
    struct Silent;

    impl tower_service::Service<Request<Body>> for Silent {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Pending<Result<Response<Body>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            std::future::pending()
        }
    }

    #[tokio::test]
    async fn one_look_waits_for_a_secret_and_no_other_after_it() {
        let (again, _looks) = mpsc::unbounded_channel();
        let secrets = Secrets::new(Client::new(Silent, "shop"), CERTIFICATES, again);
        let id = FleetId::local("web");
        assert!(secrets.follow(&id, "web-tls").1, "this one waits");
        let found = tokio::time::timeout(PATIENCE / 5, secrets.find(&id, Some("web-tls"))).await;
        let found = found.expect("it is not waited for again").unwrap();
        assert_eq!(found.content.as_ref().unwrap_err().reason, "CertificateUnknown");
        assert!(secrets.follow(&id, "other-tls").1, "another Secret is another matter");
    }
}
