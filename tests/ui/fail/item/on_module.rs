use flyrpc::fly_rpc;

#[fly_rpc]
mod strings {}

fn main() {}
