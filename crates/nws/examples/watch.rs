//! Follows a log that others write, as a stream, while it writes itself; any async runtime will do.

use nws::{ConnectOptions, Endpoint, Error, Server};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Reading {
    sensor: String,
    celsius: f64,
}

fn main() -> Result<(), Error> {
    smol::block_on(follow())
}

async fn follow() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or("localhost:8765".into());
    let server = Server::connect(&address.parse::<Endpoint>()?, ConnectOptions::default()).await?;
    let space = server.open("weather").await?;

    // Begun, not awaited: they are on their way while the stream is read.
    let stores: Vec<_> = [("roof", 21.5), ("cellar", 12.0), ("roof", 22.0)]
        .map(|(sensor, celsius)| space.store("readings", Reading { sensor: sensor.into(), celsius }))
        .into();

    let mut readings = space.ifind::<Reading>("readings"); // leaves them there for others
    for _ in 0..stores.len() {
        if let Some(reading) = readings.next().await {
            let Reading { sensor, celsius } = reading?;
            println!("{sensor}: {celsius:.1} degrees");
        }
    }
    for store in stores {
        store.await?;
    }
    Ok(())
}
