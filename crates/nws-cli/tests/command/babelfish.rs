//! Values of other languages, told by a helper of that language. (The one for Python is tested with the
//! Python package.)

use std::thread;

use bytes::Bytes;
use nws_client::{ConnectOptions, Endpoint, Error, Value, blocking};
use nws_proto::{Descriptor, Language};

use crate::home::{Home, output};

fn connect(home: &Home) -> blocking::Server {
    let options = ConnectOptions { token: Some(home.servers()[0].token.clone()), ..ConnectOptions::default() };
    blocking::Server::connect(&Endpoint::Unix(home.socket()), options).unwrap()
}

fn vector(text: &str) -> Value {
    Value { descriptor: Descriptor::serialized(Language::R), bytes: Bytes::copy_from_slice(text.as_bytes()) }
}

/// A helper as the old one for R: tells each value by what it holds, in capitals.
fn helper(home: &Home) -> thread::JoinHandle<Error> {
    let space = connect(home).open("R babelfish").unwrap();
    thread::spawn(move || {
        loop {
            let food: Value = match space.fetch("food") {
                Ok(food) => food,
                Err(error) => return error,
            };
            assert_eq!(food.descriptor, Descriptor::serialized(Language::R), "it gets the value as it was stored");
            let text = String::from_utf8_lossy(&food.bytes).to_uppercase();
            if let Err(error) = space.store("doof", format!("{text}\n")) {
                return error;
            }
        }
    })
}

#[test]
fn all_who_ask_get_the_text_of_their_own_value() {
    let home = Home::served();
    let server = connect(&home);
    let helper = helper(&home);
    // Left behind by one who did not wait for it.
    server.use_workspace("R babelfish").unwrap().store("doof", "stale").unwrap();
    let values = server.use_workspace("__default").unwrap();
    let names: Vec<String> = (0..8).map(|n| format!("x{n}")).collect();
    for name in &names {
        values.store(name, vector(&format!("value of {name}"))).unwrap();
    }
    let commands: Vec<_> = names.iter().map(|name| home.command(["find", name]).spawn().unwrap()).collect();
    for (name, command) in names.iter().zip(commands) {
        let told = format!("VALUE OF {}\n", name.to_uppercase());
        home.ran(&output(command)).is(0, &told, "");
    }
    home.nws("watch x0 --count 1 --json").is(
        0,
        "{\"base64\":\"dmFsdWUgb2YgeDA=\",\"descriptor\":50331648,\"kind\":\"serialized\",\"size_bytes\":11,\
         \"text\":\"VALUE OF X0\"}\n",
        "",
    );
    assert_eq!(home.nws("stop").code, Some(0));
    assert!(matches!(helper.join().unwrap(), Error::Closed { .. } | Error::Fault(_)));
}
