// SPDX-License-Identifier: BSD-2-Clause

//! What all behaviours with async-nats need.

use async_nats::{Client, ConnectError, ConnectOptions, Error, Event, Message};
use async_nats::{RequestErrorKind, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use std::io::{stdin, Write};
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

pub const CONNECTIONS: usize = 6;
pub const TIMEOUT: Duration = Duration::from_secs(30);

pub type Result<T = ()> = std::result::Result<T, Error>;

/// Leaves the function with this text unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+).into());
        }
    };
}
pub(crate) use ensure;

/// A connection and what has happened to it.
pub struct Conn {
    client: Client,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Deref for Conn {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Conn {
    pub async fn open(
        url: &str,
        options: ConnectOptions,
    ) -> std::result::Result<Conn, ConnectError> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = events.clone();
        let client = options
            .request_timeout(Some(TIMEOUT))
            .reconnect_delay_callback(|_| Duration::from_millis(50))
            .event_callback(move |event| {
                seen.lock().unwrap().push(event);
                async {}
            })
            .connect(url)
            .await?;
        Ok(Conn { client, events })
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    pub fn count(&self, event: &Event) -> usize {
        self.events().iter().filter(|seen| *seen == event).count()
    }
}

pub fn main_url() -> Result<String> {
    Ok(std::env::args().nth(1).ok_or("no URL")?)
}

/// Waits for a condition; what it is, in case it never comes true.
pub async fn until(what: &str, condition: impl Fn() -> bool) -> Result {
    let end = Instant::now() + TIMEOUT;
    while !condition() {
        ensure!(Instant::now() < end, "no {what}");
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Has the harness do something; its answer.
pub fn ask(order: &str) -> Result<String> {
    let mut line = String::new();
    println!("{order}");
    std::io::stdout().flush()?;
    stdin().read_line(&mut line)?;
    Ok(line.trim().to_string())
}

pub async fn nobody(client: &Client, subject: &str) -> Result {
    match client.request(subject.to_string(), Bytes::new()).await {
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Ok(()),
        other => Err(format!("request to {subject}: {other:?}").into()),
    }
}

/// The barrier: what went before it on any connection is in force.  (This
/// library's flush() waits for no answer.)
pub async fn flush(clients: &[Conn]) -> Result {
    for client in clients {
        sync(client).await?;
    }
    Ok(())
}

pub async fn sync(client: &Client) -> Result {
    nobody(client, "barrier").await
}

pub async fn next(sub: &mut Subscriber) -> Result<Message> {
    Ok(timeout(TIMEOUT, sub.next()).await?.ok_or("end of messages")?)
}
