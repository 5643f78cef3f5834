//! Clients of the API that would take it away from others.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use tandem_e2e::{Network, Options, Tandem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;

#[test]
fn slow_clients_leave_the_api_to_others() {
    let network = Network::claim();
    let tandem = Tandem::start(&network, &Options::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let begun = Instant::now();
    // One address that would have all places, and more of them that would together.
    let greedy = std::iter::repeat_n(2, 540).chain((10..20).flat_map(|host| std::iter::repeat_n(host, 60)));
    let server = SocketAddr::new(network.host(1), 8080);
    let slow: Vec<JoinHandle<String>> =
        greedy.map(|host| runtime.spawn(slow_sign_in(network.host(host), server))).collect();

    let mut asked = 0;
    while slow.iter().any(|client| !client.is_finished()) {
        assert!(begun.elapsed() < CLOSED_WITHIN, "{} are open", slow.iter().filter(|one| !one.is_finished()).count());
        for path in ["/health/live", "/api/v1/telephony/trunks"] {
            let client = reqwest::Client::builder().local_address(network.host(3)).timeout(ANSWERED_WITHIN);
            let url = format!("http://{server}{path}");
            let asking = client.build().unwrap().get(&url).bearer_auth(tandem.api().key());
            let answer =
                runtime.block_on(async { asking.send().await }).unwrap_or_else(|error| panic!("{path}: {error:?}"));
            assert_eq!(answer.status().as_u16(), 200, "{path}");
            asked += 1;
        }
    }
    assert!(asked >= 10, "others were asked all along: {asked}");
    let answers: Vec<String> = slow.into_iter().map(|client| runtime.block_on(client).unwrap()).collect();
    let late = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 408 ")).count();
    let refused = answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 503 ")).count();
    assert!((64..=512).contains(&late), "{late} had a place, {refused} were refused");
    assert!(answers.iter().any(|answer| answer.contains("\"code\":\"request_timeout\"")));
}

/// Sends a request that never ends, and gives what it is answered; nothing when the connection is torn down.
async fn slow_sign_in(from: IpAddr, server: SocketAddr) -> String {
    let mut connection = connect(from, server).await.expect("the kernel takes connections for a node that is busy");
    let head = "POST /api/v1/telephony/sessions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";
    let mut answer = Vec::new();
    // Who is refused may find the connection gone.
    if connection.write_all(head.as_bytes()).await.is_ok() {
        let _ = connection.read_to_end(&mut answer).await;
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn connect(from: IpAddr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(server).await
}

/// Those who are not slow are answered in this time.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// A body has 10 s, and a busy machine more.
const CLOSED_WITHIN: Duration = Duration::from_secs(30);
