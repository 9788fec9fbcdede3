use flyrpc::fly_rpc;

#[fly_rpc]
auto trait Strings {}

fn main() {}
