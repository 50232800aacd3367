/// A server for an example of the documentation: where it is, and what lets the example in.
fn served() -> (nws_client::Endpoint, nws_client::ConnectOptions) {
    let mut config = nws_server::Config::default();
    config.tcp = Some((std::net::Ipv4Addr::LOCALHOST, 0).into());
    let options = nws_client::ConnectOptions { token: Some(config.token.clone()), ..Default::default() };
    let server = nws_server::Server::bind(config).expect("the loopback address can be listened on");
    let port = server.tcp_addr().expect("it listens by TCP").port();
    std::thread::spawn(|| server.run());
    (nws_client::Endpoint::Tcp("127.0.0.1".into(), port), options)
}
