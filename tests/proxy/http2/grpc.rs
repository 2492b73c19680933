//! What gRPC needs: streams both ways at one time, trailers, and errors in its own words.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};

use super::Http2;
use super::client::{head, whole};
use super::replicas::{h2c, replica, usual};
use crate::support::{Fixture, Replica, read_head, refusing};

const STATUS: &str = "grpc-status";

fn call() -> Request<()> {
    let request = Request::post("http://a.example/greet.Greeter/Hello");
    request.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap()
}

fn trailers(status: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(STATUS.parse().unwrap(), HeaderValue::from_static(status))])
}

/// Answers each message with itself, at once, and ends when the client does.
async fn echo() -> Replica {
    replica(usual(), |request, mut respond| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
        let mut stream = respond.send_response(response, false).unwrap();
        let mut body = request.into_body();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
            stream.send_data(data, false).unwrap();
        }
        stream.send_trailers(trailers("0")).unwrap();
    })
    .await
}

#[tokio::test]
async fn messages_flow_both_ways_at_one_time_and_end_with_a_status() {
    let echo = echo().await;
    let fixture = Fixture::with(&[echo.address], h2c).await;
    let mut client = Http2::connect(fixture.port).await;
    let (response, mut stream) = client.open(call(), false).await;
    let mut body = head(response).await.unwrap().into_body();
    for number in 0..20_u8 {
        stream.send_data(Bytes::from(vec![number; 10]), false).unwrap();
        let data = tokio::time::timeout(Duration::from_secs(15), body.data()).await.unwrap().unwrap().unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        assert_eq!(data, vec![number; 10]);
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert!(body.data().await.is_none());
    assert_eq!(body.trailers().await.unwrap().unwrap()[STATUS], "0");
}

#[tokio::test]
async fn a_status_without_messages_passes() {
    let refuses = replica(usual(), |_, mut respond| async move {
        let response = Response::builder().header("content-type", "application/grpc").header(STATUS, "7");
        respond.send_response(response.body(()).unwrap(), true).unwrap();
    })
    .await;
    let fixture = Fixture::with(&[refuses.address], h2c).await;
    let answer = Http2::connect(fixture.port).await.send(call(), "x").await;
    assert_eq!((answer.status, answer.field(STATUS), answer.body.as_str()), (200, Some("7"), ""));
}

/// What a call gets where this is the fleet.
async fn status_of(fixture: &Fixture, request: Request<()>, body: &str) -> (u16, String, Option<String>) {
    let answer = Http2::connect(fixture.port).await.send(request, body).await;
    assert_eq!((answer.body.as_str(), answer.trailers), ("", None), "trailers-only");
    assert_eq!(answer.headers["content-type"], "application/grpc");
    assert!(answer.headers.contains_key("grpc-message"));
    let field = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    (answer.status, field(STATUS).unwrap(), field("x-ringhold-reason"))
}

#[tokio::test]
async fn our_own_errors_are_statuses_of_grpc() {
    let told = |status: &str, reason: &str| (200, status.to_owned(), Some(reason.to_owned()));
    let nobody = Fixture::with(&[], h2c).await;
    assert_eq!(status_of(&nobody, call(), "x").await, told("14", "NoReplica"));
    let (address, _guard) = refusing();
    let unreachable = Fixture::with(&[address], h2c).await;
    assert_eq!(status_of(&unreachable, call(), "x").await, told("14", "ConnectFailed"));
    let silent = Replica::raw(|mut stream| async move { drop(read_head(&mut stream).await) }).await;
    let overdue = |policy: &mut ringhold::model::RoutePolicy| {
        policy.timeouts.response_header = Duration::from_millis(200);
        policy.limits.max_body_bytes = 5;
    };
    let held = Replica::raw(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let fixture = Fixture::with(&[held.address], overdue).await;
    assert_eq!(status_of(&fixture, call(), "x").await, told("4", "ResponseTimeout"));
    assert_eq!(status_of(&fixture, call(), "123456").await, told("8", "BodyTooLarge"));
    let fixture = Fixture::start(&[silent.address]).await;
    assert_eq!(status_of(&fixture, call(), "x").await, told("14", "UpstreamReset"));
    let elsewhere =
        |policy: &mut ringhold::model::RoutePolicy| policy.listener.hostnames = vec!["b.example".to_owned()];
    let fixture = Fixture::with(&[silent.address], elsewhere).await;
    assert_eq!(status_of(&fixture, call(), "x").await, told("12", "NoRoute"));
}

#[tokio::test]
async fn who_does_not_speak_grpc_gets_a_status_of_http() {
    let fixture = Fixture::start(&[]).await;
    let mut client = Http2::connect(fixture.port).await;
    for kind in ["application/grpc-web", "application/json", "application/grpcx"] {
        let request = Request::post("http://a.example/").header("content-type", kind).body(()).unwrap();
        assert_eq!(client.send(request, "x").await.status, 503, "{kind}");
    }
    for kind in ["application/grpc+proto", "application/grpc;x=y"] {
        let request = Request::post("http://a.example/").header("content-type", kind).body(()).unwrap();
        let (response, _stream) = client.open(request, true).await;
        assert_eq!(whole(response).await.unwrap().field(STATUS), Some("14"), "{kind}");
    }
}
