//! Reads an agent's metrics, as Prometheus does.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use anyhow::Context as _;

/// An address on loopback that nobody listens on at this moment.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// What the agent answers to a request for this path, with the heads.
pub fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).context("no agent listens for a scrape")?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// All samples by name and labels, as they stand in the text: `sensor_table_entries{table="containers"}`.
pub fn scrape(address: SocketAddr) -> anyhow::Result<BTreeMap<String, f64>> {
    let text = get(address, "/metrics")?;
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    Ok(text
        .lines()
        .filter(|line| line.starts_with("sensor_"))
        .filter_map(sample)
        .collect())
}
