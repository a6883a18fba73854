//! The DJ in a host of its own, to be killed: its arguments are where it listens, its
//! store, the model's service, and variables as `NAME=VALUE`. It logs to standard error.

use spinlane_component_tests::dj_host;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, store, anthropic, variables @ ..] = arguments.as_slice() else {
        panic!("ADDRESS STORE ANTHROPIC [NAME=VALUE]...");
    };
    let mut host = dj_host(anthropic)
        .listen(listen.parse().expect("an address"))
        .store(store)
        .print_logs(true);
    for variable in variables {
        let (name, value) = variable.split_once('=').expect("NAME=VALUE");
        host = host.variable(name, value);
    }
    let _host = host.start().await.expect("the host starts");
    std::future::pending::<()>().await;
}
