//! A client in memory, served as `connection::http1` does it, without a watch.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http_body::Body;
use http_body_util::Full;

use super::peer::Peer;
use crate::proxy::body::ClientBody;
use crate::proxy::errors::RequestEnd;
use crate::proxy::http1::{HeadLimits, Server, Written};
use crate::proxy::message::{Request, Response};

/// Answers requests until either side has enough.
pub(super) async fn serve<F, B>(client: Peer, limits: HeadLimits, mut answer: impl FnMut(Request<ClientBody>) -> F)
where
    F: Future<Output = io::Result<Response<B>>>,
    B: Body<Data = Bytes> + Unpin,
{
    let mut server = Server::new(client, false, limits);
    while let Some(request) = poll_fn(|cx| server.poll_request(cx)).await {
        let request = match request {
            Ok(request) => request.map(|body| body.map_or(ClientBody::Empty, ClientBody::Http1)),
            Err(reason) => {
                respond(&mut server, reason.response(None, RequestEnd::Unread).map(Full::<Bytes>::new)).await;
                return;
            }
        };
        let answered = {
            let mut answering = pin!(answer(request));
            poll_fn(|cx| match answering.as_mut().poll(cx) {
                Poll::Ready(answered) => Poll::Ready(answered.ok()),
                Poll::Pending => server.poll_left(cx).map(|()| None),
            })
            .await
        };
        let Some(response) = answered else { return };
        let goes_on = respond(&mut server, response).await == Written::Whole && server.keeps_alive();
        if !goes_on || !poll_fn(|cx| server.poll_over(cx)).await {
            return;
        }
    }
}

async fn respond<B: Body<Data = Bytes> + Unpin>(server: &mut Server<Peer>, response: Response<B>) -> Written {
    let (head, body) = response.into_parts();
    server.begin_response(head, &body.size_hint());
    let mut body = Some(body).filter(|_| !server.is_bodiless());
    poll_fn(|cx| server.poll_respond(cx, &mut body)).await
}
