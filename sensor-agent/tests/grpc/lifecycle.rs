//! Start, health, reflection and shutdown.

use std::time::Duration;

use sensor_proto::v1::agent_client::AgentClient;
use sensor_proto::v1::{Filter, StatusRequest};
use tokio_stream::StreamExt as _;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::setup::{DEADLINE, Setup};

#[tokio::test]
async fn health_follows_the_pipeline() {
    let setup = Setup::new(64).await;
    let mut client = HealthClient::new(setup.channel().await);
    let mut check = async |expected| {
        for name in ["", "sensor.v1.Detections", "sensor.v1.Agent"] {
            assert_eq!(client.status_of(name).await, expected, "{name}");
        }
    };
    check(ServingStatus::NotServing).await;
    setup.server.set_ready(true).await;
    check(ServingStatus::Serving).await;
    setup.server.set_ready(false).await;
    check(ServingStatus::NotServing).await;
}

trait StatusOf {
    async fn status_of(&mut self, service: &str) -> ServingStatus;
}

impl StatusOf for HealthClient<tonic::transport::Channel> {
    async fn status_of(&mut self, service: &str) -> ServingStatus {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        self.check(request)
            .await
            .map_or(ServingStatus::Unknown, |response| response.into_inner().status())
    }
}

#[tokio::test]
async fn reflection_lists_all_services() {
    let setup = Setup::new(64).await;
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request,
    };
    let mut client = ServerReflectionClient::new(setup.channel().await);
    let mut answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let ServerReflectionResponse {
        message_response: Some(MessageResponse::ListServicesResponse(list)),
        ..
    } = answers.next().await.unwrap().unwrap()
    else {
        panic!("no list of services")
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for name in [
        "sensor.v1.Detections",
        "sensor.v1.Agent",
        "sensor.v1.Inventory",
        "grpc.health.v1.Health",
    ] {
        assert!(
            names.iter().any(|found| found == name),
            "{name} is not in {names:?}"
        );
    }
}

#[tokio::test]
async fn status_tells_of_the_subscribers() {
    let setup = Setup::new(64).await;
    let _stream = setup.subscribe(Filter::default()).await.unwrap();
    setup.publish(1);
    let status = AgentClient::new(setup.channel().await)
        .status(StatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.version, "1.2.3");
    let [subscriber] = &status.subscribers[..] else {
        panic!("one subscriber, not {:?}", status.subscribers)
    };
    assert_eq!((subscriber.kind.as_str(), subscriber.queued_max), ("grpc", 64));
    assert!(
        subscriber.peer.contains(&format!("pid={}", std::process::id())),
        "{}",
        subscriber.peer
    );
}

#[tokio::test]
async fn shutdown_hands_out_what_is_queued_and_removes_the_socket() {
    let setup = Setup::new(4096).await;
    let socket = setup.socket();
    let mut stream = setup.subscribe(Filter::default()).await.unwrap();
    setup.wait_for_subscribers(1).await;
    for number in 0..4000 {
        setup.publish(number);
    }
    let ending = tokio::spawn(setup.server.shutdown(DEADLINE));
    assert_eq!(
        stream.rest().await.len(),
        4000,
        "and the stream's status is clean"
    );
    assert!(ending.await.unwrap());
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_client_that_reads_nothing_does_not_hold_up_the_shutdown() {
    let setup = Setup::new(100_000).await;
    let stream = setup.subscribe(Filter::default()).await.unwrap();
    setup.wait_for_subscribers(1).await;
    for number in 0..100_000 {
        setup.publish(number);
    }
    let in_time = tokio::time::timeout(DEADLINE, setup.server.shutdown(Duration::from_millis(200))).await;
    assert_eq!(in_time, Ok(false));
    drop(stream);
}

#[tokio::test]
async fn a_taken_socket_is_an_error_and_stays_usable() {
    let first = Setup::new(64).await;
    let error = Setup::with(64, 8, |grpc, _| grpc.socket = Some(first.socket()))
        .await
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .contains("socket path taken by a running process"),
        "{error}"
    );
    first.subscribe(Filter::default()).await.unwrap();
}
