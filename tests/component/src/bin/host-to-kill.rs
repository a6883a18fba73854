//! The DJ in a host of its own, to be killed: its arguments are where it listens, its
//! store, and the model's service.

use spinlane_component_tests::dj_host;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, store, anthropic] = arguments.as_slice() else {
        panic!("ADDRESS STORE ANTHROPIC");
    };
    let host = dj_host(anthropic)
        .listen(listen.parse().expect("an address"))
        .store(store);
    let _host = host.start().await.expect("the host starts");
    std::future::pending::<()>().await;
}
