// SPDX-License-Identifier: BSD-2-Clause

//! All behaviours with async-nats: several connections, each publishing to
//! all.

mod common;
mod depth;

use async_nats::{ConnectOptions, Event, HeaderMap, Subscriber};
use bytes::Bytes;
use common::{ask, ensure, flush, main_url, next, nobody, sync, until};
use common::{Conn, Result, CONNECTIONS, TIMEOUT};
use futures_util::StreamExt;
use std::collections::HashSet;
use tokio::sync::mpsc;
use tokio::time::timeout;

async fn subscribe_all(clients: &[Conn], subject: &str) -> Result<Vec<Subscriber>> {
    let mut subs = Vec::new();
    for client in clients {
        subs.push(client.subscribe(subject.to_string()).await?);
    }
    flush(clients).await?;
    Ok(subs)
}

async fn publish_numbered(clients: &[Conn], subject: &str, count: usize) -> Result {
    for (from, client) in clients.iter().enumerate() {
        for n in 0..count {
            let text = format!("{from} {n}");
            client.publish(subject.to_string(), text.into()).await?;
        }
    }
    Ok(())
}

/// Each connection publishes; each subscription gets everything, what is from
/// one publisher in order.
async fn exchange(
    clients: &[Conn],
    subject: &str,
    subs: &mut [Subscriber],
    count: usize,
) -> Result {
    publish_numbered(clients, subject, count).await?;
    for sub in subs {
        let mut following = [0; CONNECTIONS];
        for _ in 0..CONNECTIONS * count {
            let message = next(sub).await?;
            let text = std::str::from_utf8(&message.payload)?;
            let (from, n) = text.split_once(' ').ok_or("no number")?;
            let from: usize = from.parse()?;
            ensure!(n.parse() == Ok(following[from]), "{n} of {from}");
            following[from] += 1;
        }
    }
    Ok(())
}

async fn publish_subscribe(clients: &[Conn]) -> Result {
    let mut subs = subscribe_all(clients, "all").await?;
    exchange(clients, "all", &mut subs, 100).await
}

async fn wildcards(clients: &[Conn]) -> Result {
    let published =
        ["wild", "wild.a", "wild.a.c", "wild.b.c", "wild.a.b.c", "other.a.c", "wild.end.c"];
    for (pattern, subjects) in [
        ("wild.*.c", vec!["wild.a.c", "wild.b.c", "wild.end.c"]),
        ("wild.>", vec!["wild.a", "wild.a.c", "wild.b.c", "wild.a.b.c", "wild.end.c"]),
    ] {
        let mut subs = subscribe_all(clients, pattern).await?;
        for subject in published {
            clients[0].publish(subject, Bytes::new()).await?;
        }
        for sub in &mut subs {
            for subject in &subjects {
                let got = next(sub).await?.subject;
                ensure!(got.as_str() == *subject, "{pattern}: {got} instead of {subject}");
            }
        }
    }
    Ok(())
}

async fn queue_groups(clients: &[Conn]) -> Result {
    const COUNT: usize = 50;
    let (sender, mut jobs) = mpsc::unbounded_channel();
    let mut seen = HashSet::new();
    let mut busy = HashSet::new();
    for (number, client) in clients.iter().enumerate() {
        let mut sub = client.queue_subscribe("jobs", "group".into()).await?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Some(message) = sub.next().await {
                if sender.send((number, message.payload)).is_err() {
                    break;
                }
            }
        });
    }
    flush(clients).await?;
    publish_numbered(clients, "jobs", COUNT).await?;
    for _ in 0..CONNECTIONS * COUNT {
        let (number, job) = timeout(TIMEOUT, jobs.recv()).await?.ok_or("end")?;
        ensure!(seen.insert(job.clone()), "{job:?} came twice");
        busy.insert(number);
    }
    flush(clients).await?;
    flush(clients).await?;
    ensure!(jobs.is_empty(), "a message came twice");
    ensure!(busy.len() == CONNECTIONS, "only {busy:?} got messages");
    Ok(())
}

async fn request_reply(clients: &[Conn]) -> Result {
    for (to, client) in clients.iter().enumerate() {
        let mut sub = client.subscribe(format!("service.{to}")).await?;
        let client = (*client).clone();
        tokio::spawn(async move {
            while let Some(message) = sub.next().await {
                let reply = message.payload.to_ascii_uppercase();
                if let Some(inbox) = message.reply {
                    client.publish(inbox, reply.into()).await.ok();
                }
            }
        });
    }
    flush(clients).await?;
    for (from, client) in clients.iter().enumerate() {
        for to in 0..CONNECTIONS {
            let text = format!("from {from}");
            let reply = client.request(format!("service.{to}"), text.into()).await?;
            ensure!(reply.payload == format!("FROM {from}"), "reply {:?}", reply.payload);
        }
    }
    Ok(())
}

async fn headers(clients: &[Conn]) -> Result {
    let mut subs = subscribe_all(clients, "headed").await?;
    let mut want = HeaderMap::new();
    want.append("Colour", "red");
    want.append("Colour", "dark green");
    want.insert("X-Number", "17");
    for client in clients {
        client.publish_with_headers("headed", want.clone(), "body".into()).await?;
    }
    for sub in &mut subs {
        for _ in clients {
            let message = next(sub).await?;
            ensure!(
                message.headers.as_ref() == Some(&want) && message.payload == "body",
                "got {message:?}"
            );
        }
    }
    Ok(())
}

async fn no_responders(clients: &[Conn]) -> Result {
    for client in clients {
        nobody(client, "nobody.there").await?;
    }
    Ok(())
}

async fn large_payload(clients: &[Conn]) -> Result {
    let size = clients[0].server_info().max_payload;
    ensure!(size == 1 << 20, "max_payload is {size}");
    let data: Bytes = (0..size).map(|i| (i * 7 >> 3) as u8).collect();
    let mut subs = subscribe_all(clients, "large").await?;
    for client in clients {
        client.publish("large", data.clone()).await?;
    }
    for sub in &mut subs {
        for _ in clients {
            ensure!(next(sub).await?.payload == data, "the payload has changed");
        }
    }
    Ok(())
}

async fn drain(clients: &[Conn]) -> Result {
    const COUNT: usize = 200;
    let client = Conn::open(&main_url()?, ConnectOptions::new()).await?;
    let mut sub = client.subscribe("drained").await?;
    sync(&client).await?;
    publish_numbered(clients, "drained", COUNT).await?;
    flush(clients).await?;
    client.drain().await?;
    let mut got = 0;
    while timeout(TIMEOUT, sub.next()).await?.is_some() {
        got += 1;
    }
    ensure!(got == CONNECTIONS * COUNT, "{got} messages");
    nobody(&clients[0], "drained").await
}

/// Has connections cut and sees that their subscriptions return.
async fn come_back(clients: &[Conn], order: &str) -> Result {
    let mut subs = subscribe_all(clients, "back").await?;
    let connects = |client: &Conn| client.count(&Event::Connected);
    until("first connects", || clients.iter().all(|client| connects(client) > 0)).await?;
    let before: usize = clients.iter().map(connects).sum();
    let cut: usize = ask(order)?.parse()?;
    until("reconnects", || clients.iter().map(connects).sum::<usize>() >= before + cut).await?;
    flush(clients).await?;
    exchange(clients, "back", &mut subs, 10).await
}

/// Says how a behaviour went; whether it was good.
pub fn report(name: &str, result: Result) -> bool {
    match &result {
        Ok(()) => println!("ok {name}"),
        Err(error) => println!("not ok {name} - {error}"),
    }
    result.is_ok()
}

#[tokio::main]
async fn main() -> Result {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Conn::open(&main_url()?, ConnectOptions::new()).await?);
    }
    let all = &clients[..];
    let mut good = vec![
        report("publish-subscribe", publish_subscribe(all).await),
        report("wildcards", wildcards(all).await),
        report("queue-groups", queue_groups(all).await),
        report("request-reply", request_reply(all).await),
        report("headers", headers(all).await),
        report("no-responders", no_responders(all).await),
        report("large-payload", large_payload(all).await),
        report("drain", drain(all).await),
        report("worker-killed", come_back(all, "kill").await),
        report("server-restarted", come_back(all, "restart").await),
    ];
    good.extend(depth::all().await);
    ensure!(!good.contains(&false), "something is not ok");
    Ok(())
}
