//! Orders go one way, dishes come back the other.

use std::thread;

use nws::blocking::Server;
use nws::{ConnectOptions, Endpoint, Error};

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or("localhost:8765".into());
    let server = Server::connect(&address.parse::<Endpoint>()?, ConnectOptions::default())?;
    let kitchen = server.open("kitchen")?;

    // The cook may as well be another program, on another machine, in another language.
    let cook = kitchen.clone();
    thread::spawn(move || -> Result<(), Error> {
        loop {
            let order: String = cook.fetch("orders")?; // waits until there is one
            cook.store("dishes", format!("hot {order}"))?;
        }
    });

    kitchen.store_many("orders", ["soup", "bread", "pie"])?;
    for _ in 0..3 {
        println!("{}", kitchen.fetch::<String>("dishes")?);
    }
    Ok(())
}
