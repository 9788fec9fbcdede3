use flyrpc::fly_rpc;

#[fly_rpc]
enum Strings {}

fn main() {}
