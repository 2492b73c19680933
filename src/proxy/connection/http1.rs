//! A connection of HTTP/1 from its first request to its end. What is overdue is told by the watch, and ends here.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http_body::Body;
use http_body_util::Full;
use tokio::io::AsyncWrite;

use crate::proxy::body::{ClientBody, ResponseBody};
use crate::proxy::connection::{Client, Lane};
use crate::proxy::errors::{Reason, RequestEnd};
use crate::proxy::http1::{Server, Written};
use crate::proxy::message::{Request, Response};
use crate::proxy::socket::{ClientIo, Socket};
use crate::proxy::watch::Phase;
use crate::proxy::{headers, service};

/// How a connection ends.
enum End {
    /// What came is no request, which the client is told.
    NoRequest(Reason),
    /// The client speaks HTTP/2.
    Http2,
    /// Both sides have said what they wanted to.
    InOrder,
    /// Who is left has nothing to expect.
    AtOnce,
}

/// A connection that speaks HTTP/1.
struct Http1<'c, S: Socket> {
    client: &'c Rc<Client>,
    lane: Rc<Lane>,
    server: Server<ClientIo<S>>,
}

/// Answers requests until either side has enough. Returns the stream if the client turns out to speak HTTP/2.
pub(super) async fn run<S: Socket>(client: &Rc<Client>, io: ClientIo<S>) -> Option<ClientIo<S>> {
    let server = Server::new(io, S::IS_BUFFERED, client.worker.head_limits());
    let mut connection = Http1 { client, lane: Rc::new(Lane::of_connection(client)), server };
    loop {
        let request = match connection.request().await {
            Ok(request) => request,
            Err(end) => return connection.end(end).await,
        };
        let response = connection.answer(request).await?;
        let (head, mut body) = response.into_parts();
        let tunnel = body.take_tunnel();
        let written = connection.respond(head, body).await;
        if let Some(tunnel) = tunnel {
            if written == Written::Whole {
                Box::pin(tunnel.run(connection.server.into_upgraded()?)).await;
            }
            return None;
        }
        if let Err(end) = connection.after(written).await {
            return connection.end(end).await;
        }
    }
}

// === impl Http1 ===

impl<S: Socket> Http1<'_, S> {
    /// Waits for a request.
    async fn request(&mut self) -> Result<Request<ClientBody>, End> {
        let Self { client, server, .. } = self;
        let watch = &client.watch;
        if watch.phase() == Phase::Idle && server.has_begun() {
            watch.on_read(); // it came while the last one was answered
        }
        poll_fn(|cx| {
            Poll::Ready(match server.poll_request(cx) {
                Poll::Ready(Some(Ok(request))) => {
                    Ok(request.map(|body| body.map_or(ClientBody::Empty, ClientBody::Http1)))
                }
                Poll::Ready(Some(Err(reason))) => Err(End::NoRequest(reason)),
                Poll::Ready(None) => Err(End::InOrder),
                Poll::Pending if watch.phase() == Phase::Vacant => Err(End::Http2),
                Poll::Pending if watch.is_expired() && watch.phase() == Phase::Idle => Err(End::InOrder),
                Poll::Pending if watch.is_expired() => Err(End::AtOnce),
                Poll::Pending => return Poll::Pending,
            })
        })
        .await
    }

    /// `None`: the client has left before there was an answer.
    async fn answer(&mut self, request: Request<ClientBody>) -> Option<Response<ResponseBody>> {
        let Self { lane, server, .. } = self;
        // What is overdue in here is seen, and answered, in there.
        let mut answering = pin!(service::handle(Rc::clone(lane), request));
        poll_fn(|cx| {
            let polled = answering.as_mut().poll(cx);
            for mut interim in lane.take_interims() {
                headers::prepare_response(interim.headers_mut());
                server.send_interim(&interim);
            }
            match polled {
                Poll::Ready(Ok(response)) => Poll::Ready(Some(response)),
                Poll::Pending => server.poll_left(cx).map(|()| None),
            }
        })
        .await
    }

    async fn respond(&mut self, head: Response<()>, body: ResponseBody) -> Written {
        let Self { client, server, .. } = self;
        let watch = &client.watch;
        server.begin_response(head, &body.size_hint());
        let mut body = Some(body).filter(|_| !server.is_bodiless());
        let mut is_last_time = false;
        poll_fn(|cx| {
            if let Poll::Ready(written) = server.poll_respond(cx, &mut body) {
                return Poll::Ready(written);
            }
            if let Some(body) = &mut body {
                body.poll_upload(cx);
            }
            if !watch.is_expired() {
                return Poll::Pending;
            }
            // Where only the drain cut its time short, a client has as long for the rest of a response as ever.
            if watch.phase() == Phase::Idle
                && client.worker.is_draining()
                && !std::mem::replace(&mut is_last_time, true)
            {
                watch.enter(Phase::Idle, client.idle.get());
                return Poll::Pending;
            }
            if matches!(watch.phase(), Phase::Idle | Phase::Stream) {
                watch.mark_broken();
            }
            Poll::Ready(Written::Left)
        })
        .await
    }

    /// Waits until another request may follow a response.
    async fn after(&mut self, written: Written) -> Result<(), End> {
        let Self { client, server, .. } = self;
        let watch = &client.watch;
        if written != Written::Whole {
            return Err(End::AtOnce);
        }
        let mut is_over = server.is_over();
        if !is_over {
            watch.enter(Phase::Rest, client.idle.get());
            is_over = poll_fn(|cx| match server.poll_over(cx) {
                Poll::Pending if watch.is_expired() => Poll::Ready(false),
                polled => polled,
            })
            .await;
            watch.enter(Phase::Idle, client.worker.idle(client.idle.get()));
        }
        if !is_over {
            watch.mark_unread();
        }
        if is_over && server.keeps_alive() { Ok(()) } else { Err(End::InOrder) }
    }

    /// Tells who has sent what is no request.
    async fn refuse(&mut self, reason: Reason) {
        let Self { client, server, .. } = self;
        client.watch.enter(Phase::Stream, client.idle.get());
        client.watch.mark_unread();
        let (head, bytes) = reason.response(None, RequestEnd::Unread).into_parts();
        client.on_no_request(reason, bytes.len());
        let body = Full::<Bytes>::new(bytes);
        let (size, mut body) = (body.size_hint(), Some(body));
        server.begin_response(head, &size);
        poll_fn(|cx| match server.poll_respond(cx, &mut body) {
            Poll::Pending if client.watch.is_expired() => Poll::Ready(()),
            polled => polled.map(drop),
        })
        .await;
    }

    /// Ends it so. The stream, where that goes on.
    async fn end(mut self, end: End) -> Option<ClientIo<S>> {
        match end {
            End::Http2 => return self.server.close(),
            End::AtOnce => return None,
            End::NoRequest(reason) => self.refuse(reason).await,
            End::InOrder => {}
        }
        let mut io = self.server.close()?;
        // Says that nothing more comes.
        poll_fn(|cx| match Pin::new(&mut io).poll_shutdown(cx) {
            Poll::Pending if self.client.watch.is_expired() => Poll::Ready(()),
            polled => polled.map(drop),
        })
        .await;
        None
    }
}
